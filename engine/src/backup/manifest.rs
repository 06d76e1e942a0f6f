//! The manifest of a backup: consumes and produces the text of `backup.manifest`.
//!
//! Guarantees that what is read is what was written: its last line is a hash of all lines before,
//! and no name in it leads out of the backup. Its layout is a table in `docs/JOURNAL.md`.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs, io,
    path::Path,
};

use millrace_ledger::{EventSeq, Timestamp};

use super::BackupError;
use crate::{
    frame::FrameHash,
    segment::{JournalId, SegmentHeader},
    segment_frames::ChainEnd,
};

/// What the manifest is called once the backup is whole.
pub(super) const FILE_NAME: &str = "backup.manifest";
/// Of a backup with a shelf; without one it is that of the releases that knew of none.
const FORMAT: u32 = 2;
const FORMAT_WITHOUT_SHELF: u32 = 1;
const FIRST_LINE: &str = "millrace backup, format ";
/// Where the files of a journal are; first those beside each other in its directory.
pub(super) const DIRECTORIES: [&str; 4] = ["", "archive", "runs", "snapshots"];

/// What a backup is of, and all of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) journal: JournalId,
    /// When it was taken, as its caller said.
    pub(super) taken: Timestamp,
    pub(super) first_seq: EventSeq,
    /// 0 of a journal without events.
    pub(super) last_seq: EventSeq,
    /// Time of the last batch.
    pub(super) last_time: Timestamp,
    /// Hash of the last frame.
    pub(super) head: FrameHash,
    /// By their names in the journal's directory.
    pub(super) files: BTreeMap<String, Entry>,
    /// Lengths of what is on its shelf, by the BLAKE3 of each in hexadecimal.
    pub(super) shelf: BTreeMap<String, u64>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) len: u64,
    /// BLAKE3 of all of it.
    pub(super) hash: [u8; 32],
    /// Of segments: where they stand in the chain.
    pub(super) segment: Option<Place>,
}

/// Where a segment stands in the chain of frames: tells its frames from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What its first frame continues.
    pub(super) begin: ChainEnd,
    /// What the next segment has to continue.
    pub(super) end: ChainEnd,
    /// Times of its first and last frame; 0 without frames.
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
}

impl Place {
    pub(super) fn has_frames(&self) -> bool {
        self.begin.next_seq != self.end.next_seq
    }

    /// The header that its segment starts with.
    pub(super) fn header(&self, journal: JournalId) -> SegmentHeader {
        let ChainEnd { head: previous, next_seq: first_seq } = self.begin;
        SegmentHeader { journal, first_seq, previous }
    }
}

impl Entry {
    /// Where the file called `name` is kept in a backup: under a name that tells its content, so
    /// that a file of other content never takes the place of one that a manifest names.
    pub(super) fn stored_name(&self, name: &str) -> String {
        let (directory, file) = name.rsplit_once('/').map_or(("", name), |it| it);
        let (stem, suffix) = file.split_once('.').unwrap_or((file, ""));
        let slash = if directory.is_empty() { "" } else { "/" };
        format!("{directory}{slash}{stem}-{:.16}.{suffix}", Hex(&self.hash).to_string())
    }
}

impl Manifest {
    /// Its segments, in order.
    pub(super) fn segments(&self) -> Vec<(&str, &Entry, Place)> {
        let of_entry = |(name, entry): (_, _)| -> Option<(&str, &Entry, Place)> {
            let (name, entry): (&String, &Entry) = (name, entry);
            Some((name, entry, entry.segment?))
        };
        let mut segments: Vec<_> = self.files.iter().filter_map(of_entry).collect();
        segments.sort_by_key(|(_, _, place)| place.begin.next_seq);
        segments
    }

