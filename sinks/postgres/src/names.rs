//! The words that people see in the tables: consumes values of the ledger, produces text, and back.
//! Guarantees that every value has one word, in lower snake case.

use std::sync::LazyLock;

use millrace_ledger::{AccountState, Operation, RejectReason, RiskDecision, Status};
use millrace_protos::v1::Channel;
use millrace_sinks::graphql::{BalanceChange, PaymentState};

pub(crate) const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Pay, "pay"),
    (Operation::Authorize, "authorize"),
    (Operation::Capture, "capture"),
    (Operation::Void, "void"),
    (Operation::Refund, "refund"),
];

pub(crate) const DECISIONS: [(RiskDecision, &str); 5] = [
    (RiskDecision::NotJudged, "not_judged"),
    (RiskDecision::Approve, "approve"),
    (RiskDecision::Review, "review"),
    (RiskDecision::Decline, "decline"),
    (RiskDecision::Challenge, "challenge"),
];

pub(crate) const PAYMENT_STATES: [(PaymentState, &str); 8] = [
    (PaymentState::RefusedIdFree, "refused_id_free"),
    (PaymentState::Refused, "refused"),
    (PaymentState::Settled, "settled"),
    (PaymentState::Released, "released"),
    (PaymentState::HoldOpen, "hold_open"),
    (PaymentState::HoldCaptured, "hold_captured"),
    (PaymentState::HoldVoided, "hold_voided"),
    (PaymentState::HoldExpired, "hold_expired"),
];

pub(crate) const ACCOUNT_STATES: [(AccountState, &str); 3] = [
    (AccountState::Open, "open"),
    (AccountState::Frozen, "frozen"),
    (AccountState::Closed, "closed"),
];

pub(crate) const CHANGES: [(BalanceChange, &str); 6] = [
    (BalanceChange::Settled, "settled"),
    (BalanceChange::Held, "held"),
    (BalanceChange::Captured, "captured"),
    (BalanceChange::Voided, "voided"),
    (BalanceChange::Refunded, "refunded"),
    (BalanceChange::Expired, "expired"),
];

/// `Unspecified` is no word: the column is null.
pub(crate) const CHANNELS: [(Channel, &str); 7] = [
    (Channel::CardPresent, "card_present"),
    (Channel::CardNotPresent, "card_not_present"),
    (Channel::Transfer, "transfer"),
    (Channel::StandingOrder, "standing_order"),
    (Channel::DirectDebit, "direct_debit"),
    (Channel::Cash, "cash"),
    (Channel::Internal, "internal"),
];

/// By number; the reasons that exist.
static REASONS: LazyLock<Vec<Option<String>>> = LazyLock::new(|| {
    let word = |reason: RejectReason| reason.upper_snake_name().to_ascii_lowercase();
    (0..=u8::MAX).map(|number| RejectReason::from_number(number).map(word)).collect()
});

/// The word of a value.
pub(crate) fn word_of<T: Copy + PartialEq>(words: &[(T, &'static str)], value: T) -> &'static str {
    words.iter().find(|(known, _)| *known == value).map_or("", |(_, word)| word)
}

/// The value of a word.
pub(crate) fn value_of<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
}

pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Settled => "settled",
        Status::Held => "held",
        Status::Voided => "voided",
        Status::Rejected(_) => "rejected",
    }
}

pub(crate) fn status_of(word: &str, reason: Option<&str>) -> Option<Status> {
    Some(match (word, reason) {
        ("settled", None) => Status::Settled,
        ("held", None) => Status::Held,
        ("voided", None) => Status::Voided,
        ("rejected", Some(reason)) => Status::Rejected(reason_of(reason)?),
        _ => return None,
    })
}

pub(crate) fn reason(reason: RejectReason) -> &'static str {
    REASONS[usize::from(reason as u8)].as_deref().unwrap_or("")
}

fn reason_of(word: &str) -> Option<RejectReason> {
    let number = REASONS.iter().position(|known| known.as_deref() == Some(word))?;
    RejectReason::from_number(u8::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        for reason in RejectReason::ALL.iter().copied() {
            let word = super::reason(reason);
            assert!(!word.is_empty() && word == word.to_ascii_lowercase(), "{reason:?}: {word}");
            assert_eq!(status_of("rejected", Some(word)), Some(Status::Rejected(reason)));
        }
        assert_eq!(super::reason(RejectReason::InsufficientFunds), "insufficient_funds");
        assert_eq!(status_of("rejected", Some("no_such_reason")), None);
        assert_eq!(status_of("rejected", None), None);
        assert_eq!(status_of("settled", Some("insufficient_funds")), None);
    }

    #[test]
    fn words_read_back() {
        for (value, word) in PAYMENT_STATES {
            assert_eq!(word_of(&PAYMENT_STATES, value), word);
            assert_eq!(value_of(&PAYMENT_STATES, word), Some(value));
        }
        assert_eq!(value_of(&OPERATIONS, "PAY"), None);
        for number in 1..=7 {
            let channel = Channel::try_from(number).expect("is known");
            assert!(!word_of(&CHANNELS, channel).is_empty(), "{channel:?} has a word");
        }
        assert!(Channel::try_from(8).is_err(), "a new channel needs a word");
    }
}
