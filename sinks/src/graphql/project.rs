//! Projects events onto rows: consumes the events of one apply, produces one batch of rows.
//! Guarantees that each key is written once per batch, with what holds after its last event.

use std::collections::{HashMap, HashSet};

use fjall::OwnedWriteBatch;
use millrace_engine::feed::FeedEvent;
use millrace_ledger::{
    AccountEvent, AccountFlags, AccountId, Balances, Event, EventSeq, HoldExpired, Operation,
    PaymentEvent, PaymentId, RejectReason, Timestamp,
};

use super::{
    history_row::{BalanceChange, ExpiryRow, HistoryRow},
    index::{Index, put_list},
    keys::id_key,
    model::Entity,
    row::{self, PaymentState, PaymentStateRow},
    tables::Tables,
};
use crate::SinkError;

/// Ids of the accounts whose history is kept.
pub(super) type HistoryAccounts = HashSet<u128, foldhash::fast::RandomState>;

/// The rows of one apply, in the making.
pub(super) struct Projection<'a> {
    tables: &'a Tables,
    /// As of the last commit; those that this apply opens are in `accounts`.
    history_accounts: &'a HistoryAccounts,
    batch: OwnedWriteBatch,
    /// States that this apply made or changed, by payment.
    states: HashMap<PaymentId, PaymentStateRow, foldhash::fast::RandomState>,
    touches: Vec<Touch>,
    /// By account. Written in the order of their keys: the store takes those sooner.
    history: Vec<(AccountId, HistoryRow)>,
    /// Rows of table `accounts` that this apply made or changed.
    accounts: HashMap<u128, AccountRow, foldhash::fast::RandomState>,
    index: Index,
    buffer: Vec<u8>,
}

/// The rows of one apply.
pub(super) struct Rows {
    pub(super) batch: OwnedWriteBatch,
    /// Accounts that keep their history, some of them as before.
    pub(super) history_accounts: Vec<u128>,
    /// What readers may have cached, and is other now.
    pub(super) changed: Vec<Entity>,
}

/// An event touched an account. Sorted, these give an account's postings and its last balances.
#[derive(Clone, Copy)]
struct Touch {
    account: u128,
    seq: u64,
    /// Whether it is a payment, which the account's list names.
    listed: bool,
    /// Unknown or unchanged where it is refused.
    balances: Option<Balances>,
}

#[derive(Clone, Copy)]
struct AccountRow {
    account: millrace_ledger::Account,
    opened_at: EventSeq,
    opened_time: Timestamp,
}

impl AccountRow {
    fn keeps_history(&self) -> bool {
        self.account.spec.flags.has(AccountFlags::KEEPS_HISTORY)
    }
}

impl<'a> Projection<'a> {
    pub(super) fn new(
        tables: &'a Tables,
        history_accounts: &'a HistoryAccounts,
        events: usize,
    ) -> Self {
        Self {
            tables,
            history_accounts,
            batch: tables.batch(events * 4),
            states: HashMap::with_capacity_and_hasher(events, Default::default()),
            touches: Vec::with_capacity(events * 2),
            history: Vec::new(),
            accounts: HashMap::default(),
            index: Index::default(),
            buffer: Vec::with_capacity(256),
        }
    }

    pub(super) fn add(&mut self, event: &FeedEvent, time: Timestamp) -> Result<(), SinkError> {
        self.index.note_time(event.event.seq(), time);
        match &event.event {
            Event::Payment(payment) => self.add_payment(payment, time, event),
            Event::HoldExpired(expired) => self.add_expiry(expired, time),
            Event::Account(account) => self.add_account(account, time),
            Event::Act(_) => Ok(()),
        }
    }

