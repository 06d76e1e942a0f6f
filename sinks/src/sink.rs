//! What every sink is: it consumes batches of durable events, produces an effect, and guarantees
//! that effect and cursor are committed together.

use std::{io, path::PathBuf};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;

/// A consumer of the feed.
pub trait Sink: Send {
    /// What it is called in logs and errors.
    fn name(&self) -> &'static str;

    /// The first event that is not yet durably processed.
    fn next_seq(&self) -> EventSeq;

    /// Processes the batches and makes effect and cursor durable together. Events below
    /// [`Sink::next_seq`] are skipped.
    ///
    /// After an error that is transient the same batches may be applied again; nothing of the
    /// failed attempt stays.
    ///
    /// # Errors
    /// [`SinkError::Gap`] when events are missing; what the file or store at fault says otherwise.
    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError>;
}

/// Why a sink can't go on. The text names the file at fault and what an operator can do.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Events are missing in the feed.
    #[error(
        "{sink}: event {found} came where {expected} was due; the journal and this sink's \
         directory do not belong together, or the journal lost events. Check the journal; to \
         rebuild the sink from it, move the sink's directory away and start again"
    )]
    Gap {
        /// The sink that stopped.
        sink: &'static str,
        /// The event that was due.
        expected: EventSeq,
        /// The event that came.
        found: EventSeq,
    },
    /// A file could not be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error("{} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The file or directory.
        path: PathBuf,
    },
    /// A file does not hold what this sink wrote.
    #[error("{} is damaged at {place}: {problem}. {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// What is wrong there.
        problem: String,
        /// What an operator can do.
        remedy: &'static str,
    },
    /// A notification rule does not make sense.
    #[error("notify.rules, rule {rule} (on = {kind:?}): {problem}")]
    Rule {
        /// Its place in the list, from 1.
        rule: usize,
        /// The kind of event that it is for.
        kind: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A notification template can't be rendered.
    #[error("template {template}, line {line}: {problem}")]
    Template {
        /// The rule's template, or the built-in one.
        template: String,
        /// Line within the template, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A setting does not make sense, or names what is not there.
    #[error("sinks.{setting}: {problem}")]
    Setting {
        /// The key, below `sinks`.
        setting: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The embedded store failed.
    #[error(
        "the store in {} failed while it was to {action}: {source}. Check the disk and start \
         again; if it fails again, move the directory away, and it is rebuilt from the journal",
        path.display()
    )]
    Store {
        /// What was tried.
        action: &'static str,
        /// The store's directory.
        path: PathBuf,
        /// What the store said.
        source: Box<fjall::Error>,
    },
    /// The store was written by a later version of this program.
    #[error(
        "the store in {} has format {found}, this program writes {expected}. Start the later \
         version that wrote it, or move the directory away and start again: it is rebuilt from the \
         journal",
        path.display()
    )]
    StoreFormat {
        /// The store's directory.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The format of this program.
        expected: u32,
    },
}

impl SinkError {
    /// Whether trying again may help: full disks and busy devices recover, damage does not.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Whether the event is due (`true`) or was processed before (`false`).
pub(crate) fn is_due(
    sink: &'static str,
    next: EventSeq,
    found: EventSeq,
) -> Result<bool, SinkError> {
    if found > next {
        return Err(SinkError::Gap { sink, expected: next, found });
    }
    Ok(found == next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_skipped_due_or_missing() {
        for (found, due) in [(4, Some(false)), (5, Some(true)), (6, None)] {
            let verdict = is_due("audit", EventSeq(5), EventSeq(found));
            assert_eq!(verdict.as_ref().ok(), due.as_ref(), "event {found}");
        }
        let gap = is_due("audit", EventSeq(5), EventSeq(9)).expect_err("5 to 8 are missing");
        assert!(gap.to_string().starts_with("audit: event 9 came where 5 was due"), "{gap}");
        assert!(!gap.is_transient());
    }
}
