//! `RiskService` over gRPC on a real engine, with a review desk that can be held back: what analysts
//! do twice, at once, or while the desk is behind, happens once.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod replay;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use millrace_engine::{Engine, EngineConfig};
use millrace_ingest::{IngestConfig, ReviewDesk, RiskParts};
use millrace_ledger::EventSeq;
use millrace_protos::v1::{
    self, account_service_client::AccountServiceClient,
    payment_service_client::PaymentServiceClient, risk_service_client::RiskServiceClient,
};
use millrace_risk::{
    evidence::{Evidence, Reason},
    features::Catalogue,
    shelf::Shelf,
};
use replay::{Replay, Suspicious};
use tokio::net::TcpListener;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;

struct Bank {
    address: SocketAddr,
    desk: Arc<Replay>,
    shelf: Shelf,
    engine: Engine,
    _scratch: tempfile::TempDir,
}

/// All that there is.
const ALL: u64 = u64::MAX;

/// A server with two accounts; the desk sees up to `visible` from here on.
async fn bank(visible: u64) -> Bank {
    let scratch = tempfile::tempdir().unwrap();
    let evidence = Evidence {
        policy: 1,
        score: Some(0.75),
        reasons: vec![
            Reason { feature: 1, value: 3.0, contribution: 0.5 },
            Reason { feature: 7, value: 0.5, contribution: -0.25 },
        ],
        rule_reason: Some("200.00 is large".to_owned()),
        ..Evidence::default()
    };
    let mut gate = Suspicious { evidence: Vec::new() };
    evidence.put(&mut gate.evidence);
    let config = EngineConfig {
        segment_bytes: 1 << 20,
        ..EngineConfig::new(scratch.path().join("journal"))
    };
    let (engine, _) = Engine::start(&config, &gate).unwrap();
    let desk = Arc::new(Replay { feed: engine.feed(), visible: AtomicU64::new(visible) });
    let shelf = Shelf::new(&scratch.path().join("shelf"));
    let kept = shelf.clone();
    let parts = RiskParts {
        desk: Some(Arc::clone(&desk) as Arc<dyn ReviewDesk>),
        feed: engine.feed(),
        shelf: shelf.clone(),
        check: Arc::new(move |name| {
            match kept.get(name).map_err(|error| error.to_string())?.starts_with(b"bad") {
                true => Err("line 1: a threshold is above 1".to_owned()),
                false => Ok(vec!["payer.count_1h".to_owned()]),
            }
        }),
        catalogue_of: Arc::new(|_| Some(Arc::new(catalogue()))),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let submitter = engine.submitter();
    tokio::spawn(async move {
        let config = IngestConfig::default();
        let forever = std::future::pending();
        millrace_ingest::serve(&config, listener, submitter, parts, forever).await.unwrap();
    });
    let bank = Bank { address, desk, shelf, engine, _scratch: scratch };
    let account = |id: u128| v1::NewAccount {
        account_id: id_bytes(id),
        ledger: 203,
        code: 1,
        ..v1::NewAccount::default()
    };
    let accounts = vec![account(1), account(2)];
    let request = v1::CreateAccountsRequest { accounts, ..Default::default() };
    AccountServiceClient::new(bank.channel().await).create_accounts(request).await.unwrap();
    bank
}

/// Two features: those that the evidence of these tests is about.
fn catalogue() -> Catalogue {
    Catalogue::parse(
        r#"
        version = 1
        [[entity]]
        name = "payer"
        [[feature]]
        name = "amount"
        statistic = "amount"
        description = "Amount"
        [[feature]]
        name = "payer.count_1d"
        entity = "payer"
        statistic = "count"
        window = "1d"
        form = "ring"
        description = "Count"
        "#,
    )
    .unwrap()
}

fn id_bytes(id: u128) -> prost::bytes::Bytes {
    id.to_be_bytes().to_vec().into()
}

impl Bank {
    async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.address);
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }

    async fn risk(&self) -> RiskServiceClient<Channel> {
        RiskServiceClient::new(self.channel().await)
    }

    async fn pay(&self, id: u128, minor: u64) {
        let payment = v1::Payment {
            payment_id: id,
            debit_account_id: 1,
            credit_account_id: 2,
            amount_minor: Some(minor),
            ledger: 203,
            code: 1,
            operation: v1::Operation::Pay as i32,
            ..v1::Payment::default()
        };
        let request = v1::SubmitPaymentRequest { payment: Some(payment) };
        PaymentServiceClient::new(self.channel().await).submit_payment(request).await.unwrap();
    }

    async fn credited(&self) -> u64 {
        let request = v1::GetAccountsRequest { account_ids: vec![id_bytes(2)] };
        let mut client = AccountServiceClient::new(self.channel().await);
        let found = client.get_accounts(request).await.unwrap().into_inner();
        found.accounts[0].balances.unwrap().credits_posted
    }

    fn see(&self, visible: u64) {
        self.desk.visible.store(visible, Ordering::SeqCst);
    }

    fn act_count(&self) -> usize {
        self.see(ALL);
        self.desk.acts().len()
    }
}

