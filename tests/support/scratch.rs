//! A folder for one test: consumes names of files and what is in them, produces paths. Nothing of
//! it is left afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::text;

/// A folder that is gone once this is dropped.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The path of a file in it, for a command line.
    pub(crate) fn file(&self, name: &str) -> String {
        text(&self.join(name)).to_owned()
    }

    /// Writes a file, and tells its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.join(name), bytes).expect("is written");
        self.file(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(self.read_bytes(name)).expect("is UTF-8")
    }

    pub(crate) fn read_bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.join(name)).expect("is there")
    }
}
