//! A run: older payments in a file, sorted by id, never changed. Consumes such a file, produces the
//! payment with an id, or the certainty that it is not there; what is damaged is an error.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `MLRRUN\r\n` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | bytes of a page: 16,384 |
//! | 16 | 16 | journal id |
//! | 32 | 4 | CRC-32C of bytes 0 to 31 |
//! | 36 | 4,060 | zero |
//! | 4,096 | | parts, of up to 131,072 rows each (once 1,048,576), fewer where copied: pages (`page`), then the part's filter (`filter`) |
//! | | 64 per part | part table |
//! | | 16 per page | fences: the first id of every page |
//! | | 136 | footer |
//!
//! An entry of the part table:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | number of its first page, from 0 |
//! | 8 | 8 | offset of its pages |
//! | 16 | 8 | offset of its filter |
//! | 24 | 4 | bytes of its filter, a multiple of 4,096; 0 when it has none |
//! | 28 | 4 | number of rows |
//! | 32 | 32 | BLAKE3 of its filter |
//!
//! The footer:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | number of rows |
//! | 8 | 8 | number of pages |
//! | 16 | 8 | number of parts |
//! | 24 | 8 | number of the first generation in it |
//! | 32 | 8 | number of the last generation in it |
//! | 40 | 16 | smallest id; of a run without rows, the largest that there is |
//! | 56 | 16 | largest id; of a run without rows, zero |
//! | 72 | 8 | offset of the part table |
//! | 80 | 8 | offset of the fences |
//! | 88 | 8 | offset of the footer |
//! | 96 | 32 | BLAKE3 of bytes 0 to 4,095, part table, fences, and bytes 0 to 95 of the footer |
//! | 128 | 8 | magic `MLRRUN\r\n` |
//!
//! A part that was copied from a run that was merged has the filter that it had there, which may
//! know of more ids than the part has.
//!
//! Numbers are little-endian, ids big-endian. Every byte is covered: pages by their checksums,
//! filters by the part table, all else by the footer's hash.

use std::{
    fmt,
    fs::{self, File},
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use millrace_ledger::{PaymentId, Spans, StoredPayment};

use super::{
    filter::{Filter, FilterMemory, Fold, Question},
    layout::{self, Contents, Layout, Part},
    page::Page,
    rows::{Payments, Rows},
    spans,
};
use crate::{JournalError, page_cache, segment::JournalId};

/// What all runs of a directory share.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) directory: PathBuf,
    pub(super) journal: JournalId,
    pub(super) fold: Fold,
    pub(super) layout: Layout,
    pub(super) filter_memory: Arc<FilterMemory>,
    /// Whether files of replaced runs are deleted.
    pub(super) deletes: AtomicBool,
}

/// See the module's documentation.
pub(crate) struct Run {
    shelf: Arc<Shelf>,
    name: String,
    path: PathBuf,
    file: File,
    len: u64,
    contents: Contents,
    /// The first id of every part, side by side.
    part_firsts: Box<[PaymentId]>,
    /// Where its ids lie.
    spans: Spans,
    /// One per part, once it was asked for and there was memory for it.
    filters: Vec<OnceLock<Filter>>,
    replaced: AtomicBool,
}

/// Where in a run an id would be.
#[derive(Debug)]
pub(super) struct Sought {
    part: usize,
    /// `None` without a filter.
    question: Option<Question>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("name", &self.name).field("rows", &self.rows()).finish()
    }
}

impl Drop for Run {
    /// Deletes a run that was merged away. Whoever names it in a snapshot holds it, so nobody looks
    /// for it any more.
    fn drop(&mut self) {
        let replaced = self.replaced.load(Ordering::Acquire);
        if replaced && self.shelf.deletes.load(Ordering::Acquire) {
            // What stays behind is removed when the directory is next cleaned.
            if let Err(error) = fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "can't delete a merged run");
            }
        }
    }
}

impl Run {
    pub(super) fn new(
        shelf: Arc<Shelf>,
        name: String,
        file: File,
        len: u64,
        contents: Contents,
    ) -> Self {
        let path = shelf.directory.join(&name);
        let filters = contents.parts.iter().map(|_| OnceLock::new()).collect();
        let first_of = |part: &Part| contents.fences[part.first_page as usize];
        let part_firsts = contents.parts.iter().map(first_of).collect();
        let replaced = AtomicBool::new(false);
        let spans = Spans::default();
        let mut run =
            Self { shelf, name, path, file, len, contents, part_firsts, spans, filters, replaced };
        run.spans = spans::of_run(&run, &run.contents);
        run
    }

