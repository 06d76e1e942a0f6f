//! Property: on random command sequences the ledger decides as the naive model does, and a replay
//! of its events comes to the same state.

mod support;

use std::collections::BTreeMap;

use millrace_ledger::{
    AccountChange, AccountFlags, AccountId, AccountSpec, Amount, Code, Decision, Event,
    HoldExpired, LedgerId, Operation, OwnerId, Payment, PaymentFlags, PaymentId, RejectReason,
    Timestamp, naive::NaiveLedger,
};
use proptest::{prelude::*, sample::select};
use support::{gate::CountingGate, reuse::with_field_changed, split::Split};

#[derive(Clone, Debug)]
enum Step {
    Tick(u64),
    /// An earlier payment again, with the numbered field changed.
    Reuse(usize, u8),
    /// Follow-ups of an earlier payment, each with an amount of its own.
    FollowUp(usize, Operation, Vec<(u128, u128)>),
    Change(AccountId, AccountChange),
    Request(Vec<Payment>),
}

/// Accounts 1 to 5 are in koruna, 6 is in euro, 7 does not exist.
fn specs() -> Vec<AccountSpec> {
    let account = |id, flags, credit_limit| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(if id == 6 { 978 } else { 203 }),
        code: Code(1),
        tenant: 0,
        owner: OwnerId(id),
        flags,
        credit_limit: Amount(credit_limit),
        defect: None,
    };
    vec![
        account(1, AccountFlags::NONE, 0),
        account(2, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 0),
        account(3, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 50),
        account(4, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, 30),
        account(5, AccountFlags::KEEPS_HISTORY, 0),
        account(6, AccountFlags::NONE, 0),
    ]
}

prop_compose! {
    fn payment()(
        operation in select(vec![
            Operation::Pay, Operation::Pay, Operation::Authorize, Operation::Capture,
            Operation::Void, Operation::Refund,
        ]),
        id in prop_oneof![20 => 1_u128..40, 1 => select(vec![0, u128::MAX])],
        accounts in (1_u128..6, 1_u128..6, select(vec![0, 6, 7, u128::MAX]), 0..12),
        original in 1_u128..40,
        amount in prop_oneof![
            30 => 1_u128..60,
            6 => Just(u128::MAX),
            1 => select(vec![0, u128::MAX - 1, u128::MAX / 2, 1 << 127]),
        ],
        oddity in 0..60,
        flags in select(vec![0_u8, 0, 0, 0, 0, 0, 1, 1, 2, 4, 6, 3]),
        timeout_s in select(vec![0_u32, 1, 2, 5, u32::MAX]),
        context_digest in select(vec![0_u64, 0, 0, 7]),
    ) -> Payment {
        let follow_up = operation.needs_original();
        let (debit, credit, odd_account, where_odd) = accounts;
        let (mut debit, mut credit) = (AccountId(debit), AccountId(credit));
        if follow_up && oddity % 4 != 0 {
            (debit, credit) = (AccountId(0), AccountId(0));
        }
        match where_odd {
            0 => debit = AccountId(odd_account),
            1 => credit = AccountId(odd_account),
            _ => {}
        }
        Payment {
            id: PaymentId(id),
            debit,
            credit,
            original: PaymentId(if follow_up == (oddity != 1) { original } else { 0 }),
            amount: Amount(if operation == Operation::Void && oddity != 2 { u128::MAX } else { amount }),
            ledger: LedgerId(match oddity {
                3 => 978,
                4 => 0,
                _ if follow_up && oddity % 2 == 0 => 0,
                _ => 203,
            }),
            code: Code(if oddity == 5 { 0 } else if oddity == 6 { 2 } else { 1 }),
            operation,
            flags: PaymentFlags(match operation {
                Operation::Capture if oddity % 2 == 0 => flags | PaymentFlags::RESOLVES_REVIEW.0,
                _ => flags,
            }),
            timeout_s: if operation == Operation::Authorize || oddity == 7 { timeout_s } else { 0 },
            event_time: None,
            context_digest,
            defect: match oddity {
                8 => Some(RejectReason::ContextMalformed),
                9 => Some(RejectReason::OriginalMalformed),
                10 => Some(RejectReason::CodeTooLarge),
                11 => Some(RejectReason::AmountTooLarge),
                _ => None,
            },
        }
    }
}

