//! Risk: consumes payments in sequence order, produces a verdict for each: approve, review or
//! decline.
//!
//! Guarantees that verdicts and profiles are a function of the payments observed and of the policy
//! alone, so that a replay of the journal rebuilds the profiles. Pure: no I/O, no clock.

pub mod acts;
mod config;
pub mod evidence;
pub mod features;
mod limits;
pub mod model;
mod policy;
mod profile;
pub mod reasons;
pub mod rules;
pub mod shelf;

pub use config::{Action, LimitConfig, Measure, RiskConfig, RiskConfigError};
pub use policy::Policy;
