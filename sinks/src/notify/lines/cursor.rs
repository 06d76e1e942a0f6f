//! The small durable cursor: consumes the place after an apply, produces it again on start.
//! Guarantees to hold an old or a new place, never a mixture.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use millrace_ledger::EventSeq;
use serde::{Deserialize, Serialize};

use crate::{SinkError, line_file};

/// A place in the feed, and how long the files were at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) next_seq: u64,
    pub(super) notifications_bytes: u64,
    pub(super) accounts_bytes: u64,
}

impl Place {
    pub(super) const START: Self =
        Self { next_seq: EventSeq::FIRST.0, notifications_bytes: 0, accounts_bytes: 0 };
}

/// The file that holds the place.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    pub(super) place: Place,
}

impl Cursor {
    pub(super) fn open(dir: &Path) -> Result<Self, SinkError> {
        let path = dir.join("cursor");
        let place = match fs::read(&path) {
            Ok(content) => {
                serde_json::from_slice(&content).map_err(|error| SinkError::Damaged {
                    path: path.clone(),
                    place: format!("line {}", error.line()),
                    problem: error.to_string(),
                    remedy: "Remove it and start again: with the file transport nothing is lost \
                             or repeated; with stdout, all messages come again",
                })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Place::START,
            Err(error) => return Err(SinkError::io("read", &path)(error)),
        };
        Ok(Self { path, place })
    }

    pub(super) fn save(&mut self, place: Place) -> Result<(), SinkError> {
        let mut content = serde_json::to_vec(&place).expect("three numbers are valid JSON");
        content.push(b'\n');
        line_file::replace(&self.path, &content)?;
        self.place = place;
        Ok(())
    }
}
