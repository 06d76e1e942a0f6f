//! An append-only file of lines: consumes bytes, and guarantees that what was committed is durable
//! and that whatever was not is gone before anything else is written.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use crate::{SinkError, held_file::HeldFile};

/// How much of the tail is read at a time when lines are looked for backwards.
const TAIL_STEP_BYTES: u64 = 64 * 1024;

/// An append-only file of lines, with one writer.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    file: HeldFile,
    /// Bytes that are durable and count.
    committed_len: u64,
    /// Bytes that are written, committed or not.
    written_len: u64,
}

/// A complete line and where it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TailLine {
    pub(crate) offset: u64,
    /// Without its line feed.
    pub(crate) text: Vec<u8>,
}

impl LineFile {
    /// Opens or creates the file, alone, and cuts a last line that has no line feed.
    pub(crate) fn open(path: &Path) -> Result<Self, SinkError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(SinkError::io("open", path))?;
        let file = match HeldFile::try_hold(file) {
            Ok(file) => file,
            Err(TryLockError::WouldBlock) => {
                return Err(SinkError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(SinkError::io("lock", path)(source)),
        };
        sync_dir_of(path)?;
        let len = file.metadata().map_err(SinkError::io("measure", path))?.len();
        let mut lines = Self { path: path.to_owned(), file, committed_len: len, written_len: len };
        let end_of_lines = lines.end_of_last_line(len)?;
        if end_of_lines < len {
            tracing::warn!(
                file = %path.display(), offset = end_of_lines, bytes = len - end_of_lines,
                "cut a torn last line",
            );
            lines.cut(end_of_lines)?;
        }
        Ok(lines)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are durable.
    pub(crate) fn len(&self) -> u64 {
        self.committed_len
    }

    /// The complete line that ends at `end`, which is 0 or just behind a line feed.
    pub(crate) fn line_before(&self, end: u64) -> Result<Option<TailLine>, SinkError> {
        if end == 0 {
            return Ok(None);
        }
        let offset = self.end_of_last_line(end - 1)?;
        let mut text = vec![0; (end - 1 - offset) as usize];
        self.file.read_exact_at(&mut text, offset).map_err(SinkError::io("read", &self.path))?;
        Ok(Some(TailLine { offset, text }))
    }

    /// Forgets everything from `len` on, durably.
    pub(crate) fn cut(&mut self, len: u64) -> Result<(), SinkError> {
        self.file
            .set_len(len)
            .and_then(|()| self.file.sync_data())
            .map_err(SinkError::io("shorten", &self.path))?;
        (self.committed_len, self.written_len) = (len, len);
        Ok(())
    }

    /// Removes what an attempt that failed left behind.
    pub(crate) fn begin(&mut self) -> Result<(), SinkError> {
        if self.written_len != self.committed_len {
            self.cut(self.committed_len)?;
        }
        Ok(())
    }

    /// Writes complete lines. They count only after [`Self::commit`].
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let start = self.written_len;
        // Counted before it is tried: a write that fails half way leaves bytes to cut.
        self.written_len += lines.len() as u64;
        self.file.write_all_at(lines, start).map_err(SinkError::io("append to", &self.path))
    }

    /// Makes what was appended durable.
    pub(crate) fn commit(&mut self) -> Result<(), SinkError> {
        if self.written_len != self.committed_len {
            self.file.sync_data().map_err(SinkError::io("sync", &self.path))?;
            self.committed_len = self.written_len;
        }
        Ok(())
    }

    /// The position just behind the last line feed before `end`, or 0.
    fn end_of_last_line(&self, end: u64) -> Result<u64, SinkError> {
        let mut chunk = vec![0; TAIL_STEP_BYTES.min(end) as usize];
        let mut chunk_end = end;
        while chunk_end > 0 {
            let len = TAIL_STEP_BYTES.min(chunk_end);
            let start = chunk_end - len;
            let chunk = &mut chunk[..len as usize];
            self.file.read_exact_at(chunk, start).map_err(SinkError::io("read", &self.path))?;
            if let Some(line_feed) = chunk.iter().rposition(|&byte| byte == b'\n') {
                return Ok(start + line_feed as u64 + 1);
            }
            chunk_end = start;
        }
        Ok(0)
    }
}

/// Makes the file's name durable in its directory.
pub(crate) fn sync_dir_of(path: &Path) -> Result<(), SinkError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(SinkError::io("sync", dir))
}

/// Creates the sink's directory.
pub(crate) fn create_dir(dir: &Path) -> Result<(), SinkError> {
    std::fs::create_dir_all(dir).map_err(SinkError::io("create", dir))
}

/// Replaces a small file so that a reader sees the old or the new content, never a mixture.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), SinkError> {
    let fresh = path.with_extension("new");
    let write = || -> io::Result<()> {
        let file = File::create(&fresh)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(SinkError::io("replace", path))?;
    sync_dir_of(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("lines");
        std::fs::write(&path, content).expect("written");
        (dir, path)
    }

    #[test]
    fn a_torn_last_line_is_cut() {
        let long = [b"x".repeat(200_000), b"\ntorn".to_vec()].concat();
        for (content, kept) in [
            (&b""[..], 0),
            (b"torn", 0),
            (b"a\n", 2),
            (b"a\nb\n", 4),
            (b"a\nb", 2),
            (&long, 200_001),
        ] {
            let (_dir, path) = file_with(content);
            assert_eq!(LineFile::open(&path).expect("opens").len(), kept);
            assert_eq!(std::fs::read(&path).expect("reads"), &content[..kept as usize]);
        }
    }

    #[test]
    fn lines_are_read_backwards() {
        let (_dir, path) = file_with(b"first\n\nthird\n");
        let lines = LineFile::open(&path).expect("opens");
        let mut found = Vec::new();
        let mut end = lines.len();
        while let Some(line) = lines.line_before(end).expect("reads") {
            end = line.offset;
            found.push((line.offset, String::from_utf8(line.text).expect("text")));
        }
        assert_eq!(found, [(7, "third".into()), (6, String::new()), (0, "first".into())]);
    }

    #[test]
    fn what_was_not_committed_is_gone_before_the_next_attempt() {
        let (_dir, path) = file_with(b"a\n");
        let mut lines = LineFile::open(&path).expect("opens");
        lines.append(b"a long line of a failed attempt\n").expect("appends");
        lines.begin().expect("begins again");
        lines.append(b"b\n").expect("appends");
        lines.commit().expect("commits");
        assert_eq!(std::fs::read(&path).expect("reads"), b"a\nb\n");
    }

    #[test]
    fn a_second_writer_is_refused() {
        let (_dir, path) = file_with(b"");
        let _first = LineFile::open(&path).expect("opens");
        let second = LineFile::open(&path).expect_err("is in use");
        assert!(matches!(second, SinkError::InUse { .. }), "{second}");
    }
}
