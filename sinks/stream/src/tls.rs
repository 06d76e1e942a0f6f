//! TLS: consumes the files of the settings and what the handshake said, produces options and words.
//! Guarantees that a process with an authority of its own never talks to a server without TLS.

use std::{error::Error, fs, io, path::Path};

use async_nats::{
    ConnectError, ConnectOptions,
    rustls::{self, AlertDescription, CertificateError},
};

use crate::{StreamConfig, StreamError};

/// What each file has to hold.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const KEY: &str = "PRIVATE KEY-----";

/// Checks that each file holds what it should: the client takes one that holds nothing for one that
/// trusts nobody.
pub(crate) fn check_files(config: &StreamConfig) -> Result<(), StreamError> {
    for (key, path, mark, what) in [
        ("stream.ca_certificates", &config.ca_certificates, CERTIFICATE, "certificate"),
        ("stream.client_certificate", &config.client_certificate, CERTIFICATE, "certificate"),
        ("stream.client_key", &config.client_key, KEY, "private key"),
    ] {
        if let Some(path) = path {
            check_file(key, path, mark, what)?;
        }
    }
    Ok(())
}

fn check_file(key: &'static str, path: &Path, mark: &str, what: &str) -> Result<(), StreamError> {
    let unfit = |problem| StreamError::File { key, path: path.to_owned(), problem };
    let text = fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
    match text.contains(mark) {
        true => Ok(()),
        false => Err(unfit(format!("it holds no {what} (PEM)"))),
    }
}

/// Adds the files to what a client is made with. Who names them wants TLS: the server's first words
/// come before it, and whoever stands between could leave it out.
pub(crate) fn put(config: &StreamConfig, mut options: ConnectOptions) -> ConnectOptions {
    if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
        options = options.require_tls(true);
    }
    if let Some(path) = &config.ca_certificates {
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    options
}

/// What TLS said against a connection.
pub(crate) fn error_in(error: &ConnectError) -> Option<&rustls::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let wrapped = wrapped.and_then(|error| error.downcast_ref());
        if let Some(found) = error.downcast_ref().or(wrapped) {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// What to do about it.
pub(crate) fn remedy(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "Its certificate is of an authority that is not trusted here: set \
             stream.ca_certificates to the certificate (PEM) of the authority that signed it"
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "Its certificate is for other names: use one of them in stream.url",
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "Its certificate is too old: renew it there"
        }
        AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        ) => {
            "It does not take the certificate of this process: set stream.client_certificate and \
             stream.client_key to ones of an authority that it trusts"
        }
        InvalidMessage(_) => {
            "It does not speak TLS: set TLS up there, or take tls:// and the certificates out of \
             [stream]"
        }
        _ => "Compare the server's TLS settings with [stream]",
    }
}
