//! The `[risk]` part of the configuration: who is exempt, an analyst's limits, and what is kept for
//! rules and models.

use serde::Deserialize;
use uuid::Uuid;

/// The risk policy. Without limits everything is approved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RiskConfig {
    /// Accounts whose payments are neither judged nor counted: an operator's own funding and
    /// liquidity accounts. UUIDs.
    pub exempt_payers: Vec<Uuid>,
    /// Each payment is checked against all of them. Decline wins over review; among limits of
    /// one action, the first that is listed names the reason.
    pub limits: Vec<LimitConfig>,
    /// What is remembered of payers, payees and so on, for rules and models.
    pub features: FeaturesConfig,
}

/// Features, which rules and models need.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Whether features are kept, and policies can be promoted. Default false.
    pub enabled: bool,
    /// `standard`, `devices`, `book`, or the file of a catalogue. Another one is rebuilt from the journal at
    /// the next start. Default `standard`.
    pub catalogue: String,
    /// Entities of a kind that are remembered, where the catalogue does not say. Default 1000000.
    pub entities_max: u32,
    /// Keys of upstreams' own that payments' contexts have beside device, ip, country, mcc and channel. A
    /// catalogue that names another is refused. Empty: any may be named. Default empty.
    pub context_keys: Vec<String>,
    /// Threads that score, the engine's own among them; 0 is half of the processors. Default 0.
    pub threads: usize,
    /// Threads that read and count features, each of the entities that it owns; 1 is the engine's own
    /// alone. Default 1.
    pub shards: usize,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            catalogue: "standard".to_owned(),
            entities_max: 1_000_000,
            context_keys: Vec::new(),
            threads: 0,
            shards: 1,
        }
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Names the limit in verdicts; at most 31 bytes.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// Three-letter ISO 4217 code. Needed for amounts and sums; left out, a count is of payments
    /// in any currency.
    pub currency: Option<String>,
    /// The action is taken above this: decimal text of the currency (`"50000.00"`) for amounts
    /// and sums, a whole number (`"20"`) for counts.
    pub above: String,
    /// What is done then.
    pub action: Action,
}

/// What a limit measures. Hours are the 60 minutes up to the payment's event time, to the minute,
/// the payment itself included; only payments that were accepted count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The amount of the payment.
    PaymentAmount,
    /// The number of the payer's payments in an hour.
    PayerCountPerHour,
    /// The sum of the payer's payments in an hour.
    PayerSumPerHour,
}

/// What is done with a payment above a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Hold the money until a person has looked.
    Review,
    /// Refuse it.
    Decline,
}

/// What is wrong with a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("risk limit {name:?}: {field} {value:?} {reason}")]
pub struct RiskConfigError {
    /// The limit's name.
    pub name: String,
    /// The field at fault.
    pub field: &'static str,
    /// What it says.
    pub value: String,
    /// What is wrong with that.
    pub reason: String,
}
