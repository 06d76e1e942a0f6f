//! Projects events onto what changes in the tables: consumes the events of one apply, produces what
//! is to be written. Guarantees that each row that changes is written once per apply, with what
//! holds after its last event.
//!
//! Rows of `payments` are not made here: they are encoded while they are sent.

use std::collections::{BTreeMap, HashMap, HashSet};

use millrace_engine::feed::FeedEvent;
use millrace_ledger::{
    Account, AccountEvent, AccountId, Balances, Event, EventSeq, HoldExpired, Operation,
    PaymentEvent, PaymentId, RiskDecision, Status, Timestamp,
};
use millrace_sinks::graphql::{PaymentState, model::Entity};

use crate::names;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

const HOUR_NS: u64 = 3_600_000_000_000;

/// An event that is due, with the time of its batch.
pub(crate) type Due<'a> = (&'a FeedEvent, Timestamp);

/// How a payment stands: a row of `payment_ids`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) seq: EventSeq,
    pub(crate) time: Timestamp,
    pub(crate) state: PaymentState,
    pub(crate) left: u128,
    pub(crate) released: u128,
    /// Whether the row is in the database already.
    pub(crate) stored: bool,
    pub(crate) changed: bool,
}

/// A row of `holds`, but for what its [`Standing`] says.
pub(crate) struct NewHold<'a> {
    pub(crate) event: &'a PaymentEvent,
    pub(crate) time: Timestamp,
    pub(crate) kind: &'static str,
}

/// A row of `expiries`.
pub(crate) struct Expiry<'a> {
    pub(crate) event: &'a HoldExpired,
    pub(crate) time: Timestamp,
    pub(crate) hold_seq: EventSeq,
    pub(crate) held_at: Timestamp,
}

/// A row of `accounts`, but for its balances.
pub(crate) struct AccountRow {
    pub(crate) account: Account,
    pub(crate) seq: EventSeq,
    pub(crate) time: Timestamp,
}

/// What totals are kept by: the start of the hour, ledger, status.
pub(crate) type TotalKey = (u64, u32, &'static str);

/// Adds to a row of `totals`.
pub(crate) struct Total {
    pub(crate) key: TotalKey,
    pub(crate) payments: u64,
    pub(crate) minor: u128,
}

/// What one apply writes.
pub(crate) struct Projection<'a> {
    pub(crate) standings: Map<PaymentId, Standing>,
    /// Ids that this apply adds.
    pub(crate) new_ids: Vec<PaymentId>,
    /// Where a refusal left an id free that nothing has.
    pub(crate) free: Map<PaymentId, (EventSeq, Timestamp)>,
    pub(crate) holds: Vec<NewHold<'a>>,
    pub(crate) expiries: Vec<Expiry<'a>>,
    pub(crate) accounts: BTreeMap<u128, AccountRow>,
    pub(crate) balances: Map<u128, (EventSeq, Balances)>,
    /// Two of one kind add up.
    pub(crate) totals: Vec<Total>,
    totals_at: Map<TotalKey, usize>,
    /// Whether retention may have dropped the original of a refund.
    forgets: bool,
}

/// An event names a payment that is not in the database.
#[derive(Debug)]
pub(crate) struct UnknownPayment {
    pub(crate) event: EventSeq,
    pub(crate) payment: PaymentId,
}