    fn add_payment(
        &mut self,
        event: &PaymentEvent,
        time: Timestamp,
        around: &FeedEvent,
    ) -> Result<(), SinkError> {
        self.buffer.clear();
        let (context, evidence) = (&around.context, &around.evidence);
        row::put_judged_payment(&mut self.buffer, event, time, context, evidence);
        self.batch.insert(&self.tables.payments, event.seq.0.to_be_bytes(), &self.buffer[..]);
        self.index.add_payment(event, time, context);
        self.note_state(event)?;
        if event.outcome.is_accepted() {
            self.follow_up(event)?;
        }
        let payment = &event.payment;
        let balances = event.balances.filter(|_| event.outcome.is_accepted());
        self.touch(payment.debit.0, event.seq, balances.map(|both| both[0]));
        if payment.credit != payment.debit {
            self.touch(payment.credit.0, event.seq, balances.map(|both| both[1]));
        }
        if let (Some(change), Some(balances)) = (BalanceChange::of(event), event.balances) {
            for (account, balances) in [payment.debit, payment.credit].into_iter().zip(balances) {
                let (seq, payment) = (event.seq, payment.id);
                let row = HistoryRow { seq, time, change, payment, balances };
                self.note_balances(account, row);
            }
        }
        Ok(())
    }

    /// The account's balances after the event, where the account asked for its history.
    fn note_balances(&mut self, account: AccountId, row: HistoryRow) {
        let opened_now = || self.accounts.get(&account.0).is_some_and(AccountRow::keeps_history);
        if self.history_accounts.contains(&account.0) || opened_now() {
            self.history.push((account, row));
        }
    }

    fn touch(&mut self, account: u128, seq: EventSeq, balances: Option<Balances>) {
        if account != 0 {
            self.touches.push(Touch { account, seq: seq.0, listed: true, balances });
        }
    }

    /// The payment's own state. A refusal that leaves the id free never hides a payment that has
    /// the id: a reused id is refused, and that refusal is an event of the same id.
    fn note_state(&mut self, event: &PaymentEvent) -> Result<(), SinkError> {
        let id = event.payment.id;
        let amount = event.outcome.amount.0;
        let (state, left) = PaymentState::decided(event);
        if state == PaymentState::RefusedIdFree {
            let known = self.state(id)?.is_some_and(|row| row.state != PaymentState::RefusedIdFree);
            if known || id == PaymentId::ZERO {
                return Ok(());
            }
        }
        self.states
            .insert(id, PaymentStateRow { seq: event.seq, state, amount, left, released: 0 });
        Ok(())
    }

    /// What an accepted capture, void or refund changes of its original.
    fn follow_up(&mut self, event: &PaymentEvent) -> Result<(), SinkError> {
        if !event.payment.operation.needs_original() {
            return Ok(());
        }
        let mut original = self.known_state(event.payment.original)?;
        let amount = event.outcome.amount.0;
        original.left = original.left.saturating_sub(amount);
        let sides = [event.payment.debit, event.payment.credit];
        let state = original.state.after(event.payment.operation, original.left);
        if state != original.state {
            self.index.close_hold(original.seq, sides);
        }
        original.state = state;
        if event.payment.operation == Operation::Void {
            original.released = amount;
        }
        self.states.insert(event.payment.original, original);
        Ok(())
    }

    fn add_expiry(&mut self, event: &HoldExpired, time: Timestamp) -> Result<(), SinkError> {
        let mut hold = self.known_state(event.payment)?;
        hold.state = PaymentState::HoldExpired;
        hold.left = hold.left.saturating_sub(event.released.0);
        hold.released = event.released.0;
        self.states.insert(event.payment, hold);
        self.index.close_hold(hold.seq, [event.debit, event.credit]);
        self.buffer.clear();
        let (released, balances) = (event.released.0, event.balances);
        ExpiryRow { hold: hold.seq, released, time, balances }.put(&mut self.buffer);
        self.batch.insert(&self.tables.expiries, event.seq.0.to_be_bytes(), &self.buffer[..]);
        for (account, balances) in [event.debit, event.credit].into_iter().zip(event.balances) {
            let key = id_key(account.0, event.seq.0);
            self.batch.insert(&self.tables.account_expiries, key, []);
            let (change, payment) = (BalanceChange::Expired, event.payment);
            let row = HistoryRow { seq: event.seq, time, change, payment, balances };
            self.note_balances(account, row);
            let balances = Some(balances);
            self.touches.push(Touch {
                account: account.0,
                seq: event.seq.0,
                listed: false,
                balances,
            });
        }
        Ok(())
    }

