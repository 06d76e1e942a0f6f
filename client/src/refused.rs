//! Rows that were refused: consumes row errors, produces a CSV beside the input with the same
//! columns and cells, so that it can be corrected and submitted as it is.
//!
//! Guarantees that the file appears only when a row was refused, and complete or not at all.

use std::{
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{CsvFile, RowError, Source};

/// How many refused rows are kept to be shown.
const SHOWN_MAX: usize = 10;

/// What became of the rows that were refused.
#[derive(Debug, Default)]
pub struct RefusedRows {
    /// How many there were.
    pub count: u64,
    /// The first few.
    pub first: Vec<RowError>,
    /// Where all of them lie; none when there were none, or when they are not to be written.
    pub file: Option<PathBuf>,
}

/// The rows that were refused could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the refused rows can't be written to {}: {source}", path.display())]
pub struct RefusedFileError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Gathers the refused rows of one run.
pub struct RefusedFile {
    /// None for a file that is built in: there is no place beside it.
    path: Option<PathBuf>,
    header: Vec<String>,
    writer: Option<csv::Writer<BufWriter<NamedTempFile>>>,
    refused: RefusedRows,
}

impl RefusedFile {
    /// Will write `payments.refused.csv` beside `payments.csv` or `payments.csv.gz`.
    #[must_use]
    pub fn beside(file: &CsvFile) -> Self {
        let path = match file.source() {
            Source::Path(path) => Some(refused_path(path)),
            Source::Embedded { .. } => None,
        };
        let header = file.header().to_vec();
        Self { path, header, writer: None, refused: RefusedRows::default() }
    }

    /// Keeps a refused row.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn push(&mut self, error: RowError) -> Result<(), RefusedFileError> {
        self.refused.count += 1;
        if let Some(path) = &self.path {
            write(&mut self.writer, path, &self.header, &error)
                .map_err(|source| RefusedFileError { path: path.clone(), source })?;
        }
        if self.refused.first.len() < SHOWN_MAX {
            self.refused.first.push(error);
        }
        Ok(())
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> Result<RefusedRows, RefusedFileError> {
        if let (Some(writer), Some(path)) = (self.writer, self.path) {
            match put_in_place(writer, &path) {
                Ok(()) => self.refused.file = Some(path),
                Err(source) => return Err(RefusedFileError { path, source }),
            }
        }
        Ok(self.refused)
    }
}

fn write(
    writer: &mut Option<csv::Writer<BufWriter<NamedTempFile>>>,
    path: &Path,
    header: &[String],
    error: &RowError,
) -> io::Result<()> {
    let writer = match writer {
        Some(writer) => writer,
        None => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            // Flexible: a row of the wrong length is written as it came.
            let mut csv =
                csv::WriterBuilder::new().flexible(true).from_writer(BufWriter::new(file));
            csv.write_record(header)?;
            writer.insert(csv)
        }
    };
    writer.write_byte_record(&error.record)?;
    Ok(())
}

fn put_in_place(writer: csv::Writer<BufWriter<NamedTempFile>>, path: &Path) -> io::Result<()> {
    let buffered = writer.into_inner().map_err(|error| error.into_error())?;
    let file = buffered.into_inner().map_err(|error| error.into_error())?;
    file.persist(path)?;
    Ok(())
}

fn refused_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(".csv").unwrap_or(stem);
    path.with_file_name(format!("{stem}.refused.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_rows_lie_beside_the_file() {
        for (path, refused) in [
            ("in/payments.csv", "in/payments.refused.csv"),
            ("payments.csv.gz", "payments.refused.csv"),
            ("payments.refused.csv", "payments.refused.refused.csv"),
            ("payments", "payments.refused.csv"),
        ] {
            assert_eq!(refused_path(Path::new(path)), Path::new(refused));
        }
    }
}
