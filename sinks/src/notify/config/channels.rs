//! Settings of the channels. Secrets are named, not given: by a variable or by a file.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// Where a secret is. At most one of the two is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretConfig {
    /// The environment variable that holds it.
    pub env: String,
    /// The file that holds it; white space around it does not count.
    pub file: PathBuf,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// By STARTTLS; without it, nothing is sent.
    Starttls,
    /// From the first byte: `tls`.
    #[serde(rename = "tls")]
    Implicit,
    /// Not at all. For a server on this machine.
    None,
}

/// E-mail by SMTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmailConfig {
    /// Default: false.
    pub enabled: bool,
    /// The mail server. Default: `localhost`.
    pub host: String,
    /// Default: 587.
    pub port: u16,
    /// Default: `starttls`.
    pub tls: Tls,
    /// PEM file of the authority that signed the server's certificate, beside the public ones.
    /// Default: none.
    pub ca_file: PathBuf,
    /// Sender, as `Name <address>`. Default: `Millrace <notifications@localhost>`.
    pub from: String,
    /// Default: none, no authentication.
    pub username: String,
    /// The password, where `username` is given.
    pub password: SecretConfig,
    /// Longest wait for an answer, in milliseconds. Default: 10000.
    pub timeout_ms: u64,
    /// What authenticates reports of what became of a message. Default: none are taken.
    pub status_secret: SecretConfig,
}

impl Default for EmailConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            host: "localhost".into(),
            port: 587,
            tls: Tls::Starttls,
            ca_file: PathBuf::new(),
            from: "Millrace <notifications@localhost>".into(),
            username: String::new(),
            password: SecretConfig::default(),
            timeout_ms: 10_000,
            status_secret: SecretConfig::default(),
        }
    }
}

/// Signed requests to the owners' own addresses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Default: false.
    pub enabled: bool,
    /// Signs each request.
    pub secret: SecretConfig,
    /// Signs each request as well, while receivers change to `secret`. Default: none.
    pub previous_secret: SecretConfig,
    /// Whether addresses that are not https are refused. Default: true.
    pub https_only: bool,
    /// Longest wait for an answer, in milliseconds. Default: 10000.
    pub timeout_ms: u64,
    /// What authenticates reports of what became of a message. Default: none are taken.
    pub status_secret: SecretConfig,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            secret: SecretConfig::default(),
            previous_secret: SecretConfig::default(),
            https_only: true,
            timeout_ms: 10_000,
            status_secret: SecretConfig::default(),
        }
    }
}

/// A provider that takes messages by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// Default: false.
    pub enabled: bool,
    /// Where requests go.
    pub url: String,
    /// Default: `POST`.
    pub method: String,
    /// Values are templates, with `secret` and what `body` has. Default: a JSON content type.
    pub headers: BTreeMap<String, String>,
    /// Template of the body: `to`, `subject`, `text`, `kind`, `id`, `key`, `name`, `locale`. Filter
    /// `json` quotes. Default: key, address and text as a JSON object.
    pub body: String,
    /// What `{{ secret }}` stands for. Default: none.
    pub secret: SecretConfig,
    /// Longest wait for an answer, in milliseconds. Default: 10000.
    pub timeout_ms: u64,
    /// What authenticates reports of what became of a message. Default: none are taken.
    pub status_secret: SecretConfig,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        let json = ("content-type".into(), "application/json".into());
        Self {
            enabled: false,
            url: String::new(),
            method: "POST".into(),
            headers: BTreeMap::from([json]),
            body: r#"{"id":{{ key|json }},"to":{{ to|json }},"text":{{ text|json }}}"#.into(),
            secret: SecretConfig::default(),
            timeout_ms: 10_000,
            status_secret: SecretConfig::default(),
        }
    }
}

/// Lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// Default: false.
    pub enabled: bool,
    /// Default: `deliveries.jsonl` in the sink's directory.
    pub path: PathBuf,
}
