//! The order of reject reasons, for reading. [`crate::pairs`] goes through all pairs.

use crate::table::tables;

tables! {
    /// Each row has two things wrong with it; the one whose family comes first is told.
    reasons_come_in_the_order_of_their_families = "
        open alice CZK no-overdraft
        open bob   CZK
        open euro  EUR
        open ice   CZK
        pay  first bob alice 5                  -> settled 5
        freeze ice                              -> updated
        # group before envelope
        pay  - alice bob 1 linked               -> GROUP_UNCLOSED
        end
        # envelope before idempotency and static
        pay  -    alice bob 0                   -> PAYMENT_ID_ZERO
        pay  max  alice bob 0                   -> PAYMENT_ID_MAX
        pay  first bob alice 5 defect=CONTEXT_MALFORMED -> CONTEXT_MALFORMED
        pay  x0   alice bob 0 defect=OPERATION_UNKNOWN -> OPERATION_UNKNOWN
        # idempotency before static
        pay  first bob bob 0                    -> ID_REUSED_CREDIT_ACCOUNT_DIFFERS
        # static, in its own order, before look-up
        capture x1 first 1 up-to-payer from=-   -> FLAGS_EXCLUSIVE
        pay  x2 - - 0                           -> DEBIT_ACCOUNT_ID_ZERO
        pay  x3 max max 0                       -> DEBIT_ACCOUNT_ID_MAX
        pay  x4 alice - 0                       -> CREDIT_ACCOUNT_ID_ZERO
        pay  x5 alice max 0                     -> CREDIT_ACCOUNT_ID_MAX
        pay  x6 alice alice 0                   -> ACCOUNTS_EQUAL
        capture x7 - 0                          -> ORIGINAL_MISSING
        pay  x8 alice bob 0 original=first      -> ORIGINAL_SUPERFLUOUS
        capture x9 x9 0                         -> ORIGINAL_IS_ITSELF
        pay  x10 alice bob 0 timeout=1          -> TIMEOUT_SUPERFLUOUS
        pay  x11 alice nobody 0                 -> AMOUNT_ZERO
        pay  x12 alice nobody                   -> AMOUNT_MISSING
        void x13 nothing 5                      -> AMOUNT_SUPERFLUOUS
        pay  x14 alice nobody 1 ledger=- code=0 -> LEDGER_ZERO
        pay  x15 alice nobody 1 code=0          -> CODE_ZERO
        pay  x16 alice bob 1 ledger=- defect=CODE_TOO_LARGE -> LEDGER_ZERO
        # look-up before account state
        pay  x17 nobody none 1                  -> DEBIT_ACCOUNT_UNKNOWN
        pay  x18 ice nobody 1                   -> CREDIT_ACCOUNT_UNKNOWN
        pay  x19 ice euro 1                     -> ACCOUNTS_ON_DIFFERENT_LEDGERS
        pay  x20 ice bob 1 ledger=EUR           -> LEDGER_DIFFERS
        # account state before risk and funds
        pay  x21 ice bob 8000                   -> DEBIT_ACCOUNT_FROZEN
        pay  x22 alice ice 8000                 -> CREDIT_ACCOUNT_FROZEN
        # overflow before risk and funds
        pay  x23 bob euro 1 ledger=EUR          -> ACCOUNTS_ON_DIFFERENT_LEDGERS
        # risk before funds
        pay  x24 alice bob 8000                 -> RISK_DECLINED
        pay  x25 alice bob 6                    -> INSUFFICIENT_FUNDS
    ";
}
