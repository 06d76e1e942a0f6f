//! Evidence: what the policy has to say of a payment beside its verdict, as the journal keeps it.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | layout: 1 |
//! | 1 | 1 | bits: 1 score, 2 challenger, 4 the time budget was spent and the fallback decided, 8 a rule's reason |
//! | 2 | 2 | number of the policy in force, counted from 1 by acts that set one |
//! | 4 | 4 | score of the champion, `f32` |
//! | 8 | 4 | score of the challenger, `f32`, where there is one |
//! | | 1 | what the challenger would have decided, where there is one |
//! | | 1 | number of reasons, at most 5 |
//! | | 10 each | number of the feature in the policy's model, `u16`; its value, its contribution, `f32` |
//! | | 1 | bytes of the rule's reason, at least 1, where there is one |
//! | | | the rule's reason: UTF-8, cut to what [`EVIDENCE_LEN_MAX`] leaves |
//!
//! All little-endian. Journals of releases before the rule's reason have the same layout without it.

/// Most reasons that are kept.
pub const REASONS_MAX: usize = 5;

/// Longest evidence: the journal tells its length in one byte.
pub const EVIDENCE_LEN_MAX: usize = u8::MAX as usize;

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
    /// Why the rule that decided holds, in words, with the payment's values. Only for payments that a
    /// rule kept from being approved. Where it is too long for the journal, it ends with an ellipsis.
    pub rule_reason: Option<String>,
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
const RULE_REASON: u8 = 8;
const ALL: u8 = SCORE | CHALLENGER | FELL_BACK | RULE_REASON;

const ELLIPSIS: &str = "…";

impl Evidence {
    /// Appends the bytes, at most [`EVIDENCE_LEN_MAX`].
    pub fn put(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let flag = |there: bool, bit: u8| if there { bit } else { 0 };
        let bits = flag(self.score.is_some(), SCORE)
            | flag(self.challenger.is_some(), CHALLENGER)
            | flag(self.fell_back, FELL_BACK);
        // In one piece: most payments have nothing else.
        let [policy_low, policy_high] = self.policy.to_le_bytes();
        let [a, b, c, d] = self.score.unwrap_or_default().to_le_bytes();
        bytes.extend_from_slice(&[LAYOUT, bits, policy_low, policy_high, a, b, c, d]);
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
        if let Some(reason) = &self.rule_reason {
            put_rule_reason(bytes, start, reason);
        }
    }

    /// Reads what [`Self::put`] wrote; `None` for anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&[layout, bits], rest) = bytes.split_first_chunk()?;
        if layout != LAYOUT || bits & !ALL != 0 {
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
        let mut rule_reason = None;
        if bits & RULE_REASON != 0 {
            let (&len, after) = rest.split_first()?;
            let (text, after) = after.split_at_checked(usize::from(len))?;
            rule_reason = Some(std::str::from_utf8(text).ok().filter(|it| !it.is_empty())?);
            rest = after;
        }
        rest.is_empty().then_some(Self {
            policy: u16::from_le_bytes(*policy),
            score: (bits & SCORE != 0).then_some(f32::from_le_bytes(*score)),
            challenger,
            fell_back: bits & FELL_BACK != 0,
            reasons,
            rule_reason: rule_reason.map(str::to_owned),
        })
    }
}

