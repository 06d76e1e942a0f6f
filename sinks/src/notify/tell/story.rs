//! What an event means to people, in full: consumes an event, produces who is told of what, the most
//! specific meaning first.

use millrace_ledger::{
    AccountChange, Amount, Balances, Event, Operation, PaymentEvent, PaymentId, RejectReason,
    RiskDecision, Status, Timestamp,
};
use millrace_protos::Trace;

use super::super::{EventKind, Role, occasion::Occasion};

/// What one party may be told of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Telling {
    pub(in super::super) occasion: Occasion,
    /// The first that a rule fits is told.
    pub(in super::super) kinds: Vec<EventKind>,
    pub(in super::super) role: Role,
    /// What is available on the account before and after, for [`EventKind::LowBalance`].
    pub(in super::super) available: Option<[u128; 2]>,
    /// When the hold ends, for [`EventKind::HoldExpiring`].
    pub(in super::super) expires: Option<Timestamp>,
    /// In which the payment was made.
    pub(in super::super) trace: Option<Trace>,
}

impl Telling {
    fn new(occasion: Occasion, kinds: &[EventKind], role: Role) -> Self {
        Self { occasion, kinds: kinds.to_vec(), role, available: None, expires: None, trace: None }
    }
}

/// Everything that an event may tell.
pub(super) fn tellings(event: &Event, time: Timestamp) -> Vec<Telling> {
    if let Event::Account(event) = event {
        if event.change != Some(AccountChange::Freeze) {
            return Vec::new();
        }
        let occasion = Occasion {
            seq: event.seq,
            time,
            kind: EventKind::Security,
            payment: PaymentId::ZERO,
            original: PaymentId::ZERO,
            operation: "freeze",
            payer: event.account.spec.id,
            payee: millrace_ledger::AccountId::ZERO,
            amount: Amount::ZERO,
            reason: None,
        };
        return vec![Telling::new(occasion, &[EventKind::Security], Role::Holder)];
    }
    let Some(occasion) = Occasion::of(event, time) else { return Vec::new() };
    let kinds = kinds(event, &occasion);
    let told = occasion.told().iter();
    let mut tellings: Vec<_> = told.map(|role| Telling::new(occasion, &kinds, *role)).collect();
    if let Event::Payment(payment) = event {
        tellings.extend(low_balance(payment, occasion));
    }
    tellings
}

/// The meanings of an event, the most specific first.
fn kinds(event: &Event, occasion: &Occasion) -> Vec<EventKind> {
    let Event::Payment(payment) = event else { return vec![occasion.kind] };
    let specific = match (payment.outcome.status, payment.verdict.decision) {
        (Status::Held, RiskDecision::Review) => Some(EventKind::Review),
        (Status::Held, RiskDecision::Challenge) => Some(EventKind::Security),
        (Status::Rejected(RejectReason::RiskDeclined), _) => Some(EventKind::Security),
        _ => None,
    };
    specific.into_iter().chain([occasion.kind]).collect()
}

/// What the event took from what is available to the payer. A capture takes what was reserved
/// before.
fn low_balance(event: &PaymentEvent, occasion: Occasion) -> Option<Telling> {
    let takes = match event.outcome.status {
        Status::Held => true,
        Status::Settled => event.payment.operation != Operation::Capture,
        Status::Voided | Status::Rejected(_) => false,
    };
    let [payer, _] = event.balances.filter(|_| takes)?;
    let taken = event.outcome.amount.0;
    let available = |payer: Balances, taken: u128| {
        let debits = payer.debits_posted.saturating_add(payer.debits_pending);
        payer.credits_posted.saturating_sub(debits.saturating_sub(taken))
    };
    let mut telling = Telling::new(occasion, &[EventKind::LowBalance], Role::Payer);
    telling.available = Some([available(payer, taken), available(payer, 0)]);
    Some(telling)
}
