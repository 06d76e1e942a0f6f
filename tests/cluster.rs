//! The pipeline over real components: payments through JetStream into PostgreSQL, the audit log and
//! inboxes, each role in a process of its own, while publisher, consumers, NATS and PostgreSQL are
//! killed at moments that chance picks.
//!
//! The story that it guards against: an event is lost or applied twice while something that carries
//! it dies, or a payment has to wait for something that is not the ledger's. At the end every row,
//! every sum, every balance, the audit log and every message are compared with what was submitted and
//! with what the ledger says. The front door itself is killed in `tests/kill.rs`.

#[path = "cluster/compare.rs"]
mod compare;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/parts.rs"]
mod parts;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use load::Pace;
use millrace_client::Connection;
use millrace_services::{Nats, Postgres, required};
use parts::{Cluster, VICTIMS};
use support::{
    data_dir::{audit_entries, verified_journal},
    dice::Dice,
    eventually, graphql, within,
};
use tokio::runtime::Runtime;

/// What a run does.
struct Plan {
    kills: usize,
    /// Payments that are submitted at least; the kills spread over them.
    payments: u64,
    pace: Pace,
    segment_mib: i64,
}

#[test]
fn killing_what_carries_events_loses_none_and_doubles_none() {
    run(&Plan {
        kills: 24,
        payments: 40_000,
        pace: Pace { request_payments: 200, pause: Duration::from_millis(20) },
        segment_mib: 1,
    });
}

/// The same with a million payments. For a release build:
/// `cargo test --release --test cluster -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes, and a release build"]
fn a_million_payments_and_kills_lose_none_and_double_none() {
    run(&Plan {
        kills: 30,
        payments: 1_000_000,
        pace: Pace { request_payments: 1_000, pause: Duration::from_millis(20) },
        segment_mib: 16,
    });
}

fn run(plan: &Plan) {
    let (Some(nats), Some(postgres)) = (required(Nats::start()), required(Postgres::start()))
    else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut dice = Dice::seeded("cluster");
    let mut cluster = Cluster::start(scratch.path(), plan.segment_mib, nats, postgres);
    let runtime = Runtime::new().expect("runs");
    let url = format!("http://{}", cluster.grpc());
    let connection = runtime.block_on(within("the connection", Connection::open(&url)));
    let connection = connection.expect("it listens");
    runtime.block_on(load::open_owned(&connection));
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let paying =
        load::pay_until(Arc::clone(&stop), Arc::clone(&sent), connection.clone(), plan.pace);
    let paying = runtime.spawn(paying);
    kill_all(plan, &mut cluster, &sent, &mut dice);
    reached(&sent, plan.payments);
    stop.store(true, Ordering::Relaxed);
    let told = runtime.block_on(paying).expect("every request was answered");
    println!("{} payments, the slowest answer after {:?}", told.payments, told.slowest);

    // The last holds have yet to time out.
    let events = u64::try_from(told.events()).expect("fits");
    let journal_dir = cluster.journal_dir();
    eventually("every hold that has to has timed out", || {
        let found = verified_journal(&journal_dir)["events"].as_u64().expect("is a number");
        assert!(found <= events, "{found} events, of {events}");
        (found == events).then_some(())
    });
    graphql::wait_for(cluster.graphql(), events);
    let audit_dir = cluster.audit_dir();
    eventually("the audit log has caught up", || {
        (audit_entries(&audit_dir) >= events).then_some(())
    });
    eventually("owners are told", || (cluster.notified() >= events).then_some(()));
    let sums = runtime.block_on(compare::tables(&cluster.postgres, &connection, &told));
    let notices_dir = cluster.notices_dir();
    cluster.stop();
    compare::trial_balance(&journal_dir, sums);
    compare::audit_log(&audit_dir, &journal_dir, events);
    compare::inboxes(&notices_dir, &told);
}

/// Each victim once in a round, the rounds over all payments; where a round begins, and when within
/// its share of the payments a kill comes, is chance.
fn kill_all(plan: &Plan, cluster: &mut Cluster, sent: &AtomicU64, dice: &mut Dice) {
    let share = plan.payments / plan.kills as u64;
    let mut begins = 0;
    for kill in 0..plan.kills {
        if kill % VICTIMS.len() == 0 {
            begins = dice.below(VICTIMS.len() as u64) as usize;
        }
        reached(sent, kill as u64 * share + dice.below(share));
        let victim = VICTIMS[(begins + kill) % VICTIMS.len()];
        println!("kill {kill}, after {} payments: {victim:?}", sent.load(Ordering::Relaxed));
        cluster.strike(victim, dice, || {
            // More than is under way: payments don't wait for what is dead.
            let more = 2 * plan.pace.request_payments as u64;
            reached(sent, sent.load(Ordering::Relaxed) + more);
        });
    }
}

/// Waits until so many payments are decided.
fn reached(sent: &AtomicU64, payments: u64) {
    eventually(&format!("{payments} payments are decided"), || {
        (sent.load(Ordering::Relaxed) >= payments).then_some(())
    });
}
