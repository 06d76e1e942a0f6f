//! What risk has to say of a payment: the journal's bytes as a typed message, and back.

use millrace_protos::v1;
use millrace_risk::evidence::{Evidence, Reason};

/// The message, if the bytes are evidence and the message says all of it.
pub(super) fn write(bytes: &[u8]) -> Option<v1::RiskEvidence> {
    let evidence = Evidence::read(bytes)?;
    let challenger = evidence.challenger;
    let reason = |reason: &Reason| v1::RiskReason {
        feature: reason.feature.into(),
        value: Some(reason.value),
        contribution: Some(reason.contribution),
    };
    let message = v1::RiskEvidence {
        policy_number: evidence.policy.into(),
        score: evidence.score,
        fell_back: evidence.fell_back,
        challenger_score: challenger.map(|(score, _)| score),
        challenger_decision: challenger.map_or(0, |(_, decision)| decision.into()),
        reasons: evidence.reasons.iter().map(reason).collect(),
        rule_reason: evidence.rule_reason,
    };
    (read(&message).as_deref() == Some(bytes)).then_some(message)
}

/// The bytes that the journal has; `None` when the message says what no evidence can.
pub(super) fn read(message: &v1::RiskEvidence) -> Option<Vec<u8>> {
    let decision = u8::try_from(message.challenger_decision).ok()?;
    let mut reasons = Vec::with_capacity(message.reasons.len());
    for reason in &message.reasons {
        reasons.push(Reason {
            feature: u16::try_from(reason.feature).ok()?,
            value: reason.value?,
            contribution: reason.contribution?,
        });
    }
    let evidence = Evidence {
        policy: u16::try_from(message.policy_number).ok()?,
        score: message.score,
        challenger: message.challenger_score.map(|score| (score, decision)),
        fell_back: message.fell_back,
        reasons,
        rule_reason: message.rule_reason.clone(),
    };
    let mut bytes = Vec::with_capacity(64);
    evidence.put(&mut bytes);
    Some(bytes)
}
