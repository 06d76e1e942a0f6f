//! A file that one holder at a time has: consumes an open file, and guarantees that nobody else who asks
//! has it until this is dropped, or the process dies however it does.
//!
//! A child process has the open files of its parent until it runs its own program. So the lock is given
//! up here, and not left to whoever closes the file last.

use std::{
    fs::{File, TryLockError},
    ops::Deref,
};

#[derive(Debug)]
pub(crate) struct HeldFile(File);

impl HeldFile {
    /// Does not wait for another holder.
    pub(crate) fn try_hold(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Deref for HeldFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        // What fails here fails no holder: closing the file gives up the lock as well.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_free_at_once_whoever_still_has_it_open() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = || File::create(directory.path().join("file")).expect("opens");
        let held = HeldFile::try_hold(open()).expect("is free");
        let inherited = held.try_clone().expect("opens");
        assert!(matches!(HeldFile::try_hold(open()), Err(TryLockError::WouldBlock)));
        drop(held);
        HeldFile::try_hold(open()).expect("is free again");
        drop(inherited);
    }
}
