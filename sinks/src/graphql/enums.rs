//! Closed lists that queries see, and the ledger's values that they stand for.

use async_graphql::Enum;
use millrace_ledger::{
    AccountFlags, Operation as LedgerOperation, PaymentFlags, RiskDecision as LedgerRiskDecision,
    Status as LedgerStatus,
};
use millrace_protos::v1;
use millrace_risk::desk::{HoldEnd as DeskHoldEnd, ReviewKind as DeskReviewKind};

use super::{
    history_row::BalanceChange as BalanceChangeRow,
    model::{Order, OutcomeKind, TotalsBy as ModelTotalsBy},
    row::PaymentState,
};
use crate::{
    audit::AuditKind as LogKind,
    notify::{Channel as NotifyChannel, EventKind, StateKind},
};

/// What a payment does.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "LedgerOperation")]
pub(super) enum Operation {
    /// One debit and one credit, at once.
    Pay,
    /// Holds the amount until it is captured, voided, or its time-out passes.
    Authorize,
    /// Posts part or all of what a hold still holds.
    Capture,
    /// Releases all that a hold still holds.
    Void,
    /// Pays back part or all of a settled payment.
    Refund,
}

/// What became of a payment.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum PaymentStatus {
    /// The money moved.
    Settled,
    /// The money is reserved, or was: holdState says what became of the hold.
    Held,
    /// This payment released a hold.
    Voided,
    /// Nothing moved; rejectReason says why.
    Rejected,
}

/// Where a hold is in its life.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum HoldState {
    /// Something is left to capture.
    Open,
    /// All of it was captured.
    Captured,
    /// What was left was released on request.
    Voided,
    /// What was left was released by its time-out.
    Expired,
}

/// What changed the balances of an account.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "BalanceChangeRow")]
pub(super) enum BalanceChange {
    /// A payment moved money at once.
    Settled,
    /// A hold began.
    Held,
    /// Part or all of a hold was posted.
    Captured,
    /// The rest of a hold was released on request.
    Voided,
    /// Part or all of a payment was paid back.
    Refunded,
    /// The rest of a hold was released by its time-out.
    Expired,
}

/// How a payment behaves.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum PaymentFlag {
    /// Succeeds or fails together with the next payment.
    Linked,
    /// Moves at most what the debit account has available.
    BalancingDebit,
    /// Moves at most what the credit account may still receive.
    BalancingCredit,
    /// Captures what was held for review, because a reviewer approved it.
    ResolvesReview,
}

/// What risk said of a payment.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "LedgerRiskDecision")]
pub(super) enum RiskDecision {
    /// Not asked: the payment failed earlier, or its operation is not judged.
    NotJudged,
    /// Let it through.
    Approve,
    /// Hold the money until a person has looked.
    Review,
    /// Refuse it.
    Decline,
    /// Hold the money until the upstream has confirmed.
    Challenge,
}

/// Where an account is in its life.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "millrace_ledger::AccountState")]
pub(super) enum AccountState {
    /// Everything its flags allow.
    Open,
    /// Holds can be voided and expire, refunds may come in; nothing else moves.
    Frozen,
    /// Nothing moves.
    Closed,
}

/// What an account may and may not do.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum AccountFlag {
    /// Debits may not exceed credits plus the credit limit.
    DebitsMustNotExceedCredits,
    /// Credits may not exceed debits plus the credit limit.
    CreditsMustNotExceedDebits,
    /// Keeps its balances after every event: see balanceHistory.
    KeepsHistory,
}

/// How a payment was made.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "v1::Channel")]
pub(super) enum Channel {
    /// Not said.
    Unspecified,
    /// With a card at a terminal.
    CardPresent,
    /// With a card over the net or the phone.
    CardNotPresent,
    /// A transfer.
    Transfer,
    /// A standing order.
    StandingOrder,
    /// A direct debit.
    DirectDebit,
    /// Cash.
    Cash,
    /// Between accounts of the house.
    Internal,
}

