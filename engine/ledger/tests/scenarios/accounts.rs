//! Accounts: opened, changed, frozen and closed, on either side of every operation.

use crate::table::tables;

tables! {
    an_account_is_opened_once = "
        open alice CZK code=5 tenant=2 owner=o1 no-overdraft limit=7 -> created
        open alice CZK code=5 tenant=2 owner=o1 no-overdraft limit=7 -> unchanged
        # The limit is today's business and is not compared.
        open alice CZK code=5 tenant=2 owner=o1 no-overdraft         -> unchanged
        open alice EUR code=5 tenant=2 owner=o1 no-overdraft         -> EXISTS_LEDGER_DIFFERS
        open alice CZK code=6 tenant=2 owner=o1 no-overdraft         -> EXISTS_CODE_DIFFERS
        open alice CZK code=5 tenant=3 owner=o1 no-overdraft         -> EXISTS_TENANT_DIFFERS
        open alice CZK code=5 tenant=2 owner=o2 no-overdraft         -> EXISTS_OWNER_DIFFERS
        open alice CZK code=5 tenant=2 owner=o1 no-surplus           -> EXISTS_FLAGS_DIFFER
        open alice CZK code=5 tenant=2 owner=o1 no-overdraft keeps-history -> EXISTS_FLAGS_DIFFER
        # The first field that differs, in that order.
        open alice EUR code=6 tenant=3                               -> EXISTS_LEDGER_DIFFERS
        open alice CZK code=6 tenant=3                               -> EXISTS_CODE_DIFFERS
        open alice CZK code=5 tenant=3                               -> EXISTS_TENANT_DIFFERS
        open alice CZK code=5 tenant=2                               -> EXISTS_OWNER_DIFFERS
        # A code that could not be read is not the one that it has.
        open alice CZK code=5 tenant=2 owner=o1 no-overdraft defect=CODE_TOO_LARGE -> EXISTS_CODE_DIFFERS
    ";

    what_is_wrong_with_a_new_account = "
        open a CZK defect=FLAG_UNKNOWN              -> FLAG_UNKNOWN
        open - CZK defect=ACCOUNT_ID_MALFORMED      -> ACCOUNT_ID_MALFORMED
        open - CZK                                  -> ACCOUNT_ID_ZERO
        open max CZK                                -> ACCOUNT_ID_MAX
        open a CZK defect=OWNER_ID_MALFORMED        -> OWNER_ID_MALFORMED
        # Flags that exclude each other: no account is limited on both sides.
        open a CZK no-overdraft no-surplus          -> FLAGS_EXCLUSIVE
        open a -                                    -> LEDGER_ZERO
        open a nowhere                              -> LEDGER_UNKNOWN
        open a CZK code=0                           -> CODE_ZERO
        open a CZK defect=CODE_TOO_LARGE            -> CODE_TOO_LARGE
        open a CZK limit=1                          -> CREDIT_LIMIT_WITHOUT_FLAG
        # In that order.
        open - CZK defect=FLAG_UNKNOWN              -> FLAG_UNKNOWN
        open max - no-overdraft no-surplus          -> ACCOUNT_ID_MAX
        open a - code=0 limit=1 no-overdraft no-surplus -> FLAGS_EXCLUSIVE
        open a - code=0 limit=1                     -> LEDGER_ZERO
        open a nowhere code=0 limit=1               -> LEDGER_UNKNOWN
        open a CZK code=0 limit=1                   -> CODE_ZERO
        open a CZK limit=1 defect=CODE_TOO_LARGE    -> CODE_TOO_LARGE
        # None of it opened the account.
        freeze a                                    -> ACCOUNT_UNKNOWN
        open a CZK keeps-history                    -> created
        # Of an account that exists, only what is wrong with the id comes before the comparison.
        open a CZK limit=1 keeps-history            -> unchanged
        open a - keeps-history                      -> EXISTS_LEDGER_DIFFERS
    ";

    what_stands_in_the_way_of_a_change = "
        open bank  CZK
        open alice CZK no-overdraft
        freeze nobody                               -> ACCOUNT_UNKNOWN
        reopen nobody                               -> ACCOUNT_UNKNOWN
        close nobody                                -> ACCOUNT_UNKNOWN
        limit nobody 5                              -> ACCOUNT_UNKNOWN
        reopen alice                                -> unchanged
        # Closing asks for nothing pending and as many debits as credits.
        pay  p1 bank alice 10                       -> settled 10
        close alice                                 -> ACCOUNT_NOT_EMPTY
        authorize h1 alice bank 10                  -> held 10
        close alice                                 -> ACCOUNT_NOT_EMPTY
        void v1 h1                                  -> voided 10
        close alice                                 -> ACCOUNT_NOT_EMPTY
        pay  p2 alice bank 10                       -> settled 10
        authorize h2 bank alice 10                  -> held 10
        close alice                                 -> ACCOUNT_NOT_EMPTY
        void v2 h2                                  -> voided 10
        freeze alice                                -> updated
        limit alice 5                               -> updated
        close alice                                 -> updated
        close alice                                 -> unchanged
        freeze alice                                -> ACCOUNT_CLOSED
        limit alice 6                               -> ACCOUNT_CLOSED
        limit bank 6                                -> CREDIT_LIMIT_WITHOUT_FLAG
        reopen alice                                -> updated
        reopen alice                                -> unchanged
        freeze alice                                -> updated
        freeze alice                                -> unchanged
    ";

    frozen_and_closed_accounts = "
        open bank  CZK
        open alice CZK
        open shop  CZK
        open empty CZK
        pay  p1 alice shop 100                  -> settled 100
        authorize h1 alice shop 10              -> held 10
        authorize h2 alice shop 10 timeout=5    -> held 10
        close alice                             -> ACCOUNT_NOT_EMPTY
        freeze alice                            -> updated
        freeze alice                            -> unchanged
        pay  p2 alice shop 1                    -> DEBIT_ACCOUNT_FROZEN
        pay  p3 bank alice 1                    -> CREDIT_ACCOUNT_FROZEN
        authorize h3 alice shop 1               -> DEBIT_ACCOUNT_FROZEN
        capture c1 h1                           -> DEBIT_ACCOUNT_FROZEN
        # Nothing leaves, but what was reserved is released and refunds come in.
        void v1 h1                              -> voided 10
        wait 5                                  -> expired h2 10
        refund r1 p1 10                         -> settled 10
        freeze shop                             -> updated
        refund r2 p1 10                         -> DEBIT_ACCOUNT_FROZEN
        reopen shop                             -> updated
        reopen alice                            -> updated
        pay  p4 alice shop 1                    -> settled 1
        close empty                             -> updated
        freeze empty                            -> ACCOUNT_CLOSED
        pay  p5 bank empty 1                    -> CREDIT_ACCOUNT_CLOSED
        pay  p6 empty bank 1                    -> DEBIT_ACCOUNT_CLOSED
        reopen empty                            -> updated
        pay  p7 bank empty 1                    -> settled 1
    ";

    /// Every operation, with the payer frozen, the payee frozen, and both.
    a_frozen_account_on_either_side = "
        open payer CZK
        open payee CZK
        pay       p1 payer payee 100            -> settled 100
        authorize h1 payer payee 10             -> held 10
        authorize h2 payer payee 10             -> held 10
        authorize h3 payer payee 10             -> held 10
        authorize h4 payer payee 10 timeout=5   -> held 10
        freeze payer                            -> updated
        pay       a1 payer payee 1              -> DEBIT_ACCOUNT_FROZEN
        authorize a2 payer payee 1              -> DEBIT_ACCOUNT_FROZEN
        capture   a3 h1                         -> DEBIT_ACCOUNT_FROZEN
        void      a4 h1                         -> voided 10
        refund    a5 p1 1                       -> settled 1
        freeze payee                            -> updated
        pay       b1 payer payee 1              -> DEBIT_ACCOUNT_FROZEN
        authorize b2 payer payee 1              -> DEBIT_ACCOUNT_FROZEN
        capture   b3 h2                         -> DEBIT_ACCOUNT_FROZEN
        void      b4 h2                         -> voided 10
        refund    b5 p1 1                       -> DEBIT_ACCOUNT_FROZEN
        wait 5                                  -> expired h4 10
        reopen payer                            -> updated
        pay       d1 payer payee 1              -> CREDIT_ACCOUNT_FROZEN
        authorize d2 payer payee 1              -> CREDIT_ACCOUNT_FROZEN
        capture   d3 h3                         -> CREDIT_ACCOUNT_FROZEN
        void      d4 h3                         -> voided 10
        refund    d5 p1 1                       -> DEBIT_ACCOUNT_FROZEN
        balance payer                           -> 0/100 0/1
    ";

    /// Only an account with nothing pending can be closed: no hold is left to capture or void.
    a_closed_account_on_either_side = "
        open payer CZK
        open payee CZK
        open other CZK
        pay       p1 payer payee 10             -> settled 10
        pay       p2 payee payer 10             -> settled 10
        close payer                             -> updated
        pay       a1 payer other 1              -> DEBIT_ACCOUNT_CLOSED
        pay       a2 other payer 1              -> CREDIT_ACCOUNT_CLOSED
        authorize a3 payer other 1              -> DEBIT_ACCOUNT_CLOSED
        authorize a4 other payer 1              -> CREDIT_ACCOUNT_CLOSED
        # A refund reaches a frozen account, but not a closed one.
        refund    a5 p1 1                       -> CREDIT_ACCOUNT_CLOSED
        refund    a6 p2 1                       -> DEBIT_ACCOUNT_CLOSED
        close payee                             -> updated
        pay       b1 payer payee 1              -> DEBIT_ACCOUNT_CLOSED
        refund    b2 p1 1                       -> DEBIT_ACCOUNT_CLOSED
        freeze other                            -> updated
        pay       b3 payer other 1              -> CREDIT_ACCOUNT_FROZEN
        pay       b4 other payer 1              -> DEBIT_ACCOUNT_FROZEN
        reopen payer                            -> updated
        reopen payee                            -> updated
        refund    b5 p1 1                       -> settled 1
    ";
}
