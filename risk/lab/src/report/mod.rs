//! Reports: consumes evaluations, comparisons, drift and tunings, produces one HTML file that needs
//! nothing else, and tables for a terminal.
//!
//! Guarantees that all text from outside is escaped, that nothing is loaded from a network, and
//! that the same figures give the same bytes.

mod axis;
mod charts;
mod number;
mod page;
mod parts;
mod plot;
mod table;

pub use number::{fixed, percent};
pub use page::{Card, Report};
pub use parts::{Example, drift_table};
pub use table::{Align, Table};
