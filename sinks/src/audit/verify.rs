//! Checks an audit log: consumes its files and the public key, produces a report, and guarantees that
//! whatever was changed, dropped, moved, doubled or put in is named: entries, checkpoints, and files of
//! the tree and of the index.
//!
//! Every entry's hash is compared with the one that the tree's file has, the tree with the roots that
//! were signed. Where entry and tree's file differ, the next signed root tells which of them is right.

use std::path::{Path, PathBuf};

use super::{
    AuditError, AuditReport, Checkpoint,
    chain::{KeyChain, chain_of},
    check::Check,
    evidence::{Evidence, gather},
    faults::Faults,
    journal,
    key::PublicKey,
    layout::{Layout, Span},
    merkle::fold_complete,
    nodes::Nodes as _,
    reader::read_checkpoint,
    spine::{Signed, Spine},
    tree::{FILES, LEVELS_PER_FILE, TILE, TreeReader, len_at},
};

/// Checks of a log whose retention is at work.
const TRIES: usize = 3;

/// What a check compares the log with.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The key that is trusted, which signs or was replaced since; without one, the one that lies beside
    /// the log.
    pub key: Option<PublicKey>,
    /// The first and the last entry to read; without them, all. Whole segments are read.
    pub range: Option<(u64, u64)>,
    /// Checkpoints that were kept elsewhere, with their names: the log has to go on from them.
    pub kept: Vec<(String, Checkpoint)>,
    /// A journal to compare every entry with.
    pub journal: Option<PathBuf>,
}

/// Reads the log and checks all of it, or a range of entries.
///
/// # Errors
/// [`AuditError::Faulty`] with every fault by name; what can't be read otherwise.
pub fn verify(dir: &Path, options: &VerifyOptions) -> Result<AuditReport, AuditError> {
    let layout = Layout::of_log(dir)?;
    let key = match &options.key {
        Some(key) => key.clone(),
        None => PublicKey::read(&layout.public_key().to_string_lossy())?,
    };
    let mut tries = TRIES;
    loop {
        let keys = chain_of(&layout, &key)?.map_err(|problem| {
            let mut faults = Faults::default();
            faults.add(None, problem);
            AuditError::Faulty(faults)
        })?;
        let (checkpoint, checked) = verify_once(&layout, &keys, options)?;
        tries -= 1;
        // Retention may have removed segments while they were being read.
        let is_moving = || {
            read_checkpoint(&layout.checkpoint()).is_ok_and(|now| now.oldest > checkpoint.oldest)
        };
        if checked.is_ok() || tries == 0 || !is_moving() {
            return checked;
        }
    }
}

/// Checks the log as it is now. Also returns the newest checkpoint.
fn verify_once(
    layout: &Layout,
    keys: &KeyChain,
    options: &VerifyOptions,
) -> Result<(Checkpoint, Result<AuditReport, AuditError>), AuditError> {
    let mut faults = Faults::default();
    let evidence = gather(layout, options, keys, &mut faults)?;
    let checkpoint = evidence.checkpoint.clone();
    let mut check = Check {
        report: AuditReport::new(checkpoint.clone(), keys.newest().clone()),
        layout: layout.clone(),
        faults,
        checkpoint: checkpoint.clone(),
        prev: None,
    };
    check.report.removed = checkpoint.oldest;
    let checked = match options.range {
        None => check.whole(evidence),
        Some(range) => check.range(evidence, range),
    };
    let compared = match &options.journal {
        Some(directory) if checked.is_ok() && check.faults.count == 0 => {
            journal::compare(layout, directory, &mut check.report, &mut check.faults)
        }
        _ => Ok(()),
    };
    let Check { report, faults, .. } = check;
    let found = if faults.count == 0 { Ok(report) } else { Err(AuditError::Faulty(faults)) };
    let result = checked.and(compared).and(found);
    Ok((checkpoint, result))
}

