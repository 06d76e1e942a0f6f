//! The audit log's sink: consumes batches of events, appends their lines, and guarantees that the
//! file never holds a line twice or leaves one out. The file is the cursor.

use std::path::Path;

use millrace_engine::feed::FeedBatch;
use millrace_ledger::EventSeq;

use super::{
    AuditConfig, FILE_NAME,
    line::{GENESIS, Hash, LineWriter},
    verify::{LineParts, parse_line},
};
use crate::{
    Sink, SinkError,
    line_file::{LineFile, create_dir},
    sink::is_due,
};

const NAME: &str = "audit";
/// Lines are handed to the file in pieces that stay in the processor's cache.
const WRITE_BYTES: usize = 256 * 1024;
const REMEDY: &str = "Keep the file as evidence: move it away and start again, and the log is \
                      written anew from the journal; then compare the two";

/// Writes the audit log.
#[derive(Debug)]
pub struct AuditSink {
    lines: LineFile,
    writer: LineWriter,
    buffer: Vec<u8>,
    next_seq: EventSeq,
    head: Hash,
}

impl AuditSink {
    /// Opens the log in `dir`, cuts a torn last line, and goes on from there.
    ///
    /// # Errors
    /// When the file can't be used, or when its last line is not one that this sink wrote.
    pub fn open(dir: &Path, _config: &AuditConfig) -> Result<Self, SinkError> {
        create_dir(dir)?;
        let lines = LineFile::open(&dir.join(FILE_NAME))?;
        let (next_seq, head) = resume(&lines)?;
        Ok(Self { lines, writer: LineWriter::new(), buffer: Vec::new(), next_seq, head })
    }
}

/// The event after the last line's, and that line's hash.
fn resume(lines: &LineFile) -> Result<(EventSeq, Hash), SinkError> {
    let Some(last) = lines.line_before(lines.len())? else {
        return Ok((EventSeq::FIRST, GENESIS));
    };
    let damaged = |problem: &str| SinkError::Damaged {
        path: lines.path().to_owned(),
        place: format!("its last line (byte {})", last.offset),
        problem: problem.to_owned(),
        remedy: REMEDY,
    };
    match parse_line(&last.text) {
        Some(LineParts { seq, prev, hash, content }) => {
            if super::line::chain(&prev, content) != hash {
                return Err(damaged("its hash does not fit its content"));
            }
            Ok((seq.next(), hash))
        }
        None => Err(damaged("it is not a line of the audit log")),
    }
}

impl Sink for AuditSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        self.next_seq
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        self.lines.begin()?;
        self.buffer.clear();
        let (mut next_seq, mut head) = (self.next_seq, self.head);
        for batch in batches {
            for event in &batch.events {
                if !is_due(NAME, next_seq, event.event.seq())? {
                    continue;
                }
                head = self.writer.put(&mut self.buffer, batch.time, event, &head);
                next_seq = next_seq.next();
                if self.buffer.len() >= WRITE_BYTES {
                    self.lines.append(&self.buffer)?;
                    self.buffer.clear();
                }
            }
        }
        self.lines.append(&self.buffer)?;
        self.lines.commit()?;
        (self.next_seq, self.head) = (next_seq, head);
        Ok(())
    }
}
