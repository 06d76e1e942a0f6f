//! TLS to PostgreSQL: consumes the settings of certificates, produces what shakes hands, and what
//! to do when that fails. Guarantees that a certificate is verified, and that it is the host's,
//! wherever TLS is used.

use std::{error::Error, fmt::Display, io, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::PostgresConfig;

/// Shakes hands with servers whose certificate those have signed whom the settings name, or whom
/// the system trusts. Files are read now: new ones count from the next start.
pub(crate) fn connector(
    settings: &PostgresConfig,
    mode: SslMode,
) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    if settings.names_ca() {
        for certificate in certificates("ca_file", &settings.ca_file)? {
            let added = roots.add(certificate);
            added.map_err(|error| wrong("ca_file", &settings.ca_file, &error))?;
        }
    } else if mode != SslMode::Disable {
        let native = rustls_native_certs::load_native_certs();
        // What the system has and nobody can read vouches for nobody.
        roots.add_parsable_certificates(native.certs);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let (cert, key) = (&settings.cert_file, &settings.key_file);
    let config = match (cert.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (true, true) => config.with_no_client_auth(),
        (false, false) => {
            let chain = certificates("cert_file", cert)?;
            let secret = PrivateKeyDer::from_pem_file(key);
            let secret = secret.map_err(|error| wrong("key_file", key, &error))?;
            let config = config.with_client_auth_cert(chain, secret);
            config.map_err(|error| wrong("cert_file", cert, &error))?
        }
        _ => {
            return Err("postgres.cert_file and postgres.key_file belong together: name both, or \
                        neither"
                .to_owned());
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(setting, path, &error))?;
    match certificates.is_empty() {
        true => Err(wrong(setting, path, &"it holds no certificate in PEM")),
        false => Ok(certificates),
    }
}

fn wrong(setting: &str, path: &Path, problem: &dyn Display) -> String {
    format!("postgres.{setting} ({}) can't be used: {problem}", path.display())
}

/// What to do where TLS is what failed, and will fail again.
pub(crate) fn hint(error: &tokio_postgres::Error) -> Option<&'static str> {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        // An I/O error hides what it carries from `source`.
        let carried = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = match carried {
            Some(carried) => carried.downcast_ref(),
            None => cause.downcast_ref(),
        };
        if let Some(tls) = tls {
            return of(tls);
        }
        if cause.to_string() == "server does not support TLS" {
            return Some(
                "Turn TLS on there (ssl = on), or leave sslmode=require out of the url if nobody \
                 can listen in between",
            );
        }
        source = cause.source();
    }
    None
}

fn of(error: &rustls::Error) -> Option<&'static str> {
    use CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else { return None };
    Some(match bad {
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "Write the host in the url as the certificate has it, or have one made for this name"
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "Have the server's certificate renewed",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "Compare the clocks of this machine and of the one that signed the certificate"
        }
        // What `openssl req -x509` makes, unless it is told otherwise.
        Bad::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "The server shows the certificate of an authority (CA:TRUE). Have it show one that the \
             authority signed, and name the authority's in postgres.ca_file"
        }
        _ => {
            "Name the certificate of who signed the server's in postgres.ca_file. Where nobody \
             can listen in between, sslmode=disable in the url goes without TLS"
        }
    })
}
