//! Opens a log: consumes its files, produces the state that its writer goes on from. What a crash left
//! is put right; what a crash can't have left refuses to start.
//!
//! | found | done |
//! |---|---|
//! | no directory, or one without `format` and without entries | a new log is made |
//! | `audit.jsonl` without `format` | a log of the earlier format: moved to `<dir>.old`, a new one is made |
//! | a torn last line | cut |
//! | lines behind the last checkpoint, chained and in sequence | kept |
//! | tree files that end early or late, behind the last sealed segment | made anew from the entries |
//! | a sealed segment that is not compressed, or both forms of it | compressed; the lines are removed |
//! | unfinished files, segments below the signed oldest entry | removed |
//! | entries that don't give the signed root, or fewer than were signed | refused |
//! | a gap between segments, another key, a checkpoint that can't be read | refused |

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use millrace_ledger::Timestamp;

use super::{
    AuditConfig, AuditError,
    index::BLOCK_ENTRIES,
    keeper::remove_segment,
    key::{PublicKey, SigningKey},
    layout::{FORMAT, Layout, Span},
    line::{GENESIS, chain},
    merkle::{Hash, empty_root, leaf_hash},
    nodes::Nodes as _,
    parts::{Summary, parse_line},
    reader::read_checkpoint,
    rotation,
    segment::{BlockReader, sync_dir},
    signer::Signer,
    tree::{TreeReader, TreeWriter},
};
use crate::{
    SinkError,
    held_file::HeldFile,
    line_file::{LineFile, create_dir, replace},
};

/// What the writer goes on from.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) layout: Layout,
    pub(super) lock: HeldFile,
    pub(super) lines: LineFile,
    /// Index of the open segment's first entry.
    pub(super) first: u64,
    /// Time of that entry, if there is one.
    pub(super) first_time: Option<Timestamp>,
    /// Where the blocks of the open segment start.
    pub(super) offsets: Vec<u64>,
    pub(super) tree: TreeWriter,
    /// Hash of the last line.
    pub(super) head: Hash,
    pub(super) sealed: Vec<Span>,
    /// Sealed segments that are not compressed yet.
    pub(super) raw: Vec<Span>,
    pub(super) signer: Signer,
}

/// The key's file: as configured, or beside the log's directory.
pub(super) fn key_path(dir: &Path, config: &AuditConfig) -> PathBuf {
    match config.key_file.as_os_str().is_empty() {
        true => dir.with_file_name("audit.key"),
        false => config.key_file.clone(),
    }
}

/// Opens the log in `dir`, or makes one.
pub(super) fn recover(dir: &Path, config: &AuditConfig) -> Result<Recovered, SinkError> {
    let layout = Layout::new(dir);
    create_dir(dir)?;
    set_earlier_format_aside(&layout)?;
    create_dir(dir)?;
    let lock = take_lock(&layout)?;
    let key_path = key_path(dir, config);
    rotation::finish(&layout, &key_path, &config.origin)?;
    let key = SigningKey::load_or_create(&key_path, &config.origin)?;
    let signer = match fs::read_to_string(layout.format()) {
        Ok(found) if found == FORMAT => {
            check_public_key(&layout, key.public())?;
            let checkpoint = read_checkpoint(&layout.checkpoint())?;
            checkpoint.check(key.public()).map_err(|problem| {
                AuditError::damaged(&layout.checkpoint(), "its text", format!("it {problem}"))
            })?;
            Signer::new(&layout, key, checkpoint)
        }
        Ok(found) => return Err(layout.other_format(&found).into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&layout, key)?,
        Err(error) => return Err(SinkError::io("read", layout.format())(error)),
    };
    let (sealed, raw) = sealed_segments(&layout, signer.last().oldest)?;
    open_segment(layout, lock, signer, sealed, raw)
}

pub(super) fn take_lock(layout: &Layout) -> Result<HeldFile, AuditError> {
    let path = layout.lock();
    let lock = File::options().write(true).create(true).truncate(false).open(&path);
    let lock = lock.map_err(AuditError::io("open", &path))?;
    match HeldFile::try_hold(lock) {
        Ok(lock) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(AuditError::InUse { path: layout.dir.clone() }),
        Err(TryLockError::Error(source)) => Err(AuditError::io("lock", path)(source)),
    }
}

