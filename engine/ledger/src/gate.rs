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
}

/// Name of the limit or rule that decided: at most 31 bytes of text, kept in line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RuleName {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

impl RuleName {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 31;

    /// The name, unless it is longer than [`Self::LEN_MAX`] bytes.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::LEN_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { len: name.len() as u8, bytes })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("made from a str")
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A decision, and which limit or rule made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What risk says.
    pub decision: RiskDecision,
    /// Which limit or rule said so; empty when approved.
    pub rule: RuleName,
}

impl Verdict {
    /// Let it through.
    pub const APPROVE: Self = Self {
        decision: RiskDecision::Approve,
        rule: RuleName { len: 0, bytes: [0; RuleName::LEN_MAX] },
    };
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
