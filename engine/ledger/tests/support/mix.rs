//! Random sequences of ledger commands, seeded: ordinary ones, and those that look for trouble.

use millrace_ledger::{
    AccountChange, AccountFlags, AccountId, AccountSpec, Amount, Code, LedgerId, Operation,
    OwnerId, Payment, PaymentFlags, PaymentId, RejectReason,
};

use super::{
    dice::Dice,
    reuse::{FIELDS, with_field_changed},
};

/// One step of a sequence. It may not be split.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wait(u32),
    Change(AccountId, AccountChange),
    /// One payment, or a linked group.
    Group(Vec<Payment>),
    /// A group that is open still when its request ends.
    Unclosed(Vec<Payment>),
}

/// What a step is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Pay,
    Authorize,
    /// A capture, void or refund of an earlier payment.
    FollowUp,
    /// An earlier payment again.
    Repeat,
    /// An earlier payment again, with a field changed.
    RepeatChanged,
    /// Something is wrong with the payment itself; sent again when it is corrected.
    Malformed,
    Group,
    /// A group in which a member fails, at any position.
    FailingGroup,
    /// A group longer than what is resolved together.
    LongGroup,
    Unclosed,
    /// A member of a group that failed, alone.
    TakenBack,
    /// A whole earlier group again, or with one member changed.
    GroupAgain,
    Wait,
    Change,
}

/// In which order ids come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ids {
    Ascending,
    Descending,
    Random,
    OneMillisecond,
    /// Ascending, and now and then a random one, one of a fast clock, or one at either end.
    Mixed,
}

/// What a sequence is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// From 5.
    pub(crate) accounts: usize,
    /// Of a hundred payments, so many have account 2 on one side.
    pub(crate) hot_percent: usize,
    /// Of a hundred accounts, so many have a limit.
    pub(crate) limited_percent: usize,
    pub(crate) amount_max: usize,
    /// Of a hundred amounts and limits, so many need more than 64 bits, up to all 128.
    pub(crate) wide_percent: usize,
    /// Of a hundred waits and changes, so many are made: without them, requests can be long.
    pub(crate) pauses_percent: usize,
    pub(crate) ids: Ids,
    pub(crate) kinds: &'static [(Kind, usize)],
}

/// Accounts 1 to `accounts`: the first three have no limits. One beyond them is in euro.
pub(crate) fn specs(mix: &Mix, dice: &mut Dice) -> Vec<AccountSpec> {
    let account = |id: usize| AccountSpec {
        id: AccountId(id as u128),
        ledger: LedgerId(if id > mix.accounts { 978 } else { 203 }),
        code: Code(1),
        owner: OwnerId(id as u128),
        ..AccountSpec::default()
    };
    let limits = [
        (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 0),
        (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, 50),
        (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, 2_000),
    ];
    let wide_limits = [1 << 64, 1 << 127, u128::MAX]
        .map(|limit| (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, limit));
    let mut specs: Vec<_> = (1..=mix.accounts + 1).map(account).collect();
    for spec in &mut specs[3..mix.accounts] {
        if dice.percent(mix.limited_percent) {
            let (flags, limit) = match mix.wide_percent > 0 && dice.percent(50) {
                true => dice.pick(&wide_limits),
                false => dice.pick(&limits),
            };
            (spec.flags, spec.credit_limit) = (flags, Amount(limit));
        }
    }
    specs
}

/// Steps with at least so many payments.
pub(crate) fn sequence(mix: &Mix, payments: usize, dice: &mut Dice) -> Vec<Step> {
    let mut making = Making {
        mix: *mix,
        dice,
        made: Vec::new(),
        holds: Vec::new(),
        settled: Vec::new(),
        taken_back: Vec::new(),
        groups: Vec::new(),
        frozen: Vec::new(),
        ids: 0,
    };
    let (mut steps, mut len) = (Vec::new(), 0);
    while len < payments {
        let kind = making.dice.weighed(mix.kinds);
        let step = making.step(kind);
        if let Step::Group(members) | Step::Unclosed(members) = &step {
            len += members.len();
            making.made.extend(members);
        }
        steps.push(step);
    }
    steps
}

/// A sequence in the making. It does not know what becomes of its payments.
pub(super) struct Making<'a> {
    mix: Mix,
    pub(super) dice: &'a mut Dice,
    /// All payments.
    made: Vec<Payment>,
    /// What may be a hold.
    holds: Vec<Payment>,
    /// What may be settled.
    settled: Vec<Payment>,
    /// Members of groups that fail.
    pub(super) taken_back: Vec<Payment>,
    pub(super) groups: Vec<Vec<Payment>>,
    frozen: Vec<AccountId>,
    ids: u64,
}

