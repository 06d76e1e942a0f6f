//! Training: consumes rows of features with labels, produces models that score as their trainer
//! does.
//!
//! Guarantees that the same rows and settings give the same model, to the last bit, on any number of
//! threads; and that a calibration to labels was never fitted on rows that the scores it was fitted
//! to were trained on. Without labels an isolation forest is calibrated to ranks, which are those of
//! its own rows: they tell how unusual, not how likely fraud.

mod blend;
mod boosting;
mod calibrate;
mod dataset;
mod error;
mod isolation;
mod smart;
mod smart_trees;
mod words;

pub use blend::Blend;
pub use boosting::{Boosting, Loss};
pub use calibrate::{fit_isotonic, fit_platt, fit_ranks};
pub use dataset::Dataset;
pub use error::TrainError;
pub use isolation::Isolation;
pub use smart::{Logistic, SmartBoosting, SmartForest};
pub use words::scores_are_ranks;

use millrace_risk::model::{Calibration, Kind, Link, Model, TrainingFacts};

/// What is trained, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Trainer {
    /// A sum of boosted trees on two losses: the default, and the best that we know.
    Blend(Blend),
    /// Our own boosting with exact splits.
    Boosting(Boosting),
    /// smartcore's boosting on squared errors.
    SmartBoosting(SmartBoosting),
    /// smartcore's forest of regression trees.
    SmartForest(SmartForest),
    /// smartcore's logistic regression on standardised features: the baseline.
    Logistic(Logistic),
    /// An isolation forest, for when there are no labels.
    Isolation(Isolation),
}

impl Default for Trainer {
    fn default() -> Self {
        Self::Blend(Blend::default())
    }
}

/// What the calibration is fitted on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Calibrate {
    /// None is: the scores are the trainer's.
    None,
    /// The last share of the rows: a model of the others scores them. The model that is returned is
    /// trained on all rows.
    Tail(f64),
    /// All rows, in so many pieces: a model of the other pieces scores each. Takes as many times
    /// longer.
    CrossFitted(usize),
}

/// All settings of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is trained.
    pub trainer: Trainer,
    /// How it is calibrated. An isolation forest is calibrated to ranks where there are no labels of
    /// both kinds: see [`fit_ranks`].
    pub calibrate: Calibrate,
    /// Of the payments that are no fraud, the share that is trained on, each then counting for as
    /// many as it stands for, so that probabilities stay as they are. Above 0, at most 1.
    pub legitimate_share: f64,
    /// For everything that is drawn.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trainer: Trainer::default(),
            calibrate: Calibrate::Tail(0.25),
            legitimate_share: 1.0,
            seed: 1,
        }
    }
}

/// How far a training has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `calibrating`, `training`.
    pub stage: &'static str,
    /// Trees, or steps, that are done.
    pub done: usize,
    /// How many there are.
    pub all: usize,
}

/// Trains a model, and calibrates it.
///
/// # Errors
/// When the rows or the settings make no sense, or when only one class is among the labels.
pub fn train(
    rows: &Dataset<'_>,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Model, TrainError> {
    rows.check()?;
    settings.check()?;
    let labelled = rows.has_both_classes();
    if !labelled && !matches!(settings.trainer, Trainer::Isolation(_)) {
        return Err(TrainError::OneClass { frauds: rows.frauds(), rows: rows.len() });
    }
    let calibration = match settings.calibrate {
        Calibrate::Tail(share) if labelled => tail(rows, settings, share, progress)?,
        Calibrate::CrossFitted(pieces) if labelled => cross(rows, settings, pieces, progress)?,
        _ => Calibration::None,
    };
    let model = fit(rows, settings, "training", progress)?;
    let by_rank = !labelled && settings.calibrate != Calibrate::None;
    let calibration = match by_rank {
        true => {
            let scores = calibrate::uncalibrated(&model, rows.rows);
            fit_ranks(&scores, calibrate::score_range(&model))
        }
        false => calibration,
    };
    // The knots reach as far as scores of the model that they were fitted to: others may go further.
    let calibration = calibrate::widen(calibration, calibrate::score_range(&model));
    let facts = TrainingFacts {
        trainer: settings.trainer.name().to_owned(),
        rows: rows.len() as u64,
        frauds: rows.frauds() as u64,
        settings: settings.in_words(by_rank),
        ..TrainingFacts::default()
    };
    Ok(model.with_calibration(calibration)?.with_facts(facts))
}

