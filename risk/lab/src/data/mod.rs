//! Labelled payments: consumes a CSV file, plain or gzipped, produces columns of payments in order
//! of time, and the rows of a training or a test span.
//!
//! Guarantees that each row that it returns was checked: a time, an amount that is finite and not
//! negative, a label of 0 or 1. What is wrong with a file is told with its line and column.

mod cell;
mod columns;
mod day;
mod doubts;
mod error;
mod leaks;
mod line;
mod names;
mod payments;
mod read;
mod report;
mod row;
mod separation;
mod split;
mod unread;

pub use columns::{Columns, ColumnsError, Role};
pub use day::{Day, DayError, DaySpan, LabelDelay};
pub use doubts::doubts_of_payments;
pub use error::{DataError, RowError, RowErrors};
pub use leaks::{Leak, LeakPlace, LeakSign, leaks_in_features, leaks_in_payments};
pub use names::Names;
pub use payments::{Context, Payment, Payments, PaymentsBuilder};
pub use read::{ReadReport, ReadSettings, TimeOrder, read};
pub use report::Report;
pub use split::{BOOK_TRAINING_DAYS, TestSplit, training_rows};
