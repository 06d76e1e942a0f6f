//! The account book: balances, limits and states by dense account number.
//!
//! Guarantees that the sums over all accounts of a ledger are kept with every movement. What every
//! payment touches of an account lies in one cache line.

use std::collections::BTreeMap;

use crate::{
    Account, AccountFlags, AccountId, AccountSpec, AccountState, Amount, BalanceSums, Balances,
    Code, LedgerId, OwnerId, store::Store, stored::NO_ACCOUNT, swept::Swept,
};

/// One cache line: the id, by which whoever looked the account up knows that it is this one, the low
/// halves of the numbers, and what decides whether money may move. Numbers that need more than 64
/// bits have their high halves in [`AccountBook::high`]: a generous credit limit costs its account a
/// second line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct AccountRow {
    id: AccountId,
    debits_pending: u64,
    debits_posted: u64,
    credits_pending: u64,
    credits_posted: u64,
    credit_limit: u64,
    /// Place of the high halves, or [`NO_HIGH`] while all of them are zero.
    high: u32,
    /// Of its ledger, among [`AccountBook::totals`].
    totals_slot: u16,
    flags: AccountFlags,
    state: AccountState,
}

const NO_HIGH: u32 = u32::MAX;
const _: () = assert!(size_of::<AccountRow>() == 64, "one cache line per account");

/// What only reads of an account touch. Never changes.
#[derive(Clone, Copy, Debug)]
struct AccountOrigin {
    owner: OwnerId,
    tenant: u32,
    code: Code,
}

/// Sums over all accounts of one ledger, kept per side while payments are posted and compared after
/// every batch. They wrap, on both sides alike: sides that are equal stay equal, and sides that
/// differ do so here, too, unless by a multiple of 2^128. Exact sums are for reports:
/// [`AccountBook::sums`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WrappedTotals {
    ledger: LedgerId,
    sums: Balances,
}

impl WrappedTotals {
    /// Whether debits equal credits, pending and posted, modulo 2^128.
    pub(crate) fn conserved(&self) -> bool {
        self.sums.debits_pending == self.sums.credits_pending
            && self.sums.debits_posted == self.sums.credits_posted
    }
}

/// High halves of the four counters and the credit limit.
type High = [u64; 5];

/// What deciding a payment asks of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountView {
    pub(crate) balances: Balances,
    pub(crate) credit_limit: u128,
    pub(crate) flags: AccountFlags,
    pub(crate) state: AccountState,
}

/// All accounts. See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountBook {
    rows: Swept<AccountRow>,
    origins: Store<AccountOrigin>,
    /// Of accounts that ever had a number of more than 64 bits.
    high: Store<High>,
    totals: Vec<WrappedTotals>,
    /// During a sweep: high halves that changed before it reached them, by account. A tree grows
    /// without a pause.
    high_before: Option<BTreeMap<u32, High>>,
}

impl AccountBook {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn totals(&self) -> &[WrappedTotals] {
        &self.totals
    }

    /// Adds up all accounts, by ledger.
    pub(crate) fn sums(&self) -> BTreeMap<LedgerId, BalanceSums> {
        let mut sums: BTreeMap<LedgerId, BalanceSums> = BTreeMap::new();
        for slot in 0..self.len() as u32 {
            *sums.entry(self.ledger(slot)).or_default() += &self.balances(slot);
        }
        sums
    }

    /// Opens an account and returns its number.
    pub(crate) fn open(&mut self, spec: &AccountSpec) -> u32 {
        let totals_slot = self.totals_slot(spec.ledger);
        let AccountSpec { owner, tenant, code, .. } = *spec;
        self.origins.push(AccountOrigin { owner, tenant, code });
        let slot = self.rows.push(AccountRow {
            id: spec.id,
            debits_pending: 0,
            debits_posted: 0,
            credits_pending: 0,
            credits_posted: 0,
            credit_limit: 0,
            high: NO_HIGH,
            totals_slot,
            flags: spec.flags,
            state: AccountState::Open,
        });
        self.store(slot, &Balances::default(), spec.credit_limit.0);
        slot
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32) -> AccountId {
        self.rows.get(slot).id
    }

