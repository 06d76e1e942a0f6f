//! Packing: consumes the payments of a generation as they lie in memory, produces their rows in the
//! order of their ids. The memory for it is used again for every generation.

use millrace_ledger::{PaymentId, StoredPayment};
use prefetch_index::prefetch_index;

use super::{
    page::id_of,
    row::{self, ID_LEN, ROW_LEN_MAX},
};

/// So many rows before it is handed out, a row is fetched from memory.
const ROWS_AHEAD: usize = 16;

const _: () = assert!(ROW_LEN_MAX <= u8::MAX as usize, "a byte says how long a row is");

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Rows one after the other, a byte before each that says how long it is.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a row is. Half as large as its id and a place would be, so that sorting moves half as
/// much.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The highest bits in which the ids of this generation differ: if these differ, they are in
    /// the order of the ids.
    key: u64,
    at: usize,
}

impl Packed {
    /// Packs these payments in place of those before.
    pub(super) fn pack<'a>(&mut self, payments: impl Iterator<Item = &'a StoredPayment>) {
        let Self { bytes, places } = self;
        bytes.clear();
        places.clear();
        let (mut id_min, mut id_max, mut in_order) = (PaymentId::MAX, PaymentId::ZERO, true);
        // In the order in which they lie in memory, which is quick to read through; what is left to
        // be put in order is a tenth of the size.
        for payment in payments {
            let at = bytes.len();
            bytes.push(0);
            row::encode(payment, bytes);
            bytes[at] = (bytes.len() - at - 1) as u8;
            places.push(Place { key: 0, at });
            in_order &= payment.id >= id_max;
            (id_min, id_max) = (id_min.min(payment.id), id_max.max(payment.id));
        }
        if in_order {
            return;
        }
        let shift = (id_max.0 - id_min.0).ilog2().saturating_sub(u64::BITS - 1);
        for place in &mut *places {
            place.key = ((id_at(bytes, place.at).0 - id_min.0) >> shift) as u64;
        }
        places.sort_unstable_by_key(|place| place.key);
        if shift > 0 {
            for alike in places.chunk_by_mut(|one, other| one.key == other.key) {
                if alike.len() > 1 {
                    alike.sort_unstable_by_key(|place| id_at(bytes, place.at));
                }
            }
        }
    }

    /// The rows and their ids.
    pub(super) fn rows(&self) -> impl Iterator<Item = (PaymentId, &[u8])> {
        self.places.iter().enumerate().map(|(number, place)| {
            if let Some(ahead) = self.places.get(number + ROWS_AHEAD) {
                prefetch_index(&self.bytes, ahead.at);
                // A row lies on two lines as often as not.
                prefetch_index(&self.bytes, ahead.at + ID_LEN + ID_LEN);
            }
            let start = place.at + 1;
            let row = &self.bytes[start..start + usize::from(self.bytes[place.at])];
            (id_of(row), row)
        })
    }
}

fn id_at(bytes: &[u8], at: usize) -> PaymentId {
    id_of(&bytes[at + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ids that differ in all bits or in the lowest only, and ids of a few milliseconds that differ
    /// in bits so low that keys don't have them.
    fn ids() -> impl Strategy<Value = Vec<u128>> {
        let alike = (any::<u128>(), 0..128_u32).prop_flat_map(|(base, width)| {
            prop::collection::vec(any::<u128>().prop_map(move |id| base ^ (id >> width)), 0..60)
        });
        let in_time = (0..4_u128, 0..4_u128, 0..8_u128)
            .prop_map(|(ms, middle, lowest)| ms << 90 | middle << 26 | lowest);
        prop_oneof![alike, prop::collection::vec(in_time, 0..60)]
    }

    proptest! {
        #[test]
        fn rows_come_as_a_plain_sort_has_them(ids in ids(), sorted in any::<bool>()) {
            let mut ids = ids;
            if sorted {
                ids.sort_unstable();
            }
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(*id));
            let payments: Vec<_> = ids
                .iter()
                .map(|id| StoredPayment { id: PaymentId(*id), applied: id % 7, ..StoredPayment::default() })
                .collect();
            let mut expected: Vec<_> = payments
                .iter()
                .map(|payment| {
                    let mut row = Vec::new();
                    row::encode(payment, &mut row);
                    (payment.id, row)
                })
                .collect();
            expected.sort_by_key(|(id, _)| *id);
            let mut packed = Packed::default();
            // What was there before leaves no trace.
            packed.pack([StoredPayment::default()].iter());
            packed.pack(payments.iter());
            let rows: Vec<_> = packed.rows().map(|(id, row)| (id, row.to_vec())).collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
