//! Snapshots of a ledger that goes on meanwhile: each must come to the ledger as it was when it was begun.

use millrace_ledger::{
    Account, Ledger, LedgerConfig, SnapshotBegun, SnapshotHead, StoredPayment, Timestamp,
};

/// Begins a snapshot at every fifth generation, if none is under way.
const GENERATIONS_BETWEEN: u64 = 5;

/// Takes one snapshot after the other, in slices of so many rows.
pub(crate) struct Snapshots {
    rows_max: usize,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    /// Of the ledger when it was begun.
    expected: Told,
    /// What is gathered beside slices: at once, or when all slices are there, as it may happen.
    begun: Begun,
    accounts: Vec<Account>,
    holds: Vec<StoredPayment>,
}

enum Begun {
    Yet(SnapshotBegun),
    Already(SnapshotHead, Vec<StoredPayment>),
}

/// What a ledger tells of itself.
#[derive(Debug, PartialEq)]
struct Told {
    state_hash: [u8; 32],
    accounts: usize,
    payments: u64,
    next_expiry: Option<Timestamp>,
}

impl Told {
    fn by(ledger: &Ledger) -> Self {
        Self {
            state_hash: ledger.state_hash(),
            accounts: ledger.account_count(),
            payments: ledger.payment_count(),
            next_expiry: ledger.next_expiry(),
        }
    }
}

impl Snapshots {
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows_max, under_way: None }
    }

    /// To be called where a generation was just closed.
    pub(crate) fn begin(&mut self, ledger: &mut Ledger) {
        let number = ledger.closed_generations().last().map_or(0, |closed| closed.number());
        if self.under_way.is_some() || !number.is_multiple_of(GENERATIONS_BETWEEN) {
            return;
        }
        let (expected, begun) = (Told::by(ledger), ledger.begin_snapshot());
        let begun = match number % 2 {
            0 => Begun::Yet(begun),
            _ => {
                let (head, holds) = begun.into_head();
                Begun::Already(head, holds)
            }
        };
        let (accounts, holds) = (Vec::new(), Vec::new());
        self.under_way = Some(UnderWay { expected, begun, accounts, holds });
    }

    /// To be called between batches. At the end, the snapshot is compared.
    pub(crate) fn go_on(&mut self, ledger: &mut Ledger) {
        let Some(taking) = &mut self.under_way else { return };
        if !ledger.snapshot_slice(self.rows_max, &mut taking.accounts, &mut taking.holds)
            && let Some(taken) = self.under_way.take()
        {
            let (head, uncarried) = match taken.begun {
                Begun::Yet(begun) => begun.into_head(),
                Begun::Already(head, holds) => (head, holds),
            };
            assert_eq!(head.holds as usize, uncarried.len() + taken.holds.len());
            let mut restored = Ledger::restore(LedgerConfig::default(), head);
            taken.accounts.iter().for_each(|account| restored.restore_account(account));
            taken.holds.iter().chain(&uncarried).for_each(|hold| restored.restore_hold(hold));
            assert_eq!(Told::by(&restored), taken.expected);
        }
    }
}
