//! An id is one payment: the same again, with each field changed, refused before, in one request.

use crate::table::tables;

tables! {
    an_id_is_one_payment = "
        open bank  CZK
        open alice CZK
        open bob   CZK
        pay  p1 bank alice 100 context=1              -> settled 100
        pay  p1 bank alice 100 context=1              -> again settled 100
        authorize p1 bank alice 100 context=1         -> ID_REUSED_OPERATION_DIFFERS
        pay  p1 bank alice 100 context=1 up-to-payer  -> ID_REUSED_FLAGS_DIFFER
        pay  p1 bank alice 100 context=1 original=p0  -> ID_REUSED_ORIGINAL_DIFFERS
        pay  p1 bob  alice 100 context=1              -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        pay  p1 bank bob   100 context=1              -> ID_REUSED_CREDIT_ACCOUNT_DIFFERS
        pay  p1 bank alice 101 context=1              -> ID_REUSED_AMOUNT_DIFFERS
        pay  p1 bank alice 100 context=1 ledger=EUR   -> ID_REUSED_LEDGER_DIFFERS
        pay  p1 bank alice 100 context=1 code=2       -> ID_REUSED_CODE_DIFFERS
        pay  p1 bank alice 100 context=1 timeout=5    -> ID_REUSED_TIMEOUT_DIFFERS
        pay  p1 bank alice 100 context=2              -> ID_REUSED_CONTEXT_DIFFERS
        pay  p1 bank alice 100                        -> ID_REUSED_CONTEXT_DIFFERS
        # The first field that differs, in that order.
        pay  p1 bob  bob     1 code=2                 -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        # A field that could not be read is not what was sent first.
        pay  p1 bank alice 100 context=1 defect=CODE_TOO_LARGE -> ID_REUSED_CODE_DIFFERS
        pay  p1 bank alice 100 context=1 defect=DEBIT_ACCOUNT_ID_MALFORMED -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        pay  p1 bank alice 100 context=1 defect=CREDIT_ACCOUNT_ID_MALFORMED -> ID_REUSED_CREDIT_ACCOUNT_DIFFERS
        pay  p1 bank alice 100 context=1 defect=ORIGINAL_MALFORMED -> ID_REUSED_ORIGINAL_DIFFERS
        pay  p1 bank alice 100 context=1              -> again settled 100
        balance alice                                 -> 0/0 0/100
        # What is wrong with the payment itself does not burn the id: it can be corrected.
        pay  p2 bank alice 0                          -> AMOUNT_ZERO
        pay  p2 bank alice 0                          -> AMOUNT_ZERO
        pay  p2 bank alice 7                          -> settled 7
        pay  p2 bank alice 0                          -> ID_REUSED_AMOUNT_DIFFERS
        pay  p2 bank alice 7                          -> again settled 7
    ";

    /// What a follow-up leaves to its original agrees with whatever it took from there.
    follow_ups_are_known_again = "
        open alice CZK
        open shop  CZK
        open other CZK
        authorize h1 alice shop 100 timeout=60        -> held 100
        authorize h2 alice shop 100                   -> held 100
        authorize h1 alice shop 100 timeout=60        -> again held 100
        authorize h1 alice shop 100 timeout=61        -> ID_REUSED_TIMEOUT_DIFFERS
        authorize h1 alice shop 100                   -> ID_REUSED_TIMEOUT_DIFFERS
        capture c1 h1 40                              -> settled 40
        capture c1 h1 40                              -> again settled 40
        capture c1 h1 40 from=alice to=shop ledger=CZK code=1 -> again settled 40
        void    c1 h1                                 -> ID_REUSED_OPERATION_DIFFERS
        capture c1 h2 40                              -> ID_REUSED_ORIGINAL_DIFFERS
        capture c1 h1 40 from=other                   -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        capture c1 h1 40 to=other                     -> ID_REUSED_CREDIT_ACCOUNT_DIFFERS
        capture c1 h1                                 -> ID_REUSED_AMOUNT_DIFFERS
        capture c1 h1 40 ledger=EUR                   -> ID_REUSED_LEDGER_DIFFERS
        capture c1 h1 40 code=2                       -> ID_REUSED_CODE_DIFFERS
        capture c1 h1 40 context=1                    -> ID_REUSED_CONTEXT_DIFFERS
        # The first outcome again, whatever became of the hold since.
        void    v1 h1                                 -> voided 60
        authorize h1 alice shop 100 timeout=60        -> again held 100
        capture c1 h1 40                              -> again settled 40
        void    v1 h1                                 -> again voided 60
        view h1                                       -> held 100, voided, left 0
        refund  r1 c1 15                              -> settled 15
        refund  r1 c1 15 from=shop to=alice           -> again settled 15
        refund  r1 c1 15 from=alice                   -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        refund  r1 c1 16                              -> ID_REUSED_AMOUNT_DIFFERS
        view c1                                       -> settled 40, left 25
        balance alice                                 -> 100/40 0/15
    ";

    /// A retry after a lost reply can't turn a refusal that the upstream acted on into a payment.
    state_reasons_burn_the_id = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        open euro  EUR
        open ice   CZK
        pay  p1 alice shop 5                          -> INSUFFICIENT_FUNDS
        pay  p2 nobody shop 5                         -> DEBIT_ACCOUNT_UNKNOWN
        event p2                                      -> no accounts
        pay  p3 bank nobody 5                         -> CREDIT_ACCOUNT_UNKNOWN
        pay  p4 bank euro 5                           -> ACCOUNTS_ON_DIFFERENT_LEDGERS
        pay  p5 bank shop 5 ledger=EUR                -> LEDGER_DIFFERS
        capture c1 later 5                            -> ORIGINAL_UNKNOWN
        pay  p6 bank shop 8000                        -> RISK_DECLINED
        freeze ice                                    -> updated
        pay  p7 ice shop 5                            -> DEBIT_ACCOUNT_FROZEN
        authorize h1 bank shop 5                      -> held 5
        capture c2 h1 6                               -> EXCEEDS_ORIGINAL_AMOUNT
        # All that stood in their way is gone; it does not help them.
        pay  fund bank alice 100                      -> settled 100
        open nobody CZK
        authorize later bank shop 5                   -> held 5
        reopen ice                                    -> updated
        pay  p1 alice shop 5                          -> again INSUFFICIENT_FUNDS
        pay  p2 nobody shop 5                         -> again DEBIT_ACCOUNT_UNKNOWN
        pay  p3 bank nobody 5                         -> again CREDIT_ACCOUNT_UNKNOWN
        pay  p4 bank shop 5                           -> again ACCOUNTS_ON_DIFFERENT_LEDGERS
        pay  p5 bank shop 5                           -> again LEDGER_DIFFERS
        capture c1 later 5                            -> again ORIGINAL_UNKNOWN
        pay  p6 bank shop 1                           -> again RISK_DECLINED
        pay  p7 ice shop 5                            -> again DEBIT_ACCOUNT_FROZEN
        capture c2 h1 1                               -> again EXCEEDS_ORIGINAL_AMOUNT
        # Burned comes before what is wrong with the payment now, but not before its envelope.
        pay  p1 alice alice 0                         -> again INSUFFICIENT_FUNDS
        void p1 p1                                    -> again INSUFFICIENT_FUNDS
        pay  p1 alice shop 5 defect=CONTEXT_MALFORMED -> CONTEXT_MALFORMED
        # What was refused is nobody's original.
        refund r1 p1                                  -> ORIGINAL_UNKNOWN
        view p1                                       -> INSUFFICIENT_FUNDS, left 0
        # A new attempt takes a new id.
        pay  p8 alice shop 5                          -> settled 5
    ";

    payment_reasons_do_not_burn_the_id = "
        open bank  CZK
        open alice CZK
        open shop  CZK
        authorize h1 bank alice 50                    -> held 50
        pay  p1 bank bank 5                           -> ACCOUNTS_EQUAL
        pay  p1 bank alice 5 timeout=1                -> TIMEOUT_SUPERFLUOUS
        pay  p1 bank alice 5 ledger=-                 -> LEDGER_ZERO
        pay  p1 bank alice 5 code=0                   -> CODE_ZERO
        pay  p1 bank alice 5 defect=FLAG_UNKNOWN      -> FLAG_UNKNOWN
        view p1                                       -> unknown
        refund r1 p1                                  -> ORIGINAL_UNKNOWN
        pay  p1 bank alice 5                          -> settled 5
        refund r2 p1                                  -> settled 5
        capture c1 h1 5 up-to-payer                   -> FLAGS_EXCLUSIVE
        capture c1 - 5                                -> ORIGINAL_MISSING
        capture c1 c1 5                               -> ORIGINAL_IS_ITSELF
        capture c1 h1 5                               -> settled 5
        void v1 h1 5                                  -> AMOUNT_SUPERFLUOUS
        void v1 h1                                    -> voided 45
    ";

    an_id_twice_in_one_request = "
        open bank  CZK
        open alice CZK
        open shop  CZK no-surplus
        request
        pay  p1 bank alice 5                          -> settled 5
        pay  p1 bank alice 5                          -> again settled 5
        pay  p1 bank alice 6                          -> ID_REUSED_AMOUNT_DIFFERS
        # Refused, corrected, known, in one request.
        pay  p2 bank alice 0                          -> AMOUNT_ZERO
        pay  p2 bank alice 6                          -> settled 6
        pay  p2 bank alice 6                          -> again settled 6
        # Burned and asked for again.
        pay  p3 bank shop 1                           -> CREDITS_EXCEED_DEBITS
        pay  p3 bank alice 1                          -> again CREDITS_EXCEED_DEBITS
        # A hold, its capture, its refund, and each of them again.
        authorize h1 bank alice 7                     -> held 7
        capture c1 h1                                 -> settled 7
        refund r1 c1                                  -> settled 7
        authorize h1 bank alice 7                     -> again held 7
        capture c1 h1                                 -> again settled 7
        refund r1 c1                                  -> again settled 7
        # A follow-up of what comes later.
        capture c2 h2                                 -> ORIGINAL_UNKNOWN
        authorize h2 bank alice 7                     -> held 7
        capture c3 h2                                 -> settled 7
        end
        balance alice                                 -> 0/7 0/25
    ";
}
