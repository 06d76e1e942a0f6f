//! The gate between overflow checks and funds checks where risk speaks.
//!
//! The ledger asks; what answers (limits, rules, models) is another crate's matter. A verdict is
//! journaled with its payment, and replay feeds the recorded one back.

use std::{fmt, str};

use crate::{Amount, Payment, Timestamp};

/// What risk says of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RiskDecision {
    /// Not asked: the payment failed earlier, or its operation is not judged.
    #[default]
    NotJudged = 0,
    /// Let it through.
    Approve = 1,
    /// Hold the money until a person has looked.
    Review = 2,
    /// Refuse it.
    Decline = 3,
    /// Hold the money until the upstream has confirmed that its customer wants this.
    Challenge = 4,
}

impl RiskDecision {
    /// The decision with this number, which is the same for ever.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::NotJudged, Self::Approve, Self::Review, Self::Decline, Self::Challenge]
            .into_iter()
            .find(|decision| *decision as u8 == number)
    }

    /// Its name in journals, logs and APIs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJudged => "NOT_JUDGED",
            Self::Approve => "APPROVE",
            Self::Review => "REVIEW",
            Self::Decline => "DECLINE",
            Self::Challenge => "CHALLENGE",
        }
    }

    /// Whether the money is held, whatever the payment asked for.
    #[must_use]
    #[inline]
    pub fn holds(self) -> bool {
        matches!(self, Self::Review | Self::Challenge)
    }
}

/// Name of the limit or rule that decided: at most 31 bytes of text, kept in line.
///
/// Every decision has a copy of one. Aligned, it is copied in whole words, which a read soon after
/// doesn't have to wait for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(align(8))]
pub struct RuleName {
    /// The text, zeros, and the text's length.
    bytes: [u8; Self::LEN_MAX + 1],
}

impl RuleName {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 31;

    /// The name, unless it is longer than [`Self::LEN_MAX`] bytes.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::LEN_MAX + 1];
        bytes[..Self::LEN_MAX].get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        bytes[Self::LEN_MAX] = name.len() as u8;
        Some(Self { bytes })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = usize::from(self.bytes[Self::LEN_MAX]);
        str::from_utf8(&self.bytes[..len]).expect("made from a str")
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A decision, which limit or rule made it, and for how long it holds money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What risk says.
    pub decision: RiskDecision,
    /// Which limit or rule said so; empty when approved.
    pub rule: RuleName,
    /// Seconds after which money that the decision holds is released; 0 for never. At most
    /// [`Verdict::HOLD_S_MAX`]. Not remembered with a payment once its hold has its time-out.
    pub hold_s: u32,
}

impl Verdict {
    /// Let it through.
    pub const APPROVE: Self = Self {
        decision: RiskDecision::Approve,
        rule: RuleName { bytes: [0; RuleName::LEN_MAX + 1] },
        hold_s: 0,
    };

    /// Longest time for which a decision may hold money: 194 days.
    pub const HOLD_S_MAX: u32 = (1 << 24) - 1;
}

/// A payment that is judged: what nothing but its funds can stop.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// A PAY or AUTHORIZE.
    pub payment: &'a Payment,
    /// Minor units that it moves or holds.
    pub amount: Amount,
    /// Time of its batch.
    pub at: Timestamp,
    /// Place of the payment in its request.
    pub position: u32,
    /// Number of the debit account, in the order in which accounts were opened: dense, and the same
    /// in every replay, so that a profile per payer needs no look-up.
    pub payer: u32,
}

