//! Drift: consumes the features of two periods, produces how far each feature has moved.

use serde::Serialize;

/// Bins of the population stability index, each with a tenth of the reference.
const BINS: usize = 10;

/// Stands for an empty bin's share, whose logarithm does not exist.
const SHARE_MIN: f64 = 1e-4;

/// How far a feature has moved, by the usual reading of the population stability index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftLevel {
    /// Below 0.1.
    Stable,
    /// From 0.1 on: look at it.
    Moved,
    /// From 0.25 on: the model may no longer hold.
    Shifted,
}

/// How far a feature has moved from a reference period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// Its name.
    pub feature: String,
    /// Population stability index: the sum of (now - then) ln(now / then) over the shares of bins
    /// (Siddiqi 2006). Missing values are a bin of their own.
    pub psi: f64,
    /// The largest distance between the two distribution functions, of values that are there
    /// (Kolmogorov 1933, Smirnov 1939).
    pub ks: f64,
    /// Mean of the values in the reference period; `None` if all are missing.
    pub mean_before: Option<f64>,
    /// Mean of the values now.
    pub mean_now: Option<f64>,
    /// Share of missing values in the reference period.
    pub missing_before: f64,
    /// Share of missing values now.
    pub missing_now: f64,
    /// The reading of the index.
    pub level: DriftLevel,
}

/// The drift of all features, the farthest moved first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// Rows of the reference period.
    pub rows_before: usize,
    /// Rows now.
    pub rows_now: usize,
    /// One entry per feature.
    pub features: Vec<FeatureDrift>,
}

/// Compares rows that lie one after the other, each with one value per feature.
///
/// # Panics
/// When the rows do not have one value per feature.
#[must_use]
pub fn drift(features: &[&str], before: &[f32], now: &[f32]) -> Drift {
    let stride = features.len().max(1);
    assert!(before.len().is_multiple_of(stride) && now.len().is_multiple_of(stride), "whole rows");
    let column = |rows: &[f32], place: usize| -> Vec<f32> {
        let mut column: Vec<f32> = rows.iter().skip(place).step_by(stride).copied().collect();
        // NaN sorts behind infinity once its sign is taken off.
        column.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = f32::NAN);
        column.sort_unstable_by(f32::total_cmp);
        column
    };
    let mut features: Vec<_> = features
        .iter()
        .enumerate()
        .map(|(place, name)| of_feature(name, &column(before, place), &column(now, place)))
        .collect();
    features.sort_by(|a, b| b.psi.total_cmp(&a.psi));
    Drift { rows_before: before.len() / stride, rows_now: now.len() / stride, features }
}

fn of_feature(name: &str, before: &[f32], now: &[f32]) -> FeatureDrift {
    let (present_before, present_now) = (present(before), present(now));
    let psi = psi(before, now);
    let mean = |values: &[f32]| {
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        (!values.is_empty()).then(|| sum / values.len() as f64)
    };
    let missing =
        |all: &[f32], present: &[f32]| (all.len() - present.len()) as f64 / all.len().max(1) as f64;
    FeatureDrift {
        feature: name.to_owned(),
        psi,
        ks: ks(present_before, present_now),
        mean_before: mean(present_before),
        mean_now: mean(present_now),
        missing_before: missing(before, present_before),
        missing_now: missing(now, present_now),
        level: match psi {
            psi if psi < 0.1 => DriftLevel::Stable,
            psi if psi < 0.25 => DriftLevel::Moved,
            _ => DriftLevel::Shifted,
        },
    }
}

/// The values that are there, of sorted ones.
fn present(sorted: &[f32]) -> &[f32] {
    &sorted[..sorted.partition_point(|value| !value.is_nan())]
}

