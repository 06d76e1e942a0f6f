//! Python, for the programs that the documentation shows to others.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::server::{Missing, ServiceError, tools_dir};

/// A Python 3 with its own library: the one that `scripts/get-services.sh` installs, else that of the
/// machine.
///
/// # Errors
/// When there is none.
pub fn python() -> Result<PathBuf, ServiceError> {
    let found =
        installed_python().or_else(|| Some(PathBuf::from("python3")).filter(|python| runs(python)));
    Ok(found.ok_or(Missing { what: "Python 3", variable: "MILLRACE_TOOLS" })?)
}

/// The one that `scripts/get-services.sh` installs, where it did.
pub(crate) fn installed_python() -> Option<PathBuf> {
    Some(tools_dir().join("python/bin/python")).filter(|python| python.is_file())
}

fn runs(program: &Path) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
