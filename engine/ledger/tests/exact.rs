//! Exactness: however a ledger is sharded, threaded, cut into requests and batches, and split into
//! generations, it decides the same, byte for byte, as the naive model does one by one.
//!
//! More than a million payments, each decided by twelve ledgers: a plain one, the naive one, and ten
//! that are kept in ways that differ from sequence to sequence. A replay of the events must come to
//! the same state.

mod support;

use std::collections::BTreeMap;

use millrace_ledger::{
    AccountSpec, Decision, HoldState, Payment, PaymentId, PaymentView, RejectReason, Status,
    naive::NaiveLedger,
};
use support::{
    cut::{Answer, Cut, START, replay, run},
    dice::Dice,
    gate::CountingGate,
    mix::{Ids, Kind, Mix, Step, sequence, specs},
    split::Split,
};

/// Of each of the eight mixes; more than a million in all.
const PAYMENTS: usize = 150_000;
/// Requests of at least so many payments must occur: they are resolved in several stretches.
const LONG_REQUEST: usize = 2_000;
/// Of 11 payments of a payer, one is reviewed or declined.
const JUDGED_EVERY: u32 = 11;

/// Shards, and whether they have threads.
const KEPT: [(usize, bool); 10] = [
    (1, false),
    (2, false),
    (3, false),
    (8, false),
    (64, false),
    (1, true),
    (2, true),
    (3, true),
    (8, true),
    (64, true),
];

/// Of each counter, and of both of one side together.
const OVERFLOWS: [RejectReason; 6] = [
    RejectReason::OverflowDebitsPending,
    RejectReason::OverflowCreditsPending,
    RejectReason::OverflowDebitsPosted,
    RejectReason::OverflowCreditsPosted,
    RejectReason::OverflowDebits,
    RejectReason::OverflowCredits,
];

/// What a mix must have come to, so that a test of it tells something.
#[derive(Clone, Debug, Default)]
struct Seen {
    payments: usize,
    request_len_max: usize,
    replays: usize,
    members_failed: usize,
    expired: usize,
    funds_refused: usize,
    /// Refused because a counter would not hold the sum, by [`OVERFLOWS`].
    overflows: [usize; OVERFLOWS.len()],
    /// Accepted payments of amounts that 64 bits don't hold.
    wide: usize,
    /// Accepted follow-ups of payments that were made at least 1,000 events before.
    late_follow_ups: usize,
}

/// Answers of one ledger to one sequence, and what it says of itself at the end.
#[derive(Debug, PartialEq)]
struct Said {
    answers: Vec<Answer>,
    state_hash: [u8; 32],
    payment_count: u64,
    views: Vec<Option<PaymentView>>,
}

fn check(seed: u64, mix: &Mix) -> Seen {
    let mut dice = Dice::new(seed);
    let mut seen = Seen::default();
    while seen.payments < PAYMENTS {
        let mut mix = *mix;
        mix.pauses_percent = dice.pick(&[1, 20, 100]);
        let ids = [mix.ids, Ids::Ascending, Ids::Random, Ids::OneMillisecond, Ids::Mixed];
        mix.ids = dice.pick(&ids);
        let specs = specs(&mix, &mut dice);
        let len = 300 + dice.below(6_000);
        let steps = sequence(&mix, len, &mut dice);
        check_sequence(&specs, &steps, &mut dice, &mut seen);
    }
    assert!(seen.request_len_max > LONG_REQUEST, "{seen:?}");
    seen
}

