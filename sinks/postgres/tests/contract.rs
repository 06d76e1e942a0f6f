//! One contract, two stores: the embedded read model and the one in PostgreSQL are fed the same
//! random events, cut into applies in different ways, and must give the same answers, page by page
//! and in both directions. What can be added up must equal the ledger's.

mod common;

use std::fmt::Debug;

use common::{Dice, History, Size, history, payments_of, pieces};
use millrace_ledger::{
    AccountId, EventSeq, LedgerId, PaymentId, RejectReason, RiskDecision, Status, Timestamp,
};
use millrace_postgres::{PostgresConfig, PostgresSink, PostgresStore};
use millrace_services::{Postgres, required};
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink,
    graphql::{
        ReadError,
        model::{
            AccountPage, AsOf, CountAndSum, HoldQuery, Order, OutcomeKind, PageQuery, PaymentQuery,
            ReadModel, Slice, Stop, TimeRange, TotalsBy, TotalsQuery,
        },
    },
};

const OUTCOMES: [OutcomeKind; 4] =
    [OutcomeKind::Settled, OutcomeKind::Held, OutcomeKind::Voided, OutcomeKind::Rejected];

struct Both {
    embedded: ReadStore,
    postgres: PostgresStore,
}

#[test]
fn both_stores_answer_alike() {
    let Some(server) = required(Postgres::start()) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for seed in 1..=3 {
        let size = Size { accounts: 24, batches: 120, batch_payments: 12, step_s_max: 2_400 };
        let history = history(seed, size);
        let directory = tempfile::tempdir().expect("a temporary directory");
        // One transaction for each apply, and two that take turns over a few events each.
        let transaction_events = [usize::MAX, 5, 40][seed as usize - 1];
        let config = PostgresConfig { transaction_events, ..PostgresConfig::new(&server.url()) };
        let mut dice = Dice(seed ^ 0xf00d);
        reset(&server.url(), &runtime);

        let embedded = GraphqlSink::open(directory.path(), &GraphqlConfig::default());
        let (mut embedded_sink, embedded) = embedded.expect("opens");
        for piece in pieces(&history.batches, &mut dice) {
            embedded_sink.apply(piece).expect("applies");
        }
        let mut sink = PostgresSink::open(&config).expect("opens");
        for (number, piece) in pieces(&history.batches, &mut dice).into_iter().enumerate() {
            sink.apply(piece).expect("applies");
            if number % 7 == 3 {
                // What came is given again, and the process starts again.
                sink.apply(piece).expect("skips what it has");
                drop(sink);
                sink = PostgresSink::open(&config).expect("opens");
            }
        }
        assert_eq!(sink.next_seq(), embedded_sink.next_seq());

        let postgres = PostgresStore::open(&config, Some(&sink)).expect("is a url");
        let both = Both { embedded, postgres };
        runtime.block_on(async {
            both.answers_alike(&history, &mut dice).await;
            both.equals_the_ledger(&history).await;
        });
    }
}

/// Only an amount is asked for, which no index serves: pages stop early, go on where they stopped, and
/// together are the list of the other store.
#[test]
fn pages_by_amount_alone_stop_and_go_on() {
    let Some(server) = required(Postgres::start()) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let size = Size { accounts: 24, batches: 80, batch_payments: 12, step_s_max: 2_400 };
    let history = history(7, size);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = PostgresConfig { page_looks: 50, ..PostgresConfig::new(&server.url()) };
    let embedded = GraphqlSink::open(directory.path(), &GraphqlConfig::default());
    let (mut embedded_sink, embedded) = embedded.expect("opens");
    embedded_sink.apply(&history.batches).expect("applies");
    let mut sink = PostgresSink::open(&config).expect("opens");
    sink.apply(&history.batches).expect("applies");
    let postgres = PostgresStore::open(&config, Some(&sink)).expect("is a url");
    let everything = PaymentQuery::all(PageQuery::first(10_000));
    for (least, ledger) in [(45_000, None), (20_000, Some(LedgerId(203))), (u128::MAX, None)] {
        for (order, from_end) in
            [(Order::NewestFirst, false), (Order::NewestFirst, true), (Order::OldestFirst, false)]
        {
            let query =
                PaymentQuery { amount_min: Some(least), ledger, order, ..everything.clone() };
            let expected = embedded.payments(&query).expect("reads").items;
            let mut query = query;
            (query.page.limit, query.page.from_end) = (3, from_end);
            let (mut found, mut pages) = (Vec::new(), 0);
            loop {
                let slice = runtime.block_on(postgres.payments(query.clone())).expect("reads");
                pages += 1;
                let more = if from_end { slice.more_before } else { slice.more_after };
                let end = if from_end { slice.items.first() } else { slice.items.last() };
                let on = match slice.stopped_at {
                    Some(Stop::After(place) | Stop::Before(place)) => Some(EventSeq(place)),
                    None => end.map(|view| view.event.seq),
                };
                match from_end {
                    true => found.splice(0..0, slice.items).for_each(drop),
                    false => found.extend(slice.items),
                }
                if !more {
                    break;
                }
                let from = if from_end { &mut query.page.before } else { &mut query.page.after };
                *from = Some(on.expect("a place to go on from"));
            }
            assert_eq!(found, expected, "{query:?}");
            assert!(pages > 5, "{pages} pages of 50 positions");
        }
    }
}

