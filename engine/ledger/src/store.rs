//! An append-only store of rows by dense slot that grows without ever moving a row.

const CHUNK_ROWS: usize = 1 << 16;

/// Rows in chunks of 65,536: growth costs one allocation, never a copy of what is there.
#[derive(Clone, Debug)]
pub(crate) struct Store<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Store<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK_ROWS + last.len(),
            None => 0,
        }
    }

    /// Appends a row and returns its slot.
    pub(crate) fn push(&mut self, row: T) -> u32 {
        let slot = u32::try_from(self.len()).expect("a ledger holds fewer than 2^32 rows");
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_ROWS) {
            self.chunks.push(Vec::with_capacity(CHUNK_ROWS));
        }
        self.chunks.last_mut().expect("just made").push(row);
        slot
    }

    /// Takes back the row that was appended last.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let row = self.chunks.last_mut()?.pop();
        if self.chunks.last().is_some_and(Vec::is_empty) {
            self.chunks.pop();
        }
        row
    }

    pub(crate) fn get(&self, slot: u32) -> &T {
        &self.chunks[slot as usize / CHUNK_ROWS][slot as usize % CHUNK_ROWS]
    }

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
    fn slots_are_dense_across_chunks_and_pop_undoes_push() {
        let mut store = Store::new();
        for row in 0..CHUNK_ROWS as u32 + 3 {
            assert_eq!(store.push(row), row);
        }
        *store.get_mut(7) = 70;
        assert_eq!((*store.get(7), *store.get(CHUNK_ROWS as u32 + 2)), (70, CHUNK_ROWS as u32 + 2));
        for _ in 0..4 {
            store.pop();
        }
        assert_eq!(store.len(), CHUNK_ROWS - 1);
        assert_eq!(store.push(1), CHUNK_ROWS as u32 - 1);
        assert_eq!(store.iter().count(), CHUNK_ROWS);
    }
}
