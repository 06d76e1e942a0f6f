//! A small history of a bank, built by hand: consumes commands, produces batches as the feed
//! hands them out, with balances that are right.

#![allow(dead_code)] // every test file uses a part of it

pub(crate) mod audit_log;

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    ActEvent, Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Operation, Outcome,
    OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, RiskDecision, RuleName,
    Status, Timestamp, Verdict,
};
use millrace_protos::{
    Trace,
    v1::{Channel, PaymentContext},
};
use millrace_risk::{
    acts::{Act, ActKind, LabelAct},
    evidence::{Evidence, Reason},
};
use millrace_sinks::{GraphqlConfig, graphql::LimitsConfig};
use prost::Message as _;
use uuid::Uuid;

/// 2026-11-20T08:30:00Z.
pub(crate) const START_NS: u64 = 1_795_163_400_000_000_000;
pub(crate) const CZK: u32 = 203;

/// A read model that answers however busy the machine is.
pub(crate) fn patient() -> GraphqlConfig {
    let limits = LimitsConfig { read_ms: 120_000, answer_ms: 120_000, ..LimitsConfig::default() };
    GraphqlConfig { limits, ..GraphqlConfig::default() }
}

/// Events so far, and the balances after them.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) events: Vec<FeedEvent>,
    accounts: BTreeMap<AccountId, Account>,
    /// In which payments are made from now on.
    pub(crate) trace: Option<Trace>,
}

pub(crate) fn account(number: u128) -> AccountId {
    AccountId(0x0192_0000_0000_7000_8000_0000_0000_0000 + number)
}

pub(crate) fn payment(number: u128) -> PaymentId {
    PaymentId(0x0193_0000_0000_7000_8000_0000_0000_0000 + number)
}

/// Only the first account names its owner.
fn owner_of(number: u128) -> OwnerId {
    if number == 1 { OwnerId(0xabc) } else { OwnerId::ZERO }
}

impl History {
    fn push(&mut self, event: Event, context: Bytes) {
        self.events.push(FeedEvent { event, context, evidence: Bytes::new() });
    }

    fn seq(&self) -> EventSeq {
        EventSeq(self.events.len() as u64 + 1)
    }

    pub(crate) fn open(&mut self, number: u128, ledger: u32) {
        self.open_with(number, ledger, AccountFlags::NONE, owner_of(number));
    }

    /// An account that somebody else owns.
    pub(crate) fn open_owned(&mut self, number: u128, ledger: u32, owner: u128) {
        self.open_with(number, ledger, AccountFlags::NONE, OwnerId(owner));
    }

    /// An account that keeps its history.
    pub(crate) fn open_keeping(&mut self, number: u128, ledger: u32) {
        self.open_with(number, ledger, AccountFlags::KEEPS_HISTORY, owner_of(number));
    }

    fn open_with(&mut self, number: u128, ledger: u32, flags: AccountFlags, owner: OwnerId) {
        let spec = AccountSpec {
            id: account(number),
            ledger: LedgerId(ledger),
            code: Code(100),
            tenant: 7,
            owner,
            flags: AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS.with(flags),
            credit_limit: Amount(5_000),
            defect: None,
        };
        let opened = Account { spec, state: AccountState::Open, balances: Balances::default() };
        self.accounts.insert(spec.id, opened);
        let event = AccountEvent { seq: self.seq(), change: None, account: opened };
        self.push(Event::Account(event), Bytes::new());
    }

    pub(crate) fn freeze(&mut self, number: u128) {
        let account = self.accounts.get_mut(&account(number)).expect("is open");
        account.state = AccountState::Frozen;
        let account = *account;
        let event = AccountEvent { seq: self.seq(), change: Some(AccountChange::Freeze), account };
        self.push(Event::Account(event), Bytes::new());
    }

    fn command(&self, id: u128, operation: Operation, debit: u128, credit: u128) -> Payment {
        let (debit, credit) = (account(debit), account(credit));
        Payment {
            id: payment(id),
            debit,
            credit,
            ledger: self.accounts.get(&debit).map_or(LedgerId(CZK), |debit| debit.spec.ledger),
            code: Code(1),
            operation,
            ..Payment::default()
        }
    }

    /// Records the payment; the balances are those after `change`.
    fn decide(
        &mut self,
        payment: Payment,
        status: Status,
        minor: u128,
        verdict: Verdict,
        change: impl FnOnce(&mut Balances, &mut Balances),
    ) {
        let mut both = [payment.debit, payment.credit]
            .map(|id| self.accounts.get(&id).map(|account| account.balances));
        if let [Some(debit), Some(credit)] = &mut both {
            change(debit, credit);
        }
        for (id, balances) in [payment.debit, payment.credit].into_iter().zip(both) {
            if let (Some(account), Some(balances)) = (self.accounts.get_mut(&id), balances) {
                account.balances = balances;
            }
        }
        let balances = match both {
            [Some(debit), Some(credit)] => Some([debit, credit]),
            _ => None,
        };
        let outcome = Outcome { status, amount: Amount(minor) };
        let event = PaymentEvent { seq: self.seq(), payment, outcome, verdict, balances };
        let context = PaymentContext {
            channel: Channel::CardPresent as i32,
            country_code: "CZ".into(),
            device_id: "terminal-9".into(),
            ip_address: "192.0.2.7".into(),
            reference: "coffee \"to go\"".into(),
            trace: self.trace.map(|trace| trace.to_message()),
            ..PaymentContext::default()
        };
        self.push(Event::Payment(event), context.encode_to_vec().into());
    }

