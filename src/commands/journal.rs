//! `millrace journal`: looks at a journal without changing it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use millrace_engine::segment_summary::oldest_event;
use millrace_ledger::EventSeq;

use super::{journal_export, journal_inspect, journal_verify};
use crate::{Failure, data_dir};

/// Look at a journal
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(journal_verify::Args),
    Inspect(journal_inspect::Args),
    Export(journal_export::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Verify(args) => journal_verify::run(args),
        Command::Inspect(args) => journal_inspect::run(args),
        Command::Export(args) => journal_export::run(args),
    }
}

/// The journal of a data directory, if it has one.
pub(crate) fn journal_dir(data_dir: &Path) -> Result<PathBuf, Failure> {
    journal_of(data_dir, "--data-dir")
}

/// The same. `option` is the one that named the data directory.
pub(crate) fn journal_of(data_dir: &Path, option: &str) -> Result<PathBuf, Failure> {
    let journal = data_dir.join("journal");
    let Err(error) = fs::read_dir(&journal) else { return Ok(journal) };
    let (named, journal) = (data_dir.display(), journal.display());
    let what = match error.kind() {
        io::ErrorKind::NotFound => {
            data_dir::check(data_dir)?;
            format!(
                "there is no journal in {named}: name the data directory of a millrace with {option}"
            )
        }
        io::ErrorKind::NotADirectory => format!(
            "there is no journal in {named}: {journal} can't be listed: {error}. Name the data directory \
             of a millrace with {option}"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "{journal} can't be listed: {error}. Give the user that runs this command read access to it"
        ),
        _ => format!("{journal} can't be listed: {error}. Check the disk and the path"),
    };
    Err(what.into())
}

/// The journal of a data directory, where there is something in it to be read, and its first event.
pub(crate) fn segments_in(data_dir: &Path) -> Result<(PathBuf, EventSeq), Failure> {
    let journal = journal_dir(data_dir)?;
    match oldest_event(&journal)? {
        Some(first) => Ok((journal, first)),
        None => Err(without_segment(&journal, "--data-dir")),
    }
}

/// Refuses a journal without a segment. Each millrace that starts makes one, so a volume may not be
/// mounted there.
pub(crate) fn without_segment(journal: &Path, option: &str) -> Failure {
    let journal = journal.display();
    format!(
        "there is no segment in {journal}, so nothing was read and nothing was checked: look whether its \
         volume is mounted there, or name another data directory with {option}"
    )
    .into()
}

/// Refuses an event that an argument names and the journal does not have.
pub(crate) fn check_seq(argument: &str, seq: u64, last: EventSeq) -> Result<(), Failure> {
    match last {
        last if seq <= last.0 => Ok(()),
        EventSeq(0) => Err(format!("{argument} {seq}: the journal has no event yet").into()),
        last => {
            Err(format!("{argument} {seq} is beyond the journal's end: its last event is {last}")
                .into())
        }
    }
}

/// The end of a command that writes much to standard output: whoever reads it may leave at any time
/// (`| head`), and then it ends quietly.
pub(crate) fn end_of_stdout(written: io::Result<()>) -> Result<ExitCode, Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output can't be written: {error}").into())
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
