//! The sink against a real server: the schema that people see, versions, locks, poison, retention.

mod common;

use common::{Dice, Size, asking::Asking, history, payments_of, pieces};
use millrace_ledger::{Event, EventSeq};
use millrace_postgres::{PostgresConfig, PostgresSink};
use millrace_services::{Postgres, required};
use millrace_sinks::{Sink, SinkError};

const SMALL: Size = Size { accounts: 8, batches: 20, batch_payments: 10, step_s_max: 600 };

#[test]
fn people_find_their_way_with_psql() {
    let Some(server) = required(Postgres::start()) else { return };
    let mut sink = PostgresSink::open(&PostgresConfig::new(&server.url())).expect("opens");
    let history = history(11, SMALL);
    sink.apply(&history.batches).expect("applies");
    let asking = Asking::of(&server);

    let silent = asking.texts(
        "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             AND c.relkind <> 'v' \
         WHERE c.relnamespace = 'millrace'::regnamespace AND c.relkind IN ('r', 'p', 'v') \
             AND (obj_description(c.oid, 'pg_class') IS NULL \
                  OR a.attnum IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL)",
    );
    assert_eq!(silent, [""; 0], "tables and columns that do not say what they are");

    let payments = payments_of(&history);
    assert_eq!(asking.number("SELECT count(*) FROM millrace.payments"), payments.len() as i64);
    let overview = "SELECT count(*) FROM millrace.payment_overview";
    assert_eq!(asking.number(overview), payments.len() as i64);
    // Units and minor units say the same, whatever the currency.
    let off = asking.number(
        "SELECT count(*) FROM millrace.payments p JOIN millrace.ledgers l USING (ledger) \
         WHERE p.amount * 10::numeric ^ l.digits <> p.amount_minor",
    );
    assert_eq!(off, 0);
    let accounts = "SELECT count(*) FROM millrace.account_overview WHERE balance IS NOT NULL";
    assert_eq!(asking.number(accounts), history.ledger.account_count() as i64);
}

#[test]
fn one_process_keeps_the_tables_and_no_older_one() {
    let Some(server) = required(Postgres::start()) else { return };
    let config = PostgresConfig::new(&server.url());
    let sink = PostgresSink::open(&config).expect("opens");
    let refused = PostgresSink::open(&config).err().expect("is refused").to_string();
    assert!(refused.contains("another process keeps this read model"), "{refused}");
    drop(sink);
    drop(PostgresSink::open(&config).expect("the lock is free again"));

    Asking::of(&server).run("INSERT INTO millrace.migrations VALUES (99, 'from the future')");
    let refused = PostgresSink::open(&config).err().expect("is refused").to_string();
    assert!(refused.contains("the schema millrace has version 99"), "{refused}");
}

/// A cursor that another process moved is not overwritten, and nothing is written beside it.
#[test]
fn a_cursor_that_moved_is_noticed() {
    let Some(server) = required(Postgres::start()) else { return };
    let history = history(12, SMALL);
    let mut sink = PostgresSink::open(&PostgresConfig::new(&server.url())).expect("opens");
    sink.apply(&history.batches[..2]).expect("applies");
    let asking = Asking::of(&server);
    let before = asking.number("SELECT count(*) FROM millrace.payments");
    asking.run("UPDATE millrace.sink_cursor SET next_seq = next_seq + 5");
    let refused = sink.apply(&history.batches[2..3]).expect_err("is refused");
    assert!(refused.to_string().contains("moved the cursor"), "{refused}");
    assert!(!refused.is_transient());
    assert_eq!(asking.number("SELECT count(*) FROM millrace.payments"), before);
}

/// The connection that helps goes away in between, and the tables are those of one connection.
#[test]
fn two_connections_write_what_one_writes() {
    let (one, two) = (required(Postgres::start()), required(Postgres::start()));
    let (Some(one), Some(two)) = (one, two) else { return };
    let history = history(15, SMALL);
    let tables =
        ["payments", "payment_ids", "free_refusals", "accounts", "holds", "expiries", "totals"];
    let rows_of = |server: &Postgres, connections: u32| {
        let config = PostgresConfig {
            write_connections: connections,
            transaction_events: 11,
            ..PostgresConfig::new(&server.url())
        };
        let mut sink = PostgresSink::open(&config).expect("opens");
        let asking = Asking::of(server);
        let writers = "SELECT count(*) FROM pg_stat_activity \
                       WHERE application_name = 'millrace' AND state = 'idle'";
        sink.apply(&history.batches[..8]).expect("applies");
        assert_eq!(asking.number(writers), i64::from(connections));
        // The later one.
        asking.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'millrace' ORDER BY backend_start OFFSET 1",
        );
        while sink.next_seq() <= history.ledger.last_seq() {
            if let Err(error) = sink.apply(&history.batches) {
                assert!(error.is_transient(), "{error}");
            }
        }
        assert_eq!(asking.number(writers), i64::from(connections), "it was made again");
        let rows = |table: &str| {
            asking.texts(&format!("SELECT to_jsonb(t)::text FROM millrace.{table} t ORDER BY 1"))
        };
        tables.map(rows)
    };
    let (by_one, by_two) = (rows_of(&one, 1), rows_of(&two, 2));
    for ((table, one), two) in tables.iter().zip(by_one).zip(by_two) {
        assert_eq!(one, two, "{table}");
    }
}

