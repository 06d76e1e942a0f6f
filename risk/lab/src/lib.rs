//! The analyst's bench: consumes labelled payments, produces trained models, metrics and reports.
//!
//! Nothing here is on the payment path. What is trained here is served by `millrace-risk`.

pub mod train;
