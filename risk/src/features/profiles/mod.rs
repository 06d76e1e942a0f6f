//! Profiles: consumes payments in sequence order and labels, produces rows of features, and
//! remembers of each entity what the catalogue needs.
//!
//! Time is the payments' own. Each profile is as of its newest payment, and never goes back: a
//! payment that comes late is counted where it belongs, with the weight or in the bucket of its
//! own time, or nowhere if it is older than all that is kept; its row is as of the newest payment
//! of each entity. A payment can't be ahead of time: who calls must not let it be later than its
//! batch, or one wrong clock would empty its entities' windows.
//!
//! A payment whose amount is not a finite number is not counted, and its features are missing.
//!
//! Features on demand are kept only while they are demanded, beside the others: until then they cost
//! nothing but a missing number in each row.

mod calendar;
mod decayed;
mod delayed;
mod demand;
mod exact;
mod index;
mod kind;
mod moments;
mod observe;
mod plan;
mod report;
mod ring;
mod rows;
mod runs;
mod shards;
mod sketch;
mod snapshot;
mod waiting;

use millrace_ledger::Timestamp;

pub(super) use self::plan::Plan;
use self::{demand::OnDemand, kind::Kind, plan::RowRead};
use super::{Catalogue, EntityKey};

/// One attempted payment.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// When it is paid; never ahead of its batch.
    pub at: Timestamp,
    /// In major units, such as euros.
    pub amount: f64,
    /// Its entities in the order of [`Catalogue::entities`]; what is not there is absent.
    pub entities: &'a [EntityKey],
}

/// What became known of a payment. Labels of one moment come before its payments.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// When it became known; never ahead of its batch.
    pub at: Timestamp,
    /// When the payment was paid.
    pub paid_at: Timestamp,
    /// The payment's amount, in major units.
    pub amount: f64,
    /// The payment's entities, as they were when it was observed.
    pub entities: &'a [EntityKey],
    /// Whether it was fraud. That it was not matters to the statistics of runs alone, and to them
    /// only where the catalogue does not say after which time payments are taken for honest; for
    /// all others, a payment is honest until it is reported.
    pub fraud: bool,
    /// It was reported as fraud before, and this label, which says that it was none, takes that back.
    pub takes_back: bool,
}

/// What profiles may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileLimits {
    /// Entities of a kind that are remembered, where the catalogue does not say. Default 1,000,000.
    pub entities_max: u32,
    /// Payments of an entity that a window of the form `exact` keeps. Default 1,000,000.
    pub payments_max: usize,
}

impl Default for ProfileLimits {
    fn default() -> Self {
        Self { entities_max: 1_000_000, payments_max: 1_000_000 }
    }
}

/// What happened since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileCounts {
    /// Payments that were observed.
    pub payments: u64,
    /// Payments whose amount is no finite number.
    pub amounts_refused: u64,
    /// Times that a payment was older than the newest one of its entity.
    pub late: u64,
    /// Times that an entity was forgotten to make room.
    pub evicted: u64,
    /// Labels that came.
    pub labels: u64,
    /// Labels of which no entity was remembered, or none since the payment; they were ignored.
    pub labels_unknown: u64,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Profiles {
    catalogue: Catalogue,
    limits: ProfileLimits,
    plan: Plan,
    kinds: Vec<Kind>,
    on_demand: OnDemand,
    counts: ProfileCounts,
    snapshot: snapshot::Progress,
}

impl Profiles {
    /// Nothing is remembered yet. Features on demand are missing until they are demanded.
    #[must_use]
    pub fn new(catalogue: Catalogue, limits: ProfileLimits) -> Self {
        let is_kept = |column: usize| !catalogue.features()[column].on_demand;
        let (plan, kinds) = kinds_of(&catalogue, limits, is_kept);
        Self {
            on_demand: OnDemand::new(&catalogue),
            catalogue,
            limits,
            plan,
            kinds,
            counts: ProfileCounts::default(),
            snapshot: snapshot::Progress::default(),
        }
    }

    /// The catalogue that rows are made by.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What happened since the beginning.
    #[must_use]
    pub fn counts(&self) -> ProfileCounts {
        self.counts
    }

    /// Entities that are remembered, of each kind.
    #[must_use]
    pub fn entity_counts(&self) -> Vec<u32> {
        self.kinds.iter().map(|kind| kind.rows.len()).collect()
    }

