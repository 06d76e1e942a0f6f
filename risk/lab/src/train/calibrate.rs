//! Calibration: consumes scores of rows that the model hasn't seen and their labels, produces the
//! function that makes probabilities of scores.

use millrace_risk::model::{Calibration, Kind, Link, Model};

/// Most blocks that are kept for their weight, and for their fraud: more would follow noise.
const BLOCKS_BY_WEIGHT: f64 = 160.0;
const BLOCKS_BY_FRAUD: f64 = 40.0;

/// How many imagined payments, of the mean share of fraud, each block of equal probability is
/// smoothed by: so that no block is certain.
const PRIOR: f64 = 1.0;

/// Scores of the model before calibration.
pub(super) fn uncalibrated(model: &Model, rows: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.len() / model.features().len()];
    model.score_raw(rows, &mut sums);
    sums.iter_mut().for_each(|sum| *sum = model.link().apply(*sum));
    sums
}

/// Between which bounds they lie.
pub(super) fn score_range(model: &Model) -> (f64, f64) {
    let (least, greatest) = model.sum_range();
    match model.link() {
        Link::Identity => (least, greatest),
        link if model.kind() == Kind::IsolationForest => (link.apply(greatest), link.apply(least)),
        link => (link.apply(least), link.apply(greatest)),
    }
}

/// Isotonic regression by pooling adjacent violators (M. Ayer et al., 1955), made continuous: a
/// knot in the middle of each block of equal probability, and one at either end of `range`, so that
/// different scores stay different and rankings are kept.
///
/// `range` has the least and the greatest score that there can be; scores are finite.
#[must_use]
pub fn fit_isotonic(
    scores: &[f64],
    labels: &[bool],
    weights: Option<&[f32]>,
    range: (f64, f64),
) -> Calibration {
    let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
    let mut order: Vec<_> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut blocks: Vec<Block> = Vec::new();
    for row in order {
        let (weight, score) = (weight(row), scores[row]);
        let fraud = if labels[row] { weight } else { 0.0 };
        let new = Block { weight, fraud, score: weight * score, last: score };
        match blocks.last_mut() {
            Some(last) if last.last >= score => last.join(&new),
            _ => blocks.push(new),
        }
    }
    let total = blocks.iter().map(|block| block.weight).sum::<f64>();
    let mean = blocks.iter().map(|block| block.fraud).sum::<f64>() / total.max(1e-9);
    let pooled = pool(blocks, Block::share);
    // Blocks of few rows are joined, so that a knot stands for something.
    let pooled = thin_out(pooled, total / BLOCKS_BY_WEIGHT);
    let smoothed = |block: &Block| (block.fraud + PRIOR * mean) / (block.weight + PRIOR);
    let pooled = pool(pooled, smoothed);
    let knots = pooled.iter().map(|block| (block.score / block.weight, smoothed(block))).collect();
    ascending(knots, range)
}

/// Ranks, for when there are no labels: a score becomes the share of these scores that are below it
/// (and half of its equals), so that 0.99 is odder than 99 % of them, whichever model gave the score.
/// Knots are a hundredth apart, closer where few are above, and on both sides of many equals; beyond what was seen, ranks go on to 1
/// and 0 at the ends of `range`.
#[must_use]
pub fn fit_ranks(scores: &[f64], range: (f64, f64)) -> Calibration {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let all = sorted.len() as f64;
    let mut knots: Vec<(f64, f64)> = Vec::new();
    let (mut below, mut before) = (0, (f64::NEG_INFINITY, 0.0));
    for equals in sorted.chunk_by(|one, other| one == other) {
        let rank = (below as f64 + equals.len() as f64 / 2.0) / all;
        below += equals.len();
        let apart = ((1.0 - rank) / 20.0).min(0.01);
        if knots.last().is_none_or(|last| rank - last.1 >= apart) {
            // A step must not lean on scores that lie far below it.
            if rank - before.1 >= apart && knots.last().is_some_and(|last| last.0 < before.0) {
                knots.push(before);
            }
            knots.push((equals[0], rank));
        }
        before = (equals[0], rank);
    }
    let outer = |place: Option<&(f64, f64)>| place.map(|knot| knot.0);
    if outer(knots.first()).is_some_and(|first| range.0 < first) {
        knots.insert(0, (range.0, 0.0));
    }
    if outer(knots.last()).is_some_and(|last| last < range.1) {
        knots.push((range.1, 1.0));
    }
    Calibration::PiecewiseLinear(knots)
}

