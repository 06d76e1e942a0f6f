//! Rules on live payments: their reasons in the evidence, and their hits, by any number of threads.

use super::*;
use crate::{
    config::{Action, LimitConfig, Measure},
    evidence::EVIDENCE_LEN_MAX,
};

const RULES: &str = r#"
[[rule]]
name = "friend"
when = "payer == \"00000000-0000-0000-0000-000000000007\""
action = "allow"
reason = "a friend"

[[rule]]
name = "huge"
when = "amount > 850"
action = "block"
reason = "{amount} from {payer}"

[[rule]]
name = "large"
when = "amount > 600"
action = "review"
reason = "{amount} is large: {payer}, {payee}, {payer}, {payee}, {payer}, {payee}, {payer}, {payee}"

[[rule]]
name = "off"
when = "amount > 1"
action = "block"
reason = "off"
enabled = false
"#;

const SHADOW: &str = r#"
[[rule]]
name = "trial"
when = "amount > 300 && payee != \"00000000-0000-0000-0000-0000000003e9\""
action = "block"
reason = "tried out"
shadow = true
"#;

fn put(library: &Library, rules: &str) -> String {
    let rules = library.shelf().put(rules.as_bytes()).expect("is written");
    let document = format!("name = \"test\"\nrules = \"{rules}\"\n{NO_BUDGET}");
    library.shelf().put(document.as_bytes()).expect("is written")
}

/// What is said of payments in one request, in blocks of so many.
fn judged(policy: &mut Policy, payments: &[Payment], block: usize) -> Vec<(Verdict, Evidence)> {
    policy.begin_request(payments.len());
    let positions: Vec<u32> = (0..payments.len() as u32).collect();
    for positions in positions.chunks(block) {
        let at = Timestamp(9 * S);
        policy.look_ahead(&Block { payments, positions, contexts: &NoContexts, at });
    }
    let judge = |position: u32| {
        let payment = &payments[position as usize];
        let at = Timestamp(9 * S);
        let judged = Judged { payment, amount: payment.amount, at, position, payer: 0 };
        let verdict = policy.judge(judged);
        assert!(policy.evidence(position).len() <= EVIDENCE_LEN_MAX);
        // Before a policy is in force there is none.
        (verdict, Evidence::read(policy.evidence(position)).unwrap_or_default())
    };
    positions.into_iter().map(judge).collect()
}

fn pay(payer: u128, minor: u128) -> Payment {
    Payment {
        debit: AccountId(payer),
        credit: AccountId(2_000),
        amount: Amount(minor),
        ledger: EUR,
        ..Payment::default()
    }
}

#[test]
fn a_rule_that_decides_says_why_and_no_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let mut policy = policy_with(&library, 1);
    policy.act(&set_policy(&put(&library, RULES)), Timestamp(0)).expect("is there");
    let payments = [pay(8, 90_050), pay(7, 90_050), pay(8, 10_000), pay(8, 70_000)];
    let said = judged(&mut policy, &payments, 4);
    let reasons: Vec<_> = said.iter().map(|(_, said)| said.rule_reason.as_deref()).collect();
    let payer = "00000000-0000-0000-0000-000000000008";
    assert_eq!(reasons[0], Some(&*format!("900.50 from {payer}")), "texts, too");
    assert_eq!((reasons[1], reasons[2]), (None, None), "approved");
    let cut = reasons[3].expect("a reason");
    assert!(cut.starts_with(&format!("700.00 is large: {payer}")) && cut.ends_with('…'), "{cut}");
}

/// A limit that decides in a rule's place leaves no reason that is not its own.
#[test]
fn the_reason_goes_with_the_verdict_that_stands() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let limit = LimitConfig {
        name: "above-800".to_owned(),
        measure: Measure::PaymentAmount,
        currency: Some("EUR".to_owned()),
        above: "800.00".to_owned(),
        action: Action::Decline,
    };
    let config = RiskConfig { limits: vec![limit], ..RiskConfig::default() };
    let scoring =
        ScoringConfig { library: library.clone(), limits: ProfileLimits::default(), threads: 1 };
    let mut policy = Policy::new(&config, Some(scoring)).expect("no limit is wrong");
    policy.act(&set_policy(&put(&library, RULES)), Timestamp(0)).expect("is there");
    let said = judged(&mut policy, &[pay(8, 90_000), pay(8, 82_000), pay(8, 70_000)], 3);
    let told =
        said.iter().map(|(verdict, said)| (verdict.rule.as_str(), said.rule_reason.is_some()));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [("above-800", false), ("above-800", false), ("large", true)]);
}

/// Totals are those of rules asked one by one, whatever the number of threads and the blocks, and go
/// on when another policy has the same rule.
#[test]
fn hits_of_acting_and_shadow_rules_are_counted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let with_shadow = put(&library, &format!("{RULES}{SHADOW}"));
    let payments = payments(3_000, 11);
    let mut expected = [0_u64; 4];
    for payment in &payments {
        // The book's amounts are in major units; one that is none is missing.
        let Amount(minor) = payment.amount;
        let is_amount = payment.amount != Amount::ALL;
        let over = |limit: u128| is_amount && minor > limit * 100;
        let acting = match () {
            () if payment.debit == AccountId(7) => Some(0),
            () if over(850) => Some(1),
            () if over(600) => Some(2),
            () => None,
        };
        acting.into_iter().for_each(|rule: usize| expected[rule] += 1);
        expected[3] += u64::from(over(300) && payment.credit != AccountId(0x3e9));
    }
    assert!(expected.iter().all(|hits| *hits > 20), "{expected:?}");
    let [friend, huge, large, trial] = expected;
    for (threads, block) in [(1, 3_000), (3, 3_000), (2, 700), (1, 13)] {
        let mut policy = policy_with(&library, threads);
        let totals = |policy: &Policy| {
            let totals = policy.counts().rule_hits.totals();
            totals.into_iter().map(|it| (it.rule, it.shadow, it.hits)).collect::<Vec<_>>()
        };
        judged(&mut policy, &payments, block);
        assert_eq!(totals(&policy), [], "nothing is in force");
        policy.act(&set_policy(&with_shadow), Timestamp(0)).expect("is there");
        let named = |times: [u64; 4]| {
            ["friend", "huge", "large", "trial"].map(str::to_owned).into_iter().zip(times)
        };
        let rows = |times| {
            named(times)
                .map(|(rule, hits)| (rule.clone(), rule == "trial", hits))
                .collect::<Vec<_>>()
        };
        assert_eq!(totals(&policy), rows([0; 4]), "those in force are shown");
        let with = judged(&mut policy, &payments, block);
        assert_eq!(totals(&policy), rows([friend, huge, large, trial]));
        assert!(with.iter().all(|(verdict, _)| verdict.rule.as_str() != "trial"), "never acts");
        policy.act(&set_policy(&put(&library, RULES)), Timestamp(0)).expect("is there");
        judged(&mut policy, &payments, block);
        assert_eq!(totals(&policy), rows([2 * friend, 2 * huge, 2 * large, trial]));
    }
}
