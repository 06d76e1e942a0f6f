//! Reading: consumes a CSV file, plain or gzipped, produces its payments in order of time and a
//! report of what was read.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use millrace_ledger::Timestamp;
use serde::Serialize;

use super::{
    cell,
    columns::{Columns, Places, Role},
    day::DaySpan,
    error::{DataError, RowError, RowErrors},
    leaks::Leak,
    line::Line,
    payments::{Payments, PaymentsBuilder},
    row::{Row, shown},
    unread::UnreadColumns,
};

/// How much is taken at once; also the longest line.
const BUFFER_BYTES: usize = 1 << 20;

/// What to do with a file whose time goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeOrder {
    /// Refuse it: features depend on the order, and an unsorted export is often an incomplete one.
    #[default]
    Refuse,
    /// Sort it. Payments of one moment stay in the order of the file.
    Sort,
}

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct ReadSettings {
    /// Which header stands for what.
    pub columns: Columns,
    /// Whether a file without labels is read, too.
    pub unlabelled: bool,
    /// What to do with a file whose time goes back.
    pub order: TimeOrder,
    /// How many rows that can't be read are left out before the file is refused.
    pub bad_rows_max: u64,
}

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct ReadReport {
    /// The path.
    pub file: String,
    /// Payments read.
    pub rows: usize,
    /// Payments labelled as fraud.
    pub frauds: usize,
    /// Distinct payers.
    pub payers: usize,
    /// Distinct payees.
    pub payees: usize,
    /// First and last day.
    pub span: Option<DaySpan>,
    /// Further columns that were read.
    pub contexts: Vec<String>,
    /// Columns that nothing was read from.
    pub unused_columns: Vec<String>,
    /// Those of them that give the label away.
    pub unused_leaks: Vec<Leak>,
    /// Rows that were left out.
    pub left_out: RowErrors,
}

/// Reads a file. `progress` is called with the bytes of the file read so far and in all.
///
/// # Errors
/// When the file can't be read, its header lacks a column, time goes back, or more rows than are
/// allowed can't be read: each with its place and what to do.
pub fn read(
    path: &Path,
    settings: &ReadSettings,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Payments, ReadReport), DataError> {
    let file = path.display().to_string();
    let unreadable = |error| DataError::Io { file: file.clone(), error };
    let opened = File::open(path).map_err(unreadable)?;
    let bytes_total = opened.metadata().map_err(unreadable)?.len();
    let bytes_done = Cell::new(0);
    let counted = Counted { source: opened, bytes: &bytes_done };
    let mut source = BufReader::with_capacity(BUFFER_BYTES, counted);
    let is_gzip =
        io::BufRead::fill_buf(&mut source).map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let mut notify = || progress(bytes_done.get(), bytes_total);
    match is_gzip {
        true => Reading::new(file, settings, true).run(MultiGzDecoder::new(source), &mut notify),
        false => Reading::new(file, settings, false).run(source, &mut notify),
    }
}

/// Counts what is taken from the file.
struct Counted<'a> {
    source: File,
    bytes: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.source.read(buffer)?;
        self.bytes.set(self.bytes.get() + taken as u64);
        Ok(taken)
    }
}

/// A file on its way in.
struct Reading<'a> {
    file: String,
    settings: &'a ReadSettings,
    is_gzip: bool,
    /// The line that is being read, counted from 1.
    line_number: u64,
    delimiter: u8,
    /// Known once the first line was read.
    table: Option<Table>,
    errors: RowErrors,
}

/// What the header told, and the payments so far.
struct Table {
    header: Vec<String>,
    places: Places,
    payments: PaymentsBuilder,
    unread: UnreadColumns,
}

impl<'a> Reading<'a> {
    fn new(file: String, settings: &'a ReadSettings, is_gzip: bool) -> Self {
        Self {
            file,
            settings,
            is_gzip,
            line_number: 0,
            delimiter: b',',
            table: None,
            errors: RowErrors::default(),
        }
    }

