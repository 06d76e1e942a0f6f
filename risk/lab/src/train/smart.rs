//! smartcore's trainers: consumes labelled rows, produces what smartcore trained, in our form.
//!
//! smartcore takes no missing values. To its trees they are shown as a value below all others, which
//! is what the model then takes them for; to the logistic regression as the mean.

use millrace_risk::model::{Kind, Link, Model, Term};
use rayon::prelude::*;
use smartcore::{
    ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters},
    linalg::basic::{arrays::Array, matrix::DenseMatrix},
    linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters},
    xgboost::{XGRegressor, XGRegressorParameters},
};

use super::{
    Dataset, TrainError,
    error::within,
    model_of_trees,
    smart_trees::{boosted_trees, forest_trees},
};

/// Trees that are trained in one go, with a seed of their own.
const FOREST_PART: usize = 10;

/// Settings of smartcore's `XGRegressor`: squared errors, exact splits. Weights count for nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct SmartBoosting {
    /// How many trees: 1 to 5,000.
    pub trees: usize,
    /// Levels of splits per tree: 1 to 14.
    pub depth: u16,
    /// What part of a tree's correction is taken: above 0 to 1.
    pub learning_rate: f64,
    /// L2 penalty on a leaf's value: 0 or more.
    pub lambda: f64,
    /// Share of the rows that each tree sees: above 0 to 1.
    pub row_share: f64,
}

impl Default for SmartBoosting {
    fn default() -> Self {
        Self { trees: 100, depth: 3, learning_rate: 0.3, lambda: 1.0, row_share: 1.0 }
    }
}

/// Settings of smartcore's `RandomForestRegressor`, on labels of 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SmartForest {
    /// How many trees: 1 to 5,000.
    pub trees: usize,
    /// Levels of splits per tree: 1 to 14. Without a limit it would grow millions of nodes.
    pub depth: u16,
    /// Least rows in a leaf: 1 or more.
    pub leaf_rows_min: usize,
}

impl Default for SmartForest {
    fn default() -> Self {
        Self { trees: 100, depth: 10, leaf_rows_min: 1 }
    }
}

/// Settings of smartcore's `LogisticRegression`, on standardised features. Weights count for
/// nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// L2 penalty on the weights: 0 or more.
    pub alpha: f64,
}

impl Default for Logistic {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl SmartBoosting {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        within("trees", self.trees as f64, 1.0, 5_000.0)?;
        within("depth", f64::from(self.depth), 1.0, 14.0)?;
        within("learning_rate", self.learning_rate, 1e-4, 1.0)?;
        within("lambda", self.lambda, 0.0, 1e9)?;
        within("row_share", self.row_share, 0.01, 1.0)
    }

    pub(super) fn fit(
        &self,
        rows: &Dataset<'_>,
        seed: u64,
        report: &mut dyn FnMut(usize, usize),
    ) -> Result<Model, TrainError> {
        report(0, 1); // it says nothing in between
        let (matrix, labels) = (lowest_if_missing(rows)?, labels(rows));
        let parameters = XGRegressorParameters::default()
            .with_n_estimators(self.trees)
            .with_max_depth(self.depth)
            .with_learning_rate(self.learning_rate)
            .with_lambda(self.lambda)
            .with_subsample(self.row_share)
            .with_seed(seed);
        let trained = XGRegressor::fit(&matrix, &labels, parameters)?;
        let (trees, base) = boosted_trees(&trained)?;
        report(1, 1);
        model_of_trees(Kind::Boosting, rows, trees, base, Link::Identity)
    }
}