fn reset(url: &str, runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
        tokio::spawn(connection);
        let dropped = client.batch_execute("DROP SCHEMA IF EXISTS millrace CASCADE").await;
        dropped.expect("drops the schema");
    });
}

/// Walks a list from both ends in both stores; every page must be the same.
macro_rules! walk {
    ($both:expr, $what:expr, $seq:expr, |$model:ident, $page:ident| $ask:expr) => {{
        for (limit, from_end) in [(1_000, false), (7, false), (7, true)] {
            let mut page = PageQuery { after: None, before: None, limit, from_end };
            // Small pages of long lists are walked for a while only.
            for _ in 0..12 {
                let $page = page;
                let $model: &dyn ReadModel = &$both.embedded;
                let expected: Result<Slice<_>, ReadError> = $ask.await;
                let $model: &dyn ReadModel = &$both.postgres;
                let found = $ask.await;
                let (expected, found) = same(&$what, &page, expected, found);
                assert_eq!(expected, found, "{:?}: {page:?}", $what);
                let seq = $seq;
                let (more, end) = match from_end {
                    true => (found.more_before, found.items.first()),
                    false => (found.more_after, found.items.last()),
                };
                let Some(end) = end.filter(|_| more).map(seq) else { break };
                match from_end {
                    true => page.before = Some(end),
                    false => page.after = Some(end),
                }
            }
        }
    }};
}

/// Both answers, which must be no errors.
fn same<T: Debug>(
    what: &impl Debug,
    page: &impl Debug,
    expected: Result<T, ReadError>,
    found: Result<T, ReadError>,
) -> (T, T) {
    match (expected, found) {
        (Ok(expected), Ok(found)) => (expected, found),
        (expected, found) => panic!("{what:?}, {page:?}: {expected:?} and {found:?}"),
    }
}

impl Both {
    async fn answers_alike(&self, history: &History, dice: &mut Dice) {
        self.single_rows(history).await;
        self.lists_of_payments(history, dice).await;
        self.lists_of_accounts(history, dice).await;
        self.totals(history, dice).await;
    }

    async fn single_rows(&self, history: &History) {
        let (embedded, postgres) = (&self.embedded, &self.postgres);
        let expected = ReadModel::applied(embedded).await.expect("reads");
        assert_eq!(postgres.applied().await.expect("reads"), expected);
        assert_eq!(postgres.place(), expected);

        let mut ids = history.ids.clone();
        ids.extend([PaymentId(1), PaymentId::ZERO, PaymentId(u128::MAX)]);
        let expected = embedded.payments_by_id(ids.clone()).await.expect("reads");
        let found = postgres.payments_by_id(ids.clone()).await.expect("reads");
        assert!(expected.iter().flatten().count() > 100, "there are payments");
        for (number, ((id, expected), found)) in ids.iter().zip(expected).zip(found).enumerate() {
            assert_eq!(found, expected, "payment {id}");
            if number % 10 == 0 {
                let alone = postgres.payments_by_id(vec![*id]).await.expect("reads");
                assert_eq!(alone, [expected], "payment {id}, asked for alone");
            }
        }
        let mut ids = history.accounts.clone();
        ids.push(AccountId(77));
        let expected = embedded.accounts_by_id(ids.clone()).await.expect("reads");
        assert_eq!(postgres.accounts_by_id(ids).await.expect("reads"), expected);
        let expected = ReadModel::conservation(embedded).await.expect("reads");
        assert_eq!(postgres.conservation().await.expect("reads"), expected);
    }

