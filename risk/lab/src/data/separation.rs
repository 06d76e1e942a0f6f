//! Separation: consumes how many payments of each value of a column are fraud, produces whether the
//! column tells fraud apart.
//!
//! A payment is judged by the others of its value, never by itself: else a column of which each
//! payment has its own value would seem to know all labels.

use super::leaks::LeakSign;

/// Above this area under the ROC curve, one column is too good to be true.
pub(super) const AUC_SUSPECT: f64 = 0.99;

/// Of the payments of a value, so large a share is fraud where the value marks fraud.
const SHARE_SUSPECT: f64 = 0.99;

/// Values that mark fraud hold at least this share of all frauds, or they are a coincidence.
const FRAUDS_SUSPECT: f64 = 0.5;

/// With fewer payments, a value marks nothing.
const PAYMENTS_MIN: u64 = 10;

/// Payments of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) frauds: u64,
    pub(super) all: u64,
}

impl Group {
    pub(super) fn add(&mut self, is_fraud: bool) {
        self.frauds += u64::from(is_fraud);
        self.all += 1;
    }

    pub(super) fn join(&mut self, other: Self) {
        self.frauds += other.frauds;
        self.all += other.all;
    }
}

fn sum(groups: impl IntoIterator<Item = Group>) -> Group {
    let mut total = Group::default();
    groups.into_iter().for_each(|group| total.join(group));
    total
}

/// The area under the ROC curve where each payment's score is the share of fraud among the others of
/// its value; `None` if it is not suspect.
pub(super) fn roc_auc(groups: &[Group]) -> Option<f64> {
    let total = sum(groups.iter().copied());
    let legit = total.all - total.frauds;
    if total.frauds == 0 || legit == 0 {
        return None;
    }
    let usual = total.frauds as f64 / total.all as f64;
    // Score, frauds and legitimate payments that have it.
    let mut scored = Vec::with_capacity(2 * groups.len());
    for group in groups.iter().filter(|group| group.all > 0) {
        let others = |frauds: u64| match group.all {
            1 => usual,
            all => frauds as f64 / (all - 1) as f64,
        };
        scored.push((others(group.frauds.saturating_sub(1)), group.frauds, 0));
        scored.push((others(group.frauds), 0, group.all - group.frauds));
    }
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut won) = (0, 0.0);
    for equal in scored.chunk_by(|a, b| a.0 == b.0) {
        let (frauds, legit) =
            equal.iter().fold((0, 0), |(frauds, legit), it| (frauds + it.1, legit + it.2));
        won += frauds as f64 * (below as f64 + legit as f64 / 2.0);
        below += legit;
    }
    Some(won / (total.frauds as f64 * legit as f64)).filter(|auc| *auc > AUC_SUSPECT)
}

/// Values whose payments are nearly all fraud, if they hold half of all frauds. `words` are those of
/// the value of a group's place, such as `is "lost"`.
pub(super) fn marked(groups: &[Group], words: impl Fn(usize) -> String) -> Option<LeakSign> {
    let total = sum(groups.iter().copied());
    let marks = |group: &Group| {
        group.all >= PAYMENTS_MIN && group.frauds as f64 >= SHARE_SUSPECT * group.all as f64
    };
    let marking: Vec<_> = groups.iter().enumerate().filter(|(_, group)| marks(group)).collect();
    let fraud = sum(marking.iter().map(|(_, group)| **group));
    let first = words(marking.first()?.0);
    if total.frauds == total.all || (fraud.frauds as f64) < FRAUDS_SUSPECT * total.frauds as f64 {
        return None;
    }
    let values = match marking.len() {
        1 => first,
        more => format!("{first} or another of {more} values"),
    };
    Some(LeakSign::Marks {
        values,
        share_fraud: fraud.frauds as f64 / fraud.all as f64,
        share_of_frauds: fraud.frauds as f64 / total.frauds as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_the_others_of_a_value() {
        let groups = |pairs: &[(u64, u64)]| {
            pairs
                .iter()
                .map(|(frauds, all)| Group { frauds: *frauds, all: *all })
                .collect::<Vec<_>>()
        };
        for (pairs, expected) in [
            (&[(10, 10), (0, 990)][..], Some(1.0)),
            // One fraud of a hundred among the legitimate: half of the ties are lost.
            (&[(99, 99), (1, 9_901)], Some((99.0 + 0.0) / 100.0).filter(|auc| *auc > AUC_SUSPECT)),
            (&[(199, 199), (1, 9_801)], Some(199.0 / 200.0)),
            (&[(5, 500), (5, 500)], None),
            (&[(0, 1_000)], None),
            (&[(10, 10)], None),
            (&[], None),
        ] {
            let found = roc_auc(&groups(pairs));
            let is_near = match (found, expected) {
                (Some(found), Some(expected)) => f64::abs(found - expected) < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(is_near, "{pairs:?}: {found:?}, not {expected:?}");
        }
        // Values of one payment each know nothing, however many there are.
        let alone: Vec<_> =
            (0..1_000).map(|n| Group { frauds: u64::from(n < 10), all: 1 }).collect();
        assert_eq!(roc_auc(&alone), None);
    }
}
