//! Observing: consumes a payment and what is kept of one of its entities, produces the entity's columns of
//! the row, and counts the payment.

use super::{
    Attempt,
    decayed::number,
    exact::List,
    moments::{Prior, ratio, share, std, zscore},
    plan::{KindPlan, Output, Read},
    rows::LAST,
};
use crate::features::span::SECOND_NS;

/// What observing a payment needs of its kind, and changes nothing of.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) plan: &'a KindPlan,
    pub(super) priors: &'a [Prior],
    pub(super) payments_max: usize,
}

/// What is kept of one entity.
pub(super) struct Kept<'a> {
    pub(super) words: &'a mut [u64],
    pub(super) list: &'a mut List,
    /// Nothing but its key is there.
    pub(super) is_new: bool,
}

impl Shared<'_> {
    /// Reads the features of a payment, and counts it. Whether it came late.
    #[inline(always)]
    pub(super) fn observe(&self, attempt: &Attempt<'_>, kept: Kept<'_>, out: &mut [f32]) -> bool {
        let (Self { plan, .. }, Kept { words, list, is_new }) = (self, kept);
        if is_new {
            plan.begin(words, attempt.at.0);
        }
        let left = plan.decayed.left(attempt.at.0.abs_diff(words[LAST]));
        let late = (attempt.at.0 < words[LAST]).then_some(&left);
        if late.is_none() {
            plan.decayed.fade(words, &left);
        }
        let now = attempt.at.0.max(words[LAST]);
        for delayed in &plan.delayed {
            delayed.advance(&plan.decayed, words, now);
        }
        for ring in &plan.rings {
            ring.advance(words, now);
        }
        if let Some(waiting) = &plan.waiting {
            waiting.settle(&plan.runs, words, now);
        }
        if plan.exact.is_used() {
            plan.exact.advance(list, now);
        }
        let seen = Seen { words, list, now, is_new, amount: attempt.amount, at: attempt.at.0 };
        seen.say(plan, self.priors, &plan.before, out);

        words[LAST] = now;
        plan.decayed.add(words, attempt.amount, late);
        for delayed in &plan.delayed {
            delayed.add(&plan.decayed, words, attempt.at.0, false);
        }
        for ring in &plan.rings {
            let counted = ring.counted.and_then(|place| attempt.entities.get(place));
            ring.add(words, attempt.at.0, attempt.amount, counted.map_or(0, |key| key.0));
        }
        if let Some(waiting) = &plan.waiting {
            waiting.add(&plan.runs, words, attempt.at.0);
        }
        if plan.exact.is_used() {
            let times = (attempt.at.0, now);
            plan.exact.add(list, times, attempt.amount, attempt.entities, self.payments_max);
        }
        let seen = Seen { words, list, now, is_new, amount: attempt.amount, at: attempt.at.0 };
        seen.say(plan, self.priors, &plan.after, out);
        late.is_some()
    }
}

impl KindPlan {
    /// What an entity's features are read from.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.before.iter().chain(&self.after)
    }

    fn begin(&self, words: &mut [u64], at: u64) {
        words[LAST] = at;
        if let Some(first) = self.first {
            words[first] = at;
        }
        self.delayed.iter().for_each(|delayed| delayed.begin(words, at));
        self.rings.iter().for_each(|ring| ring.begin(words, at));
        self.waiting.iter().for_each(|waiting| waiting.begin(words, at));
    }
}

/// A profile at the moment of a payment.
struct Seen<'a> {
    words: &'a [u64],
    list: &'a List,
    /// The later of its newest payment and of this one.
    now: u64,
    is_new: bool,
    amount: f64,
    at: u64,
}

impl Seen<'_> {
    #[inline(always)]
    fn say(&self, plan: &KindPlan, priors: &[Prior], outputs: &[Output], out: &mut [f32]) {
        for output in outputs {
            let value = self.read(plan, priors, output.read) as f32;
            let is_missing = value.is_nan();
            out[usize::from(output.column)] = if is_missing { output.missing } else { value };
        }
    }

    #[inline(always)]
    fn read(&self, plan: &KindPlan, priors: &[Prior], read: Read) -> f64 {
        let number = |word| number(self.words, word);
        match read {
            Read::Word(word) => number(word),
            Read::Fading(word) => match number(word) {
                0.0 => f64::NAN,
                max => max,
            },
            Read::Mean { count, sum } => number(sum) / number(count),
            Read::Std { count, sum, square } => std(number(count), number(sum), number(square)),
            Read::Ratio { count, sum } => ratio(self.amount, number(count), number(sum)),
            Read::ZScore { count, sum, square } => {
                zscore(self.amount, number(count), number(sum), number(square))
            }
            Read::Share { hits, count, prior } => {
                share(number(hits), number(count), priors[usize::from(prior)])
            }
            Read::SinceLast if self.is_new => f64::NAN,
            Read::SinceLast => seconds(self.at.saturating_sub(self.words[LAST])),
            Read::Since(word) => match self.words[usize::from(word)] {
                0 => f64::NAN,
                since => seconds(self.now.saturating_sub(since)),
            },
            Read::Run { runs, of } => plan.runs[usize::from(runs)].read(self.words, of, self.now),
            Read::Ring { ring, statistic, prior } => {
                let moments = plan.rings[usize::from(ring)].read(self.words);
                moments.say(statistic, self.amount, priors[usize::from(prior)])
            }
            Read::Exact { window, counted, statistic, prior } => {
                let (window, counted) = (usize::from(window), usize::from(counted));
                let moments = plan.exact.read(self.list, window, statistic, counted);
                moments.say(statistic, self.amount, priors[usize::from(prior)])
            }
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / SECOND_NS as f64
}