/// Moves a log without a tree out of the way. The journal has all that it has.
fn set_earlier_format_aside(layout: &Layout) -> Result<(), SinkError> {
    let file = layout.open_segment();
    if layout.format().exists() || fs::metadata(&file).map_or(0, |found| found.len()) == 0 {
        return Ok(());
    }
    // Refuses while a process of the earlier version writes it.
    drop(LineFile::open(&file)?);
    let aside = layout.dir.with_extension("old");
    if aside.exists() {
        return Err(AuditError::AsideTaken { dir: layout.dir.clone(), aside }.into());
    }
    fs::rename(&layout.dir, &aside).map_err(SinkError::io("rename", &layout.dir))?;
    sync_dir(&layout.dir)?;
    tracing::warn!(
        log = %layout.dir.display(), moved_to = %aside.display(),
        "the audit log was of the earlier format, without a tree; it was moved aside, and a new one \
         is written from the journal",
    );
    Ok(())
}

/// Makes a log without entries. Its format is written last: a log without one has no entries.
fn create(layout: &Layout, key: SigningKey) -> Result<Signer, SinkError> {
    for dir in [layout.segments(), layout.tree(), layout.checkpoints()] {
        create_dir(&dir)?;
    }
    replace(&layout.public_key(), format!("{}\n", key.public()).as_bytes())?;
    let signer = Signer::create(layout, key, empty_root())?;
    replace(&layout.format(), FORMAT.as_bytes())?;
    Ok(signer)
}

fn check_public_key(layout: &Layout, key: &PublicKey) -> Result<(), AuditError> {
    let path = layout.public_key();
    let beside = PublicKey::read(&path.to_string_lossy())?;
    if beside == *key {
        return Ok(());
    }
    Err(AuditError::Key {
        path,
        problem: format!(
            "is {beside}, and the private key and sinks.audit.origin are those of {key}. Put the \
             key (sinks.audit.key_file) and the origin back that the log was begun with; or, to \
             begin with other ones, move the log's directory aside and start again: it is written \
             anew from the journal"
        ),
    })
}

/// Sealed segments, and those of them that are not compressed yet.
fn sealed_segments(layout: &Layout, oldest: u64) -> Result<(Vec<Span>, Vec<Span>), SinkError> {
    let listing = layout.list()?;
    for path in &listing.unfinished {
        fs::remove_file(path).map_err(SinkError::io("remove", path))?;
    }
    let (mut sealed, mut raw) = (Vec::new(), Vec::new());
    for listed in listing.segments {
        let span = listed.span;
        if span.end <= oldest {
            remove_segment(layout, span)?;
            continue;
        }
        let expected = sealed.last().map_or(oldest, |before: &Span| before.end);
        if span.first != expected {
            let problem = format!("entries {expected} to {} are missing", span.first - 1);
            let problem = if span.first > expected {
                problem
            } else {
                format!("entry {} is in two segments", span.first)
            };
            return Err(AuditError::damaged(&layout.segments(), span_text(span), problem).into());
        }
        match (listed.raw, listed.compressed) {
            (true, true) => {
                let path = layout.raw(span);
                fs::remove_file(&path).map_err(SinkError::io("remove", path))?;
            }
            (true, false) => raw.push(span),
            _ => {}
        }
        sealed.push(span);
    }
    Ok((sealed, raw))
}

fn span_text(span: Span) -> String {
    format!("the segment of entries {} to {}", span.first, span.end - 1)
}