/// Probabilities by a sigmoid of the score (J. Platt, 1999): two numbers, for when frauds are few.
#[must_use]
pub fn fit_platt(scores: &[f64], labels: &[bool], weights: Option<&[f32]>) -> Calibration {
    let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
    let (mut slope, mut intercept) = (0.0_f64, 0.0_f64);
    // Newton's method on two numbers; the ridge keeps separable scores finite.
    for _ in 0..100 {
        let (mut ga, mut gb, mut aa, mut ab, mut bb) = (1e-6 * slope, 0.0, 1e-6, 0.0, 1e-9);
        for (row, (score, label)) in scores.iter().zip(labels).enumerate() {
            let p = 1.0 / (1.0 + (-(slope * score + intercept)).exp());
            let (w, d) = (weight(row), p - f64::from(u8::from(*label)));
            let h = (w * p * (1.0 - p)).max(1e-12);
            ga += w * d * score;
            gb += w * d;
            aa += h * score * score;
            ab += h * score;
            bb += h;
        }
        let determinant = aa * bb - ab * ab;
        if determinant <= 0.0 {
            break;
        }
        let (da, db) = ((bb * ga - ab * gb) / determinant, (aa * gb - ab * ga) / determinant);
        // No step of more than this, so that it can't run away.
        let shorter = (4.0 / da.abs().max(db.abs())).min(1.0);
        slope -= shorter * da;
        intercept -= shorter * db;
        if da.abs() + db.abs() < 1e-10 {
            break;
        }
    }
    Calibration::Platt { slope: slope.max(0.0), intercept }
}

/// The same knots, the outer ones moved out to a range that is wider than theirs.
pub(super) fn widen(calibration: Calibration, range: (f64, f64)) -> Calibration {
    let Calibration::PiecewiseLinear(mut knots) = calibration else { return calibration };
    if let Some(first) = knots.first_mut() {
        first.0 = first.0.min(range.0);
    }
    if let Some(last) = knots.last_mut() {
        last.0 = last.0.max(range.1);
    }
    Calibration::PiecewiseLinear(knots)
}

/// Neighbouring scores that get one probability.
#[derive(Clone, Debug)]
struct Block {
    weight: f64,
    fraud: f64,
    /// Weighted sum of scores.
    score: f64,
    last: f64,
}

impl Block {
    fn join(&mut self, next: &Self) {
        self.weight += next.weight;
        self.fraud += next.fraud;
        self.score += next.score;
        self.last = next.last;
    }

    fn share(&self) -> f64 {
        self.fraud / self.weight
    }
}

/// Joins neighbours until their probabilities ascend.
fn pool(blocks: Vec<Block>, probability: impl Fn(&Block) -> f64) -> Vec<Block> {
    let mut pooled: Vec<Block> = Vec::new();
    for block in blocks {
        pooled.push(block);
        while let [.., before, last] = pooled.as_mut_slice() {
            if probability(before) < probability(last) {
                break;
            }
            before.join(&last.clone());
            pooled.pop();
        }
    }
    pooled
}

/// Joins blocks with the next until each has this weight, or its part of all fraud.
fn thin_out(blocks: Vec<Block>, weight_min: f64) -> Vec<Block> {
    let frauds = blocks.iter().map(|block| block.fraud).sum::<f64>();
    let mut joined: Vec<Block> = Vec::new();
    for block in blocks {
        match joined.last_mut() {
            Some(last) if last.weight < weight_min && last.fraud < frauds / BLOCKS_BY_FRAUD => {
                last.join(&block);
            }
            _ => joined.push(block),
        }
    }
    joined
}

