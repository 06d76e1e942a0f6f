//! Generator of labelled payments: consumes settings, produces payments in order of time, with the
//! truth about each.
//!
//! Guarantees that the same settings give the same payments on every machine, exactly as many as
//! asked for, with memory for the customers, the merchants and what is under way. For demos, load and
//! tests; how good a model is in practice it can't say, because its frauds are invented.
//!
//! Reading order: [`Settings`], the season (when), the world (who pays whom), the episodes (fraud
//! patterns and look-alikes), the stream that puts them in order.

mod arithmetic;
mod catalogue;
mod csv_file;
mod episode;
mod lookalikes;
mod patterns;
mod payment;
mod rng;
mod season;
mod settings;
mod settings_check;
mod stream;
mod summary;
mod world;

pub use csv_file::{COLUMNS, CsvFile, is_gzip};
pub use payment::{Account, Channel, Country, Device, FraudPattern, GeneratedPayment, Lookalike};
pub use settings::{
    LookalikeSettings, Lookalikes, PatternSettings, Patterns, Settings, SettingsError,
};
pub use stream::Generator;
pub use summary::{Counts, Summary};
