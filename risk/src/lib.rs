//! Risk: consumes payments in sequence order, produces a verdict for each: approve, review,
//! challenge or decline.
//!
//! Guarantees that profiles are a function of the payments and acts observed alone, so that a replay
//! of the journal rebuilds them. Verdicts are a function of them and of the policy in force, unless
//! scoring runs out of its time budget; they are journaled, and a replay does not ask again. I/O is
//! in [`shelf`] only, and the clock is looked at for the budget only.
//!
//! Reading order: `limits` and `velocity`, which have no need of the rest; [`features`], [`rules`],
//! [`model`]; and [`policy`], which puts them together.

pub mod acts;
mod config;
pub mod desk;
pub mod evidence;
pub mod features;
mod last_hour;
mod limits;
pub mod model;
pub mod policy;
pub mod reasons;
pub mod rules;
pub mod shelf;
mod velocity;

pub use config::{Action, FeaturesConfig, LimitConfig, Measure, RiskConfig, RiskConfigError};
pub use policy::Policy;
