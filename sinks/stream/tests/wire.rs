//! Whatever the journal can hold comes back from its messages as it was, and readers of other makers
//! understand them.

use bytes::Bytes;
use millrace_engine::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    ActEvent, Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Operation, Outcome,
    OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, RiskDecision, RuleName,
    Status, Timestamp, Verdict, context_digest,
};
use millrace_protos::v1::{self, PaymentContext, TraceContext};
use millrace_risk::{
    acts::{
        AccountChangeKind, Act, ActKind, ChangeAccountAct, LabelAct, OpenAccountsAct,
        QuarantinedEvent, RebuildAct, ResendAct, RotateKeyAct, SetPreferencesAct, UploadKind,
    },
    evidence::{Evidence, REASONS_MAX, Reason},
};
use millrace_stream::wire::{WireError, read_event, read_frame, write_batch};
use proptest::{prelude::*, sample::select};
use prost::Message as _;
use uuid::Uuid;

fn number() -> impl Strategy<Value = u128> {
    prop_oneof![Just(0), any::<u64>().prop_map(u128::from), any::<u128>(), Just(u128::MAX)]
}

fn balances() -> impl Strategy<Value = Balances> {
    prop::array::uniform4(number()).prop_map(|numbers| {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = numbers;
        Balances { debits_pending, debits_posted, credits_pending, credits_posted }
    })
}

fn context() -> impl Strategy<Value = Vec<u8>> {
    let time = any::<Option<(i64, i32)>>();
    let trace = any::<Option<([u8; 16], [u8; 8], u32)>>();
    let sent = (0_i32..9, "\\PC{0,20}", "[0-9a-f.:]{0,20}", time, trace).prop_map(
        |(channel, reference, ip_address, time, trace)| {
            let event_time = time.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos });
            let trace = trace.map(|(trace_id, span_id, flags)| TraceContext {
                trace_id: trace_id.to_vec().into(),
                span_id: span_id.to_vec().into(),
                flags,
            });
            let none = PaymentContext::default();
            PaymentContext { channel, reference, ip_address, event_time, trace, ..none }
                .encode_to_vec()
        },
    );
    prop_oneof![Just(Vec::new()), sent, prop::collection::vec(any::<u8>(), 0..60)]
}

prop_compose! {
    fn written_evidence()(
        policy in any::<u16>(),
        score in prop::option::of(any::<f32>()),
        challenger in prop::option::of((any::<f32>(), any::<u8>())),
        fell_back in any::<bool>(),
        reasons in prop::collection::vec(any::<(u16, f32, f32)>(), 0..=REASONS_MAX),
        rule_reason in prop::option::of("\\PC{0,300}"),
    ) -> Vec<u8> {
        let reason = |(feature, value, contribution)| Reason { feature, value, contribution };
        let reasons = reasons.into_iter().map(reason).collect();
        let mut bytes = Vec::new();
        Evidence { policy, score, challenger, fell_back, reasons, rule_reason }.put(&mut bytes);
        bytes
    }
}

fn evidence() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        written_evidence(),
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(any::<u8>(), 20..60).prop_map(|mut bytes| {
            bytes[..2].copy_from_slice(&[1, 0]);
            bytes
        }),
    ]
}

prop_compose! {
    fn payment()(
        ids in any::<[u128; 3]>(),
        original in prop_oneof![Just(0), any::<u128>()],
        amounts in prop::array::uniform2(number()),
        numbers in any::<(u32, u16, u32)>(),
        event_time in prop::option::of(any::<u64>().prop_map(Timestamp)),
        operation in select(vec![Operation::Pay, Operation::Authorize, Operation::Capture,
            Operation::Void, Operation::Refund]),
        flags in (0_u8..8).prop_map(PaymentFlags),
        reason in select(RejectReason::ALL),
        status in 0_usize..4,
        decision in (0_u8..5).prop_map(|it| RiskDecision::from_number(it).expect("one of five")),
        rule in "[a-z-]{0,31}",
        hold_s in 0..=Verdict::HOLD_S_MAX,
        defect in prop::option::of(select(RejectReason::ALL)),
        balances in prop::option::of([balances(), balances()]).boxed(),
        context in context().boxed(),
        evidence in evidence().boxed(),
    ) -> FeedEvent {
        let statuses = [Status::Settled, Status::Held, Status::Voided, Status::Rejected(reason)];
        let payment = Payment {
            id: PaymentId(ids[0]),
            debit: AccountId(ids[1]),
            credit: AccountId(ids[2]),
            original: PaymentId(original),
            amount: Amount(amounts[0]),
            ledger: LedgerId(numbers.0),
            code: Code(numbers.1),
            operation,
            flags,
            timeout_s: numbers.2,
            event_time,
            context_digest: context_digest(&context),
            defect,
        };
        let outcome = Outcome { status: statuses[status], amount: Amount(amounts[1]) };
        let verdict = Verdict { decision, rule: RuleName::new(&rule).expect("short"), hold_s };
        let seq = EventSeq(0);
        FeedEvent {
            event: Event::Payment(PaymentEvent { seq, payment, outcome, verdict, balances }),
            context: context.into(),
            evidence: evidence.into(),
        }
    }
}

