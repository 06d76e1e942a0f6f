//! Servers that ask who is there, and over TLS: each way in is let in and streams, and each that is
//! wrong is told what to do.

#[path = "common/authority.rs"]
mod authority;
mod common;
#[path = "common/operator.rs"]
mod operator;

use std::{fs, path::PathBuf, sync::Arc};

use authority::Authority;
use common::{Bank, Keeper, Kept, assert_same, config, eventually, until_published};
use millrace_services::{Nats, NatsSettings, required};
use millrace_sinks::spawn;
use millrace_stream::{Publisher, StreamConfig, StreamSource};
use nkeys::KeyPair;
use operator::Operator;
use tempfile::TempDir;

const HOST: &str = "127.0.0.1";

fn server(config: String, files: Vec<(&'static str, String)>) -> Option<Nats> {
    required(Nats::start_with(NatsSettings { config, files }))
}

/// Files of the client.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn put(&self, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        Some(path)
    }
}

/// Publishes a bank's events and has a sink consume them, each with its own settings.
fn stream(publish: &StreamConfig, consume: &StreamConfig) {
    let mut bank = Bank::open(21);
    let publisher = Publisher::spawn(publish, &bank.feed()).expect("starts");
    bank.trade(10);
    until_published(&publisher, &bank.feed());
    let kept = Kept::default();
    let source = StreamSource::new(consume, "keeper").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source);
    eventually("the sink has all of it", || {
        assert_eq!(sink.error(), None);
        sink.applied_seq() >= bank.feed().durable_seq()
    });
    assert_same(&kept.lock().expect("not poisoned").clone(), &bank.events());
}

/// What the publisher says while it is not let in: this, unless the machine was so busy that there was no
/// answer in time.
fn refusal(bank: &Bank, config: &StreamConfig, said: &str) -> String {
    let publisher = Publisher::spawn(config, &bank.feed()).expect("starts");
    let mut last = None;
    eventually(&format!("it says {said:?}"), || {
        let says = publisher.waiting_for();
        if says != last {
            println!("{says:?}");
            last.clone_from(&says);
        }
        says.is_some_and(|says| says.contains(said))
    });
    last.expect("is there")
}

#[test]
fn every_kind_of_credentials_is_let_in() {
    let files = Files::new();
    let user = KeyPair::new_user();
    let seed = user.seed().expect("has one");
    let operator = Operator::new();
    let password = "authorization { user: ann, password: \"a:b@c\" }".to_owned();
    let token = "authorization { token: t0ken }".to_owned();
    let nkey = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
    // What the server asks for, the client's file, what stands before the host in the URL.
    let table = [
        (password.clone(), Some("ann:a:b@c\n".to_owned()), ""),
        (password, None, "ann:a%3Ab%40c@"),
        (token.clone(), Some("t0ken\n".to_owned()), ""),
        (token, None, "t0ken@"),
        (nkey, Some(seed), ""),
        (operator.config(), Some(operator.credentials()), ""),
    ];
    for (at, (asked, file, in_url)) in table.into_iter().enumerate() {
        let Some(nats) = server(asked, Vec::new()) else { return };
        let credentials = file.and_then(|text| files.put(&at.to_string(), &text));
        let url = format!("nats://{in_url}{}", nats.address());
        let config = StreamConfig { credentials, ..config(url) };
        stream(&config, &config);
    }
}

#[test]
fn credentials_that_the_server_does_not_know_are_told() {
    let files = Files::new();
    let bank = Bank::open(22);
    let [known, stranger] = [KeyPair::new_user(), KeyPair::new_user()];
    let seed = stranger.seed().expect("has one");
    let (operator, other) = (Operator::new(), Operator::new());
    let password = "authorization { user: ann, password: right }".to_owned();
    let nkey = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key());
    let table = [
        (password.clone(), Some("ann:wrong".to_owned()), "shows a user and password"),
        (password, None, "shows nothing"),
        ("authorization { token: t0ken }".to_owned(), Some("other".into()), "shows a token"),
        (nkey, Some(seed.clone()), "shows an nkey"),
        (operator.config(), Some(other.credentials()), "shows the token of a credentials file"),
    ];
    for (at, (asked, file, said)) in table.into_iter().enumerate() {
        let Some(nats) = server(asked, Vec::new()) else { return };
        let credentials = file.and_then(|text| files.put(&at.to_string(), &text));
        let error = refusal(&bank, &StreamConfig { credentials, ..config(nats.url()) }, said);
        let remedy = "into the file that stream.credentials names";
        assert!(error.contains(said) && error.contains(remedy), "{error}");
        assert!(!error.contains("wrong") && !error.contains(&seed), "no secret: {error}");
    }
}

/// The files of a server: for which host its certificate is, and whether it asks for the client's.
fn tls_server(authority: &Authority, host: &str, asks: bool) -> Option<Nats> {
    let signed = authority.sign(host);
    let config = format!(
        "tls {{ cert_file: server.pem, key_file: server.key, ca_file: ca.pem, verify: {asks} }}"
    );
    let files = vec![
        ("server.pem", signed.certificate),
        ("server.key", signed.key),
        ("ca.pem", authority.certificate()),
    ];
    server(config, files)
}

