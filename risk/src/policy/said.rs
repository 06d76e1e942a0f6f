//! What was said of the request that is being decided: consumes drafts of chunks of attempts, produces
//! verdicts and evidence by position.
//!
//! Most attempts are approved: such a one is twelve bytes here and its evidence, with nothing allocated
//! for it alone.

use std::ops::Range;

use millrace_ledger::Verdict;

use crate::evidence::{self, Evidence};

/// What a policy says of a chunk of attempts, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts {
    evidence: Vec<u8>,
    /// Where the evidence of each attempt ends.
    ends: Vec<u32>,
    stopped: Vec<StoppedDraft>,
    pub(super) fell_back: u64,
}

/// An attempt that is not approved.
#[derive(Clone, Debug)]
struct StoppedDraft {
    /// Place of the attempt in its chunk.
    place: usize,
    verdict: Verdict,
    /// Empty where no rule made the verdict.
    rule_reason: String,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// By position in the request.
    places: Vec<Place>,
    evidence: Vec<u8>,
    stopped: Vec<Stopped>,
    rule_reasons: String,
}

/// Of what is no attempt, nothing is said.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u32,
    end: u32,
    /// One more than its place in `stopped`; 0 for none.
    stopped: u32,
}

#[derive(Clone, Debug)]
struct Stopped {
    verdict: Verdict,
    /// In `rule_reasons`, where a rule made the verdict. It becomes evidence once the verdict counts.
    rule_reason: Range<u32>,
}

impl Drafts {
    pub(super) fn clear(&mut self) {
        self.evidence.clear();
        self.ends.clear();
        self.stopped.clear();
        self.fell_back = 0;
    }

    /// The next attempt is approved, with this evidence.
    #[inline]
    pub(super) fn approve(&mut self, evidence: &Evidence) {
        evidence.put(&mut self.evidence);
        self.ends.push(self.evidence.len() as u32);
    }

    /// The next attempt gets this verdict. The rule's reason is not part of its evidence yet.
    pub(super) fn stop(&mut self, verdict: Verdict, evidence: &Evidence, rule_reason: String) {
        self.stopped.push(StoppedDraft { place: self.ends.len(), verdict, rule_reason });
        self.approve(evidence);
    }
}

impl Said {
    /// A request of so many payments begins: nothing is said of any of them.
    pub(super) fn begin_request(&mut self, payments: usize) {
        self.places.clear();
        self.places.resize(payments, Place::default());
        self.evidence.clear();
        self.stopped.clear();
        self.rule_reasons.clear();
    }

    /// Takes over what is said of the attempts in these positions.
    pub(super) fn take(&mut self, positions: &[u32], drafts: &mut Drafts) {
        let base = self.evidence.len() as u32;
        self.evidence.extend_from_slice(&drafts.evidence);
        let mut start = base;
        for (position, end) in positions.iter().zip(&drafts.ends) {
            let end = base + end;
            self.places[*position as usize] = Place { start, end, stopped: 0 };
            start = end;
        }
        for StoppedDraft { place, verdict, rule_reason } in drafts.stopped.drain(..) {
            let start = self.rule_reasons.len() as u32;
            self.rule_reasons.push_str(&rule_reason);
            let rule_reason = start..self.rule_reasons.len() as u32;
            self.stopped.push(Stopped { verdict, rule_reason });
            self.places[positions[place] as usize].stopped = self.stopped.len() as u32;
        }
    }

    /// The verdict on the attempt in this position, unless it is approved.
    #[inline]
    pub(super) fn stopped(&self, position: u32) -> Option<Verdict> {
        let place = self.place(position).stopped.checked_sub(1)?;
        Some(self.stopped[place as usize].verdict)
    }

    #[inline]
    pub(super) fn evidence(&self, position: u32) -> &[u8] {
        let Place { start, end, .. } = self.place(position);
        &self.evidence[start as usize..end as usize]
    }

    /// The verdict on this attempt stands: if a rule made it, its reason belongs to the evidence.
    pub(super) fn verdict_stands(&mut self, position: u32) {
        let Place { start, end, stopped } = self.place(position);
        let Some(stopped) = (stopped as usize).checked_sub(1) else { return };
        let reason = std::mem::take(&mut self.stopped[stopped].rule_reason);
        if reason.is_empty() {
            return;
        }
        let reason = &self.rule_reasons[reason.start as usize..reason.end as usize];
        let from = self.evidence.len();
        self.evidence.extend_from_within(start as usize..end as usize);
        evidence::put_rule_reason(&mut self.evidence, from, reason);
        let place = &mut self.places[position as usize];
        (place.start, place.end) = (from as u32, self.evidence.len() as u32);
    }

    #[inline]
    fn place(&self, position: u32) -> Place {
        self.places.get(position as usize).copied().unwrap_or_default()
    }
}
