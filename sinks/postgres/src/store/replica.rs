//! How far the tables are that queries are answered from: consumes what their server says, produces
//! the place that readers see, and the replica's lag. Guarantees that queries are never answered
//! from tables that are behind the place that was shown.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use metrics::gauge;
use millrace_ledger::EventSeq;
use millrace_sinks::graphql::ReadError;
use tokio::time::{sleep, timeout};

use super::{PLACE, place_in, pool::Connections, reads::Reads};
use crate::{
    applied::Applied,
    sink::{NAME, Place},
};

/// How often it is looked how far the tables are.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long to wait, at least, where a server did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a server may take to say it.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// A replica that is back has this long, from time to time, to come level: what is shown waits.
const HOLD: Duration = Duration::from_secs(2);
const HOLD_EVERY: Duration = Duration::from_secs(10);

/// Looks how far the tables are, as long as there is a store. `written` is how far the sink of this
/// process is, where it has one.
pub(super) async fn follow(
    reads: Weak<Reads>,
    applied: Weak<Applied>,
    written: Option<Arc<Applied>>,
) {
    let mut away = None;
    let mut behind_since = None;
    let mut lag = Lag::default();
    loop {
        let (Some(reads), Some(applied)) = (reads.upgrade(), applied.upgrade()) else { return };
        let written = written.as_ref().map(|written| written.place().seq);
        let found = look(reads.followed(), &mut away).await;
        if let (Some(written), Some(place)) = (written, found) {
            lag.note(written, place.applied().seq).show();
        }
        let level = found.filter(|place| place.applied().seq >= applied.place().seq);
        reads.use_replica(level.is_some());
        let shown = match (level, reads.stand_in()) {
            (Some(place), _) => {
                behind_since = None;
                Some(place)
            }
            (None, Some(primary)) => {
                let since = *behind_since.get_or_insert_with(Instant::now);
                match found.filter(|_| is_held(since.elapsed())) {
                    Some(held) => Some(held),
                    None => place_of(primary).await.ok(),
                }
            }
            (None, None) => None,
        };
        if let Some(place) = shown
            && place.applied().seq > applied.place().seq
        {
            applied.jump(place.applied());
        }
        drop((reads, applied));
        sleep(LOOK_EVERY).await;
    }
}

/// A server that did not answer, and when to ask it again.
struct Away {
    until: Instant,
}

/// Where the tables of a server are that may be away: then it is asked less often, the longer it
/// takes to find out.
async fn look(server: &Connections, away: &mut Option<Away>) -> Option<Place> {
    let started = Instant::now();
    if away.as_ref().is_some_and(|away| started < away.until) {
        return None;
    }
    match place_of(server).await {
        Ok(place) => {
            *away = None;
            Some(place)
        }
        Err(error) => {
            if away.is_none() {
                tracing::warn!(%error, "can't see how far the read model is");
            }
            let wait = LOOK_AGAIN.max(started.elapsed() * 5);
            *away = Some(Away { until: Instant::now() + wait });
            None
        }
    }
}

/// Whether what is shown waits now for a replica that has been behind for so long.
fn is_held(behind: Duration) -> bool {
    behind.as_millis() % HOLD_EVERY.as_millis() < HOLD.as_millis()
}

async fn place_of(server: &Connections) -> Result<Place, ReadError> {
    let rows = timeout(LOOK_MAX, server.prepared(PLACE, &[&NAME])).await;
    let rows = rows.map_err(|_| {
        ReadError::Unavailable(format!("PostgreSQL at {}: it does not answer", server.label))
    })?;
    place_in(&rows.map_err(|unanswered| unanswered.error)?)
}

/// By how much what is read is behind what was written.
#[derive(Default)]
struct Lag {
    /// Places that were written and are not there yet, with when that was seen.
    missing: VecDeque<(Instant, EventSeq)>,
    events: u64,
}

impl Lag {
    /// More would not make the answer better: the first one counts.
    const MISSING_MAX: usize = 4_096;

    fn note(&mut self, written: EventSeq, read: EventSeq) -> &Self {
        let is_new = self.missing.back().is_none_or(|(_, seq)| *seq < written);
        if is_new && self.missing.len() < Self::MISSING_MAX {
            self.missing.push_back((Instant::now(), written));
        }
        while self.missing.front().is_some_and(|(_, seq)| *seq <= read) {
            self.missing.pop_front();
        }
        self.events = written.0.saturating_sub(read.0);
        self
    }

    fn age(&self) -> Duration {
        self.missing.front().map_or(Duration::ZERO, |(seen, _)| seen.elapsed())
    }

    fn show(&self) {
        gauge!("millrace_postgres_replica_lag_events", "sink" => NAME).set(self.events as f64);
        gauge!("millrace_postgres_replica_lag_seconds", "sink" => NAME)
            .set(self.age().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_written_and_not_read() {
        let mut lag = Lag::default();
        for (written, read, events, waiting) in [
            (0, 0, 0, 0),
            (7, 0, 7, 1),
            (7, 0, 7, 1),
            (9, 7, 2, 1),
            (12, 7, 5, 2),
            (12, 8, 4, 2),
            (12, 12, 0, 0),
            // The replica answered later than the sink.
            (12, 14, 0, 0),
            (20, 14, 6, 1),
        ] {
            let lag = lag.note(EventSeq(written), EventSeq(read));
            assert_eq!((lag.events, lag.missing.len()), (events, waiting), "{written}, {read}");
            assert_eq!(lag.age() == Duration::ZERO, waiting == 0, "{written}, {read}");
        }
        for seq in 0..2 * Lag::MISSING_MAX as u64 {
            lag.note(EventSeq(100 + seq), EventSeq(14));
        }
        assert_eq!(lag.missing.len(), Lag::MISSING_MAX, "bounded");
    }

    #[test]
    fn what_is_shown_waits_for_a_replica_from_time_to_time() {
        for (behind_ms, held) in [(0, true), (1_999, true), (2_000, false), (10_500, true)] {
            assert_eq!(is_held(Duration::from_millis(behind_ms)), held, "{behind_ms}");
        }
    }
}
