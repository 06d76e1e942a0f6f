//! The settings of the stream, as they stand in the configuration file.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

use crate::{
    StreamError,
    servers::{self, Servers},
};

/// Where events are streamed to and from. Without `url` nothing is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// NATS servers, as in `nats://127.0.0.1:4222`, or several with commas between them; `tls://` asks
    /// for TLS, and `nats://USER:PASSWORD@HOST` names who asks. Default: none, no stream.
    pub url: Option<String>,
    /// File with `USER:PASSWORD`, a token or the seed of an nkey in its first line, or a credentials
    /// file (`.creds`) of NATS. Default: none.
    pub credentials: Option<PathBuf>,
    /// File with the certificates (PEM) of authorities that servers are checked against, in place of
    /// the system's. It asks for TLS, too. Default: none, the system's.
    pub ca_certificates: Option<PathBuf>,
    /// File with the certificate (PEM) that this process shows to servers. Default: none.
    pub client_certificate: Option<PathBuf>,
    /// File with its key (PEM). Default: none.
    pub client_key: Option<PathBuf>,
    /// The stream of all events. Default `MILLRACE_EVENTS`.
    pub stream: String,
    /// The subject of its messages. Default `events.v1`.
    pub subject: String,
    /// Servers that keep a copy of each message, 1 to 5. Default 1.
    pub replicas: usize,
    /// Hours after which the streams drop a message; 0 is never. Default 0.
    pub max_age_hours: u64,
    /// Mebibytes after which each stream drops its oldest messages; 0 is never. The server reserves
    /// them. Default 4096.
    pub max_bytes_mib: u64,
    /// Most of a message of events, in kibibytes. Default 256.
    pub frame_kib: usize,
    /// Most that each stream's publisher sends before it is acknowledged, in mebibytes. Default 4.
    pub in_flight_mib: usize,
    /// Also publish each payment as a message of its own. Default false.
    pub per_payment: bool,
    /// The stream of single payments. Default `MILLRACE_PAYMENTS`.
    pub payments_stream: String,
    /// Its subjects start with this. Default `payments.v1`.
    pub payments_subject: String,
    /// Messages that a consumer of ours may have received and not yet committed. Default 64.
    pub consumer_messages: usize,
    /// Seconds after which such a message is sent again. Default 60.
    pub ack_wait_s: u64,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            url: None,
            credentials: None,
            ca_certificates: None,
            client_certificate: None,
            client_key: None,
            stream: "MILLRACE_EVENTS".to_owned(),
            subject: "events.v1".to_owned(),
            replicas: 1,
            max_age_hours: 0,
            max_bytes_mib: 4_096,
            frame_kib: 256,
            in_flight_mib: 4,
            per_payment: false,
            payments_stream: "MILLRACE_PAYMENTS".to_owned(),
            payments_subject: "payments.v1".to_owned(),
            consumer_messages: 64,
            ack_wait_s: 60,
        }
    }
}

