//! Reads the model while the sink writes it: consumes ids and positions, produces accounts and
//! payments, each call as of one commit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fjall::{Readable as _, Snapshot};
use millrace_ledger::{
    Account, AccountId, Balances, EventSeq, LedgerId, PaymentEvent, PaymentId, Timestamp,
};
use millrace_protos::v1::PaymentContext;
use millrace_risk::evidence::Evidence;
use prost::Message as _;

use super::{
    row::{self, PaymentStateRow, RowError},
    tables::{Tables, account_key},
};
use crate::store::{Place, get};

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error("the read model could not be read: {0}")]
    Store(#[from] fjall::Error),
    /// The store does not hold what its sink wrote.
    #[error(
        "a row of the read model does not decode; stop, move the sink's directory away, and \
         start again: it is rebuilt from the journal"
    )]
    Damaged,
    /// The store could not be reached: another try may be answered.
    #[error("{0}; try again")]
    Unavailable(String),
    /// Reading took longer than it may.
    #[error(
        "the answer took longer than {0} ms to find; narrow the question, by account, time or \
         reference say"
    )]
    TooSlow(u64),
    /// The store failed, and says how.
    #[error("the read model could not be read: {0}")]
    Failed(String),
}

impl From<RowError> for ReadError {
    fn from(_: RowError) -> Self {
        Self::Damaged
    }
}

/// How far the store is, for readers that take no lock.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    seq: AtomicU64,
    time_ns: AtomicU64,
}

impl Applied {
    pub(crate) fn set(&self, place: Place) {
        self.time_ns.store(place.time.0, Ordering::Relaxed);
        self.seq.store(place.next_seq.0 - 1, Ordering::Release);
    }
}

/// A payment as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentView {
    /// The payment as decided. What only the ledger needs (event time, digest) is absent.
    pub event: PaymentEvent,
    /// Time of its batch.
    pub time: Timestamp,
    /// What surrounded it, where anything did.
    pub context: Option<PaymentContext>,
    /// How it stands now. `None` for a refusal whose id another payment has.
    pub state: Option<PaymentStateRow>,
    /// What risk had to say of it, where it said anything.
    pub evidence: Option<Evidence>,
}

/// An account as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The account with its balances.
    pub account: Account,
    /// Position of the event that opened it.
    pub opened_at: EventSeq,
    /// Time of that event's batch.
    pub opened_time: Timestamp,
    /// Position of the event after which the balances hold.
    pub balances_at: EventSeq,
}

/// Sums over all accounts of a ledger. Money is conserved when debits equal credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerConservation {
    /// The currency.
    pub ledger: LedgerId,
    /// Posted debits, minor units.
    pub debits_posted: u128,
    /// Posted credits, minor units.
    pub credits_posted: u128,
    /// Reserved debits, minor units.
    pub debits_pending: u128,
    /// Announced credits, minor units.
    pub credits_pending: u128,
}

impl LedgerConservation {
    /// Whether debits equal credits, posted and pending.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.debits_posted == self.credits_posted && self.debits_pending == self.credits_pending
    }
}

/// The read model, readable from any thread. Cheap to clone.
#[derive(Clone)]
pub struct ReadStore {
    pub(super) tables: Tables,
    applied: Arc<Applied>,
}

impl ReadStore {
    pub(crate) fn new(tables: Tables, applied: Arc<Applied>) -> Self {
        Self { tables, applied }
    }

