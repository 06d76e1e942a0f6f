//! Acts as typed messages. The bytes that the journal has go along: they are what is read back.

use bytes::Bytes;
use millrace_protos::{
    convert::id_bytes,
    v1::{self, act_recorded as wire},
};
use millrace_risk::acts::{
    AccountChangeKind, Act, ActKind, ChangeAccountAct, QuarantinedEvent, RotateKeyAct,
};
use uuid::Uuid;

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
        ActKind::OpenAccounts(opening) => {
            let account_ids = opening.accounts.into_iter().map(wire_id).collect();
            wire::Act::AccountsAsked(wire::AccountsAsked { account_ids })
        }
        ActKind::ChangeAccount(changing) => wire::Act::AccountChangeAsked(change_asked(&changing)),
        ActKind::ResendNotification(resend) => {
            let notification_id = resend.notification;
            wire::Act::NotificationResent(wire::NotificationResent { notification_id })
        }
        ActKind::SetPreferences(set) => {
            wire::Act::PreferencesSet(wire::PreferencesSet { owner_id: wire_id(set.owner) })
        }
    };
    v1::ActRecorded { actor, why, act: Some(act), ..unread }
}

fn wire_id(id: Uuid) -> Bytes {
    id_bytes(id.as_u128())
}

fn change_asked(asked: &ChangeAccountAct) -> wire::AccountChangeAsked {
    let change = match asked.change {
        AccountChangeKind::Freeze => v1::AccountChange::Frozen,
        AccountChangeKind::Reopen => v1::AccountChange::Reopened,
        AccountChangeKind::Close => v1::AccountChange::Closed,
        AccountChangeKind::SetCreditLimit => v1::AccountChange::CreditLimitSet,
    };
    let limit = asked.credit_limit_minor.as_deref().and_then(|minor| minor.parse().ok());
    let limit: u128 = limit.unwrap_or_default();
    wire::AccountChangeAsked {
        account_id: wire_id(asked.account),
        change: change as i32,
        credit_limit_minor: limit as u64,
        credit_limit_minor_high: (limit >> 64) as u64,
    }
}

fn resolved(event: QuarantinedEvent, replay: bool) -> wire::QuarantineResolved {
    let QuarantinedEvent { sink, event: event_sequence, .. } = event;
    wire::QuarantineResolved { sink, event_sequence, replay }
}
