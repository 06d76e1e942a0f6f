//! Policies change under load: payments are submitted without a break while rules and models are
//! promoted and taken back. None is lost, each verdict names the policy that made it, and one policy
//! follows another at one sequence number.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use millrace_client::Connection;
use millrace_engine::scan::{JournalScan, Start};
use millrace_ledger::{Event, RiskDecision};
use millrace_risk::{
    acts::{Act, ActKind},
    evidence::Evidence,
};
use support::{
    bank::{ALICE, BOB},
    eventually,
    payments::{open, pay, submit},
    process::millrace,
    risk::settings,
    server::Server,
    text,
};

const SUBMITTERS: u128 = 2;
/// Payments of a request; one of them is large, and a rule of each policy declines it.
const REQUEST: u128 = 50;
/// More requests than these are not sent, however long the changes take.
const REQUESTS_MAX: u128 = 20_000;
/// How often the policy changes.
const CHANGES: usize = 8;
const LARGE: u64 = 99_900;

/// What submitters and whoever changes the policy tell each other.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// Requests.
    answered: AtomicU64,
}

/// What a submitter saw.
struct Submitted {
    ids: BTreeSet<u128>,
    longest: Duration,
}

/// Submits until it is told to stop. Every request must be answered, with one outcome per payment.
async fn submit_on(connection: Connection, number: u128, load: Arc<Load>) -> Submitted {
    let (mut ids, mut longest) = (BTreeSet::new(), Duration::ZERO);
    for request in 0..REQUESTS_MAX {
        if load.stop.load(Relaxed) {
            break;
        }
        let payment = |place: u128| {
            let id = 1_000 + (request * SUBMITTERS + number) * REQUEST + place;
            pay(id, ALICE, BOB, if place == 7 { LARGE } else { 100 + place as u64 })
        };
        let payments: Vec<_> = (0..REQUEST).map(payment).collect();
        ids.extend(payments.iter().map(|payment| payment.payment_id));
        let began = Instant::now();
        let outcomes = submit(&connection, payments).await.expect("is answered");
        longest = longest.max(began.elapsed());
        assert_eq!(outcomes.len() as u128, REQUEST);
        load.answered.fetch_add(1, Relaxed);
    }
    Submitted { ids, longest }
}

/// Promotes one thing after the other, and takes some back; returns how long each took. Some payments
/// are judged by each policy before the next one comes.
fn change(url: &str, folder: &Path, load: &Load) -> Vec<Duration> {
    let signed = ["--actor", "ann", "--why", "under load", "--json", "--target", url];
    let file = |name: &str| text(&folder.join(name)).to_owned();
    let [even, odd, one, two] = ["even.toml", "odd.toml", "one.mrm", "two.mrm"].map(file);
    let changes: [&[&str]; CHANGES] = [
        &["--rules", &odd],
        &["--model", &one, "--decline-at", "0.999"],
        &["--rollback"],
        &["--model", &two, "--decline-at", "0.999"],
        &["--rules", &even],
        &["--model", &one],
        &["--rollback"],
        &["--rules", &odd],
    ];
    let took = changes.map(|args| {
        let began = Instant::now();
        let args = ["risk", "promote"].iter().chain(args).chain(&signed);
        let finished = millrace(args);
        let took = began.elapsed();
        let told = finished.json();
        assert_eq!(told["replayed"], false, "the policy changed: {told}");
        let before = load.answered.load(Relaxed);
        eventually("payments are judged by it", || {
            (load.answered.load(Relaxed) >= before + 2 * SUBMITTERS as u64).then_some(())
        });
        took
    });
    took.to_vec()
}

