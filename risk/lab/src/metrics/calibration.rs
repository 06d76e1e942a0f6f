//! Calibration: consumes scores that claim to be probabilities, produces how far they are from
//! what happened.

use serde::Serialize;

use super::{MetricError, error::same_length};

/// Where bins of scores end. Fraud is rare, so that bins of equal width would hold nearly all
/// payments in the first; fixed ends make the tables of two models comparable.
const BIN_ENDS: [f32; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Payments whose scores lie between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Lower end, included only in the first bin.
    pub from: f32,
    /// Upper end, included.
    pub to: f32,
    /// How many payments.
    pub rows: u64,
    /// How many frauds.
    pub frauds: u64,
    /// What the model expects: the mean score.
    pub score_mean: f64,
    /// What happened: the share of fraud.
    pub fraud_share: f64,
    /// Lower end of the share's 95 % interval (Wilson 1927).
    pub share_low: f64,
    /// Upper end of it.
    pub share_high: f64,
}

/// How well scores are calibrated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Bins that hold a payment, by rising score.
    pub bins: Vec<CalibrationBin>,
    /// The mean distance of score and share over the bins, weighted by payments (Naeini et al.
    /// 2015): 0 is best.
    pub expected_error: f64,
    /// Brier's score: 0 is best.
    pub brier: f64,
}

/// The mean of (score - label) squared (Brier 1950).
///
/// # Errors
/// When a score is NaN or not between 0 and 1, or the lengths differ.
pub fn brier(scores: &[f32], is_fraud: &[bool]) -> Result<f64, MetricError> {
    check(scores, is_fraud)?;
    let squares = scores.iter().zip(is_fraud).map(|(score, is_fraud)| {
        let off = f64::from(*score) - f64::from(u8::from(*is_fraud));
        off * off
    });
    Ok(squares.sum::<f64>() / scores.len().max(1) as f64)
}

/// A table of scores against what happened.
///
/// # Errors
/// When a score is NaN or not between 0 and 1, or the lengths differ.
pub fn calibration(scores: &[f32], is_fraud: &[bool]) -> Result<Calibration, MetricError> {
    let brier = brier(scores, is_fraud)?;
    let mut sums = [(0_u64, 0_u64, 0.0_f64); BIN_ENDS.len()];
    for (score, is_fraud) in scores.iter().zip(is_fraud) {
        let sum = &mut sums[BIN_ENDS.partition_point(|end| end < score)];
        *sum = (sum.0 + 1, sum.1 + u64::from(*is_fraud), sum.2 + f64::from(*score));
    }
    let bins: Vec<CalibrationBin> = sums
        .iter()
        .enumerate()
        .filter(|(_, (rows, ..))| *rows > 0)
        .map(|(at, (rows, frauds, score_sum))| {
            let (share_low, share_high) = wilson(*frauds as f64, *rows as f64);
            CalibrationBin {
                from: at.checked_sub(1).map_or(0.0, |before| BIN_ENDS[before]),
                to: BIN_ENDS[at],
                rows: *rows,
                frauds: *frauds,
                score_mean: score_sum / *rows as f64,
                fraud_share: *frauds as f64 / *rows as f64,
                share_low,
                share_high,
            }
        })
        .collect();
    let off = |bin: &CalibrationBin| bin.rows as f64 * (bin.score_mean - bin.fraud_share).abs();
    let expected_error = bins.iter().map(off).sum::<f64>() / scores.len().max(1) as f64;
    Ok(Calibration { bins, expected_error, brier })
}

fn check(scores: &[f32], is_fraud: &[bool]) -> Result<(), MetricError> {
    same_length(scores.len(), is_fraud.len(), "labels")?;
    match scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
        Some(row) if scores[row].is_nan() => Err(MetricError::ScoreNotANumber { row }),
        Some(row) => Err(MetricError::NotAProbability { row }),
        None => Ok(()),
    }
}

fn wilson(frauds: f64, rows: f64) -> (f64, f64) {
    let (share, z2) = (frauds / rows, Z * Z);
    let middle = (share + z2 / (2.0 * rows)) / (1.0 + z2 / rows);
    let half =
        Z / (1.0 + z2 / rows) * (share * (1.0 - share) / rows + z2 / (4.0 * rows * rows)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_count_what_happened() {
        let scores = [0.0, 0.001, 0.0011, 0.4, 0.4, 0.5, 1.0];
        let is_fraud = [false, false, false, true, false, false, true];
        let table = calibration(&scores, &is_fraud).expect("probabilities");
        let bins: Vec<_> =
            table.bins.iter().map(|bin| (bin.from, bin.to, bin.rows, bin.frauds)).collect();
        let expected =
            [(0.0, 0.001, 2, 0), (0.001, 0.002, 1, 0), (0.2, 0.5, 3, 1), (0.5, 1.0, 1, 1)];
        assert_eq!(bins, expected);
        let squares = 0.001_f64.powi(2) + 0.0011_f64.powi(2) + 0.36 + 0.16 + 0.25;
        assert!((table.brier - squares / 7.0).abs() < 1e-6);
        let error = (0.001 + 0.0011 + (1.3 - 1.0) + 0.0) / 7.0;
        assert!((table.expected_error - error).abs() < 1e-6, "{}", table.expected_error);
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // 15 of 148: Newcombe 1998, table I, method 3.
        let (low, high) = wilson(15.0, 148.0);
        assert!((low - 0.0624).abs() < 5e-5 && (high - 0.1605).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0.0, 20.0).0, 0.0);
    }

    #[test]
    fn what_is_no_probability_is_told() {
        for (score, expected) in [
            (f32::NAN, MetricError::ScoreNotANumber { row: 1 }),
            (1.5, MetricError::NotAProbability { row: 1 }),
            (-0.1, MetricError::NotAProbability { row: 1 }),
        ] {
            assert_eq!(calibration(&[0.5, score], &[true, false]), Err(expected));
        }
    }
}
