//! Reads the model while the sink writes it: consumes ids and positions, produces accounts and
//! payments, each call as of one commit.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use fjall::{Readable as _, Snapshot};
use millrace_ledger::{
    Account, AccountId, BalanceSums, EventSeq, LedgerId, PaymentEvent, PaymentId, Timestamp,
};
use millrace_protos::v1::PaymentContext;
use millrace_risk::evidence::Evidence;
use prost::Message as _;

use super::{
    applied::Applied,
    config::LimitsConfig,
    model::{AccountPage, Slice},
    row::{self, PaymentStateRow, RowError},
    tables::Tables,
};
use crate::store::get;

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

/// When an answer is due, and how much may be looked at for it. Questions that look at much ask it
/// often, so it rarely looks at a clock.
pub(super) struct Deadline {
    started: Instant,
    max: Duration,
    checks: u64,
    looks_max: u64,
}

impl Deadline {
    /// # Errors
    /// When time is up.
    pub(super) fn check(&mut self) -> Result<(), ReadError> {
        self.checks += 1;
        if self.checks.is_multiple_of(64) && self.started.elapsed() > self.max {
            return Err(ReadError::TooSlow(self.max.as_millis() as u64));
        }
        Ok(())
    }

    /// Whether as much was looked at as may be: a page ends there, full or not.
    pub(super) fn is_spent(&self) -> bool {
        self.checks >= self.looks_max
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
    /// Its counters, added up, in minor units.
    pub sums: BalanceSums,
}

impl LedgerConservation {
    /// Whether debits equal credits, posted and pending.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.sums.balanced()
    }
}

/// The read model in an embedded store, readable from any thread. Cheap to clone. Its own methods
/// block; [`super::model::ReadModel`] has those that do not.
#[derive(Clone)]
pub struct ReadStore {
    pub(super) tables: Tables,
    pub(super) applied: Arc<Applied>,
    read_max: Duration,
    looks_max: u64,
}

/// Fewer looks might not get a page past one payment that many lists have.
const LOOKS_MIN: u64 = 64;

impl ReadStore {
    pub(super) fn new(tables: Tables, applied: Arc<Applied>, limits: &LimitsConfig) -> Self {
        let read_max = Duration::from_millis(limits.read_ms);
        Self { tables, applied, read_max, looks_max: limits.page_looks.max(LOOKS_MIN) }
    }

    /// The last event that queries see; 0 when there is none.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        self.applied.place().seq
    }

    /// Time of the batch of the last event that queries see.
    #[must_use]
    pub fn applied_time(&self) -> Timestamp {
        self.applied.place().time
    }

    pub(super) fn deadline(&self) -> Deadline {
        let (started, looks_max) = (Instant::now(), self.looks_max);
        Deadline { started, max: self.read_max, checks: 0, looks_max }
    }

    /// The payment with this id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn payment(&self, id: PaymentId) -> Result<Option<PaymentView>, ReadError> {
        self.payment_in(&self.tables.snapshot(), id)
    }

    pub(super) fn payment_in(
        &self,
        snapshot: &Snapshot,
        id: PaymentId,
    ) -> Result<Option<PaymentView>, ReadError> {
        let Some(stored) = get(snapshot, &self.tables.payment_ids, id.0.to_be_bytes())? else {
            return Ok(None);
        };
        let state = PaymentStateRow::read(&stored)?;
        let stored = get(snapshot, &self.tables.payments, state.seq.0.to_be_bytes())?;
        let mut view = stateless(state.seq, &stored.ok_or(ReadError::Damaged)?)?;
        view.state = Some(state);
        Ok(Some(view))
    }

    pub(super) fn payment_at(
        &self,
        snapshot: &Snapshot,
        seq: EventSeq,
    ) -> Result<PaymentView, ReadError> {
        let stored = get(snapshot, &self.tables.payments, seq.0.to_be_bytes())?;
        let view = stateless(seq, &stored.ok_or(ReadError::Damaged)?)?;
        self.with_state(snapshot, view)
    }

    /// The payment with how it stands now.
    pub(super) fn with_state(
        &self,
        snapshot: &Snapshot,
        mut view: PaymentView,
    ) -> Result<PaymentView, ReadError> {
        let key = view.event.payment.id.0.to_be_bytes();
        let state = get(snapshot, &self.tables.payment_ids, key)?;
        let state = state.map(|state| PaymentStateRow::read(&state)).transpose()?;
        view.state = state.filter(|state| state.seq == view.event.seq);
        Ok(view)
    }

    /// The account with this id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn account(&self, id: AccountId) -> Result<Option<AccountView>, ReadError> {
        self.account_in(&self.tables.snapshot(), id)
    }

    pub(super) fn account_in(
        &self,
        snapshot: &Snapshot,
        id: AccountId,
    ) -> Result<Option<AccountView>, ReadError> {
        let stored = get(snapshot, &self.tables.accounts, id.0.to_be_bytes())?;
        stored.map(|stored| self.account_with_balances(snapshot, id, &stored)).transpose()
    }

    /// Accounts in the order of their ids.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn accounts(&self, page: AccountPage) -> Result<Slice<AccountView>, ReadError> {
        let snapshot = self.tables.snapshot();
        let low = page.after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.0.to_be_bytes()));
        let high = page.before.map_or(Bound::Unbounded, |id| Bound::Excluded(id.0.to_be_bytes()));
        let disjoint = page.after.zip(page.before).is_some_and(|(after, before)| after >= before);
        let mut found = Vec::new();
        if !disjoint {
            let mut rows = snapshot.range(&self.tables.accounts, (low, high));
            while found.len() <= page.limit {
                let row = if page.from_end { rows.next_back() } else { rows.next() };
                let Some(row) = row else { break };
                let (key, value) = row.into_inner()?;
                found.push(self.account_with_balances(&snapshot, account_id(&key)?, &value)?);
            }
        }
        Ok(page.slice(found))
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
        let mut sums: BTreeMap<LedgerId, BalanceSums> = BTreeMap::new();
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
            *sums.entry(ledger).or_default() += &balances;
        }
        let told = |(ledger, sums)| LedgerConservation { ledger, sums };
        Ok(sums.into_iter().map(told).collect())
    }
}

/// The payment of a row of table `payments`, without how it stands now.
pub(super) fn stateless(seq: EventSeq, stored: &[u8]) -> Result<PaymentView, ReadError> {
    let (evidence, payment) = row::judged_payment(stored)?;
    let (event, time, context) = row::payment(seq, payment)?;
    Ok(PaymentView {
        event,
        time,
        // The front door refuses malformed contexts; one in a refused payment shows as none.
        context: match context {
            [] => None,
            context => PaymentContext::decode(context).ok(),
        },
        state: None,
        evidence: Evidence::read(evidence),
    })
}

fn account_id(key: &[u8]) -> Result<AccountId, RowError> {
    key.try_into().map(|bytes| AccountId(u128::from_be_bytes(bytes))).map_err(|_| RowError)
}
