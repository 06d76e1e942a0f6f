//! A file of payments, read as `millrace submit` reads it: consumes its path, produces its mapping
//! and its rows with all their cells.

use std::path::Path;

use millrace_client::{CsvFile, Mapping, Row, header_of};

pub(crate) struct PaymentsFile {
    header: Vec<String>,
    pub(crate) mapping: Mapping,
    pub(crate) rows: Vec<Row>,
}

impl PaymentsFile {
    /// Reads a file of a kind that ships.
    pub(crate) fn read(path: &str) -> Self {
        let path = Path::new(path);
        let header = header_of(&path.into()).expect("has a header");
        let mapping = Mapping::for_header(&header).expect("ships");
        let rows = CsvFile::open(path, &mapping).expect("opens").rows().expect("opens");
        let rows = rows.map(|row| row.expect("is right")).collect();
        Self { header, mapping, rows }
    }

    /// Where a column is.
    pub(crate) fn column(&self, name: &str) -> usize {
        self.header.iter().position(|column| column == name).expect("is there")
    }
}

pub(crate) fn cell(row: &Row, column: usize) -> &str {
    std::str::from_utf8(&row.record[column]).expect("is UTF-8")
}