    /// Opens a run, and checks all of it but its pages and its filters, which are checked whenever
    /// they are asked.
    pub(super) fn open(shelf: &Arc<Shelf>, name: &str) -> Result<Self, JournalError> {
        let path = shelf.directory.join(name);
        let file = File::open(&path).map_err(JournalError::io("can't open", &path))?;
        let len = file.metadata().map_err(JournalError::io("can't read", &path))?.len();
        let contents = Contents::read(&file, &path, &shelf.journal)?;
        Ok(Self::new(shelf.clone(), name.to_owned(), file, len, contents))
    }

    /// Its file's name in the directory.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its file, which outlives its name.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Number of payments.
    pub(crate) fn rows(&self) -> u64 {
        self.contents.rows
    }

    /// Bytes on disk.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Numbers of the generations in it.
    pub(crate) fn generations(&self) -> RangeInclusive<u64> {
        self.contents.first_generation..=self.contents.last_generation
    }

    /// Where its ids lie.
    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Its least id and its greatest; without rows, the greatest that there is and the least.
    pub(super) fn bounds(&self) -> (PaymentId, PaymentId) {
        (self.contents.id_min, self.contents.id_max)
    }

    /// Bytes of memory that it takes while it is open, filters apart.
    #[allow(dead_code, reason = "for reports on a data directory")]
    pub(crate) fn memory(&self) -> u64 {
        (size_of_val(&*self.contents.fences) + size_of_val(&*self.contents.parts)) as u64
    }

    /// Its file is deleted when nobody holds it any more.
    pub(super) fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Between which ids most of it lies: all but the first and the last tenth of its pages.
    pub(super) fn middle(&self) -> RangeInclusive<PaymentId> {
        let fences = &self.contents.fences;
        let tenth = fences.len() / 10;
        let first = fences.get(tenth).copied().unwrap_or(self.contents.id_min);
        // A page's last id is not known here; it is less than the first of the next page.
        let last = fences.get(fences.len() - tenth).copied().unwrap_or(self.contents.id_max);
        first..=last
    }

    /// The payment with this id, as this run has it.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    #[cfg(test)]
    pub(super) fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, JournalError> {
        match self.seek(id, self.shelf.fold.key(id))? {
            Some(sought) => self.find_sought(id, &sought),
            None => Ok(None),
        }
    }

    /// Where this id would be, while what its filter needs is being fetched from memory. `None`
    /// when it is in a gap between the run's ids.
    ///
    /// # Errors
    /// When a filter can't be read or is damaged.
    pub(super) fn seek(&self, id: PaymentId, key: u64) -> Result<Option<Sought>, JournalError> {
        if self.spans.gap(id).is_some() {
            return Ok(None);
        }
        let part = self.part_firsts.partition_point(|first| *first <= id) - 1;
        // Without memory for the part's filter, the page must be read to know.
        let filter = match self.filters[part].get() {
            Some(filter) => Some(filter),
            None => self.load_filter(part)?,
        };
        Ok(Some(Sought { part, question: filter.map(|filter| filter.question(key)) }))
    }

    /// Has the page read that has an id that was sought, unless the filter denies it: `false` then.
    pub(super) fn expect(&self, id: PaymentId, sought: &Sought) -> bool {
        let page = self.page_sought(id, sought);
        if let Some(number) = page {
            let offset = self.page_offset(sought.part, number);
            page_cache::fetch(&self.file, offset, self.contents.page_bytes.into());
        }
        page.is_some()
    }

    /// The page that an id would be on; `None` when the filter denies it.
    fn page_sought(&self, id: PaymentId, sought: &Sought) -> Option<usize> {
        let part = sought.part;
        if let (Some(question), Some(filter)) = (&sought.question, self.filters[part].get())
            && !filter.may_hold(question)
        {
            return None;
        }
        let pages = self.contents.pages_of(part);
        let first = pages.start;
        let before = self.contents.fences[pages].partition_point(|fence| *fence <= id);
        Some(first + before - 1)
    }

