//! The policy as a gate: blocks against one by one, replay, snapshots, precedence, and what is
//! missing.

use std::path::Path;

use millrace_ledger::{AccountId, Amount, LedgerId, NoContexts, PaymentId, RiskDecision};

use super::*;

mod challenger;
mod live_rules;
mod naive;
mod on_demand;
mod own_keys;
mod segments;

use crate::{acts::LabelAct, evidence::Evidence, features::Catalogue, shelf::Shelf};

const EUR: LedgerId = LedgerId(978);
const S: u64 = 1_000_000_000;
/// However busy the machine is, everything is scored.
const NO_BUDGET: &str = "[budget]\nrequest_ms = 0\nthen = \"approve\"\n";

fn library(directory: &Path) -> Library {
    Library::new(Shelf::new(directory), Arc::new(Catalogue::book()))
}

fn policy_with(library: &Library, threads: usize) -> Policy {
    let limits = ProfileLimits { entities_max: 50, ..ProfileLimits::default() };
    let scoring = ScoringConfig { library: library.clone(), limits, threads };
    let mut config = RiskConfig::default();
    config.features.shards = threads;
    Policy::new(&config, Some(scoring)).expect("no limit is wrong")
}

/// Payments of few accounts, so that profiles matter; some name an amount that is none.
fn payments(count: usize, seed: u64) -> Vec<Payment> {
    let mut state = seed;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|at| Payment {
            id: PaymentId(at as u128 + 1),
            debit: AccountId(1 + u128::from(draw(40))),
            credit: AccountId(1_000 + u128::from(draw(60))),
            amount: if draw(50) == 0 { Amount::ALL } else { Amount(draw(90_000).into()) },
            ledger: EUR,
            event_time: (draw(3) == 0).then(|| Timestamp(at as u64 * 7 * S)),
            ..Payment::default()
        })
        .collect()
}

/// Rules that depend on profiles, over no model.
fn rules(library: &Library) -> String {
    let rules = library.shelf().put(
        b"[[rule]]\nname = \"many\"\nwhen = \"payer.count_7d > 3 && amount > 300\"\naction = \"review\"\n\
          reason = \"{payer.count_7d} payments\"\n\
          [[rule]]\nname = \"huge\"\nwhen = \"amount > 850\"\naction = \"block\"\nreason = \"huge\"\n\
          [[rule]]\nname = \"friend\"\nwhen = \"payer == \\\"00000000-0000-0000-0000-000000000007\\\"\"\n\
          action = \"allow\"\nreason = \"a friend\"\n",
    );
    let rules = rules.expect("is written");
    let document =
        format!("name = \"test\"\nrules = \"{rules}\"\n[review]\nhold_s = 60\n{NO_BUDGET}");
    library.shelf().put(document.as_bytes()).expect("is written")
}

fn set_policy(name: &str) -> Vec<u8> {
    set_policy_with(name, &[])
}

fn set_policy_with(name: &str, features: &[String]) -> Vec<u8> {
    let act = ActKind::SetPolicy { policy: name.to_owned(), features: features.to_vec() };
    Act { actor: "ann".to_owned(), why: "a test".to_owned(), act }.to_bytes()
}

fn label(payment: &Payment) -> Vec<u8> {
    let id = |id: u128| uuid::Uuid::from_u128(id);
    let label = LabelAct {
        payment: id(payment.id.0),
        fraud: true,
        paid_at_ns: 5 * S,
        known_at_ns: None,
        takes_back: false,
        amount_minor: 7_000,
        ledger: EUR.0,
        payer: id(payment.debit.0),
        payee: id(payment.credit.0),
        context: String::new(),
    };
    let act = ActKind::Label(label);
    Act { actor: "ann".to_owned(), why: "reported".to_owned(), act }.to_bytes()
}

/// What is said of each payment when they are told in requests of so many, in one block each.
fn said(policy: &mut Policy, payments: &[Payment], block_len: usize) -> Vec<(Verdict, Vec<u8>)> {
    let mut said = Vec::new();
    for (number, request) in payments.chunks(block_len).enumerate() {
        policy.begin_request(request.len());
        let positions: Vec<u32> = (0..request.len() as u32).collect();
        for (at, position) in positions.iter().enumerate() {
            let at = Timestamp((number * block_len + at) as u64 * 10 * S);
            // Blocks of one moment each, within the request.
            let positions = std::slice::from_ref(position);
            policy.look_ahead(&Block { payments: request, positions, contexts: &NoContexts, at });
        }
        for position in positions {
            let payment = &request[position as usize];
            let amount = payment.amount;
            let judged = Judged { payment, amount, at: Timestamp(0), position, payer: 0 };
            said.push((policy.judge(judged), policy.evidence(position).to_vec()));
        }
    }
    said
}

