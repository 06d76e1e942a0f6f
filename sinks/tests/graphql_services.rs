//! Notifications and the audit log over GraphQL: what owners were told and can do about it, and
//! entries that a client can prove.

mod common;
#[path = "common/server.rs"]
mod server;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::bank;
use futures_util::{SinkExt as _, StreamExt as _, future::BoxFuture};
use millrace_ledger::PaymentId;
use millrace_sinks::{
    AuditConfig, AuditSink, GraphqlConfig, NotifyConfig, NotifyService, Sink as _,
    audit::AuditReader,
    graphql::{ActError, Acts, NotificationAct, Services},
    notify::{Channel, EventKind, FileConfig, InboxQuery, RuleConfig, StateKind},
};
use serde_json::{Value, json};
use server::Server;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

const OWNER_1: &str = "00000000-0000-0000-0000-000000000abc";
const PAYMENT_1: &str = "01930000-0000-7000-8000-000000000001";

/// A server whose owners were told of the bank's events.
async fn telling() -> (Server, Box<dyn millrace_sinks::Sink>, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let service = NotifyService::open(dir.path(), &NotifyConfig::default()).expect("opens");
    let mut sink = service.sink;
    sink.apply(&bank().batches(4)).expect("applies");
    let config = GraphqlConfig::default();
    let complete = |services: &mut Services| services.inbox = service.inbox;
    (Server::start_with(&bank(), &config, complete).await, sink, dir)
}