    /// Memory of one profile of each kind, without index and lists, and without what is on demand.
    #[must_use]
    pub fn profile_bytes(&self) -> Vec<usize> {
        self.kinds.iter().map(|kind| kind.rows.stride() * 8).collect()
    }

    /// Memory that is taken now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kinds.iter().chain(self.on_demand.kinds()).map(Kind::bytes).sum()
    }

    /// Reads the features of a payment into its row, and counts it.
    ///
    /// # Panics
    /// If the row is not as long as the catalogue.
    pub fn observe(&mut self, attempt: &Attempt<'_>, row: &mut [f32]) {
        self.observe_block(std::slice::from_ref(attempt), row);
    }

    /// Does for each payment, in their order, what [`Self::observe`] does; faster, because their
    /// cache misses overlap.
    ///
    /// # Panics
    /// If the rows are not as many as the payments, each as long as the catalogue.
    pub fn observe_block(&mut self, attempts: &[Attempt<'_>], rows: &mut [f32]) {
        self.observe_by(attempts, rows, Kind::observe_block);
    }

    /// The same to the bit, with the threads of this pool where the block is long enough: each takes the
    /// payments of the entities that it owns.
    ///
    /// # Panics
    /// As [`Self::observe_block`].
    pub fn observe_block_on(
        &mut self,
        pool: &rayon::ThreadPool,
        attempts: &[Attempt<'_>],
        rows: &mut [f32],
    ) {
        self.observe_by(attempts, rows, |kind, attempts, rows, columns, counts| {
            kind.observe_sharded(pool, attempts, rows, columns, counts);
        });
    }

    fn observe_by(
        &mut self,
        attempts: &[Attempt<'_>],
        rows: &mut [f32],
        observe: impl Fn(&mut Kind, &[Attempt<'_>], &mut [f32], usize, &mut ProfileCounts),
    ) {
        let columns = self.plan.columns;
        assert_eq!(rows.len(), attempts.len() * columns, "one row per payment");
        // Kinds know nothing of each other, so each can take the whole block.
        for kind in self.kinds.iter_mut().chain(self.on_demand.kinds_mut()) {
            observe(kind, attempts, rows, columns, &mut self.counts);
        }
        for (attempt, row) in attempts.iter().zip(rows.chunks_exact_mut(columns)) {
            self.counts.payments += 1;
            self.counts.amounts_refused += u64::from(!attempt.amount.is_finite());
            for columns in self.on_demand.missing() {
                row[columns.clone()].fill(f32::NAN);
            }
            for (column, missing, read) in &self.plan.row {
                let value = match *read {
                    RowRead::Payment(statistic) => {
                        calendar::of_payment(statistic, attempt.at.0, attempt.amount) as f32
                    }
                    RowRead::Quotient(one, other) => {
                        row[usize::from(one)] / row[usize::from(other)]
                    }
                };
                row[usize::from(*column)] = if value.is_finite() { value } else { *missing };
            }
        }
    }

    /// Counts what became known of a payment.
    pub fn label(&mut self, label: &Label<'_>) {
        self.counts.labels += 1;
        let exceptions = self.plan.exceptions.iter().enumerate();
        let excepted = exceptions.fold(0, |excepted, (place, exception)| {
            let unusual = self.kinds[exception.kind].is_unusual(label, exception.unusual);
            excepted | u64::from(label.fraud && unusual) << place
        });
        // What is on demand knows no runs, and so no exceptions.
        let kinds = self.kinds.iter_mut().chain(self.on_demand.kinds_mut());
        let known = kinds.fold(false, |known, kind| kind.label(label, excepted) | known);
        self.counts.labels_unknown += u64::from(!known);
    }
}

/// What is kept for the features in these columns, of each kind of entity.
fn kinds_of(
    catalogue: &Catalogue,
    limits: ProfileLimits,
    is_kept: impl Fn(usize) -> bool,
) -> (Plan, Vec<Kind>) {
    let plan = Plan::compile(catalogue.entities(), catalogue.features(), is_kept);
    let mut plan = plan.expect("the catalogue was checked when it was read");
    let plans = std::mem::take(&mut plan.kinds).into_iter().enumerate();
    let kinds = plans.map(|(place, kind)| {
        let entities_max = catalogue.entities()[place].entities_max;
        let entities_max = entities_max.unwrap_or(limits.entities_max);
        Kind::new(kind, place, plan.priors.clone(), entities_max, limits.payments_max)
    });
    let kinds = kinds.collect();
    (plan, kinds)
}
