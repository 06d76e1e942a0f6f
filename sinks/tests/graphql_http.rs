//! GraphQL end to end: a store, a server, and queries over HTTP.

mod common;
#[path = "common/server.rs"]
mod server;

use common::{CZK, History, bank};
use millrace_sinks::{Sink as _, graphql::schema_definition};
use serde_json::{Value, json};
use server::{ACCOUNT_1, Server};
use tokio::net::TcpStream;

const PAYMENT_1: &str = "01930000-0000-7000-8000-000000000001";
const PAYMENT_2: &str = "01930000-0000-7000-8000-000000000002";

#[tokio::test]
async fn a_payment_is_shown_as_it_stands() {
    let server = Server::start(&bank()).await;
    let query = "query($id: UUID!) { payment(id: $id) { id seq time operation status \
        rejectReason amount { minor amount currency } requestedAmount { amount } debitAccountId \
        creditAccount { id state } holdState remainingAmount { amount } capturedAmount { amount } \
        refundedAmount { amount } debitBalances { debitsPosted { amount } } ledger code flags \
        timeoutSeconds riskDecision riskRule original { id } \
        context { channel deviceId ipAddress countryCode reference eventTime } } }";
    let shown = server.ask(query, json!({ "id": PAYMENT_1 })).await;
    assert_eq!(
        shown["data"]["payment"],
        json!({
            "id": PAYMENT_1, "seq": "3", "time": "2026-11-20T08:30:00.000000000Z",
            "operation": "PAY", "status": "SETTLED", "rejectReason": null,
            "amount": { "minor": "245200", "amount": "2452.00", "currency": "CZK" },
            "requestedAmount": { "amount": "2452.00" },
            "debitAccountId": ACCOUNT_1,
            "creditAccount": { "id": "01920000-0000-7000-8000-000000000002", "state": "FROZEN" },
            "holdState": null, "remainingAmount": { "amount": "2000.00" },
            "capturedAmount": null, "refundedAmount": { "amount": "452.00" },
            "debitBalances": { "debitsPosted": { "amount": "2452.00" } },
            "ledger": 203, "code": 1, "flags": [], "timeoutSeconds": null,
            "riskDecision": "APPROVE", "riskRule": null, "original": null,
            "context": {
                "channel": "CARD_PRESENT", "deviceId": "terminal-9", "ipAddress": "192.0.2.7",
                "countryCode": "CZ", "reference": "coffee \"to go\"", "eventTime": null,
            },
        })
    );
    let hold = server.ask(query, json!({ "id": PAYMENT_2 })).await["data"]["payment"].clone();
    assert_eq!(hold["holdState"], "CAPTURED");
    assert_eq!(hold["capturedAmount"]["amount"], "100.00");
    assert_eq!(hold["timeoutSeconds"], 3_600);
    assert_eq!(hold["refundedAmount"], Value::Null);
}

#[tokio::test]
async fn an_unknown_id_is_null_and_a_malformed_one_an_error() {
    let server = Server::start(&bank()).await;
    let unknown = "{ payment(id: \"00000000-0000-0000-0000-000000000077\") { id } \
                     account(id: \"00000000-0000-0000-0000-000000000077\") { id } }";
    assert_eq!(server.answer(unknown).await, json!({ "payment": null, "account": null }));
    let (code, _) = server.error("{ payment(id: \"seventy-seven\") { id } }").await;
    assert_eq!(code, "QUERY_INVALID");
}

#[tokio::test]
async fn payments_page_newest_first() {
    let server = Server::start(&bank()).await;
    let mut seqs = Vec::new();
    let mut after = "null".to_owned();
    for page in 1.. {
        let query = format!(
            "{{ payments(account: \"{ACCOUNT_1}\", first: 6, after: {after}) {{ \
               edges {{ cursor node {{ seq }} }} \
               pageInfo {{ hasNextPage hasPreviousPage endCursor }} }} }}"
        );
        let payments = server.answer(&query).await["payments"].clone();
        for edge in payments["edges"].as_array().expect("a list") {
            seqs.push(edge["node"]["seq"].as_str().expect("text").to_owned());
        }
        let place = &payments["pageInfo"];
        assert_eq!(place["hasPreviousPage"], json!(page > 1));
        after = place["endCursor"].to_string();
        if place["hasNextPage"] == json!(false) {
            assert_eq!(page, 3);
            break;
        }
    }
    let expected = ["22", "21", "17", "16", "14", "13", "12", "11", "9", "8", "7", "6", "5", "4"];
    assert_eq!(seqs[..14], expected);
    assert_eq!(seqs[14..], ["3"]);
}

