//! Short and push messages to a provider that takes them, fails, hangs or asks for fewer, and the reports
//! of what became of them.

mod common;
#[path = "common/delivery.rs"]
mod delivery;

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};

use aws_lc_rs::hmac;
use delivery::{Answer, Receiver, Service, now, secret_file};
use millrace_sinks::{
    NotifyConfig,
    notify::{Channel, DispatcherHandle, ProviderConfig, StateKind},
};

const STATUS_SECRET: &str = "a-secret-of-this-test";
const DELIVERED: &str = r#"{"status":"delivered"}"#;
/// Where nothing goes: the channel is off.
const NO_HOOK: &str = "https://example.com/hook";

/// Longer than any answer takes that comes.
const ANSWER_MAX_MS: u64 = 120_000;

fn provider(receiver: &Receiver, dir: &tempfile::TempDir, name: &str) -> ProviderConfig {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    ProviderConfig {
        enabled: true,
        url: format!("http://{}/{name}/send", receiver.address),
        headers: BTreeMap::from([
            header("content-type", "application/x-www-form-urlencoded"),
            header("authorization", "Bearer {{ secret }}"),
        ]),
        body: "to={{ to|urlencode }}&text={{ text|urlencode }}&ref={{ key }}".into(),
        secret: secret_file(dir, "token", "provider-token"),
        status_secret: secret_file(dir, "status", STATUS_SECRET),
        timeout_ms: ANSWER_MAX_MS,
        ..ProviderConfig::default()
    }
}

/// A service that sends by this channel alone.
fn service(channel: Channel, receiver: &Receiver, dir: &tempfile::TempDir) -> Service {
    service_that_waits(ANSWER_MAX_MS, channel, receiver, dir)
}

/// The same, that waits so long for an answer.
fn service_that_waits(
    timeout_ms: u64,
    channel: Channel,
    receiver: &Receiver,
    dir: &tempfile::TempDir,
) -> Service {
    let mut config = NotifyConfig {
        status_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..NotifyConfig::default()
    };
    match channel {
        Channel::Sms => {
            config.sms = ProviderConfig { timeout_ms, ..provider(receiver, dir, "sms") };
        }
        Channel::Push => {
            config.push = ProviderConfig { timeout_ms, ..provider(receiver, dir, "push") };
        }
        other => panic!("{other:?} has no provider of its own"),
    }
    Service::start(channel, config, NO_HOOK)
}

/// The channel, the path of its provider, and where owner 1 is reached by it.
const CHANNELS: [(Channel, &str, &str); 2] =
    [(Channel::Sms, "sms/send", "to=%2B420600000001&"), (Channel::Push, "push/send", "to=token1&")];