/// In which order of their events a list is.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "Order")]
pub(super) enum ListOrder {
    /// The newest first.
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// How totals are grouped.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "ModelTotalsBy")]
pub(super) enum TotalsBy {
    /// By hour, UTC.
    Hour,
    /// By day, UTC.
    Day,
    /// All hours together.
    Ledger,
}

/// Why risk holds money.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "DeskReviewKind")]
pub(super) enum ReviewKind {
    /// Until an analyst has looked.
    Review,
    /// Until the upstream has confirmed.
    Challenge,
}

/// How the hold of a review ended.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "DeskHoldEnd")]
pub(super) enum HoldEnd {
    /// All that was left was captured.
    Captured,
    /// All that was left was released on request.
    Voided,
    /// All that was left was released by the time-out.
    Expired,
}

/// What an entry of the audit log is about.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "LogKind")]
pub(super) enum AuditKind {
    /// A decided payment.
    Payment,
    /// A hold that ran out.
    HoldExpired,
    /// An account was opened or changed.
    Account,
    /// What people did.
    Act,
    /// An event that could not be processed.
    Quarantined,
}

/// What a notification is about.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "EventKind")]
pub(super) enum NotificationKind {
    /// Money moved.
    Settled,
    /// Money was reserved.
    Held,
    /// A hold was released.
    Voided,
    /// A payment was refused.
    Rejected,
    /// Money came back.
    Refunded,
    /// A hold ran out.
    Expired,
    /// A payment waits for a person.
    Review,
    /// A hold will run out soon.
    HoldExpiring,
    /// An account has little left.
    LowBalance,
    /// Something that the owner should know for safety.
    Security,
}

/// How a notification goes.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "NotifyChannel")]
pub(super) enum NotificationChannel {
    /// The inbox that GraphQL shows. It is there once it is kept: nothing is sent.
    InApp,
    /// E-mail, by SMTP.
    Email,
    /// A signed HTTP request to the owner's own address.
    Webhook,
    /// A short message, by an HTTP provider.
    Sms,
    /// A push message, by an HTTP provider.
    Push,
    /// A line of a file.
    File,
}

/// Where a notification stands.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "StateKind")]
pub(super) enum NotificationState {
    /// It waits for its time, or for its turn.
    Pending,
    /// Its channel has taken it.
    Sent,
    /// It has arrived.
    Delivered,
    /// It did not go; it will be tried again.
    Failed,
    /// It did not go, and is not tried again.
    Dead,
    /// It was not to be sent.
    Suppressed,
}

impl From<PaymentStatus> for OutcomeKind {
    fn from(status: PaymentStatus) -> Self {
        match status {
            PaymentStatus::Settled => Self::Settled,
            PaymentStatus::Held => Self::Held,
            PaymentStatus::Voided => Self::Voided,
            PaymentStatus::Rejected => Self::Rejected,
        }
    }
}

impl From<LedgerStatus> for PaymentStatus {
    fn from(status: LedgerStatus) -> Self {
        match status {
            LedgerStatus::Settled => Self::Settled,
            LedgerStatus::Held => Self::Held,
            LedgerStatus::Voided => Self::Voided,
            LedgerStatus::Rejected(_) => Self::Rejected,
        }
    }
}

impl HoldState {
    /// `None` where it is no hold.
    pub(super) fn of(state: PaymentState) -> Option<Self> {
        match state {
            PaymentState::HoldOpen => Some(Self::Open),
            PaymentState::HoldCaptured => Some(Self::Captured),
            PaymentState::HoldVoided => Some(Self::Voided),
            PaymentState::HoldExpired => Some(Self::Expired),
            PaymentState::RefusedIdFree
            | PaymentState::Refused
            | PaymentState::Settled
            | PaymentState::Released => None,
        }
    }
}

impl PaymentFlag {
    /// Those that are set.
    pub(super) fn of(flags: PaymentFlags) -> Vec<Self> {
        [
            (PaymentFlags::LINKED, Self::Linked),
            (PaymentFlags::BALANCING_DEBIT, Self::BalancingDebit),
            (PaymentFlags::BALANCING_CREDIT, Self::BalancingCredit),
            (PaymentFlags::RESOLVES_REVIEW, Self::ResolvesReview),
        ]
        .into_iter()
        .filter_map(|(flag, name)| flags.has(flag).then_some(name))
        .collect()
    }
}

impl AccountFlag {
    /// Those that are set.
    pub(super) fn of(flags: AccountFlags) -> Vec<Self> {
        [
            (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, Self::DebitsMustNotExceedCredits),
            (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, Self::CreditsMustNotExceedDebits),
            (AccountFlags::KEEPS_HISTORY, Self::KeepsHistory),
        ]
        .into_iter()
        .filter_map(|(flag, name)| flags.has(flag).then_some(name))
        .collect()
    }
}
