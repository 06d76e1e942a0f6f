//! `millrace audit verify`: consumes the log's files, produces what the log comes to, or every fault.

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use millrace_sinks::audit::{
    AuditError, AuditReport, Checkpoint, PublicKey, VerifyOptions, hex, verify,
};
use serde_json::json;

use super::{audit::log_dir, journal_row::time_text, say};
use crate::Failure;

/// Check that no entry is missing, changed, moved or doubled, and that the log is the signed one
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace audit verify --data-dir millrace-data
  millrace audit verify --data-dir millrace-data --key millrace-audit+3a5b… --kept checkpoint.txt
  millrace audit verify --data-dir millrace-data --journal
  millrace audit verify --data-dir millrace-data --from 120000 --to 121000

Without --key, the public key is the one that lies beside the log: then it shows that the log is whole,
not whose it is. --kept compares with a checkpoint that was kept elsewhere: it shows that the log was
neither cut nor replaced since. --journal compares every entry with the journal. A range reads its
segments and the tree above them.")]
pub(crate) struct Args {
    /// Data directory of the millrace that wrote it, or the log's directory
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// The public key, or a file that has it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A checkpoint that was kept elsewhere; may be given again
    #[arg(long, value_name = "FILE")]
    kept: Vec<PathBuf>,
    /// Compare with this journal; without a value, with that of the data directory
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    journal: Option<Option<PathBuf>>,
    /// First entry to read, from 0
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// Last entry to read
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let dir = log_dir(&args.data_dir)?;
    let options = options(args)?;
    let started = Instant::now();
    match (verify(&dir, &options), args.json) {
        (Ok(report), true) => say!("{}", object(&report, started.elapsed().as_secs_f64())),
        (Ok(report), false) => table(&report, options.key.is_none()),
        (Err(AuditError::Faulty(faults)), true) => {
            let listed = faults.listed.iter().map(|fault| {
                json!({ "index": fault.index, "seq": fault.index.map(|index| index + 1), "text": fault.text })
            });
            let listed: Vec<_> = listed.collect();
            say!("{}", json!({ "whole": false, "faults": listed, "fault_count": faults.count }));
            return Ok(ExitCode::FAILURE);
        }
        (Err(error), _) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: &Args) -> Result<VerifyOptions, Failure> {
    let key = args.key.as_deref().map(PublicKey::read).transpose()?;
    let mut kept = Vec::new();
    for path in &args.kept {
        let note = fs::read_to_string(path)
            .map_err(|error| format!("the checkpoint {} can't be read: {error}", path.display()))?;
        kept.push((path.display().to_string(), Checkpoint::parse(&note, path)?));
    }
    let journal = args.journal.as_ref().map(|journal| match journal {
        Some(directory) => directory.clone(),
        None => args.data_dir.join("journal"),
    });
    if let Some(directory) = journal.as_ref().filter(|directory| !directory.is_dir()) {
        return Err(format!("there is no journal in {}", directory.display()).into());
    }
    let range = match (args.from, args.to) {
        (None, None) => None,
        (Some(from), Some(to)) if from > to => {
            return Err(format!("--from {from} comes after --to {to}: swap them").into());
        }
        (from, Some(to)) => Some((from.unwrap_or(0), to)),
        (Some(from), None) => {
            let checkpoint = super::audit::reader(&args.data_dir)?.checkpoint()?;
            Some((from, from.max(checkpoint.tree_size.saturating_sub(1))))
        }
    };
    Ok(VerifyOptions { key, range, kept, journal })
}

fn object(report: &AuditReport, seconds: f64) -> serde_json::Value {
    let checkpoint = &report.checkpoint;
    json!({
        "whole": true,
        "lines": report.lines,
        "first_seq": report.first_seq.map(|seq| seq.0),
        "last_seq": report.last_seq.map(|seq| seq.0),
        "head": report.head_hash,
        "settled": report.settled,
        "held": report.held,
        "voided": report.voided,
        "expired": report.expired,
        "rejected": report.rejected,
        "account_events": report.account_events,
        "acts": report.acts,
        "quarantined": report.quarantined,
        "segments": report.segments,
        "removed": report.removed,
        "tree_size": checkpoint.tree_size,
        "root": hex(&checkpoint.root_hash),
        "signed_at": time_text(checkpoint.time),
        "key": report.key.to_string(),
        "checkpoints": report.checkpoints,
        "unsigned": report.unsigned,
        "compared_with_journal": report.compared,
        "notes": report.notes,
        "elapsed_s": seconds,
    })
}

fn table(report: &AuditReport, key_beside: bool) {
    let checkpoint = &report.checkpoint;
    say!("  lines         {:>14}", report.lines);
    say!("  settled       {:>14}", report.settled);
    say!("  held          {:>14}", report.held);
    say!("  voided        {:>14}", report.voided);
    say!("  expired       {:>14}", report.expired);
    for (reason, count) in &report.rejected {
        say!("    {count:>8}  {reason}");
    }
    say!("  accounts      {:>14}", report.account_events);
    say!("  acts          {:>14}", report.acts);
    say!("  quarantined   {:>14}", report.quarantined);
    say!("  segments      {:>14}", report.segments);
    if report.removed > 0 {
        say!("  removed       {:>14}", report.removed);
    }
    say!("  checkpoints   {:>14}", report.checkpoints);
    if let Some(compared) = report.compared {
        say!("  as in journal {compared:>14}");
    }
    say!("  signed        {:>14}  at {}", checkpoint.tree_size, time_text(checkpoint.time));
    say!("  root          {}", hex(&checkpoint.root_hash));
    say!("  key           {}", report.key);
    for note in &report.notes {
        say!("  note: {note}");
    }
    if report.unsigned > 0 {
        say!("  note: {} entries are not signed yet", report.unsigned);
    }
    say!("  the chain is whole");
    say!("  the tree is the signed one");
    if key_beside {
        say!(
            "  (the key is the one beside the log: compare it with the one you were given, --key)"
        );
    }
}
