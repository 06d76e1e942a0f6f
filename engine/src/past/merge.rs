//! Merging runs. Consumes adjacent runs, produces one in their place, in which the newest version
//! of every payment is left; a page of each run and the keys of one part are in memory.
//!
//! Pages that no other run has ids between are copied as they are, with the filter of their part:
//! of runs in order of time, that is nearly all.

use std::{ops::Range, sync::Arc};

use millrace_ledger::PaymentId;

use super::{
    RUNS_CACHED,
    layout::Layout,
    rows::Rows,
    run::{Run, Shelf},
    write::RunWriter,
};
use crate::{JournalError, page_cache};

/// So many runs are merged that are small, or whose ids lie among each other's.
const RUNS_MIN: usize = 4;
/// So many runs are merged whose ids follow each other: look-ups don't gain much by it.
pub(super) const RUNS_IN_ORDER_MIN: usize = 256;
/// Bounds the memory of a merge.
const RUNS_MAX: usize = 256;
/// How much of what was read stays in the page cache meanwhile.
const ROWS_BETWEEN_RELEASES: u64 = 1 << 20;
/// Fewer pages than hold this share of a full part's rows are not copied as they are.
const COPIED_SHARE_MIN: usize = 4;
/// How soon a merge notices that it is to stop.
const ROWS_BETWEEN_STOPS: u64 = 1024;

/// Adjacent runs that are to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) range: Range<usize>,
    /// Nobody waits for it: there are many of them, and that is all.
    pub(super) in_order: bool,
}

/// Which adjacent runs are to be merged next, if any.
pub(super) fn due(runs: &[Arc<Run>], layout: &Layout) -> Option<Due> {
    let small = due_small(runs, layout.small_rows);
    small.map(|range| Due { range, in_order: false }).or_else(|| due_class(runs, layout.class_rows))
}

/// The newest small runs without a larger one between them.
fn due_small(runs: &[Arc<Run>], small_rows: u64) -> Option<Range<usize>> {
    let small = |run: &Arc<Run>| run.rows() < small_rows;
    let mut groups = runs.chunk_by(|one, other| small(one) == small(other)).rev();
    let mut end = runs.len();
    groups.find_map(|group| {
        let group_end = end;
        end -= group.len();
        let due = small(&group[0]) && group.len() >= RUNS_MIN;
        due.then(|| end..group_end.min(end + RUNS_MAX))
    })
}

/// The newest runs up to a class, if there are enough of that class among them: larger runs stay
/// as they are, so that a payment is copied about once per class.
fn due_class(runs: &[Arc<Run>], class_rows: u64) -> Option<Due> {
    let class = |run: &Arc<Run>| (run.rows() / class_rows).checked_ilog(4).unwrap_or(0);
    let class_max = runs.iter().map(class).max()?;
    (0..=class_max).find_map(|of_class| {
        let len = runs.iter().rev().take_while(|run| class(run) <= of_class).count();
        let start = runs.len() - len;
        let newest = &runs[start..];
        let in_order = in_order(newest);
        let runs_min = if in_order { RUNS_IN_ORDER_MIN } else { RUNS_MIN };
        let due = newest.iter().filter(|run| class(run) == of_class).count() >= runs_min;
        due.then(|| Due { range: start..runs.len().min(start + RUNS_MAX), in_order })
    })
}

/// Whether the ids of each run follow those of the one before.
pub(super) fn in_order(runs: &[Arc<Run>]) -> bool {
    !runs.windows(2).any(|pair| overlap(&pair[0], &pair[1]))
}

/// Whether the ids of two runs lie among each other's. Those of a few payments don't count: a
/// refund takes an old id to a new run.
fn overlap(one: &Run, other: &Run) -> bool {
    let (one, other) = (one.middle(), other.middle());
    one.start() <= other.end() && other.start() <= one.end()
}

