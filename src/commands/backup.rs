//! `millrace backup`: copies a journal to another directory, beside a running millrace or without
//! one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use millrace_engine::backup::{BackupOptions, BackupReport, Progress, backup};
use millrace_ledger::Timestamp;
use serde_json::json;

use super::{
    journal::journal_dir,
    journal_row::{hex, time_text},
    say,
};
use crate::{Failure, data_dir};

/// Copy the journal, and the policies and models that it names, while millrace runs or not
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace backup --data-dir millrace-data --to /backups/millrace
  millrace backup --data-dir millrace-data --to /backups/millrace --json
  0 * * * *  millrace backup --data-dir /var/lib/millrace --to /backups/millrace

Safe beside a running millrace, which does not wait for it. The backup has all payments that were
acknowledged when it began, and has been checked frame by frame. In a directory that holds a backup
of this journal already, only what is new is copied; until that is whole, the backup that was there
can be restored. Policies, models, rules and lists (shelf/) are copied with it. What sinks wrote
(audit log, notifications, read model) is made from the journal, so it is not copied. Restore with
`millrace restore`.")]
pub(crate) struct Args {
    /// Data directory of the millrace that wrote the journal
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// Directory of the backup: a new one, an empty one, or an earlier backup of the same journal
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Read again what an earlier backup copied, and copy it again where it is damaged
    #[arg(long)]
    recheck: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let journal = journal_dir(&args.data_dir)?;
    if data_dir::is_within(&args.to, &args.data_dir) {
        let (to, data_dir) = (args.to.display(), args.data_dir.display());
        return Err(format!(
            "--to {to} is in the data directory {data_dir}, and would be lost with it: name a directory \
             elsewhere, best on another disk"
        )
        .into());
    }
    if let Some(around) = data_dir::around(&args.to) {
        let to = args.to.display();
        return Err(format!(
            "--to {to} lies in {around}, whose files only millrace writes: name a directory elsewhere"
        )
        .into());
    }
    let started = Instant::now();
    let bar = bar();
    let progress = |progress: Progress| show(&bar, progress);
    let shelf = args.data_dir.join("shelf");
    let options =
        BackupOptions { taken: now(), shelf: &shelf, recheck: args.recheck, progress: &progress };
    let report = backup(&journal, &args.to, &options);
    bar.finish_and_clear();
    let report = report?;
    for reason in &report.passed_over {
        crate::commands::tell!(
            "warning: a snapshot was not copied: {reason}. The backup is whole without it"
        );
    }
    for reason in &report.artefacts_passed_over {
        crate::commands::tell!(
            "warning: what lies on the shelf was not copied: {reason}. A policy that names it can't be \
             restored: upload it again, then back up again"
        );
    }
    warn_of_pending_acts(&args.data_dir);
    let seconds = started.elapsed().as_secs_f64();
    match args.json {
        true => print_json(&report, seconds),
        false => print_table(&report, seconds),
    }
    Ok(ExitCode::SUCCESS)
}

/// Acts that are not journaled yet are about what a backup does not have; whoever backs up for the last
/// time wants to know.
fn warn_of_pending_acts(data_dir: &Path) {
    let acts = fs::read_dir(data_dir.join("pending-acts")).map_or(0, Iterator::count);
    if acts > 0 {
        crate::commands::tell!(
            "warning: {acts} acts of a stopped millrace are not in the backup: start millrace, which \
             journals them first, then back up again"
        );
    }
}

fn print_json(report: &BackupReport, seconds: f64) {
    let object = json!({
        "journal": hex(&report.journal),
        "first_event": report.first_seq.0,
        "last_event": report.last_seq.0,
        "events": events(report),
        "last_time": (report.last_seq.0 > 0).then(|| time_text(report.last_time)),
        "head": hex(&report.head.0),
        "segments": report.segments,
        "snapshots": report.snapshots.iter().map(|seq| seq.0).collect::<Vec<_>>(),
        "runs": report.runs,
        "artefacts": report.artefacts,
        "artefacts_passed_over": report.artefacts_passed_over,
        "bytes_copied": report.bytes_copied,
        "bytes_present": report.bytes_present,
        "passed_over": report.passed_over,
        "attempts": report.attempts,
        "elapsed_s": seconds,
    });
    say!("{object}");
}

fn print_table(report: &BackupReport, seconds: f64) {
    say!("  events        {:>14}", events(report));
    say!("  last event    {:>14}", report.last_seq);
    say!("  segments      {:>14}", report.segments);
    say!("  snapshots     {:>14}", report.snapshots.len());
    say!("  runs          {:>14}", report.runs);
    say!("  artefacts     {:>14}", report.artefacts);
    say!("  bytes copied  {:>14}", report.bytes_copied);
    say!("  bytes present {:>14}", report.bytes_present);
    say!("  seconds       {seconds:>14.2}");
    if report.last_seq.0 > 0 {
        say!("  last batch    {}", time_text(report.last_time));
    }
    say!("  head          {}", hex(&report.head.0));
    say!("  the backup is whole");
}

fn events(report: &BackupReport) -> u64 {
    (report.last_seq.0 + 1).saturating_sub(report.first_seq.0)
}

fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default())
}

/// A bar on standard error; hidden where that is no terminal.
pub(super) fn bar() -> ProgressBar {
    let template = "{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("a constant template");
    ProgressBar::new(0).with_style(style)
}

pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}
