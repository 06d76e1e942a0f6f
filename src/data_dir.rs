//! Whether a directory can be a data directory: consumes its path, produces a refusal where a journal or
//! a backup stands in its place. A server that started there would begin a new, empty ledger.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What stands in the place of a data directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotADataDir {
    #[error(
        "{} holds a backup, and no server runs on one. Restore it with `millrace restore --from {} \
         --to DIR`, and start with --data-dir DIR",
        .0.display(),
        .0.display()
    )]
    Backup(PathBuf),
    #[error(
        "{} holds the segments of a journal, so it is no data directory. Name the directory above it, \
         which has it as `journal`",
        .0.display()
    )]
    Journal(PathBuf),
}

/// Checks a directory that a server is to write in. One that is not there will be made.
pub(crate) fn check(data_dir: &Path) -> Result<(), NotADataDir> {
    if data_dir.join("backup.manifest").exists() {
        return Err(NotADataDir::Backup(data_dir.to_owned()));
    }
    // One that can't be listed is told of when it is written.
    let Ok(entries) = fs::read_dir(data_dir) else { return Ok(()) };
    let is_segment = |name: &str| name.ends_with(".segment") || name.ends_with(".segment.zst");
    let mut names = entries.flatten().map(|entry| entry.file_name());
    match names.any(|name| name.to_str().is_some_and(is_segment)) {
        true => Err(NotADataDir::Journal(data_dir.to_owned())),
        false => Ok(()),
    }
}

/// Whether a directory, which need not be there yet, is below another one or the same.
pub(crate) fn is_within(directory: &Path, above: &Path) -> bool {
    let Ok(above) = above.canonicalize() else { return false };
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let resolved = absolute.ancestors().find_map(|there| {
        let rest = absolute.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    });
    resolved.is_some_and(|directory| directory.starts_with(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_no_journal_and_no_backup_can_be_a_data_directory() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        assert!(check(&at("missing")).is_ok() && check(directory.path()).is_ok());
        fs::create_dir_all(at("journal")).expect("is made");
        for (file, expected) in [
            ("journal/00000000000000000001.segment", "Name the directory above it"),
            ("archive/00000000000000000001.segment.zst", "Name the directory above it"),
            ("backup/00000000000000000001-f2348071a66001ea.segment", "Name the directory above it"),
            ("backup/backup.manifest", "millrace restore --from"),
        ] {
            let file = at(file);
            let above = file.parent().expect("has one");
            fs::create_dir_all(above).expect("is made");
            fs::write(&file, "").expect("is written");
            let refused = check(above).expect_err("is refused").to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(check(directory.path()).is_ok(), "with a journal below, it is one");
    }

    #[test]
    fn what_is_within_is_told_whatever_it_is_called() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("data/journal")).expect("is made");
        std::os::unix::fs::symlink(at("data"), at("link")).expect("is made");
        for (name, expected) in [
            ("data", true),
            ("data/backup", true),
            ("data/journal/deep/er", true),
            ("link/backup", true),
            ("data-backup", false),
            ("backup/data", false),
            ("", false),
        ] {
            assert_eq!(is_within(&at(name), &at("data")), expected, "{name}");
        }
    }
}
