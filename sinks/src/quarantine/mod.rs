//! The quarantine of a sink: consumes events that it can't process, keeps each with the reason
//! until somebody replays or drops it, and guarantees that an event is durably here before the
//! sink's cursor passes it.
//!
//! The files of sink `notify` are in `DATA_DIR/quarantine/notify`:
//!
//! | file | what |
//! |---|---|
//! | `<seq>.json` | the event and why it is here |
//! | `<seq>.replay`, `<seq>.drop` | somebody asks the sink to do that; names the act of the journal that orders it |
//! | `LOCK` | held by the process that runs the sink |
//!
//! An entry holds the event's bytes, so that it can be replayed where the journal is not: beside a
//! sink that reads a stream in a process of its own.

mod desk;
mod entry;
mod files;
mod order;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use metrics::counter;
use millrace_ledger::EventSeq;

pub(crate) use self::order::Find;
pub use self::{
    desk::{Done, QuarantineDesk},
    entry::Entry,
};
use self::{files::Files, order::Order};
use crate::{Sink, SinkError, held_file::HeldFile};

/// A sink whose quarantine is full stops: so many events are no exceptions any more.
pub const ENTRIES_MAX: usize = 10_000;

/// What may be asked of a sink about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Produce the event's effect now, and remove the entry if that works.
    Replay,
    /// Forget it: its effect will never be.
    Drop,
}

impl Ask {
    const ALL: [Self; 2] = [Self::Drop, Self::Replay];

    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop",
        }
    }
}

/// The quarantine of a sink that runs here.
#[derive(Debug)]
pub struct Quarantine {
    /// As acts name the sink.
    name: String,
    files: Files,
    /// Sequences of the events that are here.
    entries: BTreeSet<u64>,
    lock: Arc<HeldFile>,
}

impl Quarantine {
    /// Opens or creates the sink's quarantine below `root`, for this process alone.
    ///
    /// # Errors
    /// When another process has it, or the directory can't be used.
    pub fn open(root: &Path, sink: &str) -> Result<Self, SinkError> {
        let files = Files::new(root, sink);
        files.create()?;
        let lock = files.lock()?;
        let entries = BTreeSet::from_iter(files.entries()?);
        if !entries.is_empty() {
            let entries = entries.len();
            tracing::warn!(sink, entries, "events are in quarantine (millrace sinks quarantine)");
        }
        Ok(Self { name: sink.to_owned(), files, entries, lock: Arc::new(lock) })
    }

    /// Keeps the quarantine this process's own as long as it is held. What a sink's readers use is
    /// still open when the sink has stopped.
    pub(crate) fn lock(&self) -> Arc<HeldFile> {
        Arc::clone(&self.lock)
    }

    /// How many events are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes the entry durably, in the place of one of the same event.
    pub(crate) fn put(&mut self, entry: &Entry) -> Result<(), SinkError> {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains(&entry.seq) {
            return Err(SinkError::QuarantineFull { sink: entry.sink.clone() });
        }
        self.files.write(entry)?;
        self.entries.insert(entry.seq);
        Ok(())
    }

    /// Whether the event is here.
    pub(crate) fn contains(&self, seq: EventSeq) -> bool {
        self.entries.contains(&seq.0)
    }

    /// The events from `from` on and below `next` that are here.
    pub(crate) fn between(&self, from: EventSeq, next: EventSeq) -> Vec<EventSeq> {
        self.entries.range(from.0..next.0.max(from.0)).copied().map(EventSeq).collect()
    }

    /// The sink processed these events in their place: entries of them say what is no more. There
    /// are such after a rebuild, and after a stop before the cursor had passed an entry.
    pub(crate) fn note_processed(&mut self, processed: &[EventSeq]) {
        processed.iter().for_each(|seq| self.forget(seq.0));
    }

    /// A rebuild processed everything below `next` but what it skipped. Returns what is here no
    /// more.
    pub(crate) fn keep_only(&mut self, next: EventSeq, skipped: &[EventSeq]) -> Vec<EventSeq> {
        let below = self.entries.range(..next.0).copied().map(EventSeq);
        let recovered: Vec<EventSeq> = below.filter(|seq| !skipped.contains(seq)).collect();
        recovered.iter().for_each(|seq| self.forget(seq.0));
        recovered
    }

    fn forget(&mut self, seq: u64) {
        match self.files.remove(seq) {
            Ok(()) => {
                tracing::info!(seq, "an event in quarantine was processed in its place");
                self.entries.remove(&seq);
            }
            Err(error) => tracing::warn!(seq, %error, "an entry of the quarantine stays"),
        }
    }

    /// Does what was asked since the last look, and is ordered in the journal. What fails is told in
    /// the entry or the log: the sink goes on whatever happens here.
    pub(crate) fn serve(&mut self, sink: &mut dyn Sink, find: Find<'_>) {
        for ask in Ask::ALL {
            let served = self.files.requests(ask).and_then(|seqs| {
                seqs.into_iter().try_for_each(|seq| self.serve_one(sink, seq, ask, find))
            });
            if let Err(error) = served {
                tracing::warn!(sink = sink.name(), %error, "could not {} an event", ask.name());
            }
        }
    }

    /// The entry goes before the request, so that a stop in between asks nothing of a sink that has
    /// it behind it.
    fn serve_one(
        &mut self,
        sink: &mut dyn Sink,
        seq: u64,
        ask: Ask,
        find: Find<'_>,
    ) -> Result<(), SinkError> {
        if seq >= sink.next_seq().0 {
            // It is to be processed in its place before long.
            return Ok(());
        }
        if matches!(self.files.read(seq), Ok(None)) {
            return self.files.answered(seq, ask);
        }
        let request = self.files.request(seq, ask)?;
        let (actor, result) = match order::look(request, (&self.name, seq, ask), find) {
            Order::NotYet => return Ok(()),
            Order::NotGiven(why) => {
                if let Some(entry) = self.files.read(seq)? {
                    self.files.write(&entry.refused(&why))?;
                }
                tracing::warn!(sink = sink.name(), seq, why, "did not {} an event", ask.name());
                (String::new(), "refused")
            }
            Order::Given { actor } => (actor, self.carry_out(sink, seq, ask)?),
        };
        tracing::warn!(sink = sink.name(), seq, actor, result, "asked to {} an event", ask.name());
        counter!(
            "millrace_sink_quarantine_requests_total",
            "sink" => sink.name(), "result" => result
        )
        .increment(1);
        self.files.answered(seq, ask)
    }

    /// What became of it.
    fn carry_out(
        &mut self,
        sink: &mut dyn Sink,
        seq: u64,
        ask: Ask,
    ) -> Result<&'static str, SinkError> {
        if ask == Ask::Replay {
            let entry = match self.files.read(seq) {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok("gone"),
                Err(error) => {
                    self.files.answered(seq, ask)?;
                    return Err(error);
                }
            };
            if let Err(error) = replay(sink, &entry) {
                self.files.write(&entry.replay_failed(&error))?;
                return Ok("failed");
            }
        }
        self.files.remove(seq)?;
        self.entries.remove(&seq);
        Ok(ask.name())
    }
}

fn replay(sink: &mut dyn Sink, entry: &Entry) -> Result<(), String> {
    sink.replay(&entry.batch()?).map_err(|error| error.to_string())
}