/// Adds a rule's reason to evidence that has none: the bytes from `start` on, all that there are.
pub(crate) fn put_rule_reason(bytes: &mut Vec<u8>, start: usize, reason: &str) {
    let room = EVIDENCE_LEN_MAX - (bytes.len() - start) - 1;
    let (kept, ellipsis) = match reason.len() <= room {
        true => (reason, ""),
        false => (&reason[..reason.floor_char_boundary(room - ELLIPSIS.len())], ELLIPSIS),
    };
    if kept.is_empty() {
        return;
    }
    bytes[start + 1] |= RULE_REASON;
    bytes.push((kept.len() + ellipsis.len()) as u8);
    bytes.extend_from_slice(kept.as_bytes());
    bytes.extend_from_slice(ellipsis.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason((feature, value, contribution): (u16, f32, f32)) -> Reason {
        Reason { feature, value, contribution }
    }

    prop_compose! {
        fn any_evidence()(
            policy in any::<u16>(),
            score in prop::option::of(0_f32..1.0),
            challenger in prop::option::of((0_f32..1.0, 0_u8..5)),
            fell_back in any::<bool>(),
            reasons in prop::collection::vec((any::<u16>(), 0_f32..9.0, -1_f32..1.0), 0..=REASONS_MAX),
            // Characters of one to four bytes, up to twice of what there is room for.
            rule_reason in prop::option::of("[a-zé€\u{1d11e}]{1,200}"),
        ) -> Evidence {
            let reasons = reasons.into_iter().map(reason).collect();
            Evidence { policy, score, challenger, fell_back, reasons, rule_reason }
        }
    }

    fn bytes_of(evidence: &Evidence) -> Vec<u8> {
        // What stands before it is not its own.
        let mut bytes = vec![0xff; 3];
        evidence.put(&mut bytes);
        bytes.split_off(3)
    }

    /// Made by hand from the table above, not by this code: the journal keeps these bytes for ever.
    #[test]
    fn evidence_is_written_and_read_as_layout_1_always_was() {
        let golden = [
            &[1, 15, 3, 0][..],
            &[0, 0, 0x40, 0x3f],
            &[0, 0, 0, 0x3f, 2],
            &[1, 9, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0x80, 0xbe],
            &[2, b'h', b'i'],
        ]
        .concat();
        let evidence = Evidence {
            policy: 3,
            score: Some(0.75),
            challenger: Some((0.5, 2)),
            fell_back: true,
            reasons: vec![reason((9, 1.5, -0.25))],
            rule_reason: Some("hi".to_owned()),
        };
        assert_eq!(bytes_of(&evidence), golden);
        assert_eq!(Evidence::read(&golden), Some(evidence));
    }

    proptest! {
        #[test]
        fn evidence_reads_back_whole_and_never_in_part(evidence in any_evidence()) {
            let bytes = bytes_of(&evidence);
            prop_assert!(bytes.len() <= EVIDENCE_LEN_MAX);
            let read = Evidence::read(&bytes).expect("was written");
            prop_assert_eq!(bytes_of(&read), bytes.clone(), "what is kept fits");
            match (&read.rule_reason, &evidence.rule_reason) {
                (Some(kept), Some(whole)) if kept != whole => {
                    let kept = kept.strip_suffix(ELLIPSIS).expect("it was cut");
                    prop_assert!(whole.starts_with(kept));
                    let next = whole[kept.len()..].chars().next().expect("there is more");
                    let cut_early = EVIDENCE_LEN_MAX - bytes.len();
                    prop_assert!(cut_early < next.len_utf8(), "another character has room");
                }
                (kept, whole) => prop_assert_eq!(kept, whole),
            }
            let rule_reason = evidence.rule_reason.clone();
            prop_assert_eq!(Evidence { rule_reason, ..read }, evidence);
            for len in 0..bytes.len() {
                prop_assert_eq!(Evidence::read(&bytes[..len]), None, "of {} bytes {}", bytes.len(), len);
            }
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(Evidence::read(&longer), None);
        }

        #[test]
        fn garbage_is_no_evidence_and_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..64)) {
            let read = Evidence::read(&garbage);
            prop_assert!(read.is_none() || garbage[0] == LAYOUT);
        }
    }

    /// A reason of each length is kept whole or cut, and cut where a character ends.
    #[test]
    fn a_reason_is_cut_to_what_fits() {
        let full = [Reason::default(); REASONS_MAX].to_vec();
        let challenger = Some((0.5, 2));
        for (reasons, challenger, room) in [(Vec::new(), None, 245), (full, challenger, 190)] {
            let evidence = Evidence { challenger, reasons, ..Evidence::default() };
            for len in 1..400 {
                for unit in ["x", "é", "€", "\u{1d11e}"] {
                    let whole: String = unit.repeat(len);
                    let rule_reason = Some(whole.clone());
                    let read =
                        Evidence::read(&bytes_of(&Evidence { rule_reason, ..evidence.clone() }));
                    let kept = read.and_then(|it| it.rule_reason).expect("there is one");
                    match whole.len() <= room {
                        true => assert_eq!(kept, whole),
                        false => {
                            let units = (room - ELLIPSIS.len()) / unit.len();
                            assert_eq!(kept, unit.repeat(units) + ELLIPSIS);
                        }
                    }
                }
            }
        }
    }

    /// The bytes of a release that knew no rule's reason.
    #[test]
    fn evidence_of_earlier_releases_is_read() {
        let written = [
            &[1, 3, 7, 0][..],
            &0.5_f32.to_le_bytes(),
            &0.25_f32.to_le_bytes(),
            &[3, 1, 2, 0],
            &9_f32.to_le_bytes(),
            &1.5_f32.to_le_bytes(),
        ]
        .concat();
        let evidence = Evidence {
            policy: 7,
            score: Some(0.5),
            challenger: Some((0.25, 3)),
            reasons: vec![reason((2, 9.0, 1.5))],
            ..Evidence::default()
        };
        assert_eq!(Evidence::read(&written), Some(evidence.clone()));
        assert_eq!(bytes_of(&evidence), written);
    }

    #[test]
    fn a_reason_that_says_nothing_is_none() {
        let evidence = Evidence { rule_reason: Some(String::new()), ..Evidence::default() };
        assert_eq!(Evidence::read(&bytes_of(&evidence)), Some(Evidence::default()));
        let mut empty = bytes_of(&Evidence::default());
        empty[1] |= RULE_REASON;
        empty.push(0);
        assert_eq!(Evidence::read(&empty), None);
        empty.pop();
        empty.extend([2, 0xc3, 0x28]);
        assert_eq!(Evidence::read(&empty), None, "no UTF-8");
    }
}
