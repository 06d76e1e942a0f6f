//! Models: consumes rows of features, produces for each a score, the probability of fraud.
//!
//! Guarantees that a score is a number of 0 to 1 whatever the row, and a function of the row and the
//! model's bytes alone: the same on every machine, alone or in a block. A row is one `f32` per
//! feature of the model, in its order, or, once it was fitted to a catalogue, one per feature of that
//! catalogue; NaN is a missing value.

mod calibration;
mod column;
mod error;
mod exp;
mod facts;
mod fit;
mod forest;
mod format;
pub mod import;
mod linear;
mod read;
mod shallow;
mod tree;

pub use calibration::{Calibration, Link};
pub use error::ModelError;
pub use facts::TrainingFacts;
pub use fit::CATALOGUE_SETTING;
pub use format::VERSION;
pub use linear::Term;
pub use tree::{Missing, Node, Side, Tree, threshold};

use self::{fit::Rows, forest::Forest, linear::Linear};

/// Most features that a model can have.
pub const FEATURES_MAX: usize = 4_096;

/// Rows of which sums are kept on the stack.
const BLOCK: usize = 1_024;

/// What kind of model, for people; all tree models are scored alike. The numbers are those of the
/// file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Trees, each trained on what the ones before it left.
    Boosting = 1,
    /// A mean of trees that were trained by themselves.
    Forest = 2,
    /// Trees that were grown without labels: how easily a row is told from the others.
    IsolationForest = 3,
    /// A weighted sum of standardised features.
    Logistic = 4,
}

impl Kind {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boosting => "boosting",
            Self::Forest => "forest",
            Self::IsolationForest => "isolation forest",
            Self::Logistic => "logistic regression",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Scorer {
    Forest(Forest),
    Linear(Linear),
}

/// A model, ready to score.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    kind: Kind,
    features: Vec<String>,
    catalogue: [u8; 32],
    rows: Rows,
    scorer: Scorer,
    link: Link,
    calibration: Calibration,
    facts: TrainingFacts,
}

impl Model {
    /// A sum of trees, and of `base`. A mean is a sum of trees whose values were divided before.
    ///
    /// # Errors
    /// When a tree, a feature name or the link makes no sense.
    pub fn of_trees(
        kind: Kind,
        features: Vec<String>,
        trees: &[Tree],
        base: f64,
        link: Link,
    ) -> Result<Self, ModelError> {
        check_names(&features)?;
        let scorer = Scorer::Forest(Forest::new(trees, features.len(), base)?);
        Self { kind, ..Self::of_parts(features, scorer, link.check()?) }.checked()
    }

    /// A logistic regression: one term per feature.
    ///
    /// # Errors
    /// When a weight is no number, or there are more or fewer terms than features.
    pub fn of_weights(
        features: Vec<String>,
        terms: Vec<Term>,
        intercept: f64,
    ) -> Result<Self, ModelError> {
        check_names(&features)?;
        if terms.len() != features.len() {
            return Err(ModelError::Weight { place: Some(terms.len().min(features.len())) });
        }
        let scorer = Scorer::Linear(Linear::new(terms, intercept)?);
        Self::of_parts(features, scorer, Link::Sigmoid { slope: 1.0 }).checked()
    }

    fn of_parts(features: Vec<String>, scorer: Scorer, link: Link) -> Self {
        let (calibration, facts) = (Calibration::None, TrainingFacts::default());
        Self {
            kind: Kind::Logistic,
            rows: Rows::own(features.len()),
            features,
            catalogue: [0; 32],
            scorer,
            link,
            calibration,
            facts,
        }
    }

    /// Sums that overflow would give scores that are no numbers.
    fn checked(self) -> Result<Self, ModelError> {
        let (least, greatest) = self.sum_range();
        if matches!(self.scorer, Scorer::Forest(_)) && !(least.is_finite() && greatest.is_finite())
        {
            let reason = "adds up with the others to no finite number".to_owned();
            return Err(ModelError::Tree { tree: 0, reason });
        }
        Ok(self)
    }

    /// With this in place of its calibration.
    ///
    /// # Errors
    /// When it is no ascending function to probabilities.
    pub fn with_calibration(self, calibration: Calibration) -> Result<Self, ModelError> {
        calibration.check()?;
        Ok(Self { calibration, ..self })
    }

    /// With how it came to be.
    #[must_use]
    pub fn with_facts(self, facts: TrainingFacts) -> Self {
        Self { facts, ..self }
    }

    /// With the digest of the catalogue that its features come from; zeros where that isn't known.
    #[must_use]
    pub fn with_catalogue(self, digest: [u8; 32]) -> Self {
        Self { catalogue: digest, ..self }
    }

