//! Metrics: consumes scores and labels, produces the figures by which models are judged.
//!
//! Guarantees: ties in the scores never depend on the order of rows; a score that is not a number
//! is an error, never a rank; a figure that does not exist (one class only) is an error or `None`,
//! never 0. Everything that is drawn by chance is drawn from a seed.

mod bootstrap;
mod calibration;
mod card_precision;
mod confusion;
mod curves;
mod drift;
mod error;
mod evaluation;
mod histogram;
mod ranking;

pub use bootstrap::{Bootstrap, Interval, Metric, Resample};
pub use calibration::{Calibration, CalibrationBin, brier, calibration};
pub use card_precision::{CardPrecision, DailyCards};
pub use confusion::{Confusion, confusion};
pub use curves::{PrPoint, RocPoint, precision_recall_curve, roc_curve};
pub use drift::{Drift, DriftLevel, FeatureDrift, drift};
pub use error::MetricError;
pub use evaluation::{Evaluation, Scored, evaluate};
pub use histogram::{HistogramBin, score_histogram};
pub use ranking::Ranking;

pub(crate) use curves::thinned;
pub(crate) use error::same_length;
pub(crate) use ranking::falling_order;
