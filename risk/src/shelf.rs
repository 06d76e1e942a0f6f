//! The shelf: where policies and what they name (models, rules, lists) are kept, by what they are.
//!
//! Guarantees that a name stands for the same bytes for ever: it is their BLAKE3.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Largest thing on a shelf, in bytes.
pub const ARTEFACT_LEN_MAX: usize = 256 << 20;

/// A directory of artefacts, each in a file that is named by its BLAKE3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    directory: PathBuf,
}

/// Why an artefact can't be kept or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The operating system refused something.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not there.
    #[error(
        "{name} is not on the shelf {}. Upload it again, or copy that file back from a backup",
        directory.display()
    )]
    Missing {
        /// Its BLAKE3.
        name: String,
        /// The shelf.
        directory: PathBuf,
    },
    /// Its bytes are not what its name says.
    #[error("{} was altered: its bytes are not those of its name. Delete it, and upload it again", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
    /// The name is none.
    #[error("{name:?} is not the name of an artefact: 64 hexadecimal digits")]
    NoName {
        /// What was given.
        name: String,
    },
}

/// The name of bytes on any shelf: their BLAKE3.
#[must_use]
pub fn name_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

impl Shelf {
    /// The shelf in a directory, which is made when something is first put there.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Keeps bytes, durably, and returns their name.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn put(&self, bytes: &[u8]) -> Result<String, ShelfError> {
        let name = name_of(bytes);
        let path = self.directory.join(&name);
        if path.exists() {
            return Ok(name);
        }
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| ShelfError::Io { what, path, source }
        };
        fs::create_dir_all(&self.directory).map_err(io("can't create", &self.directory))?;
        let unfinished = self.directory.join(format!("{name}.unfinished"));
        let mut file = fs::File::create(&unfinished).map_err(io("can't create", &unfinished))?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(io("can't write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(io("can't name", &path))?;
        let directory = fs::File::open(&self.directory);
        directory.and_then(|it| it.sync_all()).map_err(io("can't sync", &self.directory))?;
        Ok(name)
    }

    /// Fetches the bytes of a name.
    ///
    /// # Errors
    /// When they are not there, or not what was put there.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, ShelfError> {
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ShelfError::NoName { name: name.to_owned() });
        }
        let name = name.to_ascii_lowercase();
        let path = self.directory.join(&name);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                ShelfError::Missing { name: name.clone(), directory: self.directory.clone() }
            }
            _ => ShelfError::Io { what: "can't read", path: path.clone(), source },
        })?;
        match blake3::hash(&bytes).to_hex().as_str() == name {
            true => Ok(bytes),
            false => Err(ShelfError::Altered { path }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_comes_back_or_says_why_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let shelf = Shelf::new(&directory.path().join("shelf"));
        let name = shelf.put(b"a model").expect("is written");
        assert_eq!(shelf.put(b"a model").expect("is there"), name);
        assert_eq!(shelf.get(&name).expect("is there"), b"a model");
        assert_eq!(shelf.get(&name.to_uppercase()).expect("is there"), b"a model");
        let error = |name: &str| shelf.get(name).expect_err("no such thing").to_string();
        assert!(error(&"0".repeat(64)).contains("is not on the shelf"));
        assert!(error("../../passwd").contains("not the name of an artefact"));
        fs::write(directory.path().join("shelf").join(&name), b"a modal").expect("is written");
        assert!(error(&name).contains("was altered"));
    }
}
