//! Session: what is common to all that runs an engine in this process: a directory for its journal, accounts,
//! and a command with its answer. An error says what the user of the binary can do about it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millrace_engine::{AccountReply, Command, SubmitError, Submitter, submission::Expired};
use millrace_ledger::AccountOutcome;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::account;

/// Accounts opened by one request.
const ACCOUNTS_PER_REQUEST: u32 = 8_192;
/// How long a request may wait for room in the engine's queue before the run is given up.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(600);
/// What `statfs` calls a file system in memory (`linux/magic.h`).
const TMPFS_MAGIC: u64 = 0x0102_1994;

const STOPPED: &str = "the engine stopped";

/// Where the journal is while it is measured.
pub(crate) enum JournalDirectory {
    /// Kept.
    Given(PathBuf),
    /// Removed when dropped.
    Temporary(TempDir),
}

impl JournalDirectory {
    pub(crate) fn make(given: Option<&Path>) -> Result<Self, String> {
        let directory = match given {
            None => Self::Temporary(
                tempfile::Builder::new().prefix("millrace-rates-").tempdir().map_err(|error| {
                    format!(
                        "can't make a temporary directory, which TMPDIR names the place of: {error}"
                    )
                })?,
            ),
            Some(path) => {
                let told = |error| format!("--dir {}: {error}", path.display());
                fs::create_dir_all(path).map_err(told)?;
                if fs::read_dir(path).map_err(told)?.next().is_some() {
                    return Err(format!(
                        "--dir {} is not empty; a run needs a journal of its own, in a new or \
                         empty directory",
                        path.display()
                    ));
                }
                Self::Given(path.to_owned())
            }
        };
        let file_system = rustix::fs::statfs(directory.path());
        if file_system.is_ok_and(|it| it.f_type as u64 == TMPFS_MAGIC) {
            eprintln!(
                "{} is in memory: nothing is durable there, and the figures show no disk; name a \
                 directory on a disk with --dir or TMPDIR",
                directory.path().display()
            );
        }
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// Opens the accounts with numbers below `count`.
pub(crate) async fn open_accounts(submitter: &Submitter, count: u32) -> Result<(), String> {
    for first in (0..count).step_by(ACCOUNTS_PER_REQUEST as usize) {
        let specs = (first..count.min(first + ACCOUNTS_PER_REQUEST)).map(account).collect();
        let (reply, answer) = oneshot::channel();
        let command = Command::CreateAccounts { specs, acts: Vec::new(), reply };
        let replies: Vec<AccountReply> = ask(submitter, command, answer).await?;
        if let Some(refused) = replies.iter().find(|it| it.outcome != AccountOutcome::Created) {
            return Err(format!("account {} was not opened: {:?}", refused.id, refused.outcome));
        }
    }
    Ok(())
}

/// Submits a command and waits for its durable answer.
pub(crate) async fn ask<T>(
    submitter: &Submitter,
    command: Command,
    answer: oneshot::Receiver<Result<T, Expired>>,
) -> Result<T, String> {
    let room_deadline = Instant::now() + ROOM_WAIT_MAX;
    submitter.submit(command, None, room_deadline).await.map_err(|error| match error {
        SubmitError::QueueFull => format!("the engine's queue was full for {ROOM_WAIT_MAX:?}"),
        SubmitError::Stopped => STOPPED.to_owned(),
    })?;
    let answer = answer.await.map_err(|_| STOPPED)?;
    Ok(answer.expect("a command without a deadline does not expire"))
}

pub(crate) fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as u64
}
