//! Policies by what people call them: consumes a number, a name or the first digits of a BLAKE3, and a
//! data directory, produces the policy's name on the shelf.

use std::{collections::BTreeSet, fs, path::Path};

use millrace_engine::scan::{JournalScan, Start};
use millrace_ledger::Event;
use millrace_risk::{
    acts::{Act, ActKind},
    policy::PolicyDocument,
};

use crate::{Failure, commands::journal::segments_in};

/// So many digits of a BLAKE3 tell policies apart.
const DIGITS_MIN: usize = 6;
/// No policy is longer.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// Whether it is a whole BLAKE3.
pub(super) fn is_whole(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name on the shelf of a data directory.
pub(super) fn find(called: &str, data_dir: &Path) -> Result<String, Failure> {
    if is_whole(called) {
        return Ok(called.to_ascii_lowercase());
    }
    let is_number = called.len() < DIGITS_MIN && called.bytes().all(|it| it.is_ascii_digit());
    let found = match called.parse::<usize>() {
        Ok(number) if is_number => return by_number(number, data_dir),
        _ => on_shelf(called, &data_dir.join("shelf"))?,
    };
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!(
            "no policy {called} is there: it is neither a file, nor the number, the name or the first \
             {DIGITS_MIN} digits or more of a policy on the shelf of {}; `millrace risk policy \
             history` lists those that were set",
            data_dir.display()
        )
        .into()),
        (Some(one), Some(other)) => Err(format!(
            "{called} may be several policies, such as {one} and {other}: write the digits of one"
        )
        .into()),
    }
}

/// Policies on a shelf that begin with these digits or have this name.
fn on_shelf(called: &str, shelf: &Path) -> Result<BTreeSet<String>, Failure> {
    let unreadable =
        |error| format!("the shelf {} can't be read: {error}; check --shelf", shelf.display());
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(shelf).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name =
            path.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
        let is_short = path.metadata().is_ok_and(|it| it.len() <= DOCUMENT_BYTES_MAX);
        if !is_whole(&name) || !is_short {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let Ok(document) = PolicyDocument::parse(&text) else { continue };
        let begins = called.len() >= DIGITS_MIN && name.starts_with(&called.to_ascii_lowercase());
        if begins || document.name == called {
            found.insert(name);
        }
    }
    Ok(found)
}

/// The policy that was set as this one in the journal: numbers count from 1.
fn by_number(number: usize, data_dir: &Path) -> Result<String, Failure> {
    let (journal, _) = segments_in(data_dir)?;
    let mut set = Vec::new();
    for frame in JournalScan::open_at(&journal, Start::Oldest)? {
        for event in frame?.events()? {
            let Event::Act(_) = &event.event else { continue };
            if let Ok(Act { act: ActKind::SetPolicy { policy, .. }, .. }) =
                Act::read(&event.context)
            {
                set.push(policy);
            }
        }
    }
    let found = number.checked_sub(1).and_then(|place| set.get(place)).cloned();
    found.ok_or_else(|| {
        let (all, journal) = (set.len(), journal.display());
        format!("no policy {number} was set: {journal} has {all} of them").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_name_and_by_digits() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let shelf = millrace_risk::shelf::Shelf::new(&folder.path().join("shelf"));
        let put = |text: &str| shelf.put(text.as_bytes()).expect("it is kept");
        let (march, april) = (put("name = \"march\"\n"), put("name = \"april\"\n"));
        let again = put("name = \"april\"\n[review]\nhold_s = 5\n");
        put("value\nmarch\n");
        let found = |called: &str| find(called, folder.path()).map_err(|error| error.to_string());
        for called in ["march", &march, &march[..6], &march[..12], &march[..12].to_uppercase()] {
            assert_eq!(found(called).as_ref(), Ok(&march), "{called}");
        }
        let several = found("april").expect_err("there are two");
        assert!(several.contains(&april) && several.contains(&again), "{several}");
        for called in ["may", &march[..5], "0123456789"] {
            let error = found(called).expect_err(called);
            assert!(error.contains(called) && error.contains("policy history"), "{error}");
        }
    }
}
