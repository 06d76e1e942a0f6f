//! Evidence: what the policy has to say of a payment beside its verdict, as the journal keeps it.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | layout: 1 |
//! | 1 | 1 | bits: 1 score, 2 challenger, 4 the time budget was spent and the fallback decided |
//! | 2 | 2 | number of the policy in force, counted from 1 by acts that set one |
//! | 4 | 4 | score of the champion, `f32` |
//! | 8 | 4 | score of the challenger, `f32`, where there is one |
//! | | 1 | what the challenger would have decided, where there is one |
//! | | 1 | number of reasons, at most 5 |
//! | | 10 each | number of the feature in the policy's model, `u16`; its value, its contribution, `f32` |
//!
//! All little-endian.

/// Most reasons that are kept.
pub const REASONS_MAX: usize = 5;

/// What the policy has to say of a payment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Number of the policy in force; 0 where there was none.
    pub policy: u16,
    /// The champion's calibrated score, 0 to 1.
    pub score: Option<f32>,
    /// What the challenger would have said: its score, and the number of its decision.
    pub challenger: Option<(f32, u8)>,
    /// The time budget was spent: the fallback decided.
    pub fell_back: bool,
    /// Features that moved the score most, most first. Only for payments that were not approved.
    pub reasons: Vec<Reason>,
}

/// A feature that moved a score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reason {
    /// Its number in the policy's model: see [`crate::policy::Library::catalogue_of`].
    pub feature: u16,
    /// Its value for the payment.
    pub value: f32,
    /// By how much it moved the raw score; up is towards fraud.
    pub contribution: f32,
}

const LAYOUT: u8 = 1;
const SCORE: u8 = 1;
const CHALLENGER: u8 = 2;
const FELL_BACK: u8 = 4;

impl Evidence {
    /// Appends the bytes.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        let flag = |there: bool, bit: u8| if there { bit } else { 0 };
        let bits = flag(self.score.is_some(), SCORE)
            | flag(self.challenger.is_some(), CHALLENGER)
            | flag(self.fell_back, FELL_BACK);
        bytes.extend_from_slice(&[LAYOUT, bits]);
        bytes.extend_from_slice(&self.policy.to_le_bytes());
        bytes.extend_from_slice(&self.score.unwrap_or_default().to_le_bytes());
        if let Some((score, decision)) = self.challenger {
            bytes.extend_from_slice(&score.to_le_bytes());
            bytes.push(decision);
        }
        let reasons = &self.reasons[..self.reasons.len().min(REASONS_MAX)];
        bytes.push(reasons.len() as u8);
        for Reason { feature, value, contribution } in reasons {
            bytes.extend_from_slice(&feature.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
            bytes.extend_from_slice(&contribution.to_le_bytes());
        }
    }

    /// Reads what [`Self::put`] wrote; `None` for anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&[layout, bits], rest) = bytes.split_first_chunk()?;
        if layout != LAYOUT || bits & !(SCORE | CHALLENGER | FELL_BACK) != 0 {
            return None;
        }
        let (policy, rest) = rest.split_first_chunk()?;
        let (score, mut rest) = rest.split_first_chunk()?;
        let mut challenger = None;
        if bits & CHALLENGER != 0 {
            let (score, after) = rest.split_first_chunk()?;
            let (&decision, after) = after.split_first()?;
            challenger = Some((f32::from_le_bytes(*score), decision));
            rest = after;
        }
        let (&count, mut rest) = rest.split_first()?;
        let mut reasons = Vec::with_capacity(usize::from(count).min(REASONS_MAX));
        for _ in 0..count {
            let (feature, after) = rest.split_first_chunk()?;
            let (value, after) = after.split_first_chunk()?;
            let (contribution, after) = after.split_first_chunk()?;
            reasons.push(Reason {
                feature: u16::from_le_bytes(*feature),
                value: f32::from_le_bytes(*value),
                contribution: f32::from_le_bytes(*contribution),
            });
            rest = after;
        }
        rest.is_empty().then_some(Self {
            policy: u16::from_le_bytes(*policy),
            score: (bits & SCORE != 0).then_some(f32::from_le_bytes(*score)),
            challenger,
            fell_back: bits & FELL_BACK != 0,
            reasons,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn evidence_reads_back(
            policy in any::<u16>(),
            score in prop::option::of(0_f32..1.0),
            challenger in prop::option::of((0_f32..1.0, 0_u8..5)),
            fell_back in any::<bool>(),
            reasons in prop::collection::vec((any::<u16>(), 0_f32..9.0, -1_f32..1.0), 0..=REASONS_MAX),
        ) {
            let reason = |(feature, value, contribution)| Reason { feature, value, contribution };
            let reasons = reasons.into_iter().map(reason).collect();
            let evidence = Evidence { policy, score, challenger, fell_back, reasons };
            let mut bytes = Vec::new();
            evidence.put(&mut bytes);
            prop_assert!(bytes.len() <= 255);
            prop_assert_eq!(Evidence::read(&bytes), Some(evidence));
            prop_assert_eq!(Evidence::read(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn garbage_is_no_evidence_and_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..64)) {
            let read = Evidence::read(&garbage);
            prop_assert!(read.is_none() || garbage[0] == LAYOUT);
        }
    }
}
