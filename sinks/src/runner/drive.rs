//! The loop of a sink: consumes batches of its source, has the sink apply them, tries again,
//! isolates and quarantines. Guarantees that the sink's cursor passes an event only when it was
//! applied or is in quarantine.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use metrics::counter;
use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;

use super::{
    Source, SourceError,
    backoff::{Backoff, Pace},
    batches::{count, from_seq, place_to_cut, split},
    progress::Progress,
    replace::{Replacement, Replacer, Switch, Switched},
};
use crate::{Blame, Entry, Quarantine, Sink, SinkError};

/// How long a stop may go unnoticed while the source is idle.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How often requests to replay or drop are looked for.
const REQUESTS_EVERY: Duration = Duration::from_millis(500);
/// How often an event is tried before it is quarantined.
pub(super) const TRIES: u32 = 5;
/// So many events in a row may be quarantined on the runner's own finding, not the sink's. When
/// nothing at all can be processed, it is not the events that are at fault.
pub(super) const FOUND_IN_A_ROW_MAX: u32 = 16;

/// Drives one sink.
pub(super) struct Driver<S: Source> {
    name: &'static str,
    sink: Box<dyn Sink>,
    source: S,
    quarantine: Option<Quarantine>,
    progress: Arc<Progress>,
    pace: Pace,
    backoff: Backoff,
    /// Events quarantined since one was processed, without the sink having named them.
    found_in_a_row: u32,
    looked_at: Option<Instant>,
    replacer: Replacer,
    switching: Option<Switching>,
}

/// The sink replaces another one, whose readers are not switched yet.
struct Switching {
    /// Where the new one began here.
    from: EventSeq,
    /// Where the other one stood.
    until: EventSeq,
    skipped: Vec<EventSeq>,
    /// Events in quarantine that the new one has processed since.
    processed: Vec<EventSeq>,
    switch: Switch,
}

/// In the place of a sink that is being switched, and may have to be closed for that.
struct Nobody(&'static str);

impl Sink for Nobody {
    fn name(&self) -> &'static str {
        self.0
    }

    fn next_seq(&self) -> EventSeq {
        EventSeq::FIRST
    }

    fn apply(&mut self, _: &[FeedBatch]) -> Result<(), SinkError> {
        unreachable!("a sink that could not be switched has stopped")
    }
}

/// Why the loop ends.
enum Halt {
    /// It was told to.
    Told,
    /// No retry helps.
    Failed(String),
}

impl<S: Source> Driver<S> {
    pub(super) fn new(
        sink: Box<dyn Sink>,
        source: S,
        quarantine: Option<Quarantine>,
        progress: Arc<Progress>,
        pace: Pace,
    ) -> Self {
        let name = sink.name();
        let backoff = Backoff::new(pace);
        let (found_in_a_row, looked_at) = (0, None);
        let (replacer, switching) = (Replacer::default(), None);
        Self {
            name,
            sink,
            source,
            quarantine,
            progress,
            pace,
            backoff,
            found_in_a_row,
            looked_at,
            replacer,
            switching,
        }
    }

    pub(super) fn taking_over_from(self, replacer: Replacer) -> Self {
        Self { replacer, ..self }
    }

    /// Returns when it is told to stop, or with the error that no retry helps.
    pub(super) fn run(mut self) -> Result<(), String> {
        loop {
            match self.follow() {
                Ok(()) => {}
                Err(Halt::Told) => return Ok(()),
                Err(Halt::Failed(error)) => {
                    self.count_error("permanent");
                    return Err(error);
                }
            }
        }
    }

    /// Reads and applies from the sink's cursor on. Returns when a new reader is needed.
    fn follow(&mut self) -> Result<(), Halt> {
        let mut reader = match self.source.reader(self.sink.next_seq()) {
            Ok(reader) => reader,
            Err(error) => return self.source_failed(&error),
        };
        loop {
            self.look_around()?;
            if self.replace() {
                return Ok(());
            }
            let batches = match gather::<S>(&mut reader, self.sink.apply_events_max()) {
                Ok(batches) => batches,
                Err(error) => return self.source_failed(&error),
            };
            let Some(first) = batches.first() else {
                self.worked();
                self.progress.note_idle();
                if self.switch_when_caught_up()? {
                    return Ok(());
                }
                continue;
            };
            self.progress.note_pending(first.time);
            self.process(batches)?;
            if self.switch_when_caught_up()? {
                return Ok(());
            }
            if let Err(error) = S::committed(&mut reader, self.sink.next_seq()) {
                return self.source_failed(&error);
            }
        }
    }

