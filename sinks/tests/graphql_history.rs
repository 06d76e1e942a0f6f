//! Balance histories and holds that timed out over GraphQL: what queries get, and how they page.

mod common;
#[path = "common/server.rs"]
mod server;

use common::bank;
use millrace_sinks::graphql::schema_definition;
use serde_json::{Value, json};
use server::{ACCOUNT_1, Server, cursor};

#[tokio::test]
async fn a_balance_history_pages_newest_first() {
    let server = Server::start(&bank()).await;
    let page = |arguments: &str| {
        format!(
            "{{ account(id: \"{ACCOUNT_1}\") {{ balanceHistory({arguments}) {{ \
               edges {{ cursor node {{ seq time change paymentId payment {{ operation }} \
                 balances {{ debitsPending {{ amount currency }} debitsPosted {{ amount }} \
                 creditsPending {{ minor }} creditsPosted {{ amount }} }} }} }} \
               pageInfo {{ hasNextPage hasPreviousPage endCursor }} }} }} }}"
        )
    };
    let read = async |arguments: &str| {
        server.answer(&page(arguments)).await["account"]["balanceHistory"].clone()
    };
    let first = read("first: 5").await;
    assert_eq!(
        first["edges"][4],
        json!({ "cursor": cursor(10), "node": {
            "seq": "10", "time": "2026-11-20T08:30:02.000000000Z", "change": "EXPIRED",
            "paymentId": "01930000-0000-7000-8000-000000000007",
            "payment": { "operation": "AUTHORIZE" },
            "balances": {
                "debitsPending": { "amount": "0.00", "currency": "CZK" },
                "debitsPosted": { "amount": "2552.00" }, "creditsPending": { "minor": "0" },
                "creditsPosted": { "amount": "0.00" },
            },
        }})
    );
    let place = json!({ "hasNextPage": true, "hasPreviousPage": false, "endCursor": cursor(10) });
    assert_eq!(first["pageInfo"], place);
    let seqs = |page: &Value| -> Vec<String> {
        let edges = page["edges"].as_array().expect("a list").iter();
        edges.map(|edge| edge["node"]["seq"].as_str().expect("text").to_owned()).collect()
    };
    let rest = read(&format!("after: {:?}, first: 7", cursor(10))).await;
    assert_eq!(seqs(&rest), ["9", "8", "7", "6", "5", "4", "3"]);
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
    // Batches of four events, a second apart: 5 to 8 in the second, 9 to 12 in the third.
    for (arguments, expected, more) in [
        ("fromTime: \"2026-11-20T08:30:05Z\"", &["22", "21"][..], false),
        ("toTime: \"2026-11-20T08:30:01Z\"", &["4", "3"], false),
        (
            "fromTime: \"2026-11-20T09:30:01+01:00\", toTime: \"2026-11-20T08:30:03Z\", \
             first: 6",
            &["12", "11", "10", "9", "8", "7"],
            true,
        ),
        (
            &format!("toTime: \"2026-11-20T08:30:03Z\", after: {:?}", cursor(6)),
            &["5", "4", "3"],
            false,
        ),
        ("fromTime: \"2027-01-01T00:00:00Z\"", &[], false),
    ] {
        let found = read(arguments).await;
        assert_eq!(seqs(&found), expected, "{arguments}");
        assert_eq!(found["pageInfo"]["hasNextPage"], more, "{arguments}");
    }
}

#[tokio::test]
async fn accounts_that_did_not_ask_have_no_history_and_the_schema_says_how_to() {
    let server = Server::start(&bank()).await;
    let query = "{ accounts { nodes { flags balanceHistory(first: 1) { nodes { seq } } } } }";
    let limited = "DEBITS_MUST_NOT_EXCEED_CREDITS";
    let newest = json!({ "nodes": [{ "seq": "22" }] });
    assert_eq!(
        server.answer(query).await["accounts"]["nodes"],
        json!([
            { "flags": [limited, "KEEPS_HISTORY"], "balanceHistory": newest },
            { "flags": [limited], "balanceHistory": null },
            { "flags": [limited], "balanceHistory": null },
        ])
    );
    assert!(schema_definition().contains("with the flag KEEPS_HISTORY"));
}

#[tokio::test]
async fn holds_that_timed_out_are_listed() {
    let mut history = bank();
    history.authorize(40, 1, 2, 5_000, 60);
    history.capture(41, 40, (1, 2), 1_500, false);
    history.expire(40, (1, 2), 3_500);
    let server = Server::start(&history).await;
    let query = |arguments: &str| {
        format!(
            "{{ timedOutHolds{arguments} {{ edges {{ cursor node {{ seq time holdId debitAccountId \
               creditAccountId releasedAmount {{ minor amount currency }} \
               hold {{ id holdState amount {{ amount }} capturedAmount {{ amount }} }} }} }} \
               pageInfo {{ hasNextPage hasPreviousPage endCursor }} }} }}"
        )
    };
    let newest = server.answer(&query("(first: 1)")).await["timedOutHolds"].clone();
    let account_2 = "01920000-0000-7000-8000-000000000002";
    let hold = "01930000-0000-7000-8000-000000000028";
    assert_eq!(
        newest,
        json!({
            "edges": [{ "cursor": cursor(25), "node": {
                "seq": "25", "time": "2026-11-20T08:30:06.000000000Z", "holdId": hold,
                "debitAccountId": ACCOUNT_1, "creditAccountId": account_2,
                "releasedAmount": { "minor": "3500", "amount": "35.00", "currency": "CZK" },
                "hold": {
                    "id": hold, "holdState": "EXPIRED", "amount": { "amount": "50.00" },
                    "capturedAmount": { "amount": "15.00" },
                },
            }}],
            "pageInfo": { "hasNextPage": true, "hasPreviousPage": false, "endCursor": cursor(25) },
        })
    );
    let of_account = format!("(account: \"{account_2}\", after: {:?})", cursor(25));
    let older = server.answer(&query(&of_account)).await["timedOutHolds"].clone();
    assert_eq!(older["edges"][0]["node"]["releasedAmount"]["amount"], "9.00");
    assert_eq!(older["pageInfo"]["hasNextPage"], false);
    let nobody = query("(account: \"00000000-0000-0000-0000-000000000077\")");
    assert_eq!(server.answer(&nobody).await["timedOutHolds"]["edges"], json!([]));
}