/// An uncalibrated model of these rows.
fn fit(
    rows: &Dataset<'_>,
    settings: &Settings,
    stage: &'static str,
    progress: &mut dyn FnMut(Progress),
) -> Result<Model, TrainError> {
    let mut report = |done, all| progress(Progress { stage, done, all });
    let thinned = dataset::thin(rows, settings.legitimate_share, settings.seed);
    let rows = thinned.as_ref().map_or(*rows, |thinned| thinned.as_dataset(rows.features));
    let seed = settings.seed;
    match &settings.trainer {
        Trainer::Blend(blend) => blend.fit(&rows, seed, &mut report),
        Trainer::Boosting(boosting) => boosting.fit(&rows, seed, &mut report),
        Trainer::SmartBoosting(boosting) => boosting.fit(&rows, seed, &mut report),
        Trainer::SmartForest(forest) => forest.fit(&rows, seed, &mut report),
        Trainer::Logistic(logistic) => logistic.fit(&rows, &mut report),
        Trainer::Isolation(isolation) => isolation.fit(&rows, seed, &mut report),
    }
}

fn tail(
    rows: &Dataset<'_>,
    settings: &Settings,
    share: f64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Calibration, TrainError> {
    let cut = ((rows.len() as f64) * (1.0 - share)) as usize;
    let (head, tail) = (rows.slice(0..cut), rows.slice(cut..rows.len()));
    if !head.has_both_classes() || !tail.has_both_classes() {
        return Err(TrainError::OneClassInPart { part: "the last share, or the rows before it" });
    }
    let model = fit(&head, settings, "calibrating", progress)?;
    let scores = calibrate::uncalibrated(&model, tail.rows);
    let range = calibrate::score_range(&model);
    Ok(fit_isotonic(&scores, tail.labels, tail.weights, range))
}

fn cross(
    rows: &Dataset<'_>,
    settings: &Settings,
    pieces: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Calibration, TrainError> {
    let mut scores = Vec::with_capacity(rows.len());
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    for piece in 0..pieces {
        let held_out = rows.len() * piece / pieces..rows.len() * (piece + 1) / pieces;
        let others = dataset::without(rows, held_out.clone());
        let others = others.as_dataset(rows.features);
        if !others.has_both_classes() {
            return Err(TrainError::OneClassInPart { part: "the rows without one of the pieces" });
        }
        let model = fit(&others, settings, "calibrating", progress)?;
        scores.extend(calibrate::uncalibrated(&model, rows.slice(held_out).rows));
        let (least, greatest) = calibrate::score_range(&model);
        range = (range.0.min(least), range.1.max(greatest));
    }
    Ok(fit_isotonic(&scores, rows.labels, rows.weights, range))
}

impl Trainer {
    /// In words, with the version of what isn't ours.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Blend(_) => "boosting on two losses, exact splits",
            Self::Boosting(_) => "boosting, exact splits",
            Self::SmartBoosting(_) => "smartcore 0.7 boosting",
            Self::SmartForest(_) => "smartcore 0.7 forest",
            Self::Logistic(_) => "smartcore 0.7 logistic regression",
            Self::Isolation(_) => "isolation forest",
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), TrainError> {
        let share = self.legitimate_share;
        error::within("legitimate_share", share, 1e-6, 1.0)?;
        match self.calibrate {
            Calibrate::Tail(share) => error::within("the share of the tail", share, 0.01, 0.9)?,
            Calibrate::CrossFitted(pieces) => error::within("pieces", pieces as f64, 2.0, 50.0)?,
            Calibrate::None => {}
        }
        match &self.trainer {
            Trainer::Blend(blend) => blend.check(),
            Trainer::Boosting(boosting) => boosting.check(),
            Trainer::SmartBoosting(boosting) => boosting.check(),
            Trainer::SmartForest(forest) => forest.check(),
            Trainer::Logistic(logistic) => logistic.check(),
            Trainer::Isolation(isolation) => isolation.check(),
        }
    }
}

/// A boosted or averaged sum of trees, each with the covers of these rows.
fn model_of_trees(
    kind: Kind,
    rows: &Dataset<'_>,
    mut trees: Vec<millrace_risk::model::Tree>,
    base: f64,
    link: Link,
) -> Result<Model, TrainError> {
    use rayon::prelude::*;
    trees.par_iter_mut().for_each(|tree| tree.count_covers(rows.rows, rows.stride()));
    Ok(Model::of_trees(kind, rows.features.to_vec(), &trees, base, link)?)
}
