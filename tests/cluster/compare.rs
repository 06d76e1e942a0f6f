//! The comparison: consumes what the sender was told and what the ledger says, and guarantees that
//! tables, audit log and inboxes say the same, each payment once.

use std::{collections::BTreeSet, path::Path};

use millrace_client::Connection;
use millrace_protos::v1::GetAccountsRequest;
use millrace_services::Postgres;
use millrace_sinks::{NotifyConfig, NotifyService, notify::StateKind};
use serde_json::Value;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{
    load::{ACCOUNTS, Told},
    support::{payments::id_bytes, process::millrace, text, within},
};

/// Four balances, in the order of the columns below.
type Four = [u128; 4];

const COLUMNS: [&str; 4] = ["debits_pending", "debits_posted", "credits_pending", "credits_posted"];

/// Every payment once, with its amount and outcome; every account with the ledger's four balances; and
/// their sums. Returns the sums.
pub(crate) async fn tables(postgres: &Postgres, grpc: &Connection, told: &Told) -> Four {
    let (client, connection) =
        tokio_postgres::connect(&postgres.url(), NoTls).await.expect("connects");
    tokio::spawn(connection);
    let counts = "SELECT count(*), count(DISTINCT payment_id), count(DISTINCT event_seq)
                  FROM millrace.payments";
    let row = client.query_one(counts, &[]).await.expect("the table is there");
    let number = |at: usize| row.get::<_, i64>(at) as u128;
    assert_eq!([number(0), number(1), number(2)], [told.payments; 3], "rows, ids, positions");
    for (status, (count, sum)) in &told.by_status {
        let sql = "SELECT count(*), coalesce(sum(amount_minor), 0)::text
                   FROM millrace.payments WHERE status = $1";
        let row = client.query_one(sql, &[status]).await.expect("answers");
        let found = (row.get::<_, i64>(0) as u128, row.get::<_, String>(1));
        assert_eq!(found, (*count, sum.to_string()), "{status}");
    }
    let expired = "SELECT count(*), count(DISTINCT hold_seq) FROM millrace.expiries";
    let row = client.query_one(expired, &[]).await.expect("answers");
    let found = [0, 1].map(|at: usize| row.get::<_, i64>(at) as u128);
    assert_eq!(found, [told.expiring; 2], "holds that timed out");
    balances(&client, grpc).await
}

async fn balances(client: &Client, grpc: &Connection) -> Four {
    let request = GetAccountsRequest { account_ids: (1..=ACCOUNTS).map(id_bytes).collect() };
    let answer = within("accounts", grpc.accounts().get_accounts(request)).await;
    let accounts = answer.expect("is answered").into_inner().accounts;
    assert_eq!(accounts.len() as u128, ACCOUNTS);
    let columns = COLUMNS.map(|column| format!("{column}::text")).join(", ");
    let one = format!("SELECT {columns} FROM millrace.accounts WHERE account_id = $1");
    let mut ledgers_sums = Four::default();
    for account in accounts {
        let described = account.account.expect("is described");
        let id = described.account_id.as_ref().try_into().map(u128::from_be_bytes);
        let id = id.expect("16 bytes");
        let row = client.query_one(&one, &[&Uuid::from_u128(id)]).await.expect("has a row");
        let balances = account.balances.expect("has balances");
        let ledgers = [
            balances.debits_pending,
            balances.debits_posted,
            balances.credits_pending,
            balances.credits_posted,
        ]
        .map(u128::from);
        assert_eq!(four(&row), ledgers, "account {id}: {COLUMNS:?}");
        ledgers_sums.iter_mut().zip(ledgers).for_each(|(sum, balance)| *sum += balance);
    }
    let columns = COLUMNS.map(|column| format!("sum({column})::text")).join(", ");
    let all = format!("SELECT {columns} FROM millrace.accounts");
    let sums = four(&client.query_one(&all, &[]).await.expect("answers"));
    assert_eq!(sums, ledgers_sums, "{COLUMNS:?}");
    assert!(sums.iter().all(|sum| *sum > 0), "nothing was left out: {sums:?}");
    sums
}

fn four(row: &tokio_postgres::Row) -> Four {
    [0, 1, 2, 3].map(|at| row.get::<_, String>(at).parse().expect("a number"))
}

/// The sums that the journal comes to, read by itself.
pub(crate) fn trial_balance(data_dir: &Path, sums: Four) {
    let report = ["report", "trial-balance", "--json", "--data-dir", text(data_dir)];
    let finished = millrace(report);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report: Value = serde_json::from_str(&finished.stdout).expect("is JSON");
    assert_eq!(report["balanced"], true);
    let ledgers = report["ledgers"].as_array().expect("a list");
    let [ledger] = ledgers.as_slice() else { panic!("one ledger: {ledgers:?}") };
    let found = COLUMNS.map(|column| {
        let minor = ledger["total"][format!("{column}_minor")].as_str().expect("is text");
        minor.parse::<u128>().expect("a number")
    });
    assert_eq!(found, sums, "{COLUMNS:?}");
}

/// The log is the signed one, and says of every event what the journal says.
pub(crate) fn audit_log(audit_dir: &Path, journal_dir: &Path, events: u64) {
    let journal = journal_dir.join("journal");
    let verify = ["audit", "verify", "--json", "--data-dir", text(audit_dir)];
    let finished = millrace(verify.into_iter().chain(["--journal", text(&journal)]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report: Value = serde_json::from_str(&finished.stdout).expect("is JSON");
    assert_eq!(report["whole"], true, "{report}");
    assert_eq!(report["lines"], events, "{report}");
}

/// Every owner was told of every event that is for them, once, and can read it.
pub(crate) fn inboxes(dir: &Path, told: &Told) {
    let service = NotifyService::open(dir, &NotifyConfig::default()).expect("opens");
    let inbox = service.inbox.expect("has an inbox");
    let (mut count, mut distinct) = (0_u128, BTreeSet::new());
    for id in 1..=inbox.latest_id() {
        let Some(notice) = inbox.get(id).expect("reads") else { continue };
        assert_eq!(notice.state.kind(), StateKind::Delivered, "{notice:?}");
        count += 1;
        assert!(distinct.insert((notice.seq, notice.owner)), "told twice: {notice:?}");
    }
    assert_eq!(count, told.notices, "messages");
}
