//! What a challenger changes: consumes payments with their recorded verdicts, produces counts.

use std::{collections::BTreeMap, ops::Range};

use millrace_risk_lab::{data::Day, tune::Decision};
use serde::Serialize;

use crate::commands::risk::source::{Decided, Source};

/// One challenger's word on the payments of one policy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shadow {
    pub(super) policy: u16,
    /// All policies that had a challenger.
    pub(super) policies: Vec<u16>,
    /// Days of its first and its last payment.
    pub(super) first: String,
    pub(super) last: String,
    pub(super) payments: u64,
    pub(super) frauds: u64,
    /// As the payments were decided.
    pub(super) decided: Effect,
    /// Had the challenger's score decided.
    pub(super) challenger: Effect,
    pub(super) pairs: Vec<Pair>,
}

/// Payments of which these two things were said.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pair {
    pub(super) decided: Decision,
    pub(super) challenger: Decision,
    pub(super) payments: u64,
    pub(super) money: f64,
    pub(super) frauds: u64,
    pub(super) money_frauds: f64,
}

/// What decisions do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Effect {
    pub(super) reviewed: u64,
    pub(super) challenged: u64,
    pub(super) declined: u64,
    /// Frauds that were not approved.
    pub(super) frauds_stopped: u64,
    pub(super) money_stopped: f64,
    /// Payments that were not approved, and that nobody reported.
    pub(super) false_alarms: u64,
}

impl Effect {
    fn add(&mut self, decision: Decision, is_fraud: bool, amount: f64) {
        match decision {
            Decision::Approve => return,
            Decision::Review => self.reviewed += 1,
            Decision::Challenge => self.challenged += 1,
            Decision::Decline => self.declined += 1,
        }
        match is_fraud {
            true => {
                self.frauds_stopped += 1;
                self.money_stopped += amount;
            }
            false => self.false_alarms += 1,
        }
    }
}

impl Shadow {
    /// Of the last policy that had a challenger, or of this one. `None` where nothing was recorded.
    pub(super) fn of(source: &Source, rows: Range<usize>, policy: Option<u16>) -> Option<Self> {
        let decided = source.decided.as_deref()?;
        let with_challenger = |it: &&Decided| it.challenger.is_some();
        let mut policies: Vec<_> =
            decided[rows.clone()].iter().filter(with_challenger).map(|it| it.policy).collect();
        policies.sort_unstable();
        policies.dedup();
        let policy = policy.or_else(|| policies.last().copied())?;
        let payments = &source.payments;
        let mut all = [Effect::default(), Effect::default()];
        let mut pairs: BTreeMap<(Decision, Decision), Pair> = BTreeMap::new();
        let mut span = None;
        for row in rows {
            let it = decided[row];
            let Some(challenger) = it.challenger.filter(|_| it.policy == policy) else { continue };
            let (amount, is_fraud) = (payments.amount()[row], payments.is_fraud()[row]);
            all[0].add(it.decision, is_fraud, amount);
            all[1].add(challenger, is_fraud, amount);
            let pair = pairs.entry((it.decision, challenger)).or_insert(Pair {
                decided: it.decision,
                challenger,
                payments: 0,
                money: 0.0,
                frauds: 0,
                money_frauds: 0.0,
            });
            pair.payments += 1;
            pair.money += amount;
            pair.frauds += u64::from(is_fraud);
            pair.money_frauds += if is_fraud { amount } else { 0.0 };
            let day = Day::of(payments.at()[row]);
            span = Some((span.map_or(day, |(first, _)| first), day));
        }
        let (first, last) = span?;
        let [decided, challenger] = all;
        let pairs: Vec<_> = pairs.into_values().collect();
        Some(Self {
            policy,
            policies,
            first: first.to_string(),
            last: last.to_string(),
            payments: pairs.iter().map(|pair| pair.payments).sum(),
            frauds: pairs.iter().map(|pair| pair.frauds).sum(),
            decided,
            challenger,
            pairs,
        })
    }
}

#[cfg(test)]
mod tests {
    use Decision::{Approve, Challenge, Decline, Review};
    use millrace_ledger::Timestamp;
    use millrace_risk_lab::data::{Payment, PaymentsBuilder};

    use super::*;

    /// Policy, what was decided, what its challenger said, whether it was fraud; each of ten times its
    /// place.
    const PAYMENTS: [(u16, Decision, Option<Decision>, bool); 8] = [
        (1, Approve, Some(Decline), true),
        (2, Approve, None, true),
        (3, Approve, Some(Approve), false),
        (3, Approve, Some(Review), true),
        (3, Review, Some(Approve), true),
        (3, Decline, Some(Review), false),
        (3, Approve, Some(Challenge), false),
        (4, Decline, None, true),
    ];

    fn source() -> Source {
        let mut builder = PaymentsBuilder::new(&[], true);
        let mut decided = Vec::new();
        for (place, (policy, decision, challenger, is_fraud)) in PAYMENTS.into_iter().enumerate() {
            let at = Timestamp(place as u64 * 86_400_000_000_000);
            let (id, payer, payee, reported_at) = ("", "p", "q", None);
            let amount = 10.0 * place as f64;
            builder.push(&Payment { id, at, payer, payee, amount, is_fraud, reported_at }, &[]);
            decided.push(Decided { decision, fell_back: false, policy, challenger });
        }
        let payments = builder.finish();
        let (name, warnings, unread_leaks) = (String::new(), Vec::new(), Vec::new());
        Source { payments, name, warnings, unread_leaks, decided: Some(decided) }
    }

    #[test]
    fn one_challenger_is_held_against_what_was_decided() {
        let shadow = Shadow::of(&source(), 0..8, None).expect("there was one");
        assert_eq!((shadow.policy, &shadow.policies[..]), (3, &[1, 3][..]));
        assert_eq!((shadow.first.as_str(), shadow.last.as_str()), ("1970-01-03", "1970-01-07"));
        assert_eq!((shadow.payments, shadow.frauds), (5, 2));
        let decided = Effect {
            reviewed: 1,
            declined: 1,
            frauds_stopped: 1,
            money_stopped: 40.0,
            false_alarms: 1,
            ..Effect::default()
        };
        let challenger = Effect {
            reviewed: 2,
            challenged: 1,
            frauds_stopped: 1,
            money_stopped: 30.0,
            false_alarms: 2,
            ..Effect::default()
        };
        assert_eq!((shadow.decided, shadow.challenger), (decided, challenger));
        let pairs: Vec<_> = shadow.pairs.iter().map(|it| (it.decided, it.challenger)).collect();
        let expected = [
            (Approve, Approve),
            (Approve, Review),
            (Approve, Challenge),
            (Review, Approve),
            (Decline, Review),
        ];
        assert_eq!(pairs, expected);
        let other = Shadow::of(&source(), 0..8, Some(1)).expect("it had one");
        assert_eq!((other.payments, other.challenger.declined), (1, 1));
        for policy in [2, 4, 9] {
            assert!(Shadow::of(&source(), 0..8, Some(policy)).is_none(), "{policy}");
        }
        assert!(Shadow::of(&source(), 7..8, None).is_none());
    }
}
