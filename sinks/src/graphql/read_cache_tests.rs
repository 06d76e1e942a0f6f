//! The cache under writes: what a reader gets, compared with what the store says, and with what the
//! place that it saw promises.

use std::{sync::atomic::AtomicBool, thread};

use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountSpec, AccountState, Amount, Balances, Event, LedgerId, Operation,
    Outcome, Payment, PaymentEvent, Status, Timestamp, Verdict,
};
use proptest::prelude::*;

use super::*;
use crate::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink as _,
    graphql::{
        model::{
            AccountPage, AppliedPlace, AsOf, BalancesAt, HoldQuery, PageQuery, PaymentQuery,
            Reading, Slice, TimeRange, Total, TotalsQuery,
        },
        read::LedgerConservation,
        read_history::TimedOutHold,
        reader::Reader,
    },
};

const PAYMENTS: u64 = 6;

fn batch(event: Event) -> FeedBatch {
    let event = FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() };
    FeedBatch { time: Timestamp(event.event.seq().0), events: vec![event] }
}

/// Two accounts, then payments with the ids 1 to 6 from one to the other.
fn beginning() -> Vec<FeedBatch> {
    let open = |seq: u64| {
        let spec = AccountSpec {
            id: AccountId(u128::from(seq)),
            ledger: LedgerId(203),
            ..AccountSpec::default()
        };
        let account = Account { spec, state: AccountState::Open, balances: Balances::default() };
        batch(Event::Account(AccountEvent { seq: EventSeq(seq), change: None, account }))
    };
    let pays = (1..=PAYMENTS).map(|number| paid(number + 2, number, 0, 1 << 40));
    [open(1), open(2)].into_iter().chain(pays).collect()
}

/// A payment, or, where it names an original, a refund of 1 of it. Account 1 has posted credits of
/// its position.
fn paid(seq: u64, id: u64, original: u64, minor: u128) -> FeedBatch {
    let operation = if original == 0 { Operation::Pay } else { Operation::Refund };
    let balances = Balances { credits_posted: u128::from(seq), ..Balances::default() };
    batch(Event::Payment(PaymentEvent {
        seq: EventSeq(seq),
        payment: Payment {
            id: PaymentId(u128::from(id)),
            original: PaymentId(u128::from(original)),
            debit: AccountId(1),
            credit: AccountId(2),
            amount: Amount(minor),
            ledger: LedgerId(203),
            operation,
            ..Payment::default()
        },
        outcome: Outcome { status: Status::Settled, amount: Amount(minor) },
        verdict: Verdict::APPROVE,
        balances: Some([balances, Balances::default()]),
    }))
}

fn opened() -> (tempfile::TempDir, GraphqlSink, ReadStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut sink, store) =
        GraphqlSink::open(dir.path(), &GraphqlConfig::default()).expect("opens");
    sink.apply(&beginning()).expect("applies");
    (dir, sink, store)
}

/// The store without word of what changed: every change may have been of anything.
struct Silent(ReadStore);

impl ReadModel for Silent {
    fn watch(&self) -> tokio::sync::watch::Receiver<AppliedPlace> {
        self.0.watch()
    }
    fn applied(&self) -> Reading<'_, AppliedPlace> {
        self.0.applied()
    }
    fn payments_by_id(&self, ids: Vec<PaymentId>) -> Reading<'_, Vec<Option<PaymentView>>> {
        self.0.payments_by_id(ids)
    }
    fn accounts_by_id(&self, ids: Vec<AccountId>) -> Reading<'_, Vec<Option<AccountView>>> {
        self.0.accounts_by_id(ids)
    }
    fn payments(&self, _: PaymentQuery) -> Reading<'_, Slice<PaymentView>> {
        unreachable!("the cache looks up by id")
    }
    fn refunds(&self, _: PaymentId, _: PageQuery) -> Reading<'_, Slice<PaymentView>> {
        unreachable!("the cache looks up by id")
    }
    fn accounts(&self, _: AccountPage) -> Reading<'_, Slice<AccountView>> {
        unreachable!("the cache looks up by id")
    }
    fn balances_at(&self, _: AccountId, _: AsOf) -> Reading<'_, Option<BalancesAt>> {
        unreachable!("the cache looks up by id")
    }
    fn balance_history(
        &self,
        _: AccountId,
        _: TimeRange,
        _: PageQuery,
    ) -> Reading<'_, Slice<crate::graphql::HistoryRow>> {
        unreachable!("the cache looks up by id")
    }
    fn holds(&self, _: HoldQuery) -> Reading<'_, Slice<PaymentView>> {
        unreachable!("the cache looks up by id")
    }
    fn timed_out_holds(
        &self,
        _: Option<AccountId>,
        _: PageQuery,
    ) -> Reading<'_, Slice<TimedOutHold>> {
        unreachable!("the cache looks up by id")
    }
    fn totals(&self, _: TotalsQuery) -> Reading<'_, Vec<Total>> {
        unreachable!("the cache looks up by id")
    }
    fn conservation(&self) -> Reading<'_, Vec<LedgerConservation>> {
        unreachable!("the cache looks up by id")
    }
}