fn amounts() -> impl Strategy<Value = u128> {
    prop_oneof![4 => 1_u128..40, 1 => Just(u128::MAX)]
}

/// Turns steps that refer to earlier payments into plain requests.
fn resolved(steps: &[Step]) -> Vec<Step> {
    let mut sent: Vec<Payment> = Vec::new();
    let mut plain = Vec::new();
    for step in steps {
        let step = match step {
            Step::Reuse(..) | Step::FollowUp(..) if sent.is_empty() => continue,
            Step::Reuse(earlier, field) => {
                Step::Request(vec![with_field_changed(sent[earlier % sent.len()], *field)])
            }
            Step::FollowUp(earlier, operation, amounts) => {
                let original = sent[earlier % sent.len()].id;
                let follow_up = |(id, amount): &(u128, u128)| Payment {
                    id: PaymentId(*id),
                    original,
                    operation: *operation,
                    amount: Amount(if *operation == Operation::Void { u128::MAX } else { *amount }),
                    ..Payment::default()
                };
                Step::Request(amounts.iter().map(follow_up).collect())
            }
            step => step.clone(),
        };
        if let Step::Request(payments) = &step {
            sent.extend(payments);
        }
        plain.push(step);
    }
    plain
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        2 => Just(AccountChange::Freeze),
        4 => Just(AccountChange::Reopen),
        1 => Just(AccountChange::Close),
        2 => (0_u128..80).prop_map(|limit| AccountChange::SetCreditLimit(Amount(limit))),
    ];
    let follow_ups = prop::collection::vec((40_u128..400, amounts()), 1..4);
    let follow_up = select(vec![Operation::Capture, Operation::Void, Operation::Refund]);
    prop_oneof![
        2 => (0_u64..4).prop_map(Step::Tick),
        2 => (any::<usize>(), 0..16_u8).prop_map(|(earlier, field)| Step::Reuse(earlier, field)),
        4 => (any::<usize>(), follow_up, follow_ups)
            .prop_map(|(earlier, operation, amounts)| Step::FollowUp(earlier, operation, amounts)),
        1 => (1_u128..8, change).prop_map(|(id, change)| Step::Change(AccountId(id), change)),
        8 => prop::collection::vec(payment(), 1..6).prop_map(Step::Request),
        3 => (prop::collection::vec(payment(), 1..6), any::<usize>(), any::<usize>()).prop_map(|(mut all, from, to)| {
            let again = all[from % all.len()];
            all.insert(to % (all.len() + 1), again);
            Step::Request(all)
        }),
    ]
}

/// Runs the steps through both ledgers, comparing every answer; returns the events, each with the
/// time of its batch.
fn run(steps: &[Step], split: &mut Split, gate: &mut CountingGate) -> Vec<(Timestamp, Event)> {
    let (mut naive, mut naive_gate) = (NaiveLedger::default(), CountingGate::new(3));
    let mut events = Vec::new();
    let mut now = Timestamp(1_000_000_000_000);
    split.ledger.begin_batch(now, &mut Vec::new());
    naive.begin_batch(now);
    for spec in specs() {
        naive.open(spec);
        let (_, event) = split.ledger.create_account(&spec);
        events.push((now, Event::Account(event.expect("is new"))));
    }
    for step in &resolved(steps) {
        match step {
            Step::Reuse(..) | Step::FollowUp(..) => unreachable!("resolved to requests"),
            Step::Tick(seconds) => {
                now = now.checked_add_s(*seconds as u32).expect("fits");
                let mut expired: Vec<HoldExpired> = Vec::new();
                split.ledger.begin_batch(now, &mut expired);
                let ids: Vec<_> = expired.iter().map(|event| event.payment).collect();
                assert_eq!(ids, naive.begin_batch(now));
                events.extend(expired.into_iter().map(|event| (now, Event::HoldExpired(event))));
            }
            Step::Change(id, change) => {
                let (outcome, event) = split.ledger.update_account(*id, *change);
                assert_eq!(outcome, naive.update_account(*id, *change));
                events.extend(event.map(|event| (now, Event::Account(event))));
            }
            Step::Request(payments) => {
                let decisions = split.decide(payments, gate);
                let expected = naive.decide(payments, &mut naive_gate);
                assert_eq!(decisions.len(), expected.len());
                for (index, (decision, expected)) in decisions.iter().zip(&expected).enumerate() {
                    let (outcome, replayed) = match decision {
                        Decision::New(event) => (event.outcome, false),
                        Decision::Replay { outcome, .. } => (*outcome, true),
                    };
                    let payment = &payments[index];
                    assert_eq!(
                        (outcome, replayed),
                        (expected.outcome, expected.replayed),
                        "{payment:?}"
                    );
                    if let Decision::New(event) = decision {
                        assert_eq!(event.verdict, expected.verdict, "{payment:?}");
                        assert_eq!(event.payment, expected.payment, "{payment:?}");
                        assert_eq!(event.balances, expected.balances, "{payment:?}");
                        events.push((now, Event::Payment(*event)));
                    }
                }
            }
        }
        split.end_batch();
        for (id, balances) in naive.balances() {
            assert_eq!(split.ledger.account(id).expect("is there").balances, balances, "{id}");
        }
    }
    assert_eq!(*gate, naive_gate);
    assert_eq!(split.ledger.state_hash(), naive.state_hash());
    events
}

