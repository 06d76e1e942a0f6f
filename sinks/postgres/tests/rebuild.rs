//! Rebuilding against a real server: what is damaged is whole again, queries are answered meanwhile,
//! and a stop in the middle leaves what served.

mod common;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use common::{Dice, History, Size, asking::Asking, history, payments_of, pieces};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;
use millrace_postgres::{PostgresConfig, PostgresRebuild, PostgresSink, PostgresStore, Runs};
use millrace_services::{Postgres, required};
use millrace_sinks::{
    Sink,
    graphql::model::{PageQuery, PaymentQuery, ReadModel},
};

const SIZE: Size = Size { accounts: 30, batches: 120, batch_payments: 12, step_s_max: 3_600 };
/// Batches that come after the swap.
const LATER: usize = 10;

/// What every table holds, but for when it was written.
fn contents(asking: &Asking) -> Vec<String> {
    let tables = asking.texts(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'millrace'::regnamespace \
         AND relkind IN ('r', 'p') AND NOT relispartition \
         AND relname NOT IN ('migrations', 'sink_cursor') ORDER BY 1",
    );
    assert!(tables.len() >= 7, "{tables:?}");
    let mut contents = asking.texts("SELECT next_seq::text FROM millrace.sink_cursor");
    for table in tables {
        contents.extend(asking.texts(&format!(
            "SELECT '{table} ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' \
             ORDER BY t::text)), '') FROM millrace.{table} t"
        )));
    }
    contents
}

fn schemas(asking: &Asking) -> Vec<String> {
    let sql = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'millrace%' ORDER BY 1";
    asking.texts(sql)
}

fn damage(asking: &Asking) {
    asking.run(
        "UPDATE millrace.accounts SET credits_posted = credits_posted + 1 \
         WHERE account_id = (SELECT min(account_id::text)::uuid FROM millrace.accounts); \
         DELETE FROM millrace.payments WHERE event_seq IN \
             (SELECT event_seq FROM millrace.payments ORDER BY event_seq LIMIT 3);",
    );
}

fn apply(sink: &mut PostgresSink, batches: &[FeedBatch], seed: u64) {
    for piece in pieces(batches, &mut Dice(seed)) {
        sink.apply(piece).expect("applies");
    }
}

/// Whatever the moment: all payments but the three that were removed, each with its state.
fn ask_until(stop: &AtomicBool, asked: &AtomicUsize, config: &PostgresConfig, history: &History) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = PostgresStore::open(config, None).expect("is a url");
        let payments = payments_of(history);
        let mut in_middle = payments[payments.len() / 2..].iter();
        let last = in_middle.find(|it| it.outcome.is_accepted()).expect("some are").payment.id;
        let everything = PaymentQuery::all(PageQuery::first(payments.len() + 100));
        let mut most = 0;
        while !stop.load(Ordering::Acquire) {
            let found = store.payments(everything.clone()).await.expect("is answered").items.len();
            assert!(found >= most, "{found} payments, and {most} before");
            most = found;
            // A statement that the server keeps prepared.
            let one = store.payments_by_id(vec![last]).await.expect("is answered");
            assert!(one[0].is_some(), "it is always there");
            asked.fetch_add(1, Ordering::Release);
        }
    });
}

#[test]
fn what_is_damaged_is_whole_again_and_queries_are_answered_meanwhile() {
    let Some(server) = required(Postgres::start()) else { return };
    let config = PostgresConfig::new(&server.url());
    let history = history(71, SIZE);
    let (first, later) = history.batches.split_at(history.batches.len() - LATER);
    let mut live = PostgresSink::open(&config).expect("opens");
    apply(&mut live, first, 1);
    let asking = Asking::of(&server);
    asking.run(
        "CREATE ROLE analyst; GRANT USAGE ON SCHEMA millrace TO analyst; \
         GRANT SELECT ON millrace.payments TO analyst WITH GRANT OPTION; \
         GRANT SELECT ON millrace.payment_overview TO PUBLIC; \
         COMMENT ON SCHEMA millrace IS 'Ours, it''s said';",
    );
    let whole = contents(&asking);
    damage(&asking);
    assert_ne!(contents(&asking), whole);

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| ask_until(&stop, &asked, &config, &history));
        let more = |than: usize| {
            while asked.load(Ordering::Acquire) <= than {
                thread::yield_now();
            }
            asked.load(Ordering::Acquire)
        };
        let before = more(1);
        let (rebuild, mut fresh) = PostgresRebuild::begin(&config, Runs::Here).expect("begins");
        assert_eq!(fresh.next_seq(), EventSeq(1));
        apply(&mut fresh, first, 2);
        assert_eq!(fresh.next_seq(), live.next_seq());
        assert_eq!(schemas(&asking), ["millrace", "millrace_rebuild"]);
        drop(live);
        rebuild.swap().expect("swaps");
        rebuild.swap().expect("was swapped");
        more(before);
        rebuild.remove_old().expect("removes");
        assert_eq!(contents(&asking), whole);
        assert_eq!(schemas(&asking), ["millrace"]);
        // It goes on from the cursor that came with the schema.
        apply(&mut fresh, later, 3);
        assert_eq!(fresh.next_seq(), EventSeq(history.ledger.last_seq().0 + 1));
        more(asked.load(Ordering::Acquire));
        stop.store(true, Ordering::Release);
    });

    let rights = asking.rows(
        "SELECT has_schema_privilege('analyst', 'millrace', 'USAGE'), \
         has_table_privilege('analyst', 'millrace.payments', 'SELECT WITH GRANT OPTION'), \
         has_table_privilege('analyst', 'millrace.payment_overview', 'SELECT'), \
         has_table_privilege('analyst', 'millrace.accounts', 'SELECT')",
    );
    let rights = [0, 1, 2, 3].map(|at| rights[0].get::<_, bool>(at));
    assert_eq!(rights, [true, true, true, false], "as before");
    let comment = "SELECT obj_description('millrace'::regnamespace, 'pg_namespace')";
    assert_eq!(asking.texts(comment), ["Ours, it's said"]);

    // The same where nobody runs.
    let whole = contents(&asking);
    damage(&asking);
    let (rebuild, mut fresh) = PostgresRebuild::begin(&config, Runs::Nowhere).expect("begins");
    let Err(error) = PostgresSink::open(&config) else { panic!("the tables are kept by two") };
    assert!(error.to_string().contains("another process keeps this read model"), "{error}");
    apply(&mut fresh, &history.batches, 4);
    drop(fresh);
    rebuild.swap().expect("swaps");
    rebuild.remove_old().expect("removes");
    drop(rebuild);
    assert_eq!(contents(&asking), whole);
    let sink = PostgresSink::open(&config).expect("opens");
    assert_eq!(sink.next_seq(), EventSeq(history.ledger.last_seq().0 + 1));
}

