//! Rows in PostgreSQL's binary COPY format: consumes fields one after another, produces chunks to
//! send. Guarantees that text holds no NUL, which PostgreSQL does not take.

use std::mem;

use bytes::Bytes;
use millrace_ledger::Timestamp;

use crate::numeric::{put_decimal, put_minor};

/// Signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Chunks are sent when they are this large: the server works on one while the next is encoded.
const CHUNK: usize = 256 << 10;
/// 2000-01-01, where PostgreSQL's time begins, in seconds since 1970.
const EPOCH_S: i64 = 946_684_800;

/// Rows in the making.
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
}

impl CopyRows {
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        bytes.extend_from_slice(HEADER);
        Self { bytes }
    }

    /// What is there, when it is enough to be sent.
    pub(crate) fn take_full(&mut self) -> Option<Bytes> {
        if self.bytes.len() < CHUNK {
            return None;
        }
        let next = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        Some(mem::replace(&mut self.bytes, next).into())
    }

    /// What is left, with the end of the rows.
    pub(crate) fn finish(mut self) -> Bytes {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes.into()
    }

    /// Begins a row of so many fields.
    pub(crate) fn row(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(field);
    }

    pub(crate) fn bytes_or_null(&mut self, field: &[u8]) {
        if field.is_empty() { self.null() } else { self.bytes(field) }
    }

    pub(crate) fn text(&mut self, field: &str) {
        if field.contains('\0') {
            self.bytes(field.replace('\0', "\u{fffd}").as_bytes());
        } else {
            self.bytes(field.as_bytes());
        }
    }

    pub(crate) fn text_or_null(&mut self, field: Option<&str>) {
        match field {
            Some(field) => self.text(field),
            None => self.null(),
        }
    }

    /// A position, a ledger, a count: all far below 2^63.
    pub(crate) fn bigint(&mut self, field: u64) {
        self.bytes(&field.to_be_bytes());
    }

    pub(crate) fn int(&mut self, field: i32) {
        self.bytes(&field.to_be_bytes());
    }

    pub(crate) fn smallint(&mut self, field: i16) {
        self.bytes(&field.to_be_bytes());
    }

    pub(crate) fn real(&mut self, field: f32) {
        self.bytes(&field.to_be_bytes());
    }

    pub(crate) fn uuid(&mut self, id: u128) {
        self.bytes(&id.to_be_bytes());
    }

    /// Zero is no id.
    pub(crate) fn uuid_or_null(&mut self, id: u128) {
        if id == 0 { self.null() } else { self.uuid(id) }
    }

    /// The time to the microsecond below it; the rest goes with [`nanoseconds`].
    pub(crate) fn time(&mut self, time: Timestamp) {
        self.bytes(&micros(time).to_be_bytes());
    }

    pub(crate) fn micros(&mut self, since_2000: i64) {
        self.bytes(&since_2000.to_be_bytes());
    }

    pub(crate) fn minor(&mut self, minor: u128) {
        self.number(|out| put_minor(out, minor));
    }

    pub(crate) fn decimal(&mut self, minor: u128, exponent: u8) {
        self.number(|out| put_decimal(out, minor, exponent));
    }

    fn number(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        put(&mut self.bytes);
        let len = (self.bytes.len() - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

/// Microseconds since 2000-01-01, which is how PostgreSQL keeps a time.
pub(crate) fn micros(time: Timestamp) -> i64 {
    (time.0 / 1_000) as i64 - EPOCH_S * 1_000_000
}

/// What [`micros`] leaves out.
pub(crate) fn nanoseconds(time: Timestamp) -> i16 {
    (time.0 % 1_000) as i16
}

/// The time from its two parts; times before 1970 are none of ours.
pub(crate) fn timestamp(micros: i64, nanoseconds: i16) -> Option<Timestamp> {
    let micros = u64::try_from(micros.checked_add(EPOCH_S * 1_000_000)?).ok()?;
    let nanoseconds = u64::try_from(nanoseconds).ok()?;
    micros.checked_mul(1_000)?.checked_add(nanoseconds).map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_the_format_says() {
        let mut rows = CopyRows::new();
        rows.row(3);
        rows.null();
        rows.text("a\0b");
        rows.bigint(7);
        let sent = rows.finish();
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend_from_slice(&[0; 8]);
        expected.extend_from_slice(&[0, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5]);
        expected.extend_from_slice("a\u{fffd}b".as_bytes());
        expected.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
        assert_eq!(sent, expected);
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for ns in [0, 1, 999, 946_684_800_000_000_000, 1_795_163_400_123_456_789, u64::MAX] {
            let time = Timestamp(ns);
            assert_eq!(timestamp(micros(time), nanoseconds(time)), Some(time));
        }
        assert_eq!(micros(Timestamp(946_684_800_000_000_000)), 0);
        assert_eq!(timestamp(i64::MIN, 0), None);
    }
}