fn alone(event: Event) -> FeedEvent {
    FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() }
}

prop_compose! {
    fn hold_expired()(
        ids in any::<[u128; 3]>(), released in number(), balances in [balances(), balances()],
    ) -> FeedEvent {
        alone(Event::HoldExpired(HoldExpired {
            seq: EventSeq(0),
            payment: PaymentId(ids[0]),
            debit: AccountId(ids[1]),
            credit: AccountId(ids[2]),
            released: Amount(released),
            balances,
        }))
    }
}

prop_compose! {
    fn account()(
        ids in any::<[u128; 2]>(),
        has_owner in any::<bool>(),
        numbers in any::<(u32, u16, u32)>(),
        flags in (0_u8..8).prop_map(AccountFlags),
        credit_limit in number().prop_map(Amount),
        change in 0_usize..5,
        state in select(vec![AccountState::Open, AccountState::Frozen, AccountState::Closed]),
        balances in balances(),
    ) -> FeedEvent {
        let changes = [None, Some(AccountChange::Freeze), Some(AccountChange::Reopen),
            Some(AccountChange::Close), Some(AccountChange::SetCreditLimit(credit_limit))];
        let spec = AccountSpec {
            id: AccountId(ids[0]),
            ledger: LedgerId(numbers.0),
            code: Code(numbers.1),
            tenant: numbers.2,
            owner: OwnerId(if has_owner { ids[1] } else { 0 }),
            flags,
            credit_limit,
            defect: None,
        };
        let account = Account { spec, state, balances };
        alone(Event::Account(AccountEvent { seq: EventSeq(0), change: changes[change], account }))
    }
}

prop_compose! {
    fn written_act()(
        actor in "\\PC{0,10}",
        why in "\\PC{0,10}",
        payment in any::<u128>().prop_map(Uuid::from_u128),
        yes in any::<bool>(),
        kind in 0..13,
    ) -> Vec<u8> {
        let label = LabelAct {
            payment,
            fraud: yes,
            paid_at_ns: 7,
            amount_minor: 8,
            ledger: 203,
            payer: payment,
            payee: payment,
            context: String::new(),
            known_at_ns: yes.then_some(9),
            takes_back: yes,
        };
        let act = match kind {
            0 => ActKind::SetPolicy { policy: "ab".repeat(32), features: Vec::new() },
            1 => ActKind::Label(label),
            2 => ActKind::ClaimReview { payment, by: actor.clone() },
            3 => ActKind::Upload {
                kind: UploadKind::Model,
                artefact: "cd".repeat(32),
                title: why.clone(),
                size_bytes: 10,
            },
            4 => ActKind::ResolveReview { payment, approve: yes },
            5 => ActKind::RebuildSink(RebuildAct {
                sink: why.clone(),
                accept_other_root: yes,
                done_at_ns: yes.then_some(11),
            }),
            8 => ActKind::RotateAuditKey(RotateKeyAct {
                old_key: actor.clone(),
                new_key: why.clone(),
                tree_size: 77,
                done_at_ns: yes.then_some(11),
            }),
            9 => ActKind::OpenAccounts(OpenAccountsAct { accounts: vec![payment, payment] }),
            10 => ActKind::ChangeAccount(ChangeAccountAct {
                account: payment,
                change: AccountChangeKind::SetCreditLimit,
                credit_limit_minor: yes.then(|| u128::MAX.to_string()),
            }),
            11 => ActKind::ResendNotification(ResendAct {
                notification: 7,
                payment: yes.then_some(payment),
                account: None,
            }),
            12 => ActKind::SetPreferences(SetPreferencesAct { owner: payment }),
            kind => {
                let (sink, payment) = (why.clone(), yes.then_some(payment));
                let event = QuarantinedEvent { sink, event: 12, payment, account: None };
                if kind == 6 { ActKind::ReplayEvent(event) } else { ActKind::DropEvent(event) }
            }
        };
        Act { actor, why, act }.to_bytes()
    }
}