/// The payments that must be read before these events can be projected: originals, expired holds,
/// and ids that refusals left free.
pub(crate) fn ids_to_read(events: &[Due<'_>]) -> Vec<PaymentId> {
    let mut made: HashSet<PaymentId, foldhash::fast::RandomState> = HashSet::default();
    let mut read = Vec::new();
    for (event, _) in events {
        let wanted = match &event.event {
            Event::Payment(payment) => {
                let (id, accepted) = (payment.payment.id, payment.outcome.is_accepted());
                if leaves_id_free(payment) {
                    Some(id)
                } else {
                    made.insert(id);
                    let follows = accepted && payment.payment.operation.needs_original();
                    follows.then_some(payment.payment.original)
                }
            }
            Event::HoldExpired(expired) => Some(expired.payment),
            Event::Account(_) | Event::Act(_) => None,
        };
        read.extend(wanted.filter(|id| !made.contains(id)));
    }
    read.sort_unstable();
    read.dedup();
    read
}

fn leaves_id_free(event: &PaymentEvent) -> bool {
    matches!(event.outcome.status, Status::Rejected(reason) if !reason.burns_id())
}

impl<'a> Projection<'a> {
    /// Projects the events. `known` holds what the database says of [`ids_to_read`].
    pub(crate) fn of(
        events: &[Due<'a>],
        known: Vec<(PaymentId, Standing)>,
        forgets: bool,
    ) -> Result<Self, UnknownPayment> {
        let mut standings = Map::with_capacity_and_hasher(events.len(), Default::default());
        standings.extend(known);
        let mut projection = Self {
            standings,
            new_ids: Vec::with_capacity(events.len()),
            free: Map::default(),
            holds: Vec::new(),
            expiries: Vec::new(),
            accounts: BTreeMap::new(),
            balances: Map::default(),
            totals: Vec::new(),
            totals_at: Map::default(),
            forgets,
        };
        for (event, time) in events {
            match &event.event {
                Event::Payment(payment) => projection.add_payment(payment, *time)?,
                Event::HoldExpired(expired) => projection.add_expiry(expired, *time)?,
                Event::Account(account) => projection.add_account(account, *time),
                Event::Act(_) => {}
            }
        }
        Ok(projection)
    }

    fn add_payment(
        &mut self,
        event: &'a PaymentEvent,
        time: Timestamp,
    ) -> Result<(), UnknownPayment> {
        self.add_to_totals(event, time);
        self.note_standing(event, time);
        if !event.outcome.is_accepted() {
            return Ok(());
        }
        if event.payment.operation.needs_original() {
            self.follow_up(event)?;
        }
        if event.outcome.status == Status::Held {
            let kind = match event.verdict.decision {
                RiskDecision::Review => "review",
                RiskDecision::Challenge => "challenge",
                _ => "authorized",
            };
            self.holds.push(NewHold { event, time, kind });
        }
        if let Some(both) = event.balances {
            self.balances.insert(event.payment.debit.0, (event.seq, both[0]));
            self.balances.insert(event.payment.credit.0, (event.seq, both[1]));
        }
        Ok(())
    }

    fn note_standing(&mut self, event: &PaymentEvent, time: Timestamp) {
        let id = event.payment.id;
        if leaves_id_free(event) {
            if id != PaymentId::ZERO && !self.standings.contains_key(&id) {
                self.free.insert(id, (event.seq, time));
            }
            return;
        }
        let (state, left) = PaymentState::decided(event);
        let standing = Standing {
            seq: event.seq,
            time,
            state,
            left,
            released: 0,
            stored: false,
            changed: true,
        };
        self.standings.insert(id, standing);
        self.new_ids.push(id);
    }

    fn standing(
        &mut self,
        payment: PaymentId,
        event: EventSeq,
    ) -> Result<&mut Standing, UnknownPayment> {
        let standing = self.standings.get_mut(&payment);
        let standing = standing.ok_or(UnknownPayment { event, payment })?;
        standing.changed = true;
        Ok(standing)
    }

    /// What an accepted capture, void or refund changes of its original.
    fn follow_up(&mut self, event: &PaymentEvent) -> Result<(), UnknownPayment> {
        let amount = event.outcome.amount.0;
        if self.forgets && !self.standings.contains_key(&event.payment.original) {
            return Ok(());
        }
        let original = self.standing(event.payment.original, event.seq)?;
        original.left = original.left.saturating_sub(amount);
        original.state = original.state.after(event.payment.operation, original.left);
        if event.payment.operation == Operation::Void {
            original.released = amount;
        }
        Ok(())
    }

    fn add_expiry(
        &mut self,
        event: &'a HoldExpired,
        time: Timestamp,
    ) -> Result<(), UnknownPayment> {
        let hold = self.standing(event.payment, event.seq)?;
        hold.state = PaymentState::HoldExpired;
        hold.left = hold.left.saturating_sub(event.released.0);
        hold.released = event.released.0;
        let (hold_seq, held_at) = (hold.seq, hold.time);
        self.expiries.push(Expiry { event, time, hold_seq, held_at });
        self.balances.insert(event.debit.0, (event.seq, event.balances[0]));
        self.balances.insert(event.credit.0, (event.seq, event.balances[1]));
        Ok(())
    }

    /// The row's opening counts only where the account is new to the database.
    fn add_account(&mut self, event: &AccountEvent, time: Timestamp) {
        let id = event.account.spec.id.0;
        self.balances.insert(id, (event.seq, event.account.balances));
        let opened = AccountRow { account: event.account, seq: event.seq, time };
        self.accounts.entry(id).or_insert(opened).account = event.account;
    }

    /// What readers may hold a copy of that is no longer right.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Entity> {
        let changed = self.standings.iter().filter(|(_, standing)| standing.changed);
        changed
            .map(|(id, _)| Entity::Payment(*id))
            .chain(self.free.keys().map(|id| Entity::Payment(*id)))
            .chain(self.balances.keys().map(|id| Entity::Account(AccountId(*id))))
    }

    fn add_to_totals(&mut self, event: &PaymentEvent, time: Timestamp) {
        let hour = time.0 / HOUR_NS * HOUR_NS;
        let key = (hour, event.payment.ledger.0, names::status(event.outcome.status));
        let minor = event.outcome.amount.0;
        let last = self.totals_at.get(&key).map(|at| &mut self.totals[*at]);
        let sum = last.and_then(|total| Some((total.minor.checked_add(minor)?, total)));
        match sum {
            Some((sum, total)) => {
                total.payments += 1;
                total.minor = sum;
            }
            // The first, or the one that 128 bits do not hold.
            None => {
                self.totals_at.insert(key, self.totals.len());
                self.totals.push(Total { key, payments: 1, minor });
            }
        }
    }
}
