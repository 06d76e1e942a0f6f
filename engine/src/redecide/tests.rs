//! Journals that the engine wrote are decided again without a difference; forged ones tell where.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use millrace_ledger::{
    AccountChange, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Code, LedgerId,
    Operation, Outcome, PaymentFlags, PaymentId, RuleName,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::{
    Command, Engine, EngineConfig, FeedEvent,
    forge::{forged, frames},
    recover,
    submission::Reply,
};

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn id(&mut self, end: u64) -> u128 {
        u128::from(1 + self.below(end))
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A gate whose verdicts depend on what it observed.
#[derive(Clone, Debug, Default)]
struct EveryThird {
    count_of: BTreeMap<AccountId, u32>,
    before_group: BTreeMap<AccountId, u32>,
}

impl Gate for EveryThird {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let count = self.count_of.get(&judged.payment.debit).copied().unwrap_or(0);
        let decision = match (count % 3, judged.amount.0 % 7) {
            (2, 3) => RiskDecision::Decline,
            (2, _) => RiskDecision::Review,
            _ => return Verdict::APPROVE,
        };
        Verdict { decision, rule: RuleName::new("every-third").expect("short"), hold_s: 0 }
    }

    fn observe(&mut self, judged: Judged<'_>) {
        *self.count_of.entry(judged.payment.debit).or_default() += 1;
    }

    fn begin_group(&mut self) {
        self.before_group.clone_from(&self.count_of);
    }

    fn end_group(&mut self, keep: bool) {
        if !keep {
            self.count_of.clone_from(&self.before_group);
        }
    }
}

fn specs() -> Vec<AccountSpec> {
    let account = |id, flags, credit_limit| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(if id == 6 { 978 } else { 203 }),
        code: Code(1),
        flags,
        credit_limit: Amount(credit_limit),
        ..AccountSpec::default()
    };
    vec![
        account(1, AccountFlags::NONE, 0),
        account(2, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 0),
        account(3, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 50),
        account(4, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, 30),
        account(5, AccountFlags::NONE, 0),
        account(6, AccountFlags::NONE, 0),
    ]
}

/// Any payment: of account 7, which does not exist, of an id that is known, linked, in vain.
fn any_payment(dice: &mut Dice) -> Payment {
    use Operation::{Authorize, Capture, Pay, Refund, Void};
    let operation = dice.one(&[Pay, Pay, Pay, Authorize, Capture, Void, Refund]);
    let follow_up = operation.needs_original();
    let unnamed = follow_up && dice.below(4) > 0;
    let mut account = || match unnamed || follow_up && dice.below(3) == 0 {
        true => AccountId(0),
        false => AccountId(dice.id(7)),
    };
    let (debit, credit) = (account(), account());
    let all = follow_up && dice.below(2) == 0;
    Payment {
        id: PaymentId(dice.id(400)),
        debit,
        credit,
        original: PaymentId(if follow_up { dice.id(400) } else { 0 }),
        amount: match operation == Void || all {
            true => Amount::ALL,
            false => Amount(u128::from(dice.below(60))),
        },
        ledger: LedgerId(if unnamed { 0 } else { dice.one(&[203, 203, 203, 978]) }),
        code: Code(if unnamed { 0 } else { 1 }),
        operation,
        flags: PaymentFlags(dice.one(&[0, 0, 0, 1, 1, 2, 4, 8])),
        timeout_s: if operation == Authorize { dice.one(&[0, 1, 1, 2]) } else { 0 },
        ..Payment::default()
    }
}

