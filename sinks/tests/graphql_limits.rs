//! What the server refuses, and how it says so: hostile queries, other sites, other documents than
//! the trusted ones. And federation, which asks by representations.

#[path = "common/asked.rs"]
mod asked;
mod common;
#[path = "common/server.rs"]
mod server;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use asked::Asked;
use common::bank;
use millrace_sinks::{
    GraphqlConfig,
    graphql::{LimitsConfig, Profile},
};
use serde_json::{Value, json};
use server::{ACCOUNT_1, Server};
use sha2::{Digest as _, Sha256};

const PAYMENT_1: &str = "01930000-0000-7000-8000-000000000001";

fn with(change: impl FnOnce(&mut GraphqlConfig)) -> GraphqlConfig {
    let mut config = GraphqlConfig::default();
    change(&mut config);
    config
}

async fn started(config: &GraphqlConfig) -> Server {
    Server::start_with(&bank(), config, |_| {}).await
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_only(text: &str) -> String {
    let persisted = json!({ "version": 1, "sha256Hash": sha256(text) });
    json!({ "extensions": { "persistedQuery": persisted } }).to_string()
}

/// A server, and how often its store is asked.
async fn watched(config: &GraphqlConfig) -> (Server, Arc<AtomicUsize>) {
    let (history, mut questions) = (bank(), Arc::default());
    let server = Server::start_with(&history, config, |services| {
        let (model, counter) = Asked::counted(Arc::clone(&services.model));
        services.model = model;
        questions = counter;
    });
    let server = server.await;
    (server, questions)
}

/// Nothing is read for what is refused. `examples/hostile.rs` has the times.
#[tokio::test]
async fn hostile_queries_are_refused() {
    let roomy = LimitsConfig { request_bytes: 4 << 20, ..LimitsConfig::default() };
    let (server, questions) = watched(&with(|config| config.limits = roomy)).await;
    let deep = "{ original ".repeat(1_000) + &"}".repeat(1_000);
    let aliases: String =
        (0..10_000).map(|n| format!("a{n}: payment(id: \"{PAYMENT_1}\") {{ id }} ")).collect();
    let doubled: String = (0..50)
        .map(|n| format!("fragment F{n} on Payment {{ ...F{0} ...F{0} }} ", n + 1))
        .collect();
    let doubled = format!(
        "{{ payment(id: \"{PAYMENT_1}\") {{ ...F0 }} }} {doubled} fragment F50 on Payment {{ id }}"
    );
    let list = vec!["1"; 100_000].join(",");
    for (query, expected) in [
        (format!("{{ payment(id: \"{PAYMENT_1}\") {deep} }}"), "QUERY_TOO_DEEP"),
        (format!("{{ {aliases} }}"), "QUERY_TOO_LARGE"),
        (
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
            "FRAGMENT_CYCLE",
        ),
        (doubled, "QUERY_TOO_LARGE"),
        (format!("{{ payments(first: [{list}]) {{ nodes {{ id }} }} }}"), "QUERY_TOO_LARGE"),
        ("{ payments(first: 1000000000) { nodes { id } } }".to_owned(), "FIRST_OUT_OF_RANGE"),
        (pages_of_pages(3), "QUERY_TOO_COMPLEX"),
        (
            look_ups(&format!("payments(first: 200) {{ nodes {{ {} }} }}", "seq ".repeat(9))),
            "QUERY_TOO_COMPLEX",
        ),
    ] {
        let answer = server.ask(&query, json!({})).await;
        assert_eq!(code(&answer), expected, "{answer}");
        assert_eq!(questions.load(Ordering::Relaxed), 0, "{expected} asked the store");
    }
    let ids = vec![PAYMENT_1; 201];
    let answer =
        server.ask("query($ids: [UUID!]) { status { appliedSeq } }", json!({ "ids": ids }));
    assert_eq!(code(&answer.await), "LIST_TOO_LONG");
}

/// Payments of accounts of payments, so many levels of them.
fn pages_of_pages(levels: usize) -> String {
    let page = "payments(first: 200) { nodes { debitAccount { ";
    format!("{{ {} id {} }}", page.repeat(levels), "} } }".repeat(levels))
}

/// As many of a look-up as a query may have.
fn look_ups(field: &str) -> String {
    let fields = (0..20).map(|number| format!("a{number}: {field} "));
    format!("{{ {} }}", fields.collect::<String>())
}

/// The dearest queries that are still answered: what the store is asked for them is bounded by the
/// complexity that they were let through for, counted and not timed.
#[tokio::test]
async fn what_is_let_through_asks_the_store_no_more_than_it_is_worth() {
    let config = GraphqlConfig { read_cache_entries: 0, ..GraphqlConfig::default() };
    let (server, questions) = watched(&config).await;
    let by_id = look_ups(&format!("payment(id: \"{PAYMENT_1}\") {{ id original {{ id }} }}"));
    let refunds = "{ payments(first: 100) { nodes { followUps(first: 20) { nodes { seq } } } } }";
    let both_sides = "{ payments(first: 200) { nodes { debitAccount { id } creditAccount { id } \
                        original { id } } } }";
    for (query, most) in [
        // All are one look-up, and what they refer to is another.
        (by_id.as_str(), 2),
        // A page, and the pages of each of its payments.
        (refunds, 1 + 18),
        // A page, all accounts, all originals.
        (both_sides, 3),
        // A page, its accounts, and the page of each of them.
        (&pages_of_pages(1), 2),
        ("{ conservation { ledger } }", 1),
    ] {
        let answer = server.ask(query, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        let asked = questions.swap(0, Ordering::Relaxed);
        assert!((1..=most).contains(&asked), "{asked} questions for {query}");
    }
    // With more than one of them a query is worth too much.
    assert_eq!(
        server.error("{ a: conservation { ledger } b: conservation { ledger } }").await.0,
        "QUERY_TOO_COMPLEX"
    );
    assert_eq!(questions.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_read() {
    let small = LimitsConfig { request_bytes: 1_000, ..LimitsConfig::default() };
    let server = started(&with(|config| config.limits = small)).await;
    let query = format!("{{ payments {{ nodes {{ id }} }} }} # {}", "x".repeat(2_000));
    let (head, answer) = server.post(&json!({ "query": query }).to_string()).await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(code(&answer), "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn the_public_is_not_told_the_schema() {
    let server = started(&with(|config| config.profile = Profile::Prod)).await;
    for query in ["{ __schema { types { name } } }", "{ _service { sdl } }"] {
        assert_eq!(code(&server.ask(query, json!({})).await), "INTROSPECTION_OFF", "{query}");
    }
    let (_, said) = server.error("{ paymens { nodes { id } } }").await;
    assert!(!said.contains("payments"), "{said}");
    assert!(server.get("/").await.0.starts_with("HTTP/1.1 404 "));
    assert!(server.answer("{ status { appliedSeq } }").await.is_object());
}

#[tokio::test]
async fn a_query_is_known_by_its_hash_once_it_was_sent() {
    let server = started(&GraphqlConfig::default()).await;
    let query = "{ status { appliedSeq } }";
    let answer = server.post(&hash_only(query)).await.1;
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound", "as Apollo clients ask");
    let send = |hash: String| {
        let persisted = json!({ "version": 1, "sha256Hash": hash });
        json!({ "query": query, "extensions": { "persistedQuery": persisted } }).to_string()
    };
    let other = server.post(&send(sha256("{ other }"))).await.1;
    assert_eq!(code(&other), "PERSISTED_QUERY_MISMATCH");
    assert_eq!(code(&server.post(&send("abc".into())).await.1), "PERSISTED_QUERY_MALFORMED");
    let first = server.post(&send(sha256(query))).await.1;
    assert_eq!(first["data"]["status"]["appliedSeq"], "22");
    assert_eq!(server.post(&hash_only(query)).await.1, first);
}

#[tokio::test]
async fn only_trusted_documents_are_answered_where_that_is_set() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trusted = "query Place { status { appliedSeq } }\n";
    std::fs::write(dir.path().join("place.graphql"), trusted).expect("written");
    std::fs::write(dir.path().join("notes.txt"), "no query").expect("written");
    let config = with(|config| {
        config.persisted_dir = Some(dir.path().to_owned());
        config.persisted_only = true;
    });
    let server = started(&config).await;
    let by_hash = server.post(&hash_only(trusted)).await.1;
    assert_eq!(by_hash["data"]["status"]["appliedSeq"], "22");
    assert_eq!(server.answer(trusted).await["status"]["appliedSeq"], "22", "by its whole text");
    let other = "{ status { appliedTime } }";
    assert_eq!(server.error(other).await.0, "PERSISTED_QUERY_REQUIRED");
    assert_eq!(code(&server.post(&hash_only(other)).await.1), "PERSISTED_QUERY_NOT_FOUND");
    // It is not remembered, whoever sends it with its hash.
    let persisted = json!({ "version": 1, "sha256Hash": sha256(other) });
    let body = json!({ "query": other, "extensions": { "persistedQuery": persisted } });
    assert_eq!(code(&server.post(&body.to_string()).await.1), "PERSISTED_QUERY_REQUIRED");
}

#[tokio::test]
async fn settings_that_would_answer_nothing_are_refused() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let wrong = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(wrong.path().join("x.graphql"), "{ ...A } fragment A on Query { ...A }")
        .expect("written");
    for (dir, said) in [
        (None, "nothing could be asked"),
        (Some(empty.path().to_owned()), "nothing could be asked"),
        (Some(empty.path().join("missing")), "can't be read"),
        (Some(wrong.path().to_owned()), "the fragment A needs itself"),
    ] {
        let config = with(|config| {
            config.persisted_dir = dir;
            config.persisted_only = true;
        });
        let server = started(&config).await;
        let error = server.serving.await.expect("does not panic").expect_err("does not serve");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_gateway_gets_entities_by_their_keys() {
    let server = started(&GraphqlConfig::default()).await;
    let query = "query($of: [_Any!]!) { _entities(representations: $of) { __typename \
                   ... on Payment { status amount { amount currency exponent } } \
                   ... on Account { currency state } } }";
    let of = json!([
        { "__typename": "Account", "id": ACCOUNT_1 },
        { "__typename": "Payment", "id": PAYMENT_1 },
        { "__typename": "Payment", "id": "00000000-0000-0000-0000-000000000077" },
    ]);
    let answer = server.ask(query, json!({ "of": of })).await;
    let amount = json!({ "amount": "2452.00", "currency": "CZK", "exponent": 2 });
    assert_eq!(
        answer["data"]["_entities"],
        json!([
            { "__typename": "Account", "currency": "CZK", "state": "OPEN" },
            { "__typename": "Payment", "status": "SETTLED", "amount": amount },
            null,
        ]),
        "{answer}"
    );
    let sdl = server.answer("{ _service { sdl } }").await["_service"]["sdl"].to_string();
    assert_eq!(sdl.matches("@key(fields: \\\"id\\\")").count(), 2, "{sdl}");
}

#[tokio::test]
async fn what_is_switched_off_says_so() {
    let server = started(&GraphqlConfig::default()).await;
    let owner = "00000000-0000-0000-0000-000000000abc";
    for query in [
        "{ reviews { nodes { paymentId } } }".to_owned(),
        format!("{{ review(paymentId: \"{PAYMENT_1}\") {{ paymentId }} }}"),
        "{ notifications { nodes { id } } }".to_owned(),
        format!("{{ notificationPreferences(ownerId: \"{owner}\") {{ locale }} }}"),
        "{ auditEntries { nodes { index } } }".to_owned(),
        "{ auditCheckpoint { treeSize } }".to_owned(),
        "mutation { markNotificationRead(id: \"1\") { id } }".to_owned(),
        format!(
            "mutation {{ resolveReview(paymentId: \"{PAYMENT_1}\", accept: true, actor: \"a\", \
               why: \"b\") {{ accepted }} }}"
        ),
    ] {
        let (code, said) = server.error(&query).await;
        assert_eq!(code, "SERVICE_OFF", "{query}: {said}");
        assert!(said.contains("the setting sinks."), "{said}");
    }
}