fn claim(id: u128, actor: &str) -> v1::ClaimReviewRequest {
    v1::ClaimReviewRequest {
        payment_id: id_bytes(id),
        actor: actor.to_owned(),
        why: "because".to_owned(),
        force: false,
    }
}

fn resolve(id: u128, verdict: v1::ReviewVerdict) -> v1::ResolveReviewRequest {
    v1::ResolveReviewRequest {
        payment_id: id_bytes(id),
        verdict: verdict as i32,
        actor: "ann".to_owned(),
        why: "because".to_owned(),
        force: false,
    }
}

fn report(id: u128, fraud: bool) -> v1::ReportFraudRequest {
    let (actor, why) = ("ann".to_owned(), "because".to_owned());
    v1::ReportFraudRequest { payment_id: id_bytes(id), fraud, actor, why, known_at: None }
}

fn set(name: &str) -> v1::SetPolicyRequest {
    let (actor, why) = ("ann".to_owned(), "because".to_owned());
    v1::SetPolicyRequest { name: name.to_owned(), actor, why, ..Default::default() }
}

/// Numbers and names of all policies, page by page.
async fn listed(risk: &mut RiskServiceClient<Channel>, page_size: u32) -> Vec<(u32, String)> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListPoliciesRequest { page_size, page_token };
        let page = risk.list_policies(request).await.unwrap().into_inner();
        found.extend(page.policies.into_iter().map(|policy| (policy.number, policy.name)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("every refusal has a reason").reason
}

/// The desk may be any number of events behind: what was journaled through the service counts all
/// the same, and the answers are those that the desk gives once it has caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_that_is_behind_lets_nothing_happen_twice() {
    // It has seen the accounts, and sees no more for now.
    let bank = bank(2).await;
    bank.pay(7, 1_000).await;
    let mut risk = bank.risk().await;
    let first = risk.claim_review(claim(7, "ann")).await.unwrap().into_inner();
    let again = risk.claim_review(claim(7, "ann")).await.unwrap().into_inner();
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(first.event_sequence, again.event_sequence);
    let refused = risk.claim_review(claim(7, "bob")).await.unwrap_err();
    assert_eq!(reason(&refused), "REVIEW_CLAIMED");

    for (fraud, replayed) in [(true, false), (true, true), (false, false), (true, false)] {
        let found = risk.report_fraud(report(7, fraud)).await.unwrap().into_inner();
        assert_eq!(found.replayed, replayed);
    }
    let [one, two] = [b"one", b"two"].map(|document| bank.shelf.put(document).unwrap());
    let mut answers = Vec::new();
    for (name, number, replayed) in
        [(&one, 1, false), (&one, 1, true), (&two, 2, false), (&one, 3, false)]
    {
        let found = risk.set_policy(set(name)).await.unwrap().into_inner();
        let policy = found.policy.unwrap();
        assert_eq!((policy.number, found.replayed), (number, replayed));
        answers.push(policy);
    }
    let shown = risk.get_policy(v1::GetPolicyRequest {}).await.unwrap().into_inner();
    assert_eq!((shown.policy.unwrap().number, shown.document.as_str()), (3, "one"));
    let expected = [(3, &one), (2, &two), (1, &one)];
    for (visible, page_size) in [(2, 10), (2, 1), (7, 2), (8, 1), (ALL, 1)] {
        bank.see(visible);
        assert_eq!(listed(&mut risk, page_size).await, expected.map(|(n, name)| (n, name.clone())));
    }
    assert_eq!(bank.act_count(), 7);

    let refused = risk.claim_review(claim(7, "bob")).await.unwrap_err();
    assert_eq!(reason(&refused), "REVIEW_CLAIMED", "the desk says the same");
    let request = v1::ListPoliciesRequest::default();
    let listed = risk.list_policies(request).await.unwrap().into_inner().policies;
    for policy in listed {
        let answer = answers.iter().find(|answer| answer.number == policy.number).unwrap();
        let (told, known) = (answer.deed.as_ref().unwrap(), policy.deed.unwrap());
        assert_eq!((told.event_sequence, &told.why), (known.event_sequence, &known.why));
    }
}