#[test]
fn tls_is_used_with_a_private_authority_and_with_client_certificates() {
    let files = Files::new();
    let authority = Authority::new("Bank");
    let client = authority.sign("millrace");
    for (scheme, asks) in [("tls", false), ("nats", false), ("tls", true)] {
        let Some(nats) = tls_server(&authority, HOST, asks) else { return };
        let mut config = config(format!("{scheme}://{}", nats.address()));
        config.ca_certificates = files.put("ca.pem", &authority.certificate());
        if asks {
            config.client_certificate = files.put("client.pem", &client.certificate);
            config.client_key = files.put("client.key", &client.key);
        }
        stream(&config, &config);
    }
}

#[test]
fn what_is_wrong_with_tls_is_told() {
    let files = Files::new();
    let bank = Bank::open(23);
    let (authority, stranger) = (Authority::new("Bank"), Authority::new("Stranger"));
    let client = stranger.sign("millrace");
    let Some(server) = tls_server(&authority, HOST, false) else { return };
    let Some(elsewhere) = tls_server(&authority, "nats.bank.example", false) else { return };
    let Some(asking) = tls_server(&authority, HOST, true) else { return };
    let Some(plain) = required(Nats::start()) else { return };
    let ours = files.put("ours.pem", &authority.certificate());
    let theirs = files.put("theirs.pem", &stranger.certificate());
    let certificate = files.put("client.pem", &client.certificate);
    let key = files.put("client.key", &client.key);
    let to = |nats: &Nats, ca_certificates: &Option<PathBuf>| StreamConfig {
        ca_certificates: ca_certificates.clone(),
        ..config(nats.url())
    };
    let shows_strange =
        StreamConfig { client_certificate: certificate, client_key: key, ..to(&asking, &ours) };
    let takes_no = "does not take the certificate of this process: set stream.client_certificate";
    for (config, said) in [
        (to(&server, &theirs), "set stream.ca_certificates to the certificate"),
        (to(&server, &None), "set stream.ca_certificates to the certificate"),
        (to(&elsewhere, &ours), "is for other names: use one of them in stream.url"),
        (to(&asking, &ours), takes_no),
        (shows_strange, takes_no),
        // Nobody takes TLS away unnoticed.
        (to(&plain, &ours), "It does not speak TLS"),
    ] {
        let error = refusal(&bank, &config, said);
        assert!(error.starts_with("NATS at 127.0.0.1:") && error.contains(said), "{error}");
    }
    let empty =
        StreamConfig { ca_certificates: files.put("empty.pem", "nothing"), ..to(&server, &None) };
    let error = Publisher::spawn(&empty, &bank.feed()).expect_err("is told at once").to_string();
    assert!(
        error.contains("stream.ca_certificates") && error.contains("no certificate"),
        "{error}"
    );
}

/// What docs/streams.md says that a publisher and a consumer need.
const PUBLISHER: &[&str] = &[
    "$JS.API.STREAM.INFO.MILLRACE_EVENTS",
    "$JS.API.STREAM.CREATE.MILLRACE_EVENTS",
    "$JS.API.STREAM.MSG.GET.MILLRACE_EVENTS",
    "events.v1",
];
const CONSUMER: &[&str] = &[
    "$JS.API.STREAM.INFO.MILLRACE_EVENTS",
    "$JS.API.STREAM.MSG.GET.MILLRACE_EVENTS",
    "$JS.API.CONSUMER.*.MILLRACE_EVENTS.keeper",
    "$JS.API.CONSUMER.CREATE.MILLRACE_EVENTS.keeper.>",
    "$JS.API.CONSUMER.MSG.NEXT.MILLRACE_EVENTS.keeper",
    "$JS.ACK.MILLRACE_EVENTS.keeper.>",
];

fn user(name: &str, subjects: &[&str]) -> String {
    format!(
        "{{ user: {name}, password: x, \
           permissions: {{ publish: {subjects:?}, subscribe: [\"_INBOX.>\"] }} }}"
    )
}

#[test]
fn what_is_documented_is_permission_enough_and_less_is_told() {
    let without = |left_out: &str| -> Vec<&str> {
        PUBLISHER.iter().copied().filter(|subject| *subject != left_out).collect()
    };
    let users = [
        user("publisher", PUBLISHER),
        user("keeper", CONSUMER),
        user("no_info", &without(PUBLISHER[0])),
        user("no_subject", &without("events.v1")),
    ];
    let users = format!("authorization {{ users: [ {} ] }}", users.join(", "));
    let Some(nats) = server(users, Vec::new()) else { return };
    let of = |name: &str| config(format!("nats://{name}:x@{}", nats.address()));
    let bank = Bank::open(24);
    for (name, subject) in [("no_info", PUBLISHER[0]), ("no_subject", "events.v1")] {
        // The second one makes the stream, which is empty then, as nothing may go there.
        let error = refusal(&bank, &of(name), subject);
        assert!(error.contains("does not permit") && error.contains(subject), "{error}");
        assert!(error.contains("docs/streams.md"), "{error}");
    }
    stream(&of("publisher"), &of("keeper"));
}