/// The ways to keep the same ledger. All of them must come to the same.
fn splits() -> Vec<Split> {
    vec![
        Split::new(1, u32::MAX, 0, false),
        Split::new(1, 4, 1, false),
        Split::new(2, 1, 0, false),
        Split::new(3, 8, 2, false),
        Split::new(8, 2, 3, false),
        Split::new(64, 5, 0, false),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_decides_as_the_naive_model_does(steps in prop::collection::vec(step(), 1..24)) {
        let mut first: Option<Vec<(Timestamp, Event)>> = None;
        for mut split in splits() {
            let mut gate = CountingGate::new(3);
            let events = run(&steps, &mut split, &mut gate);
            let first = first.get_or_insert_with(|| events.clone());
            prop_assert_eq!(first, &events);

            let mut replayed = Split::new(2, 3, 1, false);
            let mut replayed_gate = CountingGate::new(3);
            for (position, (time, event)) in events.iter().enumerate() {
                prop_assert_eq!(event.seq().0, position as u64 + 1);
                replayed.ledger.begin_recorded_batch(*time);
                prop_assert_eq!(replayed.ledger.apply(event, &mut replayed_gate), Ok(()));
                replayed.end_batch();
            }
            replayed.ledger.begin_recorded_batch(split.ledger.time());
            prop_assert_eq!(replayed.ledger.state_hash(), split.ledger.state_hash());
            prop_assert_eq!(replayed_gate.count_of, gate.count_of);
        }
    }
}

/// The random sequences would prove little if they never got past the first checks.
#[test]
fn random_sequences_reach_every_kind_of_outcome() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..3_000 {
        let steps = prop::collection::vec(step(), 24).new_tree(&mut runner).expect("makes one");
        let mut gate = CountingGate::new(3);
        for (_, event) in run(&steps.current(), &mut Split::new(1, 16, 1, false), &mut gate) {
            let kind = match event {
                Event::Payment(event) => {
                    format!("{:?} {:?}", event.payment.operation, event.outcome.status)
                }
                Event::HoldExpired(_) => "Expired".to_owned(),
                Event::Account(_) | Event::Act(_) => continue,
            };
            *seen.entry(kind).or_default() += 1;
        }
    }
    let missing: Vec<_> = RejectReason::ALL
        .iter()
        .filter(|reason| !seen.keys().any(|kind| kind.ends_with(&format!("({reason:?})"))))
        .collect();
    // What the front door alone finds, and what takes a time or counters that batches never reach.
    let front_door = |reason: &&&RejectReason| {
        !format!("{reason:?}").contains("Malformed")
            && !matches!(reason, RejectReason::OperationUnknown | RejectReason::FlagUnknown)
            && !matches!(reason, RejectReason::OverflowTimeout)
    };
    assert_eq!(missing.iter().filter(front_door).count(), 0, "{missing:?} in {seen:#?}");
    for kind in [
        "Pay Settled",
        "Pay Held",
        "Authorize Held",
        "Capture Settled",
        "Void Voided",
        "Refund Settled",
        "Expired",
    ] {
        assert!(seen.get(kind).is_some_and(|count| *count > 50), "{kind}: {seen:#?}");
    }
}
