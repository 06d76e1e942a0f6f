//! Settings of notifications.

mod channels;
mod delivery;
mod rule;

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::EventKind;

pub use channels::{EmailConfig, FileConfig, ProviderConfig, SecretConfig, Tls, WebhookConfig};
pub use delivery::DeliveryConfig;
pub use rule::{LowBalanceConfig, RuleConfig};

/// Settings of notifications.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Whether anybody is told anything. Default: true.
    pub enabled: bool,
    /// What becomes of messages. Default: `outbox`.
    pub transport: Transport,
    /// The first rule that fits an event decides; an event that none fits tells nobody. Default:
    /// one rule per kind, any amount, with the built-in template.
    pub rules: Vec<RuleConfig>,
    /// JSON file of owners: names, addresses, languages. Read again when it changes. Default: none,
    /// and then only inboxes are filled.
    pub owners: PathBuf,
    /// Directory of templates, `<locale>/<kind>.subject`, `.txt` and `.html`, which come before the
    /// built-in ones. Default: none.
    pub templates: PathBuf,
    /// Language of owners that name none, and of messages that have no template in theirs.
    /// Default: `en`.
    pub locale: String,
    /// Time zone of owners that name none. Default: `UTC`.
    pub time_zone: String,
    /// Below which amounts a balance is low, for owners that name none. Default: none.
    pub low_balance: Vec<LowBalanceConfig>,
    /// Seconds before the end of a hold at which its payee is told. Holds that last no longer than
    /// that are not told. Default: 86400; 0 for never.
    pub hold_expiring_s: u32,
    /// Events that are older than this are not sent any more, but kept. Default: 86400.
    pub stale_s: u32,
    /// Days for which notifications are kept once they are delivered. Default: 90.
    pub retention_days: u32,
    /// Where providers report what became of messages. Default: nowhere.
    pub status_listen: Option<SocketAddr>,
    /// How messages are sent.
    pub delivery: DeliveryConfig,
    /// E-mail. Default: off.
    pub email: EmailConfig,
    /// Signed requests to the owners' own addresses. Default: off.
    pub webhook: WebhookConfig,
    /// Short messages. Default: off.
    pub sms: ProviderConfig,
    /// Push messages. Default: off.
    pub push: ProviderConfig,
    /// Lines of a file. Default: off.
    pub file: FileConfig,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            transport: Transport::Outbox,
            rules: EventKind::ALL.map(RuleConfig::any).to_vec(),
            owners: PathBuf::new(),
            templates: PathBuf::new(),
            locale: "en".into(),
            time_zone: "UTC".into(),
            low_balance: Vec::new(),
            hold_expiring_s: 86_400,
            stale_s: 86_400,
            retention_days: 90,
            status_listen: None,
            delivery: DeliveryConfig::default(),
            email: EmailConfig::default(),
            webhook: WebhookConfig::default(),
            sms: ProviderConfig::default(),
            push: ProviderConfig::default(),
            file: FileConfig::default(),
        }
    }
}

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// They are kept, shown in inboxes, and delivered by channels, at least once.
    Outbox,
    /// `notifications.jsonl` in the sink's directory, a line each, exactly once.
    File,
    /// Standard output, a line each, at least once.
    Stdout,
}
