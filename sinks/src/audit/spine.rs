//! Follows the tree while the log is read: consumes, entry by entry, the leaf hash that the tree's file
//! has and the one that the entry has, and decides at every signed checkpoint which of the two is
//! right. Compares the other files of the tree on the way.

use std::collections::{BTreeMap, VecDeque};

use super::{
    AuditError, Checkpoint,
    faults::Faults,
    layout::Layout,
    merkle::{Edge, Hash},
    tree::{LEVELS_PER_FILE, TILE, TreeReader},
};

/// A checkpoint whose signature holds, and what faults call it.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) name: String,
    pub(super) checkpoint: Checkpoint,
}

/// An entry that its hash in the tree's file does not fit.
#[derive(Clone, Debug)]
struct Undecided {
    index: u64,
    /// What is said if it is the entry that was changed.
    entry: String,
}

#[derive(Debug)]
pub(super) struct Spine {
    tree: TreeReader,
    layout: Layout,
    /// By the tree's file.
    stored: Edge,
    /// By the entries, since they differ.
    found: Option<Edge>,
    undecided: Vec<Undecided>,
    signed: VecDeque<Signed>,
    /// The last size whose root was right.
    right: u64,
    /// A root was wrong and nothing explains it: later ones are, too.
    lost: bool,
    /// By level: its file ended too early, which was told.
    short: BTreeMap<u32, u64>,
    pub(super) roots_checked: u64,
}

impl Spine {
    /// From an empty tree. `signed` are the checkpoints to pass.
    pub(super) fn new(layout: &Layout, mut signed: Vec<Signed>, faults: &mut Faults) -> Self {
        signed.sort_by_key(|signed| signed.checkpoint.tree_size);
        let mut spine = Self {
            tree: TreeReader::new(layout),
            layout: layout.clone(),
            stored: Edge::default(),
            found: None,
            undecided: Vec::new(),
            signed: signed.into(),
            right: 0,
            lost: false,
            short: BTreeMap::new(),
            roots_checked: 0,
        };
        spine.pass(faults);
        spine
    }

    /// From a tree that the files have, past no checkpoint.
    pub(super) fn at(layout: &Layout, edge: Edge) -> Self {
        let mut spine = Self::new(layout, Vec::new(), &mut Faults::default());
        spine.stored = edge;
        spine
    }

    /// Entries so far.
    pub(super) fn size(&self) -> u64 {
        self.stored.size()
    }

    /// The leaf hashes of the tree's file, from here on: at most `count`.
    pub(super) fn stored_leaves(&mut self, count: u64) -> Result<Vec<Hash>, AuditError> {
        self.tree.hashes(0, self.stored.size(), count)
    }

    /// Whether the tree's file has this leaf there.
    pub(super) fn has_leaf(&mut self, index: u64, leaf: &Hash) -> bool {
        self.tree.hashes(0, index, 1).is_ok_and(|found| found.first() == Some(leaf))
    }

    /// The tree's first file ends before this entry's hash.
    pub(super) fn ends_before(&mut self, index: u64) {
        self.short.entry(0).or_insert(index);
    }

    /// The next entry's leaf hash, which entry and tree's file agree on, or which only one of them has.
    pub(super) fn push(&mut self, leaf: Hash, faults: &mut Faults) -> Result<(), AuditError> {
        self.advance(leaf, None, faults)
    }

    /// The next entry, whose hash in the tree's file is another one. `text` is what is said if it is
    /// the entry that was changed.
    pub(super) fn push_undecided(
        &mut self,
        stored: Hash,
        found: Hash,
        entry: String,
        faults: &mut Faults,
    ) -> Result<(), AuditError> {
        self.undecided.push(Undecided { index: self.size(), entry });
        self.advance(stored, Some(found), faults)
    }