#[tokio::test]
async fn owners_see_what_they_were_told_and_mark_it() {
    let (server, _sink, _dir) = telling().await;
    let query = format!(
        "{{ notifications(filter: {{ owner: \"{OWNER_1}\" }}, first: 2) {{ nodes {{ id seq kind \
           ownerId channel state stateReason subject read payment {{ seq }} }} \
           pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let page = server.answer(&query).await["notifications"].clone();
    let newest = &page["nodes"][0];
    assert_eq!((&newest["seq"], &newest["kind"]), (&json!("22"), &json!("SETTLED")));
    assert_eq!((&newest["state"], &newest["channel"]), (&json!("DELIVERED"), &json!("IN_APP")));
    assert_eq!(newest["payment"]["seq"], "22");
    assert_eq!(newest["subject"], "You paid 0.02 CZK");
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let id = newest["id"].as_str().expect("text");
    let unread = "{ notifications(filter: { unreadOnly: true }, first: 1) { nodes { id } } }";
    assert_eq!(server.answer(unread).await["notifications"]["nodes"][0]["id"], id);
    let mark = format!("mutation {{ markNotificationRead(id: \"{id}\") {{ read }} }}");
    let read = server.answer(&mark).await["markNotificationRead"]["read"].clone();
    assert!(read.is_string());
    assert_eq!(server.answer(&mark).await["markNotificationRead"]["read"], read, "the first time");
    assert_ne!(server.answer(unread).await["notifications"]["nodes"][0]["id"], id);
    let missing = "mutation { markNotificationRead(id: \"9999\") { id } }";
    assert_eq!(server.error(missing).await.0, "NOT_FOUND");
    let of_payment = format!(
        "{{ payment(id: \"{PAYMENT_1}\") {{ notifications {{ nodes {{ kind seq }} }} }} }}"
    );
    let told = server.answer(&of_payment).await["payment"]["notifications"]["nodes"].clone();
    assert!(told.as_array().is_some_and(|told| !told.is_empty()), "{told}");
    let next =
        query.replace("first: 2", &format!("first: 2, after: {}", page["pageInfo"]["endCursor"]));
    let next = server.answer(&next).await["notifications"]["nodes"].clone();
    assert_eq!(next[0]["seq"], "17", "18 to 20 are nothing to be told");
}

#[tokio::test]
async fn owners_say_what_they_want() {
    let (server, _sink, _dir) = telling().await;
    let set = |wanted: &str| {
        format!(
            "mutation {{ setNotificationPreferences(ownerId: \"{OWNER_1}\", \
               preferences: {wanted}) {{ locale timeZone muted {{ kind channel }} \
               quietHours {{ from to }} digestSeconds minimum {{ ledger amount {{ amount }} }} }} }}"
        )
    };
    let wanted = "{ locale: \"cs\", timeZone: \"Europe/Prague\", digestSeconds: 3600, \
                    muted: [{ kind: SETTLED, channel: SMS }], \
                    quietHours: { from: \"22:00\", to: \"07:00\" }, \
                    minimum: [{ ledger: 203, minor: \"10000\" }] }";
    let kept = json!({
        "locale": "cs", "timeZone": "Europe/Prague", "digestSeconds": 3600,
        "muted": [{ "kind": "SETTLED", "channel": "SMS" }],
        "quietHours": { "from": "22:00", "to": "07:00" },
        "minimum": [{ "ledger": 203, "amount": { "amount": "100.00" } }],
    });
    assert_eq!(server.answer(&set(wanted)).await["setNotificationPreferences"], kept);
    let asked = format!("{{ notificationPreferences(ownerId: \"{OWNER_1}\") {{ locale }} }}");
    assert_eq!(server.answer(&asked).await["notificationPreferences"]["locale"], "cs");
    for (wrong, said) in [
        ("{ timeZone: \"Mars/Base\" }", "no time zone"),
        ("{ quietHours: { from: \"25:00\", to: \"07:00\" } }", "a time such as 22:00"),
        ("{ minimum: [{ ledger: 203, minor: \"1.5\" }] }", "a count of minor units"),
    ] {
        let (code, message) = server.error(&set(wrong)).await;
        assert_eq!(code, "ARGUMENT_MALFORMED", "{wrong}");
        assert!(message.contains(said), "{message}");
    }
}

/// Journals what it is told to, or can't; and remembers it.
#[derive(Default)]
struct Journal {
    acts: Mutex<Vec<String>>,
    is_away: AtomicBool,
}

impl Acts for Journal {
    fn resolve_review(
        &self,
        _: PaymentId,
        _: bool,
        _: String,
        _: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        unreachable!("there is no review here")
    }

    fn record(
        &self,
        act: NotificationAct,
        actor: String,
        why: String,
    ) -> BoxFuture<'_, Result<(), ActError>> {
        let away = || Err(ActError::Unavailable("the engine is away".to_owned()));
        let done = if self.is_away.load(Ordering::Acquire) { away() } else { Ok(()) };
        if done.is_ok() {
            self.acts.lock().expect("no panics").push(format!("{actor}: {why}: {act:?}"));
        }
        Box::pin(async move { done })
    }
}