/// Commands that are sent together, so that several share a frame.
fn send(engine: &Engine, dice: &mut Dice, sent: &mut Vec<Payment>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut answers = Vec::new();
        for _ in 0..1 + dice.below(6) {
            let mut payments: Vec<_> = (0..1 + dice.below(6)).map(|_| any_payment(dice)).collect();
            if !sent.is_empty() && dice.below(2) == 0 {
                // A payment again, wherever it gets in: linked as it was.
                let again = sent[dice.below(sent.len() as u64) as usize];
                let at = dice.below(payments.len() as u64 + 1) as usize;
                payments.insert(at, again);
            }
            if dice.below(3) == 0 {
                // A group that is closed by a payment that may be known.
                let flags = PaymentFlags::LINKED;
                let first = payment(400 + dice.id(4_000), 1, 5, dice.id(9));
                let unlinked: Vec<_> = sent.iter().filter(|it| it.flags.0 & 1 == 0).collect();
                let last = unlinked.get(dice.below(unlinked.len() as u64 + 1) as usize);
                let last = last.map_or_else(|| any_payment(dice), |last| **last);
                payments.extend([Payment { flags, ..first }, last]);
            }
            sent.extend(&payments);
            let (reply, answer) = oneshot::channel();
            submit(engine, Command::Payments { payments, contexts: Vec::new(), reply }).await;
            answers.push(answer);
        }
        for answer in answers {
            answer.await.expect("answered").expect("in time");
        }
    });
}

async fn submit(engine: &Engine, command: Command) {
    let room = Instant::now() + Duration::from_secs(120);
    engine.submitter().submit(command, None, room).await.expect("there is room");
}

fn ask<T>(engine: &Engine, command: impl FnOnce(Reply<T>) -> Command) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (reply, answer) = oneshot::channel();
        submit(engine, command(reply)).await;
        answer.await.expect("answered").expect("in time")
    })
}

fn pay(engine: &Engine, payments: Vec<Payment>) {
    ask(engine, |reply| Command::Payments { payments, contexts: Vec::new(), reply });
}

fn change(engine: &Engine, id: u128, change: AccountChange) {
    ask(engine, |reply| Command::UpdateAccount { id: AccountId(id), change, act: None, reply });
}

fn started(gate: &EveryThird) -> (TempDir, Engine) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = EngineConfig {
        segment_bytes: 16_384,
        generation_payments_max: 40,
        ..EngineConfig::new(directory.path())
    };
    let (engine, _) = Engine::start(&config, gate).expect("starts");
    ask(&engine, |reply| Command::CreateAccounts { specs: specs(), acts: Vec::new(), reply });
    (directory, engine)
}

#[track_caller]
fn again(directory: &Path, generation_payments_max: u32) -> Redecision {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    redecide(directory, scratch.path(), generation_payments_max, |_| {}).expect("it is whole")
}

#[test]
fn random_mixes_are_decided_again_without_a_difference() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let (directory, engine) = started(&EveryThird::default());
        let mut sent = Vec::new();
        for round in 0..80 {
            send(&engine, &mut dice, &mut sent);
            let id = dice.id(6);
            match dice.below(6) {
                0 => change(&engine, id, AccountChange::Freeze),
                1 => change(&engine, id, AccountChange::SetCreditLimit(Amount(40))),
                _ => change(&engine, id, AccountChange::Reopen),
            }
            if round % 30 == 20 {
                std::thread::sleep(Duration::from_millis(1_100));
            }
        }
        engine.stop().expect("stops");
        for generation_payments_max in [1 << 19, 7] {
            let redecision = again(directory.path(), generation_payments_max);
            assert_eq!(redecision.differences, [], "seed {seed}");
            let Redecision { report, redecided, not_redecidable, .. } = &redecision;
            assert_eq!(redecided + not_redecidable, report.last_seq.0);
            *seen.entry("not to be decided again").or_default() += not_redecidable;
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let plain = recover::verify_within(directory.path(), scratch.path(), &mut ApproveAll);
            let (plain_report, plain) = plain.expect("the journal is whole");
            assert_eq!(*report, plain_report);
            assert_eq!(redecision.ledger.state_hash(), plain.state_hash());
        }
        count_kinds(directory.path(), &mut seen);
    }
    for what in [
        "not to be decided again",
        "expired",
        "continued groups",
        "unclosed",
        "reviewed",
        "declined",
        "closed by a replay",
    ] {
        assert!(seen.get(what).is_some_and(|count| *count > 3), "{what}: {seen:?}");
    }
}

