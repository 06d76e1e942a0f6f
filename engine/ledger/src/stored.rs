//! A remembered payment: all that a retry, a follow-up or a reader may ask of one whose id is taken.

use crate::{
    Amount, Code, EventSeq, Operation, Outcome, PaymentFlags, PaymentId, RejectReason, Status,
    Timestamp, Verdict,
};

/// No account: a refused payment named one that does not exist.
pub const NO_ACCOUNT: u32 = u32::MAX;

/// Where a remembered payment is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is remembered here: the id was not taken after all.
    #[default]
    Vacant,
    /// Posted; `left` can be refunded.
    Settled,
    /// Held; `left` can be captured.
    HoldOpen,
    /// All of it was captured.
    HoldCaptured,
    /// What was left was released.
    HoldVoided,
    /// What was left was released when the time-out passed.
    HoldExpired,
    /// A void: it released a hold.
    Released,
    /// Refused for a reason that burns the id.
    Refused(RejectReason),
}

impl Stage {
    /// A number that means the same for ever: it is written to files and hashed.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Vacant => 0,
            Self::Settled => 1,
            Self::HoldOpen => 2,
            Self::HoldCaptured => 3,
            Self::HoldVoided => 4,
            Self::HoldExpired => 5,
            Self::Released => 6,
            Self::Refused(reason) => 0x100 + reason as u16,
        }
    }

    /// The stage with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 => Self::Vacant,
            1 => Self::Settled,
            2 => Self::HoldOpen,
            3 => Self::HoldCaptured,
            4 => Self::HoldVoided,
            5 => Self::HoldExpired,
            6 => Self::Released,
            _ => Self::Refused(RejectReason::from_number(
                u8::try_from(number.checked_sub(0x100)?).ok()?,
            )?),
        })
    }
}

/// A payment whose id is taken: two cache lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredPayment {
    /// Its id.
    pub id: PaymentId,
    /// As asked, for comparison with a reuse of the id.
    pub amount: Amount,
    /// As moved, held or released.
    pub applied: u128,
    /// Left to capture or to refund.
    pub left: u128,
    /// The payment that it follows up; zero when it is none.
    pub original: PaymentId,
    /// Position of its event.
    pub seq: EventSeq,
    /// Zero for never.
    pub expires_at: Timestamp,
    /// Of its context.
    pub context_digest: u64,
    /// Number of the account that pays, or [`NO_ACCOUNT`].
    pub debit: u32,
    /// Number of the account that receives, or [`NO_ACCOUNT`].
    pub credit: u32,
    /// As asked.
    pub timeout_s: u32,
    /// As asked, or taken from its original.
    pub code: Code,
    /// Number of its verdict among [`crate::Ledger::verdicts`].
    pub verdict: u16,
    /// What it does.
    pub operation: Operation,
    /// How it behaves.
    pub flags: PaymentFlags,
    /// Where it is in its life.
    pub stage: Stage,
}

const _: () = assert!(size_of::<StoredPayment>() == 128, "memory per recent payment");

impl StoredPayment {
    /// The first outcome, again.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let status = match self.stage {
            Stage::Settled | Stage::Vacant => Status::Settled,
            Stage::HoldOpen | Stage::HoldCaptured | Stage::HoldVoided | Stage::HoldExpired => {
                Status::Held
            }
            Stage::Released => Status::Voided,
            Stage::Refused(reason) => Status::Rejected(reason),
        };
        Outcome { status, amount: Amount(self.applied) }
    }

    /// Whether the payment happened, so that others can refer to it.
    pub(crate) fn is_original(&self) -> bool {
        !matches!(self.stage, Stage::Refused(_) | Stage::Vacant)
    }

    /// When a hold made now would expire; zero for never. `None` when that does not fit.
    #[inline]
    pub(crate) fn expiry(timeout_s: u32, now: Timestamp) -> Option<Timestamp> {
        match timeout_s {
            0 => Some(Timestamp(0)),
            seconds => now.checked_add_s(seconds),
        }
    }

    /// As asked, or sooner where a verdict holds the money for a shorter time than that. A limit that
    /// time can't hold is none.
    #[inline]
    pub(crate) fn expiry_under(verdict: Verdict, asked: Timestamp, now: Timestamp) -> Timestamp {
        let limit_s = if verdict.decision.holds() { verdict.hold_s } else { 0 };
        match (asked, Self::expiry(limit_s, now).unwrap_or_default()) {
            (asked, Timestamp(0)) => asked,
            (Timestamp(0), limit) => limit,
            (asked, limit) => asked.min(limit),
        }
    }

    /// 128 bits that tell two remembered payments apart, the context's digest left out. The state's
    /// hash adds them up, so that it does not depend on where and in which order payments are kept.
    ///
    /// Two lanes of multiply and fold, as in wyhash (Wang Yi, public domain): a defect is found by
    /// it, a forger is not. What must stand against a forger is the journal's hash chain.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let places = u128::from(self.debit) | u128::from(self.credit) << 32;
        let asked = u128::from(self.timeout_s) | u128::from(self.code.0) << 32;
        let kind = u128::from(self.operation as u8) | u128::from(self.flags.0) << 8;
        let words = [
            self.id.0,
            self.amount.0,
            self.applied,
            self.left,
            self.original.0,
            u128::from(self.seq.0) | u128::from(self.expires_at.0) << 64,
            places | asked << 64,
            kind | u128::from(self.stage.number()) << 16,
        ];
        let (mut one, mut other) = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);
        for word in words {
            let (low, high) = (word as u64, (word >> 64) as u64);
            one = fold(one ^ low, high ^ 0xa076_1d64_78bd_642f);
            other = fold(other ^ high, low ^ 0xe703_7ed1_a0b4_28db).rotate_left(23);
        }
        u128::from(fold(one, other ^ 0x8ebc_6af0_9c88_c6e3)) << 64 | u128::from(one ^ other)
    }
}

