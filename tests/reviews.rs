//! An analyst's day on the real binary: payments that a limit holds are listed, claimed, resolved,
//! explained and reported, and the journal and the audit log tell who did it and why.

#[path = "reviews/policies.rs"]
mod policies;
mod support;

use std::fs;

use millrace_protos::v1::{Operation, Payment, PaymentFlag};
use serde_json::Value;
use support::{
    bank::{ALICE, BOB, Bank, uuid},
    config::Settings,
    data_dir::check_audit_log,
    eventually,
    metrics::have_caught_up,
    payments::pay,
    process::{Finished, millrace},
    text,
};

/// Above the limit that holds payments for review, in haler.
const LARGE: u64 = 6_000_000;
/// Above the limit that declines them.
const HUGE: u64 = 60_000_000;

/// A server with the limits of `configs/dev.toml` and two accounts that may overdraw.
async fn bank() -> Bank {
    Bank::start_with(&Settings::dev(), [ALICE, BOB]).await
}

impl Bank {
    /// Runs `millrace risk …` against this server.
    fn risk(&self, args: &[&str]) -> Finished {
        self.server.risk(args)
    }

    /// The same, signed by somebody.
    fn signed(&self, actor: &str, args: &[&str]) -> Finished {
        self.server.signed_by(actor, args)
    }

    /// Its one line, which must say this.
    #[track_caller]
    fn done(&self, actor: &str, args: &[&str], said: &str) {
        let printed = self.signed(actor, args).done();
        assert!(printed.contains(said), "no {said:?} in {printed}");
    }

    /// Its complaint, which must say this.
    #[track_caller]
    fn refused(&self, actor: &str, args: &[&str], parts: &[&str]) {
        let finished = self.signed(actor, args);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        for part in parts {
            assert!(finished.stderr.contains(part), "no {part:?} in {}", finished.stderr);
        }
    }

    /// Ids of open reviews, once there are as many as expected.
    fn open_reviews(&self, args: &[&str], count: usize) -> Vec<String> {
        let args = [&["reviews", "list", "--json"], args].concat();
        eventually("the desk has caught up", || {
            let ids: Vec<_> = json_lines(&self.risk(&args).done())
                .map(|review| review["payment_id"].as_str().expect("an id").to_owned())
                .collect();
            (ids.len() == count).then_some(ids)
        })
    }

    /// After a restart, the desk has to read what was journaled before.
    fn wait_for_desk(&self) {
        let metrics = self.server.metrics.expect("metrics are on");
        eventually("the desk has read the journal", || have_caught_up(metrics, 1).then_some(()));
    }

    /// The acts in the audit log, in order: the act's name and its actor.
    fn acts(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.data_dir().join("audit/audit.jsonl")).expect("is there");
        // The last line may be half written.
        let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
        let acts = json_lines(whole).filter(|line| line["event"] == "ACT");
        acts.map(|line| {
            let act = line["act"]["act"].as_object().expect("an act");
            assert_eq!(line["act"]["why"], "it had to be");
            let name = act.keys().next().expect("has a name").clone();
            (name, line["act"]["actor"].as_str().expect("text").to_owned())
        })
        .collect()
    }
}

fn json_lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"))
}

