//! Pages of reviews, notifications and audit entries over GraphQL, compared with cuts of the whole
//! list: any number, from either end, between any two cursors; and walks while the lists change.

mod common;
#[path = "common/server.rs"]
mod server;

use common::{History, bank};
use millrace_ledger::RiskDecision;
use millrace_sinks::{
    AuditConfig, AuditSink, GraphqlConfig, NotifyConfig, NotifyService, ReviewsConfig, ReviewsSink,
    Sink,
    audit::AuditReader,
    graphql::{LimitsConfig, Services},
};
use proptest::prelude::*;
use serde_json::Value;
use server::Server;
use tempfile::TempDir;

/// A server with all services, and the sinks that feed them.
struct Bank {
    server: Server,
    sinks: Vec<Box<dyn Sink>>,
    _dir: TempDir,
}

impl Bank {
    async fn open(history: &History) -> Self {
        Self::with(history, LimitsConfig::default()).await
    }

    async fn with(history: &History, limits: LimitsConfig) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name| dir.path().join(name);
        let audit = AuditConfig { checkpoint_interval_ms: 0, ..AuditConfig::default() };
        let audit = AuditSink::open(&path("audit"), &audit).expect("opens");
        let (reviews, desk) =
            ReviewsSink::open(&path("reviews"), &ReviewsConfig::default()).expect("opens");
        let told = NotifyService::open(&path("notify"), &NotifyConfig::default()).expect("opens");
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(audit), Box::new(reviews), told.sink];
        apply(&mut sinks, history);
        let reader = AuditReader::open(&path("audit")).expect("opens");
        let config = GraphqlConfig { limits, ..GraphqlConfig::default() };
        let complete = |services: &mut Services| {
            services.audit = Some(reader);
            services.reviews = Some(desk);
            services.inbox = told.inbox;
        };
        Self { server: Server::start_with(history, &config, complete).await, sinks, _dir: dir }
    }

    fn apply(&mut self, history: &History) {
        apply(&mut self.sinks, history);
    }

    /// A page of a list: its keys and cursors, and whether there is more at either end.
    async fn page(&self, list: &List, arguments: &str) -> Page {
        let List { field, filter, key } = list;
        let query = format!(
            "{{ {field}({filter} {arguments}) {{ edges {{ cursor node {{ {key} }} }} \
               pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }} }}"
        );
        let page = self.server.answer(&query).await[*field].clone();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let edges = page["edges"].as_array().expect("a list");
        let ends = &page["pageInfo"];
        let cursors: Vec<_> = edges.iter().map(|edge| text(&edge["cursor"])).collect();
        assert_eq!(ends["startCursor"].as_str(), cursors.first().map(String::as_str));
        assert_eq!(ends["endCursor"].as_str(), cursors.last().map(String::as_str));
        Page {
            keys: edges.iter().map(|edge| text(&edge["node"][*key])).collect(),
            cursors,
            more: [&ends["hasPreviousPage"], &ends["hasNextPage"]]
                .map(|more| more.as_bool().expect("yes or no")),
        }
    }
}

/// Each sink passes over what it has.
fn apply(sinks: &mut [Box<dyn Sink>], history: &History) {
    for sink in sinks {
        sink.apply(&history.batches(4)).expect("applies");
    }
}

/// A field of the query, and what names its nodes.
struct List {
    field: &'static str,
    filter: &'static str,
    key: &'static str,
}

#[derive(Debug, PartialEq)]
struct Page {
    keys: Vec<String>,
    cursors: Vec<String>,
    more: [bool; 2],
}

const REVIEWS: List = List { field: "reviews", filter: "kind: REVIEW,", key: "seq" };
const NOTIFICATIONS: List = List { field: "notifications", filter: "filter: {},", key: "id" };

fn lists() -> [List; 6] {
    let list = |field, filter, key| List { field, filter, key };
    [
        REVIEWS,
        list("reviews", "claimedBy: \"ana\",", "seq"),
        NOTIFICATIONS,
        list("notifications", "filter: { owner: \"00000000-0000-0000-0000-000000000abc\" },", "id"),
        list("auditEntries", "filter: {},", "index"),
        list("auditEntries", "filter: { actor: \"ana\" },", "index"),
    ]
}

fn busy() -> History {
    let mut history = bank();
    for id in 50..65 {
        history.hold_by_risk(id, 5_000, RiskDecision::Review);
        if id % 2 == 0 {
            history.claim(id, "ana");
        }
    }
    history
}

/// What a page asks for: a number from an end, between two places of the list.
#[derive(Clone, Debug)]
struct Asked {
    list: usize,
    limit: usize,
    from_end: bool,
    after: Option<usize>,
    before: Option<usize>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let place = || prop::option::of(0_usize..30);
    let all = (0_usize..6, 1_usize..6, any::<bool>(), place(), place());
    all.prop_map(|(list, limit, from_end, after, before)| Asked {
        list,
        limit,
        from_end,
        after,
        before,
    })
}

/// The first and the last place of the page, which is not in it.
fn cut(len: usize, asked: &Asked) -> (usize, usize) {
    let start = asked.after.map_or(0, |after| after + 1);
    let end = asked.before.unwrap_or(len);
    match (start < end, asked.from_end) {
        (true, false) => (start, end.min(start + asked.limit)),
        (true, true) => (start.max(end.saturating_sub(asked.limit)), end),
        (false, _) => (start, end),
    }
}