/// Judges payments in sequence order and keeps what it needs to know of earlier ones.
///
/// Its state must be a function of the payments observed, so that a replay of the journal
/// rebuilds it.
pub trait Gate {
    /// Judges a payment.
    fn judge(&mut self, judged: Judged<'_>) -> Verdict;

    /// The payment that was judged last was accepted.
    fn observe(&mut self, judged: Judged<'_>);

    /// Whether [`Gate::look_ahead`] and [`Gate::attempted`] are wanted at all.
    fn looks_ahead(&self) -> bool {
        false
    }

    /// A request of so many payments begins. What was said of the one before is not asked for any
    /// more. Only called where the gate looks ahead.
    fn begin_request(&mut self, payments: usize) {
        let _ = payments;
    }

    /// Payments that are about to be decided, in this order. Each of them is an attempt: a PAY or
    /// AUTHORIZE with nothing wrong in itself that will leave an event, whatever becomes of it.
    /// (An id that a linked group names twice is one attempt.) Those that nothing stops before are
    /// then judged.
    fn look_ahead(&mut self, block: &Block<'_>) {
        let _ = block;
    }

    /// An attempt that was decided in an earlier life: what [`Gate::look_ahead`] was told then, one
    /// by one and in the same order.
    fn attempted(&mut self, payment: &Payment, context: &[u8], at: Timestamp) {
        let _ = (payment, context, at);
    }

    /// What the gate has to say of the payment in this place of the request that is being decided,
    /// for the journal. Opaque to the ledger. At most 255 bytes.
    fn evidence(&self, position: u32) -> &[u8] {
        let _ = position;
        &[]
    }

    /// All pieces of a snapshot were taken over.
    ///
    /// # Errors
    /// When pieces are missing.
    fn restored(&mut self) -> Result<(), GateStateError> {
        Ok(())
    }

    /// Carries out an act of an analyst that comes in now, in the batch of this time.
    ///
    /// # Errors
    /// When it can't be carried out. Nothing has changed then.
    fn act(&mut self, act: &[u8], at: Timestamp) -> Result<(), GateActError> {
        let _ = (act, at);
        Err(GateActError("there is no risk policy that could carry it out".to_owned()))
    }

    /// Carries out an act of the journal.
    ///
    /// # Errors
    /// When it makes no sense here.
    fn acted(&mut self, act: &[u8], at: Timestamp) -> Result<(), GateActError> {
        let _ = (act, at);
        Ok(())
    }

    /// The journal has been read to its end; from here on payments are decided.
    ///
    /// # Errors
    /// When something is missing that the policy in force needs.
    fn recovered(&mut self) -> Result<(), GateActError> {
        Ok(())
    }

    /// What is observed from here on may be taken back.
    fn begin_group(&mut self);

    /// What was observed since [`Gate::begin_group`] stays, or is taken back.
    fn end_group(&mut self, keep: bool);

    /// Begins a snapshot of what is known now. A gate that knows nothing has nothing to do.
    fn begin_snapshot(&mut self) {}

    /// Appends the next piece of the snapshot: about `rows_max` entries, as they were when it was
    /// begun. `false` when there are no more.
    fn snapshot_slice(&mut self, rows_max: usize, piece: &mut Vec<u8>) -> bool {
        let _ = (rows_max, piece);
        false
    }

    /// Takes over a piece of a snapshot, in the order in which they were written.
    ///
    /// # Errors
    /// When the piece can't be read, or was written by a gate that remembered other things than
    /// this one needs. The state must be rebuilt from the journal then.
    fn restore(&mut self, piece: &[u8]) -> Result<(), GateStateError> {
        match piece.is_empty() {
            true => Ok(()),
            false => Err(GateStateError("there is no risk policy that could take it over")),
        }
    }
}

/// The encoded contexts of the payments of one request.
pub trait Contexts: Sync {
    /// The context of the payment in this place; empty where there is none.
    fn context(&self, position: usize) -> &[u8];
}

/// Payments without contexts.
#[derive(Clone, Copy, Debug)]
pub struct NoContexts;

impl Contexts for NoContexts {
    fn context(&self, _: usize) -> &[u8] {
        &[]
    }
}

/// Payments of one request that are about to be decided.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// All payments of the request.
    pub payments: &'a [Payment],
    /// Places of the ones that are attempts, ascending.
    pub positions: &'a [u32],
    /// Contexts of all payments of the request.
    pub contexts: &'a dyn Contexts,
    /// Time of their batch.
    pub at: Timestamp,
}

impl fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("positions", &self.positions).field("at", &self.at).finish()
    }
}

/// Why an analyst's act was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GateActError(pub String);

/// Why a gate can't go on from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the risk policy can't go on from this snapshot: {0}")]
pub struct GateStateError(pub &'static str);

/// A gate without a policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApproveAll;

impl Gate for ApproveAll {
    fn judge(&mut self, _: Judged<'_>) -> Verdict {
        Verdict::APPROVE
    }

    fn observe(&mut self, _: Judged<'_>) {}

    fn begin_group(&mut self) {}

    fn end_group(&mut self, _: bool) {}
}
