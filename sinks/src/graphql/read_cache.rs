//! Payments and accounts as they were read last: consumes what the store says, produces the same
//! without asking it again. Guarantees that nobody who sees a place of the read model gets an
//! entity as it stood before that place.
//!
//! An entry says at which place it was read. It holds as long as the store knows no later change of
//! its entity ([`ReadModel::last_change`]). The store tells changes before it tells the place, so
//! an entry is refused in time, and no reader waits for a writer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use millrace_ledger::{AccountId, EventSeq, PaymentId};
use moka::sync::Cache;

use super::{
    model::{Entity, ReadModel},
    read::{AccountView, PaymentView},
};

/// The cache. Bounded by entries; what is asked for often stays.
pub(super) struct ReadCache {
    payments: Cache<PaymentId, Entry<PaymentView>, foldhash::fast::RandomState>,
    accounts: Cache<AccountId, Entry<AccountView>, foldhash::fast::RandomState>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Entry<T> {
    read_at: EventSeq,
    view: Arc<T>,
}

impl ReadCache {
    /// Room for so many payments and accounts, half each.
    pub(super) fn new(entries: u64) -> Self {
        let hasher = foldhash::fast::RandomState::default;
        Self {
            payments: Cache::builder().max_capacity(entries / 2).build_with_hasher(hasher()),
            accounts: Cache::builder().max_capacity(entries / 2).build_with_hasher(hasher()),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(super) fn payment(&self, model: &dyn ReadModel, id: PaymentId) -> Option<Arc<PaymentView>> {
        let entry = self.payments.get(&id);
        self.holding(model, Entity::Payment(id), entry)
    }

    pub(super) fn account(&self, model: &dyn ReadModel, id: AccountId) -> Option<Arc<AccountView>> {
        let entry = self.accounts.get(&id);
        self.holding(model, Entity::Account(id), entry)
    }

    fn holding<T>(
        &self,
        model: &dyn ReadModel,
        entity: Entity,
        entry: Option<Entry<T>>,
    ) -> Option<Arc<T>> {
        let entry = entry.filter(|entry| entry.read_at >= model.last_change(entity));
        let counter = if entry.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        entry.map(|entry| entry.view)
    }

    /// Keeps a payment. `read_at` is the place that the model showed before it was read.
    pub(super) fn keep_payment(&self, read_at: EventSeq, view: PaymentView) -> Arc<PaymentView> {
        let (id, view) = (view.event.payment.id, Arc::new(view));
        self.payments.insert(id, Entry { read_at, view: Arc::clone(&view) });
        view
    }

    /// Keeps an account, as above.
    pub(super) fn keep_account(&self, read_at: EventSeq, view: AccountView) -> Arc<AccountView> {
        let (id, view) = (view.account.spec.id, Arc::new(view));
        self.accounts.insert(id, Entry { read_at, view: Arc::clone(&view) });
        view
    }

    /// How often the cache knew, and how often it did not.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Tells the metrics how often the cache knew.
    pub(super) fn tell(&self) {
        let (hits, misses) = self.counts();
        metrics::counter!("millrace_graphql_read_cache_hits_total").absolute(hits);
        metrics::counter!("millrace_graphql_read_cache_misses_total").absolute(misses);
        if hits + misses > 0 {
            let ratio = hits as f64 / (hits + misses) as f64;
            metrics::gauge!("millrace_graphql_read_cache_hit_ratio").set(ratio);
        }
    }
}

#[cfg(test)]
#[path = "read_cache_tests.rs"]
mod tests;