impl SmartForest {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        within("trees", self.trees as f64, 1.0, 5_000.0)?;
        within("depth", f64::from(self.depth), 1.0, 14.0)?;
        within("leaf_rows_min", self.leaf_rows_min as f64, 1.0, 1e9)
    }

    /// In parts, so that all cores have something to do.
    pub(super) fn fit(
        &self,
        rows: &Dataset<'_>,
        seed: u64,
        report: &mut dyn FnMut(usize, usize),
    ) -> Result<Model, TrainError> {
        let (matrix, labels) = (lowest_if_missing(rows)?, labels(rows));
        let weights: Option<Vec<f64>> =
            rows.weights.map(|weights| weights.iter().map(|weight| f64::from(*weight)).collect());
        let firsts: Vec<_> = (0..self.trees).step_by(FOREST_PART).collect();
        let mut trees = Vec::with_capacity(self.trees);
        for group in firsts.chunks(rayon::current_num_threads().max(1)) {
            report(trees.len(), self.trees);
            let part = |first: &usize| {
                let parameters = RandomForestRegressorParameters::default()
                    .with_n_trees(FOREST_PART.min(self.trees - first))
                    .with_max_depth(self.depth)
                    .with_min_samples_leaf(self.leaf_rows_min)
                    .with_seed(seed.wrapping_mul(1_000_003).wrapping_add(*first as u64));
                let trained = match &weights {
                    None => RandomForestRegressor::fit(&matrix, &labels, parameters),
                    Some(weights) => RandomForestRegressor::fit_with_weights(
                        &matrix, &labels, weights, parameters,
                    ),
                };
                forest_trees(&trained?, self.trees)
            };
            let parts: Result<Vec<_>, _> = group.par_iter().map(part).collect();
            trees.extend(parts?.into_iter().flatten());
        }
        report(self.trees, self.trees);
        model_of_trees(Kind::Forest, rows, trees, 0.0, Link::Identity)
    }
}

impl Logistic {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        within("alpha", self.alpha, 0.0, 1e9)
    }

    pub(super) fn fit(
        &self,
        rows: &Dataset<'_>,
        report: &mut dyn FnMut(usize, usize),
    ) -> Result<Model, TrainError> {
        report(0, 1);
        let stride = rows.stride();
        let standards: Vec<_> = (0..stride).map(|feature| standard(rows, feature)).collect();
        let columns = (0..stride).flat_map(|feature| {
            let (mean, scale) = standards[feature];
            column(rows, feature).map(move |value| match value.is_nan() {
                true => 0.0,
                false => (f64::from(value) - mean) / scale,
            })
        });
        let matrix = DenseMatrix::new(rows.len(), stride, columns.collect(), true)?;
        let labels: Vec<u32> = rows.labels.iter().map(|label| u32::from(*label)).collect();
        let parameters = LogisticRegressionParameters::default().with_alpha(self.alpha);
        let trained = LogisticRegression::fit(&matrix, &labels, parameters)?;
        let weights = trained.coefficients().iterator(0);
        let terms = weights.zip(&standards).map(|(weight, (mean, scale))| Term {
            weight: *weight,
            mean: *mean,
            scale: *scale,
        });
        let intercept = *trained.intercept().get((0, 0));
        let model = Model::of_weights(rows.features.to_vec(), terms.collect(), intercept)?;
        report(1, 1);
        Ok(model)
    }
}

fn labels(rows: &Dataset<'_>) -> Vec<f64> {
    rows.labels.iter().map(|label| f64::from(u8::from(*label))).collect()
}

fn column<'a>(rows: &Dataset<'a>, feature: usize) -> impl Iterator<Item = f32> + Clone + 'a {
    let (rows, stride) = (rows.rows, rows.stride());
    rows.iter().skip(feature).step_by(stride).copied()
}

/// Column by column, missing values as one that is below all others.
fn lowest_if_missing(rows: &Dataset<'_>) -> Result<DenseMatrix<f64>, TrainError> {
    let stride = rows.stride();
    let columns = (0..stride).flat_map(|feature| {
        let least = f64::from(column(rows, feature).fold(f32::NAN, f32::min));
        let lowest = if least.is_nan() { 0.0 } else { least - 1.0 - least.abs() * 1e-3 };
        column(rows, feature).map(move |v| if v.is_nan() { lowest } else { f64::from(v) })
    });
    Ok(DenseMatrix::new(rows.len(), stride, columns.collect(), true)?)
}

/// Mean and standard deviation of what isn't missing; a deviation of 1 where all values are equal.
fn standard(rows: &Dataset<'_>, feature: usize) -> (f64, f64) {
    let values = column(rows, feature).filter(|value| !value.is_nan()).map(f64::from);
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let deviation = (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let scale = if deviation > 1e-9 * mean.abs().max(1e-30) { deviation } else { 1.0 };
    (mean, scale)
}
