//! One process per data directory: an advisory lock that dies with its holder.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use crate::JournalError;

/// Holds the directory until dropped, or until the process dies however it does.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl Drop for DirectoryLock {
    /// A child process has the open files of its parent until it runs its own program, so the lock is
    /// not left to whoever closes the file last.
    fn drop(&mut self) {
        // What fails here fails no holder: closing the file gives up the lock as well.
        let _ = self.file.unlock();
    }
}

impl DirectoryLock {
    pub(crate) fn take(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join("LOCK");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(JournalError::io("can't open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                Err(JournalError::InUse { path: directory.to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(JournalError::io("can't lock", &path)(source)),
        }
    }
}

/// Whether a process writes the journal in this directory. It is held for a moment to find out.
///
/// # Errors
/// When its lock can't be looked at.
pub fn is_in_use(directory: &Path) -> Result<bool, JournalError> {
    match DirectoryLock::take(directory) {
        Ok(_) => Ok(false),
        Err(JournalError::InUse { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = DirectoryLock::take(directory.path()).expect("free");
        let second = DirectoryLock::take(directory.path());
        assert!(matches!(second, Err(JournalError::InUse { .. })), "{second:?}");
        assert!(is_in_use(directory.path()).expect("looks"));
        let inherited = first.file.try_clone().expect("opens");
        drop(first);
        assert!(!is_in_use(directory.path()).expect("looks"));
        DirectoryLock::take(directory.path()).expect("free again");
        drop(inherited);
    }
}