#[tokio::test]
async fn accounts_page_and_show_their_payments() {
    let server = Server::start(&bank()).await;
    let page = |after: String| {
        format!(
            "{{ accounts(first: 2, after: {after}) {{ nodes {{ id currency ownerId \
               creditLimit {{ amount }} balances {{ creditsPosted {{ amount currency }} }} \
               payments(first: 1) {{ nodes {{ seq }} }} }} \
               pageInfo {{ endCursor hasNextPage }} }} }}"
        )
    };
    let first = server.answer(&page("null".into())).await["accounts"].clone();
    assert_eq!(
        first["nodes"][0],
        json!({
            "id": ACCOUNT_1, "currency": "CZK", "ownerId": "00000000-0000-0000-0000-000000000abc",
            "creditLimit": { "amount": "50.00" },
            "balances": { "creditsPosted": { "amount": "452.01", "currency": "CZK" } },
            "payments": { "nodes": [{ "seq": "22" }] },
        })
    );
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let second = server.answer(&page(first["pageInfo"]["endCursor"].to_string())).await;
    let second = &second["accounts"];
    assert_eq!(second["nodes"].as_array().expect("a list").len(), 1);
    assert_eq!(second["nodes"][0]["creditLimit"]["amount"], "5000", "yen have no decimals");
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn queries_see_what_was_applied_since() {
    let mut history = History::default();
    history.open(1, CZK);
    let mut server = Server::start(&history).await;
    let query = "{ status { appliedSeq appliedTime } conservation { holds debitsPosted { minor } \
                   debitsPending { minor } } }";
    let before = server.answer(query).await;
    assert_eq!(before["status"]["appliedSeq"], "1");
    history.open(2, CZK);
    history.pay(1, 1, 2, 700);
    server.sink.apply(&history.batches(1)).expect("applies");
    let after = server.answer(query).await;
    assert_eq!(
        after["status"],
        json!({ "appliedSeq": "3", "appliedTime": "2026-11-20T08:30:02.000000000Z" })
    );
    let conserved = json!([{
        "holds": true, "debitsPosted": { "minor": "700" }, "debitsPending": { "minor": "0" }
    }]);
    assert_eq!(after["conservation"], conserved);
}

#[tokio::test]
async fn every_error_has_a_code() {
    let server = Server::start(&bank()).await;
    let deep = "{ payments { nodes { original { original { original { original { original { \
                original { original { original { original { original { original { original { \
                original { original { id } } } } } } } } } } } } } } } } }";
    let wide = "{ payments(first: 200) { nodes { creditAccount { payments(first: 200) { nodes { \
                id } } } } } }";
    let history = |arguments: &str| {
        format!(
            "{{ account(id: \"{ACCOUNT_1}\") {{ balanceHistory({arguments}) {{ nodes {{ \
               seq }} }} }} }}"
        )
    };
    for (query, code, said) in [
        ("{ payments(first: 201) { nodes { id } } }", "FIRST_OUT_OF_RANGE", "give 1 to 200"),
        ("{ accounts(first: 0) { nodes { id } } }", "FIRST_OUT_OF_RANGE", "first is 0"),
        ("{ payments(after: \"x\") { nodes { id } } }", "CURSOR_MALFORMED", "take one from"),
        ("{ accounts(after: \"5\") { nodes { id } } }", "CURSOR_MALFORMED", "take one from"),
        ("{ timedOutHolds(first: 201) { nodes { seq } } }", "FIRST_OUT_OF_RANGE", "give 1 to 200"),
        ("{ timedOutHolds(after: \"-\") { nodes { seq } } }", "CURSOR_MALFORMED", "take one from"),
        (&history("first: 0"), "FIRST_OUT_OF_RANGE", "first is 0"),
        (&history("after: \"x\""), "CURSOR_MALFORMED", "take one from"),
        (&history("fromTime: \"today\""), "TIME_MALFORMED", "\"today\" is not a time"),
        (&history("toTime: \"2026-11-20\""), "TIME_MALFORMED", "such as 2026-11-20T08:30:00Z"),
        (deep, "QUERY_TOO_DEEP", "nested too deep"),
        (wide, "QUERY_TOO_COMPLEX", "too complex"),
        ("{ nonsense }", "QUERY_INVALID", "Unknown field"),
        ("{ payments(", "QUERY_INVALID", "expected"),
    ] {
        let (found, message) = server.error(query).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(said), "{message}");
    }
    let (head, answer) = server.post("not json").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "QUERY_INVALID");
}

