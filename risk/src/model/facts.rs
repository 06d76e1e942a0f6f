//! How a model came to be: written by the trainer or importer, shown to analysts, used by nothing.

use millrace_ledger::Timestamp;

/// What a model was trained on, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingFacts {
    /// What trained it, with its version: `millrace boosting`, `smartcore 0.7.0 forest`, `LightGBM v4`.
    pub trainer: String,
    /// What it was created from: the names of files, the journal.
    pub source: String,
    /// Times of the first and the last payment that it was trained on.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Payments that it was trained on; 0 if not known.
    pub rows: u64,
    /// How many of them were fraud.
    pub frauds: u64,
    /// Settings of the trainer and others, as text, in their order.
    pub settings: Vec<(String, String)>,
}
