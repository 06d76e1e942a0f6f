//! What the benches share: payments between accounts, the same on every machine.
//!
//! Rates of the whole engine: [`workload`] makes the payments ([`alias`] draws the unequal ones),
//! [`drive`] sends them to an engine in this process, [`report`] tells what it took, with the help
//! of [`usage`]. The binary `rates` is their command line. [`waits`] tells how long a payment waits
//! beside what may take long; its binary is `waits`.

pub mod alias;
pub mod drive;
pub mod report;
mod session;
pub mod usage;
pub mod waits;
pub mod workload;

use millrace_ledger::{
    AccountFlags, AccountId, AccountSpec, Amount, Code, Ledger, LedgerConfig, LedgerId, Payment,
    PaymentId,
};

/// The koruna.
pub const LEDGER: LedgerId = LedgerId(203);

/// Numbers that look random and are the same on every run (SplitMix64; Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// Evenly, below `bound`, but for a bias of `bound` / 2^32.
    pub fn draw_below(&mut self, bound: u32) -> u32 {
        below(bound, (self.draw() >> 32) as u32)
    }
}

/// Maps a number evenly below `bound`, without a division (Lemire 2019).
fn below(bound: u32, number: u32) -> u32 {
    ((u64::from(number) * u64::from(bound)) >> 32) as u32
}

/// The id of the account with this number, spread over the id space.
#[must_use]
pub fn account_id(number: u32) -> AccountId {
    let mut numbers = Numbers(u64::from(number));
    AccountId(u128::from(numbers.draw()) << 64 | u128::from(numbers.draw()))
}

/// The account with this number, which can't run dry.
#[must_use]
pub fn account(number: u32) -> AccountSpec {
    AccountSpec {
        id: account_id(number),
        ledger: LEDGER,
        code: Code(1),
        flags: AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
        credit_limit: Amount(1 << 60),
        ..AccountSpec::default()
    }
}

/// A ledger with so many accounts that can't run dry, on so many shards.
#[must_use]
pub fn ledger(accounts: u32, shards: usize) -> Ledger {
    let config = LedgerConfig { hash_seed: 1, shards, ..LedgerConfig::default() };
    let mut ledger = Ledger::with_config(config);
    for number in 0..accounts {
        ledger.create_account(&account(number));
    }
    ledger
}

/// Payments between uniformly chosen accounts, with UUIDv7-like ids: 512 of them to a millisecond,
/// from the `first`th id on.
#[must_use]
pub fn payments(count: u32, accounts: u32, first: u64) -> Vec<Payment> {
    let mut numbers = Numbers(first);
    let payment = |place: u32| {
        let number = numbers.draw();
        let debit = (number >> 32) as u32 % accounts;
        let credit = (debit + 1 + number as u32 % (accounts - 1)) % accounts;
        Payment {
            id: id(first + u64::from(place)),
            debit: account_id(debit),
            credit: account_id(credit),
            amount: Amount(1 + u128::from(number % 10_000)),
            ledger: LEDGER,
            code: Code(1),
            ..Payment::default()
        }
    };
    (0..count).map(payment).collect()
}

fn id(place: u64) -> PaymentId {
    let ms = 1_800_000_000_000 + place / 512;
    PaymentId(u128::from(ms) << 80 | 7 << 76 | 2 << 62 | u128::from(Numbers(place).draw() >> 2))
}