/// Approvals and refusals of one review, all at once: one of them happens, the others learn which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_resolutions_at_once_one_moves_the_money() {
    use v1::ReviewVerdict::{Approve, Decline};
    let bank = bank(ALL).await;
    for (round, amount) in [(1, 1_000), (2, 20_000), (3, 1_000)] {
        bank.pay(round, amount).await;
        let before = bank.credited().await;
        let risk = bank.risk().await;
        let asking = (0..24).map(|n| {
            let mut risk = risk.clone();
            let verdict = if n % 2 == 0 { Approve } else { Decline };
            tokio::spawn(async move {
                let answer = risk.resolve_review(resolve(round, verdict)).await;
                (verdict, answer.map(tonic::Response::into_inner))
            })
        });
        let asking: Vec<_> = asking.collect();
        let (mut done, mut moved) = (Vec::new(), 0);
        for answer in asking {
            match answer.await.unwrap() {
                (verdict, Ok(answer)) => {
                    moved += u32::from(!answer.replayed);
                    done.push((verdict, answer.outcome.unwrap().event_sequence));
                }
                (_, Err(status)) => assert_eq!(reason(&status), "REVIEW_RESOLVED"),
            }
        }
        assert_eq!((done.len(), moved), (12, 1));
        assert!(done.iter().all(|answer| *answer == done[0]), "{done:?}");
        let approved = done[0].0 == Approve;
        let expected = before + if approved { amount } else { 0 };
        assert_eq!(bank.credited().await, expected);
        assert_eq!(bank.act_count(), round as usize, "one act each");
    }
}

/// What is sent wrongly, and what it gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_get_their_reasons() {
    let bank = bank(ALL).await;
    bank.pay(7, 1_000).await;
    bank.pay(8, 10).await;
    let mut risk = bank.risk().await;
    let with = |change: fn(&mut v1::ClaimReviewRequest)| {
        let mut request = claim(7, "ann");
        change(&mut request);
        request
    };
    for (request, expected) in [
        (with(|it| it.actor.clear()), "FIELD_MISSING"),
        (with(|it| it.why = "  ".to_owned()), "FIELD_MISSING"),
        (with(|it| it.actor = "a".repeat(201)), "FIELD_TOO_LONG"),
        (with(|it| it.why = "w".repeat(1_001)), "FIELD_TOO_LONG"),
        (with(|it| it.why = "two\nlines".to_owned()), "FIELD_MALFORMED"),
        (with(|it| it.payment_id = vec![1, 2, 3].into()), "ID_MALFORMED"),
        (claim(8, "ann"), "NOT_UNDER_REVIEW"),
        (claim(9, "ann"), "PAYMENT_UNKNOWN"),
    ] {
        let status = risk.claim_review(request.clone()).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{request:?}");
    }
    let unspecified = resolve(7, v1::ReviewVerdict::Unspecified);
    let status = risk.resolve_review(unspecified).await.unwrap_err();
    assert_eq!(reason(&status), "FIELD_MALFORMED");
    let bad = bank.shelf.put(b"bad").unwrap();
    for (name, expected) in [
        ("", "FIELD_MISSING"),
        ("nonsense", "POLICY_REFUSED"),
        (&"0".repeat(64), "POLICY_REFUSED"),
        (&bad, "POLICY_REFUSED"),
    ] {
        let status = risk.set_policy(set(name)).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{name:?}");
    }
    let status = risk.set_policy(set(&bad)).await.unwrap_err();
    assert!(status.message().ends_with("line 1: a threshold is above 1"), "{}", status.message());
    let status = risk.get_policy(v1::GetPolicyRequest {}).await.unwrap_err();
    assert_eq!(reason(&status), "NO_POLICY");
    let page_token = "x".to_owned();
    let request = v1::ListPoliciesRequest { page_token, page_size: 1 };
    assert_eq!(reason(&risk.list_policies(request).await.unwrap_err()), "FIELD_MALFORMED");
    let status = risk.list_reviews(v1::ListReviewsRequest::default()).await.unwrap_err();
    assert_eq!(
        (reason(&status).as_str(), status.message()),
        ("DESK_FAILED", "the disk is on fire")
    );
    assert_eq!(bank.act_count(), 0, "nothing was journaled");
}

