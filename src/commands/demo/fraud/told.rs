//! What the second act tells: consumes outcomes, the truth about each payment, and the scores in the
//! journal; produces a table, some examples with their reasons, and JSON. Nothing here is told that
//! was not counted.

use std::{collections::HashMap, path::Path};

use millrace_client::Connection;
use millrace_engine::scan::{JournalScan, Start};
use millrace_ledger::{Event, EventSeq};
use millrace_protos::v1::{ExplainDecisionRequest, PaymentOutcome, RiskDecision};
use millrace_risk::evidence::Evidence;
use millrace_risk_lab::{
    generate::{FraudPattern, GeneratedPayment},
    metrics::Ranking,
    report::{Align, Table},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::super::{
        journal::journal_dir,
        risk::output::{count, number, percent},
        say,
    },
    Made, Promotion,
    promotion::THRESHOLDS,
};
use crate::Failure;

/// Declined frauds that are told of, and reasons of each.
const EXAMPLES: usize = 3;
const REASONS: usize = 3;

/// What happened on the way.
pub(super) struct Facts {
    /// Frauds that were reported when the model was trained.
    pub(super) known: u64,
    /// Frauds that were reported in the end.
    pub(super) reported: u64,
    /// From the first payment to the last answer.
    pub(super) seconds: f64,
    pub(super) promotion: Promotion,
}

/// Payments of one kind, and what was decided about them.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    payments: u64,
    declined: u64,
    challenged: u64,
    reviewed: u64,
    minor: u128,
    stopped_minor: u128,
}

/// A fraud that was declined, and why.
struct Example {
    payment: u128,
    pattern: FraudPattern,
    amount: f64,
    score: f32,
    rule: String,
    reasons: Vec<String>,
}

/// What came of the act.
pub(crate) struct Told {
    facts: Facts,
    payments: usize,
    frauds: usize,
    days: u32,
    history: usize,
    currency: &'static str,
    exponent: u8,
    patterns: Vec<(FraudPattern, Tally)>,
    fraud: Tally,
    honest: Tally,
    average_precision: f64,
    examples: Vec<Example>,
}

impl Tally {
    fn add(&mut self, payment: &GeneratedPayment, outcome: &PaymentOutcome) {
        let decision = RiskDecision::try_from(outcome.risk_decision).unwrap_or_default();
        let by = match decision {
            RiskDecision::Decline => Some(&mut self.declined),
            RiskDecision::Challenge => Some(&mut self.challenged),
            RiskDecision::Review => Some(&mut self.reviewed),
            RiskDecision::Unspecified | RiskDecision::Approve => None,
        };
        let minor = u128::from(payment.amount_minor);
        if let Some(by) = by {
            *by += 1;
            self.stopped_minor += minor;
        }
        self.payments += 1;
        self.minor += minor;
    }

    fn stopped(&self) -> u64 {
        self.declined + self.challenged + self.reviewed
    }

    fn passed(&self) -> u64 {
        self.payments - self.stopped()
    }

    fn stopped_share(&self) -> f64 {
        self.stopped() as f64 / self.payments.max(1) as f64
    }

    fn money_share(&self) -> f64 {
        self.stopped_minor as f64 / self.minor.max(1) as f64
    }

    fn to_json(self) -> Value {
        json!({
            "payments": self.payments,
            "declined": self.declined,
            "challenged": self.challenged,
            "held_for_review": self.reviewed,
            "stopped": self.stopped(),
            "minor": self.minor,
            "stopped_minor": self.stopped_minor,
        })
    }
}

