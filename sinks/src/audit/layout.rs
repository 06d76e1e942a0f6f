//! Where the files of a log are: names only, and what is there under them.
//!
//! | name | what |
//! |---|---|
//! | `format` | version of this layout; written last when a log is made |
//! | `lock` | held by the one process that writes |
//! | `audit.jsonl` | the open segment: the newest entries, one line each |
//! | `segments/<first>-<last>.jsonl` | a sealed segment that is not compressed yet |
//! | `segments/<first>-<last>.jsonl.zst` | a sealed segment |
//! | `segments/<first>-<last>.idx` | what search needs to know of it; made anew if it is not there |
//! | `tree/level-<n>` | hashes of complete subtrees of 256^n entries |
//! | `checkpoint` | the newest signed checkpoint |
//! | `checkpoints/<size>` | the checkpoint that was signed when a segment was sealed |
//! | `key.pub` | the public key |
//! | `keys/<number>` | that a key was replaced by another one; there is none before that |

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{AuditError, FILE_NAME};

/// What the file `format` says.
pub(super) const FORMAT: &str = "millrace-audit/2\n";
/// Digits of an index in a file name: enough for ten thousand million million entries.
const DIGITS: usize = 16;

/// Listings of a directory that goes on changing.
const LISTINGS_MAX: usize = 100;

/// The directory of a log.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
}

/// The entries of a sealed segment: `first` to `end`, which is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) end: u64,
}

/// What a segment directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sealed segments, in order.
    pub(super) segments: Vec<Listed>,
    /// Files that belong to nothing.
    pub(super) strays: Vec<PathBuf>,
    /// Files that are being made or removed, or that a crash left so.
    pub(super) unfinished: Vec<PathBuf>,
}

/// A sealed segment and the files that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) span: Span,
    pub(super) raw: bool,
    pub(super) compressed: bool,
    pub(super) index: bool,
}

impl Span {
    pub(super) fn count(self) -> u64 {
        self.end - self.first
    }

    fn name(self) -> String {
        format!("{:0DIGITS$}-{:0DIGITS$}", self.first, self.end - 1)
    }

    fn of_name(name: &str) -> Option<Self> {
        let (first, last) = name.split_once('-')?;
        if first.len() != DIGITS || last.len() != DIGITS {
            return None;
        }
        let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
        (first <= last).then_some(Self { first, end: last + 1 })
    }
}

impl Layout {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The layout of a log that is there and has the format of this program.
    pub(super) fn of_log(dir: &Path) -> Result<Self, AuditError> {
        let layout = Self::new(dir);
        match fs::read_to_string(layout.format()) {
            Ok(found) if found == FORMAT => Ok(layout),
            Ok(found) => Err(layout.other_format(&found)),
            Err(_) if layout.open_segment().is_file() => Err(layout.other_format("")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(AuditError::NoLog { dir: dir.to_owned() })
            }
            Err(source) => Err(AuditError::io("read", layout.format())(source)),
        }
    }

    pub(super) fn other_format(&self, found: &str) -> AuditError {
        let found = found.trim_end().to_owned();
        AuditError::Format { dir: self.dir.clone(), found, expected: FORMAT.trim_end() }
    }

    pub(super) fn format(&self) -> PathBuf {
        self.dir.join("format")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(super) fn open_segment(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    pub(super) fn segments(&self) -> PathBuf {
        self.dir.join("segments")
    }

    pub(super) fn raw(&self, span: Span) -> PathBuf {
        self.segments().join(format!("{}.jsonl", span.name()))
    }

    pub(super) fn compressed(&self, span: Span) -> PathBuf {
        self.segments().join(format!("{}.jsonl.zst", span.name()))
    }

    pub(super) fn index(&self, span: Span) -> PathBuf {
        self.segments().join(format!("{}.idx", span.name()))
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    pub(super) fn level(&self, level: u32) -> PathBuf {
        self.tree().join(format!("level-{level}"))
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.dir.join("checkpoints")
    }

    pub(super) fn checkpoint_of(&self, size: u64) -> PathBuf {
        self.checkpoints().join(format!("{size:0DIGITS$}"))
    }

    pub(super) fn public_key(&self) -> PathBuf {
        self.dir.join("key.pub")
    }

    pub(super) fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    pub(super) fn key_statement(&self, number: u64) -> PathBuf {
        self.keys().join(number.to_string())
    }

    /// Numbers of the statements, in order.
    pub(super) fn list_keys(&self) -> Result<Vec<u64>, AuditError> {
        let dir = self.keys();
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut numbers: Vec<u64> =
            names(&dir)?.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A path as faults name it: within the log's directory.
    pub(super) fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir).unwrap_or(path).display().to_string()
    }

    /// What is in the directory of sealed segments.
    pub(super) fn list(&self) -> Result<Listing, AuditError> {
        let dir = self.segments();
        let mut listing = Listing::default();
        for name in steady_names(&dir)? {
            if name.ends_with(".new") {
                listing.unfinished.push(dir.join(name));
                continue;
            }
            let (stem, ending) = name.split_once('.').unwrap_or((&name, ""));
            let Some(span) = Span::of_name(stem) else {
                listing.strays.push(dir.join(&name));
                continue;
            };
            if !matches!(ending, "jsonl" | "jsonl.zst" | "idx") {
                listing.strays.push(dir.join(&name));
                continue;
            }
            let at = listing.segments.iter().position(|listed| listed.span == span);
            let at = at.unwrap_or_else(|| {
                let (raw, compressed, index) = (false, false, false);
                listing.segments.push(Listed { span, raw, compressed, index });
                listing.segments.len() - 1
            });
            let listed = &mut listing.segments[at];
            match ending {
                "jsonl" => listed.raw = true,
                "idx" => listed.index = true,
                _ => listed.compressed = true,
            }
        }
        let (segments, indexes): (Vec<_>, Vec<_>) =
            listing.segments.iter().partition(|listed| listed.raw || listed.compressed);
        listing.segments = segments;
        listing.unfinished.extend(indexes.iter().map(|listed| self.index(listed.span)));
        Ok(listing)
    }

    /// Sizes of the checkpoints that were kept, in order, and files that are none.
    pub(super) fn list_checkpoints(&self) -> Result<(Vec<u64>, Vec<PathBuf>), AuditError> {
        let dir = self.checkpoints();
        let (mut sizes, mut strays) = (Vec::new(), Vec::new());
        for name in names(&dir)? {
            match name.parse() {
                Ok(size) if name.len() == DIGITS => sizes.push(size),
                _ if name.ends_with(".new") => {}
                _ => strays.push(dir.join(name)),
            }
        }
        Ok((sizes, strays))
    }
}

/// Lists again until nothing has changed meanwhile: a file that gets another name while a directory is
/// listed may be under neither.
fn steady_names(dir: &Path) -> Result<Vec<String>, AuditError> {
    let mut before = names(dir)?;
    for _ in 0..LISTINGS_MAX {
        let now = names(dir)?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(before)
}

/// Names in a directory, in order.
fn names(dir: &Path) -> Result<Vec<String>, AuditError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AuditError::io("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(AuditError::io("list", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