fn act() -> impl Strategy<Value = FeedEvent> {
    prop_oneof![written_act(), prop::collection::vec(any::<u8>(), 0..40)].prop_map(|act| {
        let event = Event::Act(ActEvent { seq: EventSeq(0) });
        FeedEvent { event, context: act.into(), evidence: Bytes::new() }
    })
}

prop_compose! {
    fn batch()(
        time in any::<u64>().prop_map(Timestamp),
        first in 1..u64::MAX - 100,
        mut events in prop::collection::vec(
            prop_oneof![
                6 => payment().boxed(),
                1 => hold_expired().boxed(),
                1 => account().boxed(),
                1 => act().boxed(),
            ], 1..12),
    ) -> FeedBatch {
        for (position, event) in events.iter_mut().enumerate() {
            let place = EventSeq(first + position as u64);
            match &mut event.event {
                Event::Payment(event) => event.seq = place,
                Event::HoldExpired(event) => event.seq = place,
                Event::Account(event) => event.seq = place,
                Event::Act(event) => event.seq = place,
            }
        }
        FeedBatch { time, events }
    }
}

fn frame(batch: &FeedBatch) -> Vec<u8> {
    v1::EventFrame {
        schema_version: 1,
        journal_id: Bytes::from_static(&[7; 16]),
        first_sequence: batch.events[0].event.seq().0,
        events: write_batch(batch).collect(),
    }
    .encode_to_vec()
}

fn forget_contexts(batch: &mut FeedBatch) {
    for event in &mut batch.events {
        if let Event::Payment(payment) = &mut event.event {
            payment.payment.context_digest = 0;
            event.context = Bytes::new();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_comes_back_as_it_was(batch in batch()) {
        let read = read_frame(frame(&batch).into()).expect("reads");
        prop_assert_eq!(read, vec![batch]);
    }

    /// A reader that knows only the descriptors reads every field there is, and writes the same bytes.
    #[test]
    fn readers_of_other_makers_understand_it(batch in batch()) {
        use prost_reflect::{DescriptorPool, DynamicMessage};
        let pool = DescriptorPool::decode(millrace_protos::FILE_DESCRIPTOR_SET).expect("descriptors");
        let descriptor = pool.get_message_by_name("millrace.v1.EventFrame").expect("is there");
        let bytes = frame(&batch);
        let message = DynamicMessage::decode(descriptor, &bytes[..]).expect("reads");
        let mut read = read_frame(message.encode_to_vec().into()).expect("reads");
        let mut expected = vec![batch];
        // A context may have its fields in another order, or twice; the journal has it as sent.
        read.iter_mut().chain(&mut expected).for_each(forget_contexts);
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(mut bytes in batch().prop_map(|batch| frame(&batch)),
        place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let at = place.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = read_frame(bytes.into());
    }
}

#[test]
fn what_is_wrong_with_a_frame_is_named() {
    let event = |sequence| v1::Event {
        sequence,
        time: Some(prost_types::Timestamp::default()),
        kind: Some(v1::event::Kind::ActRecorded(v1::ActRecorded::default())),
    };
    let read = |schema_version, events: Vec<v1::Event>| {
        let frame =
            v1::EventFrame { schema_version, first_sequence: 5, events, ..Default::default() };
        read_frame(frame.encode_to_vec().into())
    };
    assert!(read(1, vec![event(5), event(6)]).is_ok());
    assert_eq!(read(2, vec![event(5)]), Err(WireError::Newer { found: 2 }));
    let gap = WireError::NotDense { expected: EventSeq(6), found: EventSeq(7) };
    assert_eq!(read(1, vec![event(5), event(7)]), Err(gap));
    let late = WireError::NotDense { expected: EventSeq(5), found: EventSeq(6) };
    assert_eq!(read(1, vec![event(6)]), Err(late));
    let unknown = v1::Event { kind: None, ..event(5) };
    let field = WireError::Field { seq: EventSeq(5), field: "kind" };
    assert_eq!(read_event(unknown), Err(field));
    assert!(matches!(read_frame(Bytes::from_static(b"\xff")), Err(WireError::NotProtobuf(_))));
}
