//! Reports of fraud: consumes whether a payment was fraud, produces a label that has all that
//! profiles need of the payment.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millrace_ledger::Amount;
use millrace_protos::v1;
use millrace_risk::{
    acts::{ActKind, LabelAct},
    desk::{Decided, Report},
};
use tonic::Status;
use uuid::Uuid;

use super::{RiskRefusal, Risks, acts::Signature, payment_id};

const NANOS: u64 = 1_000_000_000;

impl Risks {
    pub(super) async fn report(
        &self,
        request: v1::ReportFraudRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::ReportFraudResponse, Status> {
        let id = payment_id(&request.payment_id)?;
        let signature = Signature::check(request.actor, request.why)?;
        let known_at_ns = request.known_at.as_ref().map(known_at_ns).transpose()?;
        let desk = self.current_desk().await?;
        let _lock = self.ledgered.lock(id).await;
        let view = self.known_payment(id, deadline).await?;
        if view.payment.operation.needs_original() {
            let (operation, original) = (view.payment.operation, view.payment.original);
            return Err(RiskRefusal::NotAPayment { operation, original }.into());
        }
        let payment = Uuid::from_u128(id.0);
        let unread = self.ledgered.unread(desk.as_ref(), |act| match act {
            ActKind::Label(label) if label.payment == payment => Some(label.fraud),
            _ => None,
        });
        let last = match unread.into_iter().next_back() {
            Some((fraud, deed)) => Some(Report { fraud, deed }),
            None => self.ask(&desk, move |desk| desk.report(id)).await?,
        };
        if let Some(last) = last.as_ref().filter(|last| last.fraud == request.fraud) {
            let event_sequence = last.deed.seq;
            return Ok(v1::ReportFraudResponse { event_sequence, replayed: true });
        }
        // From the journal, whatever risk said of it: the desk does not keep when a payment happened.
        let mut label = label(&self.read_again(view.seq).await?, request.fraud);
        label.known_at_ns = known_at_ns.map(|at| could_be(at, label.paid_at_ns)).transpose()?;
        label.takes_back = last.is_some_and(|last| last.fraud);
        let deed = self.act(desk.as_ref(), &signature, ActKind::Label(label), deadline).await?;
        Ok(v1::ReportFraudResponse { event_sequence: deed.seq, replayed: false })
    }
}

fn known_at_ns(known_at: &prost_types::Timestamp) -> Result<u64, RiskRefusal> {
    let seconds = u64::try_from(known_at.seconds).ok();
    let nanos = u64::try_from(known_at.nanos).ok().filter(|nanos| *nanos < NANOS);
    let ns = seconds.zip(nanos).and_then(|(s, ns)| s.checked_mul(NANOS)?.checked_add(ns));
    let what = "is no time between 1970 and 2554";
    ns.ok_or(RiskRefusal::FieldMalformed { field: "known_at", what })
}

/// Nobody knew before the payment, and nobody knows yet what will be.
fn could_be(known_at_ns: u64, paid_at_ns: u64) -> Result<u64, RiskRefusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let what = match known_at_ns {
        known_at if known_at < paid_at_ns => "is before the payment was made",
        known_at if u128::from(known_at) > now => "is after now",
        known_at => return Ok(known_at),
    };
    Err(RiskRefusal::FieldMalformed { field: "known_at", what })
}

fn label(decided: &Decided, fraud: bool) -> LabelAct {
    let payment = &decided.event.payment;
    // What a refused payment asked for was attempted.
    let amount = match decided.event.outcome.is_accepted() {
        true => decided.event.outcome.amount,
        false if payment.amount == Amount::ALL => Amount::ZERO,
        false => payment.amount,
    };
    // A payment can't be ahead of its batch, whatever its origin says.
    let paid_at = payment.event_time.map_or(decided.time, |origin| origin.min(decided.time));
    LabelAct {
        payment: Uuid::from_u128(payment.id.0),
        fraud,
        paid_at_ns: paid_at.0,
        known_at_ns: None,
        takes_back: false,
        amount_minor: u64::try_from(amount.0).unwrap_or(u64::MAX),
        ledger: payment.ledger.0,
        payer: Uuid::from_u128(payment.debit.0),
        payee: Uuid::from_u128(payment.credit.0),
        context: decided.context.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
