//! Replay: consumes payments in order of time, produces their rows of features.

use std::ops::Range;

use millrace_risk::features::{
    Attempt, Catalogue, Label, ProfileCounts, ProfileLimits, Profiles, Statistic,
};

use super::{
    keys::{self, Keys},
    labels::known_until,
};
use crate::data::{LabelDelay, Payments};

/// Rows that are handed on at once.
const BLOCK: usize = 1_024;

/// Rows of features of some payments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureTable {
    /// Features in each row.
    pub stride: usize,
    /// The payments, by their rows in the file, ascending.
    pub rows: Vec<u32>,
    /// One row after the other.
    pub values: Vec<f32>,
}

impl FeatureTable {
    /// The features of the payment at this place.
    #[must_use]
    pub fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.stride..][..self.stride]
    }

    /// Labels of its payments.
    #[must_use]
    pub fn labels(&self, payments: &Payments) -> Vec<bool> {
        self.rows.iter().map(|row| payments.is_fraud()[*row as usize]).collect()
    }
}

/// Payments, and what their features are made by.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// The payments.
    pub payments: &'a Payments,
    /// What a row holds.
    pub catalogue: &'a Catalogue,
    /// When labels are known, where the file does not say.
    pub label_delay: LabelDelay,
}

impl Replay<'_> {
    /// Kinds of entities that these payments have no column for: their features are missing.
    #[must_use]
    pub fn entities_absent(&self) -> Vec<&str> {
        keys::absent(self.payments, self.catalogue)
    }

    /// Replays all payments up to the last of `rows`, and hands the features of `rows` on, some at a
    /// time: which rows, and their features, one row after the other. `progress` is told how many
    /// payments were replayed.
    ///
    /// # Panics
    /// When there are not so many payments.
    pub fn run(
        &self,
        rows: Range<usize>,
        progress: &mut dyn FnMut(usize),
        each: &mut dyn FnMut(Range<usize>, &[f32]),
    ) -> ProfileCounts {
        let (times, amounts) = (self.payments.at(), self.payments.amount());
        let Some(end) = rows.end.checked_sub(1).map(|last| times[last]) else {
            return ProfileCounts::default();
        };
        let keys = Keys::new(self.payments, self.catalogue, rows.end);
        let mut labels = known_until(self.payments, self.label_delay, rows.end, end);
        if !needs_honest(self.catalogue) {
            labels.retain(|known| known.fraud || known.takes_back);
        }
        let mut profiles = Profiles::new(self.catalogue.clone(), ProfileLimits::default());
        let stride = self.catalogue.len();
        let mut block = vec![0.0; BLOCK * stride];
        let mut attempts = Vec::with_capacity(BLOCK);
        let (mut done, mut handed, mut labels) = (0, 0, labels.iter().peekable());
        while done < rows.end {
            // Labels of one moment come before its payments.
            while let Some(known) = labels.next_if(|known| known.at <= times[done]) {
                let row = known.row as usize;
                profiles.label(&Label {
                    at: known.at,
                    paid_at: times[row],
                    amount: amounts[row],
                    entities: keys.of(row),
                    fraud: known.fraud,
                    takes_back: known.takes_back,
                });
            }
            // As many payments as come before the next label, and belong to one block.
            let block_end = match done < rows.start {
                true => rows.start.min(handed + BLOCK),
                false => rows.end.min(handed + BLOCK),
            };
            let upto = labels.peek().map_or(block_end, |next| {
                let later = times[done..block_end].iter().position(|at| *at >= next.at);
                later.map_or(block_end, |later| done + later)
            });
            attempts.clear();
            attempts.extend((done..upto).map(|row| Attempt {
                at: times[row],
                amount: amounts[row],
                entities: keys.of(row),
            }));
            let within = (done - handed) * stride..(upto - handed) * stride;
            profiles.observe_block(&attempts, &mut block[within]);
            done = upto;
            if done == block_end {
                if handed >= rows.start {
                    each(handed..done, &block[..(done - handed) * stride]);
                }
                handed = done;
                progress(done);
            }
        }
        profiles.counts()
    }

    /// The features of these payments, which must be ascending.
    ///
    /// # Panics
    /// When they are not, or there are not so many payments.
    pub fn table(&self, rows: &[u32], progress: &mut dyn FnMut(usize)) -> FeatureTable {
        assert!(rows.is_sorted(), "rows in order of time");
        let stride = self.catalogue.len();
        let mut values = Vec::with_capacity(rows.len() * stride);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return FeatureTable { stride, ..FeatureTable::default() };
        };
        let mut wanted = rows.iter().map(|row| *row as usize).peekable();
        self.run(*first as usize..*last as usize + 1, progress, &mut |block, features| {
            while let Some(row) = wanted.next_if(|row| *row < block.end) {
                let start = (row - block.start) * stride;
                values.extend_from_slice(&features[start..start + stride]);
            }
        });
        FeatureTable { stride, rows: rows.to_vec(), values }
    }
}

