//! One process per data directory: an advisory lock that dies with its holder. Deleting the file that it
//! is seen by does not end it.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use rustix::io::Errno;

use crate::JournalError;

/// Holds the directory until dropped, or until the process dies however it does.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    /// `LOCK`, which locks on every file system that has locks.
    file: File,
    /// The directory itself, which can't be made anew under its holder as `LOCK` can: whoever deletes
    /// that one lets nobody in. `None` where the file system does not lock directories.
    directory: Option<File>,
}

impl Drop for DirectoryLock {
    /// A child process has the open files of its parent until it runs its own program, so the lock is
    /// not left to whoever closes the file last.
    fn drop(&mut self) {
        // What fails here fails no holder: closing the file gives up the lock as well.
        let _ = self.directory.as_ref().map(File::unlock);
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
            .map_err(JournalError::io("can't create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory)),
            Err(TryLockError::Error(source)) => {
                return Err(JournalError::io("can't lock", &path)(source));
            }
        }
        // Lets go of the file again if the directory is refused.
        let mut lock = Self { file, directory: None };
        let itself = File::open(directory).map_err(JournalError::io("can't open", directory))?;
        match itself.try_lock() {
            Ok(()) => lock.directory = Some(itself),
            Err(TryLockError::WouldBlock) => return Err(in_use(directory)),
            Err(TryLockError::Error(source)) if locks_no_directories(&source) => {}
            Err(TryLockError::Error(source)) => {
                return Err(JournalError::io("can't lock", directory)(source));
            }
        }
        Ok(lock)
    }
}

fn in_use(directory: &Path) -> JournalError {
    JournalError::InUse { path: directory.to_owned() }
}

/// Whether the file system refuses to lock any directory. A network file system that locks by ranges of
/// bytes says `EBADF`: such a lock wants a file that is open for writing, which no directory is.
fn locks_no_directories(error: &io::Error) -> bool {
    let refusals = [Errno::BADF, Errno::INVAL, Errno::ISDIR, Errno::NOSYS, Errno::OPNOTSUPP];
    error.kind() == io::ErrorKind::Unsupported
        || refusals.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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
        let of_directory = first.directory.as_ref().expect("directories are locked here");
        let inherited = [&first.file, of_directory].map(|file| file.try_clone().expect("opens"));
        drop(first);
        assert!(!is_in_use(directory.path()).expect("looks"));
        DirectoryLock::take(directory.path()).expect("free again");
        drop(inherited);
    }

    /// Somebody took `LOCK` for what a killed process had left behind. A second engine started, wrote
    /// into the same segments, and payments that the first one had acknowledged were gone.
    #[test]
    fn whoever_deletes_the_lock_file_lets_nobody_in() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        let first = DirectoryLock::take(path).expect("free");
        // The second time, the file that is deleted was made by one who was refused.
        for time in 1..=2 {
            std::fs::remove_file(path.join("LOCK")).expect("is there");
            let second = DirectoryLock::take(path);
            assert!(matches!(second, Err(JournalError::InUse { .. })), "time {time}: {second:?}");
            assert!(is_in_use(path).expect("looks"));
        }
        // Who reads or syncs the directory asks for no lock, and is not held up.
        crate::directory::sync_directory(path).expect("syncs");
        drop(first);
        assert!(!is_in_use(path).expect("looks"));
        DirectoryLock::take(path).expect("free again");
    }

    #[test]
    fn only_a_file_system_without_such_locks_goes_without() {
        let table = [
            (Errno::BADF, true),
            (Errno::INVAL, true),
            (Errno::ISDIR, true),
            (Errno::NOSYS, true),
            (Errno::OPNOTSUPP, true),
            (Errno::IO, false),
            (Errno::NOLCK, false),
            (Errno::STALE, false),
            (Errno::ACCESS, false),
        ];
        for (errno, expected) in table {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(locks_no_directories(&error), expected, "{error}");
        }
        assert!(locks_no_directories(&io::ErrorKind::Unsupported.into()));
    }
}