    /// The payment with an id that was sought.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    pub(super) fn find_sought(
        &self,
        id: PaymentId,
        sought: &Sought,
    ) -> Result<Option<StoredPayment>, JournalError> {
        let Some(number) = self.page_sought(id, sought) else { return Ok(None) };
        let page = self.page(sought.part, number, Vec::new())?;
        page.find(id).map_err(|_| self.malformed(sought.part, number))
    }

    fn load_filter(&self, number: usize) -> Result<Option<&Filter>, JournalError> {
        let part = &self.contents.parts[number];
        if part.filter_len == 0 {
            return Ok(None);
        }
        let Some(share) = self.shelf.filter_memory.take(part.filter_len.into()) else {
            return Ok(None);
        };
        let bytes = self.filter_bytes(number)?;
        let filter = Filter::new(bytes, share).ok_or_else(|| {
            JournalError::wrong_run(&self.path, part.filter_offset, "a filter makes no sense")
        })?;
        // Another thread may have been quicker; then this one's share is given back.
        Ok(Some(self.filters[number].get_or_init(|| filter)))
    }

    /// Reads a filter and checks that it is what was written.
    pub(super) fn filter_bytes(&self, number: usize) -> Result<Vec<u8>, JournalError> {
        let part = &self.contents.parts[number];
        let len = part.filter_len as usize;
        let bytes = layout::read_at(&self.file, &self.path, part.filter_offset, len)?;
        match *blake3::hash(&bytes).as_bytes() == part.filter_hash {
            true => Ok(bytes),
            false => {
                let what = "a filter does not match its hash";
                Err(JournalError::wrong_run(&self.path, part.filter_offset, what))
            }
        }
    }

    fn page_offset(&self, part: usize, number: usize) -> u64 {
        let part = &self.contents.parts[part];
        part.pages_offset + (number as u64 - part.first_page) * u64::from(self.contents.page_bytes)
    }

    /// Reads a page into this memory and checks it.
    pub(super) fn page(
        &self,
        part: usize,
        number: usize,
        mut bytes: Vec<u8>,
    ) -> Result<Page, JournalError> {
        let offset = self.page_offset(part, number);
        bytes.resize(self.contents.page_bytes as usize, 0);
        layout::read_into(&self.file, &self.path, offset, &mut bytes)?;
        Page::check(bytes, number as u32, self.contents.fences[number])
            .map_err(|what| JournalError::wrong_run(&self.path, offset, what))
    }

    pub(super) fn malformed(&self, part: usize, number: usize) -> JournalError {
        let offset = self.page_offset(part, number);
        JournalError::wrong_run(&self.path, offset, "a page holds a row that is no payment")
    }

    /// Pages of a part; `None` behind the last part.
    pub(super) fn pages_of(&self, part: usize) -> Option<Range<usize>> {
        (part < self.contents.parts.len()).then(|| self.contents.pages_of(part))
    }

    /// The pages from this one on, up to the end of its part, whose ids are all less than `bound`;
    /// all of them without a bound.
    pub(super) fn pages_below(
        &self,
        part: usize,
        first: usize,
        bound: Option<PaymentId>,
    ) -> Range<usize> {
        let Contents { fences, id_max, .. } = &self.contents;
        let end = self.contents.pages_of(part).end;
        let Some(bound) = bound else { return first..end };
        // A page's last id is not known here; it is less than the first id of the next page.
        let next_fences = &fences[first + 1..fences.len().min(end + 1)];
        let below = next_fences.partition_point(|next| *next <= bound);
        let is_last_below = first + below + 1 == fences.len() && *id_max < bound;
        first..(first + below + usize::from(is_last_below)).min(end)
    }

    /// How many rows these pages of a part have, about.
    pub(super) fn rows_about(&self, part: usize, pages: &Range<usize>) -> usize {
        let all = self.contents.pages_of(part).len();
        self.contents.parts[part].rows as usize * pages.len() / all
    }

    pub(super) fn part(&self, number: usize) -> &Part {
        &self.contents.parts[number]
    }

    pub(super) fn page_bytes(&self) -> u32 {
        self.contents.page_bytes
    }

    /// The first id of a page.
    pub(super) fn fence(&self, page: usize) -> PaymentId {
        self.contents.fences[page]
    }

    /// All its payments in the order of their ids, page by page.
    #[allow(dead_code, reason = "for reports on a data directory")]
    pub(crate) fn iter(self: &Arc<Self>) -> Payments {
        Payments::new(Rows::new(self.clone()))
    }

    /// Checks every page and every filter, and that together they are what the footer says.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    #[allow(dead_code, reason = "for reports on a data directory")]
    pub(crate) fn verify(self: &Arc<Self>) -> Result<(), JournalError> {
        let wrong = |what| Err(JournalError::wrong_run(&self.path, self.len, what));
        for part in 0..self.contents.parts.len() {
            self.filter_bytes(part)?;
        }
        let (mut rows, mut last) = (0, None);
        for payment in self.iter() {
            let id = payment?.id;
            if last >= Some(id) {
                return wrong("its rows are out of order");
            }
            (rows, last) = (rows + 1, Some(id));
        }
        match rows == self.rows() && last.unwrap_or_default() == self.contents.id_max {
            true => Ok(()),
            false => wrong("its rows are not those that its footer tells of"),
        }
    }
}
