//! What became of a payment: the closed list of reject reasons, in the order of their precedence.

use crate::Amount;

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The money moved.
    Settled,
    /// The money is reserved: an authorization, or a payment held for review.
    Held,
    /// A hold was released.
    Voided,
    /// Nothing moved, for this reason.
    Rejected(RejectReason),
}

/// What became of a payment, and how much moved, is held, or was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of it.
    pub status: Status,
    /// Minor units; zero when rejected.
    pub amount: Amount,
}

impl Outcome {
    /// A refusal: nothing moved.
    #[must_use]
    pub fn rejected(reason: RejectReason) -> Self {
        Self { status: Status::Rejected(reason), amount: Amount::ZERO }
    }

    /// Whether the payment did what it was meant to do.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        !matches!(self.status, Status::Rejected(_))
    }
}

macro_rules! reject_reasons {
    ($($name:ident = $number:literal,)*) => {
        /// Why a payment was refused. A payment always gets the first reason that applies, in the
        /// order of this list. The numbers are those of `millrace.v1.RejectReason`.
        #[allow(missing_docs)] // each name says it; the families are described in docs/LEDGER.md
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum RejectReason {
            $($name = $number,)*
        }

        impl RejectReason {
            /// Every reason, in the order of precedence.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason with this number.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The reason's name, as in this enum.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

reject_reasons! {
    GroupUnclosed = 1,
    GroupMemberFailed = 2,

    OperationUnknown = 10,
    FlagUnknown = 11,
    PaymentIdMalformed = 12,
    PaymentIdZero = 13,
    PaymentIdMax = 14,
    ContextMalformed = 15,

    IdReusedOperationDiffers = 20,
    IdReusedFlagsDiffer = 21,
    IdReusedOriginalDiffers = 22,
    IdReusedDebitAccountDiffers = 23,
    IdReusedCreditAccountDiffers = 24,
    IdReusedAmountDiffers = 25,
    IdReusedLedgerDiffers = 26,
    IdReusedCodeDiffers = 27,
    IdReusedTimeoutDiffers = 28,
    IdReusedContextDiffers = 29,

    FlagsExclusive = 40,
    DebitAccountIdMalformed = 41,
    DebitAccountIdZero = 42,
    DebitAccountIdMax = 43,
    CreditAccountIdMalformed = 44,
    CreditAccountIdZero = 45,
    CreditAccountIdMax = 46,
    AccountsEqual = 47,
    OriginalMalformed = 48,
    OriginalMissing = 49,
    OriginalSuperfluous = 50,
    OriginalIsItself = 51,
    TimeoutSuperfluous = 52,
    AmountZero = 53,
    AmountMissing = 54,
    AmountSuperfluous = 55,
    LedgerZero = 56,
    CodeZero = 57,
    CodeTooLarge = 58,
    AmountTooLarge = 59,

    DebitAccountUnknown = 70,
    CreditAccountUnknown = 71,
    AccountsOnDifferentLedgers = 72,
    LedgerDiffers = 73,

    OriginalUnknown = 80,
    OriginalNotAHold = 81,
    OriginalNotSettled = 82,
    OriginalDebitAccountDiffers = 83,
    OriginalCreditAccountDiffers = 84,
    OriginalLedgerDiffers = 85,
    OriginalCodeDiffers = 86,
    ExceedsOriginalAmount = 87,
    HoldCaptured = 88,
    HoldVoided = 89,
    HoldExpired = 90,
    AlreadyRefunded = 91,
    ExceedsRemainingAmount = 92,

    DebitAccountFrozen = 100,
    CreditAccountFrozen = 101,
    DebitAccountClosed = 102,
    CreditAccountClosed = 103,

    OverflowDebitsPending = 110,
    OverflowCreditsPending = 111,
    OverflowDebitsPosted = 112,
    OverflowCreditsPosted = 113,
    OverflowDebits = 114,
    OverflowCredits = 115,
    OverflowTimeout = 116,

    RiskDeclined = 120,
    RiskReviewOpen = 121,

    InsufficientFunds = 130,
    CreditsExceedDebits = 131,
}

impl RejectReason {
    /// Whether the reason depends on the ledger's state. Such a refusal burns the payment's id: a
    /// retry gets the same refusal for ever, so a retry after a lost reply can't turn a refusal
    /// that the upstream already acted on into a payment.
    #[must_use]
    pub fn burns_id(self) -> bool {
        self >= Self::DebitAccountUnknown
    }

    /// Whether the reason is of the group or envelope family, checked before the id is looked up.
    #[must_use]
    pub fn is_before_lookup_of_id(self) -> bool {
        self <= Self::ContextMalformed
    }

    /// The name in upper snake case, as in the protobuf enum without its prefix.
    #[must_use]
    pub fn upper_snake_name(self) -> String {
        let mut upper_snake = String::with_capacity(32);
        for letter in self.name().chars() {
            if letter.is_ascii_uppercase() && !upper_snake.is_empty() {
                upper_snake.push('_');
            }
            upper_snake.push(letter.to_ascii_uppercase());
        }
        upper_snake
    }
}
