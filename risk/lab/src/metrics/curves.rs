//! Curves: consumes a ranking, produces the ROC and the precision-recall curve with as few points
//! as a drawing needs.

use serde::Serialize;

use super::ranking::{Ranking, Step};

/// A curve is never drawn with more points; between two of them lies less than a pixel or two.
const POINTS_MAX: usize = 400;

/// A point of the ROC curve: the shares that score at least the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// Of the legitimate payments.
    pub false_positive_rate: f64,
    /// Of the frauds.
    pub true_positive_rate: f64,
    /// The lowest score that counts; `None` where none does.
    pub threshold: Option<f32>,
}

/// A point of the precision-recall curve, for payments that score at least the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrPoint {
    /// The share of the frauds that are among them.
    pub recall: f64,
    /// The share of them that are fraud.
    pub precision: f64,
    /// The lowest score that counts.
    pub threshold: f32,
}

/// From (0, 0) to (1, 1), one point per threshold, thinned (Fawcett 2006, algorithm 1).
#[must_use]
pub fn roc_curve(ranking: &Ranking) -> Vec<RocPoint> {
    let steps = steps(ranking);
    let Some(all) = steps.last().copied() else { return Vec::new() };
    let start = RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0, threshold: None };
    let point = |step: &Step| RocPoint {
        false_positive_rate: step.legit as f64 / all.legit as f64,
        true_positive_rate: step.frauds as f64 / all.frauds as f64,
        threshold: Some(step.score),
    };
    let points: Vec<_> = std::iter::once(start).chain(steps.iter().map(point)).collect();
    thinned(&points, |point| (point.false_positive_rate, point.true_positive_rate))
}

/// One point per threshold from the highest score on, thinned (Davis and Goadrich 2006).
#[must_use]
pub fn precision_recall_curve(ranking: &Ranking) -> Vec<PrPoint> {
    let steps = steps(ranking);
    let frauds = steps.last().map_or(0, |all| all.frauds);
    let point = |step: &Step| PrPoint {
        recall: step.frauds as f64 / frauds as f64,
        precision: step.frauds as f64 / (step.frauds + step.legit) as f64,
        threshold: step.score,
    };
    let points: Vec<_> = steps.iter().map(point).collect();
    thinned(&points, |point| (point.recall, point.precision))
}

fn steps(ranking: &Ranking) -> Vec<Step> {
    let mut steps = Vec::new();
    ranking.walk(|_| 1, |step| steps.push(step));
    steps
}

/// Leaves out points that lie nearer to the one kept before than a share of the curve's length.
/// The first and the last point stay.
pub(crate) fn thinned<T: Copy>(points: &[T], place: impl Fn(&T) -> (f64, f64)) -> Vec<T> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let distance = |a: &T, b: &T| {
        let (a, b) = (place(a), place(b));
        (a.0 - b.0).abs() + (a.1 - b.1).abs()
    };
    let length: f64 = points.windows(2).map(|pair| distance(&pair[0], &pair[1])).sum();
    let apart = length / (POINTS_MAX - 2) as f64;
    let (mut kept, mut passed) = (vec![points[0]], 0.0);
    for pair in points.windows(2) {
        passed += distance(&pair[0], &pair[1]);
        if passed >= apart {
            kept.push(pair[1]);
            passed = 0.0;
        }
    }
    if passed > 0.0 {
        kept.extend(points.last());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_curves_are_whole() {
        let ranking = Ranking::new(&[0.9, 0.8, 0.8, 0.1], &[true, true, false, false]);
        let ranking = ranking.expect("two classes");
        let roc: Vec<_> = roc_curve(&ranking)
            .iter()
            .map(|point| (point.false_positive_rate, point.true_positive_rate))
            .collect();
        assert_eq!(roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        let pr: Vec<_> = precision_recall_curve(&ranking)
            .iter()
            .map(|point| (point.recall, point.precision, point.threshold))
            .collect();
        assert_eq!(pr, [(0.5, 1.0, 0.9), (1.0, 2.0 / 3.0, 0.8), (1.0, 0.5, 0.1)]);
    }

    /// The area under what is drawn must be the area that is told.
    #[test]
    fn thinning_keeps_the_shape() {
        let scores: Vec<f32> = (0..20_000).map(|n| ((n * 7_919) % 20_011) as f32).collect();
        let is_fraud: Vec<bool> =
            (0..20_000).map(|n| (n * 7_919) % 20_011 + n % 9_000 > 21_000).collect();
        let ranking = Ranking::new(&scores, &is_fraud).expect("two classes");
        let curve = roc_curve(&ranking);
        assert!((100..=POINTS_MAX).contains(&curve.len()), "{}", curve.len());
        let area: f64 = curve
            .windows(2)
            .map(|pair| {
                let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
                width * (pair[0].true_positive_rate + pair[1].true_positive_rate) / 2.0
            })
            .sum();
        assert!((area - ranking.roc_auc()).abs() < 1e-3, "{area} of {}", ranking.roc_auc());
        let pr = precision_recall_curve(&ranking);
        assert!(pr.len() <= POINTS_MAX && pr.last().is_some_and(|last| last.recall == 1.0));
    }
}
