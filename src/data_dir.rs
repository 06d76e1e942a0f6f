//! Whose directory is whose: consumes paths, produces a refusal where a journal or a backup stands in
//! the place of a data directory (a server that started there would begin a new, empty ledger), and tells
//! whose files something would be written among.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// What stands in the place of a data directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotADataDir {
    #[error(
        "{} holds a backup, which is no data directory. Restore it with `millrace restore --from {} \
         --to DIR`, and go on with --data-dir DIR",
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

/// Checks a directory that a server is to write in, or whose journal is to be read. One that is not there
/// is none of those.
pub(crate) fn check(data_dir: &Path) -> Result<(), NotADataDir> {
    if data_dir.join("backup.manifest").exists() {
        return Err(NotADataDir::Backup(data_dir.to_owned()));
    }
    match holds_segments(data_dir) {
        true => Err(NotADataDir::Journal(data_dir.to_owned())),
        false => Ok(()),
    }
}

fn holds_segments(directory: &Path) -> bool {
    // One that can't be listed is told of when it is written.
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let is_segment = |name: &str| name.ends_with(".segment") || name.ends_with(".segment.zst");
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_str().is_some_and(is_segment))
}

/// The data directory, journal or backup that a path lies in, in words. The path need not be there yet.
/// What is written into one by others may take the place of its files, or keep it from being used.
pub(crate) fn around(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    // A file that replaces a link is where the link is.
    let place = match absolute.is_dir() {
        true => resolved(&absolute)?,
        false => match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => resolved(parent)?.join(name),
            _ => resolved(&absolute)?,
        },
    };
    place.ancestors().skip(1).find_map(|above| {
        let what = match check(above) {
            Err(NotADataDir::Backup(_)) => "the backup",
            Err(NotADataDir::Journal(_)) => "the journal",
            Ok(()) if holds_segments(&above.join("journal")) => "the data directory",
            Ok(()) => return None,
        };
        Some(format!("{what} {}", above.display()))
    })
}

/// Whether a path, which need not be there yet, is below a directory or the same.
pub(crate) fn is_within(path: &Path, above: &Path) -> bool {
    let Ok(above) = above.canonicalize() else { return false };
    resolved(path).is_some_and(|path| path.starts_with(above))
}

/// A path without links and `..`, as far as it is there.
fn resolved(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let (there, rest) = absolute
        .ancestors()
        .find_map(|there| Some((there.canonicalize().ok()?, absolute.strip_prefix(there).ok()?)))?;
    if !rest.components().any(|part| part == Component::ParentDir) {
        return Some(there.join(rest));
    }
    // What is not there is no link, so the way back from it is known.
    let mut back = there;
    for part in rest.components() {
        match part {
            Component::ParentDir => drop(back.pop()),
            part => back.push(part),
        }
    }
    resolved(&back)
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
            ("new/../data/backup", true),
            ("data/new/../../backup", false),
            ("", false),
        ] {
            assert_eq!(is_within(&at(name), &at("data")), expected, "{name}");
        }
    }

    #[test]
    fn whose_files_a_path_would_be_among_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        for file in ["data/journal/00000000000000000001.segment", "backup/backup.manifest"] {
            fs::create_dir_all(at(file).parent().expect("has one")).expect("is made");
            fs::write(at(file), "").expect("is written");
        }
        fs::create_dir(at("empty")).expect("is made");
        std::os::unix::fs::symlink(at("data/journal"), at("link")).expect("is made");
        std::os::unix::fs::symlink(at("data/events.csv"), at("link.csv")).expect("is made");
        for (name, expected) in [
            ("data/events.csv", Some(("the data directory", "data"))),
            ("data/new/deep/er", Some(("the data directory", "data"))),
            ("data/journal", Some(("the data directory", "data"))),
            ("data/journal/00000000000000000001.segment", Some(("the journal", "data/journal"))),
            ("link", Some(("the data directory", "data"))),
            ("link/new.segment", Some(("the journal", "data/journal"))),
            ("empty/../data/events.csv", Some(("the data directory", "data"))),
            ("backup/restored", Some(("the backup", "backup"))),
            ("data", None),
            ("backup", None),
            ("new/data", None),
            ("empty/events.csv", None),
            ("link.csv", None),
        ] {
            let above = directory.path().canonicalize().expect("is there");
            let expected =
                expected.map(|(what, name)| format!("{what} {}", above.join(name).display()));
            assert_eq!(around(&at(name)), expected, "{name}");
        }
    }
}
