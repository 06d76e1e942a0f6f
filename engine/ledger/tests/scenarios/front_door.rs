//! What the front door found wrong: it hands the ledger the payment, as far as it could be read, with
//! its finding. How it comes to each of them from bytes is tested where it does.

use crate::table::tables;

tables! {
    what_the_front_door_found_is_a_reason_like_any_other = "
        open bank  CZK
        open alice CZK
        authorize h1 bank alice 50                                     -> held 50
        pay  -  bank alice 5 defect=PAYMENT_ID_MALFORMED               -> PAYMENT_ID_MALFORMED
        pay  p1 bank alice 5 defect=OPERATION_UNKNOWN                  -> OPERATION_UNKNOWN
        pay  p1 bank alice 5 defect=FLAG_UNKNOWN                       -> FLAG_UNKNOWN
        pay  p1 bank alice 5 defect=CONTEXT_MALFORMED                  -> CONTEXT_MALFORMED
        pay  p1 -    alice 5 defect=DEBIT_ACCOUNT_ID_MALFORMED         -> DEBIT_ACCOUNT_ID_MALFORMED
        pay  p1 bank -     5 defect=CREDIT_ACCOUNT_ID_MALFORMED        -> CREDIT_ACCOUNT_ID_MALFORMED
        capture p1 -       5 defect=ORIGINAL_MALFORMED                 -> ORIGINAL_MALFORMED
        pay  p1 bank alice 5 code=65535 defect=CODE_TOO_LARGE          -> CODE_TOO_LARGE
        pay  p1 bank alice 5 defect=AMOUNT_TOO_LARGE                   -> AMOUNT_TOO_LARGE
        # None of them burns the id, and none of them moved anything.
        view p1                                                        -> unknown
        balance alice                                                  -> 0/0 50/0
        pay  p1 bank alice 5                                           -> settled 5
        # What comes before the look-up of the id is told of a known one, too.
        pay  p1 bank alice 5 defect=OPERATION_UNKNOWN                  -> OPERATION_UNKNOWN
        pay  p1 bank alice 5                                           -> again settled 5
        # In a group, it is a culprit like any other.
        pay  g1 bank alice 5 linked                                    -> GROUP_MEMBER_FAILED
        pay  g2 bank alice 5 defect=FLAG_UNKNOWN                       -> FLAG_UNKNOWN
        balance alice                                                  -> 0/0 50/5
    ";
}
