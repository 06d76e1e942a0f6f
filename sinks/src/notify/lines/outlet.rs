//! Where messages go: consumes lines, and guarantees for the file that the lines of one event are
//! all there or none is.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use millrace_ledger::EventSeq;
use serde::Deserialize;

use super::super::{FILE_NAME, Transport};
use crate::{SinkError, line_file::LineFile};

/// An open transport.
pub(super) enum Outlet {
    File(LineFile),
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(lines) => lines.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What a line says of its place.
#[derive(Deserialize)]
struct GroupPlace {
    seq: u64,
    n: u32,
    of: u32,
}

impl Outlet {
    pub(super) fn open(dir: &Path, transport: Transport) -> Result<Self, SinkError> {
        Ok(match transport {
            Transport::File => Self::File(LineFile::open(&dir.join(FILE_NAME))?),
            Transport::Stdout => Self::Stream(Box::new(io::stdout())),
            Transport::Outbox => {
                return Err(SinkError::Setting {
                    setting: "notify.transport".into(),
                    problem: "outbox writes no lines; give file or stdout".into(),
                });
            }
        })
    }

    /// Bytes that are durable; a stream keeps nothing.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File(lines) => lines.len(),
            Self::Stream(_) => 0,
        }
    }

    /// Cuts an incomplete last group; the event after the last complete one. `None` when the
    /// outlet can't tell.
    pub(super) fn resume(&mut self) -> Result<Option<EventSeq>, SinkError> {
        let Self::File(lines) = self else { return Ok(None) };
        let Some(last) = lines.line_before(lines.len())? else { return Ok(None) };
        let place = group_place(lines, last.offset, &last.text)?;
        if place.n == place.of {
            return Ok(Some(EventSeq(place.seq).next()));
        }
        let mut start = last.offset;
        for _ in 1..place.n {
            start = lines.line_before(start)?.map_or(0, |line| line.offset);
        }
        tracing::warn!(
            file = %lines.path().display(), offset = start, seq = place.seq,
            lines = place.n, of = place.of, "cut an incomplete group of messages",
        );
        lines.cut(start)?;
        Ok(Some(EventSeq(place.seq)))
    }

    pub(super) fn begin(&mut self) -> Result<(), SinkError> {
        match self {
            Self::File(lines) => lines.begin(),
            Self::Stream(_) => Ok(()),
        }
    }

    pub(super) fn append(&mut self, text: &[u8]) -> Result<(), SinkError> {
        match self {
            Self::File(lines) => lines.append(text),
            Self::Stream(stream) => stream.write_all(text).map_err(stdout_error("write to")),
        }
    }

    pub(super) fn commit(&mut self) -> Result<(), SinkError> {
        match self {
            Self::File(lines) => lines.commit(),
            Self::Stream(stream) => stream.flush().map_err(stdout_error("flush")),
        }
    }
}

fn group_place(lines: &LineFile, offset: u64, text: &[u8]) -> Result<GroupPlace, SinkError> {
    serde_json::from_slice(text).map_err(|error| SinkError::Damaged {
        path: lines.path().to_owned(),
        place: format!("its last line (byte {offset})"),
        problem: error.to_string(),
        remedy: "Move the file away and start again: messages go on after the cursor",
    })
}

fn stdout_error(action: &'static str) -> impl FnOnce(io::Error) -> SinkError {
    SinkError::io(action, PathBuf::from("standard output"))
}
