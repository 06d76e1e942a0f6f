//! Foreign exchange: a linked group through liquidity accounts, one per currency. No payment
//! crosses currencies; the group makes two of them one.

use crate::table::tables;

tables! {
    /// Alice sells 100.00 EUR at 25.13 and pays a fee of 25.00 CZK. See docs/LEDGER.md.
    alice_sells_euros = "
        open world-eur  EUR
        open world-czk  CZK
        open alice-eur  EUR no-overdraft
        open alice-czk  CZK no-overdraft
        open desk-eur   EUR no-overdraft
        open desk-czk   CZK no-overdraft
        open fees-czk   CZK
        pay  e1 world-eur alice-eur   15000 ledger=EUR  -> settled 15000
        pay  e2 world-czk desk-czk  1000000             -> settled 1000000
        # One request, one group: 100.00 EUR out, 2,513.00 CZK in, 25.00 CZK of it to the house.
        pay  x1 alice-eur desk-eur    10000 ledger=EUR linked -> settled 10000
        pay  x2 desk-czk  alice-czk  251300 linked            -> settled 251300
        pay  x3 alice-czk fees-czk     2500                   -> settled 2500
        balance alice-eur                       -> 0/10000 0/15000
        balance alice-czk                       -> 0/2500 0/251300
        balance desk-eur                        -> 0/0 0/10000
        balance desk-czk                        -> 0/251300 0/1000000
        balance fees-czk                        -> 0/0 0/2500
        # Sent again after a lost reply, it is the same exchange.
        pay  x1 alice-eur desk-eur    10000 ledger=EUR linked -> again settled 10000
        pay  x2 desk-czk  alice-czk  251300 linked            -> again settled 251300
        pay  x3 alice-czk fees-czk     2500                   -> again settled 2500
        # 60.00 EUR are 10.00 more than she has left: neither leg happens.
        pay  y1 alice-eur desk-eur     6000 ledger=EUR linked -> INSUFFICIENT_FUNDS
        pay  y2 desk-czk  alice-czk  150780 linked            -> GROUP_MEMBER_FAILED
        pay  y3 alice-czk fees-czk     2500                   -> GROUP_MEMBER_FAILED
        # The desk is out of koruna: her euros stay hers, too.
        pay  e3 desk-czk world-czk   700000             -> settled 700000
        pay  z1 alice-eur desk-eur     5000 ledger=EUR linked -> GROUP_MEMBER_FAILED
        pay  z2 desk-czk  alice-czk  125650 linked            -> INSUFFICIENT_FUNDS
        pay  z3 alice-czk fees-czk     2500                   -> GROUP_MEMBER_FAILED
        balance alice-eur                       -> 0/10000 0/15000
        balance desk-czk                        -> 0/951300 0/1000000
        # One payment can't do it.
        pay  w1 alice-eur alice-czk    1000 ledger=EUR  -> ACCOUNTS_ON_DIFFERENT_LEDGERS
    ";

    /// A quote that is held: both legs are reserved, and are captured or voided together.
    a_quote_is_held_and_taken = "
        open world-eur  EUR
        open world-czk  CZK
        open alice-eur  EUR no-overdraft
        open alice-czk  CZK
        open desk-eur   EUR
        open desk-czk   CZK no-overdraft
        pay  e1 world-eur alice-eur   15000 ledger=EUR  -> settled 15000
        pay  e2 world-czk desk-czk  1000000             -> settled 1000000
        authorize q1 alice-eur desk-eur   10000 ledger=EUR timeout=30 linked -> held 10000
        authorize q2 desk-czk  alice-czk 251300 timeout=30                   -> held 251300
        capture   q3 q1 linked                  -> settled 10000
        capture   q4 q2                         -> settled 251300
        # Not taken in time, both legs are released.
        authorize q5 alice-eur desk-eur    5000 ledger=EUR timeout=30 linked -> held 5000
        authorize q6 desk-czk  alice-czk 125650 timeout=30                   -> held 125650
        wait 30                                 -> expired q5 5000, q6 125650
        capture   q7 q5 linked                  -> HOLD_EXPIRED
        capture   q8 q6                         -> GROUP_MEMBER_FAILED
        balance alice-eur                       -> 0/10000 0/15000
        balance desk-czk                        -> 0/251300 0/1000000
        # The exchange is given back as a group, too.
        refund    r1 q3 linked                  -> settled 10000
        refund    r2 q4                         -> settled 251300
        balance alice-eur                       -> 0/10000 0/25000
    ";

    /// A leg that risk wants looked at: reserved together, and settled when the review is closed. See
    /// "All or nothing with a review in between" in docs/LEDGER.md.
    a_leg_waits_for_its_review = "
        open world-eur  EUR
        open world-czk  CZK
        open alice-eur  EUR no-overdraft
        open alice-czk  CZK no-overdraft
        open desk-eur   EUR no-overdraft
        open desk-czk   CZK no-overdraft
        open fees-czk   CZK
        pay  e1 world-eur alice-eur   15000 ledger=EUR  -> settled 15000
        pay  e2 world-czk desk-czk  1000000             -> settled 1000000
        # Sent as payments, the desk has paid while her euros are only held, and may go back to her.
        pay  x1 alice-eur desk-eur     7000 ledger=EUR linked -> held 7000
        pay  x2 desk-czk  alice-czk  175910 linked            -> settled 175910
        pay  x3 alice-czk fees-czk     2500                   -> settled 2500
        void x4 x1                              -> voided 7000
        balance alice-eur                       -> 0/0 0/15000
        balance alice-czk                       -> 0/2500 0/175910
        # Reserved together instead: nothing moves before the review is closed.
        authorize a1 alice-eur desk-eur    7000 ledger=EUR timeout=300 linked -> held 7000
        authorize a2 desk-czk  alice-czk 175910 timeout=300                   -> held 175910
        capture   a3 a1 linked                  -> RISK_REVIEW_OPEN
        capture   a4 a2                         -> GROUP_MEMBER_FAILED
        # Approved, which captures that leg: the others follow without it.
        capture   a5 a1 resolves                -> settled 7000
        capture   a6 a1 linked                  -> HOLD_CAPTURED
        capture   a7 a2                         -> GROUP_MEMBER_FAILED
        capture   a8 a2 linked                  -> settled 175910
        pay       a9 alice-czk fees-czk 2500    -> settled 2500
        balance desk-eur                        -> 0/0 0/7000
        # Declined: the others are given back.
        authorize b1 alice-eur desk-eur    7000 ledger=EUR timeout=300 linked -> held 7000
        authorize b2 desk-czk  alice-czk 175910 timeout=300                   -> held 175910
        void      b3 b1                         -> voided 7000
        void      b4 b2                         -> voided 175910
        balance alice-eur                       -> 0/7000 0/15000
        balance desk-czk                        -> 0/351820 0/1000000
        # Not waited for: all are voided at once, unless somebody was faster.
        authorize d1 alice-eur desk-eur    7000 ledger=EUR timeout=300 linked -> held 7000
        authorize d2 desk-czk  alice-czk 175910 timeout=300                   -> held 175910
        void      d3 d1 linked                  -> voided 7000
        void      d4 d2                         -> voided 175910
        void      d5 d1 linked                  -> HOLD_VOIDED
        void      d6 d2                         -> GROUP_MEMBER_FAILED
    ";
}