    fn advance(
        &mut self,
        stored: Hash,
        found: Option<Hash>,
        faults: &mut Faults,
    ) -> Result<(), AuditError> {
        if found.is_some() && self.found.is_none() {
            self.found = Some(self.stored.clone());
        }
        let size = self.stored.size();
        let completes_tile = (size + 1).is_multiple_of(TILE);
        let mut tiles: Vec<(u32, [Option<Hash>; 2])> = Vec::new();
        self.stored.push(stored, |height, hash| {
            if height >= LEVELS_PER_FILE && height % LEVELS_PER_FILE == 0 {
                tiles.push((height / LEVELS_PER_FILE, [Some(*hash), None]));
            }
        });
        if let Some(edge) = &mut self.found {
            edge.push(found.unwrap_or(stored), |height, hash| {
                let level = height / LEVELS_PER_FILE;
                if height % LEVELS_PER_FILE == 0
                    && let Some((_, tile)) = tiles.iter_mut().find(|(at, _)| *at == level)
                {
                    tile[1] = Some(*hash);
                }
            });
        }
        if completes_tile {
            for (level, hashes) in tiles {
                self.compare_tile(level, size >> (LEVELS_PER_FILE * level), &hashes, faults)?;
            }
        }
        self.pass(faults);
        Ok(())
    }

    /// Compares a hash of a higher file with what the entries below it come to.
    fn compare_tile(
        &mut self,
        level: u32,
        position: u64,
        hashes: &[Option<Hash>; 2],
        faults: &mut Faults,
    ) -> Result<(), AuditError> {
        let file = self.layout.short(&self.layout.level(level));
        match self.tree.hashes(level, position, 1)?.first() {
            Some(stored) if hashes.contains(&Some(*stored)) => {}
            Some(_) => {
                let entries = 1_u64 << (LEVELS_PER_FILE * level);
                let first = position * entries;
                faults.add(
                    None,
                    format!(
                        "{file}: hash {position}, over entries {first} to {}, was changed (byte {})",
                        first + entries - 1,
                        position * 32
                    ),
                );
            }
            None => {
                self.short.entry(level).or_insert(position);
            }
        }
        Ok(())
    }

    /// Compares the roots of the checkpoints that were signed at this size.
    fn pass(&mut self, faults: &mut Faults) {
        let size = self.size();
        while self.signed.front().is_some_and(|next| next.checkpoint.tree_size == size) {
            let Some(Signed { name, checkpoint }) = self.signed.pop_front() else { return };
            self.roots_checked += 1;
            let root = checkpoint.root_hash;
            if self.stored.root() == root {
                self.right = size;
                self.found = None;
                for Undecided { index, entry } in self.undecided.drain(..) {
                    faults.add(Some(index), entry);
                }
            } else if let Some(found) = self.found.take_if(|found| found.root() == root) {
                self.right = size;
                self.stored = found;
                let file = self.layout.short(&self.layout.level(0));
                for Undecided { index, .. } in self.undecided.drain(..) {
                    let byte = index * 32;
                    faults.add(
                        Some(index),
                        format!("{file}: the hash of entry {index} was changed (byte {byte})"),
                    );
                }
            } else if !self.lost {
                self.lost = true;
                self.tell_undecided(faults);
                faults.add(
                    None,
                    format!(
                        "{name}: the log does not have the root that was signed over {size} entries; \
                         an entry from {} on was changed, together with its hashes, or dropped",
                        self.right
                    ),
                );
            }
        }
    }

    fn tell_undecided(&mut self, faults: &mut Faults) {
        for Undecided { index, entry } in self.undecided.drain(..) {
            let file = self.layout.short(&self.layout.level(0));
            faults.add(Some(index), format!("{entry}; or its hash in {file} was"));
        }
    }

    /// The end of the log. `signed` entries are covered by the newest checkpoint.
    pub(super) fn finish(mut self, signed: u64, faults: &mut Faults) -> u64 {
        self.tell_undecided(faults);
        let size = self.size();
        for (level, position) in &self.short {
            let file = self.layout.short(&self.layout.level(*level));
            let first = position << (LEVELS_PER_FILE * level);
            if first < signed {
                faults.add(
                    None,
                    format!(
                        "{file}: ends before its hash {position}, over entries from {first} on"
                    ),
                );
            }
        }
        for Signed { name, checkpoint } in self.signed {
            faults.add(
                None,
                format!(
                    "{name}: was signed over {} entries, and the log ends before entry {size}",
                    checkpoint.tree_size
                ),
            );
        }
        self.roots_checked
    }
}
