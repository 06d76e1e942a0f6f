//! What to do about a file that can't be read: consumes what the system says, produces the end of a
//! sentence for whoever named the file.

use std::io::{Error, ErrorKind};

/// What whoever named the file may do about it.
#[must_use]
pub fn remedy(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => {
            "check the path, which begins in the folder that millrace was started in"
        }
        ErrorKind::PermissionDenied => "let the user who runs millrace read it",
        ErrorKind::IsADirectory => "name a file that is in it",
        _ => "see that the file is whole and its disk well, and try again",
    }
}
