//! Rows read back as written, at the ends of every range, and garbage is refused.

use super::*;

fn event(amount: u128, status: Status) -> PaymentEvent {
    let full = Balances {
        debits_pending: u128::MAX,
        debits_posted: 0,
        credits_pending: 1 << 64,
        credits_posted: 127,
    };
    PaymentEvent {
        seq: EventSeq(5),
        payment: Payment {
            id: PaymentId(u128::MAX),
            debit: AccountId(1),
            credit: AccountId(u128::MAX - 1),
            original: PaymentId(7),
            amount: Amount(amount),
            ledger: LedgerId(u32::MAX),
            code: Code(u16::MAX),
            operation: Operation::Refund,
            flags: PaymentFlags(7),
            timeout_s: u32::MAX,
            ..Payment::default()
        },
        outcome: Outcome { status, amount: Amount(amount) },
        verdict: Verdict {
            decision: RiskDecision::Decline,
            rule: RuleName::new(&"r".repeat(RuleName::LEN_MAX)).expect("fits"),
            hold_s: 0,
        },
        balances: Some([full, Balances::default()]),
    }
}

#[test]
fn payments_read_back() {
    let full = event(u128::MAX - 1, Status::Settled);
    let bare = PaymentEvent {
        payment: Payment { amount: Amount::ALL, ..Payment::default() },
        verdict: Verdict::default(),
        balances: None,
        ..event(0, Status::Rejected(RejectReason::OriginalUnknown))
    };
    let moved_less = PaymentEvent {
        outcome: Outcome { status: Status::Held, amount: Amount(3) },
        ..event(500, Status::Held)
    };
    let moved_all = PaymentEvent {
        payment: Payment { amount: Amount::ALL, ..full.payment },
        ..event(9, Status::Voided)
    };
    for event in [full, bare, moved_less, moved_all] {
        for context in [&b""[..], b"\x08\x01 anything"] {
            let mut bytes = Vec::new();
            put_payment(&mut bytes, &event, Timestamp(u64::MAX), context);
            assert_eq!(payment(event.seq, &bytes), Ok((event, Timestamp(u64::MAX), context)));
        }
    }
}

#[test]
fn every_reason_has_a_row() {
    for reason in RejectReason::ALL {
        let event = event(1, Status::Rejected(*reason));
        let mut bytes = Vec::new();
        put_payment(&mut bytes, &event, Timestamp(0), b"");
        assert_eq!(payment(event.seq, &bytes).expect("reads").0, event, "{reason:?}");
    }
}

#[test]
fn states_read_back() {
    for number in 0..=7 {
        let mut bytes = vec![number];
        bytes.extend([5, 200, 1, 0, 127]);
        let row = PaymentStateRow::read(&bytes).expect("reads");
        assert_eq!((row.seq.0, row.amount, row.left, row.released), (5, 200, 0, 127));
        let mut again = Vec::new();
        row.put(&mut again);
        assert_eq!(again, bytes);
    }
    assert_eq!(PaymentStateRow::read(&[8, 5, 1, 0, 0]), Err(RowError));
}

#[test]
fn accounts_and_balances_read_back() {
    for state in [AccountState::Open, AccountState::Frozen, AccountState::Closed] {
        let spec = AccountSpec {
            id: AccountId(9),
            ledger: LedgerId(203),
            code: Code(u16::MAX),
            tenant: u32::MAX,
            owner: OwnerId(u128::MAX),
            flags: AccountFlags(7),
            credit_limit: Amount(u128::MAX),
            defect: None,
        };
        let written = Account { spec, state, balances: Balances::default() };
        let mut bytes = Vec::new();
        put_account(&mut bytes, &written, EventSeq(u64::MAX), Timestamp(1));
        let read = account(spec.id, &bytes);
        assert_eq!(read, Ok((written, EventSeq(u64::MAX), Timestamp(1))));
    }
    let counters = event(1, Status::Settled).balances.expect("has them")[0];
    let mut bytes = Vec::new();
    put_balances(&mut bytes, EventSeq(300), &counters);
    assert_eq!(balances(&bytes), Ok((EventSeq(300), counters)));
}

#[test]
fn postings_read_back() {
    for seqs in [vec![1], vec![1, 2, 3], vec![5, 133, 1 << 40, u64::MAX]] {
        let mut bytes = Vec::new();
        put_steps(&mut bytes, &seqs);
        let mut read = Vec::new();
        read_steps(seqs[0], &bytes, &mut read).expect("reads");
        assert_eq!(read, seqs);
    }
}

#[test]
fn a_row_that_ends_early_is_refused() {
    let event = event(u128::MAX - 1, Status::Settled);
    let mut bytes = Vec::new();
    put_payment(&mut bytes, &event, Timestamp(9), b"");
    for len in 0..bytes.len() {
        assert_eq!(payment(event.seq, &bytes[..len]), Err(RowError), "{len} bytes");
    }
    let too_long = [0xff; 19];
    assert_eq!(balances(&too_long), Err(RowError), "more than 128 bits");
    let past = read_steps(u64::MAX, &[1], &mut Vec::new());
    assert_eq!(past, Err(RowError), "past the last position");
}
