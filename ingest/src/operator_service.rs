//! `OperatorService`: consumes what operators do to sinks and notifications, with who and why, produces
//! one act in the journal each. Guarantees that what is answered is durable; the sink itself does the
//! rest, and to what it keeps in quarantine only if it finds the act.

use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace_engine::{Command, Feed};
use millrace_ledger::{Event, EventSeq};
use millrace_protos::v1::{
    self, operator_service_server::OperatorService, record_act_request as wire,
};
use millrace_risk::acts::{
    Act, ActKind, QuarantinedEvent, RebuildAct, ResendAct, RotateKeyAct, SetPreferencesAct,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    admit::{Admission, deadline},
    convert,
    risk_service::{RiskRefusal, Signature, blocking},
    status::Refusal,
};

const SINK_LEN_MAX: usize = 64;
const KEY_LEN_MAX: usize = 400;
const FEED_WAIT_MAX: Duration = Duration::from_secs(1);

/// The service; see the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    admission: Admission,
    feed: Feed,
}

impl Operators {
    pub(crate) fn new(admission: Admission, feed: Feed) -> Self {
        Self { admission, feed }
    }

    async fn record(
        &self,
        request: v1::RecordActRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::RecordActResponse, Status> {
        let Signature { actor, why } = Signature::check(request.actor, request.why)?;
        let act = match request.act.ok_or(RiskRefusal::FieldMissing { field: "act" })? {
            wire::Act::ReplayEvent(event) => ActKind::ReplayEvent(self.quarantined(event).await?),
            wire::Act::DropEvent(event) => ActKind::DropEvent(self.quarantined(event).await?),
            wire::Act::RebuildSink(v1::RebuildSink { sink, accept_other_root }) => {
                check_sink(&sink)?;
                ActKind::RebuildSink(RebuildAct { sink, accept_other_root, done_at_ns: None })
            }
            wire::Act::RotateAuditKey(v1::RotateAuditKey { old_key, new_key, tree_size }) => {
                for (field, key) in [("old_key", &old_key), ("new_key", &new_key)] {
                    if key.len() > KEY_LEN_MAX {
                        let bytes_max = KEY_LEN_MAX;
                        return Err(RiskRefusal::FieldTooLong { field, bytes_max }.into());
                    }
                }
                let done_at_ns = None;
                ActKind::RotateAuditKey(RotateKeyAct { old_key, new_key, tree_size, done_at_ns })
            }
            wire::Act::ResendNotification(resend) => ActKind::ResendNotification(ResendAct {
                notification: resend.notification_id,
                payment: uuid_or_none("payment_id", &resend.payment_id)?,
                account: uuid_or_none("account_id", &resend.account_id)?,
            }),
            wire::Act::SetPreferences(set) => {
                let owner = uuid_or_none("owner_id", &set.owner_id)?;
                let owner = owner.ok_or(RiskRefusal::FieldMissing { field: "owner_id" })?;
                ActKind::SetPreferences(SetPreferencesAct { owner })
            }
        };
        let act = Bytes::from(Act { actor, why, act }.to_bytes());
        let command = |reply| Command::Act { act, reply };
        let done = self.admission.submit(deadline, command).await?.answer().await?;
        let seq = done.map_err(|error| RiskRefusal::ActRefused { what: error.to_string() })?;
        Ok(v1::RecordActResponse { event_sequence: seq.0 })
    }

    /// The event with what it is about: whoever looks for a payment in the audit log finds what was
    /// done about it.
    async fn quarantined(&self, event: v1::QuarantinedEvent) -> Result<QuarantinedEvent, Status> {
        let v1::QuarantinedEvent { sink, event_sequence: seq } = event;
        check_sink(&sink)?;
        if seq == 0 || seq > self.feed.durable_seq().0 {
            let what = "is no event of this journal; is this the millrace whose sink it is?";
            return Err(RiskRefusal::FieldMalformed { field: "event_sequence", what }.into());
        }
        let feed = self.feed.clone();
        let read = blocking(move || feed.reader(EventSeq(seq)).next(FEED_WAIT_MAX)).await?;
        // A journal that does not go back so far any more is no reason to leave it in quarantine.
        let found = read.ok().flatten().and_then(|batch| {
            batch.events.into_iter().map(|found| found.event).find(|found| found.seq().0 == seq)
        });
        let (payment, account) = match found {
            Some(Event::Payment(paid)) => (Some(paid.payment.id.0), None),
            Some(Event::HoldExpired(expired)) => (Some(expired.payment.0), None),
            Some(Event::Account(changed)) => (None, Some(changed.account.spec.id.0)),
            Some(Event::Act(_)) | None => (None, None),
        };
        let [payment, account] = [payment, account].map(|id| id.map(Uuid::from_u128));
        Ok(QuarantinedEvent { sink, event: seq, payment, account })
    }
}

/// An id that may be left out.
fn uuid_or_none(field: &'static str, bytes: &[u8]) -> Result<Option<Uuid>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = convert::id(bytes).ok_or(Refusal::IdMalformed { field })?;
    Ok(Some(Uuid::from_u128(id)))
}

fn check_sink(sink: &str) -> Result<(), RiskRefusal> {
    if sink.is_empty() {
        return Err(RiskRefusal::FieldMissing { field: "sink" });
    }
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if sink.len() > SINK_LEN_MAX || !sink.chars().all(is_of_name) {
        let what = "is no name of a sink: at most 64 lower-case letters, digits and dashes";
        return Err(RiskRefusal::FieldMalformed { field: "sink", what });
    }
    Ok(())
}

#[tonic::async_trait]
impl OperatorService for Operators {
    async fn record_act(
        &self,
        request: Request<v1::RecordActRequest>,
    ) -> Result<Response<v1::RecordActResponse>, Status> {
        let deadline = deadline(request.metadata().as_ref());
        Ok(Response::new(self.record(request.into_inner(), deadline).await?))
    }
}
