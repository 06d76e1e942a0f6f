//! What every sink is: it consumes batches of durable events, produces an effect, and guarantees
//! that effect and cursor are committed together.

use std::{io, path::PathBuf};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, Timestamp};

use crate::audit::AuditError;

/// Most events that one apply gets of a sink that does not say otherwise.
const APPLY_EVENTS: usize = 32_768;

/// A consumer of the feed.
pub trait Sink: Send {
    /// What it is called in logs and errors.
    fn name(&self) -> &'static str;

    /// The first event that is not yet durably processed.
    fn next_seq(&self) -> EventSeq;

    /// Processes the batches and makes effect and cursor durable together. Events below
    /// [`Sink::next_seq`] are skipped.
    ///
    /// After an error that is transient the same batches may be applied again; what of the failed
    /// attempt stays is whole, and below [`Sink::next_seq`].
    ///
    /// # Errors
    /// [`SinkError::Gap`] when events are missing; [`SinkError::Poison`] when one event is at fault
    /// and the others are not; what the file or store at fault says otherwise.
    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError>;

    /// Most events that one apply should get, give or take a frame, where there is a backlog.
    fn apply_events_max(&self) -> usize {
        APPLY_EVENTS
    }

    /// Moves the cursor past an event that is quarantined, durably and without its effect. It is
    /// called with the event that is due ([`Sink::next_seq`]), and only after the event's entry in
    /// the quarantine is durable. A sink whose output has to be dense leaves a mark that says why
    /// the effect is missing.
    ///
    /// # Errors
    /// As for [`Sink::apply`]. A sink that can't go on without the event keeps the default, which
    /// refuses: it stops.
    fn skip(&mut self, seq: EventSeq, time: Timestamp, reason: &str) -> Result<(), SinkError> {
        let _ = (time, reason);
        Err(SinkError::NotSkippable { sink: self.name(), seq })
    }

    /// Makes up for an event that was skipped: produces its effect now, out of order, and does not
    /// move the cursor. It may be called again for the same event, and has its effect once.
    ///
    /// # Errors
    /// As for [`Sink::apply`]. A sink whose effect depends on the order of events keeps the
    /// default, which refuses: such a sink is rebuilt from the journal.
    fn replay(&mut self, batch: &FeedBatch) -> Result<(), SinkError> {
        let _ = batch;
        Err(SinkError::NotReplayable { sink: self.name() })
    }
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
    /// One event can't be processed, whatever surrounds it. The runner tries it a few times and then
    /// quarantines it.
    #[error("{sink}: event {seq} can't be processed: {problem}")]
    Poison {
        /// The sink that can't process it.
        sink: &'static str,
        /// The event.
        seq: EventSeq,
        /// Why not.
        problem: String,
    },
    /// The sink's output would be wrong without the event.
    #[error(
        "{sink}: event {seq} can't be processed, and this sink can't leave one out. The lines above \
         say what is wrong with it"
    )]
    NotSkippable {
        /// The sink that stopped.
        sink: &'static str,
        /// The event.
        seq: EventSeq,
    },
    /// The sink's output depends on the order of events.
    #[error(
        "{sink}: a single event can't be replayed, because later ones build on it. Rebuild the sink \
         from the journal where it can be rebuilt (millrace sinks rebuild): that processes the event \
         in its place"
    )]
    NotReplayable {
        /// The sink.
        sink: &'static str,
    },
    /// Too many events can't be processed.
    #[error(
        "{sink}: its quarantine is full, so it stopped. See what is wrong with the events (millrace \
         sinks quarantine list), mend it, replay or drop them, and start again"
    )]
    QuarantineFull {
        /// The sink that stopped.
        sink: String,
    },
    /// A service that the sink works with is away, or refused something.
    #[error("{service}: {problem}")]
    Service {
        /// What it is and where, as in "PostgreSQL at 127.0.0.1:5432".
        service: String,
        /// What happened, and what an operator can do.
        problem: String,
        /// Whether trying again may help.
        transient: bool,
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
    /// The audit log can't go on.
    #[error(transparent)]
    Audit(Box<AuditError>),
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
    /// Whether trying again may help: full disks, busy devices and services that are away recover,
    /// damage does not.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Service { transient, .. } => *transient,
            _ => false,
        }
    }

    /// What is at fault, when no retry helps.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Poison { .. } | Self::Template { .. } | Self::Service { .. } => Blame::Event,
            _ => Blame::Sink,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// What is at fault when no retry helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Perhaps one event: it is looked for, and quarantined.
    Event,
    /// The sink as a whole: it stops.
    Sink,
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
