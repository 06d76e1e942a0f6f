//! The auditor's own program of the documentation, which needs Python and nothing of Millrace.

use std::{path::Path, process::Command};

use millrace_services::{python, required};

use super::{repository, text};

/// What it says of a proof for somebody who trusts this key: that it holds, or why not. `None` where there
/// is no Python.
pub(crate) fn check(proof: &Path, key: &str) -> Option<Result<String, String>> {
    let python = required(python())?;
    let program = repository("docs/audit_check.py");
    let output = Command::new(python).arg(&program).args([text(proof), key]).output();
    let output = output.expect("starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(said(&output.stderr)),
    })
}
