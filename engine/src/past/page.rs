//! Pages: sorted rows in a block of fixed size with a checksum. Consumes rows in the order of their
//! ids, produces blocks; a block that is not as it was written is told, never searched.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32C of the rest of the page |
//! | 4 | 4 | number of the page in its run, from 0 |
//! | 8 | 2 | number of rows |
//! | 10 | 2 | bytes of rows |
//! | 12 | | rows: a byte that says how long, then the row; zeros up to the end |

use std::cmp::Ordering;

use millrace_ledger::{PaymentId, StoredPayment};

use super::row::{self, ID_LEN, MalformedRow, ROW_LEN_MAX};

const HEADER_LEN: usize = 12;
/// A page has room for one row at least, and counts its bytes in 16 bits.
pub(super) const PAGE_BYTES_MIN: u32 = 256;
pub(super) const PAGE_BYTES_MAX: u32 = 1 << 15;

const _: () = assert!(HEADER_LEN + 1 + ROW_LEN_MAX <= PAGE_BYTES_MIN as usize, "a row fits");
const _: () = assert!(ROW_LEN_MAX <= u8::MAX as usize, "a byte says how long a row is");

/// A page in the making.
#[derive(Debug)]
pub(super) struct PageBuilder {
    bytes: Vec<u8>,
    page_bytes: usize,
    rows: u16,
}

impl PageBuilder {
    pub(super) fn new(page_bytes: u32) -> Self {
        let page_bytes = page_bytes as usize;
        let mut bytes = Vec::with_capacity(page_bytes);
        bytes.resize(HEADER_LEN, 0);
        Self { bytes, page_bytes, rows: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn has_room(&self, row: &[u8]) -> bool {
        self.bytes.len() + 1 + row.len() <= self.page_bytes
    }

    pub(super) fn push(&mut self, row: &[u8]) {
        self.bytes.push(row.len() as u8);
        self.bytes.extend_from_slice(row);
        self.rows += 1;
    }

    /// Fills in the header, and hands the page to `put`. The next one begins empty.
    pub(super) fn seal<R>(&mut self, number: u32, put: impl FnOnce(&[u8]) -> R) -> R {
        let rows_len = (self.bytes.len() - HEADER_LEN) as u16;
        self.bytes[4..8].copy_from_slice(&number.to_le_bytes());
        self.bytes[8..10].copy_from_slice(&self.rows.to_le_bytes());
        self.bytes[10..12].copy_from_slice(&rows_len.to_le_bytes());
        self.bytes.resize(self.page_bytes, 0);
        write_checksum(&mut self.bytes);
        let result = put(&self.bytes);
        self.bytes.truncate(HEADER_LEN);
        self.rows = 0;
        result
    }
}

/// A page that was read and found whole.
#[derive(Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    rows: u16,
    end: usize,
    /// Where the next row of [`Self::next_row`] is.
    at: usize,
}

impl Page {
    /// Checks what was read for the page with this number, which begins with `first`.
    pub(super) fn check(
        bytes: Vec<u8>,
        number: u32,
        first: PaymentId,
    ) -> Result<Self, &'static str> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let checksum = crc32c::crc32c(&bytes[4..]).to_le_bytes();
        if bytes[0..4] != checksum {
            return Err("a page does not match its checksum");
        }
        if bytes[4..8] != number.to_le_bytes() {
            return Err("another page of a run is in this one's place");
        }
        let (rows, end) = (u16_at(8), HEADER_LEN + usize::from(u16_at(10)));
        if end > bytes.len() {
            return Err("a page's rows go past its end");
        }
        let page = Self { bytes, rows, end, at: HEADER_LEN };
        match page.row_at(HEADER_LEN) {
            Ok(Some((row, _))) if id_of(row) == first => Ok(page),
            _ => Err("a page does not begin with the id that the fences say"),
        }
    }

    pub(super) fn rows(&self) -> u16 {
        self.rows
    }

    /// The row that begins here, and where the next one begins; `None` at the end.
    fn row_at(&self, at: usize) -> Result<Option<(&[u8], usize)>, MalformedRow> {
        let Some((len, rest)) = self.bytes[at..self.end].split_first() else { return Ok(None) };
        let len = usize::from(*len);
        match rest.get(..len) {
            Some(row) if len >= ID_LEN => Ok(Some((row, at + 1 + len))),
            _ => Err(MalformedRow),
        }
    }

    /// The payment with this id.
    pub(super) fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, MalformedRow> {
        let mut at = HEADER_LEN;
        while let Some((row, next)) = self.row_at(at)? {
            match id_of(row).cmp(&id) {
                Ordering::Less => at = next,
                Ordering::Equal => return row::decode(row).map(Some),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// The row that [`Self::advance`] came to; at first, the first one.
    pub(super) fn row(&self) -> Result<Option<&[u8]>, MalformedRow> {
        Ok(self.row_at(self.at)?.map(|(row, _)| row))
    }

    /// Goes on to the next row, if there is one.
    pub(super) fn advance(&mut self) -> Result<(), MalformedRow> {
        if let Some((_, next)) = self.row_at(self.at)? {
            self.at = next;
        }
        Ok(())
    }

    /// The id of its last row.
    pub(super) fn last_id(&self) -> Result<PaymentId, MalformedRow> {
        let (mut last, mut at) = (None, HEADER_LEN);
        while let Some((row, next)) = self.row_at(at)? {
            (last, at) = (Some(id_of(row)), next);
        }
        last.ok_or(MalformedRow)
    }

    /// The page as it is with this number in a run.
    pub(super) fn renumbered(mut self, number: u32) -> Vec<u8> {
        self.bytes[4..8].copy_from_slice(&number.to_le_bytes());
        write_checksum(&mut self.bytes);
        self.bytes
    }

    /// The page's memory, for another one.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn write_checksum(page: &mut [u8]) {
    let checksum = crc32c::crc32c(&page[4..]);
    page[0..4].copy_from_slice(&checksum.to_le_bytes());
}

/// The id that a row begins with.
pub(super) fn id_of(row: &[u8]) -> PaymentId {
    let id = row.first_chunk::<ID_LEN>().expect("a row that was checked begins with an id");
    PaymentId(u128::from_be_bytes(*id))
}
