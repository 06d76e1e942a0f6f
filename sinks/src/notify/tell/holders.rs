//! Who holds an account, and in which currency: consumes account events, answers for payments and
//! expiries, which name accounts only. Accounts that name no owner are left out: nobody is told.

use std::collections::HashMap;

use fjall::OwnedWriteBatch;
use millrace_ledger::{AccountEvent, AccountId, EventSeq, LedgerId, OwnerId};

use super::super::outbox::Outbox;
use crate::SinkError;

/// Accounts that are remembered at one time: about 80 bytes each.
const REMEMBERED_MAX: usize = 1 << 18;

/// Who holds an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Holder {
    opened_at: EventSeq,
    pub(in super::super) ledger: LedgerId,
    pub(in super::super) owner: OwnerId,
}

/// The holders of accounts, with those that were asked for of late in memory.
pub(in super::super) struct Holders {
    outbox: Outbox,
    /// `None` for an account that nobody is known to hold.
    known: HashMap<AccountId, Option<Holder>, foldhash::fast::RandomState>,
    /// Noted, but not yet committed.
    noted: Vec<(AccountId, Holder)>,
}

impl Holders {
    pub(in super::super) fn new(outbox: Outbox) -> Self {
        Self { outbox, known: HashMap::default(), noted: Vec::new() }
    }

    /// Notes an account when it is opened; owner and ledger never change after that.
    pub(super) fn note(&mut self, event: &AccountEvent) {
        let spec = &event.account.spec;
        if event.change.is_some() || spec.owner == OwnerId::ZERO {
            return;
        }
        let holder = Holder { opened_at: event.seq, ledger: spec.ledger, owner: spec.owner };
        self.known.insert(spec.id, Some(holder));
        self.noted.push((spec.id, holder));
    }

    /// The account's holder, if it was open when the event happened.
    pub(in super::super) fn get(
        &mut self,
        account: AccountId,
        at: EventSeq,
    ) -> Result<Option<Holder>, SinkError> {
        let holder = match self.known.get(&account) {
            Some(holder) => *holder,
            None => {
                if self.known.len() >= REMEMBERED_MAX && self.noted.is_empty() {
                    self.known.clear();
                }
                let holder = self.read(account)?;
                self.known.insert(account, holder);
                holder
            }
        };
        Ok(holder.filter(|holder| holder.opened_at < at))
    }

    fn read(&self, account: AccountId) -> Result<Option<Holder>, SinkError> {
        let tables = &self.outbox.tables;
        let row = tables.holders.get(account.0.to_be_bytes());
        let Some(row) = row.map_err(tables.store.failed("read a holder"))? else {
            return Ok(None);
        };
        let holder = row.split_first_chunk().and_then(|(seq, rest)| {
            let (ledger, owner) = rest.split_first_chunk()?;
            Some(Holder {
                opened_at: EventSeq(u64::from_be_bytes(*seq)),
                ledger: LedgerId(u32::from_be_bytes(*ledger)),
                owner: OwnerId(u128::from_be_bytes(owner.try_into().ok()?)),
            })
        });
        let damaged = || tables.store.damaged(&format!("{account} of holders"));
        holder.map(Some).ok_or_else(damaged)
    }

    /// Hands over what was noted.
    pub(super) fn put_noted(&mut self, batch: &mut OwnedWriteBatch) {
        for (account, holder) in self.noted.drain(..) {
            let mut row = holder.opened_at.0.to_be_bytes().to_vec();
            row.extend_from_slice(&holder.ledger.0.to_be_bytes());
            row.extend_from_slice(&holder.owner.0.to_be_bytes());
            batch.insert(&self.outbox.tables.holders, account.0.to_be_bytes(), row);
        }
    }

    /// Forgets what a failed attempt noted.
    pub(super) fn begin(&mut self) {
        if !self.noted.is_empty() {
            self.noted.clear();
            self.known.clear();
        }
    }
}