impl Told {
    /// Counts what was decided from the promotion on.
    pub(super) async fn new(
        made: Made,
        outcomes: Vec<PaymentOutcome>,
        facts: Facts,
        connection: &Connection,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        let first = made.first_from(made.promoted_at);
        let (truth, outcomes) = (&made.truth[first..], &outcomes[first..]);
        let (mut fraud, mut honest) = (Tally::default(), Tally::default());
        let mut patterns: Vec<_> =
            FraudPattern::ALL.iter().map(|pattern| (*pattern, Tally::default())).collect();
        for (payment, outcome) in truth.iter().zip(outcomes) {
            match payment.label {
                None => honest.add(payment, outcome),
                Some(label) => {
                    fraud.add(payment, outcome);
                    let own = patterns.iter_mut().filter(|(pattern, _)| *pattern == label);
                    own.for_each(|(_, tally)| tally.add(payment, outcome));
                }
            }
        }
        patterns.retain(|(_, tally)| tally.payments > 0);
        let from = EventSeq(outcomes.first().map_or(1, |outcome| outcome.event_sequence));
        let directory = journal_dir(data_dir)?;
        let scores = tokio::task::spawn_blocking(move || scores(&directory, from)).await??;
        let scored = truth.iter().zip(outcomes).filter_map(|(payment, outcome)| {
            Some((*scores.get(&outcome.payment_id)?, payment.label.is_some()))
        });
        let (values, is_fraud): (Vec<f32>, Vec<bool>) = scored.unzip();
        let currency = made.truth[0].currency;
        let mut told = Self {
            facts,
            payments: made.truth.len(),
            frauds: made.truth.iter().filter(|payment| payment.label.is_some()).count(),
            days: made.days,
            history: made.first_from(made.trained_at),
            currency: currency.code,
            exponent: currency.exponent,
            patterns,
            fraud,
            honest,
            average_precision: Ranking::new(&values, &is_fraud)?.average_precision(),
            examples: Vec::new(),
        };
        for (score, payment, outcome) in examples(truth, outcomes, &scores) {
            let example = told.explained(score, payment, outcome, connection).await?;
            told.examples.push(example);
        }
        Ok(told)
    }

    fn major(&self, minor: u128) -> f64 {
        minor as f64 / 10_f64.powi(i32::from(self.exponent))
    }

