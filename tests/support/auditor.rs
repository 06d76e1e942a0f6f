//! The auditor's own program of the documentation, which needs Python and nothing of Millrace.

use std::{path::Path, process::Command};

use super::{repository, text};

/// What it says of a proof for somebody who trusts this key: that it holds, or why not. `None` where there
/// is no Python.
pub(crate) fn check(proof: &Path, key: &str) -> Option<Result<String, String>> {
    let program = repository("docs/audit_check.py");
    match Command::new("python3").arg(&program).args([text(proof), key]).output() {
        Err(error) => {
            eprintln!("SKIPPED the auditor's program: python3: {error}");
            None
        }
        Ok(output) => {
            let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some(match output.status.success() {
                true => Ok(said(&output.stdout)),
                false => Err(said(&output.stderr)),
            })
        }
    }
}