    pub(crate) fn pay(&mut self, id: u128, debit: u128, credit: u128, minor: u128) {
        let mut payment = self.command(id, Operation::Pay, debit, credit);
        payment.amount = Amount(minor);
        self.decide(payment, Status::Settled, minor, Verdict::APPROVE, |debit, credit| {
            debit.debits_posted += minor;
            credit.credits_posted += minor;
        });
    }

    pub(crate) fn authorize(
        &mut self,
        id: u128,
        debit: u128,
        credit: u128,
        minor: u128,
        timeout_s: u32,
    ) {
        let mut payment = self.command(id, Operation::Authorize, debit, credit);
        payment.amount = Amount(minor);
        payment.timeout_s = timeout_s;
        self.decide(payment, Status::Held, minor, Verdict::APPROVE, |debit, credit| {
            debit.debits_pending += minor;
            credit.credits_pending += minor;
        });
    }

    pub(crate) fn review(&mut self, id: u128, debit: u128, credit: u128, minor: u128) {
        let mut payment = self.command(id, Operation::Pay, debit, credit);
        payment.amount = Amount(minor);
        let rule = RuleName::new("night, \"large\"").expect("is short");
        let verdict = Verdict { decision: RiskDecision::Review, rule, hold_s: 0 };
        self.decide(payment, Status::Held, minor, verdict, |debit, credit| {
            debit.debits_pending += minor;
            credit.credits_pending += minor;
        });
    }

    /// Captures all that is left when `all`.
    pub(crate) fn capture(
        &mut self,
        id: u128,
        hold: u128,
        sides: (u128, u128),
        minor: u128,
        all: bool,
    ) {
        let mut capture = self.command(id, Operation::Capture, sides.0, sides.1);
        capture.original = payment(hold);
        capture.amount = if all { Amount::ALL } else { Amount(minor) };
        self.decide(capture, Status::Settled, minor, Verdict::default(), |debit, credit| {
            debit.debits_pending -= minor;
            debit.debits_posted += minor;
            credit.credits_pending -= minor;
            credit.credits_posted += minor;
        });
    }

    pub(crate) fn void(&mut self, id: u128, hold: u128, sides: (u128, u128), released: u128) {
        let mut void = self.command(id, Operation::Void, sides.0, sides.1);
        void.original = payment(hold);
        void.amount = Amount::ALL;
        self.decide(void, Status::Voided, released, Verdict::default(), |debit, credit| {
            debit.debits_pending -= released;
            credit.credits_pending -= released;
        });
    }

    /// `sides` are those of the payment; the refund goes the other way.
    pub(crate) fn refund(&mut self, id: u128, original: u128, sides: (u128, u128), minor: u128) {
        let mut refund = self.command(id, Operation::Refund, sides.1, sides.0);
        refund.original = payment(original);
        refund.amount = Amount(minor);
        self.decide(refund, Status::Settled, minor, Verdict::default(), |debit, credit| {
            debit.debits_posted += minor;
            credit.credits_posted += minor;
        });
    }

    pub(crate) fn expire(&mut self, hold: u128, sides: (u128, u128), released: u128) {
        let (debit, credit) = (account(sides.0), account(sides.1));
        let payer = self.accounts.get_mut(&debit).expect("is open");
        payer.balances.debits_pending -= released;
        let payer = payer.balances;
        let payee = self.accounts.get_mut(&credit).expect("is open");
        payee.balances.credits_pending -= released;
        let balances = [payer, payee.balances];
        let event = HoldExpired {
            seq: self.seq(),
            payment: payment(hold),
            debit,
            credit,
            released: Amount(released),
            balances,
        };
        self.push(Event::HoldExpired(event), Bytes::new());
    }

    pub(crate) fn reject(
        &mut self,
        id: u128,
        debit: u128,
        credit: u128,
        minor: u128,
        reason: RejectReason,
    ) {
        let mut payment = self.command(id, Operation::Pay, debit, credit);
        payment.amount = Amount(minor);
        let verdict = match reason {
            RejectReason::RiskDeclined => Verdict {
                decision: RiskDecision::Decline,
                rule: RuleName::new("velocity").expect("is short"),
                hold_s: 0,
            },
            _ => Verdict::default(),
        };
        self.decide(payment, Status::Rejected(reason), 0, verdict, |_, _| {});
    }

