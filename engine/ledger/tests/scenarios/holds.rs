//! Holds: captured in parts, voided, expired, and too late for any of it.

use crate::table::tables;

tables! {
    holds_are_captured_voided_and_expire = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        pay  fund bank alice 1000               -> settled 1000
        authorize h1 alice shop 400             -> held 400
        authorize h2 alice shop 601             -> INSUFFICIENT_FUNDS
        balance alice                           -> 400/0 0/1000
        balance shop                            -> 0/0 400/0
        # Part is captured, the rest is released.
        capture c1 h1 150                       -> settled 150
        capture c2 h1 251                       -> EXCEEDS_REMAINING_AMOUNT
        capture c3 h1 401                       -> EXCEEDS_ORIGINAL_AMOUNT
        void    v1 h1                           -> voided 250
        capture c4 h1                           -> HOLD_VOIDED
        void    v2 h1                           -> HOLD_VOIDED
        balance alice                           -> 0/150 0/1000
        balance shop                            -> 0/0 0/150
        # All of it is captured, in two parts.
        authorize h3 alice shop 100             -> held 100
        capture c5 h3 40                        -> settled 40
        capture c6 h3                           -> settled 60
        capture c7 h3 1                         -> HOLD_CAPTURED
        void    v3 h3                           -> HOLD_CAPTURED
        # Time-outs: the event comes by itself, in the order of time.
        authorize h4 alice shop 10 timeout=20   -> held 10
        authorize h5 alice shop 20 timeout=10   -> held 20
        authorize h6 alice shop 30 timeout=10   -> held 30
        capture c8 h6 5                         -> settled 5
        wait 9                                  -> expired
        wait 1                                  -> expired h5 20, h6 25
        capture c9 h5                           -> HOLD_EXPIRED
        void    v4 h6                           -> HOLD_EXPIRED
        void    v5 h4                           -> voided 10
        wait 60                                 -> expired
        balance alice                           -> 0/255 0/1000
        # What is no hold.
        capture c10 fund                        -> ORIGINAL_NOT_A_HOLD
        void    v6 fund                         -> ORIGINAL_NOT_A_HOLD
        capture c11 nothing                     -> ORIGINAL_UNKNOWN
        void    v7 h2                           -> ORIGINAL_UNKNOWN
        # What a follow-up says of its original must be so.
        authorize h7 alice shop 10              -> held 10
        capture c12 h7 from=shop                -> ORIGINAL_DEBIT_ACCOUNT_DIFFERS
        capture c13 h7 to=alice                 -> ORIGINAL_CREDIT_ACCOUNT_DIFFERS
        capture c14 h7 ledger=EUR               -> ORIGINAL_LEDGER_DIFFERS
        capture c15 h7 code=2                   -> ORIGINAL_CODE_DIFFERS
        capture c16 h7 from=alice to=shop ledger=CZK code=1 -> settled 10
    ";

    partial_capture_then_void_of_the_rest = "
        open alice CZK
        open shop  CZK
        authorize h1 alice shop 100             -> held 100
        capture c1 h1 30                        -> settled 30
        view h1                                 -> held 100, open, left 70
        event c1                                -> 70/30 0/0, 0/0 70/30
        capture c2 h1 30                        -> settled 30
        void v1 h1                              -> voided 40
        event v1                                -> 0/60 0/0, 0/0 0/60
        view h1                                 -> held 100, voided, left 0
        capture c3 h1 1                         -> HOLD_VOIDED
        # More than it ever was comes before that it has ended.
        capture c4 h1 101                       -> EXCEEDS_ORIGINAL_AMOUNT
        # What was captured can be refunded still, and no more.
        refund r1 c1                            -> settled 30
        refund r2 c2 31                         -> EXCEEDS_ORIGINAL_AMOUNT
        refund r3 c2 30                         -> settled 30
        balance alice                           -> 0/60 0/60
        # A void and a capture are no holds themselves.
        void v2 v1                              -> ORIGINAL_NOT_A_HOLD
        capture c5 c1                           -> ORIGINAL_NOT_A_HOLD
    ";

    /// What is still held when the time-out passes is released, at the beginning of a batch, by an
    /// event of its own that carries both balances.
    expiry_is_an_event = "
        open alice CZK
        open shop  CZK
        authorize h1 alice shop 100 timeout=10  -> held 100
        authorize h2 alice shop  50 timeout=5   -> held 50
        authorize h3 alice shop   7             -> held 7
        capture c1 h1 30                        -> settled 30
        wait 4                                  -> expired
        wait 3                                  -> expired h2 50
        event h2                                -> 77/30 0/0, 0/0 77/30
        # Two at once: each with the balances of its moment.
        authorize h4 alice shop 20 timeout=2    -> held 20
        wait 3                                  -> expired h4 20, h1 70
        event h4                                -> 77/30 0/0, 0/0 77/30
        event h1                                -> 7/30 0/0, 0/0 7/30
        view h1                                 -> held 100, expired, left 0
        # Once is enough, and without a time-out there is no end.
        wait 4000000000                         -> expired
        view h3                                 -> held 7, open, left 7
        # Too late.
        capture c2 h1                           -> HOLD_EXPIRED
        capture c3 h2 50                        -> HOLD_EXPIRED
        void v1 h4                              -> HOLD_EXPIRED
        # What was captured in time stays, and can be refunded.
        refund r1 c1                            -> settled 30
        # The first outcome of the hold is what it was.
        authorize h2 alice shop 50 timeout=5    -> again held 50
        capture c4 h3                           -> settled 7
        balance alice                           -> 0/37 0/30
    ";

    a_hold_that_ended_before_its_time_does_not_expire = "
        open alice CZK
        open shop  CZK
        authorize h1 alice shop 10 timeout=5    -> held 10
        authorize h2 alice shop 10 timeout=5    -> held 10
        authorize h3 alice shop 10 timeout=5    -> held 10
        capture c1 h1                           -> settled 10
        void v1 h2                              -> voided 10
        wait 5                                  -> expired h3 10
        wait 5                                  -> expired
        balance alice                           -> 0/10 0/0
    ";

    /// A payment that was held for review is a hold without a time-out.
    a_payment_under_review_is_a_hold = "
        open alice CZK
        open shop  CZK
        pay  p1 alice shop 7000                 -> held 7000
        refund r1 p1                            -> ORIGINAL_NOT_SETTLED
        capture c1 p1 2000 resolves             -> settled 2000
        void v1 p1                              -> voided 5000
        refund r2 c1 500                        -> settled 500
        authorize h1 alice shop 7000 timeout=5  -> held 7000
        wait 5                                  -> expired h1 7000
        balance alice                           -> 0/2000 0/500
    ";
}