    /// What kind of model it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Names of its features, in its own order: that of [`Self::contributions`].
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Digest of the catalogue that its features come from; zeros where that isn't known.
    #[must_use]
    pub fn catalogue(&self) -> &[u8; 32] {
        &self.catalogue
    }

    /// What is made of its sums.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// What is made of its uncalibrated scores.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// How it came to be.
    #[must_use]
    pub fn facts(&self) -> &TrainingFacts {
        &self.facts
    }

    /// Trees, and nodes in all of them; none in a logistic regression.
    #[must_use]
    pub fn tree_and_node_counts(&self) -> (usize, usize) {
        match &self.scorer {
            Scorer::Forest(forest) => (forest.roots.len(), forest.nodes.len()),
            Scorer::Linear(_) => (0, 0),
        }
    }

    /// Writes each row's score, the calibrated probability of fraud.
    ///
    /// # Panics
    /// When `rows` isn't as long as `scores` times [`Self::row_len`].
    pub fn score(&self, rows: &[f32], scores: &mut [f32]) {
        let mut sums = [0.0; BLOCK];
        let stride = self.row_len();
        assert_eq!(rows.len(), scores.len() * stride, "each score has a row");
        for (rows, scores) in rows.chunks(BLOCK * stride).zip(scores.chunks_mut(BLOCK)) {
            let sums = &mut sums[..scores.len()];
            self.score_raw(rows, sums);
            self.link.apply_all(sums);
            for (score, probability) in scores.iter_mut().zip(sums) {
                *score = self.calibration.apply(*probability) as f32;
            }
        }
    }

    /// Writes each row's sum: what the link and the calibration make a probability of.
    ///
    /// # Panics
    /// As [`Self::score`].
    pub fn score_raw(&self, rows: &[f32], sums: &mut [f64]) {
        let stride = self.row_len();
        assert_eq!(rows.len(), sums.len() * stride, "each sum has a row");
        match &self.scorer {
            Scorer::Forest(forest) => forest.sum(rows, stride, sums),
            Scorer::Linear(linear) => {
                for (row, sum) in rows.chunks_exact(stride).zip(sums) {
                    *sum = linear.sum(row);
                }
            }
        }
    }

    /// Writes by how much each feature moves the row's sum away from [`Self::expected_raw`]: they
    /// add up to the difference. For an isolation forest, a lower sum is the higher score.
    ///
    /// # Panics
    /// When the row is not [`Self::row_len`] long, or there isn't one contribution per feature of the
    /// model.
    pub fn contributions(&self, row: &[f32], contributions: &mut [f32]) {
        assert_eq!(row.len(), self.row_len(), "a row has what the model's rows have");
        assert_eq!(contributions.len(), self.features.len(), "one per feature of the model");
        let mut moved = vec![0.0; contributions.len()];
        match &self.scorer {
            Scorer::Forest(forest) => forest.contributions(row, &mut moved),
            Scorer::Linear(linear) => linear.contributions(row, &mut moved),
        }
        for (contribution, moved) in contributions.iter_mut().zip(moved) {
            *contribution = moved.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        }
    }

    /// The sum of a row of which nothing is known: the mean over the training data for trees, the
    /// intercept for a logistic regression.
    #[must_use]
    pub fn expected_raw(&self) -> f64 {
        match &self.scorer {
            Scorer::Forest(forest) => forest.expected(),
            Scorer::Linear(linear) => linear.intercept,
        }
    }

    /// The least and the greatest sum that trees can give; without bounds for other models.
    #[must_use]
    pub fn sum_range(&self) -> (f64, f64) {
        match &self.scorer {
            Scorer::Forest(forest) => forest.range(),
            Scorer::Linear(_) => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// What tells this model from all others: the BLAKE3 digest at the end of its file.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let bytes = self.to_bytes();
        bytes.last_chunk().copied().unwrap_or_default()
    }
}

/// Names are there, told apart, and fit the format.
fn check_names(names: &[String]) -> Result<(), ModelError> {
    let wrong = |place: usize, reason| {
        let name = names.get(place).cloned().unwrap_or_default();
        Err(ModelError::Feature { place, name, reason })
    };
    if names.is_empty() {
        return wrong(0, "is missing: a model has at least one");
    }
    if names.len() > FEATURES_MAX {
        return wrong(FEATURES_MAX, "is one too many: a model has at most 4,096");
    }
    let mut sorted: Vec<_> = names.iter().zip(0..).collect();
    sorted.sort();
    match names.iter().position(|name| name.is_empty() || name.len() > 255) {
        Some(place) => wrong(place, "must have a name of 1 to 255 bytes"),
        None => match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => wrong(pair[1].1, "is there twice"),
            None => Ok(()),
        },
    }
}
