//! Drives one sink: consumes a source from the sink's cursor on, hands the sink what is there, and
//! guarantees that payments never wait for it.
//!
//! | what fails | what happens |
//! |---|---|
//! | the source or a service is away, the disk is full | tried again without end, ever more slowly, up to 5 s apart |
//! | one event can't be processed | found by halving the batch, tried five times, then quarantined; the rest flows on |
//! | events are missing | the sink stops: what comes after a gap would be wrong |
//! | anything else that no retry helps | the sink stops with its error; payments go on |
//!
//! Stopping is prompt: the batch in hand is finished, the rest is left for the next start, where
//! the sink's cursor continues.

mod backoff;
pub(crate) mod batches;
mod drive;
mod priority;
mod progress;
mod replace;
mod source;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use millrace_ledger::EventSeq;

use self::drive::Driver;
pub(crate) use self::progress::now_ns;
pub use self::{
    backoff::{Backoff, Pace},
    priority::{run_when_idle, yield_to_payments},
    progress::{Progress, SinkState, SinkStatus, SinkWatch},
    replace::{Replacement, Replacer, Switch, Switched},
    source::{Head, Source, SourceError},
};
use crate::{Quarantine, Sink, held_file::HeldFile};

/// A running sink.
#[derive(Debug)]
pub struct SinkHandle {
    watch: SinkWatch,
    replacer: Replacer,
    /// A sink that stopped by itself keeps its place until this is dropped.
    _place: Option<Arc<HeldFile>>,
    thread: Option<JoinHandle<()>>,
}

impl SinkHandle {
    /// What the sink is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.watch.name()
    }

    /// The last event that the sink durably processed; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        self.watch.applied_seq()
    }

    /// Why the sink stopped by itself, if it did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.watch.error()
    }

    /// For whoever shows how the sink gets on; it may outlive the sink.
    #[must_use]
    pub fn watch(&self) -> SinkWatch {
        self.watch.clone()
    }

    /// For whoever builds the sink anew beside the one that runs.
    #[must_use]
    pub fn replacer(&self) -> Replacer {
        self.replacer.clone()
    }

    /// Lets the sink finish the batch in hand and end.
    pub fn stop(&self) {
        self.watch.progress.stop();
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Waits until the sink has ended.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic was logged and is in `error` already.
            let _ = thread.join();
        }
    }
}

impl Drop for SinkHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs the sink on a thread of its own until it is stopped or fails. An event that it can't
/// process stops it.
///
/// # Panics
/// When the operating system refuses a thread.
#[must_use]
pub fn spawn(sink: Box<dyn Sink>, source: impl Source) -> SinkHandle {
    start(sink, source, None, Pace::USUAL)
}

/// Like [`spawn`], but an event that the sink can't process is put into the quarantine, and the
/// rest flows on.
///
/// # Panics
/// When the operating system refuses a thread.
#[must_use]
pub fn spawn_with(sink: Box<dyn Sink>, source: impl Source, quarantine: Quarantine) -> SinkHandle {
    start(sink, source, Some(quarantine), Pace::USUAL)
}

fn start(
    sink: Box<dyn Sink>,
    source: impl Source,
    quarantine: Option<Quarantine>,
    pace: Pace,
) -> SinkHandle {
    let name = sink.name();
    let progress = Arc::new(Progress::new(name, sink.next_seq(), source.head()));
    let watch = progress.watch();
    let replacer = Replacer::default();
    let place = quarantine.as_ref().map(Quarantine::lock);
    let offered = replacer.clone();
    let thread = thread::Builder::new()
        .name(format!("sink-{name}"))
        .spawn(move || {
            run_when_idle();
            let _guard = PanicNote(&progress, name);
            let driver = Driver::new(sink, source, quarantine, Arc::clone(&progress), pace)
                .taking_over_from(offered);
            let ended = driver.run();
            if let Err(error) = &ended {
                tracing::error!(sink = name, %error, "the sink stopped");
            }
            progress.note_end(ended.err());
        })
        .expect("the operating system has a thread to spare");
    SinkHandle { watch, replacer, _place: place, thread: Some(thread) }
}

/// Tells of a panic, which would else be a thread that silently is no more.
struct PanicNote<'a>(&'a Progress, &'static str);

impl Drop for PanicNote<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = format!("the {} sink panicked; its log says where", self.1);
            self.0.note_end(Some(error));
        }
    }
}
