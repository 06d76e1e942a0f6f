//! A connection to NATS: consumes the settings, produces a client of a server that is new enough, and a
//! sign when the connection breaks or the server refuses a part of what is asked.
//!
//! A client of ours never reconnects by itself: whoever uses it starts again from what the stream
//! holds, with a new one. Files are read again each time, so that renewed ones are taken.

use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use tokio::sync::watch;

use crate::{
    StreamConfig, StreamError,
    credentials::Credentials,
    servers::{self, Servers},
    tls,
};

/// How long a server may take to answer.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The first version that does what is needed: it echoes every setting of a stream that it keeps.
const VERSION_MIN: (u64, u64) = (2, 10);
/// How a server begins to say that a subject is not for us.
const NOT_PERMITTED: &str = "permissions violation";

/// A connected client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) server: String,
    broken: watch::Receiver<Option<Broken>>,
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Broken {
    Gone,
    /// The server said no, with these words.
    NotPermitted(String),
}

impl Connection {
    /// Connects once.
    pub(crate) async fn open(config: &StreamConfig, name: &str) -> Result<Self, StreamError> {
        let url = config.url.as_deref().ok_or(StreamError::NoUrl)?;
        let server = servers::shown(url);
        let Servers { addresses, credentials } = Servers::parse(url)?;
        let credentials = match &config.credentials {
            Some(path) => Some(Credentials::read(path)?),
            None => credentials,
        };
        let shown = credentials.as_ref().map_or("nothing", Credentials::kind);
        let (breaks, broken) = watch::channel(None);
        let options = ConnectOptions::new()
            .name(name)
            .connection_timeout(ANSWER_MAX)
            .request_timeout(Some(ANSWER_MAX))
            .ping_interval(Duration::from_secs(20))
            // Each once. The one that it tries after a break is given up with the client.
            .max_reconnects(addresses.len())
            .event_callback(move |event| {
                note(&breaks, event);
                async {}
            });
        let options = match credentials {
            Some(credentials) => credentials.put(options),
            None => options,
        };
        let connecting = tls::put(config, options).connect(addresses);
        let client = tokio::time::timeout(ANSWER_MAX * 2, connecting)
            .await
            .map_err(|_| StreamError::Connect {
                server: server.clone(),
                problem: "it does not answer".to_owned(),
            })?
            .map_err(|error| refused(&error, &server, shown))?;
        check_version(&client.server_info().version, &server)?;
        Ok(Self { client, server, broken })
    }

    /// Does the work, unless the connection breaks or the server does not permit a part of it: it
    /// would wait for answers that never come.
    pub(crate) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, StreamError>>,
    ) -> Result<T, StreamError> {
        tokio::select! {
            biased;
            broken = self.broken() => Err(broken),
            result = work => result,
        }
    }

    async fn broken(&self) -> StreamError {
        let server = self.server.clone();
        // The sender lives as long as the client does.
        match self.broken.clone().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Broken::NotPermitted(problem))) => {
                StreamError::NotPermitted { server, problem: problem.clone() }
            }
            _ => StreamError::Disconnected { server },
        }
    }
}

/// The first reason stays.
fn note(breaks: &watch::Sender<Option<Broken>>, event: Event) {
    let why = match event {
        Event::Disconnected | Event::Closed => Broken::Gone,
        Event::ServerError(ServerError::Other(said))
            if said.to_ascii_lowercase().contains(NOT_PERMITTED) =>
        {
            Broken::NotPermitted(said)
        }
        _ => return,
    };
    breaks.send_if_modified(|broken| {
        let first = broken.is_none();
        broken.get_or_insert(why);
        first
    });
}

/// Why a server could not be used, in words that help.
fn refused(error: &ConnectError, server: &str, shown: &'static str) -> StreamError {
    let server = server.to_owned();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            StreamError::NotLetIn { server, shown }
        }
        _ => match tls::error_in(error) {
            Some(tls) => {
                StreamError::Tls { server, problem: tls.to_string(), remedy: tls::remedy(tls) }
            }
            None => StreamError::Connect { server, problem: error.to_string() },
        },
    }
}

/// Checks the files of the settings, so that a wrong one is told at once.
pub(crate) fn check_files(config: &StreamConfig) -> Result<(), StreamError> {
    if let Some(path) = &config.credentials {
        Credentials::read(path)?;
    }
    tls::check_files(config)
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
}
