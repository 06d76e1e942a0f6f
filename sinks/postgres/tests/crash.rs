//! The server is killed while the sink writes, again and again: afterwards each event is in the
//! tables once, and the tables equal the ledger. The story behind it: a connection that goes while
//! it commits leaves open whether the commit came through, and only the cursor in the database
//! knows.

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use common::{Dice, Size, history, payments_of};
use millrace_ledger::{EventSeq, Status};
use millrace_postgres::{PostgresConfig, PostgresSink, PostgresStore};
use millrace_services::{Postgres, required};
use millrace_sinks::{
    Sink,
    graphql::model::{
        CountAndSum, PageQuery, PaymentQuery, ReadModel, TimeRange, Total, TotalsBy, TotalsQuery,
    },
};

const KILLS: usize = 12;

#[test]
fn a_server_that_is_killed_loses_and_doubles_nothing() {
    let Some(mut server) = required(Postgres::start()) else { return };
    let size = Size { accounts: 40, batches: 900, batch_payments: 8, step_s_max: 120 };
    let history = history(21, size);
    // Two transactions take turns within most applies.
    let config = PostgresConfig { transaction_events: 7, ..PostgresConfig::new(&server.url()) };
    let kills = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(22);
            while kills.load(Ordering::Acquire) < KILLS {
                thread::sleep(Duration::from_millis(dice.roll() % 400));
                server.kill();
                thread::sleep(Duration::from_millis(dice.roll() % 100));
                server.start_again().expect("starts again");
                kills.fetch_add(1, Ordering::Release);
            }
        });
        let mut dice = Dice(23);
        let mut sink = PostgresSink::open(&config).expect("opens, or waits");
        let mut interrupted = 0;
        let first_seq = |at: usize| history.batches[at].events[0].event.seq();
        let end = EventSeq(history.ledger.last_seq().0 + 1);
        while sink.next_seq() < end {
            let next = sink.next_seq();
            let from = history.batches.len()
                - (0..history.batches.len()).rev().take_while(|at| first_seq(*at) > next).count();
            let from = from.saturating_sub(1);
            let to = (from + 1 + dice.below(5)).min(history.batches.len());
            // The last batch waits for the last kill.
            let at_end = to == history.batches.len();
            if at_end && kills.load(Ordering::Acquire) < KILLS {
                thread::sleep(Duration::from_millis(20));
                if from + 1 == to {
                    continue;
                }
            }
            let to = if at_end && kills.load(Ordering::Acquire) < KILLS { to - 1 } else { to };
            if let Err(error) = sink.apply(&history.batches[from..to]) {
                assert!(error.is_transient(), "{error}");
                interrupted += 1;
                thread::sleep(Duration::from_millis(20));
            }
            if dice.one_in(100) {
                // The process starts again.
                drop(sink);
                sink = PostgresSink::open(&config).expect("opens, or waits");
            }
        }
        assert!(interrupted >= KILLS / 2, "kills hit the sink: {interrupted}");
    });

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = PostgresStore::open(&config, None).expect("is a url");
        let expected = payments_of(&history);
        let everything = PaymentQuery::all(PageQuery::first(expected.len() + 100));
        let mut found = store.payments(everything).await.expect("reads").items;
        found.reverse();
        let seqs = |seq: &EventSeq| seq.0;
        assert_eq!(
            found.iter().map(|view| seqs(&view.event.seq)).collect::<Vec<_>>(),
            expected.iter().map(|event| seqs(&event.seq)).collect::<Vec<_>>(),
            "each event once"
        );
        for (view, event) in found.iter().zip(&expected) {
            assert_eq!(view.event.outcome, event.outcome);
            assert_eq!(view.event.balances, event.balances);
        }
        for account in history.ledger.accounts() {
            let view = store.accounts_by_id(vec![account.spec.id]).await.expect("reads").remove(0);
            assert_eq!(view.expect("is open").account, account);
        }
        let query = TotalsQuery { ledger: None, by: TotalsBy::Ledger, range: TimeRange::default() };
        let totals = store.totals(query).await.expect("reads");
        for total in &totals {
            let of_ledger = expected.iter().filter(|event| event.payment.ledger == total.ledger);
            let settled = of_ledger.filter(|event| event.outcome.status == Status::Settled);
            let sum = settled.fold(CountAndSum::default(), |mut sum, event| {
                sum.count += 1;
                sum.minor += event.outcome.amount.0;
                sum
            });
            assert_eq!(total.settled, sum);
        }
        let counts = |total: &Total| {
            [total.settled, total.held, total.voided, total.rejected].map(|sum| sum.count)
        };
        let all: u64 = totals.iter().flat_map(counts).sum();
        assert_eq!(all, expected.len() as u64);
        for sums in store.conservation().await.expect("reads") {
            assert!(sums.holds(), "{sums:?}");
        }
    });
}