    /// Asks the server why it declined a payment.
    async fn explained(
        &self,
        score: f32,
        payment: &GeneratedPayment,
        outcome: &PaymentOutcome,
        connection: &Connection,
    ) -> Result<Example, Failure> {
        let payment_id = outcome.payment_id.to_be_bytes().to_vec().into();
        let request = ExplainDecisionRequest { payment_id };
        let response = connection.risk().explain_decision(request).await;
        let found = response.map_err(|status| connection.explain(&status))?.into_inner();
        let words = found.contributions.into_iter().map(|contribution| contribution.words);
        let words = std::iter::once(found.rule_reason).chain(words);
        Ok(Example {
            payment: outcome.payment_id,
            pattern: payment.label.ok_or("an honest payment is no example")?,
            amount: self.major(payment.amount_minor.into()),
            score,
            rule: found.outcome.unwrap_or_default().risk_reason,
            reasons: words.filter(|words| !words.is_empty()).take(REASONS).collect(),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let Promotion { policy, trained, meanwhile } = &self.facts.promotion;
        let patterns = self.patterns.iter();
        let patterns: serde_json::Map<_, _> =
            patterns.map(|(pattern, tally)| (pattern.name().to_owned(), tally.to_json())).collect();
        let trained = trained.as_ref().map(|trained| {
            let facts = trained.model.facts();
            json!({
                "payments": facts.rows,
                "frauds": facts.frauds,
                "features": trained.model.features().len(),
                "elapsed_s": trained.seconds,
                "payments_meanwhile": meanwhile,
            })
        });
        let examples = self.examples.iter().map(|example| {
            json!({
                "payment_id": Uuid::from_u128(example.payment).to_string(),
                "pattern": example.pattern.name(),
                "score": example.score,
                "rule": example.rule,
                "reasons": example.reasons,
            })
        });
        json!({
            "payments": self.payments,
            "frauds": self.frauds,
            "history": self.history,
            "frauds_reported": self.facts.reported,
            "trained": trained,
            "policy": { "number": policy.number, "name": policy.name },
            "currency": self.currency,
            "fraud": self.fraud.to_json(),
            "patterns": patterns,
            "honest": self.honest.to_json(),
            "average_precision": self.average_precision,
            "examples": examples.collect::<Vec<_>>(),
            "elapsed_s": self.facts.seconds,
        })
    }

    pub(crate) fn print(&self) {
        let (payments, frauds) = (count(self.payments), count(self.frauds));
        say!("\nFraud, stopped");
        say!(
            "  {payments} made-up payments of {} days, {frauds} of them fraud; all over gRPC, {:.1} s",
            self.days,
            self.facts.seconds
        );
        self.print_steps();
        say!("\n{}", self.table().to_text().trim_end());
        say!(
            "\n  {} of the frauds and {} of their money were stopped; {} of the honest payments \
             were touched.",
            percent(self.fraud.stopped_share()),
            percent(self.fraud.money_share()),
            percent(self.honest.stopped_share())
        );
        let chance =
            self.fraud.payments as f64 / (self.fraud.payments + self.honest.payments) as f64;
        say!(
            "  Average precision of the scores: {:.2}; {chance:.3} would be chance.",
            self.average_precision
        );
        if !self.examples.is_empty() {
            say!("\nDeclined, and why (millrace risk decision PAYMENT):");
        }
        for example in &self.examples {
            let Example { payment, pattern, amount, score, rule, reasons } = example;
            let by = if rule == "score" { "the model" } else { rule.as_str() };
            let amount = number(*amount, 2);
            let payment = Uuid::from_u128(*payment);
            say!(
                "  {payment}  {amount} {}, {}: score {score:.2}, by {by}",
                self.currency,
                pattern.name().replace('_', " ")
            );
            reasons.iter().for_each(|reason| say!("    {reason}"));
        }
        say!("");
    }

    fn print_steps(&self) {
        let Promotion { policy, trained, meanwhile } = &self.facts.promotion;
        let history = count(self.history);
        match trained {
            Some(trained) => {
                let facts = trained.model.facts();
                say!(
                    "  history   {history} payments; {} frauds were reported, days after they happened",
                    count(self.facts.known as usize)
                );
                say!(
                    "  model     trained from the journal on {} payments with {} known frauds, in \
                     {:.1} s; {} payments went on meanwhile",
                    count(facts.rows as usize),
                    count(facts.frauds as usize),
                    trained.seconds,
                    count(*meanwhile)
                );
            }
            None => say!(
                "  history   {history} payments; a model was trained on them by an earlier run"
            ),
        }
        let threshold = |it: Option<f32>| format!("{:.0}%", 100.0 * it.unwrap_or(1.0));
        say!(
            "  policy    number {}, without a restart: from {} on somebody looks, from {} on the payer \
             confirms, from {} on it is declined",
            policy.number,
            threshold(THRESHOLDS.review),
            threshold(THRESHOLDS.challenge),
            threshold(THRESHOLDS.decline)
        );
    }

    fn table(&self) -> Table {
        let money = format!("money ({})", self.currency);
        let left = ("decided since", Align::Left);
        let right =
            ["payments", "declined", "challenged", "in review", "passed", &money, "stopped"];
        let columns: Vec<_> =
            std::iter::once(left).chain(right.map(|name| (name, Align::Right))).collect();
        let mut table = Table::new(&columns);
        let mut row = |name: String, tally: &Tally| {
            let counts = [tally.payments, tally.declined, tally.challenged, tally.reviewed];
            let counts = counts.into_iter().chain([tally.passed()]);
            let counts = counts.map(|it| count(usize::try_from(it).unwrap_or(usize::MAX)));
            let money = [number(self.major(tally.minor), 2), percent(tally.money_share())];
            table.row(std::iter::once(name).chain(counts).chain(money));
        };
        for (pattern, tally) in &self.patterns {
            row(pattern.name().replace('_', " "), tally);
        }
        row("all fraud".to_owned(), &self.fraud);
        row("honest".to_owned(), &self.honest);
        table
    }
}

/// Scores by payment, as journaled from this event on.
fn scores(directory: &Path, from: EventSeq) -> Result<HashMap<u128, f32>, Failure> {
    let mut scores = HashMap::new();
    for frame in JournalScan::open_at(directory, Start::Seq(from))? {
        for event in frame?.events()? {
            if let Event::Payment(payment) = &event.event
                && let Some(score) = Evidence::read(&event.evidence).and_then(|it| it.score)
            {
                scores.insert(payment.payment.id.0, score);
            }
        }
    }
    Ok(scores)
}

/// The declined fraud with the highest score of each pattern, the highest first.
fn examples<'a>(
    truth: &'a [GeneratedPayment],
    outcomes: &'a [PaymentOutcome],
    scores: &HashMap<u128, f32>,
) -> Vec<(f32, &'a GeneratedPayment, &'a PaymentOutcome)> {
    let declined = truth.iter().zip(outcomes).filter_map(|(payment, outcome)| {
        let declined = outcome.risk_decision == RiskDecision::Decline as i32;
        let score = scores.get(&outcome.payment_id).filter(|_| declined)?;
        payment.label.is_some().then_some((*score, payment, outcome))
    });
    let mut declined: Vec<_> = declined.collect();
    declined.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.seq.cmp(&b.1.seq)));
    let mut told = Vec::new();
    declined.retain(|(_, payment, _)| {
        let is_new = !told.contains(&payment.label);
        told.push(payment.label);
        is_new
    });
    declined.truncate(EXAMPLES);
    declined
}
