//! Backups of the shelf: what the journal names comes back byte by byte, or the reason is told.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{fs, path::Path};

use millrace_engine::backup::{BackupOptions, backup};
use support::backups::{TAKEN, back_up, bring_back, journal, shelf_of};

fn put(shelf: &Path, bytes: &[u8]) -> String {
    fs::create_dir_all(shelf).unwrap();
    let name = blake3::hash(bytes).to_hex().to_string();
    fs::write(shelf.join(&name), bytes).unwrap();
    name
}

/// Names and bytes of what is there, in order.
fn on(shelf: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(shelf) else { return Vec::new() };
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let mut found: Vec<_> = entries.map(|entry| read(entry.unwrap())).collect();
    found.sort();
    found
}

#[test]
fn a_shelf_comes_back_as_it_was() {
    let (data, scratch) = (journal(), tempfile::tempdir().unwrap());
    let shelf = scratch.path().join("source");
    let (model, policy) = (put(&shelf, b"a model"), put(&shelf, b"a policy"));
    fs::write(shelf.join(format!("{model}.unfinished")), "half").unwrap();
    let (target, restored) = (scratch.path().join("backup"), scratch.path().join("journal"));
    let options = BackupOptions { taken: TAKEN, shelf: &shelf, recheck: false, progress: &|_| {} };
    let first = backup(data.path(), &target, &options).expect("backs up");
    assert_eq!((first.artefacts, first.artefacts_passed_over.len()), (2, 0), "{first:?}");
    // Again: nothing is copied. What is gone from the shelf stays in the backup.
    fs::remove_file(shelf.join(&policy)).unwrap();
    let third = put(&shelf, b"rules");
    let again = backup(data.path(), &target, &options).expect("backs up");
    assert_eq!((again.artefacts, again.bytes_copied), (3, 5), "{again:?}");
    assert_eq!(again.bytes_present, first.bytes_copied, "{again:?}");
    let back = bring_back(&target, &restored, None).expect("restores");
    assert_eq!((back.artefacts, back.bytes), (3, first.bytes_copied + 5), "{back:?}");
    let mut expected = vec![
        (model, b"a model".to_vec()),
        (policy, b"a policy".to_vec()),
        (third, b"rules".to_vec()),
    ];
    expected.sort();
    assert_eq!(on(&shelf_of(&restored)), expected);
}

#[test]
fn what_was_altered_is_told_and_not_copied() {
    let (data, scratch) = (journal(), tempfile::tempdir().unwrap());
    let shelf = scratch.path().join("source");
    let (good, bad) = (put(&shelf, b"good"), put(&shelf, b"bad"));
    fs::write(shelf.join(&bad), "altered").unwrap();
    let target = scratch.path().join("backup");
    let mut options =
        BackupOptions { taken: TAKEN, shelf: &shelf, recheck: false, progress: &|_| {} };
    let report = backup(data.path(), &target, &options).expect("backs up");
    assert_eq!(report.artefacts, 1);
    let [told] = &report.artefacts_passed_over[..] else { panic!("{report:?}") };
    assert!(told.contains(&bad) && told.contains("was altered"), "{told}");

    // In the backup, it is noticed by a restore, which leaves nothing, and mended by a recheck.
    fs::write(target.join("shelf").join(&good), "gone").unwrap();
    let restored = scratch.path().join("journal");
    let error = bring_back(&target, &restored, None).expect_err("is damaged").to_string();
    assert!(error.contains("the backup is damaged") && error.contains(&good), "{error}");
    assert!(!restored.exists() && on(&shelf_of(&restored)).is_empty());
    options.recheck = true;
    backup(data.path(), &target, &options).expect("backs up");
    bring_back(&target, &restored, None).expect("restores");
    assert_eq!(on(&shelf_of(&restored)), [(good, b"good".to_vec())]);
    fs::write(target.join("shelf").join("notes.txt"), "mine").unwrap();
    let error = bring_back(&target, &scratch.path().join("b"), None).expect_err("a stray");
    assert!(error.to_string().contains("notes.txt does not belong to the backup"), "{error}");
}

/// A backup of a release that knew of no shelf has format 1 and none.
#[test]
fn a_backup_without_a_shelf_is_of_the_earlier_format() {
    let (data, scratch) = (journal(), tempfile::tempdir().unwrap());
    let (target, restored) = (scratch.path().join("backup"), scratch.path().join("journal"));
    back_up(data.path(), &target).expect("backs up");
    let manifest = fs::read_to_string(target.join("backup.manifest")).unwrap();
    assert!(manifest.starts_with("millrace backup, format 1\n"), "{manifest}");
    assert!(!target.join("shelf").exists());
    let back = bring_back(&target, &restored, None).expect("restores");
    assert_eq!(back.artefacts, 0);
    assert!(!shelf_of(&restored).exists());
}
