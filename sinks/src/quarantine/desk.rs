//! The quarantine as an operator sees it, from another process: lists and shows entries, and asks
//! the sink to replay or drop them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millrace_ledger::EventSeq;

use super::{Ask, Entry, files::Files, order::Request};
use crate::SinkError;

const POLL: Duration = Duration::from_millis(20);

/// What became of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The event had its effect, and the entry is gone.
    Replayed,
    /// The entry is gone.
    Dropped,
    /// It failed again, or is not done because the journal does not order it; the entry stays.
    FailedAgain(String),
    /// The sink does not run: it happens when it does.
    AtNextStart,
    /// The sink runs, and has not come to it yet.
    Pending,
}

/// The quarantine of all sinks of a data directory.
#[derive(Clone, Debug)]
pub struct QuarantineDesk {
    root: PathBuf,
}

impl QuarantineDesk {
    /// Of the directory that holds the sinks' quarantines; it need not be there.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn sinks(&self) -> Result<Vec<String>, SinkError> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(SinkError::io("list", &self.root))?,
        };
        let mut sinks = Vec::new();
        for entry in entries {
            let entry = entry.map_err(SinkError::io("list", &self.root))?;
            sinks.extend(entry.file_name().into_string());
        }
        sinks.sort_unstable();
        Ok(sinks)
    }

    /// All entries, or those of one sink, by sink and sequence.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn list(&self, sink: Option<&str>) -> Result<Vec<Entry>, SinkError> {
        let mut entries = Vec::new();
        for name in self.sinks()?.iter().filter(|name| sink.is_none_or(|sink| sink == *name)) {
            let files = Files::new(&self.root, name);
            for seq in files.entries()? {
                // One that was replayed since is no entry any more.
                entries.extend(files.read(seq)?);
            }
        }
        Ok(entries)
    }

    /// One entry, if it is there.
    ///
    /// # Errors
    /// When its file can't be read.
    pub fn entry(&self, sink: &str, seq: u64) -> Result<Option<Entry>, SinkError> {
        Files::new(&self.root, sink).read(seq)
    }

    /// Whether a process runs the sink now.
    ///
    /// # Errors
    /// When its lock can't be looked at.
    pub fn is_running(&self, sink: &str) -> Result<bool, SinkError> {
        let files = Files::new(&self.root, sink);
        if !self.root.join(sink).is_dir() {
            return Ok(false);
        }
        Ok(files.try_lock()?.is_none())
    }

    /// Asks the sink to replay or drop an entry, as the act with this sequence orders, and waits for
    /// what becomes of it. Without a running sink, it happens at the next start. The sink does
    /// nothing that it does not find in the journal.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn ask(
        &self,
        sink: &str,
        seq: u64,
        ask: Ask,
        act: EventSeq,
        patience: Duration,
    ) -> Result<Done, SinkError> {
        let files = Files::new(&self.root, sink);
        files.ask(seq, ask, Request { act: act.0 })?;
        let give_up = Instant::now() + patience;
        while files.is_asked(seq, ask) {
            if let Some(_alone) = files.try_lock()? {
                // It may have been answered between the two looks.
                if !files.is_asked(seq, ask) {
                    break;
                }
                return Ok(Done::AtNextStart);
            }
            if Instant::now() > give_up {
                return Ok(Done::Pending);
            }
            thread::sleep(POLL);
        }
        let left = files.read(seq)?;
        Ok(match (ask, left) {
            (Ask::Replay, None) => Done::Replayed,
            (Ask::Drop, None) => Done::Dropped,
            (_, Some(entry)) => Done::FailedAgain(entry.replay_error.unwrap_or(entry.reason)),
        })
    }
}
