//! `millrace risk decision` and `report-fraud`: explains what risk decided of a payment, and records
//! whether it was fraud.

use std::process::ExitCode;

use millrace_ledger::Timestamp;
use millrace_protos::v1;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    reviews::{Change, review_json, show_standing},
    server::{
        self, ServerArgs, SignatureArgs, deed_json, deed_text, unknown, when, when_json, word,
    },
};
use crate::{
    Failure,
    commands::{
        money::{id_bytes, joined, text},
        payment::outcome_text,
        say,
        times::parse_time,
    },
};

/// Explain what risk decided of a payment
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  millrace risk decision 0190b5a4-6a00-7c3e-8f00-000000000003")]
pub(crate) struct Args {
    /// The payment
    payment: Uuid,
    #[command(flatten)]
    server: ServerArgs,
}

/// Report that a payment was fraud, or that it was not
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk report-fraud 0190b5a4-6a00-7c3e-8f00-000000000003 --why 'chargeback 4471'
  millrace risk report-fraud 0190b5a4-6a00-7c3e-8f00-000000000003 --genuine --why 'a mix-up'

The last report counts. It is journaled, and the features of later payments know it.")]
pub(crate) struct ReportArgs {
    /// The payment
    payment: Uuid,
    /// It was no fraud
    #[arg(long)]
    genuine: bool,
    /// When this became known, if that was not just now, as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    known_at: Option<Timestamp>,
    #[command(flatten)]
    signature: SignatureArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    let request = v1::ExplainDecisionRequest { payment_id: id_bytes(args.payment).into() };
    let response = connection.risk().explain_decision(request).await;
    let found = response.map_err(|status| unknown(&connection, &status, args.payment))?;
    let found = found.into_inner();
    match args.server.json {
        true => say!("{}", to_json(&found)),
        false => show(&found),
    }
    Ok(ExitCode::SUCCESS)
}

fn decision(number: i32) -> String {
    let decision = v1::RiskDecision::try_from(number).unwrap_or_default();
    match decision {
        v1::RiskDecision::Unspecified => "not judged".to_owned(),
        decision => word(decision.as_str_name(), "RISK_DECISION_"),
    }
}

fn feature(contribution: &v1::FeatureContribution) -> String {
    match contribution.name.as_str() {
        "" => format!("feature {}", contribution.feature),
        name => name.to_owned(),
    }
}

fn policy(number: u32) -> String {
    match number {
        0 => "the limits of the configuration".to_owned(),
        number => format!("policy {number}"),
    }
}

fn show(found: &v1::ExplainDecisionResponse) {
    let payment = found.payment.clone().unwrap_or_default();
    let outcome = found.outcome.clone().unwrap_or_default();
    say!("{}", outcome_text(&outcome));
    say!("  decided     {}, {}", decision(outcome.risk_decision), when(found.decided_at.as_ref()));
    if outcome.risk_decision != v1::RiskDecision::Unspecified as i32 {
        say!("  by          {}", policy(found.policy_number));
    }
    if !outcome.risk_reason.is_empty() {
        say!("  rule        {}", outcome.risk_reason);
    }
    if !found.rule_reason.is_empty() {
        say!("  because     {}", found.rule_reason);
    }
    say!("  from        {}", Uuid::from_u128(payment.debit_account_id));
    say!("  to          {}", Uuid::from_u128(payment.credit_account_id));
    // Without an amount of its own, it asked for all that there was.
    let asked = match payment.amount_minor {
        Some(low) => joined(low, payment.amount_minor_high),
        None => joined(outcome.amount_minor, outcome.amount_minor_high),
    };
    say!("  amount      {}", text(asked, payment.ledger));
    if let Some(score) = found.score {
        say!("  score       {score:.4}");
    }
    if found.fell_back {
        say!("  the time budget was spent: the policy's fallback decided");
    }
    if let Some(score) = found.challenger_score {
        say!("  challenger  {}, score {score:.4}", decision(found.challenger_decision));
    }
    if !found.contributions.is_empty() {
        say!("  what moved the score most:");
        for contribution in &found.contributions {
            let (moved, value) = (contribution.contribution, contribution.value);
            let feature = feature(contribution);
            match contribution.words.as_str() {
                "" => say!("    {moved:>+9.4}  {feature} = {value}"),
                words => say!("    {moved:>+9.4}  {words}  ({feature} = {value})"),
            }
        }
    }
    if let Some(review) = &found.review {
        show_standing(review, payment.ledger);
    }
    if let Some(report) = &found.fraud_report {
        let what = if report.fraud { "fraud" } else { "genuine" };
        let deed = report.deed.as_ref().map_or_else(String::new, deed_text);
        say!("  reported    {what} by {deed}");
    }
}

fn to_json(found: &v1::ExplainDecisionResponse) -> Value {
    let payment = found.payment.clone().unwrap_or_default();
    let outcome = found.outcome.clone().unwrap_or_default();
    let status = v1::PaymentStatus::try_from(outcome.status).unwrap_or_default();
    let contributions = found.contributions.iter().map(|contribution| {
        json!({
            "feature": feature(contribution),
            "number": contribution.feature,
            "contribution": contribution.contribution,
            "value": contribution.value,
            "words": contribution.words,
        })
    });
    let challenger = found
        .challenger_score
        .map(|score| json!({ "score": score, "decision": decision(found.challenger_decision) }));
    let report = found
        .fraud_report
        .as_ref()
        .map(|report| json!({ "fraud": report.fraud, "deed": deed_json(report.deed.as_ref()) }));
    json!({
        "payment_id": Uuid::from_u128(payment.payment_id).to_string(),
        "status": word(status.as_str_name(), "PAYMENT_STATUS_"),
        "decision": decision(outcome.risk_decision),
        "rule": outcome.risk_reason,
        "rule_reason": found.rule_reason,
        "decided_at": when_json(found.decided_at.as_ref()),
        "event_sequence": outcome.event_sequence,
        "policy_number": found.policy_number,
        "score": found.score,
        "fell_back": found.fell_back,
        "challenger": challenger,
        "contributions": contributions.collect::<Vec<_>>(),
        "review": found.review.as_ref().map(review_json),
        "fraud_report": report,
    })
}

/// A report can't be known before it is: its time would let features see it too early or never.
fn refuse_future(known_at: Timestamp) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    match jiff::Timestamp::from_nanosecond(i128::from(known_at.0)) {
        Ok(known_at) if known_at > now => Err(format!(
            "--known-at {known_at} is in the future (it is {now:.0}): write when it became known, or \
             leave it out if that is now"
        )
        .into()),
        _ => Ok(()),
    }
}

pub(crate) async fn report(args: ReportArgs) -> Result<ExitCode, Failure> {
    args.known_at.map_or(Ok(()), refuse_future)?;
    let connection = args.server.connect().await?;
    let request = v1::ReportFraudRequest {
        payment_id: id_bytes(args.payment).into(),
        fraud: !args.genuine,
        actor: args.signature.actor()?,
        why: args.signature.why,
        known_at: args.known_at.map(server::to_wire),
    };
    let response = connection.risk().report_fraud(request).await;
    let done = response.map_err(|status| unknown(&connection, &status, args.payment))?.into_inner();
    let what = if args.genuine { "reported as genuine" } else { "reported as fraud" };
    let change = Change {
        payment: args.payment,
        what: what.to_owned(),
        seq: done.event_sequence,
        replayed: done.replayed,
    };
    change.show(args.server.json);
    Ok(ExitCode::SUCCESS)
}
