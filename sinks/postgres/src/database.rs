//! Connections to PostgreSQL: consumes urls and settings, produces sessions that are set up, and
//! errors that say what a stranger can do. Guarantees that no text shows a password.

use std::{fmt::Display, str::FromStr, time::Duration};

use millrace_sinks::SinkError;
use tokio_postgres::{
    Client, Config, Error, NoTls,
    config::{Host, SslMode},
    error::SqlState,
};

/// A database to connect to.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) config: Config,
    /// Host, port and name, for people.
    pub(crate) label: String,
}

impl Database {
    /// Reads a url. `setting` is where it stands.
    pub(crate) fn parse(
        setting: &str,
        url: &str,
        connect_timeout_ms: u64,
        session: &[(&str, String)],
    ) -> Result<Self, String> {
        let unreadable = |problem: &str| {
            format!(
                "postgres.{setting} is no url of a PostgreSQL database \
                 (postgres://user:password@host:5432/database): {problem}"
            )
        };
        let mut config = Config::from_str(url).map_err(|error| unreadable(&text_of(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(unreadable("it names no host"));
        }
        // The driver would say it, too, but not why.
        if config.get_ssl_mode() == SslMode::Require {
            return Err(unreadable(
                "it asks for TLS (sslmode=require), and Millrace speaks plain TCP, or to a Unix \
                 socket; put a tunnel between, and leave sslmode out",
            ));
        }
        let mut options = config.get_options().unwrap_or_default().to_owned();
        for (name, value) in session {
            options.push_str(&format!(" -c {name}={value}"));
        }
        config.options(options.trim_start());
        if config.get_application_name().is_none() {
            config.application_name("millrace");
        }
        config.connect_timeout(Duration::from_millis(connect_timeout_ms));
        config.keepalives_idle(Duration::from_secs(30));
        let label = label(&config);
        Ok(Self { config, label })
    }

    /// Makes a connection. The runtime at hand drives it.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // Its error is what the client's next call returns.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Makes an error of what failed while the sink was to do this.
    pub(crate) fn failed(&self, action: &'static str) -> impl Fn(Error) -> SinkError + use<> {
        let database = self.clone();
        move |error| database.wrong(action, is_transient(&error), text_of(&error))
    }

    /// An error of our own finding.
    pub(crate) fn wrong(&self, action: &str, transient: bool, problem: impl Display) -> SinkError {
        SinkError::Service {
            service: format!("PostgreSQL at {}", self.label),
            problem: format!("could not {action}: {problem}"),
            transient,
        }
    }
}

fn label(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{host}:{port}/{database}")
}

/// What the server or the operating system said.
pub(crate) fn text_of(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        let mut text = format!("{} ({})", said.message(), said.code().code());
        for more in [said.detail(), said.hint()].into_iter().flatten() {
            text.push_str(". ");
            text.push_str(more);
        }
        return text;
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether the server refused what a row holds, rather than the statement or us.
pub(crate) fn is_of_a_row(error: &Error) -> bool {
    // Data, integrity, limits of the program (such as the size of an index's row).
    error.code().is_some_and(|code| ["22", "23", "54"].contains(&&code.code()[..2]))
}

/// Whether another try may succeed: the server is away or starts, is short of something, or gave up
/// on a statement. What it says of the tables or of who we are will be said again.
pub(crate) fn is_transient(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Connections that are refused or lost carry no code; nor do rows that do not decode.
        return error.is_closed() || has_io_cause(error) || error.to_string().contains("connect");
    };
    let class = &code.code()[..2];
    // Connection, transaction rollback, resources, operator, system.
    ["08", "40", "53", "57", "58"].contains(&class)
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
}

fn has_io_cause(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_shows_a_password() {
        let url = "postgres://anna:secret@db.example:6432/payments";
        let database = Database::parse("url", url, 1, &[]).expect("is a url");
        assert_eq!(database.label, "db.example:6432/payments");
        let error = database.wrong("connect", true, "no route");
        assert_eq!(
            error.to_string(),
            "PostgreSQL at db.example:6432/payments: could not connect: no route"
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (url, problem) in [
            ("postgres//x", "is no url of a PostgreSQL database"),
            ("user=anna", "it names no host"),
            ("host=x sslmode=maybe", "sslmode"),
            ("postgres://x/y?sslmode=require", "Millrace speaks plain TCP"),
        ] {
            let Err(text) = Database::parse("read_url", url, 1, &[]) else {
                panic!("{url} is taken");
            };
            assert!(text.starts_with("postgres.read_url is no url"), "{text}");
            assert!(text.contains(problem), "{text}");
        }
    }

    #[test]
    fn settings_of_the_session_come_behind_those_of_the_url() {
        let url = "host=x options='-c geqo=off'";
        let session = [("jit", "off".to_owned())];
        let database = Database::parse("url", url, 1, &session).expect("is a url");
        assert_eq!(database.config.get_options(), Some("-c geqo=off -c jit=off"));
    }
}
