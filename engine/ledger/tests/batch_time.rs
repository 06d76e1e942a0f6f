//! The time of a batch where more holds are due than may expire in it, against a plain count.

#[path = "support/two_accounts.rs"]
mod two_accounts;

use millrace_ledger::{ApproveAll, Decision, LedgerConfig, Operation, Payment, Timestamp};
use proptest::prelude::*;
use two_accounts::{ledger_of_two, payment};

const S: u64 = 1_000_000_000;

proptest! {
    #[test]
    fn no_more_are_due_than_may_expire_unless_of_one_moment(
        timeouts_s in prop::collection::vec(1_u32..12, 0..40),
        now_s in 0_u64..14,
        holds_max in 1_usize..20,
    ) {
        let mut ledger = ledger_of_two(LedgerConfig::default());
        ledger.begin_batch(Timestamp(S), &mut Vec::new());
        for (id, timeout_s) in (1..).zip(&timeouts_s) {
            let (operation, timeout_s) = (Operation::Authorize, *timeout_s);
            let hold = Payment { operation, timeout_s, ..payment(id) };
            let held = |decision: &Decision| assert!(matches!(decision, Decision::New(_)));
            ledger.decide(&[hold], &mut ApproveAll, held).expect("no history is asked");
        }
        let now = Timestamp((1 + now_s) * S);
        let due_by = |at: Timestamp| timeouts_s.iter().filter(|s| (1 + u64::from(**s)) * S <= at.0).count();
        let moments = || (1..=1 + now_s).map(|s| Timestamp(s * S)).filter(|at| *at <= now);
        let found = ledger.batch_time(now, holds_max);
        let expected = match due_by(now) > holds_max {
            false => now,
            true => {
                let is_moment = |at: &Timestamp| due_by(*at) > due_by(Timestamp(at.0 - 1));
                let first = moments().find(is_moment).expect("some are due");
                let fitting = moments().filter(|at| is_moment(at) && due_by(*at) <= holds_max);
                fitting.max().unwrap_or(first)
            }
        };
        prop_assert_eq!(found, expected);
        let mut expired = Vec::new();
        ledger.begin_batch_within(found, holds_max, &mut expired);
        prop_assert_eq!(expired.len(), due_by(found).min(holds_max));
        let all_gone = ledger.next_expiry().is_none_or(|next| next > found);
        prop_assert_eq!(all_gone, due_by(found) <= holds_max);
    }
}