    /// A reference with a NUL is left out: no text of PostgreSQL holds one, so that a payment which
    /// has it is found by all but its reference.
    async fn lists_of_payments(&self, history: &History, dice: &mut Dice) {
        let all = PaymentQuery::all(PageQuery::first(1));
        let mut queries = vec![all.clone()];
        let accounts = history.accounts.iter().copied().chain([AccountId(8), AccountId(77)]);
        queries.extend(accounts.map(|id| PaymentQuery { account: Some(id), ..all.clone() }));
        let references = history.references.iter().cloned().chain(["no".into()]);
        queries
            .extend(references.map(|text| PaymentQuery { reference: Some(text), ..all.clone() }));
        queries.extend(OUTCOMES.map(|status| PaymentQuery { status: Some(status), ..all.clone() }));
        for reason in RejectReason::ALL {
            queries.push(PaymentQuery { reject_reason: Some(*reason), ..all.clone() });
        }
        for number in 0..=4 {
            let risk_decision = RiskDecision::from_number(number);
            queries.push(PaymentQuery { risk_decision, ..all.clone() });
        }
        for ledger in [203, 392, 978, 4_000_000_000, 1] {
            queries.push(PaymentQuery { ledger: Some(LedgerId(ledger)), ..all.clone() });
        }
        queries.extend((0..120).map(|_| random_query(history, dice)));
        for (number, query) in queries.into_iter().enumerate() {
            let order = if number % 2 == 0 { Order::NewestFirst } else { Order::OldestFirst };
            let query = PaymentQuery { order, ..query };
            walk!(
                self,
                query,
                |view: &millrace_sinks::graphql::PaymentView| view.event.seq,
                |model, page| model.payments(PaymentQuery { page, ..query.clone() })
            );
        }
        let originals: Vec<_> =
            payments_of(history).iter().map(|event| event.payment.original).collect();
        for _ in 0..60 {
            let original = dice.pick(&originals);
            walk!(
                self,
                original,
                |view: &millrace_sinks::graphql::PaymentView| view.event.seq,
                |model, page| model.refunds(original, page)
            );
        }
    }

    async fn lists_of_accounts(&self, history: &History, dice: &mut Dice) {
        for from_end in [false, true] {
            let mut page = AccountPage { after: None, before: None, limit: 5, from_end };
            loop {
                let expected = ReadModel::accounts(&self.embedded, page).await;
                let found = self.postgres.accounts(page).await;
                let (expected, found) = same(&"accounts", &page, expected, found);
                assert_eq!(found, expected, "{page:?}");
                let id = |view: &millrace_sinks::graphql::AccountView| view.account.spec.id;
                let more = if from_end { found.more_before } else { found.more_after };
                match from_end {
                    true => page.before = found.items.first().map(id),
                    false => page.after = found.items.last().map(id),
                }
                if !more {
                    break;
                }
            }
        }
        let last = self.postgres.place().seq.0;
        let accounts =
            history.accounts.iter().copied().map(Some).chain([Some(AccountId(77)), None]);
        for account in accounts {
            for order in [Order::NewestFirst, Order::OldestFirst] {
                walk!(
                    self,
                    (account, order),
                    |view: &millrace_sinks::graphql::PaymentView| view.event.seq,
                    |model, page| model.holds(HoldQuery { page, order, account })
                );
            }
            walk!(
                self,
                account,
                |hold: &millrace_sinks::graphql::TimedOutHold| hold.seq,
                |model, page| model.timed_out_holds(account, page)
            );
            let Some(account) = account else { continue };
            for _ in 0..4 {
                let range = random_range(history, dice);
                walk!(
                    self,
                    (account, range),
                    |row: &millrace_sinks::graphql::HistoryRow| row.seq,
                    |model, page| model.balance_history(account, range, page)
                );
            }
            for _ in 0..30 {
                let at = match dice.one_in(2) {
                    true => AsOf::Seq(EventSeq(dice.roll() % (last + 20))),
                    false => AsOf::Time(random_time(history, dice)),
                };
                let expected = ReadModel::balances_at(&self.embedded, account, at).await;
                let found = self.postgres.balances_at(account, at).await;
                let (expected, found) = same(&account, &at, expected, found);
                assert_eq!(found, expected, "{account} at {at:?}");
            }
        }
    }

