//! The queries that go beyond single payments and accounts: filters, both directions, moments of
//! the past, follow-ups, risk in words, reviews, acts, and how often the store is read.

#[path = "common/asked.rs"]
mod asked;
mod common;
#[path = "common/server.rs"]
mod server;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use asked::Asked;
use common::{CZK, History, bank, payment};
use futures_util::future::BoxFuture;
use millrace_ledger::{PaymentId, RiskDecision};
use millrace_sinks::{
    GraphqlConfig, ReviewsConfig, ReviewsSink, Sink as _,
    graphql::{ActError, Acts, NotificationAct, ReadModel, schema_definition},
};
use serde_json::{Value, json};
use server::{ACCOUNT_1, Server};

fn seqs(page: &Value) -> Vec<&str> {
    let nodes = page["nodes"].as_array().expect("a list").iter();
    nodes.map(|node| node["seq"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn payments_are_found_by_what_is_known_of_them() {
    let server = Server::start(&bank()).await;
    for (arguments, expected) in [
        ("filter: { status: HELD }", &["12", "9", "7", "4"][..]),
        ("filter: { status: HELD }, order: OLDEST_FIRST, first: 2", &["4", "7"]),
        ("filter: { status: HELD }, last: 2", &["7", "4"]),
        ("filter: { status: HELD }, order: OLDEST_FIRST, last: 1", &["12"]),
        ("filter: { rejectReason: \"RISK_DECLINED\" }", &["17"]),
        ("filter: { riskDecision: REVIEW }", &["12"]),
        ("filter: { amountMin: \"10000\", amountMax: \"77700\" }", &["12", "11", "4"]),
        ("filter: { ledger: 392 }", &[]),
        ("filter: { reference: \"coffee \\\"to go\\\"\", status: VOIDED }", &["8"]),
        ("filter: { reference: \"tea\" }", &[]),
        ("filter: { fromTime: \"2026-11-20T08:30:05Z\" }", &["22", "21"]),
        ("filter: { toTime: \"2026-11-20T08:30:01Z\" }", &["4", "3"]),
    ] {
        let query = format!("{{ payments({arguments}) {{ nodes {{ seq }} }} }}");
        assert_eq!(seqs(&server.answer(&query).await["payments"]), expected, "{arguments}");
    }
    for (arguments, code) in [
        ("filter: { rejectReason: \"NONSENSE\" }", "ARGUMENT_MALFORMED"),
        ("filter: { amountMin: \"1.50\" }", "ARGUMENT_MALFORMED"),
        ("filter: { fromTime: \"now\" }", "TIME_MALFORMED"),
        ("first: 1, last: 1", "FIRST_AND_LAST"),
    ] {
        let query = format!("{{ payments({arguments}) {{ nodes {{ seq }} }} }}");
        assert_eq!(server.error(&query).await.0, code, "{arguments}");
    }
}

/// Cursors stay where they are while payments are added in front of them.
#[tokio::test]
async fn pages_are_stable_under_writes() {
    let mut history = History::default();
    history.open(1, CZK);
    history.open(2, CZK);
    (1..=9).for_each(|number| history.pay(number, 1, 2, number));
    let mut server = Server::start(&history).await;
    let page = |arguments: String| {
        format!(
            "{{ payments({arguments}) {{ nodes {{ seq }} \
               pageInfo {{ startCursor endCursor hasNextPage hasPreviousPage }} }} }}"
        )
    };
    let first = server.answer(&page("first: 3".into())).await["payments"].clone();
    assert_eq!(seqs(&first), ["11", "10", "9"]);
    (10..=15).for_each(|number| history.pay(number, 1, 2, number));
    server.sink.apply(&history.batches(4)).expect("applies");
    let place = &first["pageInfo"];
    let next = page(format!("first: 3, after: {}", place["endCursor"]));
    let next = server.answer(&next).await["payments"].clone();
    assert_eq!(seqs(&next), ["8", "7", "6"]);
    let back = page(format!("last: 3, before: {}", next["pageInfo"]["startCursor"]));
    let back = server.answer(&back).await["payments"].clone();
    assert_eq!(seqs(&back), seqs(&first));
    assert_eq!(back["pageInfo"]["hasPreviousPage"], true, "there are newer ones now");
    let newer = page(format!("last: 9, before: {}", place["startCursor"]));
    let newer = server.answer(&newer).await["payments"].clone();
    assert_eq!(seqs(&newer), ["17", "16", "15", "14", "13", "12"]);
    assert_eq!(newer["pageInfo"]["hasPreviousPage"], false);
}

#[tokio::test]
async fn accounts_page_in_both_directions() {
    let server = Server::start(&bank()).await;
    let query = "{ accounts(last: 2) { nodes { currency } pageInfo { hasPreviousPage } } }";
    assert_eq!(
        server.answer(query).await["accounts"],
        json!({
            "nodes": [{ "currency": "CZK" }, { "currency": "JPY" }],
            "pageInfo": { "hasPreviousPage": true },
        })
    );
}

#[tokio::test]
async fn balances_are_shown_as_they_were() {
    let server = Server::start(&bank()).await;
    let query = |of: &str| {
        format!(
            "{{ account(id: \"{ACCOUNT_1}\") {{ balancesAsOf({of}) {{ changedAtSeq changedTime \
               balances {{ debitsPosted {{ amount }} debitsPending {{ amount }} }} }} }} }}"
        )
    };
    let shown = async |of: &str| server.answer(&query(of)).await["account"]["balancesAsOf"].clone();
    let at_4 = json!({
        "changedAtSeq": "4", "changedTime": "2026-11-20T08:30:00.000000000Z",
        "balances": { "debitsPosted": { "amount": "2452.00" },
                      "debitsPending": { "amount": "100.00" } },
    });
    assert_eq!(shown("seq: \"4\"").await, at_4);
    assert_eq!(shown("at: \"2026-11-20T08:30:00.5Z\"").await, at_4);
    assert_eq!(shown("seq: \"0\"").await, Value::Null);
    assert_eq!(shown("seq: \"1\"").await["balances"]["debitsPosted"]["amount"], "0.00");
    assert_eq!(shown("seq: \"18\"").await["changedAtSeq"], "12", "13 to 18 are refused");
    for of in ["", "seq: \"1\", at: \"2026-11-20T08:30:00Z\""] {
        let query = if of.is_empty() { query(of).replace("()", "") } else { query(of) };
        assert_eq!(server.error(&query).await.0, "AS_OF_AMBIGUOUS", "{of}");
    }
}

#[tokio::test]
async fn what_follows_a_payment_is_listed_with_it() {
    let server = Server::start(&bank()).await;
    let of = async |number: u32, fields: &str| {
        let id = format!("01930000-0000-7000-8000-{number:012x}");
        let query = format!("{{ payment(id: \"{id}\") {{ {fields} }} }}");
        server.answer(&query).await["payment"].clone()
    };
    let hold = of(2, "followUps { nodes { seq operation } } refunds { seq }").await;
    assert_eq!(seqs(&hold["followUps"]), ["5", "6"]);
    assert_eq!(hold["refunds"], json!([]));
    let paid = of(1, "refunds { seq amount { amount } }").await;
    assert_eq!(paid["refunds"], json!([{ "seq": "11", "amount": { "amount": "452.00" } }]));
    let query = "{ openHolds { nodes { seq remainingAmount { amount } } } }";
    let holds = server.answer(query).await["openHolds"]["nodes"].clone();
    assert_eq!(holds, json!([{ "seq": "12", "remainingAmount": { "amount": "777.00" } }]));
}

#[tokio::test]
async fn totals_are_counted_by_outcome() {
    let server = Server::start(&bank()).await;
    let fields = "start currency settled { count amount { amount } } held { count } \
                  voided { count amount { amount } } rejected { count amount { minor } }";
    let totals = async |arguments: &str| {
        let query = format!("{{ totals({arguments}) {{ {fields} }} }}");
        server.answer(&query).await["totals"].clone()
    };
    let expected = |start: Value| {
        json!([{
            "start": start, "currency": "CZK",
            "settled": { "count": "6", "amount": { "amount": "3004.03" } },
            "held": { "count": "4" },
            "voided": { "count": "1", "amount": { "amount": "25.00" } },
            "rejected": { "count": "5", "amount": { "minor": "0" } },
        }])
    };
    assert_eq!(totals("by: LEDGER, ledger: 203").await, expected(Value::Null));
    let hour = json!("2026-11-20T08:00:00.000000000Z");
    assert_eq!(totals("by: HOUR, ledger: 203").await, expected(hour));
    let day = json!("2026-11-20T00:00:00.000000000Z");
    assert_eq!(totals("by: DAY, ledger: 203").await, expected(day));
    let later = "by: HOUR, ledger: 203, fromTime: \"2026-11-20T09:00:00Z\"";
    assert_eq!(totals(later).await, json!([]));
    let long = "{ totals(by: HOUR, fromTime: \"2020-01-01T00:00:00Z\") { start } }";
    assert_eq!(server.error(long).await.0, "RANGE_TOO_LONG");
}

/// Resolves what it is told to, and remembers who told.
#[derive(Default)]
struct Engine(Mutex<Vec<String>>);

impl Acts for Engine {
    fn resolve_review(
        &self,
        id: PaymentId,
        accept: bool,
        actor: String,
        why: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        let known = id == payment(50);
        self.0.lock().expect("no panics").push(format!("{id} {accept} {actor} {why}"));
        Box::pin(async move { if known { Ok(()) } else { Err(ActError::Unknown(id)) } })
    }

    fn record(
        &self,
        _: NotificationAct,
        _: String,
        _: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        unreachable!("nothing is done to notifications here")
    }
}

#[tokio::test]
async fn reviews_are_explained_and_resolved() {
    let mut history = bank();
    history.hold_by_risk(50, 5_000, RiskDecision::Review);
    history.claim(50, "ana");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, desk) = ReviewsSink::open(dir.path(), &ReviewsConfig::default()).expect("opens");
    sink.apply(&history.batches(4)).expect("applies");
    let engine = Arc::new(Engine::default());
    let acts = Arc::clone(&engine);
    let config = GraphqlConfig::default();
    let server = Server::start_with(&history, &config, |services| {
        services.reviews = Some(desk);
        services.acts = Some(acts);
    });
    let server = server.await;
    let query = "{ reviews { nodes { paymentId kind open heldAmount { amount } claim { by why } \
                   payment { seq } riskExplanation { decision rule score policyNumber policyName \
                     reasons { number value contribution feature text } } } } }";
    let reviews = server.answer(query).await["reviews"]["nodes"].clone();
    assert_eq!(reviews[0]["payment"]["seq"], "12");
    let id = "01930000-0000-7000-8000-000000000032";
    assert_eq!(
        reviews[1],
        json!({
            "paymentId": id, "kind": "REVIEW", "open": true, "heldAmount": { "amount": "50.00" },
            "claim": { "by": "ana", "why": "reason 24" }, "payment": { "seq": "23" },
            "riskExplanation": {
                "decision": "REVIEW", "rule": "odd", "score": 0.5,
                "policyNumber": 0, "policyName": null,
                "reasons": [{
                    "number": 3, "value": 9.0, "contribution": 0.25,
                    "feature": null, "text": null,
                }],
            },
        }),
    );
    assert_eq!(
        server.answer("{ reviews(claimedBy: \"\") { nodes { seq } } }").await["reviews"],
        json!({ "nodes": [{ "seq": "12" }] })
    );
    // The same, from the payment.
    let of_payment =
        format!("{{ payment(id: \"{id}\") {{ review {{ open }} riskExplanation {{ score }} }} }}");
    let shown = server.answer(&of_payment).await["payment"].clone();
    assert_eq!(shown["riskExplanation"]["score"], 0.5);
    assert_eq!(shown["review"]["open"], true);
    let resolve = |id: &str, why: &str| {
        format!(
            "mutation {{ resolveReview(paymentId: \"{id}\", accept: true, actor: \"ana\", \
               why: \"{why}\") {{ paymentId accepted payment {{ seq }} }} }}"
        )
    };
    let resolved = server.answer(&resolve(id, "known customer")).await["resolveReview"].clone();
    assert_eq!((&resolved["accepted"], &resolved["payment"]["seq"]), (&json!(true), &json!("23")));
    assert_eq!(server.error(&resolve(ACCOUNT_1, "x")).await.0, "NOT_FOUND");
    assert_eq!(server.error(&resolve(id, " ")).await.0, "ARGUMENT_MALFORMED");
    let told = engine.0.lock().expect("no panics").clone();
    assert_eq!(told[0], format!("{id} true ana known customer"));
    assert_eq!(told.len(), 2, "a reason that is none is not told");
}

fn watched(model: &Arc<dyn ReadModel>) -> (Arc<dyn ReadModel>, Arc<AtomicUsize>) {
    let (model, questions) = Asked::counted(Arc::clone(model));
    (model, questions)
}

/// A hundred payments between forty accounts, and what they refer to: three reads, not two hundred.
/// It is one thread that resolves, so that what one read gathers does not depend on luck.
#[tokio::test]
async fn look_ups_of_a_page_are_one_read() {
    let mut history = History::default();
    (1..=40).for_each(|number| history.open(number, CZK));
    (1..=50_u128).for_each(|number| history.pay(number, number % 20 + 1, number % 20 + 21, 100));
    (1..=50_u128).for_each(|number| {
        history.refund(100 + number, number, (number % 20 + 1, number % 20 + 21), 1);
    });
    for (entries, again) in [(10_000, 1), (0, 3)] {
        let config = GraphqlConfig { read_cache_entries: entries, ..GraphqlConfig::default() };
        let mut reads = Arc::default();
        let server = Server::start_with(&history, &config, |services| {
            (services.model, reads) = watched(&services.model);
        });
        let server = server.await;
        let query = "{ payments(first: 100) { nodes { seq original { seq } \
                       debitAccount { id } creditAccount { id } } } }";
        let first = server.answer(query).await;
        assert_eq!(first["payments"]["nodes"].as_array().expect("a list").len(), 100);
        assert_eq!(reads.swap(0, Ordering::Relaxed), 3, "the page, the originals, the accounts");
        assert_eq!(server.answer(query).await, first);
        assert_eq!(reads.load(Ordering::Relaxed), again, "with room for {entries}");
    }
}

/// The schema is a file that others build on. To renew it after a change that is meant:
/// `MILLRACE_RENEW=1 cargo test -p millrace-sinks --test graphql_queries the_schema_is`
#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    if std::env::var_os("MILLRACE_RENEW").is_some() {
        std::fs::write(path, schema_definition()).expect("is written");
    }
    let kept = std::fs::read_to_string(path).expect("sinks/schema.graphql is there");
    for (number, (kept, found)) in kept.lines().zip(schema_definition().lines()).enumerate() {
        assert_eq!(found, kept, "line {} of sinks/schema.graphql; see above to renew", number + 1);
    }
    assert_eq!(schema_definition().lines().count(), kept.lines().count(), "lines; see above");
}