    /// The last event that queries see; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        EventSeq(self.applied.seq.load(Ordering::Acquire))
    }

    /// Time of the batch of the last event that queries see.
    #[must_use]
    pub fn applied_time(&self) -> Timestamp {
        Timestamp(self.applied.time_ns.load(Ordering::Relaxed))
    }

    /// The payment with this id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn payment(&self, id: PaymentId) -> Result<Option<PaymentView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let Some(stored) = get(&snapshot, &self.tables.payment_ids, id.0.to_be_bytes())? else {
            return Ok(None);
        };
        let state = PaymentStateRow::read(&stored)?;
        self.payment_at(&snapshot, state.seq).map(Some)
    }

    /// Payments, newest first: of one account, on either side, or of all. `before` leaves out that
    /// position and what is newer.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn payments(
        &self,
        account: Option<AccountId>,
        before: Option<EventSeq>,
        limit: usize,
    ) -> Result<Vec<PaymentView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let end = before.map_or(u64::MAX, |before| before.0);
        let seqs = match account {
            Some(account) => self.postings_of(&snapshot, account, end, limit)?,
            None => {
                let keys = snapshot.range(&self.tables.payments, ..end.to_be_bytes());
                let keys = keys.rev().take(limit).map(|guard| guard.key());
                keys.map(|key| Ok(EventSeq(row::position(&key?)?)))
                    .collect::<Result<_, ReadError>>()?
            }
        };
        seqs.into_iter().map(|seq| self.payment_at(&snapshot, seq)).collect()
    }

    /// Positions below `end` of the account's payments, newest first.
    fn postings_of(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        end: u64,
        limit: usize,
    ) -> Result<Vec<EventSeq>, ReadError> {
        let keys = account_key(account.0, 0)..account_key(account.0, end);
        let mut found = Vec::new();
        for guard in snapshot.range(&self.tables.postings, keys).rev() {
            let (key, value) = guard.into_inner()?;
            let first = row::position(key.get(16..).ok_or(RowError)?)?;
            let newest_first = row::steps(first, &value)?.into_iter().rev();
            found.extend(newest_first.filter(|seq| seq.0 < end).take(limit - found.len()));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn payment_at(
        &self,
        snapshot: &Snapshot,
        seq: EventSeq,
    ) -> Result<PaymentView, ReadError> {
        let stored = get(snapshot, &self.tables.payments, seq.0.to_be_bytes())?;
        let stored = stored.ok_or(ReadError::Damaged)?;
        let (event, time, context) = row::payment(seq, &stored)?;
        let state = get(snapshot, &self.tables.payment_ids, event.payment.id.0.to_be_bytes())?;
        let state = state.map(|state| PaymentStateRow::read(&state)).transpose()?;
        Ok(PaymentView {
            event,
            time,
            // The front door refuses malformed contexts; one in a refused payment shows as none.
            context: match context {
                [] => None,
                context => PaymentContext::decode(context).ok(),
            },
            state: state.filter(|state| state.seq == seq),
            evidence: None,
        })
    }

    /// The account with this id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn account(&self, id: AccountId) -> Result<Option<AccountView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let stored = get(&snapshot, &self.tables.accounts, id.0.to_be_bytes())?;
        stored.map(|stored| self.account_with_balances(&snapshot, id, &stored)).transpose()
    }

    /// Accounts in the order of their ids, from behind `after`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<AccountView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let from = after.map_or(1, |after| after.0.saturating_add(1));
        let rows = snapshot.range(&self.tables.accounts, from.to_be_bytes()..);
        rows.take(limit)
            .map(|guard| {
                let (key, value) = guard.into_inner()?;
                self.account_with_balances(&snapshot, account_id(&key)?, &value)
            })
            .collect()
    }

    fn account_with_balances(
        &self,
        snapshot: &Snapshot,
        id: AccountId,
        stored: &[u8],
    ) -> Result<AccountView, ReadError> {
        let (mut account, opened_at, opened_time) = row::account(id, stored)?;
        let balances = get(snapshot, &self.tables.balances, id.0.to_be_bytes())?;
        let (balances_at, balances) = row::balances(&balances.ok_or(ReadError::Damaged)?)?;
        account.balances = balances;
        Ok(AccountView { account, opened_at, opened_time, balances_at })
    }

    /// Sums over all accounts, by ledger. Reads every account: seconds for millions of them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn conservation(&self) -> Result<Vec<LedgerConservation>, ReadError> {
        let snapshot = self.tables.snapshot();
        let mut sums: Vec<LedgerConservation> = Vec::new();
        // Every account has one row in both tables, and both are sorted by id.
        let accounts = snapshot.iter(&self.tables.accounts);
        for (account, balances) in accounts.zip(snapshot.iter(&self.tables.balances)) {
            let (key, account) = account.into_inner()?;
            let (balances_key, balances) = balances.into_inner()?;
            if key != balances_key {
                return Err(ReadError::Damaged);
            }
            let ledger = row::account(account_id(&key)?, &account)?.0.spec.ledger;
            let (_, balances) = row::balances(&balances)?;
            match sums.iter_mut().find(|sum| sum.ledger == ledger) {
                Some(sum) => sum.add(&balances),
                None => {
                    let mut sum = LedgerConservation { ledger, ..LedgerConservation::default() };
                    sum.add(&balances);
                    sums.push(sum);
                }
            }
        }
        sums.sort_unstable_by_key(|sum| sum.ledger);
        Ok(sums)
    }
}

impl LedgerConservation {
    /// Wraps at 128 bits on both sides alike, as modular sums of equal numbers stay equal.
    fn add(&mut self, balances: &Balances) {
        self.debits_posted = self.debits_posted.wrapping_add(balances.debits_posted);
        self.credits_posted = self.credits_posted.wrapping_add(balances.credits_posted);
        self.debits_pending = self.debits_pending.wrapping_add(balances.debits_pending);
        self.credits_pending = self.credits_pending.wrapping_add(balances.credits_pending);
    }
}

fn account_id(key: &[u8]) -> Result<AccountId, RowError> {
    key.try_into().map(|bytes| AccountId(u128::from_be_bytes(bytes))).map_err(|_| RowError)
}
