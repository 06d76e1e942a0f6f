//! Dry runs: consumes past payments, produces what each rule would have done with them.
//!
//! Unlike in the pipeline, all hits are told, not only the rule that decides. Disabled rules are
//! not evaluated. Memory is bounded by the number of rules, whatever the number of payments.

use serde::Serialize;

use super::{
    list_csv::rfc3339,
    set::{RuleAction, RuleInput, RuleSet},
};

/// Examples kept of each rule: the first ones.
const EXAMPLES: usize = 5;

/// One past payment.
#[derive(Clone, Copy, Debug)]
pub struct DryRunPayment<'a> {
    /// Names it in examples.
    pub id: &'a str,
    /// What rules see of it.
    pub input: RuleInput<'a>,
    /// In major units.
    pub amount: f64,
    /// Whether it was fraud. None where nobody knows.
    pub fraud: Option<bool>,
}

/// A dry run under way.
#[derive(Clone, Debug)]
pub struct DryRun<'a> {
    rules: &'a RuleSet,
    total: Tally,
    of_rules: Vec<RuleTally>,
    /// By action, in order of precedence, then those that no rule decides.
    decided: [Tally; 5],
    /// How often two rules held for one payment: a row per rule.
    together: Vec<u64>,
    /// The rules that hold for the payment at hand.
    hits: Vec<u16>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    payments: u64,
    money: f64,
    labelled: u64,
    frauds: u64,
    fraud_money: f64,
}

#[derive(Clone, Debug, Default)]
struct RuleTally {
    hits: Tally,
    decided: u64,
    alone: u64,
    examples: Vec<DryRunExample>,
}

/// What a set of rules would have done. Displayed as tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRunReport {
    /// Payments looked at.
    pub payments: u64,
    /// Their amounts together, in major units.
    pub money: f64,
    /// Payments of which it is known whether they were fraud.
    pub labelled: u64,
    /// Those that were.
    pub frauds: u64,
    /// Their amounts together.
    pub fraud_money: f64,
    /// In the order of the file.
    pub rules: Vec<RuleReport>,
    /// By action in order of precedence, then those that no rule decides (`none`).
    pub decisions: Vec<DecisionReport>,
}

/// What one rule would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: RuleAction,
    /// Whether it was evaluated.
    pub enabled: bool,
    /// Whether it only watches.
    pub shadow: bool,
    /// Its static cost.
    pub cost: u32,
    /// Payments for which it holds.
    pub hits: u64,
    /// Of all payments, 0 to 1.
    pub hit_share: f64,
    /// Their amounts together.
    pub money: f64,
    /// Payments that it decides: those for which no rule before it holds.
    pub decided: u64,
    /// Payments for which no other rule holds.
    pub alone: u64,
    /// Hits of which it is known whether they were fraud.
    pub labelled_hits: u64,
    /// Those that were.
    pub frauds_caught: u64,
    /// Their amounts together.
    pub fraud_money_caught: f64,
    /// Frauds among the labelled hits, 0 to 1. None without labelled hits.
    pub precision: Option<f64>,
    /// Share of all frauds that it caught, 0 to 1. None without frauds.
    pub recall: Option<f64>,
    /// Rules that hold for some of the same payments, the most frequent first.
    pub overlaps: Vec<Overlap>,
    /// The first hits.
    pub examples: Vec<DryRunExample>,
}

/// Two rules that hold for the same payments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    /// The other rule.
    pub rule: String,
    /// Payments for which both hold.
    pub hits: u64,
    /// Of this rule's hits, 0 to 1.
    pub share: f64,
}

/// A payment for which a rule holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRunExample {
    /// The payment.
    pub id: String,
    /// Its time, RFC 3339.
    pub at: String,
    /// In major units.
    pub amount: f64,
    /// Whether it was fraud, if that is known.
    pub fraud: Option<bool>,
    /// What an analyst would read.
    pub reason: String,
}

/// Payments that get one decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionReport {
    /// An action, or `none`.
    pub decision: &'static str,
    /// Payments that get it.
    pub payments: u64,
    /// Of all payments, 0 to 1.
    pub share: f64,
    /// Their amounts together.
    pub money: f64,
    /// Frauds among them.
    pub frauds: u64,
}

impl RuleSet {
    /// What these rules would have done with payments.
    ///
    /// # Panics
    ///
    /// As [`RuleSet::evaluate`].
    pub fn dry_run<'p>(
        &self,
        payments: impl IntoIterator<Item = DryRunPayment<'p>>,
    ) -> DryRunReport {
        let mut run = DryRun::new(self);
        payments.into_iter().for_each(|payment| run.add(&payment));
        run.report()
    }
}

