//! Explanations: consumes a payment's id, produces what risk had to say of it. From the desk where
//! it has the payment, from the journal for every other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_ledger::{Event, EventSeq, PaymentId, PaymentView};
use millrace_protos::v1;
use millrace_risk::{
    desk::{Decided, Report},
    evidence::{Evidence, Reason},
    features::Catalogue,
    reasons::value_in_words,
};
use tonic::Status;

use super::{RiskRefusal, Risks, blocking, desk::ReviewDesk, wire};
use crate::convert;

const FEED_WAIT_MAX: Duration = Duration::from_secs(1);

impl Risks {
    pub(super) async fn explain(
        &self,
        id: PaymentId,
        deadline: Option<Instant>,
    ) -> Result<v1::ExplainDecisionResponse, Status> {
        let view = self.known_payment(id, deadline).await?;
        let decided = self.decided(&view).await?;
        let evidence = decided.evidence.clone().unwrap_or_default();
        let (report, catalogue) = match &self.parts.desk {
            None => (None, None),
            Some(desk) => self.report_and_catalogue(desk, id, &evidence).await?,
        };
        let event = &decided.event;
        let catalogue = catalogue.as_deref();
        let contributions = evidence.reasons.iter().map(|reason| contribution(reason, catalogue));
        Ok(v1::ExplainDecisionResponse {
            payment: Some(wire::payment(&decided)),
            outcome: Some(convert::outcome(id, event.outcome, event.verdict, event.seq.0, false)),
            decided_at: Some(wire::time(decided.time.0)),
            policy_number: u32::from(evidence.policy),
            score: evidence.score,
            fell_back: evidence.fell_back,
            challenger_score: evidence.challenger.map(|(score, _)| score),
            // The numbers are those of the wire.
            challenger_decision: evidence.challenger.map_or(0, |(_, number)| i32::from(number)),
            contributions: contributions.collect(),
            review: wire::review(&decided),
            fraud_report: report.as_ref().map(wire::report),
            rule_reason: evidence.rule_reason.unwrap_or_default(),
        })
    }

    /// The payment as it was decided, with context and evidence.
    pub(super) async fn decided(&self, view: &PaymentView) -> Result<Decided, RiskRefusal> {
        let id = view.payment.id;
        if let Some(desk) = &self.parts.desk
            && let Some(decided) = self.ask(desk, move |desk| desk.by_payment(id)).await?
        {
            return Ok(decided);
        }
        self.read_again(view.seq).await
    }

    /// Reads the payment's event again. What is decided is durable before anybody hears of it; the
    /// feed hears of it a moment later.
    pub(super) async fn read_again(&self, seq: EventSeq) -> Result<Decided, RiskRefusal> {
        let feed = self.parts.feed.clone();
        let read = blocking(move || feed.reader(seq).next(FEED_WAIT_MAX)).await?;
        let missing = || RiskRefusal::JournalFailed {
            what: format!(
                "event {seq} can't be read; check the journal with `millrace journal verify`"
            ),
        };
        let batch = read.map_err(|error| RiskRefusal::JournalFailed { what: error.to_string() })?;
        let batch = batch.ok_or_else(missing)?;
        let found = batch.events.into_iter().find(|found| found.event.seq() == seq);
        let found = found.ok_or_else(missing)?;
        let Event::Payment(event) = found.event else { return Err(missing()) };
        Ok(Decided {
            event,
            time: batch.time,
            context: found.context.to_vec(),
            evidence: Evidence::read(&found.evidence),
            standing: None,
        })
    }

    async fn report_and_catalogue(
        &self,
        desk: &Arc<dyn ReviewDesk>,
        id: PaymentId,
        evidence: &Evidence,
    ) -> Result<(Option<Report>, Option<Arc<Catalogue>>), RiskRefusal> {
        let number = u32::from(evidence.policy);
        let policy = match evidence.reasons.is_empty() || number == 0 {
            true => None,
            // The desk may not have read yet which policy that is.
            false => self.set_before(desk, number.checked_add(1), 1).await?.pop(),
        };
        let named = policy.filter(|policy| policy.number == number);
        let catalogue_of = Arc::clone(&self.parts.catalogue_of);
        self.ask(desk, move |desk| {
            Ok((desk.report(id)?, named.and_then(|policy| catalogue_of(&policy.name))))
        })
        .await
    }
}

/// A reason with the name of its feature and in words, where the catalogue is known.
fn contribution(reason: &Reason, catalogue: Option<&Catalogue>) -> v1::FeatureContribution {
    let Reason { feature, value, contribution } = *reason;
    let place = usize::from(feature);
    let known = catalogue.filter(|catalogue| place < catalogue.len());
    let told = |catalogue: &Catalogue| {
        (catalogue.features()[place].name.clone(), value_in_words(catalogue, place, value))
    };
    let (name, words) = known.map(told).unwrap_or_default();
    v1::FeatureContribution { feature: feature.into(), name, contribution, value, words }
}
