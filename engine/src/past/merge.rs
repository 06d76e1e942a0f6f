//! Merging runs. Consumes adjacent runs, produces one in their place, in which the newest version
//! of every payment is left; a page of each run and the keys of one part are in memory.

use std::{ops::Range, sync::Arc};

use super::{
    rows::Rows,
    run::{Run, Shelf},
    write::RunWriter,
};
use crate::JournalError;

/// Runs up to four times as large are of the first class, and so on by the factor four. A
/// generation is in the middle of the first class, so that some payments more or less don't matter.
const CLASS_ROWS: u64 = 1 << 18;
/// A run of fewer rows is merged with its likes whatever their ids are.
const SMALL_ROWS: u64 = 1 << 16;
/// So many runs are merged that are small, or whose ids lie among each other's.
const RUNS_MIN: usize = 4;
/// So many runs are merged whose ids follow each other: look-ups don't gain much by it.
const RUNS_IN_ORDER_MIN: usize = 16;
/// Bounds the memory of a merge.
const RUNS_MAX: usize = 64;

/// Which adjacent runs are to be merged next, if any.
pub(super) fn due(runs: &[Arc<Run>]) -> Option<Range<usize>> {
    due_small(runs).or_else(|| due_class(runs))
}

/// The newest small runs without a larger one between them.
fn due_small(runs: &[Arc<Run>]) -> Option<Range<usize>> {
    let mut end = runs.len();
    while end > 0 {
        let len = runs[..end].iter().rev().take_while(|run| run.rows() < SMALL_ROWS).count();
        if len >= RUNS_MIN {
            return Some(end - len.min(RUNS_MAX)..end);
        }
        end -= (len + 1).min(end);
    }
    None
}

/// The newest runs up to a class, if there are enough of that class among them: larger runs stay
/// as they are, so that a payment is copied once per class.
fn due_class(runs: &[Arc<Run>]) -> Option<Range<usize>> {
    let class_max = runs.iter().map(|run| class(run.rows())).max()?;
    (0..=class_max).find_map(|of_class| {
        let len = runs.iter().rev().take_while(|run| class(run.rows()) <= of_class).count();
        let newest = &runs[runs.len() - len..];
        let count = newest.iter().filter(|run| class(run.rows()) == of_class).count();
        let runs_min = match newest.windows(2).any(|pair| overlap(&pair[0], &pair[1])) {
            true => RUNS_MIN,
            false => RUNS_IN_ORDER_MIN,
        };
        let start = runs.len() - len;
        (count >= runs_min).then(|| start..(start + RUNS_MAX).min(runs.len()))
    })
}

fn class(rows: u64) -> u32 {
    (rows / CLASS_ROWS).checked_ilog(4).unwrap_or(0)
}

/// Whether the ids of two runs lie among each other's. Those of a few payments don't count: a
/// refund takes an old id to a new run.
fn overlap(one: &Run, other: &Run) -> bool {
    let (one, other) = (one.middle(), other.middle());
    one.start() <= other.end() && other.start() <= one.end()
}

/// Merges runs, oldest first. `None` when `stop` said so: then nothing is left of it.
pub(super) fn merge(
    shelf: &Arc<Shelf>,
    runs: &[Arc<Run>],
    stop: &dyn Fn() -> bool,
) -> Result<Option<Run>, JournalError> {
    let (Some(oldest), Some(newest)) = (runs.first(), runs.last()) else { return Ok(None) };
    let generations = *oldest.generations().start()..=*newest.generations().end();
    let mut writer = RunWriter::create(shelf, generations)?;
    let mut heads = Vec::with_capacity(runs.len());
    for run in runs.iter().rev() {
        let mut rows = Rows::new(run.clone());
        if let Some(id) = rows.advance()? {
            heads.push((id, rows));
        }
    }
    let mut pushed = 0_u64;
    // Of equal ids, the first is of the newest run.
    while let Some(at) = (0..heads.len()).min_by_key(|at| heads[*at].0) {
        if pushed.is_multiple_of(1024) && stop() {
            return Ok(None);
        }
        let id = heads[at].0;
        writer.push(id, heads[at].1.row())?;
        pushed += 1;
        let mut error = None;
        heads.retain_mut(|(head, rows)| {
            if *head != id {
                return true;
            }
            match rows.advance() {
                Ok(Some(next)) => *head = next,
                Ok(None) => return false,
                Err(err) => error = Some(err),
            }
            true
        });
        if let Some(error) = error {
            return Err(error);
        }
    }
    writer.finish().map(Some)
}