    /// Its snapshots, newest first.
    pub(super) fn snapshots(&self) -> Vec<(EventSeq, &str)> {
        let seq_of = |name: &str| {
            let stem = name.strip_prefix("snapshots/")?.strip_suffix(".snapshot")?;
            stem.parse().ok().map(EventSeq)
        };
        let names = self.files.keys().rev();
        names.filter_map(|name| Some((seq_of(name)?, name.as_str()))).collect()
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.len).chain(self.shelf.values().copied()).sum()
    }

    /// Reads the manifest of a backup; `None` where there is none.
    pub(super) fn read(backup: &Path) -> Result<Option<Self>, BackupError> {
        let path = backup.join(FILE_NAME);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(BackupError::io("can't read", &path))?,
        };
        let text =
            String::from_utf8(bytes).map_err(|_| BackupError::damaged(&path, "it is no text"))?;
        Self::parse(&text, &path).map(Some)
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.put_lines(&mut text).expect("a string takes any text");
        let hash = blake3::hash(text.as_bytes());
        writeln!(text, "whole {}", Hex(hash.as_bytes())).expect("a string takes any text");
        text
    }

    fn put_lines(&self, text: &mut String) -> fmt::Result {
        let format = if self.shelf.is_empty() { FORMAT_WITHOUT_SHELF } else { FORMAT };
        writeln!(text, "{FIRST_LINE}{format}")?;
        writeln!(text, "journal {}", Hex(&self.journal))?;
        writeln!(text, "taken {}", self.taken.0)?;
        writeln!(text, "first_event {}", self.first_seq)?;
        writeln!(text, "last_event {}", self.last_seq)?;
        writeln!(text, "last_time {}", self.last_time.0)?;
        writeln!(text, "head {}", Hex(&self.head.0))?;
        for (name, Entry { len, hash, segment }) in &self.files {
            let hash = Hex(hash);
            match segment {
                None => writeln!(text, "file {name} {len} {hash}")?,
                Some(Place { begin, end, first_time, last_time }) => {
                    let (first, last) = (first_time.0, last_time.0);
                    write!(text, "segment {name} {len} {hash} {first} {last}")?;
                    for ChainEnd { head, next_seq } in [begin, end] {
                        write!(text, " {next_seq} {}", Hex(&head.0))?;
                    }
                    writeln!(text)?;
                }
            }
        }
        self.shelf.iter().try_for_each(|(name, len)| writeln!(text, "shelf {name} {len}"))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, BackupError> {
        let damaged = |what| BackupError::damaged(path, what);
        let format = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.split_once('\n'));
        let format = format.and_then(|(number, _)| number.parse::<u32>().ok());
        match format.ok_or_else(|| damaged("its first line is not that of a manifest"))? {
            FORMAT_WITHOUT_SHELF | FORMAT => {}
            found if found > FORMAT => {
                let path = path.to_owned();
                return Err(BackupError::NewerFormat { path, found, supported: FORMAT });
            }
            _ => return Err(damaged("its first line is not that of a manifest")),
        }
        let whole = text.rfind("whole ").ok_or_else(|| damaged("its last line is missing"))?;
        let (lines, last) = text.split_at(whole);
        let hash = blake3::hash(lines.as_bytes());
        if last != format!("whole {}\n", Hex(hash.as_bytes())) {
            return Err(damaged("its lines do not match the hash in its last line"));
        }
        Self::parse_lines(lines).ok_or_else(|| damaged("it has a line that makes no sense"))
    }

    fn parse_lines(lines: &str) -> Option<Self> {
        let mut lines = lines.lines().skip(1);
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let mut manifest = Self {
            journal: unhex(value("journal")?)?,
            taken: Timestamp(value("taken")?.parse().ok()?),
            first_seq: EventSeq(value("first_event")?.parse().ok()?),
            last_seq: EventSeq(value("last_event")?.parse().ok()?),
            last_time: Timestamp(value("last_time")?.parse().ok()?),
            head: FrameHash(unhex(value("head")?)?),
            files: BTreeMap::new(),
            shelf: BTreeMap::new(),
        };
        for line in lines {
            let mut words = line.split(' ');
            let kind = words.next()?;
            if kind == "shelf" {
                let name = words.next().filter(|name| is_artefact_name(name))?;
                let len = words.next()?.parse().ok()?;
                if words.next().is_some() {
                    return None;
                }
                manifest.shelf.insert(name.to_owned(), len);
                continue;
            }
            let name = words.next().filter(|name| is_name(name))?;
            let (len, hash) = (words.next()?.parse().ok()?, unhex(words.next()?)?);
            let segment = match kind {
                "file" => None,
                "segment" => Some(parse_place(&mut words)?),
                _ => return None,
            };
            if words.next().is_some() {
                return None;
            }
            manifest.files.insert(name.to_owned(), Entry { len, hash, segment });
        }
        Some(manifest)
    }
}

