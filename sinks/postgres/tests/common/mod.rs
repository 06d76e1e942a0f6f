//! A random history: consumes a seed, produces batches of events as a journal hands them out,
//! decided by the ledger itself, and the ledger as it stands after them.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod asking;

use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    AccountChange, AccountFlags, AccountId, AccountSpec, Amount, Code, Decision, Event, Gate,
    Judged, Ledger, LedgerId, Operation, OwnerId, Payment, PaymentFlags, PaymentId, RejectReason,
    RiskDecision, RuleName, Timestamp, Verdict,
};
use millrace_protos::v1::{ContextValue, PaymentContext, TraceContext};
use millrace_risk::evidence::{Evidence, Reason};
use prost::Message as _;

/// 2026-11-29T20:00:00Z: a day and four hours before a month ends.
pub(crate) const START_NS: u64 = 1_795_982_400_000_000_000;
const LEDGERS: [u32; 3] = [203, 392, 978];

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(crate) fn id(&mut self) -> u128 {
        u128::from(self.roll()) << 64 | u128::from(self.roll())
    }
}

/// Judges by the payment's id, so that a replay judges the same.
#[derive(Clone)]
struct ById;

impl Gate for ById {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let rule = |name| RuleName::new(name).expect("is short");
        let (decision, rule, hold_s) = match judged.payment.id.0 % 20 {
            0 => (RiskDecision::Review, rule("night, \"large\""), 0),
            1 => (RiskDecision::Challenge, rule("new payee"), 90),
            2 => (RiskDecision::Decline, rule("velocity"), 0),
            _ => return Verdict::APPROVE,
        };
        Verdict { decision, rule, hold_s }
    }

    fn observe(&mut self, _: Judged<'_>) {}

    fn begin_group(&mut self) {}

    fn end_group(&mut self, _: bool) {}
}

/// How much of a history to make.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) accounts: usize,
    pub(crate) batches: usize,
    pub(crate) batch_payments: usize,
    /// Most seconds from a batch to the next.
    pub(crate) step_s_max: usize,
}

/// What happened, and what was made of it.
pub(crate) struct History {
    pub(crate) batches: Vec<FeedBatch>,
    pub(crate) ledger: Ledger,
    pub(crate) accounts: Vec<AccountId>,
    /// Of all payments that had one, refused ones included, and some that never were.
    pub(crate) ids: Vec<PaymentId>,
    pub(crate) references: Vec<String>,
}

struct Making {
    dice: Dice,
    ledger: Ledger,
    accounts: Vec<(AccountId, u32)>,
    ids: Vec<PaymentId>,
    /// Holds and settled payments to follow up.
    originals: Vec<Payment>,
    references: Vec<String>,
}

/// Makes a history.
pub(crate) fn history(seed: u64, size: Size) -> History {
    let mut dice = Dice(seed);
    let references =
        (0..12).map(|number| format!("invoice {}-{number}", dice.below(900))).collect();
    let mut making = Making {
        dice,
        ledger: Ledger::new(seed),
        accounts: Vec::new(),
        ids: vec![PaymentId(5)],
        originals: Vec::new(),
        references,
    };
    let mut time = Timestamp(START_NS);
    let mut batches = Vec::new();
    for number in 0..size.batches {
        // Some batches have the time of the one before; times have nanoseconds.
        let step_s = making.dice.below(size.step_s_max + 1) as u64;
        if !making.dice.one_in(6) {
            time = Timestamp(time.0 + step_s * 1_000_000_000 + making.dice.roll() % 2_000);
        }
        let open = if number == 0 { size.accounts / 2 } else { size.accounts / 8 };
        let open = open.min(size.accounts - making.accounts.len());
        let events = making.batch(time, open, size.batch_payments);
        if !events.is_empty() {
            batches.push(FeedBatch { time, events });
        }
    }
    let Making { ledger, accounts, ids, references, .. } = making;
    let accounts = accounts.into_iter().map(|(id, _)| id).collect();
    History { batches, ledger, accounts, ids, references }
}