#[test]
fn every_page_is_a_cut_of_the_list() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let history = busy();
    let bank = runtime.block_on(Bank::open(&history));
    let lists = lists();
    let whole = lists.each_ref().map(|list| runtime.block_on(bank.page(list, "first: 200")));
    for (page, list) in whole.iter().zip(&lists) {
        assert!(page.keys.len() > 6, "{}({}) has too few", list.field, list.filter);
        assert_eq!(page.more, [false, false], "it is the whole list");
        let numbers = page.keys.iter().map(|key| key.parse::<u64>().expect("a number"));
        let numbers: Vec<_> = numbers.collect();
        match list.field {
            "reviews" => assert!(numbers.is_sorted(), "oldest first"),
            _ => assert!(numbers.is_sorted_by(|a, b| a > b), "newest first"),
        }
    }
    assert_eq!(whole[0].keys.len(), 16, "one of the bank's, and all that risk held since");
    assert_eq!(whole[4].keys.len(), history.events.len(), "an entry for each event");
    assert_eq!(whole[5].keys.len(), 8, "one for each claim");
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    proptest!(config, |(asked in asked())| {
        let (list, whole) = (&lists[asked.list], &whole[asked.list]);
        let len = whole.keys.len();
        let within = |place: Option<usize>| place.filter(|place| *place < len);
        let asked = Asked { after: within(asked.after), before: within(asked.before), ..asked };
        let number = if asked.from_end { "last" } else { "first" };
        let mut arguments = format!("{number}: {}", asked.limit);
        for (name, place) in [("after", asked.after), ("before", asked.before)] {
            if let Some(place) = place {
                arguments += &format!(", {name}: \"{}\"", whole.cursors[place]);
            }
        }
        let found = runtime.block_on(bank.page(list, &arguments));
        let (start, end) = cut(len, &asked);
        let expected = whole.keys.get(start..end).unwrap_or_default();
        prop_assert_eq!(&found.keys, expected);
        prop_assert_eq!(found.more, [start > 0, end < len], "{:?}", asked);
    });
}

/// Somebody pages backwards and forwards while new ones are told: nothing is shown twice, nothing is
/// left out, and the new ones are before the first page.
#[tokio::test]
async fn notifications_stay_in_place_while_new_ones_are_told() {
    let mut history = busy();
    let mut bank = Bank::open(&history).await;
    let whole = bank.page(&NOTIFICATIONS, "first: 200").await;
    let first = bank.page(&NOTIFICATIONS, "first: 3").await;
    let (mut walked, mut at) = (first.keys.clone(), first.cursors[2].clone());
    let mut id = 100;
    loop {
        history.pay(id, 1, 2, 700);
        id += 1;
        bank.apply(&history);
        let page = bank.page(&NOTIFICATIONS, &format!("first: 3, after: \"{at}\"")).await;
        assert!(page.more[0], "what was shown is before it");
        walked.extend(page.keys);
        if !page.more[1] {
            break;
        }
        at.clone_from(page.cursors.last().expect("there is more"));
    }
    assert_eq!(walked, whole.keys);
    let since = format!("last: 200, before: \"{}\"", first.cursors[0]);
    let since = bank.page(&NOTIFICATIONS, &since).await;
    assert_eq!(since.more, [false, true]);
    let now = bank.page(&NOTIFICATIONS, "first: 200").await;
    assert_eq!([since.keys, walked].concat(), now.keys);
}

/// Reviews leave the list when they are resolved, also the one that a cursor names.
#[tokio::test]
async fn a_cursor_outlives_the_review_that_it_names() {
    let mut history = busy();
    let mut bank = Bank::open(&history).await;
    let whole = bank.page(&REVIEWS, "first: 200").await;
    let first = bank.page(&REVIEWS, "first: 2").await;
    let after = format!("first: 2, after: \"{}\"", first.cursors[1]);
    assert_eq!(bank.page(&REVIEWS, &after).await.keys, whole.keys[2..4]);
    // The two that stood there, the one that the cursor names among them.
    history.capture(200, 9, (1, 2), 77_700, true);
    history.void(201, 50, (1, 2), 5_000);
    bank.apply(&history);
    let page = bank.page(&REVIEWS, &after).await;
    assert_eq!((page.keys, page.more), (whole.keys[2..4].to_vec(), [false, true]));
    assert_eq!(bank.page(&REVIEWS, "first: 200").await.keys, whole.keys[2..]);
}

/// What finds nothing for long comes back, with a cursor to go on from.
#[tokio::test]
async fn an_amount_that_nobody_paid_ends_in_bounded_pages() {
    let mut history = bank();
    for id in 100..500 {
        history.pay(id, 1, 2, 100);
    }
    history.pay(500, 1, 2, 123_456);
    for id in 501..700 {
        history.pay(id, 1, 2, 100);
    }
    let limits = LimitsConfig { page_looks: 100, ..LimitsConfig::default() };
    let bank = Bank::with(&history, limits).await;
    let ask = |after: Option<String>| {
        let after = after.map_or_else(String::new, |after| format!(", after: {after:?}"));
        format!(
            "{{ payments(filter: {{ amountMin: \"123000\", amountMax: \"200000\" }}, first: 5{after}) {{ \
               nodes {{ amount {{ minor }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
        )
    };
    let (mut after, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = bank.server.answer(&ask(after)).await["payments"].clone();
        pages += 1;
        found.extend(page["nodes"].as_array().expect("a list").clone());
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = Some(page["pageInfo"]["endCursor"].as_str().expect("a cursor").to_owned());
    }
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["amount"]["minor"], "123456");
    assert!(pages >= 6, "{pages} pages of 100 looks each");
}