    /// The number of the account with this id, if that is what the index found.
    #[inline]
    pub(crate) fn confirmed(&self, found: u32, id: AccountId) -> Option<u32> {
        (found != NO_ACCOUNT && self.id(found) == id).then_some(found)
    }

    #[inline]
    pub(crate) fn ledger(&self, slot: u32) -> LedgerId {
        self.ledger_of(self.rows.get(slot))
    }

    #[inline]
    fn ledger_of(&self, row: &AccountRow) -> LedgerId {
        self.totals[usize::from(row.totals_slot)].ledger
    }

    /// Has the account's line fetched: misses of many accounts overlap this way, those of one
    /// payment after the other don't. A slot that does not exist is passed over.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        self.rows.prefetch(slot);
    }

    #[inline(always)]
    pub(crate) fn view(&self, slot: u32) -> AccountView {
        let row = self.rows.get(slot);
        let (balances, credit_limit) = self.numbers(row);
        AccountView { balances, credit_limit, flags: row.flags, state: row.state }
    }

    #[inline]
    pub(crate) fn balances(&self, slot: u32) -> Balances {
        self.numbers(self.rows.get(slot)).0
    }

    #[inline(always)]
    fn numbers(&self, row: &AccountRow) -> (Balances, u128) {
        match row.high {
            NO_HIGH => row.low(),
            high => row.with_high(self.high.get(high)),
        }
    }

    /// Changes an account's balances, and the totals of its ledger by as much. Returns what they are
    /// now.
    #[inline(always)]
    pub(crate) fn change(&mut self, slot: u32, change: impl Fn(&mut Balances)) -> Balances {
        let row = self.rows.get(slot);
        change(&mut self.totals[usize::from(row.totals_slot)].sums);
        let (mut balances, limit) = self.numbers(row);
        change(&mut balances);
        self.store(slot, &balances, limit);
        balances
    }

    pub(crate) fn account(&self, slot: u32) -> Account {
        let row = self.rows.get(slot);
        let high = match row.high {
            NO_HIGH => &[0; 5],
            place => self.high.get(place),
        };
        row.account(self.origins.get(slot), self.ledger_of(row), high)
    }

    /// Takes over what an administrator may change.
    pub(crate) fn set_account(&mut self, slot: u32, account: &Account) {
        let balances = self.balances(slot);
        self.rows.get_mut(slot).state = account.state;
        self.store(slot, &balances, account.spec.credit_limit.0);
    }

    /// Takes over an account from a snapshot.
    pub(crate) fn restore(&mut self, account: &Account) -> u32 {
        let slot = self.open(&account.spec);
        self.set_account(slot, account);
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } =
            account.balances;
        self.change(slot, |balances| {
            balances.debits_pending = balances.debits_pending.wrapping_add(debits_pending);
            balances.debits_posted = balances.debits_posted.wrapping_add(debits_posted);
            balances.credits_pending = balances.credits_pending.wrapping_add(credits_pending);
            balances.credits_posted = balances.credits_posted.wrapping_add(credits_posted);
        });
        slot
    }

    pub(crate) fn begin_sweep(&mut self) {
        self.rows.begin_sweep();
        self.high_before = Some(BTreeMap::new());
    }

    /// Hands out the next accounts as they were when the sweep began. `false` when it is over.
    pub(crate) fn sweep(&mut self, accounts_max: usize, mut put: impl FnMut(&Account)) -> bool {
        let Some(before) = &mut self.high_before else { return false };
        let (origins, totals, now) = (&self.origins, &self.totals, &self.high);
        let goes_on = self.rows.sweep(accounts_max, |slot, row| {
            let high = match (before.remove(&slot), row.high) {
                (_, NO_HIGH) => [0; 5],
                (Some(high), _) => high,
                (None, place) => *now.get(place),
            };
            let ledger = totals[usize::from(row.totals_slot)].ledger;
            put(&row.account(origins.get(slot), ledger, &high));
        });
        if !goes_on {
            self.high_before = None;
        }
        goes_on
    }

    #[inline(always)]
    fn store(&mut self, slot: u32, balances: &Balances, credit_limit: u128) {
        let row = self.rows.get_mut(slot);
        let high = row.set(balances, credit_limit);
        if row.high != NO_HIGH || high.iter().fold(0, |any, half| any | half) != 0 {
            self.store_high(slot, high);
        }
    }

    fn store_high(&mut self, slot: u32, high: High) {
        let row = self.rows.get_mut(slot);
        if row.high == NO_HIGH {
            row.high = self.high.push(high);
            return;
        }
        let place = self.high.get_mut(row.high);
        if *place != high {
            if let Some(before) = &mut self.high_before
                && self.rows.is_due(slot)
            {
                before.entry(slot).or_insert(*place);
            }
            *place = high;
        }
    }

    fn totals_slot(&mut self, ledger: LedgerId) -> u16 {
        let slot = self.totals.iter().position(|totals| totals.ledger == ledger);
        let slot = slot.unwrap_or_else(|| {
            self.totals.push(WrappedTotals { ledger, ..WrappedTotals::default() });
            self.totals.len() - 1
        });
        u16::try_from(slot).expect("ledgers are currencies with a number of three digits")
    }
}

