//! TLS to a real server: what is trusted, what is refused, and what is said then.

mod common;

use std::{fs, path::PathBuf};

use common::{Size, history};
use millrace_postgres::{PostgresConfig, PostgresSink, PostgresStore, connect};
use millrace_services::{Postgres, PostgresTls, required};
use millrace_sinks::{
    Sink,
    graphql::model::{PageQuery, PaymentQuery, ReadModel},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority of the test's own.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca_pem = params.self_signed(&key).expect("signs").pem();
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("ca.pem"), &ca_pem).expect("is written");
        Self { dir, issuer: Issuer::new(params, key), ca_pem }
    }

    fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Certificate and key, PEM.
    fn sign(&self, name: &str) -> [String; 2] {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("is a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        [certificate.pem(), key.serialize_pem()]
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("is written");
        path
    }
}

fn tls(authority: &Authority, name: &str) -> PostgresTls {
    let [certificate, key] = authority.sign(name);
    PostgresTls { certificate, key, client_ca: None }
}

/// Why a sink is refused at start.
fn refused(config: &PostgresConfig) -> String {
    let Err(error) = PostgresSink::open(config) else { panic!("{config:?} is taken") };
    assert!(!error.is_transient(), "{error}");
    error.to_string()
}

#[test]
fn sink_and_queries_speak_tls_with_a_server_that_the_ca_vouches_for() {
    let authority = Authority::new();
    let server = Postgres::start_with_tls(tls(&authority, "127.0.0.1"));
    let Some(server) = required(server) else { return };
    let url = format!("{}?sslmode=require", server.url());
    let config = PostgresConfig { ca_file: authority.ca_file(), ..PostgresConfig::new(&url) };
    let mut sink = PostgresSink::open(&config).expect("opens");
    let size = Size { accounts: 10, batches: 4, batch_payments: 8, step_s_max: 60 };
    let history = history(91, size);
    sink.apply(&history.batches).expect("applies");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = PostgresStore::open(&config, Some(&sink)).expect("opens");
        let page = PaymentQuery::all(PageQuery::first(1_000));
        let found = store.payments(page).await.expect("reads").items.len();
        assert_eq!(found, common::payments_of(&history).len());
        let client = connect(&config).await.expect("connects");
        let sql = "SELECT a.application_name, s.ssl, s.version FROM pg_stat_ssl s \
                   JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'client backend'";
        let sessions = client.query(sql, &[]).await.expect("answers");
        assert_eq!(sessions.len(), 3, "the sink's, the pool's and this one");
        for session in sessions {
            let version: Option<String> = session.get(2);
            assert!(session.get::<_, bool>(1), "{version:?}");
            assert_eq!(version.as_deref(), Some("TLSv1.3"));
        }
    });

    let unknown = PostgresConfig::new(&url);
    let text = refused(&unknown);
    assert!(text.contains("UnknownIssuer") && text.contains("postgres.ca_file"), "{text}");
    let other_host = PostgresConfig { url: url.replace("127.0.0.1", "localhost"), ..config };
    let text = refused(&other_host);
    assert!(text.contains("Write the host in the url as the certificate has it"), "{text}");
    // An authority is no server.
    let ca = Authority::new();
    let certificate = ca.ca_pem.clone();
    let shows_ca =
        PostgresTls { certificate, key: ca.issuer.key().serialize_pem(), client_ca: None };
    let other = Postgres::start_with_tls(shows_ca).expect("the other one started, too");
    let other = PostgresConfig {
        ca_file: ca.ca_file(),
        ..PostgresConfig::new(&format!("{}?sslmode=require", other.url()))
    };
    let text = refused(&other);
    assert!(text.contains("Have it show one that the authority signed"), "{text}");
    // Without sslmode, and on this machine, nobody is between.
    drop(sink);
    PostgresSink::open(&PostgresConfig::new(&server.url())).expect("opens without TLS");
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let Some(server) = required(Postgres::start()) else { return };
    let url = format!("{}?sslmode=require", server.url());
    let text = refused(&PostgresConfig::new(&url));
    assert!(text.contains("server does not support TLS"), "{text}");
    assert!(text.contains("Turn TLS on there (ssl = on)"), "{text}");
    // A CA and no sslmode is "where the server has it".
    let authority = Authority::new();
    let config =
        PostgresConfig { ca_file: authority.ca_file(), ..PostgresConfig::new(&server.url()) };
    PostgresSink::open(&config).expect("opens without TLS");
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_one() {
    let authority = Authority::new();
    let mut settings = tls(&authority, "127.0.0.1");
    settings.client_ca = Some(authority.ca_pem.clone());
    let Some(server) = required(Postgres::start_with_tls(settings)) else { return };
    let url = format!("{}?sslmode=require", server.url());
    let without = PostgresConfig { ca_file: authority.ca_file(), ..PostgresConfig::new(&url) };
    let text = refused(&without);
    assert!(text.contains("certificate"), "{text}");

    let [certificate, key] = authority.sign("millrace");
    let cert_file = authority.file("client.pem", &certificate);
    let half = PostgresConfig { cert_file, ..without };
    assert!(refused(&half).contains("name both, or neither"));
    let key_file = authority.file("client.key", &key);
    PostgresSink::open(&PostgresConfig { key_file, ..half }).expect("opens");
}
