//! What of a log is committed: consumes what the writer tells, or the files of a log that another
//! process writes, and produces one consistent view that questions are answered from.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
    time::Duration,
};

use super::{
    AuditError,
    layout::{Layout, Span},
    parts::parse_line,
    segment::{LineOffsets, block_offsets},
};

/// Tries to see a log between two steps of its writer, and the wait between them.
const TRIES: usize = 200;
const WAIT: Duration = Duration::from_millis(5);
/// Longer than any line of the log.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The committed log at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Entries, with those that are not kept any more.
    pub(super) size: u64,
    /// Sealed segments that are kept, in order.
    pub(super) sealed: Arc<Vec<Span>>,
    pub(super) open: OpenSegment,
}

/// The open segment, up to its last committed line.
#[derive(Clone, Debug)]
pub(super) struct OpenSegment {
    pub(super) first: u64,
    pub(super) file: Arc<File>,
    /// Where each block starts, and where the last one ends.
    pub(super) offsets: Vec<u64>,
}

impl View {
    /// The oldest entry that is kept.
    pub(super) fn oldest(&self) -> u64 {
        self.sealed.first().map_or(self.open.first, |span| span.first)
    }

    pub(super) fn open_span(&self) -> Span {
        Span { first: self.open.first, end: self.size }
    }
}

/// Where views come from.
#[derive(Clone, Debug)]
pub(super) enum Views {
    /// From the writer, in this process.
    Live(Arc<RwLock<View>>),
    /// From the files.
    Files(Arc<Mutex<Option<Seen>>>),
}

/// What was seen of the open segment's file before: another look reads only what is new.
#[derive(Debug)]
pub(super) struct Seen {
    inode: u64,
    first: u64,
    lines: LineOffsets,
}

impl Views {
    pub(super) fn of_files() -> Self {
        Self::Files(Arc::default())
    }

    pub(super) fn get(&self, layout: &Layout) -> Result<View, AuditError> {
        match self {
            Self::Live(view) => Ok(view.read().unwrap_or_else(PoisonError::into_inner).clone()),
            Self::Files(seen) => {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                look(layout, &mut seen)
            }
        }
    }
}

/// Looks at the files. The writer may seal the open segment meanwhile: then it is looked again.
fn look(layout: &Layout, seen: &mut Option<Seen>) -> Result<View, AuditError> {
    let path = layout.open_segment();
    let mut problem = None;
    for _ in 0..TRIES {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                problem = Some(AuditError::io("open", &path)(error));
                thread::sleep(WAIT);
                continue;
            }
            Err(error) => return Err(AuditError::io("open", &path)(error)),
        };
        let lines = look_at_open(layout, &file, seen)?;
        let sealed: Vec<Span> = layout.list()?.segments.iter().map(|listed| listed.span).collect();
        let end = sealed.last().map(|span| span.end);
        let first = match (first_index(&file, layout)?, end) {
            (Some(first), Some(end)) if first != end => {
                let text = format!("entry {first} follows entry {end}, which is due");
                problem = Some(AuditError::damaged(&path, "its first line", text));
                thread::sleep(WAIT);
                continue;
            }
            (Some(first), _) => first,
            // It was just made, and what came before it may have been listed too early.
            (None, end) => end.unwrap_or(0),
        };
        let LineOffsets { offsets, lines } = lines;
        let open = OpenSegment { first, file: Arc::new(file), offsets };
        return Ok(View { size: first + lines, sealed: Arc::new(sealed), open });
    }
    Err(problem.expect("every try has a problem"))
}

/// The blocks of the open segment.
fn look_at_open(
    layout: &Layout,
    file: &File,
    seen: &mut Option<Seen>,
) -> Result<LineOffsets, AuditError> {
    let path = layout.open_segment();
    let found = file.metadata().map_err(AuditError::io("measure", &path))?;
    let first = first_index(file, layout)?.unwrap_or(u64::MAX);
    let known = seen.take().filter(|seen| {
        let end = seen.lines.offsets.last().copied().unwrap_or(0);
        (seen.inode, seen.first) == (found.ino(), first) && end <= found.len()
    });
    let mut lines = known.map(|seen| seen.lines).unwrap_or_default();
    let end = lines.offsets.pop().unwrap_or(0);
    let more = block_offsets(file, &path, end, lines.lines)?;
    lines.offsets.extend(more.offsets);
    lines.lines = more.lines;
    *seen = Some(Seen { inode: found.ino(), first, lines: lines.clone() });
    Ok(lines)
}

/// The index of the file's first entry; `None` while there is no whole one.
fn first_index(file: &File, layout: &Layout) -> Result<Option<u64>, AuditError> {
    use std::os::unix::fs::FileExt as _;
    let path = layout.open_segment();
    let mut line = Vec::new();
    let mut chunk = [0; 4_096];
    while line.len() < LINE_BYTES_MAX {
        let read = file.read_at(&mut chunk, line.len() as u64);
        let read = read.map_err(AuditError::io("read", &path))?;
        if read == 0 {
            return Ok(None);
        }
        line.extend_from_slice(&chunk[..read]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            let index = parse_line(&line[..end]).and_then(|parts| parts.seq.0.checked_sub(1));
            let damaged = || AuditError::damaged(&path, "its first line", "it is not an entry");
            return index.map(Some).ok_or_else(damaged);
        }
    }
    Err(AuditError::damaged(&path, "its first line", "it is too long for an entry"))
}