impl Check {
    /// Everything, from the first entry's hash to the last entry.
    fn whole(&mut self, evidence: Evidence) -> Result<(), AuditError> {
        let Evidence { signed, kept_sizes, segments, open, open_line, .. } = evidence;
        let oldest = self.checkpoint.oldest;
        let mut spine = Spine::new(&self.layout, signed, &mut self.faults);
        self.only_hashes(&mut spine, oldest)?;
        for span in &segments {
            let at = spine.size();
            if span.first < at {
                let text = format!("entry {} is in two segments", span.first);
                self.faults.add(Some(span.first), text);
                continue;
            }
            if span.first > at {
                self.missing(at, span.first - 1, "the segment is not there");
                self.only_hashes(&mut spine, span.first)?;
                self.prev = None;
            }
            self.sealed(&mut spine, *span)?;
            if !kept_sizes.contains(&span.end) {
                let name = self.layout.short(&self.layout.checkpoint_of(span.end));
                self.faults
                    .add(None, format!("{name}: is missing; it was signed with the segment"));
            }
        }
        self.open(&mut spine, open, &open_line)?;
        self.report.unsigned = spine.size().saturating_sub(self.checkpoint.tree_size);
        self.tails(spine.size())?;
        self.report.checkpoints = spine.finish(self.checkpoint.tree_size, &mut self.faults);
        Ok(())
    }

    /// The ends of the tree's files.
    fn tails(&mut self, size: u64) -> Result<(), AuditError> {
        let mut behind = 0;
        for level in 0..FILES {
            let path = self.layout.level(level);
            let found = match std::fs::metadata(&path) {
                Ok(found) => found.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(AuditError::io("measure", path)(error)),
            };
            behind += found.saturating_sub(len_at(level, size) * 32);
        }
        if behind > 0 {
            self.report.notes.push(format!(
                "the tree's files have {behind} bytes behind the last entry: they are being \
                 written, or a crash left them, and the next start cuts them"
            ));
        }
        Ok(())
    }

    /// The segments that hold a range, and the tree above it up to the signed root.
    fn range(&mut self, evidence: Evidence, (from, to): (u64, u64)) -> Result<(), AuditError> {
        let Evidence { signed, segments, open: open_file, open_line, .. } = evidence;
        let size = self.checkpoint.tree_size;
        if to >= size {
            return Err(AuditError::NotSigned { index: to, signed: size });
        }
        if from < self.checkpoint.oldest {
            return Err(AuditError::Removed { index: from, oldest: self.checkpoint.oldest });
        }
        let mut tree = TreeReader::new(&self.layout);
        for Signed { name, checkpoint } in &signed {
            let root = tree.root(checkpoint.tree_size);
            if root.is_err() || root.is_ok_and(|root| root != checkpoint.root_hash) {
                let size = checkpoint.tree_size;
                let text = format!(
                    "{name}: the tree's files do not have the root that was signed over {size} entries"
                );
                self.faults.add(None, text);
            }
            self.report.checkpoints += 1;
        }
        let end = segments.last().map_or(self.checkpoint.oldest, |span| span.end);
        let open = Span { first: end, end: size.max(end) };
        let (mut first, mut last) = (from, to);
        let overlaps = |span: &Span| span.first <= to && span.end > from;
        let mut expected = from;
        for span in segments.iter().filter(|span| overlaps(span)) {
            if span.first > expected {
                self.missing(expected, span.first - 1, "the segment is not there");
            }
            expected = span.end;
            (first, last) = (first.min(span.first), last.max(span.end - 1));
            let mut spine = Spine::at(&self.layout, tree.edge(span.first)?);
            self.prev = None;
            self.sealed(&mut spine, *span)?;
            spine.finish(size, &mut self.faults);
        }
        if overlaps(&open) {
            (first, last) = (first.min(open.first), last.max(size - 1));
            let mut spine = Spine::at(&self.layout, tree.edge(open.first)?);
            self.prev = None;
            self.open(&mut spine, open_file, &open_line)?;
            spine.finish(size, &mut self.faults);
        } else if expected <= to {
            self.missing(expected, to, "the segment is not there");
        }
        self.tiles_above(first, last, size)
    }

    /// Every hash of the tree's files on the way from these entries to the root.
    fn tiles_above(&mut self, first: u64, last: u64, size: u64) -> Result<(), AuditError> {
        let mut tree = TreeReader::new(&self.layout);
        for level in 1..FILES {
            let bits = LEVELS_PER_FILE * level;
            for position in first >> bits..=last >> bits {
                if position >= len_at(level, size) {
                    break;
                }
                let mut below = tree.hashes(level - 1, position * TILE, TILE)?;
                let above = tree.hashes(level, position, 1)?;
                if below.len() as u64 != TILE || above != [fold_complete(&mut below)] {
                    let file = self.layout.short(&self.layout.level(level));
                    let text = format!(
                        "{file}: hash {position} is not that of the {TILE} hashes below it (byte {})",
                        position * 32
                    );
                    self.faults.add(None, text);
                }
            }
        }
        Ok(())
    }
}
