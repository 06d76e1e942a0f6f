//! Stretches: consumes a request, resolves and posts it piece by piece, on one thread or on several.
//! Guarantees that posting sees the pieces in order, each of them resolved as a whole.

use std::ops::Range;

use super::{Deciding, Decision};
use crate::{
    Gate, HistoryError, Payment, Workers,
    findings::Findings,
    handover::{Giver, Handover},
    shard::{Group, Recalled, Shards, Stretch},
};

/// Payments that are resolved together, ahead of posting them: enough for their cache misses to
/// overlap, few enough for what was fetched to be there still.
const STRETCH: usize = 512;
/// As many for a gate that looks ahead.
const STRETCH_LOOKED_AT: usize = 2_048;
/// As many beside posting: the shorter, the less is there that nothing is done beside.
const STRETCH_BESIDE: usize = 256;
/// The first one, which posting waits for, where workers are awake.
const STRETCH_FIRST: usize = 128;
/// Fewer payments than this are not worth waking a thread for.
pub(super) const BESIDE_MIN: usize = 1_024;

/// How a request is cut for resolving.
pub(super) struct Stretches<'a> {
    payments: &'a [Payment],
    /// Row of the request's first payment.
    first_row: u32,
    findings: &'a Findings,
    known: &'a [Recalled],
    len_max: usize,
}

impl<'a> Stretches<'a> {
    pub(super) fn new(
        payments: &'a [Payment],
        first_row: u32,
        findings: &'a Findings,
        known: &'a [Recalled],
        looks_ahead: bool,
        beside: bool,
    ) -> Self {
        let len_max = match (looks_ahead, beside) {
            (true, _) => STRETCH_LOOKED_AT,
            (false, true) => STRETCH_BESIDE,
            (false, false) => STRETCH,
        };
        Self { payments, first_row, findings, known, len_max }
    }

    fn stretch(&self, positions: Range<usize>) -> Stretch<'a> {
        let Self { payments, first_row, findings, known, .. } = *self;
        Stretch { payments, positions, first_row, findings, known }
    }

    /// The stretches of these payments.
    fn of(&self, positions: Range<usize>) -> impl Iterator<Item = Stretch<'a>> {
        let Range { start, end } = positions;
        let starts = (start..end).step_by(self.len_max);
        starts.map(move |start| self.stretch(start..end.min(start + self.len_max)))
    }
}

impl<G: Gate, D: FnMut(&Decision, &G)> Deciding<'_, G, D> {
    /// Resolves a stretch, and posts what is complete, and so on.
    pub(super) fn decide_alone(
        mut self,
        shards: &mut Shards,
        stretches: &Stretches<'_>,
    ) -> Result<(), HistoryError> {
        let mut all = shards.all();
        for stretch in stretches.of(0..self.request.payments.len()) {
            let found = all.resolve(&stretch)?;
            self.post_stretch(&stretch, found);
        }
        Ok(())
    }

    /// Resolves the first stretch, while workers that are asleep wake up. They resolve the others,
    /// while this thread posts one after the other as they come.
    pub(super) fn decide_beside(
        mut self,
        shards: &mut Shards,
        stretches: &Stretches<'_>,
        workers: &impl Workers,
    ) -> Result<(), HistoryError> {
        let first_max = if workers.rouse() { STRETCH_FIRST } else { STRETCH };
        let len = self.request.payments.len();
        let first_len = first_max.min(len);
        let first = stretches.stretch(0..first_len);
        let first_found = shards.all().resolve(&first)?;
        let groups = shards.groups(workers.threads_beside());
        let handover = Handover::new(groups.len(), stretches.of(first_len..len).count());
        let mut jobs: Vec<_> = groups.into_iter().zip(handover.givers()).map(Some).collect();
        let resolve = |job: &mut Option<(Group<'_>, Giver<'_>)>| {
            let Some((mut group, mut giver)) = job.take() else { return };
            for stretch in stretches.of(first_len..len) {
                giver.give(group.resolve(&stretch));
            }
        };
        let mut result = Ok(());
        workers.beside(&mut jobs, resolve, || {
            self.post_stretch(&first, first_found);
            for (number, stretch) in stretches.of(first_len..len).enumerate() {
                match handover.wait(number) {
                    Some(Ok(found)) => self.post_stretch(&stretch, found),
                    Some(Err(error)) => return result = Err(error),
                    // A worker panicked, and who waits for it is about to.
                    None => return,
                }
            }
        });
        result
    }

    fn post_stretch(&mut self, stretch: &Stretch<'_>, mut found: Vec<Recalled>) {
        self.request.recalled.append(&mut found);
        self.post_until(stretch.positions.end);
    }
}
