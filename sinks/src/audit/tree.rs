//! The tree's files: consumes leaf hashes, keeps the hashes of complete subtrees of 1, 256, 65536…
//! entries, one file each, and guarantees that any proof needs a few reads of 8 KiB.
//!
//! `tree/level-n` is nothing but 32-byte hashes, one behind the other: number `p` is that of entries
//! `p * 256^n` and the next `256^n`. Eight levels of the tree lie between two files; they are computed.
//! So an entry costs 32 bytes and an eighth of one.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
};

use super::{
    AuditError,
    layout::Layout,
    merkle::{Edge, Hash, fold_complete},
    nodes::Nodes,
};

/// Levels of the tree between two files.
pub(super) const LEVELS_PER_FILE: u32 = 8;
/// Hashes of one file under one of the next.
pub(super) const TILE: u64 = 1 << LEVELS_PER_FILE;
/// Files that 2^64 entries need.
pub(super) const FILES: u32 = u64::BITS / LEVELS_PER_FILE;
pub(super) const HASH_BYTES: u64 = 32;

/// Hashes that the file of a level has in a tree of this size.
pub(super) fn len_at(level: u32, size: u64) -> u64 {
    size >> (LEVELS_PER_FILE * level)
}

/// Appends to the tree's files.
#[derive(Debug)]
pub(super) struct TreeWriter {
    layout: Layout,
    files: Vec<File>,
    /// With leaves that are not committed yet.
    edge: Edge,
    committed: Edge,
    /// By level: hashes that are not committed yet.
    pending: Vec<Vec<u8>>,
}

impl TreeWriter {
    /// Goes on behind a tree that the files hold. What is behind it in them is overwritten.
    pub(super) fn open(layout: &Layout, edge: Edge) -> Result<Self, AuditError> {
        let pending = vec![Vec::new(); FILES as usize];
        let committed = edge.clone();
        let mut tree = Self { layout: layout.clone(), files: Vec::new(), edge, committed, pending };
        tree.add_file()?;
        Ok(tree)
    }

    fn add_file(&mut self) -> Result<(), AuditError> {
        let path = self.layout.level(self.files.len() as u32);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        self.files.push(file.map_err(AuditError::io("open", path))?);
        Ok(())
    }

    /// The tree with what is not committed yet.
    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        let pending = &mut self.pending;
        self.edge.push(leaf, |height, hash| {
            if height % LEVELS_PER_FILE == 0 {
                pending[(height / LEVELS_PER_FILE) as usize].extend_from_slice(hash);
            }
        });
    }

    /// Forgets the leaves that are not committed.
    pub(super) fn rollback(&mut self) {
        self.edge.clone_from(&self.committed);
        self.pending.iter_mut().for_each(Vec::clear);
    }

    /// Writes what is pending behind what is committed. Not synced: entries can bring it back.
    pub(super) fn write(&mut self) -> Result<(), AuditError> {
        for level in 0..FILES {
            let pending = &self.pending[level as usize];
            if pending.is_empty() {
                break;
            }
            let offset = len_at(level, self.committed.size()) * HASH_BYTES;
            if self.files.len() as u32 == level {
                self.add_file()?;
            }
            let (file, pending) = (&self.files[level as usize], &self.pending[level as usize]);
            let written = file.write_all_at(pending, offset);
            written.map_err(AuditError::io("append to", self.layout.level(level)))?;
        }
        Ok(())
    }

    /// What was written counts.
    pub(super) fn commit(&mut self) {
        self.committed.clone_from(&self.edge);
        self.pending.iter_mut().for_each(Vec::clear);
    }

    /// Cuts the files to the committed tree, and makes them durable.
    pub(super) fn cut(&mut self) -> Result<(), AuditError> {
        let mut level = 0;
        while level < FILES {
            if self.files.len() as u32 == level {
                if !self.layout.level(level).is_file() {
                    break;
                }
                self.add_file()?;
            }
            let len = len_at(level, self.committed.size()) * HASH_BYTES;
            let file = &self.files[level as usize];
            let cut = file.metadata().and_then(|found| match found.len() {
                found if found > len => file.set_len(len),
                _ => Ok(()),
            });
            cut.map_err(AuditError::io("shorten", self.layout.level(level)))?;
            level += 1;
        }
        self.sync()
    }

    /// Makes the files durable.
    pub(super) fn sync(&self) -> Result<(), AuditError> {
        for (level, file) in (0..).zip(&self.files) {
            let path = self.layout.level(level);
            file.sync_data().map_err(AuditError::io("sync", path))?;
        }
        let dir = self.layout.tree();
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(AuditError::io("sync", dir))
    }
}

/// Reads the tree's files, each tile once. Made for one question.
#[derive(Debug)]
pub(super) struct TreeReader {
    layout: Layout,
    files: BTreeMap<u32, File>,
    tiles: BTreeMap<(u32, u64), Vec<Hash>>,
}

/// Tiles that a reader keeps: more than any proof needs.
const TILES_KEPT: usize = 64;

impl TreeReader {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), files: BTreeMap::new(), tiles: BTreeMap::new() }
    }

    /// Hashes of a level, from `position` on: as many as are there, at most `count`.
    pub(super) fn hashes(
        &mut self,
        level: u32,
        position: u64,
        count: u64,
    ) -> Result<Vec<Hash>, AuditError> {
        let path = self.layout.level(level);
        let file = match self.files.entry(level) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(vacant) => match File::open(&path) {
                Ok(file) => vacant.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(AuditError::io("open", path)(error)),
            },
        };
        let mut bytes = vec![0; (count * HASH_BYTES) as usize];
        let read = read_up_to(file, &mut bytes, position * HASH_BYTES);
        let read = read.map_err(AuditError::io("read", path))?;
        let whole = bytes[..read].chunks_exact(HASH_BYTES as usize);
        Ok(whole.map(|hash| hash.try_into().expect("32 bytes")).collect())
    }

    fn tile(&mut self, level: u32, tile: u64) -> Result<&[Hash], AuditError> {
        if !self.tiles.contains_key(&(level, tile)) {
            if self.tiles.len() >= TILES_KEPT {
                self.tiles.clear();
            }
            let hashes = self.hashes(level, tile * TILE, TILE)?;
            self.tiles.insert((level, tile), hashes);
        }
        Ok(&self.tiles[&(level, tile)])
    }
}

impl Nodes for TreeReader {
    type Error = AuditError;

    fn subtree(&mut self, height: u32, position: u64) -> Result<Hash, AuditError> {
        let (level, above) = (height / LEVELS_PER_FILE, height % LEVELS_PER_FILE);
        let (first, count) = (position << above, 1_usize << above);
        let start = (first % TILE) as usize;
        let tile = self.tile(level, first / TILE)?;
        match tile.get(start..start + count) {
            Some(hashes) => Ok(fold_complete(&mut hashes.to_vec())),
            None => Err(AuditError::damaged(
                &self.layout.level(level),
                format!("hash {first}"),
                "the file ends before it",
            )),
        }
    }
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
