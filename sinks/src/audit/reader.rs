//! Reads the log beside its writer: consumes the log's files, produces entries, proofs and
//! checkpoints. Guarantees that an answer covers only what is durable.

use std::{
    fs, io,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    AuditEntry, AuditError, AuditQuery, Checkpoint,
    chain::notes_of,
    index::BLOCK_ENTRIES,
    key::PublicKey,
    layout::{Layout, Span as Segment},
    merkle::Hash,
    nodes::Nodes as _,
    proof::{ConsistencyProof, Proof},
    search::{Order, entry_of, open_blocks, search},
    segment::Blocks,
    tree::TreeReader,
    view::{View, Views},
};
use crate::{
    graphql::model,
    span::{Direction, Looked, Span},
};

/// Answers questions about one log. Cheap to clone; its methods read files and block.
#[derive(Clone, Debug)]
pub struct AuditReader {
    layout: Layout,
    views: Views,
    /// Whether there was a log of this program's format.
    found: Arc<AtomicBool>,
}

impl AuditReader {
    /// A reader of the log in `dir`, which this or another process may be writing. Beside a writer in
    /// this process, [`super::AuditSink::reader`] is cheaper.
    ///
    /// # Errors
    /// When there is no log, or it can't be read.
    pub fn open(dir: &Path) -> Result<Self, AuditError> {
        let reader = Self::beside(dir);
        reader.find()?;
        Ok(reader)
    }

    /// A reader of the log that another process writes in `dir`, now or later. As long as there is
    /// none, every question is answered with [`AuditError::NoLog`].
    #[must_use]
    pub fn beside(dir: &Path) -> Self {
        Self { layout: Layout::new(dir), views: Views::of_files(), found: Arc::default() }
    }

    pub(super) fn new(layout: &Layout, views: Views) -> Self {
        Self { layout: layout.clone(), views, found: Arc::new(AtomicBool::new(true)) }
    }

    /// Looks for the log until it was there once.
    fn find(&self) -> Result<&Layout, AuditError> {
        if !self.found.load(Ordering::Acquire) {
            Layout::of_log(&self.layout.dir)?;
            self.found.store(true, Ordering::Release);
        }
        Ok(&self.layout)
    }

    fn view(&self) -> Result<View, AuditError> {
        self.views.get(self.find()?)
    }

