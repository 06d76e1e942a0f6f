//! Amounts that nobody has, through all that adds up: an upstream that sends 2^127 to several accounts
//! makes no sum wrong, and no report of another ledger fail.

mod support;

use millrace_protos::v1::{Operation, Payment};
use serde_json::{Value, json};
use support::{
    config::Settings,
    graphql,
    payments::{account, open, pay, submit, word},
    process::millrace,
    server::Server,
    text, within,
};

/// 3 times 2^127, and 2^127.
const THRICE: &str = "510423550381407695195061911147652317184";
const ONCE: &str = "170141183460469231731687303715884105728";
const EUR: u32 = 978;

/// 2^127 minor units.
fn absurd(id: u128, debit: u128, credit: u128) -> Payment {
    Payment { amount_minor_high: 1 << 63, ..pay(id, debit, credit, 0) }
}

fn printed(args: &[&str]) -> String {
    let finished = millrace(args);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout
}

fn json_of(args: &[&str]) -> Value {
    serde_json::from_str(&printed(args)).expect("is JSON")
}

#[tokio::test]
async fn sums_of_several_ledgers_are_exact_beyond_128_bits() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data_dir = scratch.path().join("data");
    let server = Server::start(&Settings::unlimited().write(scratch.path()), &data_dir);
    let connection = server.connect().await;
    open(&connection, 1..=8).await;
    let euro = |id| millrace_protos::v1::NewAccount { ledger: EUR, ..account(id, &[]) };
    let request = millrace_protos::v1::CreateAccountsRequest {
        accounts: vec![euro(9), euro(10)],
        ..Default::default()
    };
    within("accounts", connection.accounts().create_accounts(request)).await.expect("is taken");
    let hold = Payment { operation: Operation::Authorize as i32, ..absurd(4, 7, 8) };
    let second_hold = Payment { payment_id: 5, ..hold.clone() };
    let modest = Payment { ledger: EUR, ..pay(6, 9, 10, 1_234) };
    let payments =
        vec![absurd(1, 1, 2), absurd(2, 3, 4), absurd(3, 5, 6), hold, second_hold, modest];
    let outcomes = submit(&connection, payments).await.expect("is taken");
    let words: Vec<_> = outcomes.iter().map(word).collect();
    let refused = "REJECTED OVERFLOW_DEBITS_PENDING";
    assert_eq!(words, ["SETTLED", "SETTLED", "SETTLED", "HELD", refused, "SETTLED"]);
    let last = outcomes.iter().map(|outcome| outcome.event_sequence).max().expect("several");
    graphql::wait_for(server.graphql, last);

    // GraphQL.
    let asked = "{ conservation { ledger holds debitsPosted { minor amount } creditsPosted { minor } \
                   debitsPending { minor } creditsPending { minor } } \
                   totals(by: LEDGER) { ledger settled { count amount { minor } } } }";
    let answer = graphql::ask(server.graphql, asked);
    let decimal = "5104235503814076951950619111476523171.84";
    let money = |minor: &str| json!({ "minor": minor });
    assert_eq!(
        answer["conservation"],
        json!([
            { "ledger": 203, "holds": true,
              "debitsPosted": { "minor": THRICE, "amount": decimal }, "creditsPosted": money(THRICE),
              "debitsPending": money(ONCE), "creditsPending": money(ONCE) },
            { "ledger": EUR, "holds": true,
              "debitsPosted": { "minor": "1234", "amount": "12.34" }, "creditsPosted": money("1234"),
              "debitsPending": money("0"), "creditsPending": money("0") },
        ])
    );
    assert_eq!(
        answer["totals"],
        json!([
            { "ledger": 203, "settled": { "count": "3", "amount": money(THRICE) } },
            { "ledger": EUR, "settled": { "count": "1", "amount": money("1234") } },
        ])
    );
    server.stop();

    // The trial balance.
    let report = ["report", "trial-balance", "--data-dir", text(&data_dir)];
    let balance = json_of(&[&report[..], &["--json"]].concat());
    assert_eq!(balance["balanced"], true);
    let total = &balance["ledgers"][0]["total"];
    assert_eq!(total["debits_posted_minor"], THRICE);
    assert_eq!(total["credits_posted_minor"], THRICE);
    assert_eq!(total["debits_posted"], decimal);
    assert_eq!((&total["net_minor"], &total["debits_pending_minor"]), (&json!("0"), &json!(ONCE)));
    assert_eq!(balance["ledgers"][1]["total"]["debits_posted"], "12.34");
    let table = printed(&report);
    assert!(table.contains(decimal) && table.contains("12.34"), "{table}");
    let csv = printed(&[&report[..], &["--csv"]].concat());
    assert!(csv.contains(decimal) && csv.contains(THRICE), "{csv}");

    // The check of the journal.
    for more in [&[][..], &["--redecide"]] {
        let verify = [&["journal", "verify", "--data-dir", text(&data_dir)], more].concat();
        let verified = json_of(&[&verify[..], &["--json"]].concat());
        assert_eq!(verified["conserved"], true);
        let sums = |ledger: u32, posted: &str, pending: &str| {
            json!({
                "ledger": ledger,
                "debits_posted_minor": posted,
                "credits_posted_minor": posted,
                "debits_pending_minor": pending,
                "credits_pending_minor": pending,
            })
        };
        assert_eq!(verified["ledgers"], json!([sums(203, THRICE, ONCE), sums(EUR, "1234", "0")]));
        let table = printed(&verify);
        assert!(table.contains(&format!("posted, each side: {decimal} CZK")), "{table}");
        assert!(table.contains("posted, each side: 12.34 EUR"), "{table}");
    }
}
