//! The audit log's sink: consumes batches of events, appends their entries, and guarantees that no
//! entry is there twice or left out, and that tree and entries agree. The log is the cursor.

use std::{
    fs::{self, File},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{Event, EventSeq, Timestamp};

use super::{
    AuditConfig, AuditError, AuditReader,
    index::BLOCK_ENTRIES,
    keeper::{Keeper, Rhythm},
    layout::{Layout, Span},
    line::{Hash, LineWriter},
    merkle::leaf_hash,
    recover::{Recovered, recover},
    segment::sync_dir,
    tree::TreeWriter,
    view::{OpenSegment, View, Views},
};
use crate::{Sink, SinkError, held_file::HeldFile, line_file::LineFile, sink::is_due};

const NAME: &str = "audit";
/// Lines are handed to the file in pieces that stay in the processor's cache.
const WRITE_BYTES: usize = 256 * 1024;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Writes the audit log.
#[derive(Debug)]
pub struct AuditSink {
    layout: Layout,
    limits: Limits,
    writer: LineWriter,
    buffer: Vec<u8>,
    open: Open,
    tree: TreeWriter,
    /// Hash of the last line, committed or not.
    head: Hash,
    committed: Committed,
    view: Arc<RwLock<View>>,
    keeper: Keeper,
    /// Held as long as the log is written.
    _lock: HeldFile,
}

/// When a segment is sealed.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes: u64,
    span_ns: u64,
}

/// The open segment, with what is not committed yet.
#[derive(Debug)]
struct Open {
    lines: LineFile,
    /// Index of its first entry.
    first: u64,
    first_time: Option<Timestamp>,
    /// Where its blocks start.
    offsets: Vec<u64>,
    /// Bytes, with those that are not written yet.
    len: u64,
}

/// What a failed attempt goes back to.
#[derive(Clone, Copy, Debug)]
struct Committed {
    size: u64,
    head: Hash,
    first_time: Option<Timestamp>,
}

impl AuditSink {
    /// Opens the log in `dir`, or makes one, puts right what a crash left, and goes on from there.
    ///
    /// # Errors
    /// When a file can't be used, or does not hold what was signed.
    pub fn open(dir: &Path, config: &AuditConfig) -> Result<Self, SinkError> {
        Self::open_sized(dir, config, config.segment_mib << 20)
    }

