//! Explanations: consumes a payment's id, produces what risk had to say of it. From the desk where
//! it has the payment, from the journal for every other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_ledger::{Event, EventSeq, PaymentId, PaymentView};
use millrace_protos::v1;
use millrace_risk::{
    desk::{Decided, PolicySet, Report},
    evidence::{Evidence, Reason},
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
        let (report, names) = match &self.parts.desk {
            None => (None, Vec::new()),
            Some(desk) => self.report_and_names(desk, id, &evidence).await?,
        };
        let event = &decided.event;
        let contributions = evidence.reasons.iter().map(|reason| {
            let name = names.get(usize::from(reason.feature)).cloned().unwrap_or_default();
            let Reason { feature, value, contribution } = *reason;
            v1::FeatureContribution { feature: feature.into(), name, contribution, value }
        });
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
    async fn read_again(&self, seq: EventSeq) -> Result<Decided, RiskRefusal> {
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

    async fn report_and_names(
        &self,
        desk: &Arc<dyn ReviewDesk>,
        id: PaymentId,
        evidence: &Evidence,
    ) -> Result<(Option<Report>, Vec<String>), RiskRefusal> {
        let (number, wanted) = (u32::from(evidence.policy), !evidence.reasons.is_empty());
        let feature_names = Arc::clone(&self.parts.feature_names);
        self.ask(desk, move |desk| {
            let report = desk.report(id)?;
            let policy = match wanted && number > 0 {
                true => desk.policies(number.checked_add(1), 1)?,
                false => Vec::new(),
            };
            let named = policy.first().filter(|policy: &&PolicySet| policy.number == number);
            Ok((report, named.map_or_else(Vec::new, |policy| feature_names(&policy.name))))
        })
        .await
    }
}