impl AccountRow {
    #[inline]
    fn low(&self) -> (Balances, u128) {
        let balances = Balances {
            debits_pending: self.debits_pending.into(),
            debits_posted: self.debits_posted.into(),
            credits_pending: self.credits_pending.into(),
            credits_posted: self.credits_posted.into(),
        };
        (balances, self.credit_limit.into())
    }

    fn with_high(&self, high: &High) -> (Balances, u128) {
        let (low, limit) = self.low();
        let whole = |low: u128, high: u64| low | u128::from(high) << 64;
        let balances = Balances {
            debits_pending: whole(low.debits_pending, high[0]),
            debits_posted: whole(low.debits_posted, high[1]),
            credits_pending: whole(low.credits_pending, high[2]),
            credits_posted: whole(low.credits_posted, high[3]),
        };
        (balances, whole(limit, high[4]))
    }

    fn account(&self, origin: &AccountOrigin, ledger: LedgerId, high: &High) -> Account {
        let (balances, limit) = self.with_high(high);
        Account {
            spec: AccountSpec {
                id: self.id,
                ledger,
                code: origin.code,
                tenant: origin.tenant,
                owner: origin.owner,
                flags: self.flags,
                credit_limit: Amount(limit),
                defect: None,
            },
            state: self.state,
            balances,
        }
    }

    /// Stores the low halves, and returns the high ones.
    #[inline]
    fn set(&mut self, balances: &Balances, credit_limit: u128) -> High {
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } = *balances;
        self.debits_pending = debits_pending as u64;
        self.debits_posted = debits_posted as u64;
        self.credits_pending = credits_pending as u64;
        self.credits_posted = credits_posted as u64;
        self.credit_limit = credit_limit as u64;
        [debits_pending, debits_posted, credits_pending, credits_posted, credit_limit]
            .map(|number| (number >> 64) as u64)
    }
}

impl AccountView {
    /// Posted credits and the credit limit, less all debits: pending debits count as spent,
    /// pending credits are not yet funds.
    #[inline]
    pub(crate) fn available_to_debit(&self) -> u128 {
        let balances = &self.balances;
        balances
            .credits_posted
            .saturating_add(self.credit_limit)
            .saturating_sub(balances.debits_pending + balances.debits_posted)
    }

    #[inline]
    pub(crate) fn available_to_credit(&self) -> u128 {
        let balances = &self.balances;
        balances
            .debits_posted
            .saturating_add(self.credit_limit)
            .saturating_sub(balances.credits_pending + balances.credits_posted)
    }
}
