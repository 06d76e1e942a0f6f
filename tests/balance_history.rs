//! The balance history of an account, from the command that opens it to the query that reads it.

mod support;

use millrace_protos::v1::{Operation, Payment};
use serde_json::{Value, json};
use support::{
    config::Settings,
    graphql,
    payments::{pay, submit},
    process::millrace,
    server::Server,
};
use uuid::Uuid;

const BANK: u128 = 0xba;
const ALICE: u128 = 0xa11ce;

fn uuid(id: u128) -> String {
    Uuid::from_u128(id).to_string()
}

#[tokio::test]
async fn an_account_opened_with_keep_history_tells_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let config = Settings::unlimited().write(scratch.path());
    let server = Server::start(&config, &scratch.path().join("data"));
    let (url, alice, bank) = (server.url(), uuid(ALICE), uuid(BANK));
    let create = |id: &str, more: &[&str]| {
        let args = ["account", "create", id, "--currency", "CZK", "--target", &url];
        let finished = millrace(args.iter().chain(more));
        assert_eq!(finished.code, Some(0), "{finished:?}");
    };
    create(&alice, &["--keep-history"]);
    create(&bank, &[]);
    let connection = server.connect().await;
    let refund = Payment {
        payment_id: 2,
        original_payment_id: 1,
        amount_minor: Some(2_500),
        operation: Operation::Refund as i32,
        ..Payment::default()
    };
    let outcomes = submit(&connection, vec![pay(1, BANK, ALICE, 10_000), refund]).await;
    let outcomes = outcomes.expect("is taken");
    let last = outcomes.iter().map(|outcome| outcome.event_sequence).max().expect("two");
    graphql::wait_for(server.graphql, last);

    let history = |id: &str| {
        let query = format!(
            "{{ account(id: \"{id}\") {{ balanceHistory {{ nodes {{ seq change \
               balances {{ debitsPosted {{ amount }} creditsPosted {{ amount }} }} }} }} }} }}"
        );
        graphql::ask(server.graphql, &query)["account"]["balanceHistory"].clone()
    };
    let entry = |seq: u64, change: &str, debits: &str, credits: &str| {
        json!({ "seq": seq.to_string(), "change": change, "balances": {
            "debitsPosted": { "amount": debits }, "creditsPosted": { "amount": credits },
        }})
    };
    // Newest first. The accounts were events 1 and 2.
    let expected = [entry(4, "REFUNDED", "25.00", "100.00"), entry(3, "SETTLED", "0.00", "100.00")];
    assert_eq!(history(&alice)["nodes"], json!(expected));
    assert_eq!(history(&bank), Value::Null, "it was opened without");
}
