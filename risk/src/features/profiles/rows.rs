//! Rows: what is remembered of each entity, as many words for each, that can be copied out piece by
//! piece as they were at one moment.
//!
//! Guarantees that a sweep hands out every row as it stood when the sweep began. A row that changes
//! before the sweep reaches it is kept as it was, once.

use std::collections::BTreeMap;

use prefetch_index::prefetch_index;

use super::shards::{Deal, Dealt};

/// Pieces that rows are dealt out in, about, and the least rows in one.
const PIECES: u32 = 128;
const PIECE_SHIFT_MIN: u32 = 4;
/// The entity's key.
pub(super) const KEY: usize = 0;
/// Time of its newest payment.
pub(super) const LAST: usize = 1;

const LINE_WORDS: usize = 8;
/// Lines of a row that are fetched ahead: counters come first, rings last.
const LINES_AHEAD: usize = 4;
/// Words that are allocated at a time: half a mebibyte, so that growing never copies.
const CHUNK_WORDS: usize = 1 << 16;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Words per row: a power of two up to a cache line, then whole lines.
    stride: usize,
    /// Rows in a chunk: `1 << shift`.
    shift: u32,
    chunks: Vec<Chunk>,
    len: u32,
    /// The next row of the sweep and the one after its last; none is this far while there is none.
    swept: u32,
    sweep_end: u32,
    before: BTreeMap<u32, Box<[u64]>>,
}

/// Rows begin with a cache line, where the allocator did not begin with one.
#[derive(Debug)]
struct Chunk {
    words: Vec<u64>,
    from: usize,
}

impl Chunk {
    fn new(len: usize) -> Self {
        let words = vec![0_u64; len + LINE_WORDS];
        let from = words.as_ptr().align_offset(LINE_WORDS * size_of::<u64>()) % LINE_WORDS;
        Self { words, from }
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        let len = self.words.len() - LINE_WORDS;
        let mut clone = Self::new(len);
        let from = clone.from;
        clone.words[from..from + len].copy_from_slice(&self.words[self.from..self.from + len]);
        clone
    }
}

/// Has the first lines of a row fetched. Waits for nothing.
#[inline]
pub(super) fn prefetch(words: &[u64]) {
    for line in (0..words.len().min(LINES_AHEAD * LINE_WORDS)).step_by(LINE_WORDS) {
        prefetch_index(words, line);
    }
}

impl Rows {
    pub(super) fn new(words: usize) -> Self {
        let stride = match words {
            ..=LINE_WORDS => words.next_power_of_two(),
            _ => words.next_multiple_of(LINE_WORDS),
        };
        let shift = (CHUNK_WORDS / stride).max(1).ilog2();
        Self {
            stride,
            shift,
            chunks: Vec::new(),
            len: 0,
            swept: u32::MAX,
            sweep_end: 0,
            before: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    #[inline]
    fn place(&self, row: u32) -> (usize, usize) {
        let chunk = (row >> self.shift) as usize;
        let within = (row & ((1 << self.shift) - 1)) as usize;
        (chunk, self.chunks[chunk].from + within * self.stride)
    }

    #[inline]
    pub(super) fn get(&self, row: u32) -> &[u64] {
        let (chunk, at) = self.place(row);
        &self.chunks[chunk].words[at..at + self.stride]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, row: u32) -> &mut [u64] {
        if row >= self.swept {
            self.keep(row);
        }
        let (chunk, at) = self.place(row);
        &mut self.chunks[chunk].words[at..at + self.stride]
    }

    #[inline]
    pub(super) fn key(&self, row: u32) -> u64 {
        let (chunk, at) = self.place(row);
        self.chunks[chunk].words[at + KEY]
    }

    /// Has the first lines of a row fetched. Waits for nothing.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        let (chunk, at) = self.place(row);
        for line in (0..self.stride.min(LINES_AHEAD * LINE_WORDS)).step_by(LINE_WORDS) {
            prefetch_index(&self.chunks[chunk].words, at + line);
        }
    }

    #[inline]
    pub(super) fn last(&self, row: u32) -> u64 {
        let (chunk, at) = self.place(row);
        self.chunks[chunk].words[at + LAST]
    }

    /// Appends a row of zeros.
    pub(super) fn push(&mut self) -> u32 {
        let row = self.len;
        if row >> self.shift == self.chunks.len() as u32 {
            self.chunks.push(Chunk::new(self.stride << self.shift));
        }
        self.len += 1;
        row
    }

    #[cold]
    fn keep(&mut self, row: u32) {
        if row < self.sweep_end && !self.before.contains_key(&row) {
            let as_it_was = self.get(row).into();
            self.before.insert(row, as_it_was);
        }
    }

    /// Whether a change of this row must be kept from the sweep that is under way.
    #[inline]
    pub(super) fn is_due(&self, row: u32) -> bool {
        row >= self.swept && row < self.sweep_end
    }

    /// Whether a sweep is under way.
    pub(super) fn is_swept(&self) -> bool {
        self.swept != u32::MAX
    }

    /// Deals the rows out to so many owners, in pieces of a size at which each owner has many, and few
    /// slices are made.
    pub(super) fn deal(&mut self, owners: usize) -> Dealt<'_> {
        let even = self.len.div_ceil(PIECES).next_power_of_two().ilog2();
        let shift = even.clamp(PIECE_SHIFT_MIN.min(self.shift), self.shift);
        let deal = Deal { shift, stride: self.stride, owners, owner: 0 };
        let (chunk_len, piece_len) = (self.stride << self.shift, self.stride << shift);
        let mut pieces: Vec<Vec<&mut [u64]>> = (0..owners).map(|_| Vec::new()).collect();
        let all = self.chunks.iter_mut().flat_map(|chunk| {
            chunk.words[chunk.from..chunk.from + chunk_len].chunks_exact_mut(piece_len)
        });
        for (number, piece) in all.enumerate() {
            pieces[number % owners].push(piece);
        }
        Dealt { deal, pieces }
    }

    /// Begins a sweep over the rows as they are now.
    pub(super) fn begin_sweep(&mut self) {
        (self.swept, self.sweep_end) = (0, self.len);
        self.before.clear();
    }

    /// Hands out the next rows of the sweep with their numbers: at most so many. `false` when it
    /// is over.
    pub(super) fn sweep(&mut self, rows_max: u32, mut put: impl FnMut(u32, &[u64])) -> bool {
        if self.swept == u32::MAX {
            return false;
        }
        let end = self.sweep_end.min(self.swept.saturating_add(rows_max));
        for row in self.swept..end {
            match self.before.remove(&row) {
                Some(before) => put(row, &before),
                None => put(row, self.get(row)),
            }
        }
        self.swept = if end == self.sweep_end { u32::MAX } else { end };
        self.swept != u32::MAX
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.words.len() * size_of::<u64>()).sum()
    }
}