/// Knots that ascend strictly both ways, from one end of the range to the other. The ends are beyond
/// what was seen: halfway to certainty, not all the way.
fn ascending(mut knots: Vec<(f64, f64)>, (least, greatest): (f64, f64)) -> Calibration {
    if let Some(&(score, probability)) = knots.first()
        && least < score
    {
        knots.insert(0, (least, probability / 2.0));
    }
    if let Some(&(score, probability)) = knots.last()
        && score < greatest
    {
        knots.push((greatest, probability + (1.0 - probability) / 2.0));
    }
    Calibration::PiecewiseLinear(knots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Scores whose true probability is their square.
    fn squared(count: usize, seed: u64) -> (Vec<f64>, Vec<bool>) {
        let mut random = Random::new(seed, 0);
        let scores: Vec<_> = (0..count).map(|_| random.share()).collect();
        let labels = scores.iter().map(|score| random.share() < score * score).collect();
        (scores, labels)
    }

    fn brier(calibration: &Calibration, scores: &[f64], labels: &[bool]) -> f64 {
        let miss = |(score, label): (&f64, &bool)| {
            (calibration.apply(*score) - f64::from(u8::from(*label))).powi(2)
        };
        scores.iter().zip(labels).map(miss).sum::<f64>() / scores.len() as f64
    }

    #[test]
    fn finds_the_true_probability() {
        let (scores, labels) = squared(50_000, 1);
        let isotonic = fit_isotonic(&scores, &labels, None, (0.0, 1.0));
        for step in 1..20 {
            let score = f64::from(step) / 20.0;
            let miss = (isotonic.apply(score) - score * score).abs();
            assert!(miss < 0.04, "{score}: {}", isotonic.apply(score));
        }
        let (scores, labels) = squared(20_000, 2);
        let [before, after] = [Calibration::None, isotonic].map(|c| brier(&c, &scores, &labels));
        assert!(after < before - 0.01, "{after} after {before}");
        let platt = fit_platt(&scores, &labels, None);
        assert!(brier(&platt, &scores, &labels) < before - 0.01);
    }

    /// Against the share that is below, counted one by one, with many equals among them.
    #[test]
    fn ranks_are_shares_of_what_is_below() {
        let mut random = Random::new(5, 0);
        let scores: Vec<_> = (0..20_000)
            .map(|row| if row % 4 == 0 { 0.25 } else { random.share().powi(3) })
            .collect();
        let ranks = fit_ranks(&scores, (0.0, 1.5));
        let Calibration::PiecewiseLinear(knots) = &ranks else { panic!("{ranks:?}") };
        assert!(knots.len() < 400, "{}", knots.len());
        assert!(knots.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{knots:?}");
        for score in scores.iter().step_by(7) {
            let below = scores.iter().filter(|it| *it < score).count() as f64;
            let equals = scores.iter().filter(|it| *it == score).count() as f64;
            let rank = (below + equals / 2.0) / 20_000.0;
            let miss = (ranks.apply(*score) - rank).abs();
            assert!(miss <= 0.01_f64.min((1.0 - rank) / 10.0 + 1e-4), "{score}: {miss} off {rank}");
        }
        assert_eq!((ranks.apply(0.0), ranks.apply(1.5), ranks.apply(9.0)), (0.0, 1.0, 1.0));
        assert_eq!(fit_ranks(&[0.5, 0.5], (0.1, 0.9)).apply(0.5), 0.5, "one score is enough");
    }

    #[test]
    fn different_scores_stay_different() {
        let (scores, labels) = squared(3_000, 3);
        let isotonic = fit_isotonic(&scores, &labels, None, (0.0, 1.0));
        let Calibration::PiecewiseLinear(knots) = &isotonic else { panic!("{isotonic:?}") };
        assert!(knots.len() > 5 && knots.len() <= 202, "{}", knots.len());
        assert!(knots.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{knots:?}");
        assert!(knots[0].1 > 0.0 && knots[knots.len() - 1].1 < 1.0, "nothing is certain");
        let mut sorted = scores;
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|w| isotonic.apply(w[0]) < isotonic.apply(w[1])));
    }

    /// A row of weight 3 is three rows, and order is nothing to it.
    #[test]
    fn weights_are_rows() {
        let (scores, labels) = squared(400, 4);
        let weights: Vec<_> = (0..400).map(|row| (row % 3 + 1) as f32).collect();
        let rows = (0..400).rev().flat_map(|row| vec![row; row % 3 + 1]);
        let (many, of_many): (Vec<_>, Vec<_>) = rows.map(|row| (scores[row], labels[row])).unzip();
        let weighted = fit_isotonic(&scores, &labels, Some(&weights), (0.0, 1.0));
        let repeated = fit_isotonic(&many, &of_many, None, (0.0, 1.0));
        for step in 0..=50 {
            let score = f64::from(step) / 50.0;
            assert!((weighted.apply(score) - repeated.apply(score)).abs() < 1e-9);
        }
    }

    #[test]
    fn few_scores_are_enough() {
        for (scores, labels) in [
            (&[0.5, 0.5][..], &[true, false][..]),
            (&[0.2, 0.8], &[false, true]),
            (&[0.8, 0.2], &[false, true]),
            (&[0.0, 1.0], &[false, true]),
        ] {
            for calibration in
                [fit_isotonic(scores, labels, None, (0.0, 1.0)), fit_platt(scores, labels, None)]
            {
                let [low, high] = [0.0, 1.0].map(|score| calibration.apply(score));
                assert!(0.0 <= low && low <= high && high <= 1.0, "{calibration:?}");
            }
        }
    }
}