    /// Entries of the log, with those that no checkpoint covers yet and those that are not kept any
    /// more.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn size(&self) -> Result<u64, AuditError> {
        Ok(self.view()?.size)
    }

    /// The oldest entry that is kept.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn oldest(&self) -> Result<u64, AuditError> {
        Ok(self.view()?.oldest())
    }

    /// The newest entries that fit, newest first: below index `before`, where that is given, and
    /// at most `limit`.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn entries(
        &self,
        query: &AuditQuery,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, AuditError> {
        let newest_first = Span::between(None, before, model::Order::OldestFirst, true);
        Ok(self.page(query, newest_first, limit)?.found)
    }

    /// The entries that fit and whose indexes are within bounds, in their direction. Sealed segments
    /// are asked through their indexes, so it never stops early.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn page(
        &self,
        query: &AuditQuery,
        span: Span,
        limit: usize,
    ) -> Result<Looked<AuditEntry>, AuditError> {
        let order = match span.direction {
            Direction::Ascending => Order::OldestFirst,
            Direction::Descending => Order::NewestFirst,
        };
        let mut found = Vec::new();
        if limit > 0 && !span.is_empty() {
            self.visit(query, span.low, span.high.checked_add(1), order, &mut |entry| {
                found.push(entry);
                if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(Looked { found, stopped_at: None })
    }

    /// Hands `visit` the entries that fit, from index `begin` on and below index `end`, until it
    /// breaks. Holds one block of entries at a time.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn visit(
        &self,
        query: &AuditQuery,
        begin: u64,
        end: Option<u64>,
        order: Order,
        visit: &mut dyn FnMut(AuditEntry) -> ControlFlow<()>,
    ) -> Result<(), AuditError> {
        let view = self.view()?;
        let end = end.map_or(view.size, |end| end.min(view.size));
        search(&self.layout, &view, query, Segment { first: begin, end }, order, visit)
    }

    /// One entry; `None` where there is none yet, or it is no longer kept.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn entry(&self, index: u64) -> Result<Option<AuditEntry>, AuditError> {
        let view = self.view()?;
        if index >= view.size || index < view.oldest() {
            return Ok(None);
        }
        let segment = if index >= view.open.first {
            open_blocks(&self.layout, &view)
        } else {
            let at = view.sealed.partition_point(|span| span.end <= index);
            match view.sealed.get(at).filter(|span| span.first <= index) {
                Some(span) => match Blocks::open_kept(&self.layout, *span)? {
                    Some(blocks) => blocks,
                    None => return Ok(None),
                },
                None => return Ok(None),
            }
        };
        let block = (index - segment.span.first) / BLOCK_ENTRIES;
        let text = segment.read(block)?;
        let lines = Blocks::lines(block, segment.span, &text);
        let line = lines.iter().find(|(number, _)| *number == index);
        entry_of(index, line.map_or(&[], |(_, line)| line)).map(Some)
    }

    /// That an entry is in the tree of this size.
    ///
    /// # Errors
    /// [`AuditError::NoProof`] unless index < size <= entries of the log.
    pub fn inclusion_proof(&self, index: u64, tree_size: u64) -> Result<Proof, AuditError> {
        let size = self.view()?.size;
        if index >= tree_size || tree_size > size {
            return Err(AuditError::NoProof { from: index, to: tree_size, size });
        }
        let mut tree = TreeReader::new(&self.layout);
        Ok(Proof {
            index,
            tree_size,
            leaf_hash: tree.subtree(0, index)?,
            hashes: tree.inclusion(index, tree_size)?,
            root_hash: tree.root(tree_size)?,
        })
    }

    /// That the tree of one size is the beginning of the tree of another.
    ///
    /// # Errors
    /// [`AuditError::NoProof`] unless from <= to <= entries of the log.
    pub fn consistency_proof(&self, from: u64, to: u64) -> Result<ConsistencyProof, AuditError> {
        let size = self.view()?.size;
        if from > to || to > size {
            return Err(AuditError::NoProof { from, to, size });
        }
        let mut tree = TreeReader::new(&self.layout);
        Ok(ConsistencyProof {
            from,
            to,
            hashes: tree.consistency(from, to)?,
            from_root: tree.root(from)?,
            to_root: tree.root(to)?,
        })
    }

    /// The root of the tree of this size.
    ///
    /// # Errors
    /// [`AuditError::NoProof`] when the log has fewer entries.
    pub fn root(&self, tree_size: u64) -> Result<Hash, AuditError> {
        Ok(self.consistency_proof(tree_size, tree_size)?.to_root)
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn checkpoint(&self) -> Result<Checkpoint, AuditError> {
        read_checkpoint(&self.find()?.checkpoint())
    }

    /// The checkpoint that was signed at this size when a segment was sealed there, or the newest one
    /// if it is of this size.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn checkpoint_of(&self, size: u64) -> Result<Option<Checkpoint>, AuditError> {
        let newest = self.checkpoint()?;
        if newest.tree_size == size {
            return Ok(Some(newest));
        }
        match read_checkpoint(&self.layout.checkpoint_of(size)) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(AuditError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Statements that lead from one key of the log to the next, oldest first.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn key_statements(&self) -> Result<Vec<String>, AuditError> {
        Ok(notes_of(self.find()?)?.into_iter().map(|(_, note)| note).collect())
    }

    /// The public key that lies beside the log.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn public_key(&self) -> Result<PublicKey, AuditError> {
        PublicKey::read(&self.find()?.public_key().to_string_lossy())
    }
}

/// Reads a checkpoint's file.
pub(super) fn read_checkpoint(path: &Path) -> Result<Checkpoint, AuditError> {
    let note = fs::read_to_string(path).map_err(AuditError::io("read", path))?;
    Checkpoint::parse(&note, path)
}