impl<'a> DryRun<'a> {
    /// Without payments so far.
    #[must_use]
    pub fn new(rules: &'a RuleSet) -> Self {
        let count = rules.rules().len();
        Self {
            rules,
            total: Tally::default(),
            of_rules: vec![RuleTally::default(); count],
            decided: [Tally::default(); 5],
            together: vec![0; count * count],
            hits: Vec::with_capacity(count),
        }
    }

    /// Looks at one more payment.
    ///
    /// # Panics
    ///
    /// As [`RuleSet::evaluate`].
    pub fn add(&mut self, payment: &DryRunPayment<'_>) {
        let Self { rules, hits, .. } = self;
        hits.clear();
        rules.evaluate_all(&payment.input, |rule| hits.push(rule));
        let of = |rule: &u16| &rules.rules()[usize::from(*rule)];
        // Those that act come first, in order of precedence.
        let decides = hits.first().filter(|rule| !of(rule).shadow);
        let decision = decides.map_or(4, |rule| of(rule).action as usize);
        if let Some(rule) = decides {
            self.of_rules[usize::from(*rule)].decided += 1;
        }
        self.total.add(payment);
        self.decided[decision].add(payment);
        let count = rules.rules().len();
        for rule in hits.iter() {
            let tally = &mut self.of_rules[usize::from(*rule)];
            tally.hits.add(payment);
            tally.alone += u64::from(hits.len() == 1);
            if tally.examples.len() < EXAMPLES {
                tally.examples.push(DryRunExample {
                    id: payment.id.to_owned(),
                    at: rfc3339(payment.input.at),
                    amount: payment.amount,
                    fraud: payment.fraud,
                    reason: rules.reason(*rule, &payment.input),
                });
            }
            for other in hits.iter() {
                self.together[usize::from(*rule) * count + usize::from(*other)] += 1;
            }
        }
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> DryRunReport {
        let Tally { payments, money, labelled, frauds, fraud_money } = self.total;
        let names = RuleAction::ALL.map(RuleAction::name).into_iter().chain(["none"]);
        let decisions = names.zip(&self.decided).map(|(decision, tally)| DecisionReport {
            decision,
            payments: tally.payments,
            share: share(tally.payments, payments).unwrap_or(0.0),
            money: tally.money,
            frauds: tally.frauds,
        });
        DryRunReport {
            payments,
            money,
            labelled,
            frauds,
            fraud_money,
            rules: (0..self.of_rules.len()).map(|rule| self.rule(rule)).collect(),
            decisions: decisions.collect(),
        }
    }

    fn rule(&self, index: usize) -> RuleReport {
        let (rule, tally) = (&self.rules.rules()[index], &self.of_rules[index]);
        let hits = tally.hits;
        RuleReport {
            name: rule.name.clone(),
            action: rule.action,
            enabled: rule.enabled,
            shadow: rule.shadow,
            cost: rule.cost,
            hits: hits.payments,
            hit_share: share(hits.payments, self.total.payments).unwrap_or(0.0),
            money: hits.money,
            decided: tally.decided,
            alone: tally.alone,
            labelled_hits: hits.labelled,
            frauds_caught: hits.frauds,
            fraud_money_caught: hits.fraud_money,
            precision: share(hits.frauds, hits.labelled),
            recall: share(hits.frauds, self.total.frauds),
            overlaps: self.overlaps(index),
            examples: tally.examples.clone(),
        }
    }

    fn overlaps(&self, index: usize) -> Vec<Overlap> {
        let rules = self.rules.rules();
        let row = &self.together[index * rules.len()..][..rules.len()];
        let all = row[index];
        let others = row.iter().zip(rules).enumerate();
        let others = others.filter(|(other, (hits, _))| *other != index && **hits > 0);
        let overlap = |(_, (hits, rule)): (usize, (&u64, &super::set::Rule))| Overlap {
            rule: rule.name.clone(),
            hits: *hits,
            share: share(*hits, all).unwrap_or(0.0),
        };
        let mut overlaps: Vec<Overlap> = others.map(overlap).collect();
        overlaps.sort_by_key(|overlap| std::cmp::Reverse(overlap.hits));
        overlaps
    }
}

impl Tally {
    fn add(&mut self, payment: &DryRunPayment<'_>) {
        // An amount that isn't known adds nothing.
        let amount = if payment.amount.is_finite() { payment.amount } else { 0.0 };
        self.payments += 1;
        self.money += amount;
        self.labelled += u64::from(payment.fraud.is_some());
        if payment.fraud == Some(true) {
            self.frauds += 1;
            self.fraud_money += amount;
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
