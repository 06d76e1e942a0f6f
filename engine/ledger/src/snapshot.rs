//! Snapshots: hand out the ledger as it stood between two batches, piece by piece, while later
//! batches are decided; and make a ledger of the pieces again.
//!
//! A snapshot holds no payments but open holds: the generation that was open is closed first, so
//! that history has all others.

use std::sync::Arc;

use crate::{
    Account, EventSeq, Generation, Ledger, LedgerConfig, Stage, StoredPayment, Timestamp, Verdict,
    books::Expiry, recent::Uncarried,
};

/// All that is neither an account nor an open hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The last event that the snapshot knows.
    pub last_seq: EventSeq,
    /// Time of its batch.
    pub time: Timestamp,
    /// Ids that were taken.
    pub payments_taken: u64,
    /// Sum of the digests of all payments in history that will not change but by being recalled.
    pub past_digest: u128,
    /// Generations closed so far.
    pub generations_closed: u64,
    /// Number of accounts.
    pub accounts: u64,
    /// Number of open holds.
    pub holds: u64,
    /// Every verdict that was given, by its number.
    pub verdicts: Vec<Verdict>,
}

/// A snapshot that was begun.
#[derive(Clone, Debug)]
pub struct SnapshotBegun {
    /// Complete but for the digests of `closed`, which take their time: see
    /// [`SnapshotBegun::into_head`].
    head: SnapshotHead,
    /// Closed generations that history may not have yet. It must have them before the snapshot can
    /// be used.
    closed: Vec<Arc<Generation>>,
    /// Holds that slices don't hand out.
    uncarried: Option<Uncarried>,
}

impl SnapshotBegun {
    /// Number of the last generation that belongs to the snapshot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.head.generations_closed
    }

    /// Adds up what is left to add up, and gathers the open holds that [`Ledger::snapshot_slice`] does
    /// not hand out, those of the generation that was closed last. Takes a second for millions of
    /// payments, so it is not done between batches.
    #[must_use]
    pub fn into_head(self) -> (SnapshotHead, Vec<StoredPayment>) {
        let digests = self.closed.iter().map(|generation| generation.digest());
        let past_digest = digests.fold(self.head.past_digest, u128::wrapping_add);
        let uncarried: Vec<_> = self.uncarried.iter().flat_map(Uncarried::holds).copied().collect();
        let holds = self.head.holds + uncarried.len() as u64;
        (SnapshotHead { past_digest, holds, ..self.head }, uncarried)
    }
}

impl Ledger {
    /// Begins a snapshot of the ledger as it is now. Only between batches, and only when the
    /// generation that was open was closed just before.
    ///
    /// # Panics
    /// If payments were decided since the last generation was closed.
    pub fn begin_snapshot(&mut self) -> SnapshotBegun {
        assert!(self.books.recent.is_empty(), "the open generation is closed before a snapshot");
        self.books.accounts.begin_sweep();
        self.books.recent.begin_sweep();
        let head = SnapshotHead {
            last_seq: self.books.last_seq,
            time: self.books.event_time,
            payments_taken: self.books.payments_taken,
            past_digest: self.books.past_digest,
            generations_closed: self.generations_closed,
            accounts: self.books.accounts.len() as u64,
            holds: self.books.recent.carried_count() as u64,
            verdicts: self.books.verdicts.clone(),
        };
        // No payment was decided since, so none of these was touched.
        let uncarried = self.books.recent.uncarried().cloned();
        SnapshotBegun { head, closed: self.closed_generations().to_vec(), uncarried }
    }

    /// Appends the next `rows_max` accounts, and after the last of them as many open holds, as they
    /// were when the snapshot was begun. `false` when there are no more. Holds of the generation that
    /// was closed last come by [`SnapshotBegun::into_head`].
    pub fn snapshot_slice(
        &mut self,
        rows_max: usize,
        accounts: &mut Vec<Account>,
        holds: &mut Vec<StoredPayment>,
    ) -> bool {
        let before = accounts.len();
        if self.books.accounts.sweep(rows_max, |account| accounts.push(*account))
            || accounts.len() > before
        {
            return true;
        }
        self.books.recent.sweep(rows_max, |hold| holds.push(*hold))
    }

    /// A ledger that is to be filled from a snapshot: [`Self::restore_account`] for every account in
    /// order, [`Self::restore_hold`] for every hold.
    #[must_use]
    pub fn restore(config: LedgerConfig, head: SnapshotHead) -> Self {
        let mut ledger = Self::with_config(config);
        let books = &mut ledger.books;
        books.last_seq = head.last_seq;
        (books.time, books.event_time) = (head.time, head.time);
        books.payments_taken = head.payments_taken;
        books.past_digest = head.past_digest;
        books.verdicts = head.verdicts;
        ledger.generations_closed = head.generations_closed;
        ledger
    }

    /// Takes over an account from a snapshot.
    pub fn restore_account(&mut self, account: &Account) {
        let slot = self.books.accounts.restore(account);
        self.shards.add_account(account.spec.id, slot);
    }

    /// Takes over an open hold from a snapshot.
    pub fn restore_hold(&mut self, hold: &StoredPayment) {
        debug_assert_eq!(hold.stage, Stage::HoldOpen, "only open holds are carried");
        self.books.expiries.extend(Expiry::of(hold));
        self.books.recent.carry(*hold);
    }
}
