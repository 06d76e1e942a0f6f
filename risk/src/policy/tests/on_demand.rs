//! Features on demand: a rule of the default catalogue that needs rings, from its text to the verdict.

use super::*;

/// The rule of the issue, as analysts write it.
const BURST: &str = r#"
[[rule]]
name = "burst"
when = "payer.count_1h > 20 && amount > 5 * payer.mean_30d"
action = "block"
reason = "{payer.count_1h} payments in an hour, this one {amount}; usual is {payer.mean_30d}"
"#;
const PLAIN: &str = r#"
[[rule]]
name = "huge"
when = "amount > 9000"
action = "block"
reason = "{amount}"
"#;

fn standard(directory: &Path) -> Library {
    Library::new(Shelf::new(directory), Arc::new(Catalogue::standard()))
}

fn put(library: &Library, rules: &str) -> String {
    let rules = library.shelf().put(rules.as_bytes()).expect("is written");
    let document = format!("rules = \"{rules}\"\n{NO_BUDGET}");
    library.shelf().put(document.as_bytes()).expect("is written")
}

/// As a front door sets it.
fn set(library: &Library, rules: &str) -> Vec<u8> {
    let name = put(library, rules);
    let compiled = library.compile(&name).expect("the default catalogue has what the rule names");
    set_policy_with(&name, &compiled.on_demand)
}

fn pay(number: u64, minor: u128) -> Payment {
    Payment {
        id: PaymentId(u128::from(number)),
        debit: AccountId(8),
        credit: AccountId(2_000),
        amount: Amount(minor),
        ledger: EUR,
        ..Payment::default()
    }
}

/// One payment in a minute, and what is decided about each of them.
fn decided(policy: &mut Policy, from: u64, minors: &[u128]) -> Vec<RiskDecision> {
    let pay = |(number, minor): (u64, &u128)| {
        let payments = [pay(number, *minor)];
        policy.begin_request(1);
        let at = Timestamp((1_000_000 + number) * 60 * S);
        policy.look_ahead(&Block {
            payments: &payments,
            positions: &[0],
            contexts: &NoContexts,
            at,
        });
        let [payment] = &payments;
        let judged = Judged { payment, amount: payment.amount, at, position: 0, payer: 0 };
        policy.judge(judged).decision
    };
    (from..).zip(minors).map(pay).collect()
}

#[test]
fn the_rule_of_the_issue_works_with_the_default_catalogue() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = standard(directory.path());
    let mut policy = policy_with(&library, 1);
    let plain = policy.scoring.as_ref().expect("features are kept").profiles.bytes();
    policy.act(&set(&library, BURST), Timestamp(0)).expect("is right");
    // 25 payments of 10.00, one a minute; then 40.00 and 100.00, when 10.00 and a bit is usual.
    let mut minors = vec![1_000; 25];
    minors.extend([4_000, 10_000]);
    let decisions = decided(&mut policy, 0, &minors);
    let (last, before) = decisions.split_last().expect("27 payments");
    assert!(before.iter().all(|decision| *decision == RiskDecision::Approve), "{before:?}");
    assert_eq!(*last, RiskDecision::Decline);
    // Two hours later, the same amount is the only payment of its hour.
    assert_eq!(decided(&mut policy, 150, &[10_000]), [RiskDecision::Approve]);
    let profiles = &policy.scoring.as_ref().expect("features are kept").profiles;
    assert_eq!(profiles.demanded(), ["payer.count_1h"]);
    assert!(profiles.bytes() > plain + 200, "a ring is kept now");
}

#[test]
fn what_no_policy_needs_is_not_kept_and_who_goes_back_loses_no_count() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = standard(directory.path());
    let mut policy = policy_with(&library, 1);
    let demanded = |policy: &Policy| {
        let profiles = &policy.scoring.as_ref().expect("features are kept").profiles;
        profiles.demanded().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    decided(&mut policy, 0, &[1_000; 10]);
    assert!(demanded(&policy).is_empty(), "no policy, no demand");
    for (rules, expected) in [
        (PLAIN, &[][..]),
        (BURST, &["payer.count_1h"]),
        // The one before it still needs it.
        (PLAIN, &["payer.count_1h"]),
        (BURST, &["payer.count_1h"]),
        (PLAIN, &["payer.count_1h"]),
        (&PLAIN.replace("9000", "9001"), &[]),
    ] {
        policy.act(&set(&library, rules), Timestamp(0)).expect("is right");
        assert_eq!(demanded(&policy), expected, "{rules}");
        decided(&mut policy, 10, &[1_000; 5]);
    }
}