impl Making {
    fn batch(&mut self, time: Timestamp, open: usize, payments: usize) -> Vec<FeedEvent> {
        let bare = |event| FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() };
        let mut expired = Vec::new();
        self.ledger.begin_batch(time, &mut expired);
        let mut events: Vec<_> =
            expired.into_iter().map(|event| bare(Event::HoldExpired(event))).collect();
        for _ in 0..open {
            let spec = self.account();
            let (_, event) = self.ledger.create_account(&spec);
            let event = event.expect("nothing is wrong with the account");
            events.push(bare(Event::Account(event)));
        }
        if self.dice.one_in(4) {
            let (account, _) = self.dice.pick(&self.accounts.clone());
            let change = match self.dice.below(4) {
                0 => AccountChange::Freeze,
                1 => AccountChange::SetCreditLimit(Amount(self.dice.below(9_000) as u128)),
                _ => AccountChange::Reopen,
            };
            let (_, event) = self.ledger.update_account(account, change);
            events.extend(event.map(|event| bare(Event::Account(event))));
        }
        if self.dice.one_in(5) {
            events.push(bare(Event::Act(self.ledger.record_act())));
        }
        for _ in 0..payments {
            let request = self.request();
            let mut decided = Vec::new();
            let history = self.ledger.decide(&request, &mut ById, |one| decided.push(*one));
            history.expect("all of it is in memory");
            for decision in decided {
                let Decision::New(event) = decision else { continue };
                if event.outcome.is_accepted() {
                    self.originals.push(event.payment);
                }
                let (context, evidence) = (self.context(), self.evidence());
                events.push(FeedEvent { event: Event::Payment(event), context, evidence });
            }
        }
        self.ledger.end_batch();
        events
    }

    fn account(&mut self) -> AccountSpec {
        let ledger = self.dice.pick(&LEDGERS);
        let id = AccountId(self.dice.id());
        self.accounts.push((id, ledger));
        let kept =
            if self.dice.one_in(3) { AccountFlags::KEEPS_HISTORY } else { AccountFlags::NONE };
        let limited = match self.dice.below(4) {
            0 => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            _ => AccountFlags::NONE,
        };
        let credit_limit = match limited {
            AccountFlags::NONE => Amount::ZERO,
            _ => Amount(self.dice.below(100_000) as u128),
        };
        AccountSpec {
            id,
            ledger: LedgerId(ledger),
            code: Code(1 + self.dice.below(60_000) as u16),
            tenant: self.dice.below(3) as u32,
            owner: if self.dice.one_in(2) { OwnerId(self.dice.id()) } else { OwnerId::ZERO },
            flags: limited.with(kept),
            credit_limit,
            defect: None,
        }
    }

    /// A payment, or a linked group of a few.
    fn request(&mut self) -> Vec<Payment> {
        let len = if self.dice.one_in(12) { 2 + self.dice.below(2) } else { 1 };
        let mut payments: Vec<_> = (0..len).map(|_| self.payment()).collect();
        for linked in payments.iter_mut().rev().skip(1) {
            linked.flags = linked.flags.with(PaymentFlags::LINKED);
        }
        payments
    }

    fn payment(&mut self) -> Payment {
        let original = match self.originals.is_empty() {
            false => Some(self.dice.pick(&self.originals.clone())),
            true => None,
        };
        let id = match self.dice.below(14) {
            // An id that may be taken, or that a refusal left free.
            0 => self.dice.pick(&self.ids.clone()),
            _ => PaymentId(self.dice.id()),
        };
        self.ids.push(id);
        match (self.dice.below(10), original) {
            (0..4, Some(original)) => self.follow_up(id, original),
            (4..6, _) => {
                let timeout_s = self.dice.below(3) as u32 * 1_800;
                Payment { operation: Operation::Authorize, timeout_s, ..self.transfer(id) }
            }
            _ => self.transfer(id),
        }
    }

    fn transfer(&mut self, id: PaymentId) -> Payment {
        let (debit, ledger) = self.dice.pick(&self.accounts.clone());
        let others: Vec<_> = self.accounts.iter().filter(|other| other.1 == ledger).collect();
        let credit = *self.dice.pick(&others);
        let payment = Payment {
            id,
            debit,
            credit: credit.0,
            amount: Amount(self.dice.roll() as u128 % 50_000),
            ledger: LedgerId(ledger),
            code: Code(self.dice.below(40) as u16),
            operation: Operation::Pay,
            ..Payment::default()
        };
        match self.dice.below(40) {
            0 => Payment { credit: AccountId(9), ..payment },
            1 => Payment { debit: AccountId(8), ..payment },
            2 => Payment { ledger: LedgerId(4_000_000_000), ..payment },
            3 => Payment { defect: Some(RejectReason::ContextMalformed), ..payment },
            4 => Payment {
                id: PaymentId::ZERO,
                defect: Some(RejectReason::PaymentIdZero),
                ..payment
            },
            5 => Payment { amount: Amount(u128::MAX - 1), ..payment },
            6 => Payment { flags: PaymentFlags::BALANCING_DEBIT, ..payment },
            7 => Payment { credit: payment.debit, ..payment },
            _ => payment,
        }
    }

    fn follow_up(&mut self, id: PaymentId, original: Payment) -> Payment {
        let operations = match original.operation {
            Operation::Authorize => [Operation::Capture, Operation::Capture, Operation::Void],
            _ => [Operation::Refund, Operation::Refund, Operation::Capture],
        };
        let operation = self.dice.pick(&operations);
        let amount = match (operation, self.dice.below(3)) {
            (Operation::Void, _) | (_, 0) => Amount::ALL,
            _ => Amount(1 + self.dice.below(20_000) as u128),
        };
        Payment { id, original: original.id, amount, operation, ..Payment::default() }
    }

    fn context(&mut self) -> Bytes {
        let reference = self.dice.pick(&self.references.clone());
        let context = PaymentContext {
            channel: self.dice.below(8) as i32,
            country_code: self.dice.pick(&["CZ", "SK", ""]).to_owned(),
            merchant_category_code: self.dice.pick(&["5411", ""]).to_owned(),
            reference,
            device_id: self.dice.pick(&["phone", ""]).to_owned(),
            ip_address: self.dice.pick(&["192.0.2.7", "2001:db8::1", ""]).to_owned(),
            event_time: self.dice.one_in(2).then(|| prost_types::Timestamp {
                seconds: 1_795_000_000 + self.dice.below(1_000_000) as i64,
                nanos: self.dice.below(1_000_000_000) as i32,
            }),
            other: Vec::new(),
            trace: self.dice.one_in(2).then(|| self.trace()),
        };
        let wallet = ContextValue { key: "wallet".to_owned(), value: "w-1".to_owned() };
        let context = match self.dice.below(12) {
            0 => return Bytes::new(),
            1 => return Bytes::from_static(b"\xff is no context"),
            2 => PaymentContext { reference: "with\0nul".to_owned(), ..context },
            3 => PaymentContext { channel: 77, ..context },
            4 => PaymentContext::default(),
            5 => PaymentContext { other: vec![wallet], ..context },
            6 => PaymentContext { trace: Some(TraceContext::default()), ..context },
            _ => context,
        };
        context.encode_to_vec().into()
    }

    fn trace(&mut self) -> TraceContext {
        let id = |len: usize, number: usize| vec![number as u8 + 1; len].into();
        TraceContext {
            trace_id: id(16, self.dice.below(255)),
            span_id: id(8, self.dice.below(255)),
            flags: self.dice.pick(&[0, 1, 2, 3, 9]),
        }
    }

    fn evidence(&mut self) -> Bytes {
        if !self.dice.one_in(3) {
            return Bytes::new();
        }
        let reasons = (0..self.dice.below(4) as u16)
            .map(|feature| Reason { feature, value: 2.5, contribution: 0.25 })
            .collect();
        let score = self.dice.one_in(2).then_some(0.125);
        let mut bytes = Vec::new();
        Evidence { policy: 3, score, reasons, ..Evidence::default() }.put(&mut bytes);
        bytes.into()
    }
}

/// Cuts the batches into pieces of random length.
pub(crate) fn pieces<'a>(batches: &'a [FeedBatch], dice: &mut Dice) -> Vec<&'a [FeedBatch]> {
    let mut left = batches;
    let mut pieces = Vec::new();
    while !left.is_empty() {
        let (piece, rest) = left.split_at(1 + dice.below(left.len().min(9)));
        pieces.push(piece);
        left = rest;
    }
    pieces
}

pub(crate) fn payments_of(history: &History) -> Vec<millrace_ledger::PaymentEvent> {
    let events = history.batches.iter().flat_map(|batch| &batch.events);
    events
        .filter_map(|event| match &event.event {
            Event::Payment(payment) => Some(*payment),
            _ => None,
        })
        .collect()
}
