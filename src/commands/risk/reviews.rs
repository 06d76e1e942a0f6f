//! `millrace risk reviews`: lists, claims, releases and resolves reviews on a running millrace.

use std::process::ExitCode;

use clap::Subcommand;
use millrace_client::Connection;
use millrace_protos::{Payment, PaymentOutcome, v1};
use serde_json::{Value, json};
use uuid::Uuid;

use super::server::{
    ServerArgs, SignatureArgs, deed_json, deed_text, score_text, unknown, when, when_json, word,
};
use crate::{
    Failure,
    commands::{
        money::{id_bytes, joined, text},
        payment::outcome_text,
        say,
    },
};

/// List, claim and resolve payments that are held for review
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List open reviews, oldest first
    #[command(after_help = "\
Examples:
  millrace risk reviews list --unclaimed
  millrace risk reviews list --claimed-by ann --json")]
    List(ListArgs),
    /// Take a review on, so that nobody else works on it
    Claim(ChangeArgs),
    /// Give a review back
    Release(ChangeArgs),
    /// Let the money through, or give it back
    #[command(after_help = "\
Examples:
  millrace risk reviews resolve 0190b5a4-6a00-7c3e-8f00-000000000003 --approve \\
      --why 'the payer confirmed it by phone'
  millrace risk reviews resolve 0190b5a4-6a00-7c3e-8f00-000000000003 --decline \\
      --why 'card stolen'")]
    Resolve {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        verdict: VerdictArgs,
    },
}

#[derive(clap::Args)]
struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// List payments whose upstream has to confirm them, in place of reviews
    #[arg(long)]
    challenges: bool,
    /// Only what this analyst has claimed
    #[arg(long, value_name = "NAME", conflicts_with = "unclaimed")]
    claimed_by: Option<String>,
    /// Only what nobody has claimed
    #[arg(long)]
    unclaimed: bool,
    /// Show so many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(clap::Args)]
struct ChangeArgs {
    /// The payment under review
    payment: Uuid,
    #[command(flatten)]
    signature: SignatureArgs,
    /// Even if somebody else has claimed it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct VerdictArgs {
    /// Capture what is left of the hold
    #[arg(long)]
    approve: bool,
    /// Void what is left of the hold
    #[arg(long)]
    decline: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::List(args) => list(args).await,
        Command::Claim(args) => claim(args).await,
        Command::Release(args) => release(args).await,
        Command::Resolve { change, verdict } => resolve(change, verdict.approve).await,
    }
}