/// The product's halves, folded.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RiskDecision;

    #[test]
    fn every_stage_has_a_number_of_its_own() {
        let stages = (0..0x200).filter_map(|number| Some((number, Stage::from_number(number)?)));
        let stages: Vec<_> = stages.collect();
        assert_eq!(stages.len(), 7 + RejectReason::ALL.len());
        for (number, stage) in stages {
            assert_eq!(stage.number(), number);
        }
    }

    /// Where a rule's limit is beyond what time can hold, live and recorded payments agree on it.
    #[test]
    fn a_verdict_only_ever_shortens_a_hold() {
        let review =
            |hold_s| Verdict { decision: RiskDecision::Review, hold_s, ..Verdict::default() };
        let approved = |hold_s| Verdict { hold_s, ..Verdict::APPROVE };
        let second = 1_000_000_000;
        let (now, late) = (Timestamp(5 * second), Timestamp(u64::MAX - 9 * second));
        let rows = [
            // Verdict, asked, now, expires.
            (review(0), 0, now, 0),
            (review(0), 7 * second, now, 7 * second),
            (review(3), 0, now, 8 * second),
            (review(3), 7 * second, now, 7 * second),
            (review(3), 9 * second, now, 8 * second),
            (approved(3), 9 * second, now, 9 * second),
            (approved(3), 0, now, 0),
            (review(3), 0, late, u64::MAX - 6 * second),
            (review(9), 0, late, u64::MAX),
            (review(10), 0, late, 0),
            (review(u32::MAX), u64::MAX - second, late, u64::MAX - second),
        ];
        for (verdict, asked, now, expires) in rows {
            let found = StoredPayment::expiry_under(verdict, Timestamp(asked), now);
            assert_eq!(found, Timestamp(expires), "{verdict:?} asked {asked} at {now:?}");
        }
    }

    /// Each field changes the digest, in every bit; no two of so many are alike.
    #[test]
    fn every_bit_of_a_payment_changes_its_digest() {
        let base = StoredPayment { id: PaymentId(1), left: 5, ..StoredPayment::default() };
        let mut digests = vec![base.digest()];
        for bit in 0..128 {
            let wide = 1_u128 << bit;
            digests.push(StoredPayment { id: PaymentId(1 ^ wide), ..base }.digest());
            digests.push(StoredPayment { amount: Amount(wide), ..base }.digest());
            digests.push(StoredPayment { applied: wide, ..base }.digest());
            digests.push(StoredPayment { left: 5 ^ wide, ..base }.digest());
            digests.push(StoredPayment { original: PaymentId(wide), ..base }.digest());
        }
        for bit in 0..64 {
            digests.push(StoredPayment { seq: EventSeq(1 << bit), ..base }.digest());
            digests.push(StoredPayment { expires_at: Timestamp(1 << bit), ..base }.digest());
        }
        for bit in 0..32 {
            digests.push(StoredPayment { debit: 1 << bit, ..base }.digest());
            digests.push(StoredPayment { credit: 1 << bit, ..base }.digest());
            digests.push(StoredPayment { timeout_s: 1 << bit, ..base }.digest());
        }
        for bit in 0..16 {
            digests.push(StoredPayment { code: Code(1 << bit), ..base }.digest());
        }
        digests.extend(
            (1..7)
                .filter_map(Stage::from_number)
                .map(|stage| StoredPayment { stage, ..base }.digest()),
        );
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }
}
