//! The I/O shell around the pure ledger: consumes submissions, produces durable events.
//!
//! Guarantees: nothing is released (no reply, no read, no event) before the batch that it belongs
//! to is durable, in the order in which it was decided; a failed write stops the engine.
//!
//! Reading order: [`submission`] → `sequence` (batch by batch) → `desk` (decide) → `record` and `frame`
//! (encode) → `commit` (write, sync, release) → [`feed`]. Payments that are not in memory are read by
//! `readers`. Between batches `upkeep` has older payments written to runs (`past`), takes `snapshot`s,
//! and has memory made ready (`memory`); [`pipeline`] wires all of it up, and [`recover`] brings back the
//! state after a stop; [`redecide`] decides a journal again, and [`backup`] copies one and brings the
//! copy back.

pub mod archive;
mod archive_file;
pub mod backup;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod clock;
mod commit;
mod crew;
mod deleted_note;
mod desk;
mod directory;
mod durable_note;
#[cfg(test)]
mod durable_tests;
pub mod error;
mod event_bytes;
pub mod feed;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod forged_tests;
mod frame;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_layouts;
pub mod huge_pages;
mod lock;
mod memory;
pub mod open_files;
#[cfg(test)]
mod overdue_tests;
mod pace;
mod page_cache;
mod past;
pub mod pipeline;
mod readers;
#[cfg(test)]
mod readers_tests;
mod record;
pub mod recover;
pub mod redecide;
pub mod retention;
pub mod scan;
mod sealer;
mod segment;
mod segment_frames;
mod segment_reader;
pub mod segment_summary;
mod sequence;
mod snapshot;
mod stats;
pub mod submission;
mod suspect_runs;
mod threads;
pub mod trial_balance;
#[cfg(test)]
mod two_accounts;
mod upkeep;

pub use crew::Crew;
pub use error::JournalError;
pub use event_bytes::NotAnEvent;
pub use feed::{Feed, FeedBatch, FeedEvent, FeedReader};
pub use lock::is_in_use;
pub use pipeline::{Engine, EngineConfig};
pub use recover::RecoveryReport;
pub use retention::Retention;
pub use stats::EngineStats;
pub use submission::{
    AccountReply, Command, PaymentReadError, PaymentReply, SubmitError, Submitter,
};
pub use upkeep::UpkeepStats;
