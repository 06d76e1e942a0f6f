//! Deliveries to a real mail server and to real HTTP receivers that fail, hang, and ask for fewer.

mod common;
#[path = "common/delivery.rs"]
mod delivery;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use delivery::{Answer, Receiver, Service, eventually, now, secret_file};
use millrace_protos::Trace;
use millrace_services::{Smtp, SmtpMode, SmtpSettings, python, required};
use millrace_sinks::{
    NotifyConfig,
    notify::{
        Channel, EmailConfig, FileConfig, InboxQuery, StateKind, Tls, WebhookConfig, is_signed,
    },
};
use serde_json::{Value, json};

const SECRET: &str = "a-secret-of-this-test";
const OLD_SECRET: &str = "the-secret-before-that";
/// Where nothing goes: the channel is off.
const NO_HOOK: &str = "https://example.com/hook";

/// Longer than any answer takes that comes.
const ANSWER_MAX_MS: u64 = 120_000;

fn webhooks(dir: &tempfile::TempDir) -> NotifyConfig {
    webhooks_that_wait(ANSWER_MAX_MS, dir)
}

/// The same, that wait so long for an answer.
fn webhooks_that_wait(timeout_ms: u64, dir: &tempfile::TempDir) -> NotifyConfig {
    NotifyConfig {
        webhook: WebhookConfig {
            enabled: true,
            secret: secret_file(dir, "secret", SECRET),
            previous_secret: secret_file(dir, "previous", OLD_SECRET),
            https_only: false,
            timeout_ms,
            ..WebhookConfig::default()
        },
        ..NotifyConfig::default()
    }
}

fn mails(smtp: &Smtp) -> NotifyConfig {
    NotifyConfig {
        email: EmailConfig {
            enabled: true,
            host: "127.0.0.1".into(),
            port: smtp.port(),
            tls: Tls::None,
            from: "The Bank <bank@example.com>".into(),
            timeout_ms: ANSWER_MAX_MS,
            ..EmailConfig::default()
        },
        ..NotifyConfig::default()
    }
}

/// The value of a header of a mail.
fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    mail.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
}

#[test]
fn a_mail_says_what_happened_in_text_and_html() {
    let Some(smtp) = required(Smtp::start()) else { return };
    let mut service = Service::start(Channel::Email, mails(&smtp), NO_HOOK);
    let id = service.refuse();
    let told = service.wait_for(id, StateKind::Sent);
    assert_eq!((told.attempts, told.recipient.as_str()), (1, "owner1@example.com"));
    assert!(told.sent.expect("was sent") >= told.created);
    let mails = smtp.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    for (name, value) in [
        ("From", "\"The Bank\" <bank@example.com>"),
        ("To", "\"Owner 1\" <owner1@example.com>"),
        ("Subject", "Payment of 3.00 CZK refused"),
    ] {
        assert_eq!(header(mail, name), value, "{mail}");
    }
    let key = header(mail, "Idempotency-Key");
    assert_eq!(header(mail, "Message-ID"), format!("<{key}@example.com>"));
    for part in ["multipart/alternative", "text/plain", "text/html", "insufficient funds"] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
}

