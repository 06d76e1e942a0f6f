//! What the review desk knows of payments that were not simply approved: the form in which the
//! sink that keeps it and the services that show it speak of it.

use millrace_ledger::{PaymentEvent, PaymentId, RiskDecision, Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;

/// Something that somebody did, and the event of the journal that tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, in nanoseconds since the Unix epoch: the time of its batch.
    pub at_ns: u64,
    /// Position of its event.
    pub seq: u64,
}

/// Why risk holds the money of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ReviewKind {
    /// Until an analyst has looked.
    #[default]
    Review = 1,
    /// Until the upstream has confirmed.
    Challenge = 2,
}

impl ReviewKind {
    /// The kind that a decision makes; `None` for one that holds no money.
    #[must_use]
    pub fn of(decision: RiskDecision) -> Option<Self> {
        match decision {
            RiskDecision::Review => Some(Self::Review),
            RiskDecision::Challenge => Some(Self::Challenge),
            RiskDecision::NotJudged | RiskDecision::Approve | RiskDecision::Decline => None,
        }
    }
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    /// All that was left was captured.
    Captured,
    /// All that was left was released on request.
    Voided,
    /// All that was left was released by the time-out.
    Expired,
}

/// What an analyst decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Whether the money goes through.
    pub approve: bool,
    /// Who, why, when.
    pub deed: Deed,
}

/// Where a review stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Why the money is held.
    pub kind: ReviewKind,
    /// Position of the payment's event.
    pub seq: u64,
    /// Minor units that are still held.
    pub left_minor: u128,
    /// When they are released by themselves; `None` for never.
    pub expires_at_ns: Option<u64>,
    /// How the hold ended; `None` while the review is open.
    pub end: Option<HoldEnd>,
    /// Whose it is, if somebody's.
    pub claim: Option<Deed>,
    /// What an analyst decided last.
    pub resolution: Option<Resolution>,
}

/// Whether a payment was fraud, as somebody reported it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether it was.
    pub fraud: bool,
    /// Who, why, when.
    pub deed: Deed,
}

/// A policy that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySet {
    /// Counted from 1.
    pub number: u32,
    /// BLAKE3 of its document, in hexadecimal.
    pub name: String,
    /// Who, why, when.
    pub deed: Deed,
}

/// A payment that risk did not approve.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The payment as decided, without balances.
    pub event: PaymentEvent,
    /// Time of its batch.
    pub time: Timestamp,
    /// Its encoded `millrace.v1.PaymentContext`; empty where there is none.
    pub context: Vec<u8>,
    /// What risk had to say.
    pub evidence: Option<Evidence>,
    /// Where its review stands, if risk held its money.
    pub standing: Option<Standing>,
}

/// Which reviews to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenPage {
    /// Reviews or challenges.
    pub kind: ReviewKind,
    /// Only those whose event is behind this one; 0 for all.
    pub after_seq: u64,
    /// At most so many.
    pub limit: usize,
    /// Whose: `None` for anybody's, `Some("")` for nobody's.
    pub claimed_by: Option<String>,
}

/// A page of open reviews.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenReviews {
    /// Oldest first, each with its standing.
    pub reviews: Vec<Decided>,
    /// Where the next page begins ([`OpenPage::after_seq`]); `None` on the last page.
    pub next_after_seq: Option<u64>,
}

/// The id of the capture or void by which a review is resolved, made of the hold's: asking twice is
/// the same payment.
///
/// An attempt that was refused, because an account was frozen say, has burned its id: the next one
/// has an id of its own.
#[must_use]
pub fn resolution_id(hold: PaymentId, attempt: u8) -> PaymentId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"millrace review").update(&hold.0.to_be_bytes());
    if attempt > 0 {
        hasher.update(&[attempt]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    PaymentId(uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids lie in journals: another one for the same hold would be another capture.
    #[test]
    fn a_hold_has_the_same_resolution_for_ever() {
        let first = resolution_id(PaymentId(7), 0);
        assert_eq!(first, resolution_id(PaymentId(7), 0));
        let uuid = uuid::Uuid::from_u128(first.0);
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_ne!(first, resolution_id(PaymentId(7), 1));
        assert_ne!(first, resolution_id(PaymentId(8), 0));
        assert_eq!(first.to_string(), "28496949-1fa1-80f4-8b6a-0d0c113c23f6");
    }
}
