//! Threads of the engine: consumes a name and what to run, produces a thread, or an error that says
//! what to do where the system has none left.

use std::{io, thread::JoinHandle};

use crate::JournalError;

/// Starts a thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, JournalError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(none_left(name))
}

/// Why there is no thread.
pub(crate) fn none_left(name: &str) -> impl FnOnce(io::Error) -> JournalError {
    let name = name.to_owned();
    |source| JournalError::NoThread { name, source }
}
