//! A gate whose verdicts depend on what it observed, so that a wrong observation shows.

use std::collections::BTreeMap;

use millrace_ledger::{AccountId, Gate, Judged, RiskDecision, RuleName, Verdict};

/// Of the payments of one payer, reviews or declines every so many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CountingGate {
    every: u32,
    pub(crate) count_of: BTreeMap<(AccountId, u32), u32>,
    /// Payers that were counted in the group that is open.
    in_group: Option<Vec<(AccountId, u32)>>,
}

impl CountingGate {
    pub(crate) fn new(every: u32) -> Self {
        Self { every, count_of: BTreeMap::new(), in_group: None }
    }
}

impl Gate for CountingGate {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let (payment, amount) = (judged.payment, judged.amount);
        let count = self.count_of.get(&(payment.debit, judged.payer)).copied().unwrap_or(0);
        let decision = match (count % self.every == self.every - 1, amount.0 % 7) {
            (true, 3) => RiskDecision::Decline,
            (true, _) => RiskDecision::Review,
            (false, _) => return Verdict::APPROVE,
        };
        Verdict { decision, rule: RuleName::new("every-so-many").expect("short") }
    }

    fn observe(&mut self, judged: Judged<'_>) {
        let payer = (judged.payment.debit, judged.payer);
        *self.count_of.entry(payer).or_default() += 1;
        self.in_group.iter_mut().for_each(|counted| counted.push(payer));
    }

    fn begin_group(&mut self) {
        assert!(self.in_group.is_none(), "groups do not nest");
        self.in_group = Some(Vec::new());
    }

    fn end_group(&mut self, keep: bool) {
        let counted = self.in_group.take().expect("a group was begun");
        for payer in counted.iter().filter(|_| !keep) {
            let count = self.count_of.get_mut(payer).expect("was counted");
            *count -= 1;
            if *count == 0 {
                self.count_of.remove(payer);
            }
        }
    }
}
