//! Cutting batches: which part of what failed is tried next, so that one event at fault is found in
//! about as many tries as the number of events has binary digits.

use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;

use crate::SinkError;

pub(crate) fn count(batches: &[FeedBatch]) -> usize {
    batches.iter().map(|batch| batch.events.len()).sum()
}

/// After how many of the events to cut, so that what is at fault is alone sooner: just before an
/// event that the error names, just behind it when it is the first, else in the middle. `None` when
/// there is but one event.
pub(crate) fn place_to_cut(batches: &[FeedBatch], error: &SinkError) -> Option<usize> {
    let events = count(batches);
    if events <= 1 {
        return None;
    }
    let named = match error {
        SinkError::Poison { seq, .. } => place_of(batches, *seq),
        _ => None,
    };
    Some(named.map_or(events / 2, |place| place.max(1)))
}

fn place_of(batches: &[FeedBatch], seq: EventSeq) -> Option<usize> {
    batches.iter().flat_map(|batch| &batch.events).position(|event| event.event.seq() == seq)
}

/// The first `events` events, and the rest. Neither half has a batch without events.
pub(crate) fn split(batches: Vec<FeedBatch>, events: usize) -> (Vec<FeedBatch>, Vec<FeedBatch>) {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    let mut left = events;
    for mut batch in batches {
        if left == 0 {
            rest.push(batch);
        } else if batch.events.len() <= left {
            left -= batch.events.len();
            first.push(batch);
        } else {
            let behind = batch.events.split_off(left);
            rest.push(FeedBatch { time: batch.time, events: behind });
            first.push(batch);
            left = 0;
        }
    }
    (first, rest)
}

/// Drops what the sink has processed already.
pub(crate) fn from_seq(batches: Vec<FeedBatch>, next_seq: EventSeq) -> Vec<FeedBatch> {
    let done = batches
        .iter()
        .flat_map(|batch| &batch.events)
        .take_while(|event| event.event.seq() < next_seq)
        .count();
    if done == 0 { batches } else { split(batches, done).1 }
}