impl Making<'_> {
    fn step(&mut self, kind: Kind) -> Step {
        match kind {
            Kind::Wait | Kind::Change if !self.dice.percent(self.mix.pauses_percent) => {
                self.step(Kind::Pay)
            }
            Kind::Wait => Step::Wait(self.dice.pick(&[0, 1, 1, 2, 5, 40])),
            Kind::Change => self.change(),
            Kind::Group => {
                let len = 2 + self.dice.below(6);
                Step::Group(self.group(len))
            }
            Kind::FailingGroup => Step::Group(self.failing_group()),
            Kind::LongGroup => self.long_group(),
            Kind::Unclosed => {
                let len = 1 + self.dice.below(6);
                let members: Vec<_> = (0..len).map(|_| linked(self.member())).collect();
                self.taken_back.extend(&members);
                Step::Unclosed(members)
            }
            Kind::GroupAgain => Step::Group(self.group_again()),
            kind => Step::Group(vec![unlinked(self.single(kind))]),
        }
    }

    pub(super) fn single(&mut self, kind: Kind) -> Payment {
        match kind {
            Kind::Authorize => self.transfer(Operation::Authorize),
            Kind::FollowUp => self.follow_up(),
            Kind::Repeat => self.earlier(),
            Kind::RepeatChanged => {
                let field = self.dice.below(FIELDS.into()) as u8;
                with_field_changed(self.earlier(), field)
            }
            Kind::Malformed => self.malformed(),
            Kind::TakenBack => {
                let back = old(self.dice, &self.taken_back);
                back.unwrap_or_else(|| self.transfer(Operation::Pay))
            }
            _ => self.transfer(Operation::Pay),
        }
    }

    /// An ordinary member of a group.
    pub(super) fn member(&mut self) -> Payment {
        let kinds = [(Kind::Pay, 5), (Kind::Authorize, 2), (Kind::FollowUp, 5)];
        let kind = self.dice.weighed(&kinds);
        self.single(kind)
    }

    fn change(&mut self) -> Step {
        if self.dice.percent(60)
            && let Some(id) = self.frozen.pop()
        {
            return Step::Change(id, AccountChange::Reopen);
        }
        let id = AccountId(2 + self.dice.below(self.mix.accounts - 1) as u128);
        let limit = self.wide().unwrap_or(self.dice.below(3 * self.mix.amount_max) as u128);
        let limit = Amount(limit);
        let change = self.dice.weighed(&[
            (AccountChange::Freeze, 2),
            (AccountChange::Close, 1),
            (AccountChange::SetCreditLimit(limit), 5),
        ]);
        if !matches!(change, AccountChange::SetCreditLimit(_)) {
            self.frozen.push(id);
        }
        Step::Change(id, change)
    }

    pub(super) fn transfer(&mut self, operation: Operation) -> Payment {
        let (debit, credit) = self.sides();
        let (of_payer, of_payee) = (PaymentFlags::BALANCING_DEBIT, PaymentFlags::BALANCING_CREDIT);
        let balancing = [of_payer, of_payee, of_payer.with(of_payee)];
        let balancing = self.dice.percent(4).then(|| self.dice.pick(&balancing));
        let all = balancing.is_some() && self.dice.percent(30);
        let amount = self.wide().unwrap_or(1 + self.dice.below(self.mix.amount_max) as u128);
        let amount = Amount(amount);
        let holds = operation == Operation::Authorize;
        let timeout_s = if holds { self.dice.pick(&[0, 0, 1, 2, 5, 60, 300]) } else { 0 };
        let payment = Payment {
            id: self.id(),
            debit,
            credit,
            amount: if all { Amount::ALL } else { amount },
            ledger: LedgerId(203),
            code: Code(1 + self.dice.below(3) as u16),
            operation,
            flags: balancing.unwrap_or_default(),
            timeout_s,
            context_digest: self.dice.pick(&[0, 0, 7]),
            ..Payment::default()
        };
        match holds {
            true => self.holds.push(payment),
            false => self.settled.push(payment),
        }
        payment
    }

    /// A number beyond 64 bits, if it is to be one: seldom one that fills a counter, or all payments
    /// would soon be refused for that.
    fn wide(&mut self) -> Option<u128> {
        if self.mix.wide_percent == 0 || !self.dice.percent(self.mix.wide_percent) {
            return None;
        }
        let bits = 64 + self.dice.below(56);
        let low = u128::from(self.dice.roll());
        Some(match self.dice.below(16) {
            0..6 => (1 << 64) - 2 + u128::from(self.dice.roll() % 4),
            6..13 => 1 << bits | low,
            13 => (1 << 127) - 1 + u128::from(self.dice.roll() % 3),
            14 => u128::MAX - 1 - u128::from(self.dice.roll() % 1_000),
            _ => u128::MAX,
        })
    }

    fn sides(&mut self) -> (AccountId, AccountId) {
        let mut other = 1 + self.dice.below(self.mix.accounts) as u128;
        let hot = match self.dice.percent(self.mix.hot_percent) {
            true => 2,
            false => 1 + self.dice.below(self.mix.accounts) as u128,
        };
        if other == hot && self.dice.percent(98) {
            other = if hot == 1 { 3 } else { 1 };
        }
        match self.dice.percent(50) {
            true => (AccountId(hot), AccountId(other)),
            false => (AccountId(other), AccountId(hot)),
        }
    }

    /// What may be an open hold.
    pub(super) fn hold(&mut self) -> Payment {
        old(self.dice, &self.holds).unwrap_or_else(|| self.transfer(Operation::Authorize))
    }

    pub(super) fn follow_up(&mut self) -> Payment {
        let among = match self.dice.below(10) {
            0 => &self.made,
            1..6 => &self.holds,
            _ => &self.settled,
        };
        match old(self.dice, among) {
            Some(original) => self.follow_up_of(&original),
            None => self.transfer(Operation::Authorize),
        }
    }

    pub(super) fn follow_up_of(&mut self, original: &Payment) -> Payment {
        use Operation::{Authorize, Capture, Refund, Void};
        let operation = match original.operation {
            Authorize => self.dice.pick(&[Capture, Capture, Capture, Capture, Void, Refund]),
            // One of them may be under review, and is held.
            _ => self.dice.pick(&[Capture, Void, Refund, Refund, Refund, Refund, Refund, Refund]),
        };
        let mut part =
            1 + self.dice.below((original.amount.0 as usize / 3).clamp(1, 1_000)) as u128;
        let is_wide = self.mix.wide_percent > 0 && original.amount.0 > u64::MAX.into();
        if is_wide && self.dice.percent(50) {
            part += original.amount.0 / 3;
        }
        let amount = match (operation, self.dice.below(12)) {
            (Void, _) | (_, 0 | 1) => Amount::ALL,
            (_, 2) => Amount(original.amount.0.saturating_add(1)),
            (_, 3) => original.amount,
            _ => Amount(part),
        };
        let mut payment = Payment {
            id: self.id(),
            original: original.id,
            amount,
            operation,
            ..Payment::default()
        };
        if self.dice.percent(10) {
            (payment.debit, payment.credit) = match operation {
                Refund => (original.credit, original.debit),
                _ => (original.debit, original.credit),
            };
            (payment.ledger, payment.code) = (LedgerId(203), original.code);
        }
        if operation == Capture {
            if self.dice.percent(50) {
                payment.flags = PaymentFlags::RESOLVES_REVIEW;
            }
            // A refund of it looks at its amount.
            let settled = Payment { debit: original.debit, credit: original.credit, ..payment };
            let amount = if amount == Amount::ALL { original.amount } else { amount };
            self.settled.push(Payment { amount, ..settled });
        }
        payment
    }

    pub(super) fn earlier(&mut self) -> Payment {
        old(self.dice, &self.made).unwrap_or_else(|| self.transfer(Operation::Pay))
    }

    fn malformed(&mut self) -> Payment {
        let payment = self.transfer(Operation::Authorize);
        // It may come again, corrected.
        self.taken_back.push(payment);
        match self.dice.below(9) {
            0 => Payment { id: PaymentId::ZERO, ..payment },
            1 => Payment { id: PaymentId::MAX, ..payment },
            2 => Payment { credit: payment.debit, ..payment },
            3 => Payment { amount: Amount(0), ..payment },
            4 => Payment { original: payment.id, ..payment },
            5 => Payment { code: Code(0), ..payment },
            6 => Payment { defect: Some(RejectReason::ContextMalformed), ..payment },
            7 => Payment { defect: Some(RejectReason::AmountTooLarge), ..payment },
            _ => Payment { defect: Some(RejectReason::CodeTooLarge), ..payment },
        }
    }

    fn id(&mut self) -> PaymentId {
        self.ids += 1;
        let random = u128::from(self.dice.roll()) << 64 | u128::from(self.dice.roll());
        let within = random >> 54;
        let begin = 1_u128 << 40;
        let id = match self.mix.ids {
            Ids::Ascending => (begin + u128::from(self.ids / 4)) << 80 | within,
            Ids::Descending => (begin - u128::from(self.ids)) << 80 | within,
            Ids::Random => random,
            Ids::OneMillisecond => begin << 80 | within,
            Ids::Mixed => {
                let in_time = (begin + u128::from(self.ids / 4)) << 80 | within;
                match self.dice.below(60) {
                    0 => random,
                    1 => in_time + (50_000 << 80),
                    2 => self.ids.into(),
                    3 => u128::MAX - u128::from(self.ids),
                    _ => in_time,
                }
            }
        };
        PaymentId(id)
    }
}

/// One of them: often one of the last few, and often one of the first few, so that some payments
/// are followed up again and again through their whole life.
fn old(dice: &mut Dice, of: &[Payment]) -> Option<Payment> {
    let end = of.len().checked_sub(1)? + 1;
    let at = match dice.below(4) {
        0 | 1 => end - 1 - dice.below(end.min(40)),
        2 => dice.below(end.min(60)),
        _ => dice.below(end),
    };
    Some(of[at])
}

pub(super) fn linked(payment: Payment) -> Payment {
    Payment { flags: payment.flags.with(PaymentFlags::LINKED), ..payment }
}

pub(super) fn unlinked(payment: Payment) -> Payment {
    Payment { flags: PaymentFlags(payment.flags.0 & !PaymentFlags::LINKED.0), ..payment }
}
