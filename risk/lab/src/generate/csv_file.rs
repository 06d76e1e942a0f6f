//! A file of labelled payments: consumes generated payments, produces the CSV that the lab reads.
//!
//! The first columns are those of the public card data set, so that whatever reads that reads this.

use std::{
    io::{self, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use jiff::{ToSpan as _, civil::Date};
use millrace_ledger::Timestamp;

use super::payment::GeneratedPayment;

/// The header.
pub const COLUMNS: &str = "payment_id,time,customer,terminal,amount,is_fraud,device,country,channel,mcc,pattern,reported_at";

/// Level 1 of 9: a million payments take 28 MB. Level 6 saves a sixth of it in three times the time.
const COMPRESSION: Compression = Compression::fast();
/// Bytes of rows that are written at once.
const CHUNK: usize = 1 << 16;
const DAY_S: u64 = 86_400;

/// Writes payments as CSV, compressed or not.
pub struct CsvFile<W: Write> {
    target: Target<W>,
    rows: Vec<u8>,
    days: [DayText; 2],
}

enum Target<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
}

/// The last day that was written as text: rows of a day come together.
struct DayText {
    day: u64,
    text: String,
}

/// Whether a file of this name is to be compressed: it ends in `.gz`.
#[must_use]
pub fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

impl<W: Write> CsvFile<W> {
    /// Starts a file with its header.
    pub fn new(target: W, gzip: bool) -> Self {
        let target = match gzip {
            true => Target::Gzip(GzEncoder::new(target, COMPRESSION)),
            false => Target::Plain(target),
        };
        let mut rows = Vec::with_capacity(CHUNK + 512);
        rows.extend_from_slice(COLUMNS.as_bytes());
        rows.push(b'\n');
        let days = [(); 2].map(|()| DayText { day: u64::MAX, text: String::new() });
        Self { target, rows, days }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the target can't be written.
    pub fn write(&mut self, payment: &GeneratedPayment) -> io::Result<()> {
        let row = &mut self.rows;
        let mut digits = itoa::Buffer::new();
        let cell = |row: &mut Vec<u8>, text: &str| {
            row.extend_from_slice(text.as_bytes());
            row.push(b',');
        };
        cell(row, digits.format(payment.seq));
        push_time(row, &mut self.days[0], payment.at);
        row.push(b',');
        cell(row, digits.format(payment.payer.0));
        cell(row, digits.format(payment.payee.0));
        push_amount(row, payment.amount_minor, payment.currency.exponent);
        row.extend_from_slice(if payment.label.is_some() { b",1," } else { b",0," });
        push_hex(row, payment.device.0);
        row.push(b',');
        cell(row, payment.country.code());
        cell(row, payment.channel.name());
        cell(row, digits.format(payment.mcc));
        cell(row, payment.label.map_or("", |pattern| pattern.name()));
        if let Some(reported_at) = payment.label_known_at {
            push_time(row, &mut self.days[1], reported_at);
        }
        row.push(b'\n');
        if self.rows.len() >= CHUNK { self.flush_rows() } else { Ok(()) }
    }

    /// Writes what is left and gives the target back.
    ///
    /// # Errors
    /// When the target can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_rows()?;
        match self.target {
            Target::Plain(mut target) => target.flush().map(|()| target),
            Target::Gzip(encoder) => encoder.finish(),
        }
    }

    fn flush_rows(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Plain(target) => target.write_all(&self.rows)?,
            Target::Gzip(encoder) => encoder.write_all(&self.rows)?,
        }
        self.rows.clear();
        Ok(())
    }
}

/// RFC 3339 in UTC, to the second.
fn push_time(row: &mut Vec<u8>, known: &mut DayText, at: Timestamp) {
    let at_s = at.0 / 1_000_000_000;
    let day = at_s / DAY_S;
    if known.day != day {
        let days = i64::try_from(day).unwrap_or_default();
        let date = Date::constant(1970, 1, 1).saturating_add(days.days());
        *known = DayText { day, text: date.to_string() };
    }
    row.extend_from_slice(known.text.as_bytes());
    for (mark, value) in [(b'T', at_s / 3_600 % 24), (b':', at_s / 60 % 60), (b':', at_s % 60)] {
        row.extend_from_slice(&[mark, b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
    }
    row.push(b'Z');
}

/// Decimal text with as many digits after the point as the currency has.
fn push_amount(row: &mut Vec<u8>, minor: u64, exponent: u8) {
    let unit = 10_u64.pow(exponent.into());
    row.extend_from_slice(itoa::Buffer::new().format(minor / unit).as_bytes());
    if exponent == 0 {
        return;
    }
    row.push(b'.');
    let mut below = unit / 10;
    while below > 0 {
        row.push(b'0' + (minor / below % 10) as u8);
        below /= 10;
    }
}

/// As `Device` is displayed.
fn push_hex(row: &mut Vec<u8>, number: u32) {
    for nibble in (0..8).rev() {
        row.push(b"0123456789abcdef"[((number >> (4 * nibble)) & 0xf) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        for (minor, exponent, expected) in
            [(5, 2, "0.05"), (1_234, 2, "12.34"), (700, 0, "700"), (12_045, 3, "12.045")]
        {
            let mut row = Vec::new();
            push_amount(&mut row, minor, exponent);
            assert_eq!(row, expected.as_bytes());
        }
    }

    #[test]
    fn times_and_devices_are_as_displayed() {
        let mut known = DayText { day: u64::MAX, text: String::new() };
        for (at_s, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (86_399, "1970-01-01T23:59:59Z"),
            (1_772_323_445, "2026-03-01T00:04:05Z"),
        ] {
            let mut row = Vec::new();
            push_time(&mut row, &mut known, Timestamp(at_s * 1_000_000_000));
            assert_eq!(String::from_utf8_lossy(&row), expected);
        }
        let mut row = Vec::new();
        push_hex(&mut row, 0x00ab_12cd);
        assert_eq!(row, super::super::Device(0x00ab_12cd).to_string().as_bytes());
    }
}