/// What tools ask for first; the limits must let it through.
#[tokio::test]
async fn the_schema_describes_itself() {
    let server = Server::start(&bank()).await;
    let of_type =
        (0..9).fold("name".to_owned(), |inner, _| format!("kind name ofType {{ {inner} }}"));
    let query = format!(
        "{{ __schema {{ types {{ kind name description fields {{ name description args {{ name \
           type {{ {of_type} }} }} type {{ {of_type} }} }} }} }} }}"
    );
    let types = server.answer(&query).await["__schema"]["types"].clone();
    for kind in types.as_array().expect("a list") {
        let name = kind["name"].as_str().expect("text");
        // Scalars and connections come from the GraphQL library.
        let ours = kind["kind"] == "OBJECT" || kind["kind"] == "ENUM";
        if !ours || name.starts_with('_') || name.ends_with("Connection") {
            continue;
        }
        assert!(kind["description"].is_string(), "{name}");
        for field in kind["fields"].as_array().into_iter().flatten() {
            // Those of federation come from the library, too.
            let is_federation = field["name"].as_str().is_some_and(|name| name.starts_with('_'));
            let told = field["description"].is_string() || is_federation;
            assert!(told, "{name}.{}", field["name"]);
        }
    }
    assert!(schema_definition().contains("payment(id: UUID!): Payment"));
}

#[tokio::test]
async fn the_page_needs_nothing_from_the_net() {
    let server = Server::start(&bank()).await;
    let (head, page) = server.get("/").await;
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
    assert_eq!(server.get("/graphiql").await.1, page);
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("//"));
    let links = page.split(['"']).filter(|part| part.starts_with("/graphiql/"));
    let links: Vec<_> = links.collect();
    assert_eq!(links.len(), 6);
    for link in links {
        let (head, body) = server.get(link).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{link}: {head}");
        let kind = if link.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert!(head.contains(kind), "{link}: {head}");
        let is_ours = link.ends_with("page.js") || link.ends_with("page.css");
        assert_eq!(head.contains("content-encoding: gzip"), !is_ours, "{link}: {head}");
        assert!(!body.is_empty());
    }
    assert!(server.get("/graphiql/other.js").await.0.starts_with("HTTP/1.1 404 "));
    assert_eq!(server.get("/healthz").await.1, "ok\n");
    assert!(server.get("/graphql").await.0.starts_with("HTTP/1.1 405 "), "queries are posted");
}

/// The page's own queries are part of the binary: they must fit the schema.
#[tokio::test]
async fn the_example_queries_of_the_page_are_answered() {
    let server = Server::start(&bank()).await;
    let (_, script) = server.get("/graphiql/page.js").await;
    let texts = script.split('`').skip(1).step_by(2);
    let queries: Vec<_> = texts.filter(|text| text.contains("\nquery ")).collect();
    assert_eq!(queries.len(), 7);
    for query in queries {
        let answer = server.ask(query, json!({ "id": PAYMENT_1 })).await;
        assert_eq!(answer.get("errors"), None, "{query}");
    }
}

#[tokio::test]
async fn the_shutdown_ends_the_server() {
    let server = Server::start(&bank()).await;
    // A connection that is open and says nothing does not hold it up.
    let _idle = TcpStream::connect(server.address).await.expect("connects");
    server.stop.send(()).expect("is serving");
    server.serving.await.expect("does not panic").expect("ends well");
}