/// What is done to the notifications of others is journaled first, or not done.
#[tokio::test]
async fn who_resends_or_sets_preferences_for_others_is_journaled_first() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let channels = vec![Channel::InApp, Channel::File];
    let rule = RuleConfig { channels, ..RuleConfig::any(EventKind::Settled) };
    let file = FileConfig { enabled: true, ..FileConfig::default() };
    let settings = NotifyConfig { rules: vec![rule], file, ..NotifyConfig::default() };
    let service = NotifyService::open(dir.path(), &settings).expect("opens");
    let mut sink = service.sink;
    sink.apply(&bank().batches(4)).expect("applies");
    let inbox = service.inbox.expect("is kept");
    let of_state = |state| InboxQuery { state: Some(state), ..InboxQuery::default() };
    let waiting = inbox.list(of_state(StateKind::Pending), None, 1).expect("lists").remove(0);
    let dispatcher = service.dispatcher.expect("delivers").start().expect("starts");
    let given_up = Instant::now() + Duration::from_secs(120);
    // Written, or not, because it happened too long ago: either is an end.
    let written = loop {
        let written = inbox.get(waiting.id).expect("reads").expect("is there");
        if !written.state.is_open() {
            break written;
        }
        assert!(Instant::now() < given_up, "{written:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // Whatever is to be sent from here on waits.
    dispatcher.stop();
    tokio::task::spawn_blocking(move || dispatcher.join()).await.expect("ends");
    let journal = Arc::new(Journal::default());
    let acts: Arc<dyn Acts> = Arc::clone(&journal) as _;
    let complete = |services: &mut Services| {
        (services.inbox, services.acts) = (Some(inbox.clone()), Some(acts));
    };
    let server = Server::start_with(&bank(), &GraphqlConfig::default(), complete).await;
    let journaled = || journal.acts.lock().expect("no panics").clone();

    let signed = "actor: \"ann\", why: \"the owner called\"";
    let set = |more: &str| {
        format!(
            "mutation {{ setNotificationPreferences(ownerId: \"{OWNER_1}\", \
               preferences: {{ locale: \"cs\" }}{more}) {{ locale }} }}"
        )
    };
    server.answer(&set("")).await;
    assert_eq!(journaled(), [""; 0], "owners set their own");
    server.answer(&set(&format!(", {signed}"))).await;
    let expected = "ann: the owner called: SetPreferences { owner: 2748 }";
    assert_eq!(journaled(), [expected]);
    let half = server.error(&set(", actor: \"ann\"")).await;
    assert_eq!(half.0, "ARGUMENT_MALFORMED");
    assert!(half.1.contains("why is"), "{half:?}");

    let resend = |id: u64| {
        format!("mutation {{ resendNotification(id: \"{id}\", {signed}) {{ id state }} }}")
    };
    let state = || inbox.get(written.id).expect("reads").expect("is there").state.kind();
    journal.is_away.store(true, Ordering::Release);
    assert_eq!(server.error(&resend(written.id)).await.0, "UNAVAILABLE");
    assert_eq!((journaled().len(), state()), (1, written.state.kind()), "no act, no deed");
    journal.is_away.store(false, Ordering::Release);
    let told = server.answer(&resend(written.id)).await["resendNotification"].clone();
    assert_eq!(told, json!({ "id": written.id.to_string(), "state": "PENDING" }));
    let act = journaled().pop().expect("is journaled");
    let expected = format!("ann: the owner called: Resend {{ notification: {}", written.id);
    assert!(act.starts_with(&expected), "{act}");
    // It waits now; and what is in the inbox is there.
    let in_app = inbox.list(InboxQuery::default(), None, 100).expect("lists").into_iter();
    let in_app = in_app.filter(|told| told.channel == Channel::InApp).map(|told| told.id).next();
    for of_nothing in [written.id, in_app.expect("there is one")] {
        let told = server.answer(&resend(of_nothing)).await["resendNotification"].clone();
        assert_eq!(told["id"], of_nothing.to_string());
    }
    assert_eq!(journaled().len(), 2, "nothing is sent again, so there is no act");
    assert_eq!(server.error(&resend(9_999)).await.0, "NOT_FOUND");
}

#[tokio::test]
async fn notifications_come_as_they_are_made() {
    let (server, mut sink, _dir) = telling().await;
    let mut request =
        format!("ws://{}/graphql", server.address).into_client_request().expect("is a URL");
    let protocol = "graphql-transport-ws".parse().expect("text");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = connect_async(request).await.expect("connects");
    let query = format!(
        "subscription {{ notifications(owner: \"{OWNER_1}\", fromId: \"1\") {{ id seq }} }}"
    );
    for message in [
        json!({ "type": "connection_init" }),
        json!({ "id": "1", "type": "subscribe", "payload": { "query": query } }),
    ] {
        socket.send(Message::text(message.to_string())).await.expect("sends");
    }
    let mut history = bank();
    history.pay(50, 1, 2, 700);
    let mut seqs = Vec::new();
    while seqs.last().is_none_or(|seq| seq != "23") {
        let message = socket.next().await.expect("is open").expect("receives");
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).expect("JSON");
        let told = &message["payload"]["data"]["notifications"];
        let Some(seq) = told["seq"].as_str() else { continue };
        seqs.push(seq.to_owned());
        if seq == "22" {
            sink.apply(&history.batches(4)).expect("applies");
        }
    }
    assert!(seqs.len() > 5, "{seqs:?}");
    assert!(seqs.is_sorted_by_key(|seq| seq.parse::<u64>().expect("a number")), "{seqs:?}");
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_vec()
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("text");
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// RFC 9162, section 2.1.3.2: from the leaf and the path to the root.
fn root_of(proof: &Value) -> Vec<u8> {
    let number = |field: &str| proof[field].as_str().and_then(|text| text.parse::<u64>().ok());
    let mut at = number("index").expect("a number");
    let mut last = number("treeSize").expect("a number") - 1;
    let mut root = unhex(&proof["leafHash"]);
    for hash in proof["hashes"].as_array().expect("a list").iter().map(unhex) {
        if at % 2 == 1 || at == last {
            root = sha256(&[b"\x01", &hash, &root]);
            while at % 2 == 0 && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            root = sha256(&[b"\x01", &root, &hash]);
        }
        (at, last) = (at / 2, last / 2);
    }
    root
}

#[tokio::test]
async fn a_client_proves_what_the_log_says_of_a_payment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = AuditConfig { checkpoint_interval_ms: 0, ..AuditConfig::default() };
    let mut sink = AuditSink::open(dir.path(), &config).expect("opens");
    sink.apply(&bank().batches(4)).expect("applies");
    let reader = AuditReader::open(dir.path()).expect("opens");
    let config = GraphqlConfig::default();
    let complete = |services: &mut Services| services.audit = Some(reader);
    let server = Server::start_with(&bank(), &config, complete).await;
    let head = server.answer("{ auditCheckpoint { treeSize rootHash signature keyId } }").await;
    let head = &head["auditCheckpoint"];
    assert_eq!(head["treeSize"], "22");
    let query = format!(
        "{{ payment(id: \"{PAYMENT_1}\") {{ auditEntries {{ nodes {{ index seq kind line paymentId \
           proof {{ index treeSize leafHash hashes rootHash }} }} }} }} }}"
    );
    let entries = server.answer(&query).await["payment"]["auditEntries"]["nodes"].clone();
    let entries = entries.as_array().expect("a list");
    let seqs: Vec<_> = entries.iter().map(|entry| entry["seq"].as_str().expect("text")).collect();
    assert!(seqs.contains(&"3") && seqs.contains(&"11"), "itself and its refund: {seqs:?}");
    for entry in entries {
        let proof = &entry["proof"];
        let line = entry["line"].as_str().expect("text");
        assert_eq!(unhex(&proof["leafHash"]), sha256(&[b"\x00", line.as_bytes()]));
        assert_eq!(root_of(proof), unhex(&head["rootHash"]), "{proof}");
    }
    let grew = "{ auditConsistency(from: \"5\", to: \"22\") { toRoot fromRoot hashes } }";
    let grew = server.answer(grew).await["auditConsistency"].clone();
    assert_eq!(grew["toRoot"], head["rootHash"]);
    let too_far = "{ auditConsistency(from: \"5\", to: \"99\") { toRoot } }";
    assert_eq!(server.error(too_far).await.0, "AUDIT_NO_PROOF");
    let page = "{ auditEntries(first: 3) { nodes { seq } pageInfo { hasNextPage endCursor } } }";
    let page = server.answer(page).await["auditEntries"].clone();
    assert_eq!(page["nodes"], json!([{ "seq": "22" }, { "seq": "21" }, { "seq": "20" }]));
    let entry = "{ auditEntry(index: \"0\") { seq kind } }";
    let entry = server.answer(entry).await["auditEntry"].clone();
    assert_eq!(entry, json!({ "seq": "1", "kind": "ACCOUNT" }));
}
