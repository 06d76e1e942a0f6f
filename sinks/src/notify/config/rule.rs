//! Settings of who is told what.

use serde::Deserialize;
use uuid::Uuid;

use super::super::{Channel, EventKind, Role};

/// Which events tell whom what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The kind of event.
    pub on: EventKind,
    /// Only this party. Default: all that are told of the kind.
    #[serde(default)]
    pub role: Option<Role>,
    /// Three letters of ISO 4217: only events in this currency. Default: any.
    #[serde(default)]
    pub currency: Option<String>,
    /// Only events of at least this much, as decimal text in `currency`. Default: any amount.
    #[serde(default)]
    pub minimum: Option<String>,
    /// Only these accounts are told. Default: all.
    #[serde(default)]
    pub accounts: Vec<Uuid>,
    /// Only these owners are told. Default: all.
    #[serde(default)]
    pub owners: Vec<Uuid>,
    /// Only refusals for these reasons, such as `INSUFFICIENT_FUNDS`. Default: any.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// How they are told. Default: the inbox, e-mail and webhook, and for security alerts short and
    /// push messages too, each where it is on and the owner has an address.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Template text: the first line is the subject, the rest the body. Default: the templates of
    /// the owner's language.
    #[serde(default)]
    pub template: Option<String>,
}

impl RuleConfig {
    /// All events of this kind, with the built-in template.
    #[must_use]
    pub fn any(kind: EventKind) -> Self {
        Self {
            on: kind,
            role: None,
            currency: None,
            minimum: None,
            accounts: Vec::new(),
            owners: Vec::new(),
            reasons: Vec::new(),
            channels: Vec::new(),
            template: None,
        }
    }
}

/// Below which amount a balance is low.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowBalanceConfig {
    /// Three letters of ISO 4217.
    pub currency: String,
    /// Decimal text.
    pub below: String,
}
