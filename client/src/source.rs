//! Where rows come from: consumes a path or text that is built in, produces a stream of CSV bytes.
//! Gzip is recognised by its first bytes and read as it comes, so memory stays flat.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A CSV file, or CSV text that is part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file; plain or gzip.
    Path(PathBuf),
    /// Built in.
    Embedded {
        /// What to call it in errors.
        name: &'static str,
        /// Its lines.
        text: &'static str,
    },
}

impl Source {
    /// The sample that comes with Millrace: every kind of outcome in a few rows.
    pub const SAMPLE: Self = Self::Embedded {
        name: "sample/payments.csv",
        text: include_str!("../../configs/sample/payments.csv"),
    };

    /// What people call it: the path as it was given.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Path(path) => path.display().to_string().into(),
            Self::Embedded { name, .. } => (*name).into(),
        }
    }

    pub(crate) fn bytes(&self) -> io::Result<Box<dyn Read + Send>> {
        let path = match self {
            Self::Embedded { text, .. } => return Ok(Box::new(text.as_bytes())),
            Self::Path(path) => path,
        };
        let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
        match file.fill_buf()?.starts_with(&GZIP_MAGIC) {
            true => Ok(Box::new(MultiGzDecoder::new(file))),
            false => Ok(Box::new(file)),
        }
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}
