//! What would have been: consumes payments with what the policy says of them, produces counts by
//! decision, by segment, by day, and against what was decided then.

use std::collections::BTreeMap;

use millrace_risk::policy::Compiled;
use millrace_risk_lab::{
    data::{Day, Payments},
    tune::{BacktestDay, BacktestDays, Decision, DecisionCount},
};
use serde::Serialize;

use crate::commands::risk::source::Decided;

pub(super) const DECISIONS: [Decision; 4] =
    [Decision::Approve, Decision::Review, Decision::Challenge, Decision::Decline];

/// What would have been.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) rows: u64,
    pub(super) frauds: u64,
    pub(super) money_frauds: f64,
    /// Money of the frauds that were not approved.
    pub(super) money_caught: f64,
    pub(super) reviews_per_day: f64,
    pub(super) reviews_busiest_day: u64,
    /// Payments that the server had no time for, so that the fallback decides here too.
    pub(super) fell_back: u64,
    pub(super) decisions: [DecisionCount; 4],
    /// In the order of the policy; the last is what is in none of them.
    pub(super) segments: Vec<Segment>,
    /// How payments were decided then and would be now; only what differs. `None` where nobody
    /// decided.
    pub(super) changes: Option<Vec<Change>>,
    /// How often each rule was the first to hold, the most frequent first.
    pub(super) rules: Vec<(String, u64)>,
    /// How often each rule in shadow held.
    pub(super) shadow_rules: Vec<(String, u64)>,
    #[serde(serialize_with = "days_as_objects")]
    pub(super) days: Vec<(Day, BacktestDay)>,
}

fn days_as_objects<S: serde::Serializer>(
    days: &[(Day, BacktestDay)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        day: Day,
        #[serde(flatten)]
        counts: &'a BacktestDay,
    }
    serializer.collect_seq(days.iter().map(|(day, counts)| Row { day: *day, counts }))
}

/// The payments of one segment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Segment {
    pub(super) segment: String,
    pub(super) rows: u64,
    pub(super) frauds: u64,
    pub(super) money_frauds: f64,
    /// As the policy would decide them.
    pub(super) now: Effect,
    /// As they were decided; `None` where nobody did.
    pub(super) then: Option<Effect>,
}

/// What decisions do to a segment's payments.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Effect {
    pub(super) approved: u64,
    pub(super) reviewed: u64,
    pub(super) challenged: u64,
    pub(super) declined: u64,
    /// Frauds that were not approved.
    pub(super) frauds_caught: u64,
    pub(super) money_caught: f64,
    /// Genuine payments that were not approved.
    pub(super) false_alarms: u64,
    pub(super) money_false_alarms: f64,
}

impl Effect {
    fn add(&mut self, decision: Decision, is_fraud: bool, amount: f64) {
        match decision {
            Decision::Approve => self.approved += 1,
            Decision::Review => self.reviewed += 1,
            Decision::Challenge => self.challenged += 1,
            Decision::Decline => self.declined += 1,
        }
        match (decision, is_fraud) {
            (Decision::Approve, _) => {}
            (_, true) => {
                self.frauds_caught += 1;
                self.money_caught += amount;
            }
            (_, false) => {
                self.false_alarms += 1;
                self.money_false_alarms += amount;
            }
        }
    }
}

/// Payments that would be decided otherwise.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Change {
    pub(super) then: Decision,
    pub(super) now: Decision,
    pub(super) rows: u64,
    pub(super) money: f64,
    pub(super) frauds: u64,
    pub(super) money_frauds: f64,
}

/// What the policy says of one payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) decision: Decision,
    pub(super) segment: usize,
    pub(super) fell_back: bool,
}

/// What was decided so far.
pub(super) struct Tally<'a> {
    payments: &'a Payments,
    decided: Option<&'a [Decided]>,
    days: BacktestDays,
    decisions: [DecisionCount; 4],
    segments: Vec<Segment>,
    /// By what was decided, and what would be.
    changes: BTreeMap<(Decision, Decision), Change>,
    fell_back: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        payments: &'a Payments,
        decided: Option<&'a [Decided]>,
        policy: &Compiled,
    ) -> Self {
        let none = |decision| DecisionCount { decision, rows: 0, frauds: 0, money_frauds: 0.0 };
        let segment = |segment: String| Segment {
            segment,
            then: decided.map(|_| Effect::default()),
            ..Segment::default()
        };
        let named = policy.document.segments.iter().map(|it| it.name.clone());
        Self {
            payments,
            decided,
            days: BacktestDays::default(),
            decisions: DECISIONS.map(none),
            segments: named.chain([String::new()]).map(segment).collect(),
            changes: BTreeMap::new(),
            fell_back: 0,
        }
    }

    pub(super) fn add(&mut self, row: usize, said: Said) {
        let (is_fraud, amount) = (self.payments.is_fraud()[row], self.payments.amount()[row]);
        let Said { decision, segment, fell_back } = said;
        let (frauds, money_frauds) = (u64::from(is_fraud), if is_fraud { amount } else { 0.0 });
        self.days.add(Day::of(self.payments.at()[row]), is_fraud, amount, decision);
        let count = &mut self.decisions[decision as usize];
        count.rows += 1;
        count.frauds += frauds;
        count.money_frauds += money_frauds;
        self.fell_back += u64::from(fell_back);
        let segment = &mut self.segments[segment];
        segment.rows += 1;
        segment.frauds += frauds;
        segment.money_frauds += money_frauds;
        segment.now.add(decision, is_fraud, amount);
        let (Some(decided), Some(effect)) = (self.decided, &mut segment.then) else { return };
        let then = decided[row].decision;
        effect.add(then, is_fraud, amount);
        if then != decision {
            let none =
                Change { then, now: decision, rows: 0, money: 0.0, frauds: 0, money_frauds: 0.0 };
            let change = self.changes.entry((then, decision)).or_insert(none);
            change.rows += 1;
            change.money += amount;
            change.frauds += frauds;
            change.money_frauds += money_frauds;
        }
    }

    /// `hits` are those of the policy's rules.
    pub(super) fn finish(self, policy: &Compiled, hits: &[u64]) -> Outcome {
        let Self { days, decisions, segments, changes, decided, fell_back, .. } = self;
        let days = days.finish();
        let sum = |of: &dyn Fn(&DecisionCount) -> f64| decisions.iter().map(of).sum::<f64>();
        let reviews = decisions[Decision::Review as usize].rows;
        let span = days.first().zip(days.last()).map_or(1, |(a, b)| b.0.0 - a.0.0 + 1);
        let hits_of = |shadow: bool| {
            let rules = policy.rules().map_or(&[][..], |rules| rules.rules()).iter();
            let hits = rules.zip(hits).filter(|(rule, hits)| rule.shadow == shadow && **hits > 0);
            let mut hits: Vec<_> = hits.map(|(rule, hits)| (rule.name.clone(), *hits)).collect();
            hits.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
            hits
        };
        let money_frauds = sum(&|it| it.money_frauds);
        Outcome {
            rows: decisions.iter().map(|it| it.rows).sum(),
            frauds: decisions.iter().map(|it| it.frauds).sum(),
            money_frauds,
            money_caught: money_frauds - decisions[Decision::Approve as usize].money_frauds,
            reviews_per_day: reviews as f64 / f64::from(span),
            reviews_busiest_day: days.iter().map(|(_, day)| day.reviewed).max().unwrap_or(0),
            fell_back,
            decisions,
            segments,
            changes: decided.map(|_| changes.into_values().collect()),
            rules: hits_of(false),
            shadow_rules: hits_of(true),
            days,
        }
    }
}
