//! Lists as files: consumes and produces CSV with the columns `value,expires_at,reason,added_by`.
//!
//! Guarantees that a file with mistakes becomes no list, and that all of them are told, up to a
//! hundred; and that a list which is written and read is the same list.

use std::{
    fmt,
    io::{Read, Write},
    str,
};

use csv::{ByteRecord, ReaderBuilder, Trim, WriterBuilder};
use millrace_ledger::Timestamp;

use super::{
    list::{List, ListEntry, ListLimits, ListSpec},
    suggest::did_you_mean,
};

/// The columns, as they are written. `value` is needed, the others need not be there.
const COLUMNS: [&str; 4] = ["value", "expires_at", "reason", "added_by"];
/// Mistakes told of one file.
const ERRORS_MAX: usize = 100;

/// Why a list can't be used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// In the file, from 1 on. None where there is no file.
    pub line: Option<u64>,
    /// The column's number, from 1 on, and its name. None where the whole line is meant.
    pub column: Option<(usize, String)>,
    /// What is wrong: one sentence.
    pub problem: String,
    /// What to do.
    pub help: String,
}

impl std::error::Error for ListError {}

impl fmt::Display for ListError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "line {line}")?;
            if let Some((number, name)) = &self.column {
                write!(out, ", column {number} ({name})")?;
            }
            write!(out, ": ")?;
        }
        write!(out, "{}; {}", self.problem, self.help)
    }
}

impl ListError {
    fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { line: None, column: None, problem: problem.into(), help: help.into() }
    }

    pub(crate) fn name(name: &str) -> Self {
        let problem = format!("{name:?} can't be a list's name");
        Self::new(problem, "use letters, digits and `_`, and a letter first: block_list")
    }

    pub(crate) fn full(name: &str, what: &str) -> Self {
        let problem = format!("the list {name:?} is full: {what} are its limit");
        Self::new(problem, "split it, or raise the limit if there is memory for it")
    }

    pub(crate) fn entry(field: &str, problem: &str, help: &str) -> Self {
        let column = Some((0, field.to_owned()));
        Self { column, ..Self::new(format!("{field} {problem}"), help) }
    }

    fn at(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }
}

impl List {
    /// Reads a list: a header, then one value per line. Times are RFC 3339 or dates (midnight UTC);
    /// an empty one is never.
    ///
    /// # Errors
    ///
    /// All mistakes of the file, up to a hundred, each with line and column.
    pub fn from_csv(
        spec: ListSpec,
        limits: ListLimits,
        file: impl Read,
    ) -> Result<Self, Vec<ListError>> {
        let mut list = Self::new(spec, limits).map_err(|error| vec![error])?;
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(file);
        let header = match reader.byte_headers() {
            Ok(header) => Header::read(header)?,
            Err(error) => return Err(vec![unreadable(&error)]),
        };
        let mut errors = Vec::new();
        let mut record = ByteRecord::new();
        while errors.len() < ERRORS_MAX {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    if let Err(error) = header.add(&mut list, &record) {
                        let full = error.column.is_none() && error.line.is_none();
                        errors.push(error.at(line));
                        if full {
                            break;
                        }
                    }
                }
                Ok(false) => break,
                Err(error) => {
                    errors.push(unreadable(&error));
                    break;
                }
            }
        }
        if errors.is_empty() { Ok(list) } else { Err(errors) }
    }

    /// Writes what [`List::from_csv`] reads.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn to_csv(&self, file: impl Write) -> std::io::Result<()> {
        let mut writer = WriterBuilder::new().from_writer(file);
        writer.write_record(COLUMNS)?;
        for entry in self.entries() {
            let expires_at = entry.expires_at.map(rfc3339).unwrap_or_default();
            let ListEntry { value, reason, added_by, .. } = entry;
            writer.write_record([value, &expires_at, reason, added_by])?;
        }
        writer.flush()
    }
}

/// The time in UTC, as RFC 3339. One that no calendar has is shown as the number that it is.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0))
        .map_or_else(|_| at.0.to_string(), |time| time.to_string())
}

/// Where each of [`COLUMNS`] is in the file.
struct Header {
    places: [Option<usize>; 4],
    columns: usize,
}

impl Header {
    fn read(header: &ByteRecord) -> Result<Self, Vec<ListError>> {
        let mut errors = Vec::new();
        let mut places = [None; 4];
        for (index, name) in header.iter().enumerate() {
            let name = String::from_utf8_lossy(name).into_owned();
            let column = Some((index + 1, name.clone()));
            let (problem, help) = match COLUMNS.iter().position(|known| *known == name) {
                Some(known) if places[known].is_none() => {
                    places[known] = Some(index);
                    continue;
                }
                Some(_) => ("this column is there twice".to_owned(), "leave one out".to_owned()),
                None if name.contains([';', '\t']) => {
                    let help = "export the file with `,` between columns".to_owned();
                    ("columns are separated by commas here".to_owned(), help)
                }
                None => ("a list has no such column".to_owned(), did_you_mean(&name, COLUMNS)),
            };
            errors.push(ListError { line: Some(1), column, problem, help });
        }
        if places[0].is_none() && errors.is_empty() {
            let help = "begin the file with the line `value,expires_at,reason,added_by`";
            errors.push(ListError::new("the header has no column `value`", help).at(1));
        }
        if errors.is_empty() { Ok(Self { places, columns: header.len() }) } else { Err(errors) }
    }

    fn add(&self, list: &mut List, record: &ByteRecord) -> Result<(), ListError> {
        if record.len() != self.columns {
            let problem = format!(
                "this line has {} columns where the header has {}",
                record.len(),
                self.columns
            );
            let help = "write a comma for each column, and quotes around a text that has one";
            let column =
                Some((record.len().min(self.columns) + 1, "missing or surplus".to_owned()));
            return Err(ListError { column, ..ListError::new(problem, help) });
        }
        let mut fields = [""; 4];
        for (known, field) in fields.iter_mut().enumerate() {
            let Some(place) = self.places[known] else { continue };
            *field = str::from_utf8(&record[place]).map_err(|_| ListError {
                column: Some((place + 1, COLUMNS[known].to_owned())),
                ..ListError::new("this is not UTF-8 text", "save the file as UTF-8")
            })?;
        }
        let [value, expires_at, reason, added_by] = fields;
        let expires_at = if expires_at.is_empty() {
            None
        } else {
            let time = time(expires_at).ok_or_else(|| {
                let problem = format!("{expires_at:?} is no time");
                ListError::entry("expires_at", &problem, "write 2027-01-31 or 2027-01-31T12:00:00Z")
            });
            Some(time.map_err(|error| self.placed(error))?)
        };
        let entry = ListEntry { value, expires_at, reason, added_by };
        list.add(&entry).map_err(|error| self.placed(error))
    }

    /// Fills in the number of the column that is at fault.
    fn placed(&self, error: ListError) -> ListError {
        let number = |name: &str| {
            let known = COLUMNS.iter().position(|column| *column == name)?;
            self.places[known].map(|place| place + 1)
        };
        let column = error.column.map(|(_, name)| (number(&name).unwrap_or(1), name));
        ListError { column, ..error }
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = match text.parse() {
        Ok(time) => time,
        Err(_) => format!("{}T00:00:00Z", text.parse::<jiff::civil::Date>().ok()?).parse().ok()?,
    };
    u64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

fn unreadable(error: &csv::Error) -> ListError {
    let line = error.position().map(csv::Position::line);
    let problem = format!("the file can't be read: {error}");
    ListError { line, ..ListError::new(problem, "check that it is a CSV file") }
}
