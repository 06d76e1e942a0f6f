//! Writing a run. Consumes rows in the order of their ids, produces a durable file under its name,
//! or none at all; holds a page, the keys of a part, and an id per page in memory.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    ops::{Range, RangeInclusive},
    path::PathBuf,
    sync::Arc,
};

use millrace_ledger::PaymentId;

use super::{
    filter,
    layout::{self, Contents, HEADER_LEN, Part},
    page::PageBuilder,
    row::MalformedRow,
    run::{Run, Shelf},
};
use crate::{JournalError, directory::sync_directory, page_cache};

/// What a run's name ends with while it is written.
pub(super) const UNFINISHED: &str = ".unfinished";
/// So much may be written before it is synced.
const SYNC_BYTES: u64 = 32 << 20;
pub(super) const SUFFIX: &str = ".run";

/// A run in the making. When it is dropped before it is finished, it leaves no trace.
#[derive(Debug)]
pub(super) struct RunWriter {
    shelf: Arc<Shelf>,
    name: String,
    unfinished: PathBuf,
    /// `None` once the file has its name.
    out: Option<BufWriter<File>>,
    header: Vec<u8>,
    contents: Contents,
    page: PageBuilder,
    offset: u64,
    /// What comes before is durable.
    synced: u64,
    part_offset: u64,
    part_first_page: usize,
    /// One per row of the part that is being written.
    keys: Vec<u64>,
    /// Whether what is written leaves the system's page cache.
    released: bool,
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // What stays behind is removed when the directory is next cleaned.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

impl RunWriter {
    pub(super) fn create(
        shelf: &Arc<Shelf>,
        generations: RangeInclusive<u64>,
    ) -> Result<Self, JournalError> {
        let (first, last) = generations.into_inner();
        let name = format!("{first:012}-{last:012}{SUFFIX}");
        let unfinished = shelf.directory.join(format!("{name}{UNFINISHED}"));
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&unfinished)
            .map_err(JournalError::io("can't create", &unfinished))?;
        let page_bytes = shelf.layout.page_bytes;
        let mut writer = Self {
            shelf: shelf.clone(),
            name,
            unfinished,
            out: Some(BufWriter::with_capacity(1 << 18, file)),
            header: layout::encode_header(&shelf.journal, page_bytes),
            contents: Contents {
                page_bytes,
                first_generation: first,
                last_generation: last,
                id_min: PaymentId::MAX,
                ..Contents::default()
            },
            page: PageBuilder::new(page_bytes),
            offset: HEADER_LEN as u64,
            synced: 0,
            part_offset: HEADER_LEN as u64,
            part_first_page: 0,
            keys: Vec::new(),
            released: false,
        };
        let header = std::mem::take(&mut writer.header);
        writer.write(&header)?;
        writer.header = header;
        Ok(writer)
    }

    /// What is written need not stay in the system's page cache.
    pub(super) fn set_released(&mut self) {
        self.released = true;
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.contents.rows
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let out = self.out.as_mut().expect("nothing is written once it is finished");
        out.write_all(bytes).map_err(JournalError::io("can't write", &self.unfinished))
    }

    /// Appends a row, whose id is greater than that of the row before.
    pub(super) fn push(&mut self, id: PaymentId, row: &[u8]) -> Result<(), JournalError> {
        let contents = &self.contents;
        assert!(contents.rows == 0 || id > contents.id_max, "rows come in the order of their ids");
        if self.keys.len() >= self.shelf.layout.part_rows_max {
            self.end_part()?;
        } else if !self.page.has_room(row) {
            self.end_page()?;
        }
        if self.page.is_empty() {
            self.contents.fences.push(id);
        }
        self.page.push(row);
        self.keys.push(self.shelf.fold.key(id));
        self.contents.rows += 1;
        self.contents.id_min = self.contents.id_min.min(id);
        self.contents.id_max = id;
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), JournalError> {
        let number = page_number(self.contents.fences.len() - 1);
        let Self { page, out, unfinished, .. } = self;
        let out = out.as_mut().expect("nothing is written once it is finished");
        page.seal(number, |bytes| out.write_all(bytes))
            .map_err(JournalError::io("can't write", &*unfinished))?;
        self.offset += u64::from(self.contents.page_bytes);
        Ok(())
    }

