//! A connection to NATS: consumes the settings, produces a client of a server that is new enough, and a
//! sign when the connection breaks.
//!
//! A client of ours never reconnects by itself: whoever uses it starts again from what the stream
//! holds, with a new one.

use std::{fs, path::Path, time::Duration};

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;

use crate::{StreamConfig, StreamError};

/// How long a server may take to answer.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The first version that does what is needed: it echoes every setting of a stream that it keeps.
const VERSION_MIN: (u64, u64) = (2, 10);

/// A connected client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) server: String,
    broken: watch::Receiver<bool>,
}

impl Connection {
    /// Connects once.
    pub(crate) async fn open(config: &StreamConfig, name: &str) -> Result<Self, StreamError> {
        let url = config.url.as_deref().ok_or(StreamError::NoUrl)?;
        let server = without_credentials(url);
        let (breaks, broken) = watch::channel(false);
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(ANSWER_MAX)
            .request_timeout(Some(ANSWER_MAX))
            .ping_interval(Duration::from_secs(20))
            // The one that it tries is given up with the client.
            .max_reconnects(1)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    breaks.send_replace(true);
                }
                async {}
            });
        if let Some(path) = &config.credentials {
            let text = fs::read_to_string(path).map_err(file("stream.credentials", path))?;
            let secret = text.lines().next().unwrap_or_default().trim();
            options = match secret.split_once(':') {
                Some((user, password)) => options.user_and_password(user.into(), password.into()),
                None => options.token(secret.to_owned()),
            };
        }
        if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(path) = &config.ca_certificates {
            options = options.add_root_certificates(path.clone());
        }
        let failed = |problem: String| StreamError::Connect { server: server.clone(), problem };
        let client = tokio::time::timeout(ANSWER_MAX * 2, options.connect(url))
            .await
            .map_err(|_| failed("it does not answer".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        check_version(&client.server_info().version, &server)?;
        Ok(Self { client, server, broken })
    }

    /// Returns when the connection is broken.
    pub(crate) async fn broken(&self) -> StreamError {
        // The sender lives as long as the client does.
        let _ = self.broken.clone().wait_for(|broken| *broken).await;
        StreamError::Disconnected { server: self.server.clone() }
    }
}

/// Checks the files of the settings, so that a wrong one is told at once.
pub(crate) fn check_files(config: &StreamConfig) -> Result<(), StreamError> {
    for (key, path) in [
        ("stream.credentials", &config.credentials),
        ("stream.ca_certificates", &config.ca_certificates),
        ("stream.client_certificate", &config.client_certificate),
        ("stream.client_key", &config.client_key),
    ] {
        if let Some(path) = path {
            fs::read(path).map_err(file(key, path))?;
        }
    }
    Ok(())
}

fn file(key: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StreamError {
    let path = path.to_owned();
    move |error| StreamError::File { key, path, problem: error.to_string() }
}

/// Whether the server is new enough to be used.
fn check_version(version: &str, server: &str) -> Result<(), StreamError> {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().ok());
    let found = (numbers.next().flatten(), numbers.next().flatten());
    match found {
        (Some(major), Some(minor)) if (major, minor) >= VERSION_MIN => Ok(()),
        _ => {
            Err(StreamError::ServerTooOld { server: server.to_owned(), found: version.to_owned() })
        }
    }
}

/// The servers of a URL, for logs and errors.
fn without_credentials(url: &str) -> String {
    let server = |url: &str| match url.trim().split_once("://") {
        Some((_, rest)) => rest.rsplit('@').next().unwrap_or(rest).to_owned(),
        None => url.rsplit('@').next().unwrap_or(url).trim().to_owned(),
    };
    url.split(',').map(server).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_10_are_refused() {
        for (version, fits) in [
            ("2.9.10", false),
            ("1.99.0", false),
            ("2.10.0", true),
            ("2.10.0-beta.1", true),
            ("2.15.0", true),
            ("3.0.0", true),
            ("", false),
            ("new", false),
        ] {
            let checked = check_version(version, "nats.bank:4222");
            assert_eq!(checked.is_ok(), fits, "{version}");
            if let Err(error) = checked {
                let said = error.to_string();
                assert!(said.contains("2.10 or later is needed"), "{said}");
                assert!(!error.is_transient());
            }
        }
    }

    #[test]
    fn no_credentials_are_told() {
        for (url, server) in [
            ("nats://127.0.0.1:4222", "127.0.0.1:4222"),
            ("tls://ann:secret@nats.bank:4222", "nats.bank:4222"),
            ("nats://a:1, nats://token@b:2", "a:1, b:2"),
            ("token@c:3", "c:3"),
        ] {
            assert_eq!(without_credentials(url), server);
        }
    }
}
