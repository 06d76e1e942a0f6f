//! `millrace journal verify`: consumes a journal, produces what it comes to, or what is wrong with it.
//! Holds recent payments in memory only: older ones go to a scratch directory, which it removes.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use millrace_engine::{
    RecoveryReport, recover,
    redecide::{self, Difference, Redecision},
    scan,
};
use millrace_ledger::{ApproveAll, BalanceSums, Ledger, LedgerId};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    journal::{journal_dir, without_segment},
    journal_export::bar,
    journal_row::hex,
    money, say,
};
use crate::Failure;

/// Check every frame, the hash chain, and that balances follow from the events
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace journal verify --data-dir millrace-data
  millrace journal verify --data-dir millrace-data --json
  millrace journal verify --data-dir millrace-data --redecide

Reads only; safe beside a running millrace, whose last frame may then count as torn. Snapshots and
the runs that they name are checked, too. With --redecide, every event is decided again with the
rules of this millrace; what risk said is taken from the journal. The exit code is 1 if anything is
not right, or would be decided differently, or if there is no segment that could be checked.")]
pub(crate) struct Args {
    /// Data directory of the millrace that wrote it
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// Decide everything again, and compare
    #[arg(long)]
    redecide: bool,
    /// Where older payments are kept meanwhile, 100 bytes each; without it, the system's directory
    /// for temporary files
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let journal = journal_dir(&args.data_dir)?;
    let scratch = scratch(args.scratch.as_deref())?;
    let started = Instant::now();
    if !args.redecide {
        let (report, ledger) = recover::verify_within(&journal, scratch.path(), &mut ApproveAll)?;
        check_read(&report, &journal)?;
        tell(args, &report, &ledger, None, started);
        return checked(&report);
    }
    let bar = bar(1, scan::last_seq(&journal)?.0);
    let redecided =
        redecide::redecide_within(&journal, scratch.path(), |seq| bar.set_position(seq.0));
    bar.finish_and_clear();
    let redecision = redecided?;
    check_read(&redecision.report, &journal)?;
    tell(args, &redecision.report, &redecision.ledger, Some(&redecision), started);
    match (&redecision.stopped, redecision.differences.is_empty()) {
        (Some(error), _) => Err(format!(
            "today's rules decide differently, and after event {} the journal does not follow from \
             itself: {error}",
            redecision.report.last_seq
        )
        .into()),
        (None, false) => Err("today's rules decide differently: see the differences above".into()),
        (None, true) => checked(&redecision.report),
    }
}

/// Of nothing it can't be said that it is right. What the durable note or a snapshot knows was missed
/// before, if there is one.
fn check_read(report: &RecoveryReport, journal: &Path) -> Result<(), Failure> {
    match report.segments {
        0 => Err(without_segment(journal, "--data-dir")),
        _ => Ok(()),
    }
}

/// The journal is right. So must be what a start begins with.
fn checked(report: &RecoveryReport) -> Result<ExitCode, Failure> {
    match &report.snapshots_passed_over[..] {
        [] => Ok(ExitCode::SUCCESS),
        unusable => Err(format!(
            "the journal is right, but a start could not use its snapshots: {}. One whose bytes are wrong \
             is passed over by a start, which reads more of the journal instead, and the next two take \
             its place",
            unusable.join("; ")
        )
        .into()),
    }
}

/// A directory of our own, removed at the end.
fn scratch(within: Option<&Path>) -> Result<TempDir, Failure> {
    let within = within.map_or_else(std::env::temp_dir, Path::to_owned);
    let made = tempfile::Builder::new().prefix("millrace-verify-").tempdir_in(&within);
    made.map_err(|error| {
        let within = within.display();
        format!("{within} can't be written: {error}. Name another directory with --scratch").into()
    })
}

fn tell(
    args: &Args,
    report: &RecoveryReport,
    ledger: &Ledger,
    redecision: Option<&Redecision>,
    started: Instant,
) {
    if args.json {
        let mut object = object(report, ledger);
        if let Some(redecision) = redecision {
            object.extend(redecision_fields(redecision));
        }
        object.insert("elapsed_s".to_owned(), started.elapsed().as_secs_f64().into());
        say!("{}", Value::Object(object));
        return;
    }
    table(report, ledger);
    match redecision {
        None => say!("  {}", right(report)),
        Some(redecision) => redecision_table(redecision),
    }
}

