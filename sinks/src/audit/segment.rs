//! Segments on disk: consumes their files, produces blocks of lines. A sealed segment is a row of
//! zstd frames of [`BLOCK_ENTRIES`] lines each, which `zstd -d` makes one file of lines again; until
//! it is compressed, and while it is open, it is that file of lines.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use zstd::stream::{raw::CParameter, read::Decoder};

use super::{
    AuditError,
    index::{BLOCK_ENTRIES, Index, IndexBuilder, Term},
    layout::{Layout, Span},
    parts::Summary,
    reader::read_checkpoint,
};
use crate::line_file::sync_dir_of;

/// Compression that keeps up with the log on one processor.
const LEVEL: i32 = 1;
/// More than a block of the longest entries has.
const BLOCK_BYTES_MAX: u64 = 64 << 20;
const READ_BYTES: usize = 256 * 1024;

/// Reads a segment's blocks in order.
#[derive(Debug)]
pub(super) struct BlockReader {
    path: PathBuf,
    compressed: bool,
    /// `None` behind the last block.
    file: Option<BufReader<File>>,
    /// Where the next block starts.
    offset: u64,
}

impl BlockReader {
    /// Opens a sealed segment, compressed or not.
    pub(super) fn open(layout: &Layout, span: Span) -> Result<Self, AuditError> {
        // Looked for in the order in which compression makes and removes them.
        for (path, compressed) in [
            (layout.compressed(span), true),
            (layout.raw(span), false),
            (layout.compressed(span), true),
        ] {
            match File::open(&path) {
                Ok(file) => return Ok(Self::new(path, file, compressed)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(AuditError::io("open", path)(error)),
            }
        }
        let path = layout.compressed(span);
        Err(AuditError::io("open", path)(io::ErrorKind::NotFound.into()))
    }

    pub(super) fn new(path: PathBuf, file: File, compressed: bool) -> Self {
        let file = Some(BufReader::with_capacity(READ_BYTES, file));
        Self { path, compressed, file, offset: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Where the next block starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next block's lines, which replace what is in `lines`. False at the end. The last
    /// line may be torn.
    pub(super) fn next(&mut self, lines: &mut Vec<u8>) -> Result<bool, AuditError> {
        lines.clear();
        let Some(mut file) = self.file.take() else { return Ok(false) };
        let read = match self.compressed {
            false => read_lines(&mut file, lines).map(|()| Some(file)),
            true => read_frame(file, lines),
        };
        match read {
            Ok(Some(mut file)) if !lines.is_empty() => {
                let position = file.stream_position();
                self.offset = position.map_err(AuditError::io("read", &self.path))?;
                self.file = Some(file);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if self.compressed && is_damage(&error) => Err(AuditError::damaged(
                &self.path,
                format!("byte {}", self.offset),
                format!("it can't be decompressed: {error}"),
            )),
            Err(error) => Err(AuditError::io("read", &self.path)(error)),
        }
    }
}

/// Whether it is the bytes that are wrong, and not the disk.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn read_lines(file: &mut BufReader<File>, lines: &mut Vec<u8>) -> io::Result<()> {
    for _ in 0..BLOCK_ENTRIES {
        if file.read_until(b'\n', lines)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Reads one frame, and gives the file back behind it; `None` at the end.
fn read_frame(
    mut file: BufReader<File>,
    lines: &mut Vec<u8>,
) -> io::Result<Option<BufReader<File>>> {
    if file.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut decoder = Decoder::with_buffer(file)?.single_frame();
    decoder.by_ref().take(BLOCK_BYTES_MAX).read_to_end(lines)?;
    Ok(Some(decoder.finish()))
}

/// A segment whose blocks can be read in any order.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) span: Span,
    path: PathBuf,
    file: BlocksFile,
    /// Where each block starts, and where the last one ends.
    offsets: Vec<u64>,
    /// Of sealed and compressed segments.
    pub(super) index: Option<Index>,
}

#[derive(Debug)]
enum BlocksFile {
    Lines(Arc<File>),
    Frames(File),
}

impl Blocks {
    /// The open segment, up to what is committed. `offsets` are those of its blocks and of its end.
    pub(super) fn of_lines(path: PathBuf, file: Arc<File>, span: Span, offsets: Vec<u64>) -> Self {
        Self { span, path, file: BlocksFile::Lines(file), offsets, index: None }
    }

    /// As [`Self::open`]; `None` where retention has removed the segment meanwhile.
    pub(super) fn open_kept(layout: &Layout, span: Span) -> Result<Option<Self>, AuditError> {
        match Self::open(layout, span) {
            Err(AuditError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    && read_checkpoint(&layout.checkpoint())?.oldest >= span.end =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// A sealed segment. An index that is not there is made, and kept where that is possible.
    pub(super) fn open(layout: &Layout, span: Span) -> Result<Self, AuditError> {
        let reader = BlockReader::open(layout, span)?;
        let path = reader.path().to_owned();
        // The same file, even if its name is another one by now.
        let file = reader.file.as_ref().expect("nothing was read yet").get_ref().try_clone();
        let file = file.map_err(AuditError::io("open", &path))?;
        if !reader.is_compressed() {
            let offsets = block_offsets(&file, &path, 0, 0)?.offsets;
            let file = BlocksFile::Lines(file.into());
            return Ok(Self { span, path, file, offsets, index: None });
        }
        let index = match Index::open(&layout.index(span), span)? {
            Some(index) => index,
            None => {
                let bytes = index_of(reader, span)?;
                // Whoever reads may not be allowed to write here.
                let kept = write_new(&layout.index(span), &[&bytes]);
                if let Err(error) = kept.and_then(|fresh| fresh.rename()) {
                    tracing::debug!(%error, "could not keep an index of the audit log");
                }
                Index::in_memory(bytes, span)
            }
        };
        let mut offsets: Vec<_> = index.blocks.iter().map(|block| block.offset).collect();
        offsets.push(index.end);
        Ok(Self { span, path, file: BlocksFile::Frames(file), offsets, index: Some(index) })
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> u64 {
        self.offsets.len() as u64 - 1
    }

    /// Reads a block's lines.
    pub(super) fn read(&self, block: u64) -> Result<Vec<u8>, AuditError> {
        let at = block as usize;
        let (start, end) = (self.offsets[at], self.offsets[at + 1]);
        let damaged =
            |problem: String| AuditError::damaged(&self.path, format!("byte {start}"), problem);
        let len = end.checked_sub(start).filter(|len| *len <= BLOCK_BYTES_MAX);
        let len = len.ok_or_else(|| damaged("its index does not fit it".to_owned()))?;
        let mut bytes = vec![0; len as usize];
        let file = match &self.file {
            BlocksFile::Lines(file) => file,
            BlocksFile::Frames(file) => file,
        };
        file.read_exact_at(&mut bytes, start).map_err(AuditError::io("read", &self.path))?;
        match self.file {
            BlocksFile::Lines(_) => Ok(bytes),
            BlocksFile::Frames(_) => {
                let mut lines = Vec::new();
                let decoder = Decoder::with_buffer(bytes.as_slice());
                decoder
                    .and_then(|decoder| decoder.take(BLOCK_BYTES_MAX).read_to_end(&mut lines))
                    .map_err(|error| damaged(format!("it can't be decompressed: {error}")))?;
                Ok(lines)
            }
        }
    }

    /// The blocks that name this, as the segment's index says.
    pub(super) fn blocks_with(&self, index: &Index, term: Term) -> Result<Vec<u64>, AuditError> {
        index.blocks_with(term).map_err(AuditError::io("read the index of", &self.path))
    }

    /// The block's lines with their indexes.
    pub(super) fn lines(block: u64, span: Span, lines: &[u8]) -> Vec<(u64, &[u8])> {
        let first = span.first + block * BLOCK_ENTRIES;
        let lines = lines.split_inclusive(|&byte| byte == b'\n');
        (first..span.end).zip(lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line))).collect()
    }
}

/// Where the blocks of a file of lines start.
#[derive(Clone, Debug, Default)]
pub(super) struct LineOffsets {
    /// Where each block starts, and behind them where the last whole line ends.
    pub(super) offsets: Vec<u64>,
    /// Whole lines.
    pub(super) lines: u64,
}

/// Looks for the blocks of a file of lines behind those that are known: `lines` whole lines that end
/// at `from`. The offsets of known blocks are not in the answer.
pub(super) fn block_offsets(
    file: &File,
    path: &Path,
    from: u64,
    lines: u64,
) -> Result<LineOffsets, AuditError> {
    let mut found = LineOffsets { offsets: Vec::new(), lines };
    let (mut at, mut end) = (from, from);
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let read = file.read_at(&mut bytes, at).map_err(AuditError::io("read", path))?;
        if read == 0 {
            break;
        }
        for (place, _) in bytes[..read].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            if found.lines.is_multiple_of(BLOCK_ENTRIES) {
                found.offsets.push(end);
            }
            found.lines += 1;
            end = at + place as u64 + 1;
        }
        at += read as u64;
    }
    found.offsets.push(end);
    Ok(found)
}

/// The index of a segment, from its lines.
pub(super) fn index_of(mut reader: BlockReader, span: Span) -> Result<Vec<u8>, AuditError> {
    let mut builder = IndexBuilder::default();
    let mut lines = Vec::new();
    let mut index = span.first;
    loop {
        let offset = reader.offset();
        if !reader.next(&mut lines)? {
            break;
        }
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let summary = Summary::of(line).ok_or_else(|| not_an_entry(reader.path(), index))?;
            builder.add(&summary, offset);
            index += 1;
        }
    }
    if index != span.end {
        let problem = format!("it has {} entries", index - span.first);
        return Err(AuditError::damaged(reader.path(), "its end", problem));
    }
    Ok(builder.finish(span, reader.offset()))
}

fn not_an_entry(path: &Path, index: u64) -> AuditError {
    AuditError::damaged(path, format!("entry {index}"), "it is not an entry")
}

/// Compresses a sealed segment, makes its index, and removes the file of lines. False when `stop` said
/// so in between; then nothing has changed.
pub(super) fn compress(
    layout: &Layout,
    span: Span,
    stop: impl Fn() -> bool,
) -> Result<bool, AuditError> {
    let raw = layout.raw(span);
    let target = layout.compressed(span);
    let file = File::open(&raw).map_err(AuditError::io("open", &raw))?;
    let mut reader = BlockReader::new(raw.clone(), file, false);
    let fresh = Fresh::create(&target)?;
    let failed = || AuditError::io("write", target.clone());
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(failed())?;
    compressor.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed())?;
    let mut builder = IndexBuilder::default();
    let (mut index, mut offset) = (span.first, 0);
    let mut lines = Vec::new();
    while reader.next(&mut lines)? {
        if stop() {
            return Ok(false);
        }
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let summary = Summary::of(line).ok_or_else(|| not_an_entry(&raw, index))?;
            builder.add(&summary, offset);
            index += 1;
        }
        let frame = compressor.compress(&lines).map_err(failed())?;
        (&fresh.file).write_all(&frame).map_err(failed())?;
        offset += frame.len() as u64;
    }
    if index != span.end {
        let problem = format!("it has {} entries", index - span.first);
        return Err(AuditError::damaged(&raw, "its end", problem));
    }
    write_new(&layout.index(span), &[&builder.finish(span, offset)])?.rename()?;
    fresh.rename()?;
    fs::remove_file(&raw).map_err(AuditError::io("remove", &raw))?;
    Ok(true)
}

/// A file under a temporary name; removed unless it gets its own.
pub(super) struct Fresh {
    file: File,
    fresh: PathBuf,
    path: PathBuf,
    renamed: bool,
}

impl Fresh {
    fn create(path: &Path) -> Result<Self, AuditError> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let file = File::create(&fresh).map_err(AuditError::io("create", &fresh))?;
        Ok(Self { file, fresh, path: path.to_owned(), renamed: false })
    }

    /// Gives the file its name, durably.
    pub(super) fn rename(mut self) -> Result<(), AuditError> {
        let named = self.file.sync_all().and_then(|()| fs::rename(&self.fresh, &self.path));
        named.map_err(AuditError::io("write", &self.path))?;
        self.renamed = true;
        sync_dir(&self.path)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.renamed {
            // The next start removes it if it can't be removed here.
            let _ = fs::remove_file(&self.fresh);
        }
    }
}

/// Writes a file under a temporary name.
pub(super) fn write_new(path: &Path, parts: &[&[u8]]) -> Result<Fresh, AuditError> {
    let fresh = Fresh::create(path)?;
    for part in parts {
        (&fresh.file).write_all(part).map_err(AuditError::io("write", path))?;
    }
    Ok(fresh)
}

/// Makes the file's name durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), AuditError> {
    sync_dir_of(path).map_err(|error| match error {
        crate::SinkError::Io { action, path, source } => AuditError::Io { action, path, source },
        other => AuditError::damaged(path, "its directory", other.to_string()),
    })
}