/// Reads the open segment and brings the tree to its end.
fn open_segment(
    layout: Layout,
    lock: HeldFile,
    signer: Signer,
    sealed: Vec<Span>,
    raw: Vec<Span>,
) -> Result<Recovered, SinkError> {
    let path = layout.open_segment();
    let first = sealed.last().map_or(signer.last().oldest, |span| span.end);
    let signed = signer.last().tree_size;
    let lines = LineFile::open(&path)?;
    let damaged = |place: String, problem: &str| AuditError::damaged(&path, place, problem);
    if signed < first {
        let problem =
            format!("it is of {signed} entries, and {first} were sealed after being signed");
        return Err(AuditError::damaged(&layout.checkpoint(), "its size", problem).into());
    }
    let mut head = match sealed.last() {
        Some(span) => last_hash(&layout, *span)?,
        None if first == 0 => GENESIS,
        None => {
            let place = format!("entry {}", first - 1);
            return Err(damaged(place, "no sealed segment is there, and one is always kept").into());
        }
    };
    let edge = TreeReader::new(&layout).edge(first)?;
    let mut tree = TreeWriter::open(&layout, edge)?;
    let mut stored = StoredLeaves { tree: TreeReader::new(&layout), first_other: None };
    let mut signed_root = (first == signed).then(|| tree.edge().root());
    let (mut offsets, mut first_time) = (Vec::new(), None);
    let file = File::open(&path).map_err(SinkError::io("open", &path))?;
    let mut reader = BlockReader::new(path.clone(), file, false);
    let mut block = Vec::new();
    loop {
        let mut offset = reader.offset();
        if !reader.next(&mut block)? {
            break;
        }
        offsets.push(offset);
        let mut leaves = Vec::with_capacity(BLOCK_ENTRIES as usize);
        let index = tree.edge().size();
        for line in block.split_inclusive(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let place = || format!("entry {} (byte {offset})", tree.edge().size());
            let parts = parse_line(text)
                .ok_or_else(|| damaged(place(), "it is not a line of the audit log"))?;
            let fits = parts.prev == head && parts.seq.0 == tree.edge().size() + 1;
            if chain(&parts.prev, parts.content) != parts.hash {
                return Err(damaged(place(), "its hash does not fit its content").into());
            }
            if !fits {
                return Err(damaged(place(), "it does not follow the entry before it").into());
            }
            first_time = first_time.or_else(|| Summary::of(text).map(|summary| summary.time));
            head = parts.hash;
            offset += line.len() as u64;
            leaves.push(leaf_hash(text));
            tree.push(leaf_hash(text));
            if tree.edge().size() == signed {
                signed_root = Some(tree.edge().root());
            }
        }
        stored.compare(index, &leaves)?;
        tree.write()?;
        tree.commit();
    }
    let size = tree.edge().size();
    match signed_root {
        Some(root) if root == signer.last().root_hash => {}
        Some(_) => {
            let place = match stored.first_other.filter(|other| *other < signed) {
                Some(index) => format!("entry {index}"),
                None => format!("an entry below {signed}"),
            };
            let problem = "it is not the entry that the signed checkpoint covers";
            return Err(damaged(place, problem).into());
        }
        None => {
            let problem = format!("it ends with entry {size}, and {signed} were signed");
            return Err(damaged("its end".to_owned(), &problem).into());
        }
    }
    tree.cut()?;
    Ok(Recovered {
        layout,
        lock,
        lines,
        first,
        first_time,
        offsets,
        tree,
        head,
        sealed,
        raw,
        signer,
    })
}

/// Compares leaves with those that the tree's file holds, before it is written over.
struct StoredLeaves {
    tree: TreeReader,
    /// The first entry whose stored hash is another one.
    first_other: Option<u64>,
}

impl StoredLeaves {
    fn compare(&mut self, index: u64, leaves: &[Hash]) -> Result<(), AuditError> {
        if self.first_other.is_none() {
            let stored = self.tree.hashes(0, index, leaves.len() as u64)?;
            let other = leaves.iter().zip(&stored).position(|(leaf, stored)| leaf != stored);
            self.first_other = other.map(|other| index + other as u64);
        }
        Ok(())
    }
}

/// The hash of a sealed segment's last line.
fn last_hash(layout: &Layout, span: Span) -> Result<Hash, AuditError> {
    let blocks = super::segment::Blocks::open(layout, span)?;
    let text = blocks.read(blocks.len() - 1)?;
    let last = super::segment::Blocks::lines(blocks.len() - 1, span, &text).last().copied();
    let parts = last
        .filter(|(index, _)| index + 1 == span.end)
        .and_then(|(_, line)| parse_line(line))
        .filter(|parts| parts.seq.0 == span.end);
    parts.map(|parts| parts.hash).ok_or_else(|| {
        let place = format!("entry {}", span.end - 1);
        AuditError::damaged(&layout.compressed(span), place, "it is not that entry")
    })
}
