//! Rebuilding a sink: consumes the journal from its first event, produces the sink's directory anew
//! beside the one that is there, and guarantees that a stop at any moment leaves a whole one.
//!
//! [`rebuild`] is for a sink that does not run: whoever calls it holds the sink's quarantine, and
//! with it its place. [`build_beside`] is for one that runs, and is replaced in memory
//! ([`crate::Replacer`]). Where both may be open, their directories stay where they are until the next
//! start ([`mark_whole`]).

mod swap;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use millrace_engine::{Feed, FeedBatch, JournalError};
use millrace_ledger::EventSeq;

use crate::{
    Blame, Quarantine, Sink, SinkError,
    runner::batches::{count, from_seq, place_to_cut, split},
};

pub use self::swap::{fresh_dir, mark_whole, settle, swap};
use self::swap::{is_whole, remove};

/// How long reading may wait for an event that is durable already.
const READ_WAIT: Duration = Duration::from_millis(100);

/// Why a sink was not rebuilt. What was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The sink, or its directory, failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// It was rebuilt since the start, and what was built then is in use.
    #[error(
        "it was rebuilt since the start, and uses {} now. Start millrace again first: that puts the \
         new directory in the place of the old one",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// What a rebuild came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The last event that the sink has processed now.
    pub last_seq: EventSeq,
    /// Events that stay in quarantine: they can't be processed now either.
    pub skipped: Vec<EventSeq>,
    /// Events that were in quarantine, and are processed now.
    pub recovered: Vec<EventSeq>,
}

/// A sink that was built beside one that runs.
pub struct Built {
    /// About as far as the feed.
    pub sink: Box<dyn Sink>,
    /// Events that stay in quarantine.
    pub skipped: Vec<EventSeq>,
}

/// What becomes of the directory that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// It is removed.
    Removed,
    /// It is evidence, and is kept under this name.
    KeptAs(PathBuf),
}

/// Builds the sink in `dir` anew from the journal's batches, and puts it in the place of the one
/// that is there. `open` opens the sink in the directory that it is given; `each` hears how far it
/// is; `check` looks at the new directory, when it is whole, and may refuse it.
///
/// # Errors
/// When the journal can't be read, or the sink can't process an event that is not in quarantine.
/// The directory is as it was then.
pub fn rebuild(
    dir: &Path,
    old: &Old,
    quarantine: &mut Quarantine,
    open: impl FnOnce(&Path) -> Result<Box<dyn Sink>, SinkError>,
    journal: impl Iterator<Item = Result<FeedBatch, JournalError>>,
    each: impl FnMut(EventSeq),
    check: impl FnOnce(&Path) -> Result<(), SinkError>,
) -> Result<Rebuilt, RebuildError> {
    settle(dir)?;
    let fresh = fresh_dir(dir);
    rebuild_with(open(&fresh)?, quarantine, journal, each, || {
        if let Err(error) = check(&fresh) {
            remove(&fresh)?;
            return Err(error);
        }
        swap(dir, old)
    })
}

/// Fills a sink that was opened empty, wherever it keeps its effect, from the journal's batches, and
/// has it put in the place of the one that is there. `swap` is called when it is whole and closed.
///
/// # Errors
/// As for [`rebuild`].
pub fn rebuild_with(
    mut sink: Box<dyn Sink>,
    quarantine: &mut Quarantine,
    journal: impl Iterator<Item = Result<FeedBatch, JournalError>>,
    mut each: impl FnMut(EventSeq),
    swap: impl FnOnce() -> Result<(), SinkError>,
) -> Result<Rebuilt, RebuildError> {
    let mut rebuilt = Rebuilt::default();
    let mut batches = Vec::new();
    let events_max = sink.apply_events_max();
    let mut flush = |sink: &mut dyn Sink, batches: &mut Vec<FeedBatch>| {
        let filled = std::mem::take(batches);
        process(sink, filled, &|seq| quarantine.contains(seq), &mut rebuilt.skipped)?;
        each(sink.next_seq());
        Ok::<(), SinkError>(())
    };
    for batch in journal {
        batches.push(batch?);
        if count(&batches) >= events_max {
            flush(sink.as_mut(), &mut batches)?;
        }
    }
    flush(sink.as_mut(), &mut batches)?;
    let next_seq = sink.next_seq();
    rebuilt.last_seq = EventSeq(next_seq.0 - 1);
    // What it holds open has to be closed before it moves.
    drop(sink);
    swap()?;
    rebuilt.recovered = quarantine.keep_only(next_seq, &rebuilt.skipped);
    Ok(rebuilt)
}

/// Builds a sink anew in [`fresh_dir`], beside the one that runs, until it is about as far as the
/// feed. `None` when `go_on` says so: it hears how far it is.
///
/// # Errors
/// As for [`rebuild`], and when the sink was built so since the start already.
pub fn build_beside(
    dir: &Path,
    feed: &Feed,
    in_quarantine: &dyn Fn(EventSeq) -> bool,
    open: impl FnOnce(&Path) -> Result<Box<dyn Sink>, SinkError>,
    mut go_on: impl FnMut(EventSeq) -> bool,
) -> Result<Option<Built>, RebuildError> {
    let fresh = fresh_dir(dir);
    if is_whole(&fresh) {
        return Err(RebuildError::InUse { path: fresh });
    }
    if fresh.exists() {
        remove(&fresh)?;
    }
    let mut sink = open(&fresh)?;
    let events_max = sink.apply_events_max();
    let (mut skipped, mut reader) = (Vec::new(), feed.reader(sink.next_seq()));
    while go_on(EventSeq(sink.next_seq().0 - 1)) {
        let mut batches = Vec::new();
        while count(&batches) < events_max && reader.next_seq() <= feed.durable_seq() {
            batches.extend(reader.next(READ_WAIT)?);
        }
        process(sink.as_mut(), batches, in_quarantine, &mut skipped)?;
        if feed.durable_seq().0 < sink.next_seq().0 + events_max as u64 {
            return Ok(Some(Built { sink, skipped }));
        }
    }
    Ok(None)
}

/// Applies the batches; leaves out what is in quarantine if it still can't be applied.
fn process(
    sink: &mut dyn Sink,
    batches: Vec<FeedBatch>,
    in_quarantine: &dyn Fn(EventSeq) -> bool,
    skipped: &mut Vec<EventSeq>,
) -> Result<(), SinkError> {
    if batches.is_empty() {
        return Ok(());
    }
    let Err(error) = sink.apply(&batches) else { return Ok(()) };
    if error.is_transient() || error.blame() == Blame::Sink {
        return Err(error);
    }
    let batches = from_seq(batches, sink.next_seq());
    if let Some(place) = place_to_cut(&batches, &error) {
        let (first, rest) = split(batches, place);
        process(sink, first, in_quarantine, skipped)?;
        return process(sink, rest, in_quarantine, skipped);
    }
    let Some(FeedBatch { time, events }) = batches.first() else { return Ok(()) };
    let seq = events[0].event.seq();
    if !in_quarantine(seq) {
        return Err(error);
    }
    sink.skip(seq, *time, &error.to_string())?;
    skipped.push(seq);
    Ok(())
}
