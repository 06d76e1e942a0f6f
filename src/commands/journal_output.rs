//! Where the rows of a journal go: consumes rows, produces lines of JSON or CSV on standard output or
//! in a file. Guarantees that a file has its name only when it is complete.

use std::{
    fs::{self, File},
    io::{self, BufWriter, StdoutLock, Write},
    path::{Path, PathBuf},
};

use super::journal_row::{COLUMNS, CONTEXT_COLUMNS, Row};
use crate::data_dir;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated, with a header
    Csv,
}

/// Standard output, or a file that is not complete yet.
pub(crate) enum Target {
    Stdout(BufWriter<StdoutLock<'static>>),
    File(UnfinishedFile),
}

/// A file under a temporary name; removed unless it is finished.
pub(crate) struct UnfinishedFile {
    /// `None` once it is finished.
    file: Option<BufWriter<File>>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl Target {
    pub(crate) fn stdout() -> Self {
        Self::Stdout(BufWriter::with_capacity(1 << 16, io::stdout().lock()))
    }

    /// A file that replaces what is called `path` once it is finished; never one of a journal or a
    /// backup. `option` is the one that named it.
    pub(crate) fn file(path: &Path, option: &str) -> Result<Self, String> {
        let name = path.display();
        if let Some(around) = data_dir::around(path) {
            return Err(format!(
                "{name} lies in {around}, whose files only millrace writes: name a file elsewhere \
                 with {option}"
            ));
        }
        if path.exists() && !path.is_file() {
            return Err(format!("{name} is no regular file: name another one with {option}"));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let file = File::create(&unfinished).map_err(|error| unwritable(path, &error, option))?;
        let file = Some(BufWriter::with_capacity(1 << 16, file));
        Ok(Self::File(UnfinishedFile { file, unfinished, path: path.to_owned() }))
    }

    /// Gives a file its name, once all of it is on disk.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush(),
            Self::File(mut output) => {
                let Some(file) = output.file.take() else { return Ok(()) };
                let file = file.into_inner().map_err(io::IntoInnerError::into_error);
                let named = file
                    .and_then(|file| file.sync_all())
                    .and_then(|()| fs::rename(&output.unfinished, &output.path));
                if named.is_err() {
                    let _ = fs::remove_file(&output.unfinished);
                }
                named
            }
        }
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // The next export makes it anew if it can't be removed.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(UnfinishedFile { file: Some(file), .. }) => file.write(bytes),
            Self::File(_) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(UnfinishedFile { file: Some(file), .. }) => file.flush(),
            Self::File(_) => Ok(()),
        }
    }
}

/// Why a file can't be written, and what helps.
pub(crate) fn unwritable(path: &Path, error: &io::Error, option: &str) -> String {
    format!("{} can't be written: {error}. Name another file with {option}", path.display())
}

/// Writes events as rows of one format.
pub(crate) enum RowWriter {
    Jsonl(Target),
    Csv { writer: Box<csv::Writer<Target>>, columns: Vec<&'static str> },
}

impl RowWriter {
    pub(crate) fn new(target: Target, format: Format, with_context: bool) -> io::Result<Self> {
        match format {
            Format::Jsonl => Ok(Self::Jsonl(target)),
            Format::Csv => {
                let context = if with_context { CONTEXT_COLUMNS } else { &[] };
                let columns = [COLUMNS, context].concat();
                let mut writer = Box::new(csv::Writer::from_writer(target));
                writer.write_record(&columns).map_err(into_io)?;
                Ok(Self::Csv { writer, columns })
            }
        }
    }

    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Jsonl(target) => {
                row.put_json(target)?;
                target.write_all(b"\n")
            }
            Self::Csv { writer, columns } => {
                // Cells come in the order of the columns, some of them left out.
                let mut cells = row.cells.iter().peekable();
                for column in columns {
                    let cell = cells.next_if(|(name, _)| name == column);
                    let text = cell.map_or_else(String::new, |(_, cell)| cell.text());
                    writer.write_field(text).map_err(into_io)?;
                }
                assert!(cells.next().is_none(), "every cell has a column, in order");
                writer.write_record(None::<&[u8]>).map_err(into_io)
            }
        }
    }

    /// Makes all of it stay.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Jsonl(target) => target.finish(),
            Self::Csv { writer, .. } => {
                writer.into_inner().map_err(csv::IntoInnerError::into_error)?.finish()
            }
        }
    }
}

fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
