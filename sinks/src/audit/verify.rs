//! Checks an audit log: consumes its files and the public key, produces a report, and guarantees that
//! whatever was changed, dropped, moved, doubled or put in is named: entries, checkpoints, and files of
//! the tree and of the index.
//!
//! Every entry's hash is compared with the one that the tree's file has, the tree with the roots that
//! were signed. Where entry and tree's file differ, the next signed root tells which of them is right.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _},
    path::PathBuf,
};

use super::{
    AuditError, AuditReport, Checkpoint,
    alignment::{Finding, FoundLine, align},
    faults::Faults,
    index::IndexBuilder,
    journal,
    key::PublicKey,
    layout::{Layout, Span},
    line::chain,
    merkle::{Hash, fold_complete, leaf_hash},
    nodes::Nodes as _,
    parts::{Summary, parse_line},
    reader::read_checkpoint,
    segment::BlockReader,
    spine::{Signed, Spine},
    tree::{FILES, LEVELS_PER_FILE, TILE, TreeReader, len_at},
};

/// Hashes of the tree's file that are read at once.
const LEAVES_AT_ONCE: u64 = 8_192;

/// Longer than any line of the log.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a check compares the log with.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The key that signed; without one, the one that lies beside the log.
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
pub fn verify(dir: &std::path::Path, options: &VerifyOptions) -> Result<AuditReport, AuditError> {
    let layout = Layout::of_log(dir)?;
    let key = match &options.key {
        Some(key) => key.clone(),
        None => PublicKey::read(&layout.public_key().to_string_lossy())?,
    };
    let mut faults = Faults::default();
    let checkpoint = match read_checkpoint(&layout.checkpoint()) {
        Ok(checkpoint) => checkpoint,
        Err(error @ AuditError::Checkpoint { .. }) => {
            faults.add(None, error.to_string());
            return Err(AuditError::Faulty(faults));
        }
        Err(error) => return Err(error),
    };
    if let Err(problem) = checkpoint.check(&key) {
        // Nothing can be said of a log whose key is another one.
        faults.add(None, format!("checkpoint: {problem}"));
        return Err(AuditError::Faulty(faults));
    }
    let mut check = Check {
        report: AuditReport::new(checkpoint.clone(), key),
        layout,
        faults,
        checkpoint,
        prev: None,
    };
    check.log(options)?;
    if check.faults.count == 0
        && let Some(directory) = &options.journal
    {
        journal::compare(&check.layout, directory, &mut check.report, &mut check.faults)?;
    }
    match check.faults.count {
        0 => Ok(check.report),
        _ => Err(AuditError::Faulty(check.faults)),
    }
}

struct Check {
    layout: Layout,
    checkpoint: Checkpoint,
    report: AuditReport,
    faults: Faults,
    /// Chain hash of the last line, where it is known.
    prev: Option<Hash>,
}

impl Check {
    fn log(&mut self, options: &VerifyOptions) -> Result<(), AuditError> {
        let signed = self.signed(options)?;
        let listing = self.layout.list()?;
        for stray in &listing.strays {
            let name = self.layout.short(stray);
            self.faults.add(None, format!("{name}: belongs to nothing that the log knows of"));
        }
        let oldest = self.checkpoint.oldest;
        let mut segments: Vec<Span> = listing.segments.iter().map(|listed| listed.span).collect();
        segments.retain(|span| span.end > oldest);
        self.report.removed = oldest;
        match options.range {
            None => self.whole(&segments, signed, oldest),
            Some(range) => self.range(&segments, &signed, range),
        }
    }

    /// The checkpoints that roots are compared with: those whose signature holds.
    fn signed(&mut self, options: &VerifyOptions) -> Result<Vec<Signed>, AuditError> {
        let mut signed =
            vec![Signed { name: "checkpoint".to_owned(), checkpoint: self.checkpoint.clone() }];
        let (sizes, strays) = self.layout.list_checkpoints()?;
        for stray in strays {
            let name = self.layout.short(&stray);
            self.faults.add(None, format!("{name}: is not named as a checkpoint is"));
        }
        for size in sizes {
            let path = self.layout.checkpoint_of(size);
            let name = self.layout.short(&path);
            match read_checkpoint(&path) {
                Ok(checkpoint) if checkpoint.tree_size != size => {
                    let text =
                        format!("{name}: is the checkpoint of {} entries", checkpoint.tree_size);
                    self.faults.add(None, text);
                }
                Ok(checkpoint) => signed.push(Signed { name, checkpoint }),
                Err(AuditError::Checkpoint { problem, .. }) => {
                    self.faults.add(None, format!("{name}: not a checkpoint: {problem}"));
                }
                Err(error) => return Err(error),
            }
        }
        for (name, checkpoint) in &options.kept {
            signed.push(Signed { name: name.clone(), checkpoint: checkpoint.clone() });
        }
        let key = &self.report.key;
        let faults = &mut self.faults;
        signed.retain(|Signed { name, checkpoint }| match checkpoint.check(key) {
            Ok(()) => true,
            Err(problem) => {
                faults.add(None, format!("{name}: {problem}"));
                false
            }
        });
        Ok(signed)
    }

