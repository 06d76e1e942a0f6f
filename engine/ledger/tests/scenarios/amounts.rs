//! Amounts at 0, 1 and the largest there is, and the overflow of every counter.

use crate::table::tables;

tables! {
    amounts_at_their_bounds = "
        open a CZK
        open b CZK
        open c CZK
        open d CZK
        pay  p1 a b most                        -> settled 340282366920938463463374607431768211454
        pay  p2 a b 2                           -> OVERFLOW_DEBITS_POSTED
        pay  p3 c b 2                           -> OVERFLOW_CREDITS_POSTED
        pay  p4 a c 1                           -> settled 1
        authorize h1 a c 1                      -> OVERFLOW_DEBITS
        authorize h2 c b 2                      -> OVERFLOW_CREDITS
        authorize h3 c d half                   -> held 170141183460469231731687303715884105728
        authorize h4 c a half                   -> OVERFLOW_DEBITS_PENDING
        authorize h5 b d half                   -> OVERFLOW_CREDITS_PENDING
        pay  p5 c a half                        -> OVERFLOW_DEBITS
        pay  p6 a b 0                           -> AMOUNT_ZERO
        capture c1 h3 0                         -> AMOUNT_ZERO
        refund r1 p4 0                          -> AMOUNT_ZERO
        # The smallest amount there is goes everywhere.
        authorize h6 b d 1                      -> held 1
        capture c2 h6 1                         -> settled 1
        refund r2 c2 1                          -> settled 1
    ";

    /// Posted: one more than fits, on each side, of a payment and of a refund.
    posted_counters_are_full = "
        open a CZK
        open b CZK
        open c CZK
        open d CZK
        pay  back1 b a 10                       -> settled 10
        pay  back2 c d 10                       -> settled 10
        pay  full1 a d brim                     -> settled 340282366920938463463374607431768211444
        balance a                               -> 0/340282366920938463463374607431768211444 0/10
        balance d                               -> 0/0 0/340282366920938463463374607431768211454
        # One fits, two don't.
        pay  p1 b d 2                           -> OVERFLOW_CREDITS_POSTED
        pay  p2 b d 1                           -> settled 1
        pay  p3 b d 1                           -> OVERFLOW_CREDITS_POSTED
        # A refund is a debit of the one who received.
        pay  p4 a b 11                          -> settled 11
        refund r1 back1 1                       -> OVERFLOW_DEBITS_POSTED
        # And a credit of the one who paid.
        pay  full2 b c brim                     -> settled 340282366920938463463374607431768211443
        refund r2 back2 1                       -> settled 1
        pay  full3 a2 c 1                       -> DEBIT_ACCOUNT_UNKNOWN
        open a2 CZK
        pay  full4 a2 c brim                    -> settled 10
        refund r3 back2 1                       -> settled 1
        refund r4 back2 1                       -> OVERFLOW_CREDITS_POSTED
    ";

    /// Pending, and pending with posted together: each fits, their sum does not.
    pending_counters_are_full = "
        open a CZK
        open b CZK
        open c CZK
        open d CZK
        authorize h1 a b brim                   -> held 340282366920938463463374607431768211454
        authorize h2 a c 2                      -> OVERFLOW_DEBITS_PENDING
        authorize h3 c b 2                      -> OVERFLOW_CREDITS_PENDING
        pay  p1 a c 2                           -> OVERFLOW_DEBITS
        pay  p2 c b 2                           -> OVERFLOW_CREDITS
        pay  p3 a c 1                           -> settled 1
        # Capturing moves from pending to posted: what fits as a hold fits as a payment.
        capture c1 h1                           -> settled 340282366920938463463374607431768211454
        pay  p4 a c 1                           -> OVERFLOW_DEBITS_POSTED
        authorize h4 a c 1                      -> OVERFLOW_DEBITS
        authorize h5 c b 2                      -> OVERFLOW_CREDITS
        # What was released makes room.
        authorize h6 c d brim                   -> held 340282366920938463463374607431768211454
        authorize h7 c d 2                      -> OVERFLOW_DEBITS_PENDING
        void v1 h6                              -> voided 340282366920938463463374607431768211454
        authorize h8 c d 2                      -> held 2
    ";

    /// Time ends in the year 2554.
    a_time_out_that_does_not_fit = "
        open a CZK
        open b CZK
        authorize h1 a b 1 timeout=4294967295   -> held 1
        wait 4294967295                         -> expired h1 1
        wait 4294967295                         -> expired
        wait 4294967295                         -> expired
        wait 4294967295                         -> expired
        authorize h2 a b 1 timeout=1266874892   -> held 1
        authorize h3 a b 1 timeout=1266874893   -> OVERFLOW_TIMEOUT
        authorize h3 a b 1                      -> again OVERFLOW_TIMEOUT
        authorize h4 a b 1                      -> held 1
    ";

    /// A limit is not exceeded by sums that do not fit 128 bits.
    limits_are_checked_without_overflow = "
        open a CZK no-overdraft limit=most
        open b CZK
        open c CZK no-surplus limit=most
        pay  p1 b a most                        -> settled 340282366920938463463374607431768211454
        # Credits and limit together are more than fits: all that fits is available.
        pay  p2 a c most                        -> settled 340282366920938463463374607431768211454
        pay  p3 a b 2                           -> OVERFLOW_DEBITS_POSTED
        pay  p4 a b up-to-payer                 -> settled 1
        pay  p5 a b up-to-payer                 -> INSUFFICIENT_FUNDS
        pay  p6 b c 1                           -> CREDITS_EXCEED_DEBITS
        pay  p7 b c up-to-payee                 -> CREDITS_EXCEED_DEBITS
    ";
}