#[derive(Clone, Debug)]
enum Step {
    Refund(u64),
    ReadPayment(u64),
    ReadAccount(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (1..=PAYMENTS).prop_map(Step::Refund),
        3 => (1..=PAYMENTS + 1).prop_map(Step::ReadPayment),
        2 => (1..=3_u64).prop_map(Step::ReadAccount),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_reader_gets_what_the_store_has(
        steps in prop::collection::vec(step(), 1..80),
        silent in any::<bool>(),
    ) {
        let (_dir, mut sink, store) = opened();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
        let model: Arc<dyn ReadModel> = match silent {
            true => Arc::new(Silent(store.clone())),
            false => Arc::new(store.clone()),
        };
        let reader = Reader::new(model, 1_000);
        let mut reads = 0;
        for step in steps {
            match step {
                Step::Refund(original) => {
                    let seq = sink.next_seq().0;
                    sink.apply(&[paid(seq, 1_000 + seq, original, 1)]).expect("applies");
                }
                Step::ReadPayment(id) => {
                    let id = PaymentId(u128::from(id));
                    let found = runtime.block_on(reader.payment(id)).expect("reads");
                    let stored = store.payment(id).expect("reads");
                    prop_assert_eq!(found.as_deref(), stored.as_ref());
                    reads += 1;
                }
                Step::ReadAccount(id) => {
                    let id = AccountId(u128::from(id));
                    let found = runtime.block_on(reader.account(id)).expect("reads");
                    let stored = store.account(id).expect("reads");
                    prop_assert_eq!(found.as_deref(), stored.as_ref());
                    reads += 1;
                }
            }
        }
        let (hits, misses) = reader.cache.counts();
        prop_assert!(hits + misses >= reads);
    }
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let (_dir, mut sink, store) = opened();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
    let reader = Reader::new(Arc::new(store), 1_000);
    let read = |id: u128| runtime.block_on(reader.payment(PaymentId(id))).expect("reads");
    for (id, hits) in [(1, 0), (1, 1), (2, 1), (2, 2)] {
        assert!(read(id).is_some());
        assert_eq!(reader.cache.counts().0, hits, "payment {id}");
    }
    let seq = sink.next_seq().0;
    sink.apply(&[paid(seq, 1_000, 1, 1)]).expect("applies");
    for (id, hits) in [(2, 3), (1, 3), (1, 4)] {
        assert!(read(id).is_some());
        assert_eq!(reader.cache.counts().0, hits, "payment {id}, after a refund of 1");
    }
}

/// Every event refunds 1 of payment 1 and moves account 1: whoever sees the place knows how much
/// was refunded by then.
#[test]
fn no_reader_is_behind_the_place_that_it_saw() {
    let (_dir, mut sink, store) = opened();
    let base = sink.next_seq().0 - 1;
    let done = Arc::new(AtomicBool::new(false));
    let reader = Arc::new(Reader::new(Arc::new(store), 1_000));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, done) = (Arc::clone(&reader), Arc::clone(&done));
            thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().build().expect("starts");
                let mut reads = 0_u32;
                while !done.load(Ordering::Relaxed) || reads < 100 {
                    let place = reader.model.place().seq.0;
                    let payment = runtime.block_on(reader.payment(PaymentId(1))).expect("reads");
                    let state = payment.expect("is there").state.expect("has the id");
                    let refunded = state.amount - state.left;
                    assert!(refunded >= u128::from(place - base), "{refunded} at {place}");
                    let account = runtime.block_on(reader.account(AccountId(1))).expect("reads");
                    let posted = account.expect("is there").account.balances.credits_posted;
                    assert!(posted >= u128::from(place), "{posted} at {place}");
                    reads += 1;
                }
            })
        })
        .collect();
    for _ in 0..400 {
        let seq = sink.next_seq().0;
        sink.apply(&[paid(seq, 1_000 + seq, 1, 1)]).expect("applies");
    }
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().expect("no reader was behind"));
    assert!(reader.cache.counts().0 > 0, "some of it was cached");
}