/// The rule file of each policy, by its number.
fn rule_of(policy: u16) -> &'static str {
    match policy {
        1 | 6..=8 => "even",
        _ => "odd",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_change_at_one_sequence_number_and_no_payment_is_lost() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let folder = scratch.path().to_owned();
    let path = |name: &str| text(&folder.join(name)).to_owned();
    let data = path("payments.csv");
    let generate = ["risk", "generate", "--payments", "3000", "--days", "24", "--seed", "4"];
    millrace(generate.into_iter().chain(["--fraud-share", "0.02", "--out", &data])).done();
    for (seed, model) in [("1", "one.mrm"), ("2", "two.mrm")] {
        let train = ["risk", "train", "--data", &data, "--train", "2026-01-05..2026-01-24"];
        let more = ["--algorithm", "boosting", "--trees", "10", "--seed", seed, "--out"];
        millrace(train.into_iter().chain(more).chain([path(model).as_str()])).done();
    }
    for name in ["even", "odd"] {
        let rule = format!(
            "[[rule]]\nname = \"{name}\"\nwhen = \"amount > 900\"\naction = \"block\"\n\
             reason = \"{{amount}}\"\n"
        );
        fs::write(path(&format!("{name}.toml")), rule).expect("is written");
    }
    let config = settings().write(&folder);
    let server = Server::start(&config, &folder.join("data"));
    let url = server.url();
    open(&server.connect().await, [ALICE, BOB]).await;
    let even = path("even.toml");
    let first = ["risk", "promote", "--rules", &even, "--actor", "ann", "--why", "first"];
    millrace(first.into_iter().chain(["--target", &url])).done();

    let load = Arc::new(Load::default());
    let mut submitters = Vec::new();
    for number in 0..SUBMITTERS {
        let connection = server.connect().await;
        submitters.push(tokio::spawn(submit_on(connection, number, Arc::clone(&load))));
    }
    let told = Arc::clone(&load);
    let changing = tokio::task::spawn_blocking(move || change(&url, &folder, &told));
    let took = changing.await;
    load.stop.store(true, Relaxed);
    let took = took.expect("all could be promoted");
    let (mut ids, mut longest) = (BTreeSet::new(), Duration::ZERO);
    for submitter in submitters {
        let submitted = submitter.await.expect("all were answered");
        ids.extend(submitted.ids);
        longest = longest.max(submitted.longest);
    }
    server.stop();
    println!(
        "{} payments in requests of {REQUEST} while the policy changed {CHANGES} times: the longest \
         change took {:?} with its command, the longest request {longest:?}",
        ids.len(),
        took.iter().max().expect("there were changes")
    );

    let judged = check_journal(&scratch.path().join("data/journal"), ids);
    assert_eq!(judged.len(), CHANGES + 1, "payments under each policy: {judged:?}");
}

/// Each payment is there once, and was judged by the policy that was set last before it. Returns the
/// numbers of the policies that judged any.
fn check_journal(journal: &Path, mut expected: BTreeSet<u128>) -> BTreeSet<u16> {
    let (mut in_force, mut numbers) = (0, BTreeSet::new());
    let mut rules = BTreeSet::new();
    for frame in JournalScan::open_at(journal, Start::Oldest).expect("is a journal") {
        for event in frame.expect("is whole").events().expect("can be read") {
            match &event.event {
                Event::Act(_) => {
                    let act = Act::read(&event.context).expect("is an act");
                    in_force += u16::from(matches!(act.act, ActKind::SetPolicy { .. }));
                }
                Event::Payment(payment) => {
                    let id = payment.payment.id.0;
                    assert!(expected.remove(&id), "payment {id} was submitted once");
                    let evidence = Evidence::read(&event.evidence).expect("it was judged");
                    assert_eq!(evidence.policy, in_force, "payment {id}, {:?}", payment.seq);
                    numbers.insert(evidence.policy);
                    let is_large = payment.payment.amount.0 == u128::from(LARGE);
                    let declined = payment.verdict.decision == RiskDecision::Decline;
                    if is_large && !evidence.fell_back {
                        assert!(declined, "{payment:?}");
                        let rule = rule_of(evidence.policy);
                        assert_eq!(payment.verdict.rule.as_str(), rule, "{payment:?}");
                        rules.insert(rule);
                    }
                }
                _ => {}
            }
        }
    }
    assert_eq!(rules.len(), 2, "each rule declined something");
    assert!(expected.is_empty(), "{} payments are not in the journal", expected.len());
    numbers
}