fn check_sequence(specs: &[AccountSpec], steps: &[Step], dice: &mut Dice, seen: &mut Seen) {
    let whole = Cut { request_payments_max: 1, batch_requests_max: 1, dice: Dice::new(0) };
    let mut plain = Split::new(1, u32::MAX, 0, false);
    let (first, gate) = said(specs, steps, &mut plain, whole, seen);
    let (naive, naive_gate) = check_naive(specs, steps, &first);
    assert_eq!(naive.state_hash(), first.state_hash);
    assert_eq!(naive.payment_count(), first.payment_count);
    assert_eq!(naive_gate, gate);
    count(steps, &first.answers, seen);
    let generation = dice.pick(&[1, 50, 1_000]);
    let (mut replayed, mut replayed_gate) =
        (Split::new(3, generation, 1, false), CountingGate::new(JUDGED_EVERY));
    replay(steps, &first.answers, &mut replayed, &mut replayed_gate);
    assert_eq!(replayed.ledger.state_hash(), first.state_hash, "generations of {generation}");
    assert_eq!(replayed_gate.count_of, gate.count_of);
    assert_eq!(replayed_gate.attempts, gate.attempts);
    for (shards, threads) in KEPT {
        // Tiny requests would do nothing but start threads.
        let request_payments_max = match threads {
            true => dice.pick(&[200, 700, 4_000, usize::MAX]),
            false => dice.pick(&[1, 10, 300, 4_000, usize::MAX]),
        };
        let batch_requests_max = dice.pick(&[1, 3, 30]);
        let cut = Cut { request_payments_max, batch_requests_max, dice: dice.clone() };
        let generation = dice.pick(&[1, 30, 300, 2_000, 5_000]);
        let closed_max = dice.pick(&[0, 0, 1, 4, 100]);
        let mut split = Split::new(shards, generation, closed_max, threads);
        let (other, other_gate) = said(specs, steps, &mut split, cut, seen);
        let how = format!(
            "{shards} shards, threads {threads}, requests of {request_payments_max}, \
             generations of {generation}, {closed_max} kept"
        );
        for (at, (answer, expected)) in other.answers.iter().zip(&first.answers).enumerate() {
            assert_eq!(answer, expected, "answer {at} with {how}");
        }
        assert!(other == first, "hash, payments or views with {how}");
        check_history(steps, &mut split, &first, &how);
        assert_eq!(other_gate, gate, "what risk observed with {how}");
    }
}

fn said(
    specs: &[AccountSpec],
    steps: &[Step],
    split: &mut Split,
    mut cut: Cut,
    seen: &mut Seen,
) -> (Said, CountingGate) {
    let mut gate = CountingGate::new(JUDGED_EVERY);
    let (answers, request_len_max) = run(specs, steps, split, &mut gate, &mut cut);
    seen.request_len_max = seen.request_len_max.max(request_len_max);
    let view = |payment: &Payment| split.ledger.payment(payment.id).expect("history can be read");
    let said = Said {
        state_hash: split.ledger.state_hash(),
        payment_count: split.ledger.payment_count(),
        views: sampled(steps).map(view).collect(),
        answers,
    };
    (said, gate)
}

/// Once all is let go, history knows the last word on every payment but the open holds.
fn check_history(steps: &[Step], split: &mut Split, said: &Said, how: &str) {
    split.let_all_go();
    assert_eq!(split.ledger.state_hash(), said.state_hash, "all let go, {how}");
    for (payment, view) in sampled(steps).zip(&said.views) {
        let Some(view) = view.filter(|view| view.hold != Some(HoldState::Open)) else { continue };
        let known = split.in_history(payment.id).expect("was let go");
        assert_eq!((known.seq, known.left), (view.seq, view.left.0), "{view:?} in history, {how}");
        assert_eq!(known.outcome(), view.outcome, "{view:?} in history, {how}");
    }
}

fn sampled(steps: &[Step]) -> impl Iterator<Item = &Payment> {
    payments(steps).step_by(8)
}

fn payments(steps: &[Step]) -> impl Iterator<Item = &Payment> {
    steps.iter().flat_map(|step| match step {
        Step::Group(members) | Step::Unclosed(members) => members.as_slice(),
        Step::Wait(_) | Step::Change(..) => &[],
    })
}

