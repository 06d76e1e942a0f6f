//! Keys of the tables: consumes ids, filters and positions, produces bytes that sort as the
//! positions do within one prefix.

use millrace_ledger::{LedgerId, RejectReason, RiskDecision};
use sha2::{Digest as _, Sha256};

use super::model::OutcomeKind;

const HOUR_NS: u64 = 3_600_000_000_000;

/// What the payments of a list of table `lists` have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ListOf {
    /// What became of them.
    Outcome(OutcomeKind),
    /// Why they were refused.
    Reason(RejectReason),
    /// What risk said.
    Decision(RiskDecision),
    /// The ledger that they name.
    Ledger(LedgerId),
}

impl ListOf {
    /// The first bytes of the keys of its rows.
    pub(super) fn prefix(self) -> [u8; 5] {
        let (kind, value) = match self {
            Self::Outcome(outcome) => (1, outcome as u32),
            Self::Reason(reason) => (2, reason as u32),
            Self::Decision(decision) => (3, decision as u32),
            Self::Ledger(ledger) => (4, ledger.0),
        };
        let mut prefix = [kind; 5];
        prefix[1..].copy_from_slice(&value.to_be_bytes());
        prefix
    }
}

/// The first bytes of the keys of a reference's rows in table `references`. Two references may
/// share them, so a reader compares the text as well. A strong hash, because strangers choose the
/// text.
pub(super) fn reference_prefix(reference: &[u8]) -> [u8; 8] {
    let hash = Sha256::digest(reference);
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&hash[..8]);
    prefix
}

/// Key of a row of one of the tables that list by account or by payment: `postings`, `history`,
/// `account_expiries`, `open_holds` (account 0 stands for all), `follow_ups`.
pub(crate) fn id_key(id: u128, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&id.to_be_bytes());
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Hours since 1970, UTC: how table `totals` divides time.
pub(super) fn hour_of(time_ns: u64) -> u32 {
    // 64 bits of nanoseconds are 5 million hours.
    (time_ns / HOUR_NS) as u32
}

/// When an hour begins.
pub(super) fn hour_start_ns(hour: u32) -> u64 {
    u64::from(hour).saturating_mul(HOUR_NS)
}

/// Key of a row of table `totals`.
pub(super) fn totals_key(ledger: LedgerId, hour: u32) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&ledger.0.to_be_bytes());
    key[4..].copy_from_slice(&hour.to_be_bytes());
    key
}

/// The reference within an encoded `millrace.v1.PaymentContext`, without decoding the rest: field
/// 6, text. Of a context that is not well formed it may be anything.
pub(super) fn reference_of(context: &[u8]) -> Option<&[u8]> {
    const REFERENCE: u64 = 6 << 3 | 2;
    let mut rest = context;
    let mut found = None;
    while !rest.is_empty() {
        let tag = prost::encoding::decode_varint(&mut rest).ok()?;
        let skipped = match tag & 7 {
            0 => {
                prost::encoding::decode_varint(&mut rest).ok()?;
                0
            }
            1 => 8,
            2 => prost::encoding::decode_varint(&mut rest).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, after) = rest.split_at_checked(usize::try_from(skipped).ok()?)?;
        rest = after;
        if tag == REFERENCE {
            found = Some(field).filter(|text| !text.is_empty());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use millrace_protos::v1::PaymentContext;
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_reference_is_found_wherever_it_lies() {
        let context = PaymentContext {
            device_id: "terminal-9".into(),
            reference: "coffee".into(),
            ip_address: "192.0.2.7".into(),
            ..PaymentContext::default()
        };
        let bytes = context.encode_to_vec();
        assert_eq!(reference_of(&bytes), Some(b"coffee".as_slice()));
        // The last one counts, as it does for those who decode it all.
        let later = PaymentContext { reference: "tea".into(), ..PaymentContext::default() };
        let twice = [bytes, later.encode_to_vec()].concat();
        assert_eq!(reference_of(&twice), Some(b"tea".as_slice()));
        for (bytes, found) in [
            (&b""[..], None),
            (b"\x32", None),
            (b"\x32\x05abc", None),
            (b"\x32\x00", None),
            (b"\x08\x02", None),
            (b"\x0b", None),
            (b"\x09\0\0\0\0\0\0\0\0\x32\x01x", Some(b"x".as_slice())),
            (b"\x0d\0\0\0\0\x32\x01x", Some(b"x".as_slice())),
        ] {
            assert_eq!(reference_of(bytes), found, "{bytes:?}");
        }
    }

    #[test]
    fn lists_do_not_share_rows() {
        let lists = [
            ListOf::Outcome(OutcomeKind::Settled),
            ListOf::Outcome(OutcomeKind::Rejected),
            ListOf::Reason(RejectReason::InsufficientFunds),
            ListOf::Decision(RiskDecision::Approve),
            ListOf::Ledger(LedgerId(1)),
            ListOf::Ledger(LedgerId(256)),
        ];
        let mut prefixes: Vec<_> = lists.iter().map(|list| list.prefix()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        assert_eq!(prefixes.len(), lists.len());
    }
}
