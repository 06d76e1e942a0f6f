//! What an upstream system does: reads a CSV through a mapping, derives ids, opens and funds
//! accounts, submits over gRPC, resumes.
//!
//! A row's way through it: [`CsvFile`] (bytes, gzip or not) → [`Row`] (a payment, or a [`RowError`]
//! that goes to the [`RefusedFile`]) → [`Submission`] (batches on one stream, in the file's order)
//! → [`Summary`]. [`Mapping`] says which column is what; [`AccountPlan`] and [`open_accounts`]
//! prepare the ledger for a demonstration.
//!
//! Guarantees that the same file under the same mapping is the same payments, in every run and on
//! every machine, so that running again is always the way to continue.

mod batches;
mod connection;
mod csv_file;
mod group_gate;
mod ids;
mod line_index;
mod mapping;
mod opening;
mod plan;
mod refused;
mod remedy;
mod retry;
mod row;
mod row_error;
mod source;
mod submission;
mod summary;
mod template;
mod values;

pub use connection::{CallError, Connection, explain};
pub use csv_file::{CsvFile, FileError, ReadError, Rows, header_of};
pub use ids::Namespace;
pub use mapping::{
    AccountRules, FlagName, Funding, Mapping, MappingError, SpecialAccount, SpecialState,
    toml_complaint,
};
pub use opening::{Opened, OpeningFault, open_accounts};
pub use plan::{AccountPlan, PlanError, PlannedAccount};
pub use refused::{RefusedFile, RefusedFileError, RefusedRows};
pub use remedy::remedy;
pub use row::Row;
pub use row_error::{RowError, RowReason};
pub use source::Source;
pub use submission::{Progress, Submission, SubmitError, SubmitOptions};
pub use summary::{RejectedRow, Summary, reason_name};
pub use template::{Template, TemplateError};