    /// Ends the last page of a part, and gives the part its filter.
    fn end_part(&mut self) -> Result<(), JournalError> {
        self.end_page()?;
        let rows = self.keys.len() as u32;
        let filter = filter::build(&mut self.keys);
        self.keys.clear();
        let hash = *blake3::hash(&filter).as_bytes();
        self.add_part(rows, &filter, hash)
    }

    /// Makes a part of the pages since the last one.
    fn add_part(
        &mut self,
        rows: u32,
        filter: &[u8],
        filter_hash: [u8; 32],
    ) -> Result<(), JournalError> {
        self.write(filter)?;
        self.contents.parts.push(Part {
            first_page: self.part_first_page as u64,
            pages_offset: self.part_offset,
            filter_offset: self.offset,
            filter_len: filter.len() as u32,
            rows,
            filter_hash,
        });
        self.offset += filter.len() as u64;
        self.part_offset = self.offset;
        self.part_first_page = self.contents.fences.len();
        match self.offset - self.synced >= SYNC_BYTES {
            true => self.sync_so_far(),
            false => Ok(()),
        }
    }

    /// Appends pages of a part of another run as they are, as a part of their own: it takes over the
    /// filter, which may know of more rows than these. Their ids are greater than that of the row
    /// before.
    pub(super) fn copy_pages(
        &mut self,
        run: &Run,
        part: usize,
        pages: Range<usize>,
    ) -> Result<(), JournalError> {
        if !self.page.is_empty() {
            self.end_part()?;
        }
        let (mut bytes, mut rows) = (Vec::new(), 0);
        let last = pages.end - 1;
        for number in pages {
            let first = run.fence(number);
            let follows = self.contents.rows == 0 || first > self.contents.id_max;
            assert!(follows, "pages come in the order of their ids");
            let page = run.page(part, number, bytes)?;
            rows += u32::from(page.rows());
            self.contents.rows += u64::from(page.rows());
            self.contents.id_min = self.contents.id_min.min(first);
            self.contents.id_max = match number == last {
                true => page.last_id().map_err(|MalformedRow| run.malformed(part, number))?,
                false => first,
            };
            bytes = page.renumbered(page_number(self.contents.fences.len()));
            self.contents.fences.push(first);
            self.write(&bytes)?;
            self.offset += bytes.len() as u64;
        }
        let filter = run.filter_bytes(part)?;
        self.add_part(rows, &filter, run.part(part).filter_hash)
    }

    /// Keeps what the last sync has to write small: the journal's syncs wait for the same disk.
    fn sync_so_far(&mut self) -> Result<(), JournalError> {
        let out = self.out.as_mut().expect("nothing is written once it is finished");
        out.flush()
            .and_then(|()| out.get_ref().sync_data())
            .map_err(JournalError::io("can't write", &self.unfinished))?;
        self.synced = self.offset;
        if self.released {
            page_cache::release_up_to(out.get_ref(), self.offset);
        }
        Ok(())
    }

    /// Makes the file durable, then gives it its name: a run is there whole or not at all.
    pub(super) fn finish(mut self) -> Result<Run, JournalError> {
        if !self.page.is_empty() {
            self.end_part()?;
        }
        let tail = self.contents.encode_tail(&self.header, self.offset);
        self.write(&tail)?;
        let error = |error| JournalError::io("can't write", &self.unfinished)(error);
        let out = self.out.as_mut().expect("it is finished once");
        out.flush().map_err(error)?;
        let file = out.get_ref().try_clone().map_err(error)?;
        file.sync_all().map_err(error)?;
        if self.released {
            page_cache::release(&file);
        }
        let path = self.shelf.directory.join(&self.name);
        fs::rename(&self.unfinished, &path).map_err(JournalError::io("can't create", &path))?;
        self.out = None;
        sync_directory(&self.shelf.directory)?;
        let (name, contents) = (std::mem::take(&mut self.name), std::mem::take(&mut self.contents));
        let len = self.offset + tail.len() as u64;
        Ok(Run::new(self.shelf.clone(), name, file, len, contents))
    }
}

fn page_number(number: usize) -> u32 {
    u32::try_from(number).expect("a run is far below 64 TiB")
}
