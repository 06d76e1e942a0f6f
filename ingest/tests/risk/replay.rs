//! The two ends of a service under test: a gate that holds payments by their amount, and the naive
//! form of the review desk.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use millrace_engine::{Feed, FeedEvent};
use millrace_ingest::ReviewDesk;
use millrace_ledger::{
    Event, EventSeq, Gate, GateActError, Judged, PaymentId, RiskDecision, RuleName, Timestamp,
    Verdict,
};
use millrace_risk::{
    acts::{Act, ActKind},
    desk::{
        Decided, Deed, OpenPage, OpenReviews, PolicySet, Report, Resolution, ReviewKind, Standing,
    },
    evidence::Evidence,
};

/// Holds everything for review, and takes every act that can be read.
#[derive(Clone)]
pub(crate) struct Suspicious {
    pub(crate) evidence: Vec<u8>,
}

impl Gate for Suspicious {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let decision = match judged.amount.0 {
            0..1_000 => return Verdict::APPROVE,
            1_000..10_000 => RiskDecision::Review,
            _ => RiskDecision::Challenge,
        };
        Verdict { decision, rule: RuleName::new("odd").unwrap(), hold_s: 3_600 }
    }

    fn observe(&mut self, _: Judged<'_>) {}

    fn evidence(&self, _: u32) -> &[u8] {
        &self.evidence
    }

    fn act(&mut self, act: &[u8], _: Timestamp) -> Result<(), GateActError> {
        Act::read(act).map(drop).map_err(|error| GateActError(error.to_string()))
    }

    fn begin_group(&mut self) {}

    fn end_group(&mut self, _: bool) {}
}

/// The naive form of the desk: reads the journal anew for each question, up to where it may see.
pub(crate) struct Replay {
    pub(crate) feed: Feed,
    pub(crate) visible: AtomicU64,
}

impl Replay {
    fn events(&self) -> Vec<(Timestamp, FeedEvent)> {
        let mut reader = self.feed.reader(EventSeq::FIRST);
        let mut found = Vec::new();
        while let Some(batch) = reader.next(Duration::ZERO).unwrap() {
            found.extend(batch.events.into_iter().map(|event| (batch.time, event)));
        }
        let visible = self.applied_seq();
        found.retain(|(_, event)| event.event.seq() <= visible);
        found
    }

    pub(crate) fn acts(&self) -> Vec<(ActKind, Deed)> {
        let acts = self.events().into_iter().filter_map(|(time, event)| match event.event {
            Event::Act(act) => {
                let read = Act::read(&event.context).unwrap();
                let (by, why) = (read.actor, read.why);
                Some((read.act, Deed { by, why, at_ns: time.0, seq: act.seq.0 }))
            }
            _ => None,
        });
        acts.collect()
    }
}

impl ReviewDesk for Replay {
    fn applied_seq(&self) -> EventSeq {
        EventSeq(self.visible.load(Ordering::SeqCst)).min(self.feed.durable_seq())
    }

    fn open_reviews(&self, _: &OpenPage) -> Result<OpenReviews, String> {
        Err("the disk is on fire".to_owned())
    }

    fn by_payment(&self, id: PaymentId) -> Result<Option<Decided>, String> {
        let decided = self.events().into_iter().find_map(|(time, event)| match event.event {
            Event::Payment(payment) if payment.payment.id == id => Some(Decided {
                standing: ReviewKind::of(payment.verdict.decision).map(|kind| Standing {
                    kind,
                    seq: payment.seq.0,
                    left_minor: payment.outcome.amount.0,
                    expires_at_ns: None,
                    end: None,
                    claim: None,
                    resolution: None,
                }),
                event: payment,
                time,
                context: event.context.to_vec(),
                evidence: Evidence::read(&event.evidence),
            }),
            _ => None,
        });
        let Some(mut decided) = decided else { return Ok(None) };
        let Some(standing) = decided.standing.as_mut() else { return Ok(None) };
        for (act, deed) in self.acts() {
            match act {
                ActKind::ClaimReview { payment, by } if payment.as_u128() == id.0 => {
                    standing.claim = (!by.is_empty()).then_some(deed);
                }
                ActKind::ResolveReview { payment, approve } if payment.as_u128() == id.0 => {
                    standing.resolution = Some(Resolution { approve, deed });
                }
                _ => {}
            }
        }
        Ok(Some(decided))
    }

    fn report(&self, id: PaymentId) -> Result<Option<Report>, String> {
        let mut reports = self.acts().into_iter().filter_map(|(act, deed)| match act {
            ActKind::Label(label) if label.payment.as_u128() == id.0 => {
                Some(Report { fraud: label.fraud, deed })
            }
            _ => None,
        });
        Ok(reports.next_back())
    }

    fn policies(&self, before: Option<u32>, limit: usize) -> Result<Vec<PolicySet>, String> {
        let names = self.acts().into_iter().filter_map(|(act, deed)| match act {
            ActKind::SetPolicy { policy, .. } => Some((policy, deed)),
            _ => None,
        });
        let set: Vec<_> = names
            .zip(1..)
            .map(|((name, deed), number)| PolicySet { number, name, deed })
            .filter(|set| before.is_none_or(|before| set.number < before))
            .collect();
        Ok(set.into_iter().rev().take(limit).collect())
    }
}