/// An explanation has the score and the reasons, with names where the policy is known; of a payment
/// that the desk does not have, it is read from the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_name_what_moved_the_score() {
    let bank = bank(ALL).await;
    bank.pay(7, 20_000).await;
    bank.pay(8, 10).await;
    let mut risk = bank.risk().await;
    let mut explain = async |id| {
        let request = v1::ExplainDecisionRequest { payment_id: id_bytes(id) };
        risk.explain_decision(request).await.unwrap().into_inner()
    };
    let names = |found: &v1::ExplainDecisionResponse| -> Vec<(u32, String, f32)> {
        let contributions = found.contributions.iter();
        contributions.map(|it| (it.feature, it.name.clone(), it.contribution)).collect()
    };
    let found = explain(7).await;
    assert_eq!((found.policy_number, found.score), (1, Some(0.75)));
    assert_eq!(names(&found), [(1, String::new(), 0.5), (7, String::new(), -0.25)]);
    assert_eq!(found.rule_reason, "200.00 is large");
    let review = found.review.unwrap();
    assert_eq!(
        (review.kind(), &*review.rule_reason),
        (v1::ReviewKind::Challenge, "200.00 is large")
    );
    let name = bank.shelf.put(b"one").unwrap();
    bank.see(4);
    bank.risk().await.set_policy(set(&name)).await.unwrap();
    let named = [(1, "payer.count_1d".to_owned(), 0.5), (7, String::new(), -0.25)];
    assert_eq!(names(&explain(7).await), named, "though the desk has not read of the policy yet");
    bank.see(ALL);
    let found = explain(7).await;
    assert_eq!(names(&found), named, "the catalogue has two features");
    let words: Vec<_> = found.contributions.iter().map(|it| it.words.as_str()).collect();
    assert_eq!(words, ["3 payments of the payer in 1 day", ""]);
    let approved = explain(8).await;
    assert_eq!((approved.score, approved.review), (Some(0.75), None));
    assert_eq!(approved.outcome.unwrap().risk_decision, v1::RiskDecision::Approve as i32);
    assert!(approved.decided_at.is_some());
}

/// A desk that has not read what was journaled before the start can't say what was claimed then:
/// nothing is changed until it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wait_for_a_desk_that_starts_behind() {
    let bank = bank(ALL).await;
    bank.pay(7, 1_000).await;
    while bank.engine.feed().durable_seq() < EventSeq(3) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bank.see(1);
    // A second front door on the same engine starts while the desk is behind.
    let parts = RiskParts {
        desk: Some(Arc::clone(&bank.desk) as Arc<dyn ReviewDesk>),
        feed: bank.engine.feed(),
        shelf: bank.shelf.clone(),
        check: Arc::new(|_| Ok(Vec::new())),
        catalogue_of: Arc::new(|_| None),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let submitter = bank.engine.submitter();
    tokio::spawn(async move {
        let config = IngestConfig::default();
        let forever = std::future::pending();
        millrace_ingest::serve(&config, listener, submitter, parts, forever).await.unwrap();
    });
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut risk = RiskServiceClient::new(channel);
    // Nor is it told which policies there are: whoever goes back to the one before would be misled.
    let [mut one, mut other] = [risk.clone(), risk.clone()];
    let (claimed, shown, listed) = tokio::join!(
        risk.claim_review(claim(7, "ann")),
        one.get_policy(v1::GetPolicyRequest {}),
        other.list_policies(v1::ListPoliciesRequest::default()),
    );
    for status in [claimed.unwrap_err(), shown.unwrap_err(), listed.unwrap_err()] {
        assert_eq!(reason(&status), "DESK_BEHIND");
        assert!(status.message().contains("still to read (2)"), "{}", status.message());
    }
    bank.see(ALL);
    assert!(!risk.claim_review(claim(7, "ann")).await.unwrap().into_inner().replayed);
}