fn state(policy: &mut Policy) -> Vec<Vec<u8>> {
    policy.begin_snapshot();
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::new();
        let goes_on = policy.snapshot_slice(7, &mut piece);
        if !piece.is_empty() {
            pieces.push(piece);
        }
        if !goes_on {
            return pieces;
        }
    }
}

#[test]
fn blocks_and_threads_do_not_matter() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let name = rules(&library);
    let payments = payments(3_000, 3);
    let at = Timestamp(u64::MAX / 4);
    let whole = |threads, len: usize| {
        let mut policy = policy_with(&library, threads);
        policy.act(&set_policy(&name), Timestamp(0)).expect("is there");
        let mut said = Vec::new();
        policy.begin_request(payments.len());
        let positions: Vec<u32> = (0..payments.len() as u32).collect();
        for positions in positions.chunks(len) {
            let contexts = &NoContexts;
            policy.look_ahead(&Block { payments: &payments, positions, contexts, at });
        }
        for position in positions {
            let payment = &payments[position as usize];
            let judged = Judged { payment, amount: payment.amount, at, position, payer: 0 };
            said.push((policy.judge(judged), policy.evidence(position).to_vec()));
        }
        (said, state(&mut policy))
    };
    let (said, state) = whole(1, 1);
    assert!(said.iter().any(|(verdict, _)| verdict.rule.as_str() == "many"));
    assert!(said.iter().any(|(verdict, _)| verdict.rule.as_str() == "huge"));
    assert_eq!(said.iter().filter(|(verdict, _)| verdict.hold_s == 60).count(), {
        said.iter().filter(|(verdict, _)| verdict.decision == RiskDecision::Review).count()
    });
    for (threads, len) in [(1, 3_000), (3, 3_000), (2, 700), (1, 13)] {
        assert!(whole(threads, len) == (said.clone(), state.clone()), "{threads} threads, {len}");
    }
}

#[test]
fn a_replay_and_a_snapshot_rebuild_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let name = rules(&library);
    let payments = payments(600, 5);
    let (first, second) = payments.split_at(300);
    let mut live = policy_with(&library, 1);
    live.act(&set_policy(&name), Timestamp(0)).expect("is there");
    said(&mut live, first, 300);
    live.act(&label(&first[0]), Timestamp(3_000 * S)).expect("a label");

    let mut replayed = policy_with(&library, 1);
    replayed.acted(&set_policy(&name), Timestamp(0)).expect("is an act");
    for (at, payment) in first.iter().enumerate() {
        replayed.attempted(payment, &[], Timestamp(at as u64 * 10 * S));
    }
    replayed.acted(&label(&first[0]), Timestamp(3_000 * S)).expect("is an act");
    replayed.recovered().expect("all is there");

    let pieces = state(&mut live);
    assert_eq!(state(&mut replayed), pieces);
    let mut restored = policy_with(&library, 1);
    for piece in &pieces {
        restored.restore(piece).expect("is whole");
    }
    restored.restored().expect("is complete");
    restored.recovered().expect("all is there");
    let expected = said(&mut live, second, 300);
    assert_eq!(said(&mut replayed, second, 50), expected);
    assert_eq!(said(&mut restored, second, 50), expected);
    assert_eq!(Evidence::read(&expected[0].1).expect("evidence").policy, 1);

    let mut cut = policy_with(&library, 1);
    for piece in &pieces[..pieces.len() - 1] {
        cut.restore(piece).expect("is whole");
    }
    assert!(cut.restored().is_err(), "a piece is missing");
    let mut limits_only = Policy::new(&RiskConfig::default(), None).expect("no limits");
    let pieces = state(&mut limits_only);
    let mut other = policy_with(&library, 1);
    assert!(pieces.iter().any(|piece| other.restore(piece).is_err()), "no profiles in it");
}

#[test]
fn an_allow_rule_wins_and_the_stricter_of_the_others() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let mut policy = policy_with(&library, 1);
    policy.act(&set_policy(&rules(&library)), Timestamp(0)).expect("is there");
    let pay = |payer, amount| Payment {
        debit: AccountId(payer),
        credit: AccountId(2_000),
        amount: Amount(amount),
        ledger: EUR,
        ..Payment::default()
    };
    let payments = [pay(7, 90_000), pay(8, 90_000), pay(8, 100)];
    let decisions: Vec<_> =
        said(&mut policy, &payments, 3).iter().map(|(verdict, _)| verdict.decision).collect();
    assert_eq!(
        decisions,
        [RiskDecision::Approve, RiskDecision::Decline, RiskDecision::Approve],
        "a friend may; others may not; small is fine"
    );
}