/// What a journal holds of what is hard to decide again.
fn count_kinds(directory: &Path, seen: &mut BTreeMap<&str, u64>) {
    let mut see = |what, count: usize| *seen.entry(what).or_default() += count as u64;
    for (_, events) in frames(directory) {
        let expired = |(it, _): &&(FeedEvent, bool)| matches!(it.event, Event::HoldExpired(_));
        see("expired", events.iter().filter(expired).count());
        see("continued groups", events.iter().filter(|(_, continues)| *continues).count());
        let payments: Vec<_> = events.iter().filter_map(|(it, _)| as_payment(&it.event)).collect();
        let failed = |reason| payments.iter().filter(|event| failed_with(event, reason)).count();
        see("unclosed", failed(RejectReason::GroupUnclosed));
        see("declined", failed(RejectReason::RiskDeclined));
        let reviewed = |event: &&&PaymentEvent| event.verdict.decision == RiskDecision::Review;
        see("reviewed", payments.iter().filter(reviewed).count());
        // The member that closed its group left no event.
        let goes_on = |event: &PaymentEvent| {
            event.payment.flags.has(PaymentFlags::LINKED) && event.outcome.is_accepted()
        };
        let closed_by_replay = events
            .windows(2)
            .filter(|pair| !pair[1].1 && as_payment(&pair[0].0.event).is_some_and(goes_on));
        see("closed by a replay", closed_by_replay.count());
    }
}

fn payment(id: u128, debit: u128, credit: u128, amount: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(debit),
        credit: AccountId(credit),
        amount: Amount(amount),
        ledger: LedgerId(203),
        code: Code(1),
        ..Payment::default()
    }
}

/// Events 1 to 6 open accounts; 7 is settled; 8 finds no funds; 9 and 10 are a group; 11 is a hold,
/// which expires as 12; 13 freezes; 14 to 43 find the account frozen.
fn small_journal() -> TempDir {
    let (directory, engine) = started(&EveryThird::default());
    pay(&engine, vec![payment(1, 1, 2, 30)]);
    pay(&engine, vec![payment(2, 2, 1, 31)]);
    let linked = Payment { flags: PaymentFlags::LINKED, ..payment(3, 5, 1, 5) };
    pay(&engine, vec![linked, payment(4, 2, 5, 6)]);
    let operation = Operation::Authorize;
    pay(&engine, vec![Payment { operation, timeout_s: 1, ..payment(5, 2, 1, 4) }]);
    std::thread::sleep(Duration::from_millis(1_100));
    change(&engine, 5, AccountChange::Freeze);
    pay(&engine, (6..36).map(|id| payment(id, 5, 1, 1)).collect());
    engine.stop().expect("stops");
    directory
}

fn forge_payment(seq: u64, change: impl Fn(&mut PaymentEvent)) -> impl Fn(&mut Event) {
    move |event| match event {
        Event::Payment(event) if event.seq.0 == seq => change(event),
        _ => {}
    }
}

type Forge = Box<dyn Fn(&mut Event)>;

/// A change; event, field, recorded and decided value of the difference that must be told; whether
/// the journal can't be applied to its end then.
fn forgeries() -> Vec<(Forge, u64, &'static str, &'static str, &'static str, bool)> {
    let reason = |reason| move |event: &mut PaymentEvent| event.outcome = Outcome::rejected(reason);
    vec![
        (
            Box::new(forge_payment(8, reason(RejectReason::CreditAccountFrozen))),
            8,
            "status",
            "REJECTED CREDIT_ACCOUNT_FROZEN",
            "REJECTED INSUFFICIENT_FUNDS",
            false,
        ),
        (
            Box::new(forge_payment(8, |event| event.verdict = Verdict::default())),
            8,
            "risk_decision",
            "NOT_JUDGED",
            "APPROVE",
            false,
        ),
        (
            Box::new(forge_payment(20, |event| event.verdict = Verdict::APPROVE)),
            20,
            "risk_decision",
            "APPROVE",
            "NOT_JUDGED",
            false,
        ),
        // What follows shows that the money did move.
        (
            Box::new(forge_payment(7, reason(RejectReason::InsufficientFunds))),
            7,
            "status",
            "REJECTED INSUFFICIENT_FUNDS",
            "SETTLED",
            true,
        ),
        (
            Box::new(forge_payment(10, |event| {
                event.balances.as_mut().expect("has some")[0].debits_posted += 1;
            })),
            10,
            "debit_account_debits_posted_minor",
            "7",
            "6",
            true,
        ),
        // A refusal's balances change nothing, and are compared all the same.
        (
            Box::new(forge_payment(8, |event| {
                event.balances.as_mut().expect("has some")[1].credits_posted += 1;
            })),
            8,
            "credit_account_credits_posted_minor",
            "1",
            "0",
            false,
        ),
        (
            Box::new(forge_payment(11, |event| event.payment.timeout_s = 1_000)),
            12,
            "event",
            "HOLD_EXPIRED",
            "no event",
            false,
        ),
        (
            Box::new(|event| match event {
                Event::Account(event) if event.seq.0 == 13 => {
                    event.change = Some(AccountChange::Close);
                    event.account.state = AccountState::Closed;
                }
                _ => {}
            }),
            13,
            "event",
            "ACCOUNT",
            "no event: Rejected(AccountNotEmpty)",
            false,
        ),
    ]
}