fn parse_place<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Place> {
    let first_time = Timestamp(words.next()?.parse().ok()?);
    let last_time = Timestamp(words.next()?.parse().ok()?);
    let mut end = || {
        let next_seq = EventSeq(words.next()?.parse().ok()?);
        Some(ChainEnd { next_seq, head: FrameHash(unhex(words.next()?)?) })
    };
    Some(Place { begin: end()?, end: end()?, first_time, last_time })
}

/// Whether a name is that of a file of a journal.
pub(super) fn is_name(name: &str) -> bool {
    match name.rsplit_once('/') {
        None => is_file_name(name),
        Some((directory, file)) => {
            !directory.is_empty() && DIRECTORIES.contains(&directory) && is_file_name(file)
        }
    }
}

/// Whether a file may be called so in a journal or a backup: a number first, and no way out.
fn is_file_name(file: &str) -> bool {
    let known = [".segment", ".segment.zst", ".run", ".snapshot"];
    file.starts_with(|first: char| first.is_ascii_digit())
        && file
            .chars()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "-.".contains(it))
        && known.iter().any(|suffix| file.ends_with(suffix))
}

/// Whether an artefact may be called so: a BLAKE3 in hexadecimal.
pub(super) fn is_artefact_name(name: &str) -> bool {
    unhex::<32>(name).is_some()
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| b"0123456789abcdef".contains(&byte)) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let end = |next_seq, byte| ChainEnd { head: FrameHash([byte; 32]), next_seq };
        let place = Place {
            begin: end(EventSeq(1), 0),
            end: end(EventSeq(9), 0xa1),
            first_time: Timestamp(5),
            last_time: Timestamp(6),
        };
        let segment = Entry { len: 700, hash: [7; 32], segment: Some(place) };
        let snapshot = Entry { len: 900, hash: [0xcd; 32], segment: None };
        Manifest {
            journal: [3; 16],
            taken: Timestamp(12),
            first_seq: EventSeq(1),
            last_seq: EventSeq(8),
            last_time: Timestamp(6),
            head: FrameHash([0xa1; 32]),
            files: BTreeMap::from([
                ("00000000000000000001.segment".to_owned(), segment),
                ("snapshots/00000000000000000007.snapshot".to_owned(), snapshot),
            ]),
            shelf: BTreeMap::from([("ab".repeat(32), 5)]),
        }
    }

    /// Releases that know of no shelf read it, and wrote it so.
    #[test]
    fn a_manifest_without_a_shelf_is_that_of_earlier_releases() {
        let manifest = Manifest { shelf: BTreeMap::new(), ..manifest() };
        let text = manifest.text();
        assert!(text.starts_with("millrace backup, format 1\n") && !text.contains("shelf"));
        assert_eq!(Manifest::parse(&text, Path::new("it")).expect("whole"), manifest);
    }

    #[test]
    fn a_manifest_reads_back_and_every_changed_byte_is_noticed() {
        let (manifest, path) = (manifest(), Path::new("backup.manifest"));
        let text = manifest.text();
        assert_eq!(Manifest::parse(&text, path).expect("whole"), manifest);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).expect("is ASCII");
            let error = Manifest::parse(&changed, path).expect_err("changed").to_string();
            assert!(error.contains("backup.manifest"), "byte {at}: {error}");
        }
        for len in 0..text.len() {
            Manifest::parse(&text[..len], path).expect_err("cut");
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let text = manifest().text().replace("format 2", "format 3");
        let error = Manifest::parse(&text, Path::new("it")).expect_err("later").to_string();
        assert!(error.contains("format 3") && error.contains("up to 2"), "{error}");
    }

    #[test]
    fn names_tell_contents_and_lead_nowhere_else() {
        let manifest = manifest();
        let stored: Vec<_> =
            manifest.files.iter().map(|(name, entry)| entry.stored_name(name)).collect();
        assert_eq!(
            stored,
            [
                "00000000000000000001-0707070707070707.segment",
                "snapshots/00000000000000000007-cdcdcdcdcdcdcdcd.snapshot"
            ]
        );
        for name in ["../1.segment", "/1.segment", "runs/../1.run", "other/1.run", "LOCK", "1.txt"]
        {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name("archive/00000000000000000001.segment.zst"));
    }
}
