//! What risk said: held for review, declined, and the same again.

use millrace_ledger::{
    AccountId, AccountSpec, Amount, Code, Decision, Ledger, LedgerId, Payment, PaymentId, Verdict,
};

use crate::table::{TableGate, tables};

tables! {
    risk_holds_and_declines = "
        open alice CZK
        open poor  CZK no-overdraft
        open shop  CZK
        pay  p1 alice shop 7000                 -> held 7000
        balance shop                            -> 0/0 7000/0
        # Whoever reviews lets it through, nobody else; the id of who tried is burned.
        capture c1 p1                           -> RISK_REVIEW_OPEN
        capture c1 p1                           -> again RISK_REVIEW_OPEN
        capture c2 p1 5                         -> RISK_REVIEW_OPEN
        capture c3 p1 5 resolves                -> settled 5
        capture c4 p1                           -> RISK_REVIEW_OPEN
        capture c5 p1 resolves                  -> settled 6995
        capture c6 p1                           -> HOLD_CAPTURED
        pay  p2 alice shop 7000                 -> held 7000
        void v1 p2                              -> voided 7000
        pay  p3 alice shop 8000                 -> RISK_DECLINED
        pay  p3 alice shop 8000                 -> again RISK_DECLINED
        # Risk speaks before funds.
        pay  p4 poor shop 8000                  -> RISK_DECLINED
        pay  p5 poor shop 7000                  -> INSUFFICIENT_FUNDS
    ";

    /// Nor does a group pay and capture what risk wants looked at.
    a_review_holds_within_a_group = "
        open alice CZK
        open shop  CZK
        pay  p1 alice shop 7000 linked          -> GROUP_MEMBER_FAILED
        capture c1 p1                           -> RISK_REVIEW_OPEN
        authorize h1 alice shop 7000            -> held 7000
        capture c2 h1                           -> RISK_REVIEW_OPEN
        void v1 h1                              -> voided 7000
        # What is settled is nobody's to review.
        pay  p2 alice shop 7000                 -> held 7000
        capture c3 p2 resolves                  -> settled 7000
        refund r1 c3                            -> settled 7000
        balance alice                           -> 0/7000 0/7000
    ";

    /// Until the payer has answered the challenge, the money is held: whoever asked captures it then, or
    /// voids it.
    a_challenge_holds_as_a_review_does = "
        open alice CZK
        open poor  CZK no-overdraft
        open shop  CZK
        pay  p1 alice shop 9000                 -> held 9000
        pay  p1 alice shop 9000                 -> again held 9000
        view p1                                 -> held 9000, open, left 9000
        balance alice                           -> 9000/0 0/0
        refund r1 p1                            -> ORIGINAL_NOT_SETTLED
        capture c1 p1                           -> settled 9000
        balance alice                           -> 0/9000 0/0
        pay  p2 alice shop 9000                 -> held 9000
        void v1 p2                              -> voided 9000
        # An authorization stays one, with its own time-out.
        authorize h1 alice shop 9000 timeout=5  -> held 9000
        wait 5                                  -> expired h1 9000
        # What can't be paid is not asked about twice.
        pay  p3 poor shop 9000                  -> INSUFFICIENT_FUNDS
        # Held is no failure of a group.
        pay  g1 alice shop 9000 linked          -> held 9000
        pay  g2 alice shop 1                    -> settled 1
        pay  g3 alice shop 9000 linked          -> GROUP_MEMBER_FAILED
        pay  g4 poor  shop 1                    -> INSUFFICIENT_FUNDS
        balance alice                           -> 9000/9001 0/0
    ";
}

/// "The first outcome again" includes what risk said and by which rule.
#[test]
fn a_replay_repeats_the_verdict() {
    let mut ledger = Ledger::new(3);
    for id in [1, 2] {
        let (id, ledger_id, code) = (AccountId(id), LedgerId(203), Code(1));
        ledger.create_account(&AccountSpec {
            id,
            ledger: ledger_id,
            code,
            ..AccountSpec::default()
        });
    }
    for (id, amount) in [(1, 5), (2, 7_000), (3, 8_000), (4, 9_000)] {
        let payment = Payment {
            id: PaymentId(id),
            debit: AccountId(1),
            credit: AccountId(2),
            amount: Amount(amount),
            ledger: LedgerId(203),
            code: Code(1),
            ..Payment::default()
        };
        let mut verdicts = Vec::new();
        let decided = |decision: &Decision| {
            verdicts.push(match decision {
                Decision::New(event) => event.verdict,
                Decision::Replay { verdict, .. } => *verdict,
            });
        };
        ledger.decide(&[payment, payment], &mut TableGate, decided).expect("no history");
        assert_ne!(verdicts[0], Verdict::default(), "amount {amount} was judged");
        assert_eq!(verdicts[0], verdicts[1], "amount {amount}");
        let view = ledger.payment(PaymentId(id)).expect("no history").expect("its id is taken");
        assert_eq!(view.verdict, verdicts[0], "amount {amount}");
    }
}
