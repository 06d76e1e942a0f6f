//! Queries on a real standby that follows by streaming replication: it answers while it is level,
//! the primary stands in while it is away or behind, and what readers saw never goes back.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{Size, asking::Asking, history, payments_of};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::{Event, EventSeq};
use millrace_postgres::{PostgresConfig, PostgresRebuild, PostgresSink, PostgresStore, Runs};
use millrace_services::{Postgres, required};
use millrace_sinks::{
    Sink,
    graphql::{
        ReadError,
        model::{PageQuery, PaymentQuery, ReadModel},
    },
};
use tokio::runtime::Runtime;

const SIZE: Size = Size { accounts: 20, batches: 60, batch_payments: 10, step_s_max: 600 };
const PATIENCE: Duration = Duration::from_secs(240);

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Connections of queries.
fn readers(asking: &Asking) -> i64 {
    asking.number(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace' \
         AND backend_type = 'client backend' AND query LIKE '%millrace.payments%'",
    )
}

fn payments(runtime: &Runtime, store: &PostgresStore) -> Result<usize, ReadError> {
    let everything = PaymentQuery::all(PageQuery::first(10_000));
    runtime.block_on(store.payments(everything)).map(|page| page.items.len())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

#[test]
fn the_replica_answers_and_the_primary_stands_in_for_it() {
    let Some(primary) = required(Postgres::start()) else { return };
    let mut standby = primary.standby().expect("a copy starts");
    let config = PostgresConfig { read_url: standby.url(), ..PostgresConfig::new(&primary.url()) };
    let mut sink = PostgresSink::open(&config).expect("opens");
    let history = history(41, SIZE);
    let count = |batches: &[FeedBatch]| {
        let events = batches.iter().flat_map(|batch| &batch.events);
        events.filter(|event| matches!(event.event, Event::Payment(_))).count()
    };
    let (some, more, rest) = (20, 40, history.batches.len());
    sink.apply(&history.batches[..some]).expect("applies");
    let at = |sink: &PostgresSink| EventSeq(sink.next_seq().0 - 1);

    let runtime = runtime();
    let store = runtime.block_on(async { PostgresStore::open(&config, Some(&sink)) });
    let store = store.expect("opens");
    eventually("the replica follows", || store.place().seq == at(&sink));
    let on_standby = Asking::of(&standby);
    let replays = "SELECT pg_is_in_recovery()::integer::bigint";
    assert_eq!(on_standby.number(replays), 1, "it is a standby");
    eventually("the replica is asked", || {
        assert_eq!(
            payments(&runtime, &store).expect("is answered"),
            count(&history.batches[..some])
        );
        readers(&on_standby) > 0
    });

    // It is behind: readers see the place that it has.
    on_standby.run("SELECT pg_wal_replay_pause()");
    let before = store.place();
    sink.apply(&history.batches[some..more]).expect("applies");
    assert_eq!(payments(&runtime, &store).expect("is answered"), count(&history.batches[..some]));
    assert_eq!(store.place(), before);
    on_standby.run("SELECT pg_wal_replay_resume()");
    eventually("it comes level", || store.place().seq == at(&sink));
    assert_eq!(payments(&runtime, &store).expect("is answered"), count(&history.batches[..more]));

    // It is away: the primary has all of it.
    drop(on_standby);
    standby.kill();
    let stands_in = payments(&runtime, &store).expect("is answered by the primary");
    assert_eq!(stands_in, count(&history.batches[..more]));
    sink.apply(&history.batches[more..]).expect("applies");
    eventually("readers see what the primary has", || store.place().seq == at(&sink));
    let all = count(&history.batches[..rest]);
    assert_eq!(payments(&runtime, &store).expect("is answered"), all);

    // It is back, and not asked before it has what readers saw.
    standby.start_again().expect("starts again");
    let on_standby = Asking::of(&standby);
    eventually("the replica is asked again", || {
        assert_eq!(payments(&runtime, &store).expect("is answered"), all);
        readers(&on_standby) > 0
    });

    // A rebuild reaches it like any other change.
    let (rebuild, mut fresh) = PostgresRebuild::begin(&config, Runs::Here).expect("begins");
    fresh.apply(&history.batches).expect("applies");
    drop(sink);
    rebuild.swap().expect("swaps");
    rebuild.remove_old().expect("removes");
    let schema = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'millrace%'";
    eventually("the standby has the swap, too", || {
        assert_eq!(payments(&runtime, &store).expect("is answered"), all);
        on_standby.number(schema) == 1
    });
}

#[test]
fn a_replica_that_nobody_stands_in_for_is_named_while_it_is_away() {
    let Some(primary) = required(Postgres::start()) else { return };
    let mut standby = primary.standby().expect("a copy starts");
    let config = PostgresConfig {
        read_url: standby.url(),
        read_fallback: false,
        ..PostgresConfig::new(&primary.url())
    };
    let mut sink = PostgresSink::open(&config).expect("opens");
    let history = history(42, Size { batches: 10, ..SIZE });
    sink.apply(&history.batches).expect("applies");
    let runtime = runtime();
    let store = runtime.block_on(async { PostgresStore::open(&config, Some(&sink)) });
    let store = store.expect("opens");
    eventually("the replica follows", || store.place().seq.0 == sink.next_seq().0 - 1);
    let all = payments_of(&history).len();
    assert_eq!(payments(&runtime, &store).expect("is answered"), all);
    standby.kill();
    let error = payments(&runtime, &store).expect_err("nobody stands in");
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
    let address = standby.url();
    let address = address.trim_start_matches("postgres://millrace@");
    assert!(error.to_string().contains(&format!("PostgreSQL at {address}")), "{error}");
    standby.start_again().expect("starts again");
    eventually("it answers again", || payments(&runtime, &store).is_ok_and(|found| found == all));
}
