//! How the server goes about the questions that are asked all the time: on a database with three
//! months of payments, none of them reads a large table from one end to the other.

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{History, Size, history, payments_of};
use millrace_ledger::{AccountId, RejectReason, RiskDecision, Timestamp};
use millrace_services::{Postgres, required};
use millrace_sinks::{
    Sink as _,
    graphql::model::{
        AsOf, HoldQuery, Order, OutcomeKind, PageQuery, PaymentQuery, TimeRange, TotalsBy,
        TotalsQuery,
    },
};
use tokio_postgres::{Client, NoTls};

use super::{
    accounts, history as past, payments,
    statement::{ANY, ONE, Values},
    totals,
};
use crate::{PostgresConfig, PostgresSink};

/// Tables of fewer pages are read as a whole, and rightly so: ledgers, cursors, the month to come.
const LARGE_PAGES: i32 = 20;

#[test]
fn no_hot_question_reads_a_large_table_from_end_to_end() {
    let Some(server) = required(Postgres::start()) else { return };
    let size = Size { accounts: 3_000, batches: 260, batch_payments: 150, step_s_max: 60_000 };
    let history = history(31, size);
    let mut sink = PostgresSink::open(&PostgresConfig::new(&server.url())).expect("opens");
    sink.apply(&history.batches).expect("applies");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&server.url(), NoTls).await.expect("connects");
        tokio::spawn(connection);
        client.batch_execute("VACUUM ANALYZE").await.expect("looks at the tables");
        let months: i64 = client
            .query_one(
                "SELECT count(*) FROM pg_inherits WHERE inhparent = 'millrace.payments'::regclass",
                &[],
            )
            .await
            .expect("answers")
            .get(0);
        assert!(months > 3, "{months} months");
        let pages = "SELECT relname::text FROM pg_class WHERE relkind = 'r' \
                     AND relnamespace = 'millrace'::regnamespace AND relpages >= $1";
        let large = client.query(pages, &[&LARGE_PAGES]).await.expect("answers");
        let large: Vec<String> = large.iter().map(|row| row.get(0)).collect();
        for name in ["payments_2026_12", "payment_ids", "accounts", "holds"] {
            assert!(large.iter().any(|table| table == name), "{name} is large: {large:?}");
        }
        let server = Server { client, large };
        server.look_ups().await;
        server.lists(&history).await;
        server.sums(&history).await;
    });
}

struct Server {
    client: Client,
    large: Vec<String>,
}

impl Server {
    /// Statements that are prepared once, with the plan that serves any value.
    async fn look_ups(&self) {
        let client = &self.client;
        client.batch_execute("SET plan_cache_mode = force_generic_plan").await.expect("sets");
        const ID: &str = "'01920000-0000-7000-8000-000000000001'::uuid";
        let list = format!("ARRAY[{ID}, {ID}]");
        for (name, kind, sql, value) in [
            ("payment", "uuid", payments::by_id_sql(ONE), ID),
            ("payments", "uuid[]", payments::by_id_sql(ANY), &list),
            ("account", "uuid", accounts::by_id_sql(ONE), ID),
            ("accounts", "uuid[]", accounts::by_id_sql(ANY), &list),
        ] {
            let prepared = client.batch_execute(&format!("PREPARE {name} ({kind}) AS {sql}")).await;
            prepared.expect("prepares");
            let rows = client.query(&format!("EXPLAIN EXECUTE {name} ({value})"), &[]).await;
            let rows = rows.expect("explains");
            self.check(name, &rows.iter().map(|row| row.get(0)).collect::<Vec<_>>());
        }
        client.batch_execute("RESET plan_cache_mode").await.expect("sets");
    }

