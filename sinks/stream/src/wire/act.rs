//! Acts as typed messages. The bytes that the journal has go along: they are what is read back.

use bytes::Bytes;
use millrace_protos::{
    convert::id_bytes,
    v1::{self, act_recorded as wire},
};
use millrace_risk::acts::{Act, ActKind, QuarantinedEvent, RotateKeyAct};

pub(super) fn write(json: &Bytes) -> v1::ActRecorded {
    let unread = v1::ActRecorded { json: json.clone(), ..v1::ActRecorded::default() };
    let Ok(Act { actor, why, act }) = Act::read(json) else { return unread };
    let act = match act {
        ActKind::SetPolicy { policy, .. } => wire::Act::PolicySet(wire::PolicySet { policy }),
        ActKind::Upload { kind, artefact, title, size_bytes } => {
            let kind = kind.name().to_owned();
            wire::Act::Uploaded(wire::Uploaded { kind, artefact, title, size_bytes })
        }
        ActKind::Label(label) => wire::Act::FraudReported(wire::FraudReported {
            payment_id: id_bytes(label.payment.as_u128()),
            fraud: label.fraud,
        }),
        ActKind::ClaimReview { payment, by } => wire::Act::ReviewClaimed(wire::ReviewClaimed {
            payment_id: id_bytes(payment.as_u128()),
            by,
        }),
        ActKind::ResolveReview { payment, approve } => {
            let payment_id = id_bytes(payment.as_u128());
            wire::Act::ReviewResolved(wire::ReviewResolved { payment_id, approve })
        }
        ActKind::ReplayEvent(event) => wire::Act::QuarantineResolved(resolved(event, true)),
        ActKind::DropEvent(event) => wire::Act::QuarantineResolved(resolved(event, false)),
        ActKind::RebuildSink(rebuild) => {
            wire::Act::SinkRebuilt(wire::SinkRebuilt { sink: rebuild.sink })
        }
        ActKind::RotateAuditKey(RotateKeyAct { old_key, new_key, tree_size, .. }) => {
            wire::Act::AuditKeyRotated(wire::AuditKeyRotated { old_key, new_key, tree_size })
        }
    };
    v1::ActRecorded { actor, why, act: Some(act), ..unread }
}

fn resolved(event: QuarantinedEvent, replay: bool) -> wire::QuarantineResolved {
    let QuarantinedEvent { sink, event: event_sequence, .. } = event;
    wire::QuarantineResolved { sink, event_sequence, replay }
}