/// Guards the whole life of a review: money that risk holds is moved by an analyst's word, once,
/// and the journal tells by whose.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reviews_are_listed_claimed_and_resolved() {
    let bank = bank().await;
    for (id, minor, expected) in [
        (1, LARGE, "HELD"),
        (2, LARGE + 1, "HELD"),
        (3, LARGE + 2, "HELD"),
        (4, 100, "SETTLED"),
        (5, HUGE, "REJECTED RISK_DECLINED"),
    ] {
        assert_eq!(bank.submit_one(pay(id, ALICE, BOB, minor)).await, expected, "{id}");
    }
    let [one, two, three] = [1, 2, 3].map(uuid);
    assert_eq!(bank.open_reviews(&[], 3), [one.clone(), two.clone(), three.clone()]);
    assert_eq!(bank.open_reviews(&["--limit", "2"], 2), [one.clone(), two.clone()]);
    let listed = bank.risk(&["reviews", "list"]).stdout;
    for part in ["UNTIL", "resolved ", "CLAIMED BY", &one, "60000.00 CZK", "large-payment"] {
        assert!(listed.contains(part), "no {part:?} in {listed}");
    }
    assert_eq!(bank.risk(&["reviews", "list", "--challenges"]).stdout, "nothing to review\n");

    bank.done("ann", &["reviews", "claim", &one], "claimed by ann, event ");
    bank.done("ann", &["reviews", "claim", &one], "claimed by ann, as before");
    bank.refused("bob", &["reviews", "claim", &one], &["ann has claimed the review", "force it"]);
    bank.refused("bob", &["reviews", "resolve", &one, "--approve"], &["REVIEW_CLAIMED"]);
    bank.refused("bob", &["reviews", "release", &one], &["REVIEW_CLAIMED"]);
    assert_eq!(bank.open_reviews(&["--claimed-by", "ann"], 1), std::slice::from_ref(&one));
    assert_eq!(bank.open_reviews(&["--unclaimed"], 2), [two.clone(), three.clone()]);

    // Approved: the money goes through, once.
    bank.done("ann", &["reviews", "resolve", &one, "--approve"], "settled, event ");
    bank.done("ann", &["reviews", "resolve", &one, "--approve"], "approved, as before");
    bank.refused("ann", &["reviews", "resolve", &one, "--decline"], &["was approved already"]);
    assert_eq!(bank.balances(BOB).await.credits_posted, LARGE + 100);

    // Declined: the money goes back. Taken over from somebody who has left it lying.
    bank.done("ann", &["reviews", "claim", &two], "claimed by ann");
    bank.done("ann", &["reviews", "release", &two], "claimed by nobody");
    bank.done("ann", &["reviews", "release", &two], "claimed by nobody, as before");
    bank.done("bob", &["reviews", "claim", &two], "claimed by bob");
    bank.done("cyd", &["reviews", "resolve", &two, "--decline", "--force"], "voided, event ");
    bank.refused("cyd", &["reviews", "resolve", &two, "--approve"], &["was declined already"]);
    bank.refused("cyd", &["reviews", "claim", &two], &["the review is over", "was released"]);

    // The upstream can't let its own payment through, whatever it says. It can give the money back: nothing is
    // left to decide then.
    let follow_up = |id, operation: Operation| Payment {
        payment_id: id,
        original_payment_id: 3,
        operation: operation as i32,
        ..Payment::default()
    };
    let capture = follow_up(30, Operation::Capture);
    assert_eq!(bank.submit_one(capture.clone()).await, "REJECTED RISK_REVIEW_OPEN");
    let forged = Payment { payment_id: 31, ..capture }.with_flag(PaymentFlag::ResolvesReview);
    assert_eq!(bank.submit_one(forged).await, "REJECTED FLAG_UNKNOWN");
    assert_eq!(bank.submit_one(follow_up(32, Operation::Void)).await, "VOIDED");
    bank.refused("ann", &["reviews", "resolve", &three, "--approve"], &["was released"]);
    assert_eq!(bank.open_reviews(&[], 0), [""; 0]);
    let balances = bank.balances(BOB).await;
    assert_eq!(balances.credits_posted, LARGE + 100);
    assert_eq!(balances.credits_pending, 0);

    // What is no review says what it is.
    for (id, said) in [
        (4, "risk approved it"),
        (5, "risk declined it (huge-payment)"),
        (32, "it is a void of the payment 00000000-0000-0000-0000-000000000003"),
        (99, "the server has no payment 00000000-0000-0000-0000-000000000063"),
    ] {
        bank.refused("ann", &["reviews", "claim", &uuid(id)], &[said]);
    }
    let expected = [
        ("claim_review", "ann"),
        ("resolve_review", "ann"),
        ("claim_review", "ann"),
        ("claim_review", "ann"),
        ("claim_review", "bob"),
        ("resolve_review", "cyd"),
    ];
    eventually("the audit log has caught up", || {
        let found = bank.acts();
        (found == expected.map(|(act, actor)| (act.to_owned(), actor.to_owned()))).then_some(())
    });
    let data_dir = bank.data_dir();
    bank.server.stop();
    check_audit_log(&data_dir);
}

