//! A gate whose verdicts depend on what it observed, so that a wrong observation shows.

use std::collections::BTreeMap;

use millrace_ledger::{
    AccountId, Amount, Block, Gate, Judged, Payment, PaymentId, RiskDecision, RuleName, Timestamp,
    Verdict,
};

/// Of the payments of one payer, reviews or declines every so many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CountingGate {
    every: u32,
    pub(crate) count_of: BTreeMap<(AccountId, u32), u32>,
    /// What it was told of ahead.
    pub(crate) attempts: Vec<(PaymentId, AccountId, Amount, Timestamp)>,
    /// Payers that were counted in the group that is open.
    in_group: Option<Vec<(AccountId, u32)>>,
}

impl CountingGate {
    pub(crate) fn new(every: u32) -> Self {
        Self { every, count_of: BTreeMap::new(), attempts: Vec::new(), in_group: None }
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
        let hold_s = if amount.0 % 2 == 0 { 0 } else { 40 };
        Verdict { decision, rule: RuleName::new("every-so-many").expect("short"), hold_s }
    }

    fn looks_ahead(&self) -> bool {
        true
    }

    fn look_ahead(&mut self, block: &Block<'_>) {
        assert!(block.positions.is_sorted_by(|one, next| one < next), "once each, in order");
        for position in block.positions {
            let position = *position as usize;
            self.attempted(&block.payments[position], block.contexts.context(position), block.at);
        }
    }

    fn attempted(&mut self, payment: &Payment, _: &[u8], at: Timestamp) {
        let attempt = (payment.id, payment.debit, payment.amount, at);
        self.attempts.push(attempt);
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