/// Merges runs, oldest first. `stop` is told how many rows were written. `None` when it said so: then
/// nothing is left of it.
pub(super) fn merge(
    shelf: &Arc<Shelf>,
    runs: &[Arc<Run>],
    stop: &dyn Fn(u64) -> bool,
) -> Result<Option<Run>, JournalError> {
    let (Some(oldest), Some(newest)) = (runs.first(), runs.last()) else { return Ok(None) };
    let generations = *oldest.generations().start()..=*newest.generations().end();
    let mut writer = RunWriter::create(shelf, generations)?;
    // Hardly anybody asks for what is in runs in order: it need not stay in the page cache.
    let in_order = in_order(runs);
    if in_order {
        writer.set_released();
    }
    let mut heads = Heads::new(runs)?;
    let (mut stop_at, mut release_at) = (0, 0);
    while let Some((at, others_from)) = heads.first() {
        // Up to the next id of another run, there is nothing to compare: in order, that is nearly
        // the whole run.
        let mut next = Some(heads.id(at));
        while let Some(id) = next {
            if writer.rows() >= stop_at {
                if stop(writer.rows()) {
                    return Ok(None);
                }
                stop_at = writer.rows() + ROWS_BETWEEN_STOPS;
            }
            if in_order && writer.rows() >= release_at {
                let older = runs.len().saturating_sub(RUNS_CACHED);
                runs[..older].iter().for_each(|run| page_cache::release(run.file()));
                release_at = writer.rows() + ROWS_BETWEEN_RELEASES;
            }
            let below_others = |id: &PaymentId| others_from.is_none_or(|others| *id < others);
            next = match heads.pages_to_copy(at, others_from, &shelf.layout) {
                Some((part, pages)) => {
                    writer.copy_pages(heads.run(at), part, pages.clone())?;
                    heads.skip_to(at, pages.end)?.filter(below_others)
                }
                None => {
                    writer.push(id, heads.row(at))?;
                    match others_from {
                        Some(others) if others == id => {
                            heads.pass(id)?;
                            None
                        }
                        _ => heads.advance(at)?.filter(below_others),
                    }
                }
            };
        }
    }
    writer.finish().map(Some)
}

/// Where each run is that is being merged: the next id, newest run first. Few enough to be looked
/// through for a row.
struct Heads {
    heads: Vec<(PaymentId, Rows)>,
}

impl Heads {
    fn new(runs: &[Arc<Run>]) -> Result<Self, JournalError> {
        let mut heads = Vec::with_capacity(runs.len());
        for run in runs.iter().rev() {
            let mut rows = Rows::new(run.clone());
            if let Some(id) = rows.advance()? {
                heads.push((id, rows));
            }
        }
        Ok(Self { heads })
    }

    /// Which run has the smallest id, the newest of those that have it, and the smallest id of the
    /// others.
    fn first(&self) -> Option<(usize, Option<PaymentId>)> {
        let ids = self.heads.iter().map(|(id, _)| *id).enumerate();
        // Of equal ones, the first is taken.
        let (at, _) = ids.clone().min_by_key(|(_, id)| *id)?;
        let others_from = ids.filter(|(other, _)| *other != at).map(|(_, id)| id).min();
        Some((at, others_from))
    }

    fn id(&self, at: usize) -> PaymentId {
        self.heads[at].0
    }

    fn row(&self, at: usize) -> &[u8] {
        self.heads[at].1.row()
    }

    fn run(&self, at: usize) -> &Run {
        self.heads[at].1.run()
    }

    /// The pages that begin with the next row of one run, and their part, if they can be copied as
    /// they are: other runs have nothing between their ids, and they are enough of a part that its
    /// filter, which they take along, is not much too large, and that no part becomes tiny.
    fn pages_to_copy(
        &self,
        at: usize,
        others_from: Option<PaymentId>,
        layout: &Layout,
    ) -> Option<(usize, Range<usize>)> {
        let (_, rows) = &self.heads[at];
        let (part, first) = rows.page_begun()?;
        let run = rows.run();
        let rows_min = layout.part_rows_max / COPIED_SHARE_MIN;
        let rows_min = rows_min.max(run.part(part).rows as usize / 2);
        let pages = run.pages_below(part, first, others_from);
        let enough = !pages.is_empty() && run.rows_about(part, &pages) >= rows_min;
        (enough && run.page_bytes() == layout.page_bytes).then_some((part, pages))
    }

    /// Goes on in one run. Its next id, or `None` when it is at its end: then it is no head any more.
    fn advance(&mut self, at: usize) -> Result<Option<PaymentId>, JournalError> {
        self.go_on(at, Rows::advance)
    }

    /// The same with the first row of a page that is further on.
    fn skip_to(&mut self, at: usize, page: usize) -> Result<Option<PaymentId>, JournalError> {
        self.go_on(at, |rows| rows.skip_to(page))
    }

    fn go_on(
        &mut self,
        at: usize,
        next: impl FnOnce(&mut Rows) -> Result<Option<PaymentId>, JournalError>,
    ) -> Result<Option<PaymentId>, JournalError> {
        let (head, rows) = &mut self.heads[at];
        let next = next(rows)?;
        match next {
            Some(id) => *head = id,
            None => drop(self.heads.remove(at)),
        }
        Ok(next)
    }

    /// Goes on behind all versions of this id.
    fn pass(&mut self, id: PaymentId) -> Result<(), JournalError> {
        let mut at = 0;
        while let Some((head, _)) = self.heads.get(at) {
            if *head != id || self.advance(at)?.is_some() {
                at += 1;
            }
        }
        Ok(())
    }
}