    fn run(
        mut self,
        mut source: impl Read,
        progress: &mut dyn FnMut(),
    ) -> Result<(Payments, ReadReport), DataError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut filled, mut line) = (0, Line::default());
        loop {
            let taken = source.read(&mut buffer[filled..]).map_err(|error| self.broken(error))?;
            let is_last = taken == 0;
            filled += taken;
            // The last line may lack its line feed.
            if is_last && filled > 0 {
                buffer.truncate(filled);
                buffer.push(b'\n');
                filled += 1;
            }
            let mut done = 0;
            while let Some(length) = self.next_line(&mut line, &buffer[done..filled]) {
                self.take(&line, &buffer[done..filled])?;
                done += length;
            }
            if is_last {
                break;
            }
            buffer.copy_within(done..filled, 0);
            filled -= done;
            if filled == buffer.len() {
                let line = self.line_number + 1;
                return Err(DataError::LineTooLong { file: self.file, line });
            }
            progress();
        }
        progress();
        self.finish()
    }

    fn broken(&self, error: io::Error) -> DataError {
        let (file, line) = (self.file.clone(), self.line_number);
        match self.is_gzip {
            true => DataError::Gzip { file, line, error },
            false => DataError::Io { file, error },
        }
    }

    fn next_line(&mut self, line: &mut Line, buffer: &[u8]) -> Option<usize> {
        if self.line_number == 0 {
            let header = &buffer[..buffer.iter().position(|byte| *byte == b'\n')?];
            let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
            // Of several that occur equally often, the last one wins: a comma.
            self.delimiter = [b'\t', b';', b','].into_iter().max_by_key(|it| count(*it))?;
        }
        line.split(buffer, self.delimiter)
    }

    /// Takes a line over: the header, a payment, or an error.
    fn take(&mut self, line: &Line, buffer: &[u8]) -> Result<(), DataError> {
        self.line_number += 1;
        let Some(table) = &mut self.table else {
            if !line.is_blank() {
                self.table = Some(self.header(line, buffer)?);
            }
            return Ok(());
        };
        if line.is_blank() {
            return Ok(());
        }
        match table.push(line, buffer, self.settings.order) {
            Ok(()) => Ok(()),
            Err(Refusal::Earlier(at, before)) => Err(DataError::Unsorted {
                file: self.file.clone(),
                line: self.line_number,
                at: moment(at),
                before: moment(before),
            }),
            Err(Refusal::Row(mut error)) => {
                error.line = self.line_number;
                self.errors.push(*error);
                Ok(())
            }
        }
    }

    fn header(&self, line: &Line, buffer: &[u8]) -> Result<Table, DataError> {
        let bytes = |place: usize| line.cell(buffer, place);
        let texts: Vec<String> = (0..line.len())
            .map(|place| String::from_utf8_lossy(bytes(place)))
            .map(|text| text.trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        if texts.iter().any(|cell| !cell.is_empty() && cell::time(cell.as_bytes()).is_ok()) {
            let first = shown(texts.join(",").as_bytes());
            return Err(DataError::NoHeader { file: self.file.clone(), first });
        }
        let label_required = !self.settings.unlabelled;
        let places = self.settings.columns.resolve(&self.file, &texts, label_required)?;
        let contexts: Vec<_> = places.contexts.iter().map(|place| texts[*place].as_str()).collect();
        let is_labelled = places.of(Role::Label).is_some();
        let payments = PaymentsBuilder::new(&contexts, is_labelled);
        // Without labels, there is nothing that a column could give away.
        let unread = UnreadColumns::new(&texts, if is_labelled { &places.unused } else { &[] });
        Ok(Table { header: texts, places, payments, unread })
    }

    fn finish(self) -> Result<(Payments, ReadReport), DataError> {
        let Some(table) = self.table else {
            return Err(DataError::Empty { file: self.file });
        };
        if self.errors.count > self.settings.bad_rows_max {
            return Err(DataError::Rows { file: self.file, errors: self.errors });
        }
        if table.payments.is_empty() {
            return Err(DataError::NoRows { file: self.file });
        }
        let payments = table.payments.finish();
        let unused = table.places.unused.iter();
        let report = ReadReport {
            file: self.file,
            rows: payments.len(),
            frauds: payments.is_fraud().iter().filter(|is_fraud| **is_fraud).count(),
            payers: payments.payers().len(),
            payees: payments.payees().len(),
            span: payments.span(),
            contexts: payments.contexts().iter().map(|context| context.name.clone()).collect(),
            unused_columns: unused.map(|place| table.header[*place].clone()).collect(),
            unused_leaks: table.unread.leaks(),
            left_out: self.errors,
        };
        Ok((payments, report))
    }
}

/// Why a line is not taken over.
enum Refusal {
    Row(Box<RowError>),
    Earlier(Timestamp, Timestamp),
}

impl Table {
    fn push(&mut self, line: &Line, buffer: &[u8], order: TimeOrder) -> Result<(), Refusal> {
        let row = Row { line, buffer, header: &self.header, places: &self.places };
        let payment = row.payment().map_err(Refusal::Row)?;
        let contexts = row.contexts().map_err(Refusal::Row)?;
        match self.payments.earlier_than_last(payment.at) {
            Some(before) if order == TimeOrder::Refuse => Err(Refusal::Earlier(payment.at, before)),
            _ => {
                self.payments.push(&payment, &contexts);
                self.unread.take(payment.is_fraud, |place| line.cell(buffer, place));
                Ok(())
            }
        }
    }
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0))
        .map_or_else(|_| at.0.to_string(), |at| at.to_string())
}