/// Compares every answer with the naive ledger's, which decides group by group.
fn check_naive(specs: &[AccountSpec], steps: &[Step], said: &Said) -> (NaiveLedger, CountingGate) {
    let (mut naive, mut gate) = (NaiveLedger::default(), CountingGate::new(JUDGED_EVERY));
    let mut answers = said.answers.iter().skip(specs.len());
    let mut now = START;
    naive.begin_batch(now);
    specs.iter().for_each(|spec| naive.open(*spec));
    for step in steps {
        match step {
            Step::Wait(seconds) => {
                now = now.checked_add_s(*seconds).expect("fits");
                assert_eq!(answers.next(), Some(&Answer::Time(now)));
                for hold in naive.begin_batch(now) {
                    let Some(Answer::Expired(event)) = answers.next() else {
                        panic!("{hold} did not expire");
                    };
                    assert_eq!(event.payment, hold);
                }
            }
            Step::Change(id, change) => {
                let outcome = naive.update_account(*id, *change);
                let Some(Answer::Changed(changed, _)) = answers.next() else {
                    panic!("{id} was not changed");
                };
                assert_eq!(*changed, outcome);
            }
            Step::Group(members) | Step::Unclosed(members) => {
                for expected in naive.decide(members, &mut gate) {
                    let Some(Answer::Decided(decision)) = answers.next() else {
                        panic!("{} was not decided", expected.payment.id);
                    };
                    let (outcome, replayed, seq) = match decision {
                        Decision::New(event) => (event.outcome, false, event.seq),
                        Decision::Replay { outcome, seq, .. } => (*outcome, true, *seq),
                    };
                    let payment = &expected.payment;
                    assert_eq!(outcome, expected.outcome, "{payment:?}");
                    assert_eq!(replayed, expected.replayed, "{payment:?}");
                    assert_eq!(seq, expected.seq, "{payment:?}");
                    if let Decision::New(event) = decision {
                        assert_eq!(event.payment, *payment);
                        assert_eq!(event.verdict, expected.verdict, "{payment:?}");
                        assert_eq!(event.balances, expected.balances, "{payment:?}");
                    }
                }
            }
        }
    }
    assert_eq!(answers.next(), None);
    (naive, gate)
}

fn count(steps: &[Step], answers: &[Answer], seen: &mut Seen) {
    let mut made: BTreeMap<PaymentId, u64> = BTreeMap::new();
    seen.payments += payments(steps).count();
    for answer in answers {
        match answer {
            Answer::Decided(Decision::Replay { .. }) => seen.replays += 1,
            Answer::Decided(Decision::New(event)) => {
                use RejectReason as R;
                let original = made.get(&event.payment.original).copied();
                match event.outcome.status {
                    Status::Rejected(R::GroupMemberFailed) => seen.members_failed += 1,
                    Status::Rejected(R::InsufficientFunds) => seen.funds_refused += 1,
                    Status::Rejected(reason) => {
                        if let Some(at) = OVERFLOWS.iter().position(|it| *it == reason) {
                            seen.overflows[at] += 1;
                        }
                    }
                    _ => {
                        seen.wide += usize::from(event.outcome.amount.0 > u64::MAX.into());
                        let late = original.is_some_and(|seq| seq + 1_000 < event.seq.0);
                        seen.late_follow_ups += usize::from(late);
                        made.insert(event.payment.id, event.seq.0);
                    }
                }
            }
            Answer::Expired(_) => seen.expired += 1,
            Answer::Changed(..) | Answer::Time(_) => {}
        }
    }
}

const USUAL: &[(Kind, usize)] = &[
    (Kind::Pay, 600),
    (Kind::Authorize, 150),
    (Kind::FollowUp, 200),
    (Kind::Repeat, 10),
    (Kind::RepeatChanged, 10),
    (Kind::Malformed, 10),
    (Kind::Group, 20),
    (Kind::Wait, 1),
    (Kind::Change, 1),
];

/// Groups of every length and fate, within which ids come again.
const CHAINS: &[(Kind, usize)] = &[
    (Kind::Pay, 100),
    (Kind::Authorize, 100),
    (Kind::FollowUp, 200),
    (Kind::Repeat, 20),
    (Kind::RepeatChanged, 20),
    (Kind::Group, 60),
    (Kind::FailingGroup, 60),
    (Kind::LongGroup, 1),
    (Kind::Unclosed, 1),
    (Kind::TakenBack, 80),
    (Kind::GroupAgain, 40),
    (Kind::Wait, 1),
];