#[test]
fn mails_wait_for_a_server_that_fails_and_have_one_key() {
    let Some(mut smtp) = required(Smtp::start()) else { return };
    let mut config = mails(&smtp);
    config.email.timeout_ms = 1_000;
    let mut service = Service::start(Channel::Email, config, NO_HOOK);
    // On a busy machine, an answer that comes too late is taken for none: the same mail goes out again.
    let mails = |smtp: &Smtp| {
        let keys = smtp.mails().into_iter().map(|mail| header(&mail, "Idempotency-Key").to_owned());
        keys.collect::<BTreeSet<_>>().len()
    };
    let mut expected = 0;
    for mode in [SmtpMode::RefuseLater, SmtpMode::Drop, SmtpMode::Hang] {
        smtp.set_mode(mode).expect("is set");
        let before = smtp.attempts();
        let id = service.refuse();
        eventually("it was tried twice", || (smtp.attempts() >= before + 2).then_some(()));
        let failed = service.wait_for(id, StateKind::Failed);
        assert!(failed.attempts >= 1 && failed.sent.is_none(), "{mode:?}: {failed:?}");
        assert_eq!(mails(&smtp), expected, "{mode:?}");
        smtp.set_mode(SmtpMode::Accept).expect("is set");
        let sent = service.wait_for(id, StateKind::Sent);
        assert!(sent.attempts >= 2, "{mode:?}: {sent:?}");
        expected += 1;
        assert_eq!(mails(&smtp), expected, "{mode:?}");
    }
    smtp.kill();
    let id = service.refuse();
    let failed = service.wait_for(id, StateKind::Failed);
    assert!(format!("{:?}", failed.state).contains("the mail server: "), "{failed:?}");
    // The service is started again in between, and goes on.
    service = service.start_again();
    smtp.start_again().expect("starts");
    service.wait_for(id, StateKind::Sent);
    assert_eq!(mails(&smtp), expected + 1);
}

#[test]
fn a_mail_that_is_refused_for_good_is_a_dead_letter() {
    let Some(smtp) = required(Smtp::start()) else { return };
    let mut service = Service::start(Channel::Email, mails(&smtp), NO_HOOK);
    smtp.set_mode(SmtpMode::Refuse).expect("is set");
    let id = service.refuse();
    let dead = service.wait_for(id, StateKind::Dead);
    assert_eq!((dead.attempts, smtp.attempts()), (1, 1), "no second try");
    assert!(format!("{:?}", dead.state).contains("no such mailbox"), "{dead:?}");
    let query = InboxQuery { state: Some(StateKind::Dead), ..InboxQuery::default() };
    let letters = service.inbox.list(query, None, 10).expect("lists");
    assert_eq!(letters, [dead]);

    smtp.set_mode(SmtpMode::Accept).expect("is set");
    service.inbox.resend(id).expect("kept").expect("is there");
    service.wait_for(id, StateKind::Sent);
    assert!(header(&smtp.mails()[0], "Idempotency-Key").ends_with("-again1"));
    assert!(service.inbox.list(query, None, 10).expect("lists").is_empty());
}

