//! One ledger, kept in different ways: none of them may have an influence on any outcome.

#![allow(clippy::unwrap_used, reason = "a poisoned lock is a failed test")]
#![allow(clippy::disallowed_types, reason = "the history of a test is shared with the ledger")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::snapshots::Snapshots;
use millrace_ledger::{
    Decision, Gate, History, HistoryError, Ledger, LedgerConfig, Payment, PaymentId, Requested,
    Span, Spans, StoredPayment, Workers,
};

/// A ledger with so many shards that closes a generation after so few payments, keeps so many
/// closed ones in memory, and resolves beside posting. Holds are carried on in pieces, and snapshots taken
/// meanwhile.
pub(crate) struct Split {
    pub(crate) ledger: Ledger,
    attic: Attic,
    closed_max: usize,
    threads: bool,
    /// By how many payments holds are carried on between two batches; the rest when the next generation is
    /// closed.
    carried_max: usize,
    snapshots: Option<Snapshots>,
}

impl Split {
    pub(crate) fn new(
        shards: usize,
        generation_payments_max: u32,
        closed_max: usize,
        threads: bool,
    ) -> Self {
        let attic = Attic::default();
        let history = Arc::new(attic.clone());
        let hash_seed = shards as u64;
        // Ids that are mistaken for each other: some, most, all of a shard's, and none.
        let account_hash_bits = match shards {
            2 => 6,
            8 => 1,
            3 => 0,
            _ => 32,
        };
        let config =
            LedgerConfig { hash_seed, shards, account_hash_bits, generation_payments_max, history };
        let ledger = Ledger::with_config(config);
        let (carried_max, snapshots) = match shards {
            1 => (1, None),
            2 => (usize::MAX, Some(Snapshots::new(3))),
            3 => (0, None),
            8 => (2, Some(Snapshots::new(40))),
            _ => (7, None),
        };
        Self { ledger, attic, closed_max, threads, carried_max, snapshots }
    }

    pub(crate) fn decide(&mut self, payments: &[Payment], gate: &mut impl Gate) -> Vec<Decision> {
        let mut decisions = Vec::with_capacity(payments.len());
        let mut decided = |decision: &Decision| decisions.push(*decision);
        match self.threads {
            true => {
                let request = Requested::without_contexts(payments);
                self.ledger.decide_with(&Threads, &request, gate, |decision, _| decided(decision))
            }
            false => self.ledger.decide(payments, gate, decided),
        }
        .expect("the history can be read");
        decisions
    }

    /// Ends a batch, and closes a full generation and lets the oldest go, as the engine does.
    pub(crate) fn end_batch(&mut self) {
        self.ledger.end_batch();
        if self.ledger.generation_is_full() {
            self.ledger.close_generation();
            if let Some(snapshots) = &mut self.snapshots {
                snapshots.begin(&mut self.ledger);
            }
        }
        self.ledger.carry_on(self.carried_max);
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.go_on(&mut self.ledger);
        }
        self.let_go_until(self.closed_max);
    }

    /// Closes what is open, and lets all go.
    pub(crate) fn let_all_go(&mut self) {
        self.ledger.close_generation();
        self.let_go_until(0);
    }

    /// The newest version of a payment that was let go.
    pub(crate) fn in_history(&self, id: PaymentId) -> Option<StoredPayment> {
        self.attic.0.lock().unwrap().payments.get(&id).copied()
    }

    fn let_go_until(&mut self, closed_max: usize) {
        while self.ledger.closed_generations().len() > closed_max {
            let oldest = self.ledger.closed_generations()[0].clone();
            self.attic.put(oldest.payments());
            let digest = oldest.digest();
            // Nobody holds it now, so its memory is used again.
            drop(oldest);
            self.ledger.let_go(digest);
        }
    }
}

/// Few, so that the gaps of a history are closed again and again.
const SPANS_MAX: usize = 5;

/// A history in memory: what was let go, newest version by id.
#[derive(Clone, Debug, Default)]
struct Attic(Arc<Mutex<Shelf>>);

#[derive(Clone, Debug, Default)]
struct Shelf {
    payments: BTreeMap<PaymentId, StoredPayment>,
    spans: Arc<Spans>,
}

impl Attic {
    fn put<'a>(&self, payments: impl Iterator<Item = &'a StoredPayment>) {
        let Shelf { payments: all, spans } = &mut *self.0.lock().unwrap();
        let single = |id: PaymentId| Span { first: id, last: id, ids: 1 };
        let payments: Vec<_> = payments.map(|payment| (payment.id, *payment)).collect();
        let singles = payments.iter().map(|(id, _)| single(*id));
        *spans = Arc::new(Spans::of(spans.iter().copied().chain(singles), SPANS_MAX));
        all.extend(payments);
    }
}

impl History for Attic {
    fn spans(&self) -> Arc<Spans> {
        self.0.lock().unwrap().spans.clone()
    }

    fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        Ok(self.0.lock().unwrap().payments.get(&id).copied())
    }

    fn as_of_now(&self) -> Arc<dyn History> {
        Arc::new(Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone()))))
    }
}

/// Gives every job a thread of its own.
struct Threads;

impl Workers for Threads {
    fn threads_beside(&self) -> usize {
        2
    }

    fn beside<J: Send>(
        &self,
        jobs: &mut [J],
        work: impl Fn(&mut J) + Send + Sync,
        meanwhile: impl FnOnce(),
    ) {
        std::thread::scope(|scope| {
            for job in jobs {
                scope.spawn(|| work(job));
            }
            meanwhile();
        });
    }
}
