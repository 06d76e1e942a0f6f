//! Linked groups of every length and fate, for [`super::mix`].

use millrace_ledger::{AccountId, Amount, LedgerId, Operation, Payment, PaymentFlags, PaymentId};

use super::{
    mix::{Kind, Making, Step, linked, unlinked},
    reuse::{FIELDS, with_field_changed},
};

impl Making<'_> {
    pub(super) fn group(&mut self, len: usize) -> Vec<Payment> {
        let mut members: Vec<Payment> = Vec::with_capacity(len);
        while members.len() < len {
            let member = match self.dice.below(40) {
                // Both end the same hold, which may be old.
                8 => {
                    let hold = self.hold();
                    let part = Payment { amount: Amount(1), ..self.follow_up_of(&hold) };
                    members.push(linked(Payment { operation: Operation::Capture, ..part }));
                    let rest = Payment { amount: Amount::ALL, ..self.follow_up_of(&hold) };
                    let ends = [Operation::Capture, Operation::Void];
                    Payment { operation: self.dice.pick(&ends), ..rest }
                }
                // The same id twice in the group, as it was or not.
                0 if !members.is_empty() => self.dice.pick(&members),
                1 if !members.is_empty() => {
                    let field = self.dice.below(FIELDS.into()) as u8;
                    with_field_changed(self.dice.pick(&members), field)
                }
                2 => self.earlier(),
                3 => self.single(Kind::TakenBack),
                // Of what this group makes.
                4..8 if !members.is_empty() => {
                    let original = self.dice.pick(&members);
                    self.follow_up_of(&original)
                }
                _ => self.member(),
            };
            members.push(linked(member));
        }
        self.close_group(members)
    }

    fn close_group(&mut self, mut members: Vec<Payment>) -> Vec<Payment> {
        if let Some(last) = members.last_mut() {
            *last = unlinked(*last);
        }
        self.groups.push(members.clone());
        members
    }

    pub(super) fn failing_group(&mut self) -> Vec<Payment> {
        let len = 2 + self.dice.below(5);
        let mut members: Vec<_> = (0..len).map(|_| linked(self.member())).collect();
        let culprit = self.dice.below(len);
        let new = self.transfer(Operation::Pay);
        members[culprit] = linked(match self.dice.below(6) {
            0 => Payment { credit: AccountId(999_999), ..new },
            1 => Payment { amount: Amount(0), ..new },
            2 => Payment { operation: Operation::Void, original: PaymentId(77), ..new },
            3 => with_field_changed(self.earlier(), 9),
            4 => Payment { amount: Amount(u128::MAX - 1), ..new },
            _ => Payment { ledger: LedgerId(978), ..new },
        });
        self.taken_back.extend(&members);
        self.close_group(members)
    }

    /// Well or not, closed or not: longer than a stretch of payments that is resolved together.
    pub(super) fn long_group(&mut self) -> Step {
        let len = 400 + self.dice.below(800);
        let mut members = Vec::with_capacity(len);
        for _ in 0..len {
            members.push(linked(match self.dice.below(2_000) {
                0 => self.follow_up(),
                1 => self.earlier(),
                2 => self.transfer(Operation::Authorize),
                // From the bank to one without limits, of an amount that no gate declines.
                _ => Payment {
                    debit: AccountId(1),
                    credit: AccountId(3),
                    amount: Amount(7),
                    flags: PaymentFlags::NONE,
                    ..self.transfer(Operation::Pay)
                },
            }));
        }
        match self.dice.percent(20) {
            true => {
                self.taken_back.extend(&members);
                Step::Unclosed(members)
            }
            false => Step::Group(self.close_group(members)),
        }
    }

    pub(super) fn group_again(&mut self) -> Vec<Payment> {
        if self.groups.is_empty() {
            return self.group(2);
        }
        let at = self.dice.below(self.groups.len());
        let mut members = self.groups[at].clone();
        if self.dice.percent(60) {
            let at = self.dice.below(members.len());
            let member = self.member();
            let flags = members[at].flags;
            members[at] = Payment { flags, ..member };
        }
        members
    }
}
