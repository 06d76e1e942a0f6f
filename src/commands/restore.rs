//! `millrace restore`: makes a data directory from a backup, whole or as it was at some point.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use millrace_engine::backup::{BackupError, Progress, RestoreReport, Until, restore};
use millrace_ledger::{EventSeq, Timestamp};
use serde_json::json;

use super::{
    backup,
    journal_row::{hex, time_text},
    say,
    times::parse_until,
};
use crate::{Failure, data_dir};

/// Make a data directory from a backup, whole or as it was at some event or time
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace restore --from /backups/millrace --to restored-data
  millrace restore --from /backups/millrace --to as-of-noon --to-time 2026-01-31T12:00:00Z
  millrace restore --from /backups/millrace --to january --to-time 2026-01-31
  millrace restore --from /backups/millrace --to before --to-event 119370 --json
  millrace serve --data-dir restored-data

Every byte is compared with the backup's manifest, and recovery reads the journal before it has its
name: a restore that fails leaves nothing that a server would start on. With --to-time, the journal
ends with the last batch that is not after that time, so no request is divided. With --to-event it
ends with exactly that event, even if a linked group goes on after it.

Sinks build what they write anew from the restored journal. Never put directories of sinks (audit,
notify, graphql) of the old data directory beside it: they may know events that it does not have.")]
pub(crate) struct Args {
    /// Directory of the backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Data directory to make: a new one, or an empty one, in no backup and no other data directory
    #[arg(long, value_name = "DATA_DIR")]
    to: PathBuf,
    /// Restore up to this event
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    to_event: Option<u64>,
    /// Restore up to this time, as in RFC 3339, or up to the end of this day in UTC
    #[arg(long, value_name = "TIME", value_parser = parse_until, conflicts_with = "to_event")]
    to_time: Option<Timestamp>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(around) = data_dir::around(&args.to) {
        let to = args.to.display();
        return Err(format!(
            "--to {to} lies in {around}, whose files only millrace writes: name a directory elsewhere"
        )
        .into());
    }
    check_free(&args.to)?;
    let until = match (args.to_event, args.to_time) {
        (Some(seq), _) => Some(Until::Event(EventSeq(seq))),
        (None, time) => time.map(Until::Time),
    };
    let started = Instant::now();
    let bar = backup::bar();
    let progress = |progress: Progress| backup::show(&bar, progress);
    let report =
        restore(&args.from, &args.to.join("journal"), &args.to.join("shelf"), until, &progress);
    bar.finish_and_clear();
    let report = report.map_err(|error| explained(error, args))?;
    for reason in &report.passed_over {
        crate::commands::tell!(
            "warning: recovery passed over a snapshot: {reason}. The journal says the same"
        );
    }
    let seconds = started.elapsed().as_secs_f64();
    match args.json {
        true => print_json(&report, seconds),
        false => print_table(&report, &args.to, seconds),
    }
    Ok(ExitCode::SUCCESS)
}

/// The library knows neither what the options are called nor how times are written.
fn explained(error: BackupError, args: &Args) -> Failure {
    match (error, args.to_time.map(time_text)) {
        (BackupError::NotYet { last, taken }, Some(asked)) => format!(
            "--to-time {asked} is after the backup was taken, at {}, and nobody knows from it what \
             happened in between: its last event is {last}. Name an earlier time, or leave --to-time \
             out to restore all of it",
            time_text(taken)
        )
        .into(),
        (BackupError::BeforeBeginning { first, time: Some(time) }, Some(asked)) => format!(
            "--to-time {asked} is before the first event that the backup has, so there is nothing to \
             restore: event {first} is of {}. Name that time or a later one",
            time_text(time)
        )
        .into(),
        (error @ BackupError::BeyondEnd { .. }, _) => format!(
            "{error}. Name that one or an earlier one, or leave --to-event out to restore all of it"
        )
        .into(),
        (error, _) => error.into(),
    }
}

/// Refuses a data directory that holds anything. Sinks that are in it would be ahead of the journal,
/// or of another one. What an interrupted restore left is no obstacle.
fn check_free(data_dir: &Path) -> Result<(), Failure> {
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            let (what, path) = ("can't list", data_dir.to_owned());
            return Err(BackupError::Io { what, path, source }.into());
        }
        Ok(entries) => entries,
    };
    // The audit log's key knows no events.
    let ours = ["journal", "journal.restoring", "shelf", "audit.key"];
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<_> = names.filter(|name| !ours.contains(&name.as_str())).collect();
    others.sort();
    if others.is_empty() {
        return Ok(());
    }
    let (data_dir, others) = (data_dir.display(), others.join(", "));
    Err(format!(
        "{data_dir} is not empty: it holds {others}. Sinks know events that a restored journal may \
         not have: name a new data directory with --to, or move what is there away"
    )
    .into())
}

fn print_json(report: &RestoreReport, seconds: f64) {
    let object = json!({
        "journal": hex(&report.journal),
        "taken": time_text(report.taken),
        "first_event": report.first_seq.0,
        "last_event": report.last_seq.0,
        "events": events(report),
        "last_time": (report.last_seq.0 > 0).then(|| time_text(report.last_time)),
        "cut_from": report.cut_from.map(|seq| seq.0),
        "head": hex(&report.head.0),
        "state_hash": hex(&report.state_hash),
        "segments": report.segments,
        "snapshot": report.snapshot.map(|seq| seq.0),
        "artefacts": report.artefacts,
        "bytes_copied": report.bytes,
        "passed_over": report.passed_over,
        "elapsed_s": seconds,
    });
    say!("{object}");
}

fn print_table(report: &RestoreReport, data_dir: &Path, seconds: f64) {
    say!("  events        {:>14}", events(report));
    say!("  last event    {:>14}", report.last_seq);
    say!("  segments      {:>14}", report.segments);
    match report.snapshot {
        Some(seq) => say!("  snapshot of   {seq:>14}"),
        None => say!("  snapshot of   {:>14}", "-"),
    }
    say!("  artefacts     {:>14}", report.artefacts);
    say!("  bytes copied  {:>14}", report.bytes);
    say!("  seconds       {seconds:>14.2}");
    if report.last_seq.0 > 0 {
        say!("  last batch    {}", time_text(report.last_time));
    }
    say!("  head          {}", hex(&report.head.0));
    say!("  state         {}", hex(&report.state_hash));
    say!("  every byte is as it was backed up, and recovery reads the journal to its end");
    if let Some(last) = report.cut_from {
        let lost = last.0 - report.last_seq.0;
        say!("");
        say!(
            "  The journal was cut: {lost} events after {} are not in it, and new ones",
            report.last_seq
        );
        say!("  will take their numbers. Whoever read them knows events that no longer exist:");
        say!("  remove audit logs, notifications and read models that were built from them, and");
        say!("  tell upstreams which payments to send again.");
    }
    say!("");
    say!("  start it:  millrace serve --data-dir {}", data_dir.display());
}

fn events(report: &RestoreReport) -> u64 {
    (report.last_seq.0 + 1).saturating_sub(report.first_seq.0)
}
