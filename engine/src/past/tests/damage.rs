//! A file that is not as it was written is refused by name, or the damage has no influence on the
//! answer: never a wrong answer.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use millrace_ledger::History as _;

use super::*;
use crate::JournalError;

const ROWS: u64 = 40;

struct Sealed {
    directory: TempDir,
    names: Vec<String>,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A run of six parts of several pages.
fn sealed() -> Sealed {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    let payments: Vec<_> = (0..ROWS).map(|number| payment(scrambled(number), number)).collect();
    seal(&runs, 1, &payments);
    let names = names(&runs);
    let path = directory.path().join(&names[0]);
    let bytes = fs::read(&path).expect("readable");
    Sealed { directory, names, path, bytes }
}

impl Sealed {
    fn open(&self) -> Result<Runs, JournalError> {
        Runs::open_with(
            self.directory.path(),
            JOURNAL,
            &self.names,
            u64::MAX,
            Room::reserving(0),
            TINY,
        )
    }

    /// Whoever looks for payments gets the right answer or the file's name.
    fn check_answers(&self, runs: &Runs) {
        for number in 0..2 * ROWS {
            let expected = (number < ROWS).then(|| payment(scrambled(number), number));
            match runs.find(PaymentId(scrambled(number))) {
                Ok(found) => assert_eq!(found, expected),
                Err(error) => self.check_error(&error.to_string()),
            }
        }
    }

    fn check_error(&self, error: &str) {
        let name = self.path.display().to_string();
        assert!(error.contains(&name) && error.contains("offset"), "{error}");
    }

    /// What opening says of these bytes.
    fn refusal(&self, bytes: &[u8]) -> JournalError {
        fs::write(&self.path, bytes).expect("written");
        let error = self.open().expect_err("refused");
        fs::write(&self.path, &self.bytes).expect("written");
        error
    }
}

/// All that is not zero, the bytes beside it, and some of the zeros.
fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let near = |at: usize| bytes[at.saturating_sub(2)..].iter().take(5).any(|byte| *byte != 0);
    (0..bytes.len()).filter(move |at| at % 3 == 0 && (near(*at) || at % 97 == 0))
}

#[test]
fn every_changed_byte_is_noticed_and_none_gives_a_wrong_answer() {
    let sealed = sealed();
    let file = File::options().write(true).open(&sealed.path).expect("opens");
    let put = |at: usize, byte: u8| file.write_all_at(&[byte], at as u64).expect("written");
    let mut refused = 0;
    for at in places(&sealed.bytes) {
        put(at, sealed.bytes[at] ^ 1 << (at % 8));
        match sealed.open() {
            Err(JournalError::NewerVersion { .. }) => panic!("a changed byte is no newer version"),
            Err(error) => {
                sealed.check_error(&error.to_string());
                refused += 1;
            }
            Ok(runs) => {
                sealed.check_answers(&runs);
                let error = runs.list()[0].verify().expect_err("every byte is covered");
                sealed.check_error(&error.to_string());
            }
        }
        put(at, sealed.bytes[at]);
    }
    assert!(refused > 100, "header, tables and footer: {refused}");
    sealed.check_answers(&sealed.open().expect("as it was"));
}

#[test]
fn damage_behind_the_back_of_an_open_run_is_noticed() {
    let sealed = sealed();
    let file = File::options().write(true).open(&sealed.path).expect("opens");
    for at in places(&sealed.bytes).step_by(11) {
        let runs = sealed.open().expect("whole");
        file.write_all_at(&[!sealed.bytes[at]], at as u64).expect("written");
        sealed.check_answers(&runs);
        file.write_all_at(&[sealed.bytes[at]], at as u64).expect("written");
    }
}

#[test]
fn a_file_that_was_cut_off_or_goes_on_is_refused() {
    let sealed = sealed();
    let len = sealed.bytes.len();
    let lens = (0..len).step_by(997).chain(len - 200..len).chain([0, 1, 4095, 4096, 4232]);
    for len in lens {
        sealed.check_error(&sealed.refusal(&sealed.bytes[..len]).to_string());
    }
    for more in [1, 136, 4096] {
        let mut bytes = sealed.bytes.clone();
        bytes.resize(len + more, 0);
        sealed.check_error(&sealed.refusal(&bytes).to_string());
        bytes.truncate(len);
        bytes.extend_from_within(len - more..);
        sealed.check_error(&sealed.refusal(&bytes).to_string());
    }
}

#[test]
fn a_run_of_another_journal_is_refused() {
    let sealed = sealed();
    let other = Runs::open(sealed.directory.path(), [7; 16], &sealed.names, 0, Room::reserving(0));
    match other {
        Err(JournalError::WrongRun { path, offset: 16, .. }) => assert_eq!(path, sealed.path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_later_version_is_told_from_damage() {
    let sealed = sealed();
    let mut bytes = sealed.bytes.clone();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..32]);
    bytes[32..36].copy_from_slice(&checksum.to_le_bytes());
    match sealed.refusal(&bytes) {
        JournalError::NewerVersion { path, found: 2, supported: 1 } => {
            assert_eq!(path, sealed.path);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn runs_in_the_wrong_order_are_refused() {
    let directory = directory();
    let runs = open(&directory, &[], 0);
    seal(&runs, 1, &[payment(1, 1)]);
    seal(&runs, 2, &[payment(1, 2)]);
    let mut names = names(&runs);
    names.reverse();
    let reversed = Runs::open(directory.path(), JOURNAL, &names, 0, Room::reserving(0));
    assert!(matches!(reversed, Err(JournalError::WrongRun { .. })), "{reversed:?}");
}

#[test]
fn a_missing_run_is_named() {
    let sealed = sealed();
    fs::remove_file(&sealed.path).expect("removed");
    let error = sealed.open().expect_err("refused").to_string();
    assert!(error.contains(&sealed.names[0]), "{error}");
}