    async fn totals(&self, history: &History, dice: &mut Dice) {
        for by in [TotalsBy::Hour, TotalsBy::Day, TotalsBy::Ledger] {
            for ledger in [None, Some(203), Some(978), Some(1)] {
                for number in 0..6 {
                    let range = match number {
                        0 => TimeRange::default(),
                        _ => random_range(history, dice),
                    };
                    let query = TotalsQuery { ledger: ledger.map(LedgerId), by, range };
                    let expected = ReadModel::totals(&self.embedded, query).await;
                    let found = self.postgres.totals(query).await;
                    let (expected, found) = same(&query, &(), expected, found);
                    assert_eq!(found, expected, "{query:?}");
                }
            }
        }
    }

    /// What the ledger itself says.
    async fn equals_the_ledger(&self, history: &History) {
        let ledger = &history.ledger;
        for account in ledger.accounts() {
            let found = self.postgres.accounts_by_id(vec![account.spec.id]).await.expect("reads");
            let found = found[0].as_ref().expect("is open").account;
            assert_eq!(found, account);
        }
        for sums in self.postgres.conservation().await.expect("reads") {
            assert!(sums.holds(), "{sums:?}");
            assert_eq!(Some(&sums.sums), ledger.sums().get(&sums.ledger));
        }
        let query = TotalsQuery { ledger: None, by: TotalsBy::Ledger, range: TimeRange::default() };
        for total in self.postgres.totals(query).await.expect("reads") {
            let of_status = |wanted: fn(Status) -> bool| {
                let events = payments_of(history).into_iter().filter(|event| {
                    event.payment.ledger == total.ledger && wanted(event.outcome.status)
                });
                events.fold(CountAndSum::default(), |mut sum, event| {
                    sum.count += 1;
                    sum.minor += event.outcome.amount.0;
                    sum
                })
            };
            assert_eq!(total.settled, of_status(|status| status == Status::Settled));
            assert_eq!(total.held, of_status(|status| status == Status::Held));
            assert_eq!(total.voided, of_status(|status| status == Status::Voided));
            assert_eq!(total.rejected, of_status(|status| matches!(status, Status::Rejected(_))));
        }
    }
}

fn random_time(history: &History, dice: &mut Dice) -> Timestamp {
    let batch = &history.batches[dice.below(history.batches.len())];
    // The time of a batch, a nanosecond off, or somewhere near.
    let off = dice.pick(&[0_i64, 1, -1, 1_000_000_007, -40_000_000_000]);
    Timestamp(batch.time.0.saturating_add_signed(off))
}

fn random_range(history: &History, dice: &mut Dice) -> TimeRange {
    let mut bound = || (!dice.one_in(3)).then(|| random_time(history, dice));
    TimeRange { from: bound(), to: bound() }
}

fn random_query(history: &History, dice: &mut Dice) -> PaymentQuery {
    let range = random_range(history, dice);
    let mut query = PaymentQuery::all(PageQuery::first(1));
    query.from_time = range.from.filter(|_| dice.one_in(2));
    query.to_time = range.to.filter(|_| dice.one_in(2));
    query.account = dice.one_in(3).then(|| dice.pick(&history.accounts));
    query.reference = dice.one_in(4).then(|| dice.pick(&history.references));
    query.status = dice.one_in(3).then(|| dice.pick(&OUTCOMES));
    query.ledger = dice.one_in(4).then(|| LedgerId(dice.pick(&[203, 392, 978])));
    query.amount_min = dice.one_in(4).then(|| dice.roll() as u128 % 30_000);
    query.amount_max = dice.one_in(4).then(|| dice.roll() as u128 % 50_000);
    query.risk_decision =
        dice.one_in(5).then(|| dice.pick(&[RiskDecision::Approve, RiskDecision::Review]));
    query
}
