//! Events: what the journal records and every reader of the ledger sees.

use crate::{
    Account, AccountChange, AccountId, Amount, Balances, EventSeq, Outcome, Payment, PaymentId,
    Verdict,
};

/// Something that happened, in one dense sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A payment was decided: accepted or refused. Replays of known ids are no events.
    Payment(PaymentEvent),
    /// A hold's time-out passed.
    HoldExpired(HoldExpired),
    /// An account was opened or changed.
    Account(AccountEvent),
    /// An analyst changed the policy or a review.
    Act(ActEvent),
}

impl Event {
    /// Position in the journal.
    #[must_use]
    pub fn seq(&self) -> EventSeq {
        match self {
            Self::Payment(event) => event.seq,
            Self::HoldExpired(event) => event.seq,
            Self::Account(event) => event.seq,
            Self::Act(event) => event.seq,
        }
    }
}

/// An analyst changed the policy or a review. What was done is opaque to the ledger, and lies beside
/// the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActEvent {
    /// Position in the journal.
    pub seq: EventSeq,
}

/// A payment was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentEvent {
    /// Position in the journal.
    pub seq: EventSeq,
    /// The payment. Once it is accepted, the accounts, ledger and code that it took from its
    /// original are filled in.
    pub payment: Payment,
    /// What became of it.
    pub outcome: Outcome,
    /// What risk said.
    pub verdict: Verdict,
    /// Balances of the debit and the credit account as of this event, where both are known.
    pub balances: Option<[Balances; 2]>,
}

/// A hold's time-out passed: what it still held was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldExpired {
    /// Position in the journal.
    pub seq: EventSeq,
    /// The hold.
    pub payment: PaymentId,
    /// The account that would have paid.
    pub debit: AccountId,
    /// The account that would have received.
    pub credit: AccountId,
    /// Minor units released.
    pub released: Amount,
    /// Balances of the debit and the credit account as of this event.
    pub balances: [Balances; 2],
}

/// An account was opened or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountEvent {
    /// Position in the journal.
    pub seq: EventSeq,
    /// What changed; `None` when the account was opened.
    pub change: Option<AccountChange>,
    /// The account as it stands after the event.
    pub account: Account,
}
