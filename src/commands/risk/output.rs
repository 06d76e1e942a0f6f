//! What risk commands leave behind: consumes reports and models, produces files that have their name
//! once they are complete.

use std::{io::Write as _, path::Path};

use millrace_risk_lab::report::Report;

use crate::{
    Failure,
    commands::journal_output::{Target, unwritable},
};

/// Writes a report, where one was asked for.
pub(crate) fn report(path: Option<&Path>, report: impl FnOnce() -> Report) -> Result<(), Failure> {
    warned(path, &[], report)
}

/// The same, with what was warned of above its figures.
pub(crate) fn warned(
    path: Option<&Path>,
    warnings: &[String],
    report: impl FnOnce() -> Report,
) -> Result<(), Failure> {
    let html = || report().warnings(warnings).to_html();
    path.map_or(Ok(()), |path| file(path, "--report", html().as_bytes()))
}

/// Writes a file whole, or not at all. `option` is the one that named it.
pub(crate) fn file(path: &Path, option: &str, bytes: &[u8]) -> Result<(), Failure> {
    let mut target = Target::file(path, option)?;
    let written = target.write_all(bytes).and_then(|()| target.finish());
    written.map_err(|error| unwritable(path, &error, option).into())
}

/// Tells that a file can't be written before the work that would fill it is done.
pub(crate) fn check_writable(path: &Path, option: &str) -> Result<(), Failure> {
    // What was not finished leaves no file behind.
    Target::file(path, option)?;
    Ok(())
}

/// With so many decimals and a comma between thousands.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    millrace_risk_lab::report::fixed(value, decimals)
}

/// A whole number with a comma between thousands.
pub(crate) fn count(value: usize) -> String {
    number(value as f64, 0)
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    millrace_risk_lab::report::percent(share)
}
