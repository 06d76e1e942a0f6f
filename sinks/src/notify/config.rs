//! Settings of notifications.

use serde::Deserialize;

use super::EventKind;

/// Settings of notifications.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Whether anybody is told anything. Default: true.
    pub enabled: bool,
    /// Where messages go. Default: `file`.
    pub transport: Transport,
    /// The first rule that fits an event decides; an event that none fits tells nobody. Default:
    /// one rule per kind, any amount, with the built-in template.
    pub rules: Vec<RuleConfig>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            transport: Transport::File,
            rules: EventKind::ALL.map(RuleConfig::any).to_vec(),
        }
    }
}

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `notifications.jsonl` in the sink's directory, exactly once.
    File,
    /// Standard output, at least once.
    Stdout,
}

/// Which events tell whom what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The kind of event.
    pub on: EventKind,
    /// Three letters of ISO 4217: only events in this currency. Default: any.
    #[serde(default)]
    pub currency: Option<String>,
    /// Only events of at least this much, as decimal text in `currency`. Default: any amount.
    #[serde(default)]
    pub minimum: Option<String>,
    /// Template text: the first line is the subject, the rest the body. Default: built in.
    #[serde(default)]
    pub template: Option<String>,
}

impl RuleConfig {
    /// All events of this kind, with the built-in template.
    #[must_use]
    pub fn any(kind: EventKind) -> Self {
        Self { on: kind, currency: None, minimum: None, template: None }
    }
}
