//! What the ledger has to know of a payment's context: consumes its encoded form, produces the digest
//! by which two of them are compared.
//!
//! Guarantees that the trace in which a payment was made is no part of that: whoever sends a payment
//! again does so in another trace, and it is the same payment.

use std::borrow::Cow;

/// The key of `PaymentContext.trace`: field 9, of a length.
const TRACE: u8 = 9 << 3 | 2;

/// Digest by which a reused id's context is compared: the first 64 bits of the BLAKE3 of all but its
/// trace, because it is written to runs and must mean the same for ever. 0 when there is nothing else.
#[must_use]
pub fn context_digest(context: &[u8]) -> u64 {
    let context = without_trace(context);
    if context.is_empty() {
        return 0;
    }
    let hash = blake3::hash(&context);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes"))
}

/// All fields but the trace, as they are. What is not well formed is left as it is.
fn without_trace(context: &[u8]) -> Cow<'_, [u8]> {
    // Most contexts have no such byte, and none of those pays for the others.
    let kept = match context.contains(&TRACE) {
        true => kept_of_well_formed(context),
        false => None,
    };
    kept.unwrap_or(Cow::Borrowed(context))
}

fn kept_of_well_formed(context: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut kept = Cow::Borrowed(&context[..0]);
    let mut rest = context;
    while !rest.is_empty() {
        let field = rest;
        let is_trace = field[0] == TRACE;
        let skipped = match varint(&mut rest)? & 7 {
            0 => {
                varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => varint(&mut rest)?,
            5 => 4,
            // Groups, which are no longer in use.
            _ => return None,
        };
        rest = rest.get(usize::try_from(skipped).ok()?..)?;
        if is_trace {
            continue;
        }
        let end = context.len() - rest.len();
        let start = end - (field.len() - rest.len());
        // What is kept is one piece as long as the trace is the last field, as encoders have it.
        match &mut kept {
            Cow::Borrowed(piece) if piece.len() == start => *piece = &context[..end],
            several => several.to_mut().extend_from_slice(&context[start..end]),
        }
    }
    Some(kept)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Digests lie in files: another one for the same context would be another payment.
    #[test]
    fn a_context_has_the_same_digest_for_ever() {
        assert_eq!(context_digest(b""), 0);
        // The test vector of BLAKE3 for one byte of zero.
        assert_eq!(
            context_digest(&[0]),
            u64::from_le_bytes([0x2d, 0x3a, 0xde, 0xdf, 0xf1, 0x1b, 0x61, 0xf1])
        );
    }

    #[test]
    fn the_trace_is_left_out_wherever_it_lies() {
        for (context, kept) in [
            // The trace alone, last, first, between, twice, empty.
            (&b"\x4a\x02\x0a\0"[..], &b""[..]),
            (b"\x08\x01\x4a\x02\x0a\0", b"\x08\x01"),
            (b"\x4a\x02\x0a\0\x08\x01", b"\x08\x01"),
            (b"\x08\x01\x4a\x01x\x32\x01y", b"\x08\x01\x32\x01y"),
            (b"\x4a\x01x\x08\x01\x4a\x01y\x32\x01y\x4a\0", b"\x08\x01\x32\x01y"),
            // The byte within a text, a number of 8 and one of 4 bytes.
            (b"\x32\x03JJJ", b"\x32\x03JJJ"),
            (b"\x51JJJJJJJJ\x55JJJJ\x4a\0", b"\x51JJJJJJJJ\x55JJJJ"),
            // Field 9 that is no message.
            (b"\x48\x4a\x08\x01", b"\x48\x4a\x08\x01"),
            // Cut off, a group, a number without an end.
            (b"\x08\x01\x4a\x02x", b"\x08\x01\x4a\x02x"),
            (b"\x4a\0\x53\x54", b"\x4a\0\x53\x54"),
            (b"\x4a\0\x08\x80", b"\x4a\0\x08\x80"),
            (
                b"\x4a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                b"\x4a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            ),
        ] {
            assert_eq!(&*without_trace(context), kept, "{context:?}");
        }
    }

    proptest! {
        /// Fields in any order, compared with leaving out the traces before they are put together.
        #[test]
        fn what_is_kept_is_all_but_the_traces(
            fields in prop::collection::vec(
                (1_u8..12, prop::collection::vec(any::<u8>(), 0..20)),
                0..8,
            )
        ) {
            let encoded = |(number, text): &(u8, Vec<u8>)| {
                [&[number << 3 | 2, text.len() as u8][..], text].concat()
            };
            let all: Vec<u8> = fields.iter().flat_map(encoded).collect();
            let kept = fields.iter().filter(|(number, _)| *number != 9);
            let kept: Vec<u8> = kept.flat_map(encoded).collect();
            prop_assert_eq!(&*without_trace(&all), &kept[..]);
            prop_assert_eq!(context_digest(&all), context_digest(&kept));
        }

        #[test]
        fn garbage_does_no_harm(garbage in prop::collection::vec(any::<u8>(), 0..60)) {
            let kept = without_trace(&garbage);
            prop_assert!(kept.len() <= garbage.len());
        }
    }
}