    /// As [`Self::open`], with segments of another size than the configured one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_sized(
        dir: &Path,
        config: &AuditConfig,
        segment_bytes: u64,
    ) -> Result<Self, SinkError> {
        config.check()?;
        let recovered = recover(dir, config)?;
        let Recovered { layout, lock, lines, first, first_time, offsets, tree, head, .. } =
            recovered;
        let size = tree.edge().size();
        let path = layout.open_segment();
        let file = File::open(&path).map_err(SinkError::io("open", &path))?;
        let ends = [&offsets[..], &[lines.len()]].concat();
        let view = View {
            size,
            sealed: Arc::new(recovered.sealed),
            open: OpenSegment { first, file: Arc::new(file), offsets: ends },
        };
        let view = Arc::new(RwLock::new(view));
        let rhythm = Rhythm {
            checkpoint_interval: Duration::from_millis(config.checkpoint_interval_ms),
            retain_days: config.retain_days,
        };
        let keeper =
            Keeper::start(&layout, rhythm, recovered.signer, Arc::clone(&view), recovered.raw);
        // A crash may have left entries that no checkpoint covers.
        keeper.committed(size, tree.edge().root());
        let span_ns = match config.segment_hours {
            0 => u64::MAX,
            hours => hours.saturating_mul(HOUR_NS),
        };
        Ok(Self {
            layout,
            limits: Limits { bytes: segment_bytes, span_ns },
            writer: LineWriter::new(),
            buffer: Vec::with_capacity(WRITE_BYTES + 4_096),
            open: Open { len: lines.len(), lines, first, first_time, offsets },
            tree,
            head,
            committed: Committed { size, head, first_time },
            view,
            keeper,
            _lock: lock,
        })
    }

    /// A reader of what this sink has committed.
    #[must_use]
    pub fn reader(&self) -> AuditReader {
        AuditReader::new(&self.layout, Views::Live(Arc::clone(&self.view)))
    }

    /// Removes sealed segments whose entries are all before `time`, but for the newest one; the
    /// hashes of their entries stay. Returns how many. `retain_days` does this by itself.
    ///
    /// # Errors
    /// When a file can't be written or removed.
    pub fn retire(&self, time: Timestamp) -> Result<u64, AuditError> {
        self.keeper.retire(time)
    }

    /// The event that comes next, after those that are not committed yet.
    fn due(&self) -> EventSeq {
        EventSeq(self.tree.edge().size() + 1)
    }

    /// Forgets what an attempt that failed left behind.
    fn begin(&mut self) -> Result<(), SinkError> {
        self.open.lines.begin()?;
        self.buffer.clear();
        self.tree.rollback();
        self.head = self.committed.head;
        self.open.first_time = self.committed.first_time;
        let entries = self.committed.size - self.open.first;
        self.open.offsets.truncate(entries.div_ceil(BLOCK_ENTRIES) as usize);
        self.open.len = self.open.lines.len();
        Ok(())
    }

    /// Adds an entry, in a new segment if the open one is full.
    fn put(
        &mut self,
        time: Timestamp,
        write: impl FnOnce(&mut LineWriter, &mut Vec<u8>, &Hash) -> Hash,
    ) -> Result<(), SinkError> {
        let is_old = |first: Timestamp| time.0.saturating_sub(first.0) >= self.limits.span_ns;
        if self.open.len >= self.limits.bytes || self.open.first_time.is_some_and(is_old) {
            self.commit()?;
            self.seal()?;
        }
        if (self.tree.edge().size() - self.open.first).is_multiple_of(BLOCK_ENTRIES) {
            self.open.offsets.push(self.open.len);
        }
        self.open.first_time.get_or_insert(time);
        let start = self.buffer.len();
        self.head = write(&mut self.writer, &mut self.buffer, &self.head);
        let end = self.buffer.len();
        // Its line feed is no part of an entry.
        self.tree.push(leaf_hash(&self.buffer[start..end - 1]));
        self.open.len += (end - start) as u64;
        if end >= WRITE_BYTES {
            self.open.lines.append(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Makes entries durable, then tells readers. The tree's files come first: they may hold more
    /// than the log, and are made anew from it where they hold less.
    fn commit(&mut self) -> Result<(), SinkError> {
        self.tree.write()?;
        self.open.lines.append(&self.buffer)?;
        self.buffer.clear();
        self.open.lines.commit()?;
        self.tree.commit();
        let size = self.tree.edge().size();
        if size == self.committed.size {
            return Ok(());
        }
        let first_time = self.open.first_time;
        self.committed = Committed { size, head: self.head, first_time };
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            view.size = size;
            let known = view.open.offsets.len() - 1;
            view.open.offsets.pop();
            view.open.offsets.extend_from_slice(&self.open.offsets[known..]);
            view.open.offsets.push(self.open.lines.len());
        }
        metrics::gauge!("millrace_audit_log_entries", "sink" => NAME).set(size as f64);
        self.keeper.committed(size, self.tree.edge().root());
        Ok(())
    }

    /// Closes the open segment, all of which is committed, and begins another one. A crash at any
    /// point leaves either.
    fn seal(&mut self) -> Result<(), SinkError> {
        let size = self.committed.size;
        let span = Span { first: self.open.first, end: size };
        self.tree.sync()?;
        self.keeper.sign_seal(size, self.tree.edge().root())?;
        let (path, sealed) = (self.layout.open_segment(), self.layout.raw(span));
        fs::rename(&path, &sealed).map_err(SinkError::io("rename", &path))?;
        // At once: readers of other processes wait for it.
        let lines = LineFile::open(&path)?;
        sync_dir(&sealed)?;
        let file = File::open(&path).map_err(SinkError::io("open", &path))?;
        self.open = Open { lines, first: size, first_time: None, offsets: Vec::new(), len: 0 };
        self.committed.first_time = None;
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut view.sealed).push(span);
            view.open = OpenSegment { first: size, file: Arc::new(file), offsets: vec![0] };
        }
        self.keeper.sealed(span);
        metrics::counter!("millrace_audit_sealed_segments_total", "sink" => NAME).increment(1);
        Ok(())
    }
}

/// An act stands in its entry as it was taken, so it has to be JSON on one line.
fn check_act(event: &FeedEvent) -> Result<(), SinkError> {
    let Event::Act(act) = &event.event else { return Ok(()) };
    let problem = match serde_json::from_slice::<serde::de::IgnoredAny>(&event.context) {
        Err(error) => format!("its act is not JSON: {error}"),
        Ok(_) if event.context.contains(&b'\n') => "its act has more than one line".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(SinkError::Poison { sink: NAME, seq: act.seq, problem })
}

impl Sink for AuditSink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        EventSeq(self.committed.size + 1)
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        self.begin()?;
        for batch in batches {
            for event in &batch.events {
                if is_due(NAME, self.due(), event.event.seq())? {
                    check_act(event)?;
                    self.put(batch.time, |writer, out, head| {
                        writer.put(out, batch.time, event, head)
                    })?;
                }
            }
        }
        self.commit()
    }

    /// Writes an entry that says that the event is quarantined, and why.
    fn skip(&mut self, seq: EventSeq, time: Timestamp, reason: &str) -> Result<(), SinkError> {
        self.begin()?;
        if is_due(NAME, self.due(), seq)? {
            self.put(time, |writer, out, head| {
                writer.put_quarantined(out, time, seq, reason, head)
            })?;
        }
        self.commit()
    }
}
