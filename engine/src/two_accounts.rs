//! What tests of the engine share: two accounts of one ledger, and payments from the first to the second.

use millrace_ledger::{
    AccountId, AccountSpec, Amount, Code, Ledger, LedgerConfig, LedgerId, Payment, PaymentId,
};

const LEDGER: LedgerId = LedgerId(203);
const CODE: Code = Code(1);

pub(crate) fn two_accounts() -> Vec<AccountSpec> {
    let account = |id| AccountSpec { id, ledger: LEDGER, code: CODE, ..AccountSpec::default() };
    [1, 2].map(|id| account(AccountId(id))).into()
}

/// A ledger with both accounts.
pub(crate) fn ledger_of_two(config: LedgerConfig) -> Ledger {
    let mut ledger = Ledger::with_config(config);
    for account in two_accounts() {
        ledger.create_account(&account);
    }
    ledger
}

pub(crate) fn payment(id: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(1),
        credit: AccountId(2),
        amount: Amount(5),
        ledger: LEDGER,
        code: CODE,
        ..Payment::default()
    }
}
