//! Directories, copied whole.

use std::{fs, path::Path};

/// Copies a directory and what is in it.
///
/// # Panics
/// When anything of it can't be read or written.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("is made");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let to = to.join(path.file_name().expect("has one"));
        match path.is_dir() {
            true => copy_dir(&path, &to),
            false => drop(fs::copy(&path, &to).expect("is copied")),
        }
    }
}
