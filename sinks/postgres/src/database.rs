//! Connections to PostgreSQL: consumes urls and settings, produces sessions that are set up, and
//! errors that say what a stranger can do. Guarantees that no text shows a password.

use std::{fmt::Display, net::IpAddr, str::FromStr, time::Duration};

use millrace_sinks::SinkError;
use tokio_postgres::{
    Client, Config, Error,
    config::{Host, SslMode},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{PostgresConfig, tls};

/// A database to connect to.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
    /// Host, port and name, for people.
    pub(crate) label: String,
}

impl Database {
    /// Reads a url. `setting` is where it stands.
    pub(crate) fn parse(
        setting: &str,
        url: &str,
        settings: &PostgresConfig,
        session: &[(&str, String)],
    ) -> Result<Self, SinkError> {
        let refused = |problem| SinkError::Service {
            service: "PostgreSQL".to_owned(),
            problem,
            transient: false,
        };
        let unreadable = |problem: &str| {
            refused(format!(
                "postgres.{setting} is no url of a PostgreSQL database \
                 (postgres://user:password@host:5432/database): {problem}"
            ))
        };
        let mut config = Config::from_str(url).map_err(|error| unreadable(&text_of(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(unreadable("it names no host"));
        }
        // Where nobody is between, TLS guards nothing; and the certificate that a server makes for
        // itself, as Debian's does, nobody vouches for.
        let by_chance = config.get_ssl_mode() == SslMode::Prefer && !settings.names_ca();
        if by_chance && is_local(&config) {
            config.ssl_mode(SslMode::Disable);
        }
        let tls = tls::connector(settings, config.get_ssl_mode()).map_err(refused)?;
        let mut options = config.get_options().unwrap_or_default().to_owned();
        for (name, value) in session {
            options.push_str(&format!(" -c {name}={value}"));
        }
        config.options(options.trim_start());
        if config.get_application_name().is_none() {
            config.application_name("millrace");
        }
        config.connect_timeout(Duration::from_millis(settings.connect_timeout_ms));
        config.keepalives_idle(Duration::from_secs(30));
        let label = label(&config);
        Ok(Self { config, tls, label })
    }

    /// Makes a connection. The runtime at hand drives it.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
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

/// A connection for people's acts, with the settings of the sink's: to `postgres.url`. The runtime
/// at hand drives it.
///
/// # Errors
/// When the url is none, or the server can't be reached or refuses.
pub async fn connect(config: &PostgresConfig) -> Result<Client, SinkError> {
    let database = Database::parse("url", &config.url, config, &[])?;
    database.connect().await.map_err(database.failed("connect"))
}

/// Whether all of it stays on this machine.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
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
    if let Some(hint) = tls::hint(error) {
        text.push_str(". ");
        text.push_str(hint);
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
        // A certificate will be no other one the next time.
        if tls::hint(error).is_some() {
            return false;
        }
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

    fn parse(url: &str) -> Result<Database, SinkError> {
        Database::parse("read_url", url, &PostgresConfig::default(), &[])
    }

    #[test]
    fn tls_is_used_where_somebody_may_be_between() {
        let with_ca = PostgresConfig { ca_file: "no/such/ca.pem".into(), ..Default::default() };
        for (url, mode) in [
            ("postgres://db.example/x", SslMode::Prefer),
            ("postgres://db.example/x?sslmode=disable", SslMode::Disable),
            ("postgres://localhost/x", SslMode::Disable),
            ("postgres://127.0.0.1,[::1]/x", SslMode::Disable),
            ("postgres://127.0.0.1,db.example/x", SslMode::Prefer),
            ("host=localhost hostaddr=192.0.2.7", SslMode::Prefer),
            ("host=/run/postgresql user=anna", SslMode::Disable),
            ("postgres://localhost/x?sslmode=require", SslMode::Require),
        ] {
            let database = parse(url).expect("is a url");
            assert_eq!(database.config.get_ssl_mode(), mode, "{url}");
        }
        let Err(error) = Database::parse("url", "postgres://localhost/x", &with_ca, &[]) else {
            panic!("a CA is asked for");
        };
        assert!(error.to_string().contains("postgres.ca_file (no/such/ca.pem)"), "{error}");
    }

    #[test]
    fn no_text_shows_a_password() {
        let url = "postgres://anna:secret@db.example:6432/payments";
        let database = parse(url).expect("is a url");
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
        ] {
            let Err(error) = parse(url) else { panic!("{url} is taken") };
            let text = error.to_string();
            assert!(text.starts_with("PostgreSQL: postgres.read_url is no url"), "{text}");
            assert!(text.contains(problem), "{text}");
        }
    }

    #[test]
    fn settings_of_the_session_come_behind_those_of_the_url() {
        let url = "host=x options='-c geqo=off'";
        let session = [("jit", "off".to_owned())];
        let settings = PostgresConfig::default();
        let database = Database::parse("url", url, &settings, &session).expect("is a url");
        assert_eq!(database.config.get_options(), Some("-c geqo=off -c jit=off"));
    }
}
