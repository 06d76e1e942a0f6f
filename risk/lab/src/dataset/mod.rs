//! Datasets: consumes labelled payments and a catalogue, produces rows of features as the pipeline
//! would have had them at each payment.
//!
//! Guarantees that no row knows what came after it: payments are replayed in order of time, and a
//! label counts once it is known and not before. A payment that nobody has reported counts as
//! genuine once the delay of labels is over, as it does in the pipeline.

mod keys;
mod labels;
mod replay;

pub use replay::{FeatureTable, Replay};
