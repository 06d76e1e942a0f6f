//! The analyst's bench: consumes labelled payments, produces trained models, metrics and reports.
//!
//! Nothing here is on the payment path. What is trained here is served by `millrace-risk`.
//! Everything is a function of its inputs: the same file, settings and seed give the same figures.

pub mod data;
pub mod dataset;
pub mod generate;
pub mod importance;
pub mod metrics;
pub mod model_file;
mod random;
pub mod report;
pub mod train;
pub mod tune;