/// Guards what an analyst is told of any payment, and reports of fraud: they are journaled with what
/// features need, the same report is made once, and the last one counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn decisions_are_explained_and_frauds_reported() {
    let bank = bank().await;
    for (id, minor) in [(1, LARGE), (2, 100), (3, HUGE)] {
        bank.submit_one(pay(id, ALICE, BOB, minor)).await;
    }
    bank.open_reviews(&[], 1);
    for (id, parts) in [
        (1, ["decided     review", "rule        large-payment", "hold        open, 60000.00 CZK"]),
        (2, ["decided     approve", "by          the limits of", "amount      1.00 CZK"]),
        (3, ["decided     decline", "rule        huge-payment", "amount      600000.00 CZK"]),
    ] {
        let shown = bank.risk(&["decision", &uuid(id)]).stdout;
        for part in parts {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
    }
    let finished = bank.risk(&["decision", &uuid(99)]);
    assert!(
        finished.stderr.contains("the server has no payment 00000000-0000-0000-0000-000000000063"),
        "{finished:?}"
    );

    let (paid, declined) = (uuid(2), uuid(3));
    bank.done("ann", &["report-fraud", &paid], "reported as fraud, event ");
    bank.done("ann", &["report-fraud", &paid], "reported as fraud, as before");
    bank.done("ann", &["report-fraud", &declined], "reported as fraud, event ");
    bank.done("bob", &["report-fraud", &paid, "--genuine"], "reported as genuine, event ");
    bank.done("bob", &["report-fraud", &paid, "--genuine"], "reported as genuine, as before");
    bank.refused(
        "ann",
        &["report-fraud", &uuid(99)],
        &["the server has no payment 00000000-0000-0000-0000-000000000063"],
    );
    let shown = eventually("the desk has caught up", || {
        let shown = bank.risk(&["decision", &paid, "--json"]).stdout;
        let shown: Value = serde_json::from_str(&shown).expect("is JSON");
        (shown["fraud_report"]["fraud"] == false).then_some(shown)
    });
    assert_eq!(shown["fraud_report"]["deed"]["actor"], "bob");

    let data_dir = bank.data_dir();
    eventually("the audit log has caught up", || (bank.acts().len() == 3).then_some(()));
    let log = fs::read_to_string(data_dir.join("audit/audit.jsonl")).expect("is there");
    let paid_at = json_lines(&log).find(|line| line["payment"] == *paid).expect("is there");
    let act = json_lines(&log).find(|line| line["event"] == "ACT").expect("is there");
    let label = &act["act"]["act"]["label"];
    assert_eq!(label["payer"], uuid(ALICE));
    assert_eq!((&label["amount_minor"], &label["ledger"]), (&100.into(), &203.into()));
    let at: jiff::Timestamp = paid_at["time"].as_str().expect("text").parse().expect("a time");
    assert_eq!(label["paid_at_ns"].as_i64().map(i128::from), Some(at.as_nanosecond()));

    let seq = act["seq"].to_string();
    bank.server.stop();
    let args = ["journal", "inspect", "--event", &seq, "--data-dir", text(&data_dir)];
    let shown = millrace(args).stdout;
    for part in ["ACT", "\"actor\":\"ann\"", "\"why\":\"it had to be\"", "\"label\""] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
}

/// Guards against a resolution that is lost when the ledger refuses it: the review stays open, and
/// asking again, once the account is open again, moves the money.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resolution_that_the_ledger_refuses_can_be_made_again() {
    let bank = bank().await;
    bank.submit_one(pay(1, ALICE, BOB, LARGE)).await;
    let (url, one, bob) = (bank.server.url(), uuid(1), uuid(BOB));
    let account = |change| millrace(["account", change, &bob, "--target", &url]);
    assert_eq!(account("freeze").code, Some(0));
    for _ in 0..2 {
        let finished = bank.signed("ann", &["reviews", "resolve", &one, "--approve"]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stdout.contains("rejected: CREDIT_ACCOUNT_FROZEN"), "{finished:?}");
        assert!(finished.stderr.contains("the review stays open"), "{finished:?}");
    }
    assert_eq!(account("reopen").code, Some(0));
    bank.done("ann", &["reviews", "resolve", &one, "--approve"], "settled, event ");
    bank.done("ann", &["reviews", "resolve", &one, "--approve"], "approved, as before");
    assert_eq!(bank.balances(BOB).await.credits_posted, LARGE);
    assert_eq!(bank.open_reviews(&[], 0), [""; 0]);
}

/// Guards the desk against a crash: it is rebuilt from the journal, whole, and claims still hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_desk_is_rebuilt_from_the_journal() {
    let bank = bank().await;
    for id in 1..=3 {
        bank.submit_one(pay(id, ALICE, BOB, LARGE)).await;
    }
    let [one, two, three] = [1, 2, 3].map(uuid);
    bank.done("ann", &["reviews", "claim", &one], "claimed by ann");
    bank.done("ann", &["reviews", "resolve", &two, "--decline"], "voided");
    let Bank { server, scratch, .. } = bank;
    server.kill();
    fs::remove_dir_all(scratch.join("data/reviews")).expect("is there");
    let bank = Bank::start_in(scratch, &Settings::dev()).await;
    bank.wait_for_desk();
    bank.refused("bob", &["reviews", "claim", &one], &["ann has claimed the review"]);
    assert_eq!(bank.open_reviews(&[], 2), [one, three]);
}

/// Guards a server without the desk: what needs it says how to switch it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_the_desk_nothing_is_listed_or_changed() {
    let bank =
        Bank::start_with(&Settings::dev().with("sinks.reviews.enabled", false), [ALICE, BOB]).await;
    bank.submit_one(pay(1, ALICE, BOB, LARGE)).await;
    let one = uuid(1);
    bank.refused("ann", &["reviews", "claim", &one], &["sinks.reviews.enabled", "DESK_OFF"]);
    bank.refused("ann", &["report-fraud", &one], &["DESK_OFF"]);
    let shown = bank.risk(&["decision", &one]).stdout;
    assert!(shown.contains("decided     review"), "from the journal: {shown}");
    let unsigned = bank.risk(&["reviews", "claim", &one]);
    assert_eq!(unsigned.code, Some(2), "{unsigned:?}");
    assert!(unsigned.stderr.contains("--why"), "{unsigned:?}");
}