    /// Everything, from the first entry's hash to the last entry.
    fn whole(
        &mut self,
        segments: &[Span],
        signed: Vec<Signed>,
        oldest: u64,
    ) -> Result<(), AuditError> {
        let kept_sizes: Vec<u64> =
            signed.iter().map(|signed| signed.checkpoint.tree_size).collect();
        let mut spine = Spine::new(&self.layout, signed, &mut self.faults);
        self.only_hashes(&mut spine, oldest)?;
        for span in segments {
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
        self.open(&mut spine)?;
        self.report.unsigned = spine.size().saturating_sub(self.checkpoint.tree_size);
        self.tails(spine.size())?;
        self.report.checkpoints = spine.finish(self.checkpoint.tree_size, &mut self.faults);
        Ok(())
    }

    fn missing(&mut self, first: u64, last: u64, why: &str) {
        let text = match last - first {
            0 => format!("entry {first} (seq {}) is missing: {why}", first + 1),
            _ => format!(
                "entries {first} to {last} (seq {} to {}) are missing: {why}",
                first + 1,
                last + 1
            ),
        };
        self.faults.add(Some(first), text);
    }

    /// Goes on to entry `end` with nothing but the tree's file.
    fn only_hashes(&mut self, spine: &mut Spine, end: u64) -> Result<(), AuditError> {
        while spine.size() < end {
            let leaves = spine.stored_leaves((end - spine.size()).min(LEAVES_AT_ONCE))?;
            if leaves.is_empty() {
                let path = self.layout.level(0);
                let place = format!("the hash of entry {}", spine.size());
                return Err(AuditError::damaged(&path, place, "the file ends before it"));
            }
            for leaf in leaves {
                spine.push(leaf, &mut self.faults)?;
            }
        }
        Ok(())
    }

    fn sealed(&mut self, spine: &mut Spine, span: Span) -> Result<(), AuditError> {
        let mut reader = BlockReader::open(&self.layout, span)?;
        let intact = self.blocks(spine, &mut reader, Some(span))?;
        self.report.segments += 1;
        if let Some(index) = intact.filter(|_| reader.is_compressed()) {
            let path = self.layout.index(span);
            match std::fs::read(&path) {
                Ok(found) if found == index.finish(span, reader.offset()) => {}
                Ok(_) => {
                    let name = self.layout.short(&path);
                    let text = "is not what the segment's entries come to; remove it, and it is \
                                made anew";
                    self.faults.add(None, format!("{name}: {text}"));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let name = self.layout.short(&path);
                    self.report.notes.push(format!("{name} is not there: a search makes it anew"));
                }
                Err(error) => return Err(AuditError::io("read", path)(error)),
            }
        }
        Ok(())
    }

    fn open(&mut self, spine: &mut Spine) -> Result<(), AuditError> {
        let path = self.layout.open_segment();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if spine.size() < self.checkpoint.tree_size {
                    let last = self.checkpoint.tree_size - 1;
                    self.missing(spine.size(), last, "the open segment is not there");
                    self.only_hashes(spine, last + 1)?;
                }
                return Ok(());
            }
            Err(error) => return Err(AuditError::io("open", path)(error)),
        };
        let mut first = Vec::new();
        let read = BufReader::new(&file).take(LINE_BYTES_MAX).read_until(b'\n', &mut first);
        read.map_err(AuditError::io("read", &path))?;
        let line = found_line(first.strip_suffix(b"\n").unwrap_or(&first));
        if let Some(index) = line.claims.filter(|index| *index > spine.size())
            && spine.has_leaf(index, &line.leaf)
        {
            self.missing(spine.size(), index - 1, "the segment is not there");
            self.only_hashes(spine, index)?;
            self.prev = None;
        }
        (&file).rewind().map_err(AuditError::io("read", &path))?;
        let mut reader = BlockReader::new(path, file, false);
        self.blocks(spine, &mut reader, None)?;
        self.report.segments += 1;
        Ok(())
    }

    /// A segment's blocks; its index, where nothing is wrong with it. Without a span, it is the open
    /// segment, whose end only its file tells.
    fn blocks(
        &mut self,
        spine: &mut Spine,
        reader: &mut BlockReader,
        span: Option<Span>,
    ) -> Result<Option<IndexBuilder>, AuditError> {
        let mut index = IndexBuilder::default();
        let mut block = Vec::new();
        loop {
            let (offset, first) = (reader.offset(), spine.size());
            if !self.next_block(reader, &mut block)? {
                break;
            }
            if span.is_none() && !block.ends_with(b"\n") {
                let end = block.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                block.truncate(end);
                self.report.notes.push(
                    "the last line is torn: it is being written, or a crash left it, and the next \
                     start cuts it"
                        .to_owned(),
                );
            }
            let lines: Vec<&[u8]> = block.split_inclusive(|&byte| byte == b'\n').collect();
            let stored = spine.stored_leaves(lines.len() as u64)?;
            let fits = first + lines.len() as u64 <= span.map_or(u64::MAX, |span| span.end);
            if !fits || !self.block(spine, &mut index, offset, &lines, &stored)? {
                let mut rest = block.clone();
                while self.next_block(reader, &mut block)? {
                    rest.extend_from_slice(&block);
                }
                self.diagnose(spine, reader, span, &rest)?;
                return Ok(None);
            }
        }
        let end = span.map_or_else(|| spine.size().max(self.checkpoint.tree_size), |span| span.end);
        if spine.size() < end {
            self.diagnose(spine, reader, span, &[])?;
            return Ok(None);
        }
        Ok(Some(index))
    }

    /// Reads a block; one that can't be decompressed is a fault, and the segment ends there.
    fn next_block(
        &mut self,
        reader: &mut BlockReader,
        block: &mut Vec<u8>,
    ) -> Result<bool, AuditError> {
        match reader.next(block) {
            Err(AuditError::Damaged { path, place, problem }) => {
                let name = self.layout.short(&path);
                self.faults.add(None, format!("{name}: {place}: {problem}"));
                block.clear();
                Ok(false)
            }
            other => other,
        }
    }

    /// A block's lines, if all of them have the hashes that the tree's file has, or are behind its end
    /// and chained. False, and nothing happened, if not.
    fn block(
        &mut self,
        spine: &mut Spine,
        index: &mut IndexBuilder,
        offset: u64,
        lines: &[&[u8]],
        stored: &[Hash],
    ) -> Result<bool, AuditError> {
        let first = spine.size();
        let mut leaves = Vec::with_capacity(lines.len());
        let mut summaries = Vec::with_capacity(lines.len());
        let mut prev = self.prev;
        let mut last = None;
        for (number, line) in lines.iter().enumerate() {
            let Some(text) = line.strip_suffix(b"\n") else { return Ok(false) };
            let leaf = leaf_hash(text);
            let (Some(parts), Some(summary)) = (parse_line(text), Summary::of(text)) else {
                return Ok(false);
            };
            if parts.seq.0 != first + number as u64 + 1 {
                return Ok(false);
            }
            match stored.get(number) {
                Some(stored) if *stored == leaf => {}
                Some(_) => return Ok(false),
                // Not in the tree yet: the chain has to do.
                None => {
                    let whole = chain(&parts.prev, parts.content) == parts.hash;
                    if !whole || prev.is_some_and(|prev| prev != parts.prev) {
                        return Ok(false);
                    }
                }
            }
            prev = Some(parts.hash);
            leaves.push(leaf);
            summaries.push(summary);
            last = Some(parts);
        }
        let Some(last) = last else { return Ok(true) };
        if stored.len() < lines.len() {
            spine.ends_before(first + stored.len() as u64);
        }
        for leaf in leaves {
            spine.push(leaf, &mut self.faults)?;
        }
        for summary in &summaries {
            self.report.count(summary);
            index.add(summary, offset);
        }
        self.report.reached(first, lines.len() as u64, &last);
        self.prev = prev;
        Ok(true)
    }

    /// The rest of a segment that is not what the tree's file says.
    fn diagnose(
        &mut self,
        spine: &mut Spine,
        reader: &BlockReader,
        span: Option<Span>,
        rest: &[u8],
    ) -> Result<(), AuditError> {
        let name = self.layout.short(reader.path());
        let first = spine.size();
        let texts: Vec<&[u8]> = rest
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
            .collect();
        let lines: Vec<FoundLine> = texts.iter().map(|text| found_line(text)).collect();
        // The open segment has at least what was signed, and whatever more the tree's file knows.
        let least = span.map_or(self.checkpoint.tree_size, |span| span.end);
        let most = span.map_or(first + lines.len() as u64, |span| span.end).max(least);
        let mut expected = Vec::new();
        while first + (expected.len() as u64) < most {
            let at = first + expected.len() as u64;
            let more =
                TreeReader::new(&self.layout).hashes(0, at, (most - at).min(LEAVES_AT_ONCE))?;
            if more.is_empty() {
                break;
            }
            expected.extend(more);
        }
        if first + (expected.len() as u64) < least {
            spine.ends_before(first + expected.len() as u64);
        }
        let findings = align(first, &expected, &lines, |index, leaf| spine.has_leaf(index, leaf));
        let mut changed = vec![None; expected.len()];
        let mut missing: Vec<u64> = Vec::new();
        let mut beyond = Vec::new();
        for finding in findings {
            match finding {
                Finding::Changed { index, line } => changed[(index - first) as usize] = Some(line),
                Finding::Missing { index } => missing.push(index),
                Finding::Beyond { line } => beyond.push(line),
                Finding::Moved { index } => self.faults.add(
                    Some(index),
                    format!(
                        "entry {index} (seq {}) was moved: in {name} it stands elsewhere",
                        index + 1
                    ),
                ),
                Finding::Doubled { index } => self.faults.add(
                    Some(index),
                    format!("entry {index} (seq {}) stands once more in {name}", index + 1),
                ),
                Finding::Inserted { claims, line } => {
                    let says = claims.map_or("is no entry at all".to_owned(), |index| {
                        format!("says that it is entry {index} (seq {})", index + 1)
                    });
                    let place = first + line as u64;
                    let text = format!(
                        "{name}: a line was put in at the place of entry {place}; it {says}"
                    );
                    self.faults.add(Some(place), text);
                }
            }
        }
        // What was written behind the last checkpoint and is only in the tree's file, a crash left.
        let torn = missing.iter().rev().zip((0..first + expected.len() as u64).rev());
        let torn = torn.take_while(|(index, at)| **index == *at && *at >= least).count();
        missing.truncate(missing.len() - torn);
        for run in missing.chunk_by(|one, next| one + 1 == *next) {
            let (from, to) = (run[0], run[run.len() - 1]);
            self.missing(from, to, &format!("{name} does not have it"));
        }
        expected.truncate(expected.len() - torn);
        for (leaf, line) in expected.into_iter().zip(changed) {
            match line {
                None => spine.push(leaf, &mut self.faults)?,
                Some(line) => {
                    let text = changed_text(spine.size(), &name, &lines[line]);
                    spine.push_undecided(leaf, lines[line].leaf, text, &mut self.faults)?;
                }
            }
        }
        for line in beyond {
            let at = spine.size();
            if !lines[line].whole || span.is_some() {
                self.faults.add(Some(at), changed_text(at, &name, &lines[line]));
            }
            spine.push(lines[line].leaf, &mut self.faults)?;
        }
        self.report.lines += texts.len() as u64;
        self.prev = None;
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
    fn range(
        &mut self,
        segments: &[Span],
        signed: &[Signed],
        (from, to): (u64, u64),
    ) -> Result<(), AuditError> {
        let size = self.checkpoint.tree_size;
        if to >= size {
            return Err(AuditError::NotSigned { index: to, signed: size });
        }
        if from < self.checkpoint.oldest {
            return Err(AuditError::Removed { index: from, oldest: self.checkpoint.oldest });
        }
        let mut tree = TreeReader::new(&self.layout);
        for Signed { name, checkpoint } in signed {
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
            self.open(&mut spine)?;
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

fn found_line(text: &[u8]) -> FoundLine {
    let parts = parse_line(text);
    let whole = parts.as_ref().is_some_and(|parts| chain(&parts.prev, parts.content) == parts.hash);
    let claims = parts.and_then(|parts| parts.seq.0.checked_sub(1));
    FoundLine { leaf: leaf_hash(text), claims, whole }
}

fn changed_text(index: u64, name: &str, line: &FoundLine) -> String {
    let how = match (line.claims, line.whole) {
        (None, _) => "it is no longer an entry",
        (_, false) => "its own hash does not fit its content",
        (_, true) => "its own hash was changed with it, but not the tree's",
    };
    format!("entry {index} (seq {}) was changed in {name}: {how}", index + 1)
}