async fn list(args: ListArgs) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    let mut shown = 0;
    let mut page_token = String::new();
    loop {
        let page = page(&connection, &args, args.limit - shown, page_token).await?;
        for review in &page.reviews {
            match args.server.json {
                true => say!("{}", review_json(review)),
                false => {
                    if shown == 0 {
                        say!("{}", heading());
                    }
                    say!("{}", review_line(review));
                }
            }
            shown += 1;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() || shown >= args.limit {
            break;
        }
    }
    if !args.server.json {
        match (shown, page_token.is_empty()) {
            (0, _) => say!("nothing to review"),
            (_, true) => {}
            (_, false) => say!("there are more: raise --limit"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn page(
    connection: &Connection,
    args: &ListArgs,
    wanted: usize,
    page_token: String,
) -> Result<v1::ListReviewsResponse, Failure> {
    use v1::list_reviews_request::Claim;
    let kind = if args.challenges { v1::ReviewKind::Challenge } else { v1::ReviewKind::Review };
    let claim = match (&args.claimed_by, args.unclaimed) {
        (Some(name), _) => Some(Claim::ClaimedBy(name.clone())),
        (None, true) => Some(Claim::Unclaimed(true)),
        (None, false) => None,
    };
    let page_size = wanted.clamp(1, 200) as u32;
    let request = v1::ListReviewsRequest { kind: kind as i32, page_size, page_token, claim };
    let response = connection.risk().list_reviews(request).await;
    Ok(response.map_err(|status| connection.explain(&status))?.into_inner())
}

fn heading() -> String {
    line(["PAYMENT", "HELD SINCE", "UNTIL", "AMOUNT", "SCORE", "RULE", "CLAIMED BY"])
}

fn line([id, since, until, amount, score, rule, claimed_by]: [&str; 7]) -> String {
    let line = format!(
        "{id:<36}  {since:<20}  {until:<20}  {amount:>20}  {score:<6}  {rule:<19}  {claimed_by}"
    );
    line.trim_end().to_owned()
}

fn review_line(review: &v1::Review) -> String {
    let (payment, outcome) = parts(review);
    let claimed_by = review.claim.as_ref().map_or("", |claim| &claim.actor);
    let left = joined(review.remaining_minor, review.remaining_minor_high);
    // Until somebody resolves it, or until it is released by itself.
    let until = match &review.expires_at {
        Some(expires_at) => when(Some(expires_at)),
        None => "resolved".to_owned(),
    };
    let line = line([
        &Uuid::from_u128(payment.payment_id).to_string(),
        &when(review.decided_at.as_ref()),
        &until,
        &text(left, payment.ledger),
        &score_text(review.score),
        &outcome.risk_reason,
        claimed_by,
    ]);
    match review.rule_reason.as_str() {
        "" => line,
        reason => format!("{line}\n  because {reason}"),
    }
}

fn parts(review: &v1::Review) -> (Payment, PaymentOutcome) {
    (review.payment.clone().unwrap_or_default(), review.outcome.clone().unwrap_or_default())
}

pub(super) fn review_json(review: &v1::Review) -> Value {
    let (payment, outcome) = parts(review);
    let id = |id| Uuid::from_u128(id).to_string();
    let resolution = review.resolution.as_ref().map(|resolution| {
        json!({ "approve": resolution.approve, "deed": deed_json(resolution.deed.as_ref()) })
    });
    json!({
        "payment_id": id(payment.payment_id),
        "kind": word(review.kind().as_str_name(), "REVIEW_KIND_"),
        "decided_at": when_json(review.decided_at.as_ref()),
        "event_sequence": outcome.event_sequence,
        "debit_account_id": id(payment.debit_account_id),
        "credit_account_id": id(payment.credit_account_id),
        "ledger": payment.ledger,
        "amount_minor": joined(outcome.amount_minor, outcome.amount_minor_high).to_string(),
        "remaining_minor": joined(review.remaining_minor, review.remaining_minor_high).to_string(),
        "rule": outcome.risk_reason,
        "rule_reason": review.rule_reason,
        "score": review.score,
        "hold_state": word(review.hold_state().as_str_name(), "HOLD_STATE_"),
        "expires_at": when_json(review.expires_at.as_ref()),
        "claim": deed_json(review.claim.as_ref()),
        "resolution": resolution,
    })
}

/// Where a review stands, as lines under an explanation.
pub(super) fn show_standing(review: &v1::Review, ledger: u32) {
    let left = joined(review.remaining_minor, review.remaining_minor_high);
    let state = word(review.hold_state().as_str_name(), "HOLD_STATE_");
    say!("  hold        {state}, {} left", text(left, ledger));
    match (&review.expires_at, review.hold_state()) {
        (Some(at), v1::HoldState::Open) => {
            say!("  released    {} by itself, if nobody does", when(Some(at)));
        }
        (Some(at), v1::HoldState::Expired) => {
            say!("  released    {} by itself: nobody resolved it", when(Some(at)));
        }
        _ => {}
    }
    if let Some(claim) = &review.claim {
        say!("  claimed by  {}", deed_text(claim));
    }
    if let Some(resolution) = &review.resolution {
        let verdict = if resolution.approve { "approved" } else { "declined" };
        let deed = resolution.deed.as_ref().map_or_else(String::new, deed_text);
        say!("  resolved    {verdict} by {deed}");
    }
}

async fn claim(args: ChangeArgs) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    let request = v1::ClaimReviewRequest {
        payment_id: id_bytes(args.payment).into(),
        actor: args.signature.actor()?,
        why: args.signature.why,
        force: args.force,
    };
    let actor = request.actor.clone();
    let response = connection.risk().claim_review(request).await;
    let done = response.map_err(|status| unknown(&connection, &status, args.payment))?.into_inner();
    let change = Change {
        payment: args.payment,
        what: format!("claimed by {actor}"),
        seq: done.event_sequence,
        replayed: done.replayed,
    };
    change.show(args.server.json);
    Ok(ExitCode::SUCCESS)
}

async fn release(args: ChangeArgs) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    let request = v1::ReleaseReviewRequest {
        payment_id: id_bytes(args.payment).into(),
        actor: args.signature.actor()?,
        why: args.signature.why,
        force: args.force,
    };
    let response = connection.risk().release_review(request).await;
    let done = response.map_err(|status| unknown(&connection, &status, args.payment))?.into_inner();
    let change = Change {
        payment: args.payment,
        what: "claimed by nobody".to_owned(),
        seq: done.event_sequence,
        replayed: done.replayed,
    };
    change.show(args.server.json);
    Ok(ExitCode::SUCCESS)
}

/// A change that was made, or had been made before.
pub(super) struct Change {
    pub(super) payment: Uuid,
    pub(super) what: String,
    pub(super) seq: u64,
    pub(super) replayed: bool,
}

impl Change {
    pub(super) fn show(&self, json: bool) {
        let Self { payment, what, seq, replayed } = self;
        if json {
            let shown = json!({
                "payment_id": payment.to_string(),
                "what": what,
                "event_sequence": seq,
                "replayed": replayed,
            });
            say!("{shown}");
            return;
        }
        let before = if *replayed { ", as before" } else { "" };
        let event = if *seq == 0 { String::new() } else { format!(", event {seq}") };
        say!("{payment}  {what}{before}{event}");
    }
}

async fn resolve(args: ChangeArgs, approve: bool) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    let verdict = match approve {
        true => v1::ReviewVerdict::Approve,
        false => v1::ReviewVerdict::Decline,
    };
    let request = v1::ResolveReviewRequest {
        payment_id: id_bytes(args.payment).into(),
        verdict: verdict as i32,
        actor: args.signature.actor()?,
        why: args.signature.why,
        force: args.force,
    };
    let response = connection.risk().resolve_review(request).await;
    let done = response.map_err(|status| unknown(&connection, &status, args.payment))?.into_inner();
    let outcome = done.outcome.ok_or("the server gave no outcome")?;
    let refused = outcome.status == v1::PaymentStatus::Rejected as i32;
    let word = if approve { "approved" } else { "declined" };
    if args.server.json {
        let status = v1::PaymentStatus::try_from(outcome.status).unwrap_or_default();
        let reason = v1::RejectReason::try_from(outcome.reject_reason).unwrap_or_default();
        let shown = json!({
            "payment_id": args.payment.to_string(),
            "what": word,
            "event_sequence": done.event_sequence,
            "replayed": done.replayed,
            "resolution_payment_id": Uuid::from_u128(outcome.payment_id).to_string(),
            "status": word_of(status.as_str_name(), "PAYMENT_STATUS_"),
            "reject_reason": refused.then(|| word_of(reason.as_str_name(), "REJECT_REASON_")),
            "amount_minor": joined(outcome.amount_minor, outcome.amount_minor_high).to_string(),
        });
        say!("{shown}");
    } else {
        let before = if done.replayed { ", as before" } else { "" };
        say!("{}  {word}{before}", args.payment);
        say!("  {}", outcome_text(&outcome));
    }
    if refused {
        crate::commands::tell!("the ledger refused to move the money: the review stays open");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn word_of(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_owned()
}
