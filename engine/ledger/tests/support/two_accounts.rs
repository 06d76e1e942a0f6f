//! Two accounts of one ledger, and payments from the first to the second.

use millrace_ledger::{
    AccountId, AccountSpec, Amount, Code, Ledger, LedgerConfig, LedgerId, Payment, PaymentId,
};

pub(crate) fn ledger_of_two(config: LedgerConfig) -> Ledger {
    let mut ledger = Ledger::with_config(config);
    for id in [1, 2].map(AccountId) {
        let (ledger_id, code) = (LedgerId(203), Code(1));
        ledger.create_account(&AccountSpec {
            id,
            ledger: ledger_id,
            code,
            ..AccountSpec::default()
        });
    }
    ledger
}

pub(crate) fn payment(id: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(1),
        credit: AccountId(2),
        amount: Amount(5),
        ledger: LedgerId(203),
        code: Code(1),
        ..Payment::default()
    }
}
