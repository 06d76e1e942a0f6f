//! A file of payments: consumes a CSV through a mapping, produces rows in the file's order.
//!
//! Guarantees: memory stays flat however long the file is; a refused row never stops the rest;
//! rows of a linked group come complete or not at all; a file that can't be read to its end is
//! an error, never a short file.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read},
    sync::Arc,
};

use csv::ByteRecord;

use crate::{
    Mapping, Row, RowError, Source, group_gate::GroupGate, line_index::LineIndex, remedy::remedy,
    row::Layout,
};

type CsvReader = csv::Reader<LineIndex<Box<dyn Read + Send>>>;

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("{file} can't be read: {source}; {}", remedy(source))]
    Unreadable {
        /// The file.
        file: Arc<str>,
        /// What the system says.
        source: io::Error,
    },
    /// Reading stopped in the middle, such as in a gzip file that was cut off.
    #[error("{file} can't be read beyond line {line}: {complaint}")]
    Broken {
        /// The file.
        file: Arc<str>,
        /// Where it stopped.
        line: u64,
        /// What the reader says.
        complaint: String,
    },
    /// Not even a header.
    #[error("{file} is empty: its first line must name the columns")]
    NoHeader {
        /// The file.
        file: Arc<str>,
    },
    /// A column that the mapping reads.
    #[error("{file} has no column `{column}`, which the mapping {mapping} reads; it has {header}")]
    ColumnMissing {
        /// The file.
        file: Arc<str>,
        /// What the mapping looks for.
        column: String,
        /// The mapping's name.
        mapping: String,
        /// The columns that are there.
        header: String,
    },
    /// It can't be told which one is meant.
    #[error("{file} has two columns `{column}`")]
    ColumnTwice {
        /// The file.
        file: Arc<str>,
        /// Their name.
        column: String,
    },
}

/// What reading a row may come to.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// This row is refused; the next one may be fine.
    #[error(transparent)]
    Row(RowError),
    /// There are no more rows to be had.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A CSV file whose header fits a mapping.
#[derive(Clone, Debug)]
pub struct CsvFile {
    source: Source,
    header: Vec<String>,
    layout: Arc<Layout>,
}

impl CsvFile {
    /// Opens a file and finds the mapping's columns in its header.
    ///
    /// # Errors
    /// When it can't be read, or lacks a column that the mapping reads.
    pub fn open(source: impl Into<Source>, mapping: &Mapping) -> Result<Self, FileError> {
        let source = source.into();
        let header = header_of(&source)?;
        let file = source.name();
        for (at, column) in header.iter().enumerate() {
            if header[..at].contains(column) {
                return Err(FileError::ColumnTwice { file, column: column.clone() });
            }
        }
        let layout = Layout::new(mapping, &header).map_err(|column| FileError::ColumnMissing {
            file,
            column,
            mapping: mapping.name.clone(),
            header: header.join(", "),
        })?;
        Ok(Self { source, header, layout: Arc::new(layout) })
    }

    /// Where it is.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its columns.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Its rows, from the first one. Each call reads the file anew.
    ///
    /// # Errors
    /// When it can't be opened any more.
    pub fn rows(&self) -> Result<Rows, FileError> {
        let mut reader = reader(&self.source)?;
        let mut header = ByteRecord::new();
        let file = self.source.name();
        reader.read_byte_record(&mut header).map_err(|error| broken(&file, 1, &error))?;
        Ok(Rows {
            file,
            reader,
            record: ByteRecord::new(),
            layout: Arc::clone(&self.layout),
            occurrences: HashMap::new(),
            gate: GroupGate::default(),
            ready: VecDeque::new(),
            at_end: false,
        })
    }
}

/// The columns that a file's first line names.
///
/// # Errors
/// When it can't be read or is empty.
pub fn header_of(source: &Source) -> Result<Vec<String>, FileError> {
    let file = source.name();
    let mut record = ByteRecord::new();
    let found =
        reader(source)?.read_byte_record(&mut record).map_err(|error| broken(&file, 1, &error))?;
    if !found {
        return Err(FileError::NoHeader { file });
    }
    Ok(record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect())
}

fn reader(source: &Source) -> Result<CsvReader, FileError> {
    let bytes = source
        .bytes()
        .map_err(|error| FileError::Unreadable { file: source.name(), source: error })?;
    // Flexible: a row with too few or too many cells is that row's error, not the file's.
    Ok(csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(LineIndex::new(bytes)))
}

fn broken(file: &Arc<str>, line: u64, error: &csv::Error) -> FileError {
    FileError::Broken { file: Arc::clone(file), line, complaint: error.to_string() }
}

/// The rows of a file, in its order.
pub struct Rows {
    file: Arc<str>,
    reader: CsvReader,
    record: ByteRecord,
    layout: Arc<Layout>,
    /// How often each row without an id was seen.
    occurrences: HashMap<u128, u32>,
    gate: GroupGate,
    ready: VecDeque<Result<Row, RowError>>,
    at_end: bool,
}

impl Iterator for Rows {
    type Item = Result<Row, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.at_end {
            if let Err(error) = self.read_one() {
                self.at_end = true;
                return Some(Err(error.into()));
            }
        }
        self.ready.pop_front().map(|row| row.map_err(ReadError::Row))
    }
}

impl Rows {
    fn read_one(&mut self) -> Result<(), FileError> {
        let found = self.reader.read_byte_record(&mut self.record);
        let line = self.line_of_record();
        if !found.map_err(|error| broken(&self.file, line, &error))? {
            self.at_end = true;
            self.gate.finish(&mut self.ready);
            return Ok(());
        }
        let occurrences = &mut self.occurrences;
        let row = self.layout.read(line, &self.record, |alike| {
            let seen = occurrences.entry(alike).or_default();
            *seen += 1;
            *seen
        });
        let row = row.map_err(|defect| RowError {
            file: Arc::clone(&self.file),
            line,
            column: defect.column,
            value: defect.value,
            reason: defect.reason,
            record: self.record.clone(),
        });
        let linked = self.layout.is_linked(&self.record);
        self.gate.push(row, linked, &self.file, &mut self.ready);
        Ok(())
    }

    fn line_of_record(&mut self) -> u64 {
        let offset = self.record.position().map_or(0, csv::Position::byte);
        self.reader.get_mut().line_from(offset)
    }
}