fn object(report: &RecoveryReport, ledger: &Ledger) -> Map<String, Value> {
    let (torn, sums) = (report.torn_tail.as_ref(), ledger.sums());
    let object = json!({
        "segments": report.segments,
        "frames": report.frames,
        "bytes": report.bytes,
        "events": report.last_seq.0,
        "first_event": report.first_seq.0,
        "snapshot": report.snapshot.map(|seq| seq.0),
        "snapshots_passed_over": report.snapshots_passed_over,
        "accounts": ledger.account_count(),
        "payments": ledger.payment_count(),
        "head": hex(&report.head.0),
        "state_hash": hex(&ledger.state_hash()),
        "torn_tail": torn.map(|(segment, offset)| json!({"segment": segment, "offset": offset})),
        "conserved": sums.values().all(BalanceSums::balanced),
        "ledgers": sums.iter().map(ledger_object).collect::<Vec<_>>(),
    });
    match object {
        Value::Object(fields) => fields,
        _ => unreachable!("json!({{…}}) is an object"),
    }
}

/// Sums are text: they may exceed what a JSON number holds.
fn ledger_object((ledger, sums): (&LedgerId, &BalanceSums)) -> Value {
    json!({
        "ledger": ledger.0,
        "debits_posted_minor": sums.debits_posted.to_string(),
        "credits_posted_minor": sums.credits_posted.to_string(),
        "debits_pending_minor": sums.debits_pending.to_string(),
        "credits_pending_minor": sums.credits_pending.to_string(),
    })
}

fn redecision_fields(redecision: &Redecision) -> Vec<(String, Value)> {
    let difference = |difference: &Difference| {
        json!({
            "event_sequence": difference.seq.0,
            "field": difference.field,
            "recorded": difference.recorded,
            "redecided": difference.redecided,
        })
    };
    let differences: Vec<_> = redecision.differences.iter().map(difference).collect();
    let gave_up_after = redecision.gave_up_after.map(|seq| seq.0);
    [
        ("redecided", json!(redecision.redecided)),
        ("not_redecidable", json!(redecision.not_redecidable)),
        ("differences", json!(differences)),
        ("gave_up_after", json!(gave_up_after)),
        ("stopped", json!(redecision.stopped.as_ref().map(ToString::to_string))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn table(report: &RecoveryReport, ledger: &Ledger) {
    say!("  segments      {:>14}", report.segments);
    say!("  frames        {:>14}", report.frames);
    say!("  bytes         {:>14}", report.bytes);
    say!("  events        {:>14}", report.last_seq);
    say!("  accounts      {:>14}", ledger.account_count());
    say!("  payments      {:>14}", ledger.payment_count());
    for (ledger, sums) in ledger.sums() {
        say!("  posted, each side: {}", money::sum_text(sums.debits_posted, ledger));
    }
    say!("  head          {}", hex(&report.head.0));
    say!("  state         {}", hex(&ledger.state_hash()));
    if let Some((segment, offset)) = &report.torn_tail {
        say!("  torn tail in {segment} at {offset}: never acknowledged; cut at the next start");
    }
}

/// What was checked and found right, and what was not covered.
fn right(report: &RecoveryReport) -> String {
    let all = "every frame, the hash chain and all balances are right";
    let Some(snapshot) = report.snapshot else { return all.to_owned() };
    let (first, from) = (report.first_seq, snapshot.next());
    let gone = format!(
        "the journal no longer begins with event 1: from the snapshot of event {snapshot} on"
    );
    match first < from {
        true => format!(
            "{gone}, {all};\n  of events {first} to {snapshot}, frames and the hash chain are right, \
             and balances were not checked"
        ),
        false => format!("{gone}, {all}; what was before was not checked"),
    }
}

fn redecision_table(redecision: &Redecision) {
    say!("  decided again {:>14}", redecision.redecided);
    if redecision.not_redecidable > 0 {
        let count = redecision.not_redecidable;
        say!("  not again     {count:>14}  in groups that failed by a member that left no event");
    }
    for Difference { seq, field, recorded, redecided } in &redecision.differences {
        say!("  event {seq}: {field} is {recorded}, and would be {redecided} today");
    }
    if let Some(seq) = redecision.gave_up_after {
        say!("  so many differences that nothing after event {seq} was decided again");
    }
    if redecision.differences.is_empty() {
        say!("  {}", right(&redecision.report));
        let which = match redecision.report.snapshot {
            Some(snapshot) => format!("every event after {snapshot}"),
            None => "every event".to_owned(),
        };
        say!("  today's rules decide {which} as it is recorded, and come to the same state");
    }
}