#[test]
fn what_is_missing_or_wrong_is_said_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let mut policy = policy_with(&library, 1);
    let put = |text: &str| library.shelf().put(text.as_bytes()).expect("is written");
    let missing = "0".repeat(64);
    for (name, complaint) in [
        (missing.clone(), "is not on the shelf"),
        (put(&format!("rules = \"{missing}\"")), "rule file: 000"),
        (
            put(&format!(
                "rules = \"{}\"",
                put(
                    "[[rule]]\nname = \"a\"\nwhen = \"amuont > 3\"\naction = \"block\"\nreason = \"r\""
                )
            )),
            "amuont",
        ),
        (put(&format!("model = \"{}\"", put("no model"))), "model"),
        (
            put("[[list]]\nname = \"a\"\nkind = \"blok\"\nartefact = \"x\""),
            "is not allow, block or watch",
        ),
    ] {
        let error = policy.act(&set_policy(&name), Timestamp(0)).expect_err(complaint).to_string();
        assert!(error.contains(complaint), "{error}");
        assert_eq!(policy.in_force, InForce::default());
    }
    assert!(policy.act(b"{}", Timestamp(0)).is_err(), "no act");
    policy.acted(&set_policy(&missing), Timestamp(0)).expect("the journal says so");
    let error = policy.recovered().expect_err("it is gone").to_string();
    assert!(error.contains("number 1, can't be used"), "{error}");
    let mut off = Policy::new(&RiskConfig::default(), None).expect("no limits");
    let error = off.act(&set_policy(&missing), Timestamp(0)).expect_err("off").to_string();
    assert!(error.contains("risk.features.enabled"), "{error}");
}

#[test]
fn without_time_the_fallback_decides() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let name = rules(&library);
    let compiled = library.compile(&name).expect("is right");
    let payments = payments(600, 9);
    let mut scoring = policy_with(&library, 1).scoring.take().expect("is on");
    scoring.begin_request(payments.len());
    let positions: Vec<u32> = (0..600).collect();
    let block = Block {
        payments: &payments,
        positions: &positions,
        contexts: &NoContexts,
        at: Timestamp(9),
    };
    let spent = Compiled::with_spent_budget(&compiled, Fallback::Review);
    scoring.spent = std::time::Duration::from_secs(1 << 32);
    let deciding = Deciding { policy: &spent, number: 1, hits: &HitCounters::default() };
    assert_eq!(scoring.look_ahead(&block, |_| false, Some(deciding)), 600);
    assert_eq!(scoring.stopped(599).expect("held").decision, RiskDecision::Review);
    let evidence = Evidence::read(scoring.evidence(599)).expect("evidence");
    assert!(evidence.fell_back && evidence.score.is_none());

    // As a gate it counts them, for whoever watches.
    let mut policy = policy_with(&library, 1);
    policy.act(&set_policy(&name), Timestamp(0)).expect("is right");
    let counted = |policy: &Policy| {
        let counts = policy.counts();
        [&counts.attempts, &counts.fell_back].map(|count| count.load(Relaxed))
    };
    policy.begin_request(payments.len());
    policy.look_ahead(&block);
    assert_eq!(counted(&policy), [600, 0], "there was time");
    policy.compiled = Some(Arc::new(spent));
    policy.begin_request(payments.len());
    policy.scoring.as_mut().expect("is on").spent = std::time::Duration::from_secs(1 << 32);
    policy.look_ahead(&block);
    assert_eq!(counted(&policy), [1_200, 600]);
}

/// Fifty profiles of each kind are kept here; there are more payees than that.
#[test]
fn profiles_that_give_way_are_counted_also_after_a_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let mut policy = policy_with(&library, 1);
    said(&mut policy, &payments(600, 9), 100);
    let evicted = policy.counts().evicted.load(Relaxed);
    assert!(evicted > 0, "sixty payees do not fit");
    let pieces = state(&mut policy);
    let mut again = policy_with(&library, 1);
    pieces.iter().for_each(|piece| again.restore(piece).expect("fits"));
    again.restored().expect("is whole");
    again.recovered().expect("there is no policy to compile");
    assert_eq!(again.counts().evicted.load(Relaxed), evicted);
}