    async fn lists(&self, history: &History) {
        let all = PaymentQuery::all(PageQuery::first(50));
        let account = Some(history.accounts[7]);
        let middle = payments_of(history)[20_000].seq;
        let page = PageQuery { after: Some(middle), ..PageQuery::first(50) };
        let times = [history.batches[60].time, history.batches[80].time];
        let [from_time, to_time] = times.map(Some);
        for (what, query) in [
            ("newest", all.clone()),
            ("a later page", PaymentQuery { page, ..all.clone() }),
            ("the oldest", PaymentQuery { order: Order::OldestFirst, ..all.clone() }),
            ("of an account", PaymentQuery { account, ..all.clone() }),
            ("a later page of an account", PaymentQuery { account, page, ..all.clone() }),
            (
                "of an account in a stretch of time",
                PaymentQuery { account, from_time, to_time, ..all.clone() },
            ),
            ("by reference", PaymentQuery { reference: Some("no such".into()), ..all.clone() }),
            ("since", PaymentQuery { from_time, ..all.clone() }),
            ("before", PaymentQuery { to_time, ..all.clone() }),
            ("in a stretch of time", PaymentQuery { from_time, to_time, ..all.clone() }),
            ("settled", PaymentQuery { status: Some(OutcomeKind::Settled), ..all.clone() }),
            ("rejected", PaymentQuery { status: Some(OutcomeKind::Rejected), ..all.clone() }),
            ("voided", PaymentQuery { status: Some(OutcomeKind::Voided), ..all.clone() }),
            (
                "rejected for a reason",
                PaymentQuery { reject_reason: Some(RejectReason::HoldVoided), ..all.clone() },
            ),
            (
                "for review",
                PaymentQuery { risk_decision: Some(RiskDecision::Review), ..all.clone() },
            ),
        ] {
            let (sql, values) = payments::list_sql(&query).expect("has a page");
            self.explain(what, &sql, &values).await;
        }
        let original = payments_of(history)[500].payment.id;
        let (sql, values) =
            payments::refunds_sql(original, &PageQuery::first(50)).expect("has a page");
        self.explain("refunds", &sql, &values).await;
        for account in [account, None] {
            let page = PageQuery::first(50);
            let holds = HoldQuery { page, order: Order::NewestFirst, account };
            let (sql, values) = payments::holds_sql(&holds).expect("has a page");
            self.explain("open holds", &sql, &values).await;
            let (sql, values) = payments::timed_out_sql(account, &page).expect("has a page");
            self.explain("holds that timed out", &sql, &values).await;
        }
        for at in [AsOf::Seq(middle), AsOf::Time(Timestamp(times[0].0 + 1))] {
            let (sql, values) = past::at_sql(history.accounts[7], at);
            self.explain("balances as of", &sql, &values).await;
        }
        let (sql, values) = past::list_sql(
            AccountId(history.accounts[7].0),
            TimeRange { from: from_time, to: None },
            &PageQuery::first(50),
        )
        .expect("has a page");
        self.explain("balance history", &sql, &values).await;
    }

    /// Totals are kept, not added up: no payment is read for them. Those of a ledger or of a stretch of
    /// time are found by an index; those of all time, and conservation, read their one table once.
    async fn sums(&self, history: &History) {
        let ledger = Some(payments_of(history)[0].payment.ledger);
        let [from, to] = [60, 80].map(|batch| Some(history.batches[batch].time));
        let some = TimeRange { from, to };
        for (ledger, by, range) in [
            (ledger, TotalsBy::Hour, some),
            (ledger, TotalsBy::Day, some),
            (ledger, TotalsBy::Ledger, some),
            (None, TotalsBy::Hour, some),
            (None, TotalsBy::Day, some),
        ] {
            let (sql, values) = totals::list_sql(TotalsQuery { ledger, by, range });
            let plan = self.plan(&sql, &values).await;
            let what = format!("totals by {by:?}, of one ledger: {}", ledger.is_some());
            self.check(&what, &plan);
            assert_eq!(scanned(&plan), ["totals"], "{what}:\n{}", plan.join("\n"));
        }
        let ever = TotalsQuery { ledger: None, by: TotalsBy::Ledger, range: TimeRange::default() };
        let (sql, values) = totals::list_sql(ever);
        let plan = self.plan(&sql, &values).await;
        assert_eq!(scanned(&plan), ["totals"], "totals ever:\n{}", plan.join("\n"));
        let plan = self.plan(accounts::CONSERVATION, &Values::default()).await;
        assert_eq!(scanned(&plan), ["accounts"], "conservation:\n{}", plan.join("\n"));
    }

    async fn explain(&self, what: &str, sql: &str, values: &Values) {
        self.check(what, &self.plan(sql, values).await);
    }

    async fn plan(&self, sql: &str, values: &Values) -> Vec<String> {
        let rows = self.client.query_typed(&format!("EXPLAIN {sql}"), &values.params()).await;
        rows.expect("explains").iter().map(|row| row.get(0)).collect()
    }

    fn check(&self, what: &str, plan: &[String]) {
        let reads_all = |line: &String| {
            let scanned = line.split_once("Seq Scan on ").and_then(|(_, on)| on.split(' ').next());
            scanned.is_some_and(|table| self.large.iter().any(|large| large == table))
        };
        assert!(!plan.iter().any(reads_all), "{what}:\n{}", plan.join("\n"));
        assert!(plan.iter().any(|line| line.contains("Index")), "{what}:\n{}", plan.join("\n"));
    }
}

/// The tables that a plan reads, each as often as it does. An index is read on its table's behalf.
fn scanned(plan: &[String]) -> Vec<&str> {
    plan.iter()
        .filter(|line| line.contains("Scan") && !line.contains("Bitmap Index Scan"))
        .filter_map(|line| line.split_once(" on ").and_then(|(_, on)| on.split(' ').next()))
        .collect()
}
