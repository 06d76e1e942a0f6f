//! Reports: consumes labels and what is kept of one of their entities, counts frauds there, and takes
//! them out again where a report is taken back.
//!
//! Guarantees that a fraud that is taken back leaves counts and shares as if nobody had reported it, in
//! each form of window; decayed ones to the rounding. What says when or in which order frauds became
//! known can't be undone: `since_fraud` still is of the report, and runs go on from here as
//! [`KindPlan::report_runs`] says. Nothing is taken from what is forgotten meanwhile: no count falls
//! below zero.

use super::{
    Label,
    decayed::{add_to, take_from},
    exact::List,
    plan::KindPlan,
    rows::LAST,
};

impl KindPlan {
    /// Whether a label changes anything. Where payments wait to be honest, nobody needs to say that they
    /// are, unless somebody had said that they were not.
    pub(super) fn is_news(&self, label: &Label<'_>) -> bool {
        let wants_honest = !self.runs.is_empty() && self.waiting.is_none();
        label.fraud || label.takes_back || wants_honest
    }

    /// Counts a label, with the exceptions that it falls under, one bit each.
    pub(super) fn report(
        &self,
        label: &Label<'_>,
        excepted: u64,
        words: &mut [u64],
        list: &mut List,
    ) {
        self.report_runs(label, excepted, words);
        let (fraud, takes_back, paid_at) = (label.fraud, label.takes_back, label.paid_at.0);
        if !fraud && !takes_back {
            return;
        }
        if let Some(reported) = self.reported.filter(|_| fraud) {
            words[reported] = words[reported].max(label.at.0);
        }
        if !self.frauds.is_empty() {
            let left = self.decayed.left(words[LAST] - paid_at);
            let change = if fraud { add_to } else { take_from };
            for (word, rate) in &self.frauds {
                change(words, *word, left[usize::from(*rate)]);
            }
        }
        for delayed in &self.delayed {
            match fraud {
                true => delayed.add(&self.decayed, words, paid_at, true),
                false => delayed.take_back(&self.decayed, words, paid_at),
            }
        }
        for ring in &self.rings {
            ring.report(words, paid_at, fraud);
        }
        if self.exact.is_used() {
            self.exact.report(list, paid_at, label.amount, fraud);
        }
    }

    /// Runs are of labels in their order. A fraud that is taken back is one honest label more; where
    /// payments wait to be honest, the payment waits again, and a run that began with it is over.
    fn report_runs(&self, label: &Label<'_>, excepted: u64, words: &mut [u64]) {
        let paid_at = label.paid_at.0;
        if let Some(waiting) = &self.waiting {
            waiting.settle(&self.runs, words, label.at.0);
            if !label.fraud {
                self.runs.iter().for_each(|runs| runs.take_back(words, paid_at));
                return waiting.add(&self.runs, words, paid_at);
            }
            waiting.take(words, paid_at);
        }
        for runs in &self.runs {
            let excepted = runs.except.is_some_and(|place| excepted >> place & 1 == 1);
            runs.label(words, paid_at, label.fraud, excepted);
        }
    }
}
