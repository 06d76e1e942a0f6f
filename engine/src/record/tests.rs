//! What was written reads back; garbage is refused.

use bytes::Bytes;
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    ActEvent, Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Operation, Outcome,
    OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, RiskDecision, RuleName,
    Status, Timestamp, Verdict,
};
use proptest::{prelude::*, sample::select};

use super::{decode::with_digest, *};
use crate::feed::FeedEvent;

fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), len)
}

prop_compose! {
    fn balances()(numbers in prop::array::uniform4(
        prop_oneof![3 => (0..u64::MAX).prop_map(u128::from), 1 => any::<u128>()],
    )) -> Balances {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = numbers;
        Balances { debits_pending, debits_posted, credits_pending, credits_posted }
    }
}

prop_compose! {
    fn payment_event()(
        ids in any::<[u128; 4]>(),
        amounts in prop::array::uniform2(
            prop_oneof![(0..u64::MAX).prop_map(u128::from), any::<u128>(), Just(u128::MAX)],
        ),
        has_original in any::<bool>(),
        numbers in any::<(u32, u16, u32, Option<u64>)>(),
        operation in select(vec![Operation::Pay, Operation::Authorize, Operation::Capture,
            Operation::Void, Operation::Refund]),
        flags in 0_u8..8,
        reason in select(RejectReason::ALL),
        status in 0_usize..4,
        decision in (0_u8..5).prop_map(|it| RiskDecision::from_number(it).expect("one of five")),
        rule in "[a-z-]{0,31}",
        hold_s in 0..=Verdict::HOLD_S_MAX,
        has_defect in any::<bool>(),
        balances in prop::option::of([balances(), balances()]),
    ) -> PaymentEvent {
        let statuses =
            [Status::Settled, Status::Held, Status::Voided, Status::Rejected(reason)];
        let status = statuses[status];
        PaymentEvent {
            seq: EventSeq(1),
            payment: Payment {
                id: PaymentId(ids[0]),
                debit: AccountId(ids[1]),
                credit: AccountId(ids[2]),
                original: PaymentId(if has_original { ids[3] | 1 } else { 0 }),
                amount: Amount(amounts[0]),
                ledger: LedgerId(numbers.0),
                code: Code(numbers.1),
                operation,
                flags: PaymentFlags(flags),
                timeout_s: numbers.2,
                event_time: numbers.3.map(Timestamp),
                context_digest: 0,
                defect: has_defect.then_some(reason),
            },
            outcome: Outcome { status, amount: Amount(amounts[1]) },
            verdict: Verdict { decision, rule: RuleName::new(&rule).expect("short"), hold_s },
            balances,
        }
    }
}

proptest! {
    #[test]
    fn payment_events_read_back(
        events in prop::collection::vec(
            (payment_event(), bytes(0..80), bytes(0..256), any::<bool>()), 1..8),
    ) {
        let (mut bytes, mut contexts, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut grouped = Vec::new();
        for (position, (event, context, evidence, continues_group)) in
            events.into_iter().enumerate()
        {
            let bytes = &mut bytes;
            encode_payment(&event, &context, &evidence, continues_group, bytes, &mut contexts);
            grouped.push(continues_group);
            let seq = EventSeq(5 + position as u64);
            let event = Event::Payment(PaymentEvent { seq, ..event });
            let event = with_digest(event, &context);
            let (context, evidence) = (context.into(), evidence.into());
            expected.push(FeedEvent { event, context, evidence });
        }
        let events_len = bytes.len();
        bytes.extend(contexts);
        let count = expected.len() as u32;
        let bytes = bytes.into();
        let decoded = decode_body(&bytes, events_len, EventSeq(5), count);
        prop_assert_eq!(decoded, Ok(expected));
        let mut read = Vec::new();
        decode_each(&bytes, events_len, EventSeq(5), count, |_, grouped| read.push(grouped))
            .expect("was read just now");
        prop_assert_eq!(read, grouped);
    }

    #[test]
    fn other_events_read_back(
        ids in any::<[u128; 4]>(),
        sides in [balances(), balances()],
        released in any::<u64>(),
        numbers in any::<(u32, u16, u32)>(),
        change in select(vec![None, Some(AccountChange::Freeze), Some(AccountChange::Reopen),
            Some(AccountChange::Close), Some(AccountChange::SetCreditLimit(Amount(77)))]),
        state in select(vec![AccountState::Open, AccountState::Frozen, AccountState::Closed]),
    ) {
        let expired = HoldExpired {
            seq: EventSeq(1),
            payment: PaymentId(ids[0]),
            debit: AccountId(ids[1]),
            credit: AccountId(ids[2]),
            released: Amount(released.into()),
            balances: sides,
        };
        let spec = AccountSpec {
            id: AccountId(ids[0]),
            ledger: LedgerId(numbers.0),
            code: Code(numbers.1),
            tenant: numbers.2,
            owner: OwnerId(ids[3]),
            flags: AccountFlags(1),
            credit_limit: Amount(77),
            defect: None,
        };
        let account = Account { spec, state, balances: sides[0] };
        let changed = AccountEvent { seq: EventSeq(2), change, account };
        let (mut bytes, mut contexts) = (Vec::new(), Vec::new());
        encode_hold_expired(&expired, &mut bytes);
        encode_account(&changed, &mut bytes);
        encode_act(b"promoted", &mut bytes, &mut contexts);
        let act = Event::Act(ActEvent { seq: EventSeq(3) });
        let mut expected = [Event::HoldExpired(expired), Event::Account(changed), act]
            .map(|event| FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() });
        expected[2].context = Bytes::from_static(b"promoted");
        let events_len = bytes.len();
        bytes.extend(contexts);
        let decoded = decode_body(&bytes.into(), events_len, EventSeq(1), 3);
        prop_assert_eq!(decoded, Ok(expected.to_vec()));
    }

    #[test]
    fn never_panics_on_garbage(garbage in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..5) {
        let mut bytes = vec![kind];
        bytes.extend(garbage);
        let events_len = bytes.len();
        let _ = decode_body(&bytes.into(), events_len, EventSeq(1), 1);
    }
}
