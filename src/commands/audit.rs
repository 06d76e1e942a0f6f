//! `millrace audit`: checks, proves and searches the audit log, without changing it, and
//! gives it another key.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use millrace_sinks::audit::AuditReader;

use super::{audit_prove, audit_rotate, audit_search, audit_verify};
use crate::Failure;

/// Check, prove and search the audit log
#[derive(clap::Args)]
#[command(after_help = "\
All but rotate-key only reads, needs the log's files and nothing else, and is safe beside a running millrace.
The exit code is 0 when all is well, 1 when something does not hold or can't be read, and 2 for
arguments that make no sense.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(audit_verify::Args),
    Prove(audit_prove::Prove),
    CheckProof(audit_prove::CheckProof),
    Consistency(audit_prove::Consistency),
    Search(audit_search::Search),
    Export(audit_search::Export),
    Key(audit_prove::Key),
    RotateKey(audit_rotate::Args),
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Verify(args) => audit_verify::run(args),
        Command::Prove(args) => audit_prove::prove(args),
        Command::CheckProof(args) => audit_prove::check_proof(args),
        Command::Consistency(args) => audit_prove::consistency(args),
        Command::Search(args) => audit_search::search(args),
        Command::Export(args) => audit_search::export(args),
        Command::Key(args) => audit_prove::key(args),
        Command::RotateKey(args) => audit_rotate::run(args).await,
    }
}

/// The audit log of a data directory, or a directory that is a log itself.
pub(crate) fn log_dir(data_dir: &Path) -> Result<PathBuf, Failure> {
    let log = data_dir.join("audit");
    if log.is_dir() {
        return Ok(log);
    }
    if data_dir.join("checkpoint").is_file() {
        return Ok(data_dir.to_owned());
    }
    let data_dir = data_dir.display();
    Err(format!("there is no audit log in {data_dir}: name a data directory with --data-dir")
        .into())
}

pub(crate) fn reader(data_dir: &Path) -> Result<AuditReader, Failure> {
    Ok(AuditReader::open(&log_dir(data_dir)?)?)
}
