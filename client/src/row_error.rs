//! Why a row is refused: consumes nothing, produces sentences that name file, line, column and
//! value, so that the person who made the file can correct it without reading code.

use std::sync::Arc;

use csv::ByteRecord;
use millrace_ledger::AmountError;

/// Why a row can't be a payment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowReason {
    /// A cell is missing or there is one too many; usually a stray delimiter or quote.
    #[error("the row has {found} columns, and the header has {expected}")]
    ColumnCount {
        /// Columns of the header.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// The file is in another encoding.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A value that this operation needs is not there.
    #[error("is empty, and this operation needs it")]
    Empty,
    /// The text is not an amount of the row's currency.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// An amount or account without the currency that it is in.
    #[error("is empty, and the row's amount and accounts need it")]
    CurrencyMissing,
    /// Not in ISO 4217.
    #[error("is not an ISO 4217 currency code such as EUR (three upper-case letters)")]
    CurrencyUnknown,
    /// Not an instant.
    #[error("is not a time such as 2026-01-31T09:30:00Z")]
    TimeUnreadable,
    /// Not an operation.
    #[error("is not an operation (pay, authorize, capture, void, refund)")]
    OperationUnknown,
    /// Not a channel.
    #[error(
        "is not a channel (card_present, card_not_present, transfer, standing_order, \
         direct_debit, cash, internal)"
    )]
    ChannelUnknown,
    /// Neither listed in the mapping nor a number that a code can be.
    #[error("is neither in the mapping's codes nor a number from 1 to 65535")]
    CodeUnknown,
    /// Neither true nor false.
    #[error("is neither true nor false")]
    NotBoolean,
    /// Not a count of seconds.
    #[error("is not a whole number of seconds")]
    NotSeconds,
    /// Longer than the wire allows.
    #[error("is longer than {bytes_max} bytes")]
    TooLong {
        /// Most bytes.
        bytes_max: usize,
    },
    /// Not an address.
    #[error("is not an IPv4 or IPv6 address")]
    NotIpAddress,
    /// Not a country code.
    #[error("is not an ISO 3166-1 country code (two upper-case letters)")]
    NotCountryCode,
    /// Not a merchant category code.
    #[error("is not a merchant category code (four digits)")]
    NotMerchantCategory,
    /// The rows of a linked group stand or fall together, before they are sent as well.
    #[error("not sent, because line {line} is refused and may be of the same linked group")]
    GroupMemberRefused {
        /// The line at fault.
        line: u64,
    },
    /// More linked rows than one request may carry.
    #[error("belongs to a linked group of more than {rows_max} rows")]
    GroupTooLong {
        /// Most rows of a group.
        rows_max: usize,
    },
}

/// A column's value and why it is refused, before the row that it stands in is known.
#[derive(Debug)]
pub(crate) struct Defect {
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) reason: RowReason,
}

impl Defect {
    pub(crate) fn new(
        column: impl Into<String>,
        value: impl Into<String>,
        reason: RowReason,
    ) -> Self {
        Self { column: column.into(), value: value.into(), reason }
    }
}

/// A refused row. The rest of the file goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}{}{reason}", self.place())]
pub struct RowError {
    /// The file as it was given.
    pub file: Arc<str>,
    /// As an editor counts: the header is line 1.
    pub line: u64,
    /// The column or columns at fault; empty when the whole row is.
    pub column: String,
    /// What stands there.
    pub value: String,
    /// Why it is refused.
    pub reason: RowReason,
    /// The row as it stands in the file.
    pub record: ByteRecord,
}

impl RowError {
    fn place(&self) -> String {
        match (self.column.as_str(), self.value.as_str()) {
            ("", _) => ": ".to_owned(),
            (column, "") => format!(", column {column} "),
            (column, value) => format!(", column {column}: `{value}` "),
        }
    }
}
