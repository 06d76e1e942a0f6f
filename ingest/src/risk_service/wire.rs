//! What the desk and the ledger know, for the wire.

use millrace_ledger::{Operation, PaymentView, RiskDecision, Status};
use millrace_protos::v1;
use millrace_risk::desk::{Decided, Deed, HoldEnd, PolicySet, Report, ReviewKind, Standing};
use prost_types::Timestamp;

use crate::convert;

pub(super) fn time(ns: u64) -> Timestamp {
    Timestamp { seconds: (ns / 1_000_000_000) as i64, nanos: (ns % 1_000_000_000) as i32 }
}

pub(super) fn deed(deed: &Deed) -> v1::Deed {
    v1::Deed {
        actor: deed.by.clone(),
        why: deed.why.clone(),
        time: Some(time(deed.at_ns)),
        event_sequence: deed.seq,
    }
}

/// A review; `None` where risk did not hold the money.
pub(super) fn review(decided: &Decided) -> Option<v1::Review> {
    let standing = decided.standing.as_ref()?;
    let event = &decided.event;
    let evidence = decided.evidence.as_ref();
    let kind = match standing.kind {
        ReviewKind::Review => v1::ReviewKind::Review,
        ReviewKind::Challenge => v1::ReviewKind::Challenge,
    };
    let (remaining_minor, remaining_minor_high) = convert::halves(standing.left_minor);
    Some(v1::Review {
        kind: kind as i32,
        payment: Some(payment(decided)),
        outcome: Some(convert::outcome(
            event.payment.id,
            event.outcome,
            event.verdict,
            event.seq.0,
            false,
        )),
        decided_at: Some(time(decided.time.0)),
        hold_state: hold_state(standing) as i32,
        remaining_minor,
        remaining_minor_high,
        expires_at: standing.expires_at_ns.map(time),
        claim: standing.claim.as_ref().map(deed),
        resolution: standing.resolution.as_ref().map(|resolution| v1::Resolution {
            approve: resolution.approve,
            deed: Some(deed(&resolution.deed)),
        }),
        score: evidence.and_then(|evidence| evidence.score),
        rule_reason: evidence.and_then(|it| it.rule_reason.clone()).unwrap_or_default(),
    })
}

fn hold_state(standing: &Standing) -> v1::HoldState {
    match standing.end {
        None => v1::HoldState::Open,
        Some(HoldEnd::Captured) => v1::HoldState::Captured,
        Some(HoldEnd::Voided) => v1::HoldState::Voided,
        Some(HoldEnd::Expired) => v1::HoldState::Expired,
    }
}

/// The payment as decided, with its context.
pub(super) fn payment(decided: &Decided) -> millrace_protos::Payment {
    millrace_protos::Payment {
        context: decided.context.clone().into(),
        ..convert::wire_payment(&decided.event.payment)
    }
}

pub(super) fn report(report: &Report) -> v1::FraudReport {
    v1::FraudReport { fraud: report.fraud, deed: Some(deed(&report.deed)) }
}

pub(super) fn policy(policy: &PolicySet) -> v1::PolicyInForce {
    v1::PolicyInForce {
        number: policy.number,
        name: policy.name.clone(),
        deed: Some(deed(&policy.deed)),
    }
}

/// Why there is no review of a payment, in words.
pub(super) fn what_happened(view: &PaymentView) -> String {
    let rule = view.verdict.rule.as_str();
    match (view.verdict.decision, view.outcome.status) {
        (_, _) if view.payment.operation.needs_original() => {
            let operation = match view.payment.operation {
                Operation::Capture => "capture",
                Operation::Void => "void",
                _ => "refund",
            };
            format!("it is a {operation} of the payment {}", view.payment.original)
        }
        (RiskDecision::Decline, _) => format!("risk declined it ({rule})"),
        (_, Status::Rejected(reason)) => {
            format!("it was refused before any money was held ({})", reason.upper_snake_name())
        }
        (RiskDecision::Approve, _) => "risk approved it".to_owned(),
        _ => "risk did not hold it".to_owned(),
    }
}