impl StreamConfig {
    /// Checks what the types can't. Does not look at the network.
    ///
    /// # Errors
    /// When a setting is out of its bounds, or two contradict each other.
    pub fn check(&self) -> Result<(), StreamError> {
        let setting = |key, value: String, fits: bool, must_be| match fits {
            true => Ok(()),
            false => Err(StreamError::Setting { key, value, must_be }),
        };
        let number = |key, value: u64, (min, max): (u64, u64), must_be| {
            setting(key, value.to_string(), (min..=max).contains(&value), must_be)
        };
        if let Some(url) = &self.url {
            let twice = Servers::parse(url)?.credentials.is_some() && self.credentials.is_some();
            let must_be = "without a user where stream.credentials is set";
            setting("stream.url", servers::shown(url), !twice, must_be)?;
        }
        for (key, name) in
            [("stream.stream", &self.stream), ("stream.payments_stream", &self.payments_stream)]
        {
            let must_be = "1 to 64 of A-Z, a-z, 0-9, - and _";
            setting(key, name.clone(), is_name(name), must_be)?;
        }
        for (key, subject) in
            [("stream.subject", &self.subject), ("stream.payments_subject", &self.payments_subject)]
        {
            let fits = subject.split('.').all(is_name);
            setting(key, subject.clone(), fits, "names with dots between them, without wildcards")?;
        }
        let differ = self.stream != self.payments_stream;
        let must_be = "another name than stream.stream";
        setting("stream.payments_stream", self.payments_stream.clone(), differ, must_be)?;
        let within = self.subject == self.payments_subject
            || self.subject.starts_with(&format!("{}.", self.payments_subject));
        let must_be = "another subject than stream.subject, and not the start of it";
        setting("stream.payments_subject", self.payments_subject.clone(), !within, must_be)?;
        number("stream.replicas", self.replicas as u64, (1, 5), "1 to 5")?;
        let hours = (0, 100 * 366 * 24);
        number("stream.max_age_hours", self.max_age_hours, hours, "0 (never) to 878400")?;
        let mebibytes = (0, 1 << 40);
        number("stream.max_bytes_mib", self.max_bytes_mib, mebibytes, "0 (never) to 2^40")?;
        number("stream.frame_kib", self.frame_kib as u64, (4, 65_536), "4 to 65536")?;
        number("stream.in_flight_mib", self.in_flight_mib as u64, (1, 1_024), "1 to 1024")?;
        let messages = self.consumer_messages as u64;
        number("stream.consumer_messages", messages, (1, 65_536), "1 to 65536")?;
        number("stream.ack_wait_s", self.ack_wait_s, (1, 86_400), "1 to 86400")?;
        let both = self.client_certificate.is_some() == self.client_key.is_some();
        let must_be = "set together with stream.client_certificate";
        setting("stream.client_key", "on its own or missing".to_owned(), both, must_be)?;
        let frame_in_flight = self.in_flight_mib << 10 >= self.frame_kib;
        let must_be = "at least stream.frame_kib";
        setting("stream.in_flight_mib", self.in_flight_mib.to_string(), frame_in_flight, must_be)
    }
}

/// Shows the servers without the password that a URL may hold.
impl fmt::Debug for StreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamConfig")
            .field("url", &self.url.as_deref().map(servers::shown))
            .field("credentials", &self.credentials)
            .field("ca_certificates", &self.ca_certificates)
            .field("client_certificate", &self.client_certificate)
            .field("stream", &self.stream)
            .field("subject", &self.subject)
            .field("replicas", &self.replicas)
            .field("per_payment", &self.per_payment)
            .finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right() {
        assert!(StreamConfig::default().check().is_ok());
    }

    #[test]
    fn debug_shows_no_password() {
        let url = "nats://ann:s3cret@a:1,nats://t0ken@b:2".to_owned();
        let config = StreamConfig { url: Some(url), ..StreamConfig::default() };
        let shown = format!("{config:?}");
        assert!(shown.contains("\"a:1, b:2\""), "{shown}");
        for secret in ["s3cret", "ann", "t0ken"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut StreamConfig);
        let table: &[(Change, &str)] = &[
            (|it| it.url = Some(String::new()), "stream.url is empty"),
            (|it| it.url = Some("http://a:1".into()), "stream.url is a:1, and must be nats://"),
            (
                |it| {
                    it.url = Some("nats://ann:x@a:1".into());
                    it.credentials = Some("file".into());
                },
                "without a user where stream.credentials is set",
            ),
            (|it| it.stream = "A.B".into(), "stream.stream is A.B"),
            (|it| it.payments_stream = String::new(), "stream.payments_stream is "),
            (|it| it.payments_stream = "MILLRACE_EVENTS".into(), "another name than stream.stream"),
            (|it| it.subject = "a..b".into(), "stream.subject is a..b"),
            (|it| it.subject = "a.>".into(), "stream.subject is a.>"),
            (|it| it.payments_subject = "events".into(), "not the start of it"),
            (|it| it.replicas = 0, "stream.replicas is 0"),
            (|it| it.frame_kib = 1, "stream.frame_kib is 1"),
            (|it| it.in_flight_mib = 0, "stream.in_flight_mib is 0"),
            (|it| it.frame_kib = 8_192, "at least stream.frame_kib"),
            (|it| it.consumer_messages = 0, "stream.consumer_messages is 0"),
            (|it| it.client_key = Some("key".into()), "together with stream.client_certificate"),
            (|it| it.ack_wait_s = 0, "stream.ack_wait_s is 0"),
        ];
        for (change, said) in table {
            let mut config = StreamConfig::default();
            change(&mut config);
            let error = config.check().expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