/// Ids that were taken, refused, taken back or never readable come again.
const DUPLICATES: &[(Kind, usize)] = &[
    (Kind::Pay, 100),
    (Kind::Authorize, 50),
    (Kind::FollowUp, 100),
    (Kind::Repeat, 300),
    (Kind::RepeatChanged, 300),
    (Kind::Malformed, 100),
    (Kind::FailingGroup, 20),
    (Kind::TakenBack, 100),
    (Kind::GroupAgain, 10),
    (Kind::Wait, 1),
];

/// Holds that live long, and end in every way, alone and in groups that fail.
const HOLDS: &[(Kind, usize)] = &[
    (Kind::Pay, 50),
    (Kind::Authorize, 250),
    (Kind::FollowUp, 600),
    (Kind::Repeat, 20),
    (Kind::Group, 40),
    (Kind::FailingGroup, 40),
    (Kind::Wait, 4),
];

/// All that an administrator may do, at any moment.
const CHANGES: &[(Kind, usize)] = &[
    (Kind::Pay, 300),
    (Kind::Authorize, 100),
    (Kind::FollowUp, 200),
    (Kind::Repeat, 20),
    (Kind::Group, 20),
    (Kind::Wait, 5),
    (Kind::Change, 30),
];

/// Holds and payments that fill the counters, and what is made of them.
const WIDE: &[(Kind, usize)] = &[
    (Kind::Pay, 400),
    (Kind::Authorize, 300),
    (Kind::FollowUp, 200),
    (Kind::Repeat, 10),
    (Kind::RepeatChanged, 10),
    (Kind::Group, 20),
    (Kind::FailingGroup, 10),
    (Kind::Wait, 2),
    (Kind::Change, 2),
];

const MIX: Mix = Mix {
    accounts: 60,
    hot_percent: 0,
    limited_percent: 30,
    amount_max: 1_000,
    wide_percent: 0,
    pauses_percent: 100,
    ids: Ids::Ascending,
    kinds: USUAL,
};

#[test]
fn payments_spread_evenly() {
    let seen = check(1, &Mix { accounts: 200, ids: Ids::Random, ..MIX });
    assert!(seen.late_follow_ups > 1_000, "{seen:?}");
}

#[test]
fn payments_of_one_hot_account() {
    let seen = check(2, &Mix { hot_percent: 95, ids: Ids::OneMillisecond, ..MIX });
    assert!(seen.late_follow_ups > 1_000, "{seen:?}");
}

#[test]
fn linked_chains() {
    let seen = check(3, &Mix { kinds: CHAINS, ..MIX });
    assert!(seen.members_failed > 10_000 && seen.replays > 5_000, "{seen:?}");
}

#[test]
fn duplicates() {
    let seen = check(4, &Mix { kinds: DUPLICATES, ids: Ids::Descending, ..MIX });
    assert!(seen.replays > 10_000, "{seen:?}");
}

#[test]
fn holds_and_what_becomes_of_them() {
    let seen = check(5, &Mix { kinds: HOLDS, limited_percent: 10, ..MIX });
    assert!(seen.expired > 2_000 && seen.late_follow_ups > 1_000, "{seen:?}");
}

#[test]
fn overdraft_storms() {
    let storm = Mix { accounts: 8, limited_percent: 100, amount_max: 500, ..MIX };
    let seen = check(6, &Mix { ids: Ids::Descending, ..storm });
    assert!(seen.funds_refused > 10_000, "{seen:?}");
}

#[test]
fn accounts_that_are_frozen_closed_and_limited() {
    let seen = check(7, &Mix { kinds: CHANGES, limited_percent: 60, ids: Ids::Random, ..MIX });
    assert!(seen.expired > 1_000, "{seen:?}");
}

#[test]
fn amounts_of_all_widths_that_fill_the_counters() {
    let wide = Mix { accounts: 100, wide_percent: 6, limited_percent: 40, kinds: WIDE, ..MIX };
    let seen = check(8, &Mix { hot_percent: 20, ids: Ids::Random, ..wide });
    assert!(seen.overflows.iter().all(|count| *count > 20), "{seen:?}");
    assert!(seen.wide > 1_000 && seen.expired > 500 && seen.funds_refused > 1_000, "{seen:?}");
}