    fn add_account(&mut self, event: &AccountEvent, time: Timestamp) -> Result<(), SinkError> {
        let id = event.account.spec.id;
        let opened = match (event.change, self.accounts.get(&id.0)) {
            (None, _) => (event.seq, time),
            (Some(_), Some(row)) => (row.opened_at, row.opened_time),
            (Some(_), None) => {
                let key = id.0.to_be_bytes();
                let stored = self.tables.accounts.get(key);
                let stored = stored.map_err(self.tables.failed("read an account"))?;
                let read = stored.map(|stored| row::account(id, &stored)).transpose();
                let read = read.map_err(|_| self.tables.damaged(&format!("account {id}")))?;
                read.map_or((event.seq, time), |(_, seq, time)| (seq, time))
            }
        };
        let row = AccountRow { account: event.account, opened_at: opened.0, opened_time: opened.1 };
        self.accounts.insert(id.0, row);
        let balances = Some(event.account.balances);
        self.touches.push(Touch { account: id.0, seq: event.seq.0, listed: false, balances });
        Ok(())
    }

    fn known_state(&self, id: PaymentId) -> Result<PaymentStateRow, SinkError> {
        self.state(id)?.ok_or_else(|| self.tables.damaged(&format!("payment {id}, which is gone")))
    }

    fn state(&self, id: PaymentId) -> Result<Option<PaymentStateRow>, SinkError> {
        if let Some(row) = self.states.get(&id) {
            return Ok(Some(*row));
        }
        let stored = self.tables.payment_ids.get(id.0.to_be_bytes());
        let stored = stored.map_err(self.tables.failed("read a payment"))?;
        let read = stored.map(|stored| PaymentStateRow::read(&stored)).transpose();
        read.map_err(|_| self.tables.damaged(&format!("payment {id}")))
    }

    /// What is to be committed.
    ///
    /// # Errors
    /// When totals of an earlier apply can't be read.
    pub(super) fn finish(mut self) -> Result<Rows, SinkError> {
        self.index.write(self.tables, &mut self.batch, &mut self.buffer)?;
        let mut changed = Vec::with_capacity(self.states.len() + self.touches.len());
        changed.extend(self.states.keys().map(|id| Entity::Payment(*id)));
        for (id, state) in &self.states {
            self.buffer.clear();
            state.put(&mut self.buffer);
            self.batch.insert(&self.tables.payment_ids, id.0.to_be_bytes(), &self.buffer[..]);
        }
        for (id, row) in &self.accounts {
            self.buffer.clear();
            row::put_account(&mut self.buffer, &row.account, row.opened_at, row.opened_time);
            self.batch.insert(&self.tables.accounts, id.to_be_bytes(), &self.buffer[..]);
        }
        let keeping = self.accounts.iter().filter(|(_, row)| row.keeps_history());
        let history_accounts: Vec<_> = keeping.map(|(id, _)| *id).collect();
        for id in &history_accounts {
            self.batch.insert(&self.tables.history_accounts, id.to_be_bytes(), []);
        }
        self.history.sort_unstable_by_key(|(account, row)| (account.0, row.seq));
        for (account, row) in &self.history {
            self.buffer.clear();
            row.put(&mut self.buffer);
            let key = id_key(account.0, row.seq.0);
            self.batch.insert(&self.tables.history, key, &self.buffer[..]);
        }
        let mut touches = std::mem::take(&mut self.touches);
        touches.sort_unstable_by_key(|touch| (touch.account, touch.seq));
        for of_account in touches.chunk_by(|a, b| a.account == b.account) {
            changed.push(Entity::Account(AccountId(of_account[0].account)));
            self.finish_account(of_account);
        }
        Ok(Rows { batch: self.batch, history_accounts, changed })
    }

    fn finish_account(&mut self, touches: &[Touch]) {
        let account = touches[0].account;
        let seqs: Vec<_> =
            touches.iter().filter(|touch| touch.listed).map(|touch| touch.seq).collect();
        let prefix = account.to_be_bytes();
        put_list(&mut self.batch, &self.tables.postings, &prefix, &seqs, &mut self.buffer);
        let last = touches.iter().rev().find_map(|touch| Some((touch.seq, touch.balances?)));
        if let Some((seq, balances)) = last {
            self.buffer.clear();
            row::put_balances(&mut self.buffer, EventSeq(seq), &balances);
            self.batch.insert(&self.tables.balances, account.to_be_bytes(), &self.buffer[..]);
        }
    }
}

const _: () = assert!(
    (RejectReason::IdReusedOperationDiffers as u8) < (RejectReason::DebitAccountUnknown as u8),
    "a reused id is refused without burning it",
);
