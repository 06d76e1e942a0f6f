//! Histograms: consumes scores and labels, produces counts of fraud and legitimate payments by
//! score.

use serde::Serialize;

use super::{MetricError, error::same_length};

/// Bins of equal width between the ends of the scores.
const BINS: usize = 40;

/// How many payments score between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HistogramBin {
    /// Lower end, included.
    pub from: f32,
    /// Upper end, included only in the last bin.
    pub to: f32,
    /// Legitimate payments.
    pub legit: u64,
    /// Frauds.
    pub frauds: u64,
}

/// Counts scores in 40 bins of equal width: from 0 to 1 if all lie there, else from the lowest to
/// the highest finite score. Infinite scores count at the ends.
///
/// # Errors
/// When a score is NaN, or the lengths differ.
pub fn score_histogram(
    scores: &[f32],
    is_fraud: &[bool],
) -> Result<Vec<HistogramBin>, MetricError> {
    same_length(scores.len(), is_fraud.len(), "labels")?;
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        return Err(MetricError::ScoreNotANumber { row });
    }
    let finite = || scores.iter().copied().filter(|score| score.is_finite());
    let (low, high) = match finite().all(|score| (0.0..=1.0).contains(&score)) {
        true => (0.0, 1.0),
        false => (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max)),
    };
    let end = |at: usize| low + (high - low) * (at as f32 / BINS as f32);
    let mut bins: Vec<_> = (0..BINS)
        .map(|at| HistogramBin { from: end(at), to: end(at + 1), legit: 0, frauds: 0 })
        .collect();
    for (score, is_fraud) in scores.iter().zip(is_fraud) {
        // What lies outside is cast to the ends.
        let at = ((score - low) / (high - low).max(f32::MIN_POSITIVE) * BINS as f32) as usize;
        let bin = &mut bins[at.min(BINS - 1)];
        *(if *is_fraud { &mut bin.frauds } else { &mut bin.legit }) += 1;
    }
    Ok(bins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payment_counts_once() {
        for (scores, low, high, first, last) in [
            (vec![0.0, 0.5, 0.024, 1.0], 0.0, 1.0, 2, 1),
            (vec![-3.0, 5.0, f32::INFINITY, f32::NEG_INFINITY], -3.0, 5.0, 2, 2),
            (vec![7.0, 7.0, 7.0], 7.0, 7.0, 3, 0),
        ] {
            let is_fraud: Vec<bool> = (0..scores.len()).map(|n| n % 2 == 1).collect();
            let bins = score_histogram(&scores, &is_fraud).expect("numbers");
            let frauds: u64 = bins.iter().map(|bin| bin.frauds).sum();
            let all: u64 = bins.iter().map(|bin| bin.frauds + bin.legit).sum();
            assert_eq!((frauds, all), (scores.len() as u64 / 2, scores.len() as u64));
            assert_eq!((bins[0].from, bins[BINS - 1].to), (low, high));
            let count = |bin: &HistogramBin| bin.frauds + bin.legit;
            assert_eq!((count(&bins[0]), count(&bins[BINS - 1])), (first, last), "{scores:?}");
        }
        assert!(score_histogram(&[f32::NAN], &[true]).is_err());
    }
}
