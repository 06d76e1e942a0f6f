//! An append-only store of rows by dense slot that grows without ever moving a row.

use prefetch_index::prefetch_index;

const CHUNK_ROWS: usize = 1 << 16;

/// Rows in chunks of 65,536: growth costs one allocation, never a copy of what is there.
#[derive(Clone, Debug)]
pub(crate) struct Store<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
    /// Memory for the next chunk.
    spare: Option<Chunk<T>>,
}

/// Memory for a chunk of rows.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<T>(Vec<T>);

impl<T: Clone> Chunk<T> {
    /// Memory that was written to, so that the system has found it: a page that is written to for the
    /// first time may take milliseconds. `row` is what is written.
    pub(crate) fn touched(row: T) -> Self {
        let mut rows = vec![row; CHUNK_ROWS];
        rows.clear();
        Self(rows)
    }
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0, spare: None }
    }
}

impl<T> Store<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Forgets all rows, keeping their memory for new ones.
    pub(crate) fn clear(&mut self) {
        self.chunks.iter_mut().for_each(Vec::clear);
        self.len = 0;
    }

    /// Rows for which there is room without another chunk.
    pub(crate) fn room(&self) -> usize {
        self.chunks.len() * CHUNK_ROWS - self.len
    }

    /// Whether there is memory for the next chunk.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Gives memory for the next chunk.
    pub(crate) fn give(&mut self, chunk: Chunk<T>) {
        self.spare = Some(chunk);
    }

    /// Appends a row and returns its slot.
    #[inline]
    pub(crate) fn push(&mut self, row: T) -> u32 {
        let slot = u32::try_from(self.len).expect("a ledger holds fewer than 2^32 rows");
        let chunk = slot as usize / CHUNK_ROWS;
        if chunk == self.chunks.len() {
            let spare = self.spare.take().map(|Chunk(spare)| spare);
            self.chunks.push(spare.unwrap_or_else(|| Vec::with_capacity(CHUNK_ROWS)));
        }
        self.chunks[chunk].push(row);
        self.len += 1;
        slot
    }

    /// Takes the last row away. Its chunk stays.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.chunks[last / CHUNK_ROWS].pop()
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &T {
        &self.chunks[slot as usize / CHUNK_ROWS][slot as usize % CHUNK_ROWS]
    }

    /// Has the row's first line fetched, if there is such a row. Waits for nothing.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        if let Some(chunk) = self.chunks.get(slot as usize / CHUNK_ROWS) {
            prefetch_index(chunk, slot as usize % CHUNK_ROWS);
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut T {
        &mut self.chunks[slot as usize / CHUNK_ROWS][slot as usize % CHUNK_ROWS]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_dense_across_chunks() {
        let mut store = Store::default();
        for row in 0..CHUNK_ROWS as u32 + 3 {
            assert_eq!(store.push(row), row);
        }
        *store.get_mut(7) = 70;
        assert_eq!((*store.get(7), *store.get(CHUNK_ROWS as u32 + 2)), (70, CHUNK_ROWS as u32 + 2));
        assert_eq!((store.len(), store.iter().count()), (CHUNK_ROWS + 3, CHUNK_ROWS + 3));
        store.clear();
        assert_eq!((store.len(), store.iter().count()), (0, 0));
        assert_eq!((store.push(5), *store.get(0), store.iter().count()), (0, 5, 1));
        assert_eq!((store.pop(), store.pop(), store.len()), (Some(5), None, 0));
    }

    #[test]
    fn memory_that_was_given_is_used_for_the_next_chunk() {
        let mut store = Store::default();
        assert_eq!(store.room(), 0);
        let chunk = Chunk::touched(9);
        let memory = chunk.0.as_ptr();
        store.give(chunk);
        assert_eq!((store.room(), store.len(), store.has_spare()), (0, 0, true));
        (0..CHUNK_ROWS as u32 + 1).for_each(|row| assert_eq!(store.push(row), row));
        assert_eq!((store.room(), store.get(0), store.has_spare()), (CHUNK_ROWS - 1, &0, false));
        assert_eq!(store.chunks[0].as_ptr(), memory);
    }

    #[test]
    fn rows_are_taken_away_across_chunks() {
        let mut store = Store::default();
        let rows = CHUNK_ROWS as u32 + 1;
        (0..rows).for_each(|row| assert_eq!(store.push(row), row));
        assert_eq!((store.pop(), store.pop()), (Some(rows - 1), Some(rows - 2)));
        assert_eq!((store.push(7), store.push(8)), (rows - 2, rows - 1));
        assert_eq!(
            (store.len(), *store.get(rows - 2), *store.get(rows - 1)),
            (rows as usize, 7, 8)
        );
    }
}