    /// A refused capture that names its hold only.
    pub(crate) fn reject_capture(&mut self, id: u128, hold: u128, reason: RejectReason) {
        let capture = Payment {
            id: payment(id),
            original: payment(hold),
            amount: Amount::ALL,
            operation: Operation::Capture,
            flags: PaymentFlags::LINKED,
            ..Payment::default()
        };
        self.decide(capture, Status::Rejected(reason), 0, Verdict::default(), |_, _| {});
    }

    /// Risk held it; what it had to say of the payment lies beside the event.
    pub(crate) fn hold_by_risk(&mut self, id: u128, minor: u128, decision: RiskDecision) {
        let mut payment = self.command(id, Operation::Pay, 1, 2);
        payment.amount = Amount(minor);
        let rule = RuleName::new("odd").expect("is short");
        let verdict = Verdict { decision, rule, hold_s: 60 };
        self.decide(payment, Status::Held, minor, verdict, |debit, credit| {
            debit.debits_pending += minor;
            credit.credits_pending += minor;
        });
        let mut evidence = Vec::new();
        let reasons = vec![Reason { feature: 3, value: 9.0, contribution: 0.25 }];
        Evidence { score: Some(0.5), reasons, ..Evidence::default() }.put(&mut evidence);
        self.events.last_mut().expect("was pushed").evidence = evidence.into();
    }

    /// Somebody did something, because of its number.
    pub(crate) fn act(&mut self, actor: &str, act: ActKind) {
        let seq = self.seq();
        let act = Act { actor: actor.to_owned(), why: format!("reason {seq}"), act };
        self.push(Event::Act(ActEvent { seq }), act.to_bytes().into());
    }

    pub(crate) fn claim(&mut self, id: u128, actor: &str) {
        let payment = Uuid::from_u128(payment(id).0);
        self.act(actor, ActKind::ClaimReview { payment, by: actor.to_owned() });
    }

    pub(crate) fn release(&mut self, id: u128, actor: &str) {
        let payment = Uuid::from_u128(payment(id).0);
        self.act(actor, ActKind::ClaimReview { payment, by: String::new() });
    }

    pub(crate) fn resolve(&mut self, id: u128, actor: &str, approve: bool) {
        let payment = Uuid::from_u128(payment(id).0);
        self.act(actor, ActKind::ResolveReview { payment, approve });
    }

    pub(crate) fn report(&mut self, id: u128, actor: &str, fraud: bool) {
        let label = LabelAct {
            payment: Uuid::from_u128(payment(id).0),
            fraud,
            paid_at_ns: START_NS,
            known_at_ns: None,
            takes_back: false,
            amount_minor: 1,
            ledger: CZK,
            payer: Uuid::from_u128(account(1).0),
            payee: Uuid::from_u128(account(2).0),
            context: String::new(),
        };
        self.act(actor, ActKind::Label(label));
    }

    pub(crate) fn set_policy(&mut self, actor: &str, name: &str) {
        self.act(actor, ActKind::SetPolicy { policy: name.to_owned(), features: Vec::new() });
    }

    /// The events in batches of `size`, a second apart.
    pub(crate) fn batches(&self, size: usize) -> Vec<FeedBatch> {
        let batches = self.events.chunks(size).enumerate();
        batches
            .map(|(index, events)| FeedBatch {
                time: Timestamp(START_NS + index as u64 * 1_000_000_000),
                events: events.to_vec(),
            })
            .collect()
    }

    pub(crate) fn balances(&self, number: u128) -> Balances {
        self.accounts[&account(number)].balances
    }
}

/// Every kind of event, once or more. Account 1 keeps its history, account 2 does not.
pub(crate) fn bank() -> History {
    let mut bank = History::default();
    bank.open_keeping(1, CZK);
    bank.open(2, CZK);
    bank.pay(1, 1, 2, 245_200);
    bank.authorize(2, 1, 2, 10_000, 3_600);
    bank.capture(3, 2, (1, 2), 4_000, false);
    bank.capture(4, 2, (1, 2), 6_000, true);
    bank.authorize(5, 1, 2, 2_500, 0);
    bank.void(6, 5, (1, 2), 2_500);
    bank.authorize(7, 2, 1, 900, 60);
    bank.expire(7, (2, 1), 900);
    bank.refund(8, 1, (1, 2), 45_200);
    bank.review(9, 1, 2, 77_700);
    bank.reject(10, 1, 2, u128::MAX / 3, RejectReason::InsufficientFunds);
    bank.reject(11, 1, 9, 100, RejectReason::CreditAccountUnknown);
    bank.reject(12, 8, 2, 100, RejectReason::DebitAccountUnknown);
    bank.reject(1, 1, 2, 1, RejectReason::IdReusedAmountDiffers);
    bank.reject(13, 1, 2, 100, RejectReason::RiskDeclined);
    bank.reject_capture(14, 99, RejectReason::OriginalUnknown);
    bank.open(3, 392);
    bank.freeze(2);
    bank.pay(15, 2, 1, 1);
    bank.pay(16, 1, 2, 2);
    bank
}