    fn source_failed(&mut self, error: &SourceError) -> Result<(), Halt> {
        if !error.transient {
            return Err(Halt::Failed(error.text.clone()));
        }
        self.count_error("source");
        let wait = self.backoff.next_wait();
        self.pause(&error.text, self.backoff.failures(), wait)
    }

    /// Applies the batches, and puts what can't be applied into the quarantine.
    fn process(&mut self, batches: Vec<FeedBatch>) -> Result<(), Halt> {
        let Err(error) = self.attempt(&batches)? else { return Ok(()) };
        if error.blame() == Blame::Sink {
            return Err(Halt::Failed(error.to_string()));
        }
        let batches = from_seq(batches, self.sink.next_seq());
        match place_to_cut(&batches, &error) {
            Some(place) => {
                let (first, rest) = split(batches, place);
                self.process(first)?;
                self.process(rest)
            }
            None if count(&batches) == 0 => Ok(()),
            None => self.isolated(&batches, error),
        }
    }

    /// Applies the batches. What may pass is tried again until it has passed; the error is one that
    /// no retry helps.
    fn attempt(&mut self, batches: &[FeedBatch]) -> Result<Result<(), SinkError>, Halt> {
        loop {
            let from = self.sink.next_seq();
            match self.sink.apply(batches) {
                Ok(()) => {
                    self.worked();
                    self.found_in_a_row = 0;
                    // Who sees that it was processed finds nothing of it in quarantine.
                    self.note_processed(from);
                    self.note_quarantine();
                    self.progress.note_applied(self.sink.next_seq());
                    return Ok(Ok(()));
                }
                Err(error) if error.is_transient() => self.wait_out(&error)?,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Events from there on are processed now. Those that a sink processed that may yet be refused stay
    /// in quarantine until it is taken.
    fn note_processed(&mut self, from: EventSeq) {
        let Some(quarantine) = &mut self.quarantine else { return };
        let processed = quarantine.between(from, self.sink.next_seq());
        match &mut self.switching {
            Some(switching) => switching.processed.extend(processed),
            None => quarantine.note_processed(&processed),
        }
    }

    /// One event is left of what failed: it is tried until it works or its tries are used up.
    fn isolated(&mut self, batch: &[FeedBatch], mut error: SinkError) -> Result<(), Halt> {
        self.count_error("event");
        if self.quarantine.is_none() {
            return Err(Halt::Failed(error.to_string()));
        }
        let mut backoff = Backoff::new(self.pace);
        for tries in 1..TRIES {
            let wait = backoff.next_wait();
            self.pause(&error.to_string(), tries, wait)?;
            error = match self.attempt(batch)? {
                Ok(()) => return Ok(()),
                Err(again) if again.blame() == Blame::Sink => {
                    return Err(Halt::Failed(again.to_string()));
                }
                Err(again) => again,
            };
            self.count_error("event");
        }
        if !matches!(error, SinkError::Poison { .. }) {
            self.found_in_a_row += 1;
            if self.found_in_a_row > FOUND_IN_A_ROW_MAX {
                return Err(Halt::Failed(format!(
                    "{FOUND_IN_A_ROW_MAX} events in a row could not be processed, so they are \
                     hardly what is at fault: {error}. Mend that and start again; then replay what \
                     is in the quarantine (millrace sinks quarantine list)"
                )));
            }
        }
        self.quarantine(batch, &error.to_string())
    }

    /// Puts the event away durably, then moves the sink's cursor past it: a stop in between leaves
    /// an entry that is written again, never an event that is lost.
    fn quarantine(&mut self, batch: &[FeedBatch], reason: &str) -> Result<(), Halt> {
        let [FeedBatch { time, events }] = batch else { unreachable!("one event was isolated") };
        let seq = events[0].event.seq();
        let entry = Entry::new(self.name, *time, &events[0], reason, TRIES);
        loop {
            let quarantine = self.quarantine.as_mut().expect("was checked before the tries");
            match quarantine.put(&entry) {
                Ok(()) => break,
                Err(error) if error.is_transient() => self.wait_out(&error)?,
                Err(error) => return Err(Halt::Failed(error.to_string())),
            }
        }
        loop {
            match self.sink.skip(seq, *time, reason) {
                Ok(()) => break,
                Err(error) if error.is_transient() => self.wait_out(&error)?,
                Err(error) => return Err(Halt::Failed(format!("{error}: {reason}"))),
            }
        }
        tracing::error!(
            sink = self.name,
            seq = seq.0,
            reason,
            "an event is quarantined; the rest flows on (millrace sinks quarantine show)",
        );
        counter!("millrace_sink_quarantined_total", "sink" => self.name).increment(1);
        self.worked();
        // Who sees that it was passed finds it in quarantine.
        self.note_quarantine();
        self.progress.note_applied(self.sink.next_seq());
        Ok(())
    }

    /// Puts a sink that was built anew in the place of this one, if there is one.
    fn replace(&mut self) -> bool {
        let Some(Replacement { sink, skipped, switch }) = self.replacer.take() else {
            return false;
        };
        let until = self.switching.take().map_or(self.sink.next_seq(), |other| other.until);
        let from = sink.next_seq();
        tracing::info!(sink = self.name, from = from.0, until = until.0, "a sink is replaced");
        self.sink = sink;
        self.switching = Some(Switching { from, until, skipped, processed: Vec::new(), switch });
        true
    }

    /// Has readers switched once the new sink has processed all that the other one had. Whether the
    /// sink stands elsewhere afterwards, and needs another reader.
    fn switch_when_caught_up(&mut self) -> Result<bool, Halt> {
        if self.switching.as_ref().is_none_or(|it| self.sink.next_seq() < it.until) {
            return Ok(false);
        }
        let Some(Switching { from, skipped, processed, switch, .. }) = self.switching.take() else {
            return Ok(false);
        };
        let stands_at = self.sink.next_seq();
        let sink = std::mem::replace(&mut self.sink, Box::new(Nobody(self.name)));
        match switch(sink).map_err(|error| Halt::Failed(error.to_string()))? {
            Switched::Refused(sink) => self.sink = sink,
            Switched::Taken(sink) => {
                self.sink = sink;
                if let Some(quarantine) = &mut self.quarantine {
                    quarantine.keep_only(from, &skipped);
                    quarantine.note_processed(&processed);
                }
            }
        }
        self.note_quarantine();
        Ok(self.sink.next_seq() != stands_at)
    }

    /// Something worked.
    fn worked(&mut self) {
        self.backoff.reset();
        self.progress.note_recovery();
    }

    /// Waits after a failure that may pass.
    fn wait_out(&mut self, error: &SinkError) -> Result<(), Halt> {
        self.count_error("transient");
        let wait = self.backoff.next_wait();
        self.pause(&error.to_string(), self.backoff.failures(), wait)
    }

    fn pause(&mut self, error: &str, failures: u32, wait: Duration) -> Result<(), Halt> {
        let wait_ms = wait.as_millis() as u64;
        tracing::warn!(sink = self.name, error, wait_ms, failures, "trying again");
        self.progress.note_failure(error, failures, wait);
        let until = Instant::now() + wait;
        loop {
            self.look_around()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::park_timeout(left.min(REQUESTS_EVERY));
        }
    }

    /// What is looked at between batches and during waits: whether to stop, and what is asked of the
    /// quarantine.
    fn look_around(&mut self) -> Result<(), Halt> {
        if self.progress.stopped() {
            return Err(Halt::Told);
        }
        if self.looked_at.is_some_and(|at| at.elapsed() < REQUESTS_EVERY) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.serve(self.sink.as_mut(), &|seq| self.source.event(seq));
        }
        self.note_quarantine();
        Ok(())
    }

    fn note_quarantine(&self) {
        let entries = self.quarantine.as_ref().map_or(0, Quarantine::len);
        self.progress.note_quarantined(entries as u64);
    }

    fn count_error(&self, kind: &'static str) {
        counter!("millrace_sink_errors_total", "sink" => self.name, "kind" => kind).increment(1);
    }
}

/// What the source has at hand, up to what one apply takes.
fn gather<S: Source>(
    reader: &mut S::Reader,
    events_max: usize,
) -> Result<Vec<FeedBatch>, SourceError> {
    let mut batches = Vec::new();
    let mut events = 0;
    let mut wait = IDLE_WAIT;
    while events < events_max {
        let Some(batch) = S::next(reader, wait)? else { break };
        events += batch.events.len();
        batches.push(batch);
        wait = Duration::ZERO;
    }
    Ok(batches)
}
