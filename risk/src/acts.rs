//! Acts: what analysts do to the policy and to reviews, as the journal records it.
//!
//! JSON, because people read it in the journal and the audit log: at most [`ACT_LEN_MAX`] bytes. An
//! act names what it needs in full, so that a replay needs no other source.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest act, in bytes.
pub const ACT_LEN_MAX: usize = 64 << 10;

/// An act, with who did it and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Who did it, as the front door authenticated them or as they say.
    pub actor: String,
    /// Why.
    pub why: String,
    /// What was done.
    pub act: ActKind,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActKind {
    /// A policy is in force from here on. It and what it names are on the shelf.
    SetPolicy {
        /// BLAKE3 of the policy document, in hexadecimal.
        policy: String,
    },
    /// A payment turned out to be fraud, or not to be.
    Label(LabelAct),
    /// An analyst took a review on, or gave it back.
    ClaimReview {
        /// The payment under review.
        payment: Uuid,
        /// Whose it is now; nobody's when empty.
        by: String,
    },
    /// An analyst decided a review. The capture or void follows as a payment.
    ResolveReview {
        /// The payment under review.
        payment: Uuid,
        /// Whether the money goes through.
        approve: bool,
    },
}

/// A label, with all that profiles need of the payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelAct {
    /// The payment.
    pub payment: Uuid,
    /// Whether it was fraud.
    pub fraud: bool,
    /// When it was paid, in nanoseconds since the Unix epoch.
    pub paid_at_ns: u64,
    /// Minor units.
    pub amount_minor: u64,
    /// Numeric currency code.
    pub ledger: u32,
    /// The account that paid.
    pub payer: Uuid,
    /// The account that received.
    pub payee: Uuid,
    /// Its encoded `millrace.v1.PaymentContext`, in hexadecimal; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
}

/// Why an act can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the act is not what an analyst can do: {0}")]
pub struct ActError(pub String);

impl Act {
    /// Reads an act.
    ///
    /// # Errors
    /// When it is too long, or says something else.
    pub fn read(bytes: &[u8]) -> Result<Self, ActError> {
        if bytes.len() > ACT_LEN_MAX {
            return Err(ActError(format!(
                "it has {} bytes, of {ACT_LEN_MAX} at most",
                bytes.len()
            )));
        }
        serde_json::from_slice(bytes).map_err(|error| ActError(error.to_string()))
    }

    /// The act as the journal keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers become JSON")
    }
}