fn psi(before: &[f32], now: &[f32]) -> f64 {
    if before.is_empty() || now.is_empty() {
        return 0.0;
    }
    let known = present(before);
    let mut ends: Vec<f32> = (1..BINS)
        .filter(|_| !known.is_empty())
        .map(|at| known[(at * known.len()).div_ceil(BINS) - 1])
        .collect();
    ends.dedup();
    // A bin holds what is above the end before it, up to its own; the last one has no end.
    let shares = |sorted: &[f32]| {
        let known = present(sorted);
        let upto = ends.iter().map(|end| known.partition_point(|value| value <= end));
        let mut counts = Vec::with_capacity(BINS + 1);
        let mut start = 0;
        for end in upto.chain([known.len(), sorted.len()]) {
            counts.push((end - start) as f64 / sorted.len() as f64);
            start = end;
        }
        counts
    };
    let part = |(before, now): (f64, f64)| match before == now {
        true => 0.0,
        false => {
            let (before, now) = (before.max(SHARE_MIN), now.max(SHARE_MIN));
            (now - before) * (now / before).ln()
        }
    };
    shares(before).into_iter().zip(shares(now)).map(part).sum()
}

fn ks(before: &[f32], now: &[f32]) -> f64 {
    if before.is_empty() || now.is_empty() {
        return 0.0;
    }
    let (mut a, mut b, mut farthest) = (0, 0, 0.0_f64);
    while a < before.len() && b < now.len() {
        let value = before[a].min(now[b]);
        a += before[a..].iter().take_while(|other| **other <= value).count();
        b += now[b..].iter().take_while(|other| **other <= value).count();
        let distance = a as f64 / before.len() as f64 - b as f64 / now.len() as f64;
        farthest = farthest.max(distance.abs());
    }
    farthest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_index_is_as_computed_by_hand() {
        // Two values, half and half before, 80 % and 20 % now: .3 ln 1.6 - .3 ln .4.
        let before: Vec<f32> = (0..100).map(|n| (n % 2) as f32).collect();
        let now: Vec<f32> = (0..100).map(|n| f32::from(u8::from(n % 5 == 0))).collect();
        let drift = drift(&["x"], &before, &now);
        let expected = 0.3 * 1.6_f64.ln() - 0.3 * 0.4_f64.ln();
        assert!((drift.features[0].psi - expected).abs() < 1e-9, "{drift:?}");
        assert!((drift.features[0].ks - 0.3).abs() < 1e-9);
        assert_eq!(drift.features[0].level, DriftLevel::Shifted);
        assert_eq!(
            (drift.features[0].mean_before, drift.features[0].mean_now),
            (Some(0.5), Some(0.2))
        );
    }

    #[test]
    fn missing_values_are_a_bin_and_the_farthest_moved_comes_first() {
        let rows = |missing: i32| -> Vec<f32> {
            let row = |n| [n as f32, if n < missing { f32::NAN } else { 1.0 }, -f32::NAN];
            (0..100).flat_map(row).collect()
        };
        let drift = drift(&["same", "gone", "never"], &rows(10), &rows(60));
        let told: Vec<_> = drift
            .features
            .iter()
            .map(|it| (it.feature.as_str(), it.level, it.missing_before, it.missing_now))
            .collect();
        let expected = [
            ("gone", DriftLevel::Shifted, 0.1, 0.6),
            ("same", DriftLevel::Stable, 0.0, 0.0),
            ("never", DriftLevel::Stable, 1.0, 1.0),
        ];
        assert_eq!(told, expected);
        assert_eq!((drift.features[1].psi, drift.features[2].mean_now), (0.0, None));
        assert_eq!(drift.features[0].ks, 0.0, "the values that are there have not moved");
    }

    proptest! {
        #[test]
        fn the_distance_equals_the_naive_form(
            before in prop::collection::vec(0_u8..12, 1..40),
            now in prop::collection::vec(0_u8..12, 1..40),
        ) {
            let share = |values: &[u8], upto: u8| {
                values.iter().filter(|value| **value <= upto).count() as f64 / values.len() as f64
            };
            let naive = (0..12).map(|upto| (share(&before, upto) - share(&now, upto)).abs()).fold(0.0, f64::max);
            let floats = |values: &[u8]| values.iter().map(|value| f32::from(*value)).collect::<Vec<_>>();
            let drift = drift(&["x"], &floats(&before), &floats(&now));
            prop_assert!((drift.features[0].ks - naive).abs() < 1e-12);
            prop_assert!(drift.features[0].psi >= 0.0);
        }
    }
}