#[test]
fn what_was_forged_is_told_with_its_event_and_its_field() {
    let directory = small_journal();
    assert_eq!(again(directory.path(), 1_000).differences, []);
    for (forge, seq, field, recorded, redecided, stops) in forgeries() {
        let forged = forged(directory.path(), forge);
        let redecision = again(forged.path(), 1_000);
        let difference = Difference {
            seq: EventSeq(seq),
            field,
            recorded: recorded.to_owned(),
            redecided: redecided.to_owned(),
        };
        assert!(redecision.differences.contains(&difference), "{difference:?}: {redecision:?}");
        let differences = &redecision.differences;
        let others = differences.iter().filter(|it| it.seq.0 != seq && it.seq.0 < 14 && !stops);
        assert_eq!(others.count(), 0, "nothing follows from a difference: {differences:#?}");
        assert_eq!(redecision.stopped.is_some(), stops, "{:?}", redecision.stopped);
        if !stops {
            assert_eq!(redecision.report.last_seq, EventSeq(43));
        }
    }
}

/// Early releases told less of refusals. Their journals are decided again without a difference.
#[test]
fn refusals_that_tell_less_are_as_good() {
    let mut dice = Dice(9);
    let (directory, engine) = started(&EveryThird::default());
    let mut sent = Vec::new();
    (0..40).for_each(|_| send(&engine, &mut dice, &mut sent));
    engine.stop().expect("stops");
    let mut left_out = 0;
    let forged = forged(directory.path(), |event| match event {
        Event::Payment(event) if !event.outcome.is_accepted() => {
            left_out += u64::from(event.balances.take().is_some());
            // What it named itself was told then, too, but is no reason here.
            use RejectReason::{AmountZero, GroupMemberFailed, GroupUnclosed};
            let filled_in = [AmountZero, GroupMemberFailed, GroupUnclosed];
            if event.payment.operation.needs_original()
                && filled_in.iter().any(|reason| failed_with(event, *reason))
            {
                (event.payment.debit, event.payment.credit) = (AccountId(0), AccountId(0));
                event.payment.ledger = LedgerId(0);
            }
        }
        _ => {}
    });
    assert!(left_out > 20, "{left_out}");
    assert_eq!(again(forged.path(), 1_000).differences, []);
}

#[test]
fn after_many_differences_it_gives_up_and_says_so() {
    let directory = small_journal();
    let forged = forged(directory.path(), |event| match event {
        Event::Payment(event) if event.seq.0 >= 14 => {
            event.outcome = Outcome::rejected(RejectReason::InsufficientFunds);
        }
        _ => {}
    });
    let redecision = again(forged.path(), 1_000);
    let seqs: Vec<_> = redecision.differences.iter().map(|difference| difference.seq.0).collect();
    assert_eq!(seqs, (14..34).collect::<Vec<_>>());
    assert_eq!(redecision.gave_up_after, Some(EventSeq(33)));
    assert_eq!((redecision.redecided, redecision.report.last_seq.0), (33, 43));
}
