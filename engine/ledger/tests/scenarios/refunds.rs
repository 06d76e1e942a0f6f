//! Refunds: in parts, too much, of what can't be refunded, and without the funds for it.

use crate::table::tables;

tables! {
    refunds_never_exceed_what_was_paid = "
        open bank  CZK
        open shop  CZK no-overdraft
        open alice CZK
        pay  p1 alice shop 100                  -> settled 100
        refund r1 p1 30                         -> settled 30
        refund r2 p1 30                         -> settled 30
        refund r3 p1 41                         -> EXCEEDS_REMAINING_AMOUNT
        refund r4 p1 101                        -> EXCEEDS_ORIGINAL_AMOUNT
        refund r5 p1                            -> settled 40
        refund r6 p1 1                          -> ALREADY_REFUNDED
        refund r7 p1                            -> ALREADY_REFUNDED
        balance shop                            -> 0/100 0/100
        # The shop must have the money.
        pay  p2 alice shop 50                   -> settled 50
        pay  p3 shop bank 20                    -> settled 20
        refund r9 p2                            -> INSUFFICIENT_FUNDS
        refund r10 p2 30                        -> settled 30
        # A hold is refunded through its captures.
        authorize h1 alice shop 80              -> held 80
        refund r11 h1                           -> ORIGINAL_NOT_SETTLED
        capture c1 h1 60                        -> settled 60
        refund r12 c1 60                        -> settled 60
        void v1 h1                              -> voided 20
        refund r13 v1                           -> ORIGINAL_NOT_SETTLED
    ";

    over_refund_across_many_partial_refunds = "
        open alice CZK
        open shop  CZK
        pay  p1 alice shop 100                  -> settled 100
        refund r1 p1 20                         -> settled 20
        refund r2 p1 20                         -> settled 20
        refund r3 p1 20                         -> settled 20
        refund r4 p1 20                         -> settled 20
        refund r5 p1 21                         -> EXCEEDS_REMAINING_AMOUNT
        view p1                                 -> settled 100, left 20
        refund r6 p1 19                         -> settled 19
        refund r7 p1 2                          -> EXCEEDS_REMAINING_AMOUNT
        # The refused ones took nothing, and a retry of one that was paid takes nothing.
        refund r6 p1 19                         -> again settled 19
        refund r5 p1 1                          -> again EXCEEDS_REMAINING_AMOUNT
        refund r8 p1 1                          -> settled 1
        refund r9 p1 1                          -> ALREADY_REFUNDED
        refund r10 p1 101                       -> EXCEEDS_ORIGINAL_AMOUNT
        balance alice                           -> 0/100 0/100
        # Many in one request.
        pay  p2 alice shop 10                   -> settled 10
        request
        refund r11 p2 6                         -> settled 6
        refund r12 p2 6                         -> EXCEEDS_REMAINING_AMOUNT
        refund r13 p2                           -> settled 4
        refund r14 p2                           -> ALREADY_REFUNDED
        end
        balance alice                           -> 0/110 0/110
    ";

    a_refund_can_not_be_refunded = "
        open alice CZK
        open shop  CZK
        pay  p1 alice shop 100                  -> settled 100
        refund r1 p1 60                         -> settled 60
        refund r2 r1                            -> ORIGINAL_NOT_SETTLED
        refund r3 r1 61                         -> ORIGINAL_NOT_SETTLED
        capture c1 r1                           -> ORIGINAL_NOT_A_HOLD
        void v1 r1                              -> ORIGINAL_NOT_A_HOLD
        view r1                                 -> settled 60, left 0
        view p1                                 -> settled 100, left 40
    ";

    /// The refund goes from the one who received to the one who paid.
    a_refund_goes_the_other_way = "
        open alice CZK
        open shop  CZK
        open other CZK
        pay  p1 alice shop 100 code=7           -> settled 100
        refund r1 p1 10 from=alice to=shop      -> ORIGINAL_DEBIT_ACCOUNT_DIFFERS
        refund r2 p1 10 to=other                -> ORIGINAL_CREDIT_ACCOUNT_DIFFERS
        refund r3 p1 10 ledger=EUR              -> ORIGINAL_LEDGER_DIFFERS
        refund r4 p1 10 code=1                  -> ORIGINAL_CODE_DIFFERS
        refund r5 p1 10 from=shop to=alice ledger=CZK code=7 -> settled 10
        event r5                                -> 0/10 0/100, 0/100 0/10
    ";

    a_refund_is_held_to_both_limits = "
        open bank   CZK
        open dealer CZK no-surplus
        open shop   CZK no-overdraft
        pay  p1 dealer shop 50                  -> settled 50
        pay  p2 bank dealer 40                  -> settled 40
        # The dealer may have 10 more only.
        refund r1 p1 11                         -> CREDITS_EXCEED_DEBITS
        refund r2 p1 10                         -> settled 10
        pay  p3 shop bank 40                    -> settled 40
        refund r3 p1                            -> INSUFFICIENT_FUNDS
        # Gate and review are for new money: a refund of 8000 or 7000 is not judged.
        pay  p4 bank bank2 20000                -> CREDIT_ACCOUNT_UNKNOWN
        open bank2 CZK
        pay  p5 bank bank2 20000                -> settled 20000
        refund r4 p5 8000                       -> settled 8000
        refund r5 p5 7000                       -> settled 7000
    ";

    /// However a hold ended, it is no payment: what was captured of it is refunded by its capture.
    an_ended_hold_is_not_refunded = "
        open alice CZK
        open shop  CZK
        authorize h1 alice shop 10              -> held 10
        capture c1 h1                           -> settled 10
        refund r1 h1                            -> ORIGINAL_NOT_SETTLED
        refund r2 c1                            -> settled 10
        authorize h2 alice shop 10              -> held 10
        void v2 h2                              -> voided 10
        refund r3 h2                            -> ORIGINAL_NOT_SETTLED
        refund r4 v2                            -> ORIGINAL_NOT_SETTLED
        authorize h3 alice shop 10 timeout=5    -> held 10
        wait 5                                  -> expired h3 10
        refund r5 h3                            -> ORIGINAL_NOT_SETTLED
        balance alice                           -> 0/10 0/10
    ";
}