#[test]
fn a_stop_leaves_what_served_and_the_next_start_or_rebuild_cleans_up() {
    let Some(mut server) = required(Postgres::start()) else { return };
    let config = PostgresConfig::new(&server.url());
    let history = history(72, Size { batches: 40, ..SIZE });
    let half = &history.batches[..20];
    let mut live = PostgresSink::open(&config).expect("opens");
    apply(&mut live, &history.batches, 1);
    drop(live);
    let asking = Asking::of(&server);
    let whole = contents(&asking);

    // Millrace stops in the middle.
    let (rebuild, mut fresh) = PostgresRebuild::begin(&config, Runs::Nowhere).expect("begins");
    apply(&mut fresh, half, 2);
    drop((rebuild, fresh));
    assert_eq!(schemas(&asking), ["millrace", "millrace_rebuild"]);
    assert_eq!(contents(&asking), whole);
    drop(PostgresSink::open(&config).expect("opens"));
    assert_eq!(schemas(&asking), ["millrace"]);

    // The server stops in the middle.
    let (rebuild, mut fresh) = PostgresRebuild::begin(&config, Runs::Nowhere).expect("begins");
    apply(&mut fresh, half, 3);
    server.kill();
    assert!(fresh.apply(&history.batches[20..]).expect_err("is away").is_transient());
    assert!(rebuild.swap().expect_err("is away").is_transient());
    server.start_again().expect("starts again");
    assert!(rebuild.swap().is_err(), "who was kept out meanwhile, nobody knows");
    drop((rebuild, fresh));
    let asking = Asking::of(&server);
    assert_eq!(contents(&asking), whole);

    // Behind the swap.
    let (rebuild, mut fresh) = PostgresRebuild::begin(&config, Runs::Nowhere).expect("begins");
    assert_eq!(fresh.next_seq(), EventSeq(1), "what was left is gone");
    apply(&mut fresh, &history.batches, 4);
    rebuild.swap().expect("swaps");
    drop((rebuild, fresh));
    assert_eq!(schemas(&asking), ["millrace", "millrace_old"]);
    assert_eq!(contents(&asking), whole);
    drop(PostgresSink::open(&config).expect("opens"));
    assert_eq!(schemas(&asking), ["millrace"]);
}

#[test]
fn what_others_made_is_not_removed() {
    let Some(server) = required(Postgres::start()) else { return };
    let config = PostgresConfig::new(&server.url());
    let begin = |runs| match PostgresRebuild::begin(&config, runs) {
        Err(error) => error.to_string(),
        Ok(_) => "begun".to_owned(),
    };
    let asking = Asking::of(&server);
    let sink = PostgresSink::open(&config).expect("opens");
    let text = begin(Runs::Nowhere);
    assert!(text.contains("another process keeps this read model"), "{text}");
    asking.run("CREATE VIEW public.daily AS SELECT count(*) FROM millrace.payments");
    let text = begin(Runs::Here);
    assert!(text.contains("would be lost with the old ones: public.daily."), "{text}");
    asking.run("DROP VIEW public.daily; CREATE SCHEMA millrace_rebuild");
    let text = begin(Runs::Here);
    assert!(text.contains("a schema millrace_rebuild that no rebuild made"), "{text}");
    assert_eq!(schemas(&asking), ["millrace", "millrace_rebuild"]);
    asking.run("DROP SCHEMA millrace_rebuild");
    assert_eq!(begin(Runs::Here), "begun");
    drop(sink);
}
