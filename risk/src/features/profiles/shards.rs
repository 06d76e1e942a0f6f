//! Shards: consumes a block of payments, has several threads observe it, each the payments of the entities
//! that it owns.
//!
//! Guarantees the bits of one thread after the other: an entity has one owner, who takes its payments in
//! sequence order, and a profile depends on the entity's own payments alone. What orders entities among each
//! other, the numbers of their rows and who gives way, is settled before, on one thread; where somebody may
//! have to give way, or a snapshot is under way, or lists are kept, one thread does all.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Attempt, ProfileCounts,
    exact::List,
    index::Spot,
    kind::{BULK, Found, Kind},
    observe::{Kept, Shared},
    rows::prefetch,
};

/// No row: the entity is absent, or the amount is none.
const NOBODY: u32 = u32::MAX;
/// Payments of a block from which on waking other threads can pay.
const PAYMENTS_MIN: usize = 256;

/// What one owner made: its rows of features one after the other, and how many payments came late.
struct Made {
    rows: Vec<f32>,
    late: u64,
}

/// A payment's row of profiles, and whether its entity is new.
type Place = (u32, bool);

impl Kind {
    /// As [`Kind::observe_block`], with the threads of this pool.
    pub(super) fn observe_sharded(
        &mut self,
        pool: &rayon::ThreadPool,
        attempts: &[Attempt<'_>],
        rows: &mut [f32],
        columns: usize,
        counts: &mut ProfileCounts,
    ) {
        let owners = pool.current_num_threads();
        if owners < 2 || !self.can_be_dealt(attempts.len()) {
            return self.observe_block(attempts, rows, columns, counts);
        }
        if self.is_idle() {
            return;
        }
        let places = self.places(attempts, counts);
        let shared =
            Shared { plan: &self.plan, priors: &self.priors, payments_max: self.payments_max };
        let dealt = self.rows.deal(owners);
        let observe = |(owner, mut pieces): (usize, Vec<&mut [u64]>)| {
            let deal = Deal { owner, ..dealt.deal };
            let places = &places[..];
            Arch::new().dispatch(Own {
                shared,
                deal,
                pieces: &mut pieces,
                attempts,
                places,
                columns,
            })
        };
        let made: Vec<Made> =
            pool.install(|| dealt.pieces.into_par_iter().enumerate().map(observe).collect());
        let deal = dealt.deal;
        let mut next = vec![0; owners];
        for ((row, _), out) in places.iter().zip(rows.chunks_exact_mut(columns)) {
            if *row == NOBODY {
                self.say_nothing(out);
                continue;
            }
            let owner = deal.owner_of(*row);
            let own = &made[owner].rows[next[owner]..][..columns];
            next[owner] += columns;
            for output in self.plan.outputs() {
                out[usize::from(output.column)] = own[usize::from(output.column)];
            }
        }
        counts.late += made.iter().map(|made| made.late).sum::<u64>();
    }

    /// Whether what threads do can't depend on each other.
    fn can_be_dealt(&self, payments: usize) -> bool {
        let room = (self.entities_max - self.rows.len()) as usize;
        payments >= PAYMENTS_MIN
            && room >= payments
            && !self.rows.is_swept()
            && !self.plan.exact.is_used()
    }

    /// The rows of payments, in their order; new entities get theirs.
    fn places(&mut self, attempts: &[Attempt<'_>], counts: &mut ProfileCounts) -> Vec<Place> {
        let mut places = Vec::with_capacity(attempts.len());
        let mut found: [Found; 3] = [[(Spot::default(), None); BULK]; 3];
        let bulk = |n: usize| attempts.chunks(BULK).nth(n).unwrap_or_default();
        self.spot_all(bulk(0), &mut found[0]);
        self.spot_all(bulk(1), &mut found[1]);
        self.find_all(bulk(0), &mut found[0]);
        for n in 0..attempts.len().div_ceil(BULK) {
            self.spot_all(bulk(n + 2), &mut found[(n + 2) % 3]);
            self.find_all(bulk(n + 1), &mut found[(n + 1) % 3]);
            for (attempt, (spot, row)) in bulk(n).iter().zip(&found[n % 3]) {
                places.push(self.row_of(attempt, *spot, *row, counts).unwrap_or((NOBODY, false)));
            }
        }
        places
    }
}

/// How rows are dealt out: piece by piece, in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deal {
    /// Rows in a piece: `1 << shift`.
    pub(super) shift: u32,
    pub(super) stride: usize,
    pub(super) owners: usize,
    pub(super) owner: usize,
}

/// Rows in the hands of their owners.
pub(super) struct Dealt<'a> {
    pub(super) deal: Deal,
    /// Of each owner.
    pub(super) pieces: Vec<Vec<&'a mut [u64]>>,
}

impl Deal {
    #[inline(always)]
    fn owner_of(&self, row: u32) -> usize {
        (row >> self.shift) as usize % self.owners
    }

    #[inline(always)]
    fn words<'a>(&self, pieces: &'a mut [&mut [u64]], row: u32) -> &'a mut [u64] {
        let piece = (row >> self.shift) as usize / self.owners;
        let within = (row & ((1 << self.shift) - 1)) as usize * self.stride;
        &mut pieces[piece][within..within + self.stride]
    }
}

/// What one owner observes, for the processor's vectors.
struct Own<'a, 'b, 'c> {
    shared: Shared<'a>,
    deal: Deal,
    pieces: &'a mut [&'c mut [u64]],
    attempts: &'a [Attempt<'b>],
    places: &'a [Place],
    columns: usize,
}

impl WithSimd for Own<'_, '_, '_> {
    type Output = Made;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Made {
        let Self { shared, deal, pieces, attempts, places, columns } = self;
        let is_own = |(row, _): &Place| *row != NOBODY && deal.owner_of(*row) == deal.owner;
        let own: Vec<_> = attempts.iter().zip(places).filter(|(_, place)| is_own(place)).collect();
        let mut made = Made { rows: vec![0.0; own.len() * columns], late: 0 };
        let mut no_list = List::default();
        for (at, out) in made.rows.chunks_exact_mut(columns).enumerate() {
            if let Some((_, (row, _))) = own.get(at + BULK) {
                prefetch(deal.words(pieces, *row));
            }
            let (attempt, (row, is_new)) = own[at];
            let words = deal.words(pieces, *row);
            let kept = Kept { words, list: &mut no_list, is_new: *is_new };
            made.late += u64::from(shared.observe(attempt, kept, out));
        }
        made
    }
}
