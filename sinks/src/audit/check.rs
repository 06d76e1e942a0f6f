//! Checks one segment after the other: consumes its lines and the hashes that the tree's file has for
//! them, tells the [`Spine`] of every entry and the faults of every difference.

use std::{fs::File, io};

use super::{
    AuditError, AuditReport, Checkpoint,
    alignment::{Finding, FoundLine, align},
    faults::Faults,
    index::IndexBuilder,
    layout::{Layout, Span},
    line::chain,
    merkle::{Hash, leaf_hash},
    parts::{Summary, parse_line},
    segment::BlockReader,
    spine::Spine,
    tree::TreeReader,
};

/// Hashes of the tree's file that are read at once.
const LEAVES_AT_ONCE: u64 = 8_192;

#[derive(Debug)]
pub(super) struct Check {
    pub(super) layout: Layout,
    pub(super) checkpoint: Checkpoint,
    pub(super) report: AuditReport,
    pub(super) faults: Faults,
    /// Chain hash of the last line, where it is known.
    pub(super) prev: Option<Hash>,
}

impl Check {
    pub(super) fn missing(&mut self, first: u64, last: u64, why: &str) {
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
    pub(super) fn only_hashes(&mut self, spine: &mut Spine, end: u64) -> Result<(), AuditError> {
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

    pub(super) fn sealed(&mut self, spine: &mut Spine, span: Span) -> Result<(), AuditError> {
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
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let name = self.layout.short(&path);
                    self.report.notes.push(format!("{name} is not there: a search makes it anew"));
                }
                Err(error) => return Err(AuditError::io("read", path)(error)),
            }
        }
        Ok(())
    }

    /// The open segment, with its first line.
    pub(super) fn open(
        &mut self,
        spine: &mut Spine,
        file: Option<File>,
        first_line: &[u8],
    ) -> Result<(), AuditError> {
        let Some(file) = file else {
            if spine.size() < self.checkpoint.tree_size {
                let last = self.checkpoint.tree_size - 1;
                self.missing(spine.size(), last, "the open segment is not there");
                self.only_hashes(spine, last + 1)?;
            }
            return Ok(());
        };
        let line = found_line(first_line);
        if let Some(index) = line.claims.filter(|index| *index > spine.size())
            && spine.has_leaf(index, &line.leaf)
        {
            self.missing(spine.size(), index - 1, "the segment is not there");
            self.only_hashes(spine, index)?;
            self.prev = None;
        }
        let mut reader = BlockReader::new(self.layout.open_segment(), file, false);
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