/// Whether it matters to any feature that a payment turned out to be honest. Fewer labels make
/// longer blocks.
fn needs_honest(catalogue: &Catalogue) -> bool {
    catalogue.features().iter().any(|feature| {
        let is_of_runs = matches!(
            feature.statistic,
            Statistic::FraudAverage
                | Statistic::FraudRunAge
                | Statistic::FraudRunGap
                | Statistic::SinceHonest
        );
        let waits =
            feature.entity.is_some_and(|place| catalogue.entities()[place].honest_after.is_some());
        is_of_runs && !waits
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use millrace_ledger::Timestamp;
    use millrace_risk::features::EntityKey;
    use proptest::prelude::*;

    use super::*;
    use crate::data::{Payment, PaymentsBuilder};

    fn payments(made: &[(u64, u8, u8, bool)]) -> Payments {
        let mut builder = PaymentsBuilder::new(&["device"], true);
        for (number, (hour, payer, payee, is_fraud)) in made.iter().enumerate() {
            let payment = Payment {
                id: &number.to_string(),
                at: Timestamp((1_000_000 + hour) * 3_600_000_000_000),
                payer: &payer.to_string(),
                payee: &payee.to_string(),
                amount: 1.0 + number as f64,
                is_fraud: *is_fraud,
                reported_at: None,
            };
            builder.push(&payment, &[if payer % 2 == 0 { "" } else { "phone" }]);
        }
        builder.finish()
    }

    /// One payment at a time, and before each one a look through all labels.
    fn naive(replay: &Replay<'_>) -> Vec<f32> {
        let Replay { payments, catalogue, label_delay } = replay;
        let mut profiles = Profiles::new((*catalogue).clone(), ProfileLimits::default());
        let keys = |row: usize| -> Vec<EntityKey> {
            let payer = payments.payers().name(payments.payer()[row]);
            let payee = payments.payees().name(payments.payee()[row]);
            let mut keys = vec![EntityKey::ABSENT; catalogue.entities().len()];
            keys[0] = EntityKey::of("payer", payer.as_bytes());
            keys[1] = EntityKey::of("payee", payee.as_bytes());
            keys
        };
        let (mut rows, mut told) = (Vec::new(), 0);
        for row in 0..payments.len() {
            let at = payments.at()[row];
            while told < row && label_delay.after(payments.at()[told]) <= at {
                profiles.label(&Label {
                    at: label_delay.after(payments.at()[told]),
                    paid_at: payments.at()[told],
                    amount: payments.amount()[told],
                    entities: &keys(told),
                    fraud: payments.is_fraud()[told],
                    takes_back: false,
                });
                told += 1;
            }
            let mut features = vec![0.0; catalogue.len()];
            let (amount, entities) = (payments.amount()[row], &keys(row)[..]);
            profiles.observe(&Attempt { at, amount, entities }, &mut features);
            rows.extend(features);
        }
        rows
    }

    /// The shipped ones, and one where honest labels matter.
    static CATALOGUES: LazyLock<[String; 3]> = LazyLock::new(|| {
        let told = Catalogue::STANDARD.replace("honest_after = \"7d\"\n", "");
        assert_ne!(told, Catalogue::STANDARD);
        [Catalogue::BOOK.to_owned(), Catalogue::STANDARD.to_owned(), told]
    });

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_are_those_of_one_payment_after_the_other(
            mut made in prop::collection::vec((0_u64..900, 0_u8..4, 0_u8..4, any::<bool>()), 1..200),
            picked in prop::collection::vec(any::<bool>(), 200),
            hours in 1_u32..400,
            which in 0..CATALOGUES.len(),
        ) {
            made.sort_by_key(|payment| payment.0);
            let payments = payments(&made);
            let catalogue = Catalogue::parse(&CATALOGUES[which]).expect("a right catalogue");
            let label_delay = format!("{hours}h").parse().expect("a delay");
            let replay = Replay { payments: &payments, catalogue: &catalogue, label_delay };
            let all: Vec<u32> = (0..payments.len() as u32).collect();
            let whole = replay.table(&all, &mut |_| ());
            prop_assert_eq!(bits(&whole.values), bits(&naive(&replay)));

            let some: Vec<u32> = all.iter().copied().filter(|row| picked[*row as usize]).collect();
            let part = replay.table(&some, &mut |_| ());
            for (place, row) in some.iter().enumerate() {
                prop_assert_eq!(bits(part.row(place)), bits(whole.row(*row as usize)));
            }
        }
    }

    #[test]
    fn an_entity_without_a_column_is_told() {
        let catalogue = |field: &str| {
            Catalogue::parse(&format!(
                "version = 1\n[[entity]]\nname = \"gadget\"\ncontext = \"{field}\"\n\
                 [[feature]]\nname = \"gadget.age\"\nentity = \"gadget\"\nstatistic = \"age\"\n\
                 description = \"Age\"\n"
            ))
            .expect("a right catalogue")
        };
        let payments = payments(&[(0, 1, 1, false), (2, 2, 1, true), (5, 1, 1, false)]);
        let label_delay = LabelDelay::days(7);
        let known = catalogue("device");
        let replay = Replay { payments: &payments, catalogue: &known, label_delay };
        assert!(replay.entities_absent().is_empty());
        let table = replay.table(&[0, 1, 2], &mut |_| ());
        assert_eq!((table.values[0], table.values[2]), (0.0, 18_000.0));
        assert!(table.values[1].is_nan(), "no device, no age");
        let unknown = catalogue("wallet");
        let replay = Replay { payments: &payments, catalogue: &unknown, label_delay };
        assert_eq!(replay.entities_absent(), ["gadget"]);
    }
}
