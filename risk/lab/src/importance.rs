//! Importance: consumes a model and rows, produces how much each feature matters.

use millrace_risk::model::Model;
use serde::Serialize;

use crate::{
    metrics::{MetricError, Ranking},
    random::Random,
};

/// Rows of which contributions are taken: more would change nothing that is shown.
const ROWS_MAX: usize = 20_000;

/// How much a feature matters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Importance {
    /// Its name.
    pub feature: String,
    /// Its share in all that moves scores, up or down: the mean of its contributions' sizes. Adds up
    /// to 1 over the features, unless none matters.
    pub share: f64,
    /// By how much average precision falls when its values are shuffled between payments (Breiman
    /// 2001); `None` where that was not asked for.
    pub precision_lost: Option<f64>,
}

/// The shares of features, the greatest first. Of many rows, some are taken, evenly.
#[must_use]
pub fn importance(model: &Model, rows: &[f32]) -> Vec<Importance> {
    let (stride, features) = (model.row_len(), model.features().len());
    let step = (rows.len() / stride).div_ceil(ROWS_MAX).max(1);
    let (mut sizes, mut moved) = (vec![0.0; features], vec![0.0; features]);
    for row in rows.chunks_exact(stride).step_by(step) {
        model.contributions(row, &mut moved);
        sizes.iter_mut().zip(&moved).for_each(|(size, by)| *size += f64::from(by.abs()));
    }
    let all: f64 = sizes.iter().sum();
    let share = |(feature, size): (&String, &f64)| Importance {
        feature: feature.clone(),
        share: if all > 0.0 { size / all } else { 0.0 },
        precision_lost: None,
    };
    let mut features: Vec<_> = model.features().iter().zip(&sizes).map(share).collect();
    features.sort_by(|a, b| b.share.total_cmp(&a.share));
    features
}

/// Fills in what shuffling each feature costs. `progress` is told how many features are done.
///
/// # Errors
/// When all rows are of one class.
pub fn permute(
    model: &Model,
    rows: &[f32],
    is_fraud: &[bool],
    seed: u64,
    features: &mut [Importance],
    progress: &mut dyn FnMut(usize),
) -> Result<(), MetricError> {
    let stride = model.row_len();
    let mut scores = vec![0.0; is_fraud.len()];
    let mut precision = |rows: &[f32]| {
        model.score(rows, &mut scores);
        Ranking::new(&scores, is_fraud).map(|ranking| ranking.average_precision())
    };
    let whole = precision(rows)?;
    let mut shuffled = rows.to_vec();
    let order = shuffled_order(is_fraud.len(), seed);
    for (done, it) in features.iter_mut().enumerate() {
        let Some(feature) = model.features().iter().position(|name| *name == it.feature) else {
            continue;
        };
        let place = model.place_of(feature);
        for (row, from) in shuffled.chunks_exact_mut(stride).zip(&order) {
            row[place] = rows[from * stride + place];
        }
        it.precision_lost = Some(whole - precision(&shuffled)?);
        for (row, own) in shuffled.chunks_exact_mut(stride).zip(rows.chunks_exact(stride)) {
            row[place] = own[place];
        }
        progress(done + 1);
    }
    Ok(())
}

/// Fisher and Yates' shuffle.
fn shuffled_order(len: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut random = Random::seeded(seed);
    for last in (1..len).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use millrace_risk::model::Term;

    use super::*;

    #[test]
    fn what_decides_matters_most() {
        let term = |weight| Term { weight, mean: 0.0, scale: 1.0 };
        let names = ["much", "little", "nothing"].map(str::to_owned).to_vec();
        let model = Model::of_weights(names, vec![term(3.0), term(-0.5), term(0.0)], 0.0)
            .expect("a right model");
        let rows: Vec<f32> = (0..3_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0)
            .collect();
        let is_fraud: Vec<bool> = rows.chunks_exact(3).map(|row| row[0] > 0.8).collect();
        let mut features = importance(&model, &rows);
        let names: Vec<_> = features.iter().map(|it| it.feature.as_str()).collect();
        assert_eq!(names, ["much", "little", "nothing"]);
        assert!((features.iter().map(|it| it.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(features[2].share, 0.0);

        let mut done = 0;
        permute(&model, &rows, &is_fraud, 1, &mut features, &mut |count| done = count)
            .expect("two classes");
        let lost: Vec<_> = features.iter().map(|it| it.precision_lost.unwrap_or(9.0)).collect();
        assert!(lost[0] > 0.5 && lost[1].abs() < 0.05 && lost[2] == 0.0, "{lost:?}");
        assert_eq!(done, 3);
    }

    #[test]
    fn a_shuffle_keeps_all() {
        let mut order = shuffled_order(1_000, 7);
        assert_ne!(order, (0..1_000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1_000).collect::<Vec<_>>());
    }
}
