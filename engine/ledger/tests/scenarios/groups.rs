//! Linked groups: they happen whole or not at all, and only the culprit tells its own reason.

use crate::table::tables;

tables! {
    a_linked_group_happens_whole_or_not_at_all = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        open fees  CZK
        pay fund bank alice 100                 -> settled 100
        # All members are there, and see each other.
        pay g1 bank  alice 50 linked            -> settled 50
        pay g2 alice shop 140 linked            -> settled 140
        pay g3 alice fees  10                   -> settled 10
        # The culprit is first, in the middle, last: only it tells its own reason.
        pay g4 alice shop   1 linked            -> INSUFFICIENT_FUNDS
        pay g5 bank  alice  5 linked            -> GROUP_MEMBER_FAILED
        pay g6 bank  shop   5                   -> GROUP_MEMBER_FAILED
        pay g7 bank  alice  5 linked            -> GROUP_MEMBER_FAILED
        pay g8 alice shop   6 linked            -> INSUFFICIENT_FUNDS
        pay g9 bank  shop   5                   -> GROUP_MEMBER_FAILED
        pay g10 bank alice  5 linked            -> GROUP_MEMBER_FAILED
        pay g11 bank shop   5 linked            -> GROUP_MEMBER_FAILED
        pay g12 alice shop  6                   -> INSUFFICIENT_FUNDS
        balance alice                           -> 0/150 0/150
        balance shop                            -> 0/0 0/140
        # A hold and its capture in one group; taken back, both are gone.
        authorize h1 bank shop 9 linked         -> GROUP_MEMBER_FAILED
        capture c1 h1 linked                    -> GROUP_MEMBER_FAILED
        pay g13 alice shop 1                    -> INSUFFICIENT_FUNDS
        balance shop                            -> 0/0 0/140
        capture c2 h1                           -> ORIGINAL_UNKNOWN
        # Members that were well may come again under the same ids; the culprit may not.
        pay g5 bank alice 5                     -> settled 5
        pay g4 alice shop 1                     -> again INSUFFICIENT_FUNDS
        # A retry of a whole group changes nothing.
        pay g1 bank  alice 50 linked            -> again settled 50
        pay g2 alice shop 140 linked            -> again settled 140
        pay g3 alice fees  10                   -> again settled 10
        # A known member keeps its outcome whatever becomes of the rest.
        pay g1 bank  alice 50 linked            -> again settled 50
        pay g14 alice shop 99                   -> INSUFFICIENT_FUNDS
        # A member twice in a group that fails: neither happened.
        pay g20 bank alice 5 linked             -> GROUP_MEMBER_FAILED
        pay g20 bank alice 5 linked             -> GROUP_MEMBER_FAILED
        pay g21 alice shop 900                  -> INSUFFICIENT_FUNDS
        # A group that is still open when its request ends.
        pay g15 bank alice 5 linked             -> GROUP_MEMBER_FAILED
        pay g1  bank alice 50 linked            -> again settled 50
        pay g16 bank alice 5 linked             -> GROUP_UNCLOSED
        end
        pay g15 bank alice 5                    -> settled 5
    ";

    /// Refused for its own sake, a member burns its id; refused for its group's sake, it does not.
    a_group_that_is_corrected_takes_a_new_id_for_its_culprit = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        pay g1 alice shop 5 linked              -> INSUFFICIENT_FUNDS
        pay g2 bank  shop 5                     -> GROUP_MEMBER_FAILED
        pay fund bank alice 5                   -> settled 5
        pay g1 alice shop 5 linked              -> again INSUFFICIENT_FUNDS
        pay g2 bank  shop 5                     -> GROUP_MEMBER_FAILED
        pay g3 alice shop 5 linked              -> settled 5
        pay g2 bank  shop 5                     -> settled 5
        # A culprit with something wrong with itself may be corrected under its id.
        pay g4 bank shop 0 linked               -> AMOUNT_ZERO
        pay g5 bank shop 1                      -> GROUP_MEMBER_FAILED
        pay g4 bank shop 1 linked               -> settled 1
        pay g5 bank shop 1                      -> settled 1
    ";

    /// What a group does to payments of long ago is taken back to the last unit.
    a_failed_group_leaves_older_payments_as_they_were = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        pay fund bank alice 1000                -> settled 1000
        authorize h1 alice shop 100             -> held 100
        authorize h2 alice shop 100             -> held 100
        pay p1 alice shop 100                   -> settled 100
        pay filler1 bank shop 1                 -> settled 1
        pay filler2 bank shop 1                 -> settled 1
        # Captured in part and whole, voided, refunded, and then one is too many.
        capture g1 h1 40 linked                 -> GROUP_MEMBER_FAILED
        capture g2 h1 linked                    -> GROUP_MEMBER_FAILED
        void    g3 h2 linked                    -> GROUP_MEMBER_FAILED
        refund  g4 p1 99 linked                 -> GROUP_MEMBER_FAILED
        refund  g5 p1 2                         -> EXCEEDS_REMAINING_AMOUNT
        view h1                                 -> held 100, open, left 100
        view h2                                 -> held 100, open, left 100
        view p1                                 -> settled 100, left 100
        balance alice                           -> 200/100 0/1000
        balance shop                            -> 0/0 200/102
        # The same, well: each ends once.
        capture g1 h1 40 linked                 -> settled 40
        capture g2 h1 linked                    -> settled 60
        void    g3 h2 linked                    -> voided 100
        refund  g4 p1 99                        -> settled 99
        view h1                                 -> held 100, captured, left 0
        view h2                                 -> held 100, voided, left 0
        view p1                                 -> settled 100, left 1
        # Ended twice in one group.
        authorize h3 alice shop 10              -> held 10
        pay filler3 bank shop 1                 -> settled 1
        capture g6 h3 linked                    -> GROUP_MEMBER_FAILED
        void    g7 h3                           -> HOLD_CAPTURED
        void    g8 h3 linked                    -> GROUP_MEMBER_FAILED
        capture g9 h3                           -> HOLD_VOIDED
        view h3                                 -> held 10, open, left 10
        capture g10 h3                          -> settled 10
    ";

    an_unclosed_group_is_the_last_of_its_request = "
        open bank  CZK
        open alice CZK
        request
        pay p1 bank alice 1                     -> settled 1
        pay g1 bank alice 2 linked              -> settled 2
        pay g2 bank alice 3                     -> settled 3
        pay g3 bank alice 4 linked              -> GROUP_MEMBER_FAILED
        pay g4 nobody alice 5 linked            -> GROUP_MEMBER_FAILED
        pay g5 bank alice 6 linked              -> GROUP_UNCLOSED
        end
        # Nobody was asked: the member without a payer is not burned.
        pay g4 bank alice 5                     -> settled 5
        balance alice                           -> 0/0 0/11
    ";

    a_single_linked_payment_is_an_unclosed_group = "
        open bank  CZK
        open alice CZK
        pay g1 bank alice 2 linked              -> GROUP_UNCLOSED
        end
        # It is not burned; with its flag it is the same again.
        pay g1 bank alice 2 linked              -> GROUP_UNCLOSED
        end
        pay g1 bank alice 2                     -> settled 2
        pay g1 bank alice 2 linked              -> GROUP_UNCLOSED
        end
        # Known as it is now, with the flag it differs.
        pay g1 bank alice 2 linked              -> ID_REUSED_FLAGS_DIFFER
        pay g2 bank alice 2                     -> GROUP_MEMBER_FAILED
        balance alice                           -> 0/0 0/2
    ";

    one_id_twice_in_a_group = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        # The same content again: the second is a replay of the first.
        pay g1 bank alice 5 linked              -> settled 5
        pay g1 bank alice 5 linked              -> again settled 5
        pay g2 alice shop 5                     -> settled 5
        # Other content: the group fails, and neither happened.
        pay g3 bank alice 5 linked              -> GROUP_MEMBER_FAILED
        pay g3 bank alice 6 linked              -> ID_REUSED_AMOUNT_DIFFERS
        pay g4 bank alice 7                     -> GROUP_MEMBER_FAILED
        view g3                                 -> unknown
        pay g3 bank alice 6                     -> settled 6
        balance alice                           -> 0/5 0/11
        # Of two groups of one request, the first fails and the second has the same ids.
        request
        pay g5 bank alice 1 linked              -> GROUP_MEMBER_FAILED
        pay g6 alice shop 99                    -> INSUFFICIENT_FUNDS
        pay g5 bank alice 1 linked              -> settled 1
        pay g7 alice shop 7                     -> settled 7
        pay g5 bank alice 1 linked              -> again settled 1
        pay g8 alice shop 99                    -> INSUFFICIENT_FUNDS
        end
        balance alice                           -> 0/12 0/12
    ";

    /// Every refusal tells the balances of the accounts that it names, or leaves to its original:
    /// as of its event, with all that the group did taken back.
    refusals_tell_balances = "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        pay fund bank alice 100                 -> settled 100
        authorize h1 alice shop 30              -> held 30
        pay filler bank shop 1                  -> settled 1
        # Before the culprit, the culprit, and after it.
        pay g1 bank alice 5 linked              -> GROUP_MEMBER_FAILED
        capture g2 h1 10 linked                 -> GROUP_MEMBER_FAILED
        pay g3 alice shop 900 linked            -> INSUFFICIENT_FUNDS
        pay g4 shop bank 7 linked               -> GROUP_MEMBER_FAILED
        capture g5 h1 10 linked                 -> GROUP_MEMBER_FAILED
        pay g6 nobody shop 7                    -> GROUP_MEMBER_FAILED
        event g1                                -> 0/101 0/0, 30/0 0/100
        event g2                                -> 30/0 0/100, 0/0 30/1
        event g3                                -> 30/0 0/100, 0/0 30/1
        event g4                                -> 0/0 30/1, 0/101 0/0
        event g5                                -> 30/0 0/100, 0/0 30/1
        event g6                                -> no accounts
        # A group that is not closed.
        pay g7 bank alice 5 linked              -> GROUP_MEMBER_FAILED
        refund g8 fund 5 linked                 -> GROUP_UNCLOSED
        end
        event g7                                -> 0/101 0/0, 30/0 0/100
        event g8                                -> 30/0 0/100, 0/101 0/0
        # Something wrong with the payment itself, with its id, with its envelope.
        pay p1 bank shop 0                      -> AMOUNT_ZERO
        event p1                                -> 0/101 0/0, 0/0 30/1
        capture c1 h1 0                         -> AMOUNT_ZERO
        event c1                                -> 30/0 0/100, 0/0 30/1
        pay p2 bank bank 1                      -> ACCOUNTS_EQUAL
        event p2                                -> 0/101 0/0, 0/101 0/0
        pay p3 - shop 1                         -> DEBIT_ACCOUNT_ID_ZERO
        event p3                                -> no accounts
        capture c2 - 1                          -> ORIGINAL_MISSING
        event c2                                -> no accounts
        capture c3 later 1                      -> ORIGINAL_UNKNOWN
        event c3                                -> no accounts
        pay filler alice shop 1                 -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        event filler                            -> 30/0 0/100, 0/0 30/1
        pay p4 bank shop 1 defect=FLAG_UNKNOWN  -> FLAG_UNKNOWN
        event p4                                -> 0/101 0/0, 0/0 30/1
        # Of the accounts that it names, not of those that it should have named.
        capture c4 h1 1 from=bank               -> ORIGINAL_DEBIT_ACCOUNT_DIFFERS
        event c4                                -> 0/101 0/0, 0/0 30/1
        capture c5 h1 1 to=nobody               -> ORIGINAL_CREDIT_ACCOUNT_DIFFERS
        event c5                                -> no accounts
        capture c6 h1 1 from=shop               -> ORIGINAL_DEBIT_ACCOUNT_DIFFERS
        event c6                                -> no accounts
        capture c7 h1 1 from=alice              -> settled 1
        capture c8 h1 1 defect=DEBIT_ACCOUNT_ID_MALFORMED -> DEBIT_ACCOUNT_ID_MALFORMED
        event c8                                -> no accounts
        # The original is of the group that fails, and gone with it.
        authorize g9 bank shop 5 linked         -> GROUP_MEMBER_FAILED
        capture g10 g9 linked                   -> GROUP_MEMBER_FAILED
        capture g11 g9 0 linked                 -> AMOUNT_ZERO
        capture g12 g9                          -> GROUP_MEMBER_FAILED
        event g10                               -> 0/101 0/0, 0/0 29/2
        event g11                               -> 0/101 0/0, 0/0 29/2
        event g12                               -> no accounts
    ";

    review_and_risk_in_a_group = "
        open alice CZK
        open shop  CZK
        # Under review is held, which is no failure; what needs it settled fails.
        pay g1 alice shop 7000 linked           -> held 7000
        pay g2 alice shop 1                     -> settled 1
        pay g3 alice shop 7000 linked           -> GROUP_MEMBER_FAILED
        refund g4 g3                            -> ORIGINAL_NOT_SETTLED
        pay g5 alice shop 1 linked              -> GROUP_MEMBER_FAILED
        pay g6 alice shop 8000                  -> RISK_DECLINED
        balance alice                           -> 7000/1 0/0
    ";
}
