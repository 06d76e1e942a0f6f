//! Rules: consumes an analyst's rule file and lists, produces for each payment's row of features
//! the rule that decides, if one does.
//!
//! Guarantees that what a set of rules says is a function of the row, the texts, the payment's time
//! and the lists alone; that a condition ends after a number of operations that is known before it
//! runs; and that a file with mistakes never becomes a set: all of them are told, each with its
//! place and what to do.
//!
//! A rule's way: `file` reads the TOML, `lexer` and `parse` read an expression, `check`
//! gives it types, `typed` folds and orders it, `emit` makes it a `program`. A [`RuleSet`]
//! runs the programs of all rules in order of precedence; a [`DryRun`] tells beforehand what they
//! would do. The language is described in `docs/risk/rules.md`.

mod advice;
mod ast;
mod calculate;
mod check;
mod compile;
mod doubts;
mod dry_run;
mod dry_run_table;
mod emit;
mod error;
mod file;
mod lexer;
mod list;
mod list_csv;
#[cfg(test)]
mod naive;
mod needs;
mod parse;
mod program;
#[cfg(test)]
mod property;
mod ranges;
mod reason;
#[cfg(test)]
mod robust;
mod set;
mod source;
mod suggest;
mod typed;
pub(crate) mod unit;
mod vocabulary;

pub use dry_run::{
    DecisionReport, DryRun, DryRunExample, DryRunPayment, DryRunReport, Overlap, RuleReport,
};
pub use error::RuleError;
pub use list::{List, ListEntry, ListKind, ListLimits, ListSpec, Lists};
pub use list_csv::ListError;
pub use set::{Rule, RuleAction, RuleCounts, RuleHit, RuleInput, RuleLimits, RuleSet};
pub use vocabulary::Vocabulary;
