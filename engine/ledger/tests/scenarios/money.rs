//! Payments, overdrafts, credit limits, and payments that move what is there.

use crate::table::tables;

tables! {
    money_moves_and_overdrafts_are_refused = "
        open bank   CZK
        open alice  CZK no-overdraft
        open bob    CZK no-overdraft limit=50
        open dealer CZK no-surplus
        pay  p1 bank  alice 100                 -> settled 100
        event p1                                -> 0/100 0/0, 0/0 0/100
        pay  p2 alice bob    60                 -> settled 60
        pay  p3 alice bob    41                 -> INSUFFICIENT_FUNDS
        event p3                                -> 0/60 0/100, 0/0 0/60
        pay  p4 alice bob    40                 -> settled 40
        pay  p5 bob   alice 151                 -> INSUFFICIENT_FUNDS
        pay  p6 bob   alice 150                 -> settled 150
        pay  p7 bank  dealer  1                 -> CREDITS_EXCEED_DEBITS
        pay  p8 dealer bank  10                 -> settled 10
        pay  p9 bank  dealer 10                 -> settled 10
        balance alice                           -> 0/100 0/250
        balance bob                             -> 0/150 0/100
        # A refusal for want of funds is final, even when the money has come since.
        pay  p3 alice bob    41                 -> again INSUFFICIENT_FUNDS
        # Whatever it says now.
        pay  p3 alice bob     1                 -> again INSUFFICIENT_FUNDS
    ";

    /// Every debit of a request is checked against what the one before it left.
    debits_of_one_request_see_each_other = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        pay  fund bank alice 100                -> settled 100
        request
        pay  p1 alice shop 60                   -> settled 60
        pay  p2 alice shop 60                   -> INSUFFICIENT_FUNDS
        authorize h1 alice shop 30              -> held 30
        pay  p3 alice shop 11                   -> INSUFFICIENT_FUNDS
        pay  p4 alice shop 10                   -> settled 10
        pay  p5 bank alice 5                    -> settled 5
        pay  p6 alice shop 5                    -> settled 5
        end
        balance alice                           -> 30/75 0/105
    ";

    /// Pending debits count as spent; pending credits are not yet funds.
    holds_count_on_the_side_that_pays = "
        open bank   CZK
        open alice  CZK no-overdraft
        open shop   CZK no-overdraft
        open dealer CZK no-surplus
        pay  fund bank alice 100                -> settled 100
        authorize h1 alice shop 70              -> held 70
        pay  p1 alice bank 31                   -> INSUFFICIENT_FUNDS
        pay  p2 shop  bank  1                   -> INSUFFICIENT_FUNDS
        capture c1 h1 20                        -> settled 20
        pay  p3 shop  bank 20                   -> settled 20
        pay  p4 alice bank 31                   -> INSUFFICIENT_FUNDS
        # What is released is there again.
        void v1 h1                              -> voided 50
        pay  p5 alice bank 80                   -> settled 80
        # The mirror: pending credits count, pending debits are no room yet.
        pay  p6 dealer bank 10                  -> settled 10
        authorize h2 bank dealer 6              -> held 6
        authorize h3 dealer bank 50             -> held 50
        pay  p7 bank dealer 5                   -> CREDITS_EXCEED_DEBITS
        pay  p8 bank dealer 4                   -> settled 4
        balance dealer                          -> 50/10 6/4
    ";

    credit_limits_change_midway = "
        open bank   CZK
        open alice  CZK no-overdraft
        open dealer CZK no-surplus limit=10
        pay  p1 alice bank 1                    -> INSUFFICIENT_FUNDS
        limit alice 100                         -> updated
        limit alice 100                         -> unchanged
        pay  p2 alice bank 60                   -> settled 60
        authorize h1 alice bank 40              -> held 40
        pay  p3 alice bank 1                    -> INSUFFICIENT_FUNDS
        # Below what is used already: nothing is called back, nothing more goes out.
        limit alice 10                          -> updated
        balance alice                           -> 40/60 0/0
        capture c1 h1 30                        -> settled 30
        void v1 h1                              -> voided 10
        pay  p4 alice bank 1                    -> INSUFFICIENT_FUNDS
        pay  p5 alice bank 1 up-to-payer        -> INSUFFICIENT_FUNDS
        pay  p6 bank alice 85                   -> settled 85
        pay  p7 alice bank 6                    -> INSUFFICIENT_FUNDS
        pay  p8 alice bank 5                    -> settled 5
        limit alice 0                           -> updated
        pay  p9 alice bank 1                    -> INSUFFICIENT_FUNDS
        # The mirror.
        pay  p10 bank dealer 10                 -> settled 10
        pay  p11 bank dealer 1                  -> CREDITS_EXCEED_DEBITS
        limit dealer 11                         -> updated
        pay  p12 bank dealer 1                  -> settled 1
        limit dealer 0                          -> updated
        pay  p13 bank dealer 1                  -> CREDITS_EXCEED_DEBITS
        # A limit says nothing on an account that has none.
        limit bank 5                            -> CREDIT_LIMIT_WITHOUT_FLAG
        limit bank 0                            -> unchanged
        # The largest limit there is.
        limit alice most                        -> updated
        pay  p14 alice bank half                -> settled 170141183460469231731687303715884105728
    ";

    balancing_payments_move_what_is_there = "
        open bank   CZK
        open alice  CZK no-overdraft limit=10
        open shop   CZK
        open dealer CZK no-surplus
        pay  fund bank alice 100                -> settled 100
        authorize h1 alice shop 30              -> held 30
        pay  p1 alice shop 50 up-to-payer       -> settled 50
        pay  p2 alice shop 50 up-to-payer       -> settled 30
        pay  p3 alice shop 50 up-to-payer       -> INSUFFICIENT_FUNDS
        pay  p4 dealer bank 40                  -> settled 40
        pay  p5 bank dealer up-to-payee         -> settled 40
        pay  p6 bank dealer 5 up-to-payee       -> CREDITS_EXCEED_DEBITS
        pay  p7 bank shop                       -> AMOUNT_MISSING
        # The amount that is asked for makes the payment the same, not the one that was moved.
        pay  p2 alice shop 50 up-to-payer       -> again settled 30
        pay  p2 alice shop 30 up-to-payer       -> ID_REUSED_AMOUNT_DIFFERS
        refund r1 p2                            -> settled 30
    ";

    balancing_both_sides_and_holds = "
        open bank   CZK
        open alice  CZK no-overdraft
        open dealer CZK no-surplus
        pay  fund bank alice 100                -> settled 100
        pay  owe  dealer bank 30                -> settled 30
        # The smaller of what one has and the other may receive.
        pay  p1 alice dealer up-to-payer up-to-payee    -> settled 30
        pay  p2 alice dealer up-to-payer up-to-payee    -> CREDITS_EXCEED_DEBITS
        pay  owe2 dealer bank 200               -> settled 200
        pay  p3 alice dealer up-to-payer up-to-payee    -> settled 70
        pay  p4 alice dealer up-to-payer up-to-payee    -> INSUFFICIENT_FUNDS
        # One side balances, the other one is checked.
        pay  fund2 bank alice 200               -> settled 200
        pay  p5 alice dealer up-to-payer        -> CREDITS_EXCEED_DEBITS
        pay  p6 alice dealer 130 up-to-payer    -> settled 130
        pay  p7 bank dealer up-to-payee         -> CREDITS_EXCEED_DEBITS
        pay  owe3 dealer bank 80                -> settled 80
        pay  p8 alice dealer up-to-payee        -> INSUFFICIENT_FUNDS
        # A hold of what is there: later, it is a hold like any other.
        authorize h1 alice dealer 999 up-to-payer       -> held 70
        authorize h2 alice dealer 1 up-to-payer         -> INSUFFICIENT_FUNDS
        capture c1 h1 71                        -> EXCEEDS_ORIGINAL_AMOUNT
        capture c2 h1                           -> settled 70
        balance alice                           -> 0/300 0/300
        balance dealer                          -> 0/310 0/300
    ";
}