#[test]
fn missing_events_are_noticed() {
    let Some(server) = required(Postgres::start()) else { return };
    let history = history(13, SMALL);
    let mut sink = PostgresSink::open(&PostgresConfig::new(&server.url())).expect("opens");
    let gap = sink.apply(&history.batches[1..]).expect_err("the first batch is missing");
    assert!(matches!(gap, SinkError::Gap { expected: EventSeq::FIRST, .. }), "{gap}");
    sink.apply(&history.batches).expect("nothing of it stayed");
}

/// An event that the server refuses is named, what comes before it is kept, and what comes behind
/// it goes on once it is skipped.
#[test]
fn an_event_that_the_server_refuses_is_named() {
    let Some(server) = required(Postgres::start()) else { return };
    let history = history(14, SMALL);
    let config = PostgresConfig { transaction_events: 9, ..PostgresConfig::new(&server.url()) };
    let mut sink = PostgresSink::open(&config).expect("opens");
    // A refused payment: no later event names it.
    let refused = |event: &&millrace_ledger::PaymentEvent| !event.outcome.is_accepted();
    let payments = payments_of(&history);
    let poison = payments.iter().filter(refused).nth(9).expect("there are ten").seq;
    let asking = Asking::of(&server);
    asking.run(&format!(
        "ALTER TABLE millrace.payments ADD CONSTRAINT odd CHECK (event_seq <> {poison})"
    ));
    let error = sink.apply(&history.batches).expect_err("the server refuses one");
    let SinkError::Poison { seq, problem, .. } = &error else { panic!("{error}") };
    assert_eq!(*seq, poison);
    assert!(problem.contains("odd"), "{problem}");
    assert_eq!(sink.next_seq(), poison, "what came before it is committed");

    let time = |seq| {
        let of = |batch: &&millrace_engine::feed::FeedBatch| {
            batch.events.iter().any(|event| event.event.seq() == seq)
        };
        history.batches.iter().find(of).expect("is in a batch").time
    };
    sink.skip(poison, time(poison), "the server refused it").expect("skips it");
    sink.apply(&history.batches).expect("goes on");
    let count = asking.number("SELECT count(*) FROM millrace.payments");
    assert_eq!(count, payments.len() as i64 - 1);
}

#[test]
fn months_come_before_their_payments_and_go_when_they_are_old() {
    let Some(server) = required(Postgres::start()) else { return };
    // Two hundred days.
    let size = Size { accounts: 8, batches: 100, batch_payments: 12, step_s_max: 400_000 };
    let history = history(15, size);
    let config = PostgresConfig { retention_days: 60, ..PostgresConfig::new(&server.url()) };
    let asking = Asking::of(&server);
    let mut dice = Dice(15);
    for piece in pieces(&history.batches, &mut dice) {
        // Retention looks when a process starts, and then every ten minutes.
        let mut sink = PostgresSink::open(&config).expect("opens");
        sink.apply(piece).expect("applies");
    }
    let last = history.batches.last().expect("there are some").time;
    let months = asking.texts(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'millrace'::regnamespace \
         AND relname LIKE 'payments_2___\\___' AND relkind = 'r' ORDER BY 1",
    );
    assert!((3..=5).contains(&months.len()), "{months:?} at {last:?}");
    let late = asking.number(&format!(
        "SELECT count(*) FROM millrace.payments \
         WHERE decided_at < to_timestamp({}) - interval '92 days'",
        last.0 / 1_000_000_000
    ));
    assert_eq!(late, 0, "a month and sixty days are kept at most");
    let kept = asking.number("SELECT count(*) FROM millrace.payments");
    let all = payments_of(&history).len() as i64;
    assert!(kept > 100 && kept < all - 100, "{kept} of {all}");
    let lost = asking.number(
        // Holds that were open when their month went were captured or expired since.
        "SELECT count(*) FROM millrace.payment_ids i WHERE i.state NOT LIKE 'hold%' \
         AND NOT EXISTS (SELECT FROM millrace.payments p WHERE p.event_seq = i.event_seq)",
    );
    assert_eq!(lost, 0, "ids of payments that are gone");
    let counted = asking.number("SELECT sum(payments)::bigint FROM millrace.totals");
    assert_eq!(counted, all, "totals outlive the payments");
    let balances = "SELECT count(*) FROM millrace.accounts WHERE balances_seq > 0";
    assert_eq!(asking.number(balances), history.ledger.account_count() as i64);
    let last_seq = history.batches.iter().flat_map(|batch| &batch.events).count() as i64;
    assert_eq!(asking.number("SELECT next_seq FROM millrace.sink_cursor"), last_seq + 1);
    assert!(
        history
            .batches
            .iter()
            .flat_map(|batch| &batch.events)
            .any(|event| matches!(event.event, Event::HoldExpired(_)))
    );
}

/// A process may start while the database is away: payments do not wait for it.
#[test]
fn a_database_that_is_away_is_waited_for() {
    let Some(mut server) = required(Postgres::start()) else { return };
    let config = PostgresConfig::new(&server.url());
    let history = history(16, SMALL);
    PostgresSink::open(&config).expect("opens").apply(&history.batches[..5]).expect("applies");
    server.kill();
    let mut sink = PostgresSink::open(&config).expect("waits for the database");
    let away = sink.apply(&history.batches).expect_err("it is away");
    assert!(away.is_transient(), "{away}");
    server.start_again().expect("starts");
    // The first time it finds out where it is; then it goes on from there.
    let found_out = sink.apply(&history.batches).expect_err("it was elsewhere");
    assert!(found_out.is_transient(), "{found_out}");
    assert!(sink.next_seq() > EventSeq::FIRST);
    sink.apply(&history.batches).expect("applies");
    let count = Asking::of(&server).number("SELECT count(*) FROM millrace.payments");
    assert_eq!(count, payments_of(&history).len() as i64);
}