#[test]
fn providers_get_what_the_configuration_describes() {
    for (channel, path, to) in CHANNELS {
        let receiver = Receiver::start(&[]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut service = service(channel, &receiver, &dir);
        let id = service.refuse();
        let sent = service.wait_for(id, StateKind::Sent);
        assert_eq!(sent.attempts, 1, "{channel:?}");
        let requests = receiver.requests();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(request.path, path);
        assert_eq!(request.header("authorization"), "Bearer provider-token");
        let body = String::from_utf8(request.body.clone()).expect("text");
        assert!(body.starts_with(&format!("{to}text=Your%20payment%20of%203.00")), "{body}");
        let key = request.header("idempotency-key");
        assert!(body.ends_with(&format!("&ref={key}")), "{body}");
    }
}

#[test]
fn a_provider_that_fails_or_asks_for_fewer_gets_the_same_again() {
    let script = [Answer::Throttle, Answer::Status(500), Answer::Status(503), Answer::Status(429)];
    for (channel, ..) in CHANNELS {
        let receiver = Receiver::start(&script);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut service = service(channel, &receiver, &dir);
        let id = service.refuse();
        let sent = service.wait_for(id, StateKind::Sent);
        assert_eq!(sent.attempts as usize, script.len() + 1, "{channel:?}");
        let requests = receiver.requests();
        let answers: Vec<_> = requests.iter().map(|request| request.answered).collect();
        assert_eq!(answers, [&script[..], &[Answer::Take]].concat(), "{channel:?}");
        for request in &requests {
            assert_eq!(
                request.header("idempotency-key"),
                requests[0].header("idempotency-key"),
                "{channel:?}"
            );
            assert_eq!(request.body, requests[0].body, "{channel:?}");
        }
        let pause = requests[1].at - requests[0].at;
        assert!(pause >= Duration::from_secs(1), "it asked for a second, and got {pause:?}");
    }
}

/// On a busy machine, an answer that comes too late is taken for none: the same goes out again.
#[test]
fn a_provider_that_hangs_gets_the_same_again() {
    for (channel, ..) in CHANNELS {
        let receiver = Receiver::start(&[Answer::Hang]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut service = service_that_waits(300, channel, &receiver, &dir);
        let id = service.refuse();
        let sent = service.wait_for(id, StateKind::Sent);
        let requests = receiver.requests();
        assert!(sent.attempts >= 2 && requests.len() >= 2, "{channel:?}: {sent:?}");
        assert_eq!(requests[0].answered, Answer::Hang);
        for request in &requests {
            assert_eq!(
                (request.header("idempotency-key"), &request.body),
                (requests[0].header("idempotency-key"), &requests[0].body),
                "{channel:?}"
            );
        }
    }
}

#[test]
fn a_provider_that_refuses_for_good_makes_a_dead_letter() {
    for (channel, ..) in CHANNELS {
        let receiver = Receiver::start(&[Answer::Status(400)]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut service = service(channel, &receiver, &dir);
        let id = service.refuse();
        let dead = service.wait_for(id, StateKind::Dead);
        assert!(format!("{:?}", dead.state).contains("400 Bad Request: not now"), "{dead:?}");
        assert_eq!((dead.attempts, receiver.requests().len()), (1, 1), "{channel:?}");
    }
}

/// Posts reports as a provider does.
struct Reporter {
    address: SocketAddr,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Reporter {
    fn to(service: &Service) -> Self {
        let address = service.handle.as_ref().and_then(DispatcherHandle::status_address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            address: address.expect("reports are taken"),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            runtime: runtime.expect("a runtime"),
        }
    }

    /// The status of the answer.
    fn report(&self, id: &str, header: (&str, &str), body: &str) -> u16 {
        let request = self
            .client
            .post(format!("http://{}/notifications/{id}/status", self.address))
            .header(header.0, header.1)
            .body(body.to_owned());
        let answer = self.runtime.block_on(request.send()).expect("answers");
        answer.status().as_u16()
    }
}

#[test]
fn a_report_with_the_secret_says_what_became_of_a_message() {
    let receiver = Receiver::start(&[]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = service(Channel::Sms, &receiver, &dir);
    let id = service.refuse();
    service.wait_for(id, StateKind::Sent);
    let reporter = Reporter::to(&service);
    let report = |id: &str, token: &str, body: &str| {
        reporter.report(id, ("authorization", &format!("Bearer {token}")), body)
    };
    let id_text = id.to_string();
    for (id, token, body, status) in [
        (id_text.as_str(), "another-secret-000", DELIVERED, 401),
        ("4711", "another-secret-000", DELIVERED, 401),
        ("4711", STATUS_SECRET, DELIVERED, 404),
        ("nothing", STATUS_SECRET, DELIVERED, 404),
        (&id_text, STATUS_SECRET, r#"{"status":"eaten"}"#, 400),
    ] {
        assert_eq!(report(id, token, body), status, "{id} {body}");
    }
    assert_eq!(service.get(id).state.kind(), StateKind::Sent);
    assert_eq!(report(&id_text, STATUS_SECRET, DELIVERED), 204);
    assert_eq!(service.get(id).state.kind(), StateKind::Delivered);
    let bounced = r#"{"status":"bounced","reason":"number unknown"}"#;
    let key = receiver.requests()[0].header("idempotency-key").to_owned();
    assert_eq!(report(&key, STATUS_SECRET, bounced), 204, "by the key");
    let dead = service.get(id);
    assert!(format!("{:?}", dead.state).contains("bounced: number unknown"), "{dead:?}");
}

/// As webhooks are signed, made without the code that checks it.
fn signature(secret: &str, unix_s: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{unix_s}.{body}").as_bytes());
    let mut header = format!("t={unix_s},v1=");
    for byte in tag.as_ref() {
        write!(header, "{byte:02x}").expect("text grows");
    }
    header
}

#[test]
fn a_report_that_is_signed_needs_no_other_secret() {
    let receiver = Receiver::start(&[]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut service = service(Channel::Push, &receiver, &dir);
    let id = service.refuse();
    service.wait_for(id, StateKind::Sent);
    let reporter = Reporter::to(&service);
    let unix_s = now().0 / 1_000_000_000;
    let right = signature(STATUS_SECRET, unix_s, DELIVERED);
    for (what, header, body) in [
        ("of somebody else", signature("another-secret-000", unix_s, DELIVERED), DELIVERED),
        ("of another body", right.clone(), r#"{"status":"bounced"}"#),
        ("of ten minutes ago", signature(STATUS_SECRET, unix_s - 600, DELIVERED), DELIVERED),
        ("of another time", right.replace(&format!("t={unix_s}"), "t=1"), DELIVERED),
        ("of nobody", "v1=".into(), DELIVERED),
    ] {
        let status = reporter.report(&id.to_string(), ("millrace-signature", &header), body);
        assert_eq!(status, 401, "a signature {what}");
        assert_eq!(service.get(id).state.kind(), StateKind::Sent, "a signature {what}");
    }
    let status = reporter.report(&id.to_string(), ("millrace-signature", &right), DELIVERED);
    assert_eq!(status, 204);
    assert_eq!(service.get(id).state.kind(), StateKind::Delivered);
}