/// An act that sets a policy names what is kept from there on: a replay needs no shelf for it.
#[test]
fn a_replay_and_a_snapshot_keep_what_was_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = standard(directory.path());
    let mut policy = policy_with(&library, 1);
    let (burst, plain) = (set(&library, BURST), set(&library, PLAIN));
    let early: Vec<u128> = vec![1_000; 30];
    decided(&mut policy, 0, &early);
    policy.act(&burst, Timestamp(0)).expect("is right");
    decided(&mut policy, 30, &early[..12]);
    // The layer is let go while the snapshot, of a moment before, is under way.
    policy.begin_snapshot();
    let mut pieces = vec![Vec::new()];
    let mut more = policy.snapshot_slice(1, &mut pieces[0]);
    policy.act(&plain, Timestamp(0)).expect("is right");
    policy.act(&set(&library, &PLAIN.replace("9000", "9001")), Timestamp(0)).expect("is right");
    while more {
        let mut piece = Vec::new();
        more = policy.snapshot_slice(1, &mut piece);
        pieces.push(piece);
    }

    let mut restored = policy_with(&library, 1);
    for piece in &pieces {
        restored.restore(piece).expect("is whole");
    }
    restored.restored().expect("is whole");
    restored.recovered().expect("the policy is on the shelf");

    let mut replayed = policy_with(&library, 1);
    let attempt = |policy: &mut Policy, number: u64| {
        policy.attempted(&pay(number, 1_000), &[], Timestamp((1_000_000 + number) * 60 * S));
    };
    (0..30).for_each(|number| attempt(&mut replayed, number));
    replayed.acted(&burst, Timestamp(0)).expect("can be read");
    (30..42).for_each(|number| attempt(&mut replayed, number));
    replayed.recovered().expect("the policy is on the shelf");

    // 12 payments since the demand; 8 more make 20, and the next one is the first to be refused.
    let minors: Vec<u128> = [vec![1_000; 8], vec![20_000]].concat();
    let expected = decided(&mut replayed, 42, &minors);
    assert_eq!(expected.last(), Some(&RiskDecision::Decline));
    assert_eq!(expected.iter().filter(|it| **it == RiskDecision::Decline).count(), 1);
    assert_eq!(decided(&mut restored, 42, &minors), expected);
    assert_eq!(state(&mut restored), state(&mut replayed));
}

#[test]
fn an_act_that_asks_for_less_than_its_policy_needs_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = standard(directory.path());
    let mut policy = policy_with(&library, 1);
    let refused = policy.act(&set_policy(&put(&library, BURST)), Timestamp(0));
    let said = refused.expect_err("the ring would be missing").to_string();
    assert!(said.contains("payer.count_1h, which is kept on demand"), "{said}");
}

/// The memory that the documentation promises.
#[test]
fn what_is_on_demand_takes_what_is_written() {
    const TEXT: &str = include_str!("../../../../docs/risk/features.md");
    let standard = Catalogue::standard();
    let (_, table) = TEXT.split_once("| feature | bytes |").expect("it has the table");
    let lean = Profiles::new(standard.clone(), ProfileLimits::default());
    assert_eq!(lean.profile_bytes()[0], 64);
    for feature in standard.features().iter().filter(|feature| feature.on_demand) {
        let name = &feature.name;
        let alone = standard.selected(std::slice::from_ref(name)).expect("it is there");
        let bytes = Profiles::new(alone, ProfileLimits::default()).profile_bytes();
        // What is of the payment alone takes nothing.
        let bytes = feature.entity.map_or(0, |entity| bytes[entity]);
        let named = format!("`{name}`");
        let row = table.lines().find(|line| line.starts_with("| `") && line.contains(&named));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(row.ends_with(&format!("| {bytes} |")), "{name} takes {bytes}: {row}");
    }
}