/// The server insists on TLS and a password, by STARTTLS or from the first byte. Without trust in its
/// certificate, with another password, or where the other form of TLS is spoken, nothing is sent, and
/// nothing is lost.
#[test]
fn mails_go_by_either_tls_with_a_password() {
    let names = vec!["localhost".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ca_file = dir.path().join("ca.pem");
    fs::write(&ca_file, &certificate).expect("written");
    for (tls, other) in [(Tls::Starttls, Tls::Implicit), (Tls::Implicit, Tls::Starttls)] {
        let settings = SmtpSettings {
            tls_pem: Some(format!("{certificate}{key}")),
            tls_at_once: tls == Tls::Implicit,
            password: Some("right".into()),
        };
        let Some(smtp) = required(Smtp::start_with(&settings)) else { return };
        let config = |ca_file: &PathBuf, password: &str, tls: Tls| {
            let mut config = mails(&smtp);
            config.email.host = "localhost".into();
            config.email.tls = tls;
            config.email.ca_file.clone_from(ca_file);
            config.email.username = "millrace".into();
            config.email.password = secret_file(&dir, password, password);
            config
        };
        // Each waits for the other to begin.
        let mut other_form = config(&ca_file, "right", other);
        other_form.email.timeout_ms = 1_000;
        for (config, said) in [
            (config(&PathBuf::new(), "right", tls), "ertificate"),
            (config(&ca_file, "wrong", tls), "535"),
            (other_form, "the mail server"),
        ] {
            let mut service = Service::start(Channel::Email, config, NO_HOOK);
            let id = service.refuse();
            let failed = service.wait_for(id, StateKind::Failed);
            assert!(format!("{:?}", failed.state).contains(said), "{tls:?}: {:?}", failed.state);
            assert!(smtp.mails().is_empty());
        }
        let mut service = Service::start(Channel::Email, config(&ca_file, "right", tls), NO_HOOK);
        let id = service.refuse();
        service.wait_for(id, StateKind::Sent);
        assert_eq!(smtp.mails().len(), 1, "{tls:?}");
    }
}

#[test]
fn a_webhook_is_signed_and_says_what_happened() {
    let receiver = Receiver::start(&[]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = Service::start(Channel::Webhook, webhooks(&dir), &receiver.url());
    let id = service.refuse();
    service.wait_for(id, StateKind::Delivered);
    let requests = receiver.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let unix_s = now().0 / 1_000_000_000;
    let signature = request.header("millrace-signature");
    for secret in [SECRET, OLD_SECRET] {
        assert!(is_signed(secret, signature, &request.body, unix_s), "{signature}");
    }
    assert!(!is_signed("some-other-secret-123", signature, &request.body, unix_s));
    assert!(!is_signed(SECRET, signature, b"{}", unix_s));
    check_with_python(signature, &request.body);
    let body = request.json();
    assert_eq!(body["id"], request.header("idempotency-key"));
    assert_eq!(body["type"], "rejected");
    let told = &body["notifications"][0];
    assert_eq!(told["id"], id.to_string());
    assert_eq!(told["owner"], uuid::Uuid::from_u128(1).to_string());
    assert_eq!(told["details"]["amount"], "3.00");
    assert_eq!(told["details"]["reason_code"], "INSUFFICIENT_FUNDS");
}

/// Each webhook names the trace of the payment that it tells of, and no other.
#[test]
fn a_webhook_carries_the_trace_of_its_payment() {
    let receiver = Receiver::start(&[]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = Service::start(Channel::Webhook, webhooks(&dir), &receiver.url());
    let parent = |number| format!("00-4bf92f3577b34da6a3ce929d0e0e473{number}-00f067aa0ba902b7-01");
    for (number, trace) in [Some(parent(1)), None, Some(parent(2))].into_iter().enumerate() {
        service.history.trace = trace.as_deref().and_then(Trace::parse);
        let id = service.refuse();
        service.wait_for(id, StateKind::Delivered);
        let requests = receiver.requests();
        let request = &requests[number];
        let found = request.headers.get("traceparent").map(|value| value.to_str().expect("text"));
        assert_eq!(found, trace.as_deref());
        // Where the signature covers it, too.
        assert_eq!(request.json()["notifications"][0]["traceparent"], json!(trace));
    }
}

/// The program that the documentation shows to receivers.
fn check_with_python(signature: &str, body: &[u8]) {
    let Some(python) = required(python()) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/verify_webhook.py");
    let says = |secret: &str, body: &[u8]| -> String {
        let mut process = Command::new(&python)
            .args([script, secret, signature])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        process.stdin.take().expect("is piped").write_all(body).expect("reads");
        let output = process.wait_with_output().expect("ends");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(says(SECRET, body), "signed");
    assert_eq!(says(OLD_SECRET, body), "signed");
    assert_eq!(says("some-other-secret-123", body), "not signed");
    assert_eq!(says(SECRET, b"{}"), "not signed");
}

#[test]
fn a_webhook_is_repeated_with_its_key_until_it_is_taken() {
    let script = [Answer::Status(500), Answer::Status(404), Answer::Throttle, Answer::Status(302)];
    let receiver = Receiver::start(&script);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = Service::start(Channel::Webhook, webhooks(&dir), &receiver.url());
    let id = service.refuse();
    let taken = service.wait_for(id, StateKind::Delivered);
    assert_eq!(taken.attempts, 5);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 5);
    let first = &requests[0];
    for request in &requests {
        assert_eq!(request.header("idempotency-key"), first.header("idempotency-key"));
        assert_eq!(request.body, first.body);
    }
    let throttled = requests.iter().position(|request| request.answered == Answer::Throttle);
    let throttled = throttled.expect("was asked for fewer");
    let pause = requests[throttled + 1].at - requests[throttled].at;
    assert!(pause >= Duration::from_secs(1), "it asked for a second, and got {pause:?}");
}

/// On a busy machine, an answer that comes too late is taken for none: the same goes out again.
#[test]
fn a_receiver_that_hangs_gets_the_same_again() {
    let receiver = Receiver::start(&[Answer::Hang]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = webhooks_that_wait(300, &dir);
    let mut service = Service::start(Channel::Webhook, config, &receiver.url());
    let id = service.refuse();
    let taken = service.wait_for(id, StateKind::Delivered);
    let requests = receiver.requests();
    assert!(taken.attempts >= 2 && requests.len() >= 2, "{taken:?}");
    for request in &requests {
        assert_eq!(
            (request.header("idempotency-key"), &request.body),
            (requests[0].header("idempotency-key"), &requests[0].body)
        );
    }
}

/// A receiver that hangs holds up nobody else's messages.
#[test]
fn a_receiver_that_hangs_or_is_gone_holds_up_no_other() {
    let hanging = Receiver::start(&[Answer::Hang; 1_000]);
    let well = Receiver::start(&[]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = webhooks_that_wait(300, &dir);
    let mut service = Service::start(Channel::Webhook, config, &hanging.url());
    let path = &service.config.owners;
    let text = fs::read_to_string(path).expect("reads");
    let mut owners: Value = serde_json::from_str(&text).expect("is JSON");
    owners["owners"][uuid::Uuid::from_u128(2).to_string()]["webhook"] = well.url().into();
    fs::write(path, owners.to_string()).expect("written");
    for number in 0..20 {
        let id = 100 + number;
        service.history.pay(id, 1, 2, 10);
    }
    let mut batches = service.history.batches(1);
    for batch in &mut batches {
        batch.time = now();
    }
    service.sink.apply(&batches).expect("applies");
    // At least once: an answer that comes too late counts as none.
    eventually("all of the other's messages", || (well.requests().len() >= 20).then_some(()));
    let query = InboxQuery { owner: Some(1), ..InboxQuery::default() };
    let waiting = service.inbox.list(query, None, 100).expect("lists");
    assert_eq!(waiting.len(), 20);
    assert!(waiting.iter().all(|told| told.state.is_open()), "{waiting:?}");
}

#[test]
fn a_receiver_that_is_gone_for_good_gets_no_second_try() {
    let receiver = Receiver::start(&[Answer::Status(410)]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = Service::start(Channel::Webhook, webhooks(&dir), &receiver.url());
    let id = service.refuse();
    let dead = service.wait_for(id, StateKind::Dead);
    assert!(format!("{:?}", dead.state).contains("410 Gone: not now"), "{dead:?}");
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn lines_of_a_file_are_delivered_once_each() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("lines");
    let config = NotifyConfig {
        file: FileConfig { enabled: true, path: path.clone() },
        ..NotifyConfig::default()
    };
    let mut service = Service::start(Channel::File, config, NO_HOOK);
    let ids: Vec<_> = (0..5).map(|_| service.refuse()).collect();
    for id in &ids {
        service.wait_for(*id, StateKind::Delivered);
    }
    service = service.start_again();
    let last = service.refuse();
    service.wait_for(last, StateKind::Delivered);
    let text = fs::read_to_string(&path).expect("reads");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    let mut found: Vec<_> = lines
        .iter()
        .map(|line| line["notifications"][0]["id"].as_str().expect("text").to_owned())
        .collect();
    found.sort_unstable();
    let mut expected: Vec<_> = ids.iter().chain([&last]).map(ToString::to_string).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
