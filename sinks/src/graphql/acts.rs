//! What people do through GraphQL: the one way from the read side to the engine.

use futures_util::future::BoxFuture;
use millrace_ledger::{AccountId, PaymentId};

/// Takes acts of people to the engine, which decides, and journals them.
pub trait Acts: Send + Sync {
    /// Resolves a review: captures what is held, or releases it. Returns when the act and its
    /// consequence are durable; the read model shows them a moment later.
    fn resolve_review(
        &self,
        payment: PaymentId,
        accept: bool,
        actor: String,
        why: String,
    ) -> BoxFuture<'_, Result<(), ActError>>;

    /// Journals what somebody is about to do to notifications. Returns when that is durable; only
    /// then may it be done.
    fn record(
        &self,
        act: NotificationAct,
        actor: String,
        why: String,
    ) -> BoxFuture<'_, Result<(), ActError>>;
}

/// What people do to notifications that are not their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationAct {
    /// A notification is sent once more.
    Resend {
        /// Its number.
        notification: u64,
        /// The payment that it is about.
        payment: Option<PaymentId>,
        /// The account that it is about.
        account: AccountId,
    },
    /// What an owner is told is set by somebody else.
    SetPreferences {
        /// The owner.
        owner: u128,
    },
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// There is nothing by that id.
    #[error("there is no review of payment {0}")]
    Unknown(PaymentId),
    /// It is not the time for it: the review is resolved, its hold has ended.
    #[error("{0}")]
    NotPossible(String),
    /// What was given is not right.
    #[error("{0}")]
    Invalid(String),
    /// The engine refused the payment that would have done it.
    #[error("{0}")]
    Refused(String),
    /// Not now; another try may go through.
    #[error("{0}; try again")]
    Unavailable(String),
}

impl ActError {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "NOT_FOUND",
            Self::NotPossible(_) => "NOT_POSSIBLE",
            Self::Invalid(_) => "ARGUMENT_MALFORMED",
            Self::Refused(_) => "REFUSED",
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }
}
