//! One row: consumes a raw record through a mapping, produces the payment that the wire carries.
//!
//! Guarantees that reading is a function of the row's cells alone (its line number and the clock
//! have no part in it), so that the same row is the same payment in every run.

use bytes::Bytes;
use csv::ByteRecord;
use millrace_ledger::{Amount, Currency, LedgerId};
use millrace_protos::v1::{ContextValue, Operation, Payment, PaymentContext, PaymentFlag};
use prost::Message as _;

use crate::{
    Mapping, Namespace, Template,
    ids::as_uuid,
    row_error::{Defect, RowReason},
    template::{Bound, cell},
    values,
};

/// A row that is a payment.
#[derive(Clone, Debug)]
pub struct Row {
    /// As an editor counts: the header is line 1.
    pub line: u64,
    /// The row as it stands in the file.
    pub record: ByteRecord,
    /// What is sent.
    pub payment: Payment,
    /// Text of the account that pays; none where the earlier payment says it.
    pub debit: Option<String>,
    /// Text of the account that receives; none where the earlier payment says it.
    pub credit: Option<String>,
    /// None where the earlier payment says it.
    pub currency: Option<Currency>,
    /// [`Amount::ALL`] where the row leaves it out.
    pub amount: Amount,
}

impl Row {
    /// The ledger that keeps the row's currency; 0 where the earlier payment says it.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.currency.map_or(LedgerId(0), |currency| currency.ledger)
    }
}

/// A mapping whose columns are positions in one file's header.
#[derive(Debug)]
pub(crate) struct Layout {
    mapping: Mapping,
    namespace: Namespace,
    /// Columns of the mapping's header, by which rows without an id are told apart.
    all_columns: Vec<usize>,
    columns: usize,
    id: Option<Bound>,
    debit: Bound,
    credit: Bound,
    amount: Bound,
    currency: Bound,
    operation: Option<Bound>,
    original: Option<Bound>,
    timeout_seconds: Option<Bound>,
    linked: Option<Bound>,
    balancing_debit: Option<Bound>,
    balancing_credit: Option<Bound>,
    code: Bound,
    channel: Option<Bound>,
    device_id: Option<Bound>,
    ip_address: Option<Bound>,
    country_code: Option<Bound>,
    merchant_category_code: Option<Bound>,
    reference: Option<Bound>,
    event_time: Option<Bound>,
    /// By their keys.
    other: Vec<(String, Bound)>,
}

impl Layout {
    /// Finds the mapping's columns in a file's header.
    ///
    /// # Errors
    /// The name of the first column that the header lacks.
    pub(crate) fn new(mapping: &Mapping, header: &[String]) -> Result<Self, String> {
        let bind = |template: &Template| template.bind(header);
        let maybe = |template: &Option<Template>| template.as_ref().map(bind).transpose();
        let find = |name: &String| {
            header.iter().position(|column| column == name).ok_or_else(|| name.clone())
        };
        let Mapping { payment, context, .. } = mapping;
        let all_columns = match payment.id {
            Some(_) => Vec::new(),
            None => mapping.header.iter().map(find).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            namespace: mapping.namespace(),
            all_columns,
            columns: header.len(),
            id: maybe(&payment.id)?,
            debit: bind(&payment.debit)?,
            credit: bind(&payment.credit)?,
            amount: bind(&payment.amount)?,
            currency: bind(&payment.currency)?,
            operation: maybe(&payment.operation)?,
            original: maybe(&payment.original)?,
            timeout_seconds: maybe(&payment.timeout_seconds)?,
            linked: maybe(&payment.linked)?,
            balancing_debit: maybe(&payment.balancing_debit)?,
            balancing_credit: maybe(&payment.balancing_credit)?,
            code: bind(&payment.code)?,
            channel: maybe(&context.channel)?,
            device_id: maybe(&context.device_id)?,
            ip_address: maybe(&context.ip_address)?,
            country_code: maybe(&context.country_code)?,
            merchant_category_code: maybe(&context.merchant_category_code)?,
            reference: maybe(&context.reference)?,
            event_time: maybe(&context.event_time)?,
            other: (context.other.iter())
                .map(|(key, template)| Ok((key.clone(), bind(template)?)))
                .collect::<Result<_, String>>()?,
            mapping: mapping.clone(),
        })
    }

    /// Whether the row is linked to the next one. A row of which that can't be told counts as
    /// linked: better to refuse one row too many than to send part of a group.
    pub(crate) fn is_linked(&self, record: &ByteRecord) -> bool {
        let Some(bound) = &self.linked else { return false };
        if record.len() != self.columns {
            return true;
        }
        match bound.fill(record) {
            Ok(filled) => values::boolean(&filled.text).unwrap_or(true),
            Err(_) => true,
        }
    }

    /// Reads a row. `occurrence` counts rows with the same cells, from 1; it is asked only where
    /// the mapping names no id.
    pub(crate) fn read(
        &self,
        line: u64,
        record: &ByteRecord,
        occurrence: impl FnOnce(u128) -> u32,
    ) -> Result<Row, Defect> {
        if record.len() != self.columns {
            let reason = RowReason::ColumnCount { expected: self.columns, found: record.len() };
            return Err(Defect::new("", "", reason));
        }
        let operation = optional(&self.operation, record, values::operation)?;
        let operation = operation.unwrap_or(Operation::Pay);
        let currency = self.currency(record, operation)?;
        let debit = self.account(&self.debit, record, operation)?;
        let credit = self.account(&self.credit, record, operation)?;
        let (balancing, flags) = self.flags(record)?;
        let amount = self.amount(record, operation, balancing, currency)?;

        let payment = Payment {
            payment_id: self.payment_id(record, occurrence)?,
            debit_account_id: self.account_id(&self.debit, debit.as_deref(), currency)?,
            credit_account_id: self.account_id(&self.credit, credit.as_deref(), currency)?,
            original_payment_id: self.original_id(record, operation)?,
            amount_minor: amount.map(|amount| amount.0 as u64),
            amount_minor_high: amount.map_or(0, |amount| (amount.0 >> 64) as u64),
            ledger: currency.map_or(0, |currency| currency.ledger.0),
            code: self.code(record, operation)?,
            operation: operation as i32,
            flags,
            timeout_seconds: self.timeout_seconds(record, operation)?,
            context: self.context(record)?,
            ..Payment::default()
        };
        let amount = amount.unwrap_or(Amount::ALL);
        Ok(Row { line, record: record.clone(), payment, debit, credit, currency, amount })
    }

    fn payment_id(
        &self,
        record: &ByteRecord,
        occurrence: impl FnOnce(u128) -> u32,
    ) -> Result<u128, Defect> {
        if let Some(bound) = &self.id {
            return required(bound, record, |text| Ok(self.mapping_payment_id(text)));
        }
        let mut cells = Vec::with_capacity(self.all_columns.len());
        for (index, column) in self.all_columns.iter().zip(&self.mapping.header) {
            let cell = cell(record, *index)
                .map_err(|value| Defect::new(column, value, RowReason::NotUtf8))?;
            cells.push(cell);
        }
        let alike = self.namespace.row(cells.iter().copied(), 0).0;
        Ok(self.namespace.row(cells.into_iter(), occurrence(alike)).0)
    }

    fn mapping_payment_id(&self, reference: &str) -> u128 {
        match as_uuid(reference).filter(|_| self.mapping.uuid) {
            Some(id) => id.as_u128(),
            None => self.namespace.payment(reference).0,
        }
    }

    fn original_id(&self, record: &ByteRecord, operation: Operation) -> Result<u128, Defect> {
        let Some(bound) = &self.original else { return Ok(0) };
        let read = |text: &str| Ok(self.mapping_payment_id(text));
        match needs_original(operation) {
            true => required(bound, record, read),
            // A plain payment with an original is the ledger's to refuse.
            false => Ok(filled(bound, record, read)?.unwrap_or(0)),
        }
    }

    fn currency(
        &self,
        record: &ByteRecord,
        operation: Operation,
    ) -> Result<Option<Currency>, Defect> {
        match needs_original(operation) {
            true => filled(&self.currency, record, values::currency),
            false => required(&self.currency, record, values::currency).map(Some),
        }
    }

    fn account(
        &self,
        bound: &Bound,
        record: &ByteRecord,
        operation: Operation,
    ) -> Result<Option<String>, Defect> {
        let read = |text: &str| Ok(text.to_owned());
        match needs_original(operation) {
            true => filled(bound, record, read),
            false => required(bound, record, read).map(Some),
        }
    }

    fn account_id(
        &self,
        bound: &Bound,
        text: Option<&str>,
        currency: Option<Currency>,
    ) -> Result<u128, Defect> {
        match (text, currency) {
            (None, _) => Ok(0),
            (Some(text), Some(currency)) => Ok(self.mapping.account_id(text, currency).0),
            // A constant account beside a capture without a currency: the earlier payment knows.
            (Some(_), None) if bound.is_constant() => Ok(0),
            (Some(_), None) => {
                Err(Defect::new(&self.currency.columns, "", RowReason::CurrencyMissing))
            }
        }
    }

    /// `None` where the row leaves it out and may: all that is left, or all that is available.
    fn amount(
        &self,
        record: &ByteRecord,
        operation: Operation,
        balancing: bool,
        currency: Option<Currency>,
    ) -> Result<Option<Amount>, Defect> {
        let missing = || Defect::new(&self.currency.columns, "", RowReason::CurrencyMissing);
        let text = match needs_original(operation) || balancing {
            true => filled(&self.amount, record, |text| Ok(text.to_owned()))?,
            false => required(&self.amount, record, |text| Ok(text.to_owned())).map(Some)?,
        };
        let Some(text) = text else { return Ok(None) };
        let currency = currency.ok_or_else(missing)?;
        let amount = values::amount(&text, currency, self.mapping.payment.round_amount);
        amount.map(Some).map_err(|error| Defect::new(&self.amount.columns, text, error.into()))
    }

    fn flags(&self, record: &ByteRecord) -> Result<(bool, u32), Defect> {
        let is_set = |bound| Ok(optional(bound, record, values::boolean)?.unwrap_or(false));
        let linked = u32::from(is_set(&self.linked)?) << PaymentFlag::Linked as u32;
        let debit = u32::from(is_set(&self.balancing_debit)?) << PaymentFlag::BalancingDebit as u32;
        let credit =
            u32::from(is_set(&self.balancing_credit)?) << PaymentFlag::BalancingCredit as u32;
        Ok((debit | credit != 0, linked | debit | credit))
    }

    /// A capture, void or refund takes its code from the earlier payment where the row has none.
    fn code(&self, record: &ByteRecord, operation: Operation) -> Result<u32, Defect> {
        let fields = &self.mapping.payment;
        let read = |text: &str| values::code(text, &fields.codes, fields.code_otherwise);
        match needs_original(operation) {
            true => Ok(filled(&self.code, record, read)?.unwrap_or(0)),
            false => optional_bound(&self.code, record, read),
        }
    }

    /// A constant time-out is meant for the holds of the file; one in a column for its row.
    fn timeout_seconds(&self, record: &ByteRecord, operation: Operation) -> Result<u32, Defect> {
        let of_this_row =
            |bound: &&Bound| operation == Operation::Authorize || !bound.is_constant();
        match self.timeout_seconds.as_ref().filter(of_this_row) {
            Some(bound) => optional_bound(bound, record, values::seconds),
            None => Ok(0),
        }
    }

    /// Values of the caller's own, in the order of their keys; empty ones are left out.
    fn other(&self, record: &ByteRecord) -> Result<Vec<ContextValue>, Defect> {
        let mut others = Vec::new();
        for (key, bound) in &self.other {
            if let Some(value) = filled(bound, record, values::other)? {
                others.push(ContextValue { key: key.clone(), value });
            }
        }
        Ok(others)
    }

    fn context(&self, record: &ByteRecord) -> Result<Bytes, Defect> {
        fn text(
            bound: &Option<Bound>,
            record: &ByteRecord,
            read: impl Fn(&str) -> Result<String, RowReason>,
        ) -> Result<String, Defect> {
            let Some(bound) = bound else { return Ok(String::new()) };
            Ok(filled(bound, record, read)?.unwrap_or_default())
        }
        let channel = self.channel.as_ref().map(|bound| filled(bound, record, values::channel));
        let event_time =
            self.event_time.as_ref().map(|bound| filled(bound, record, values::event_time));
        let category = &self.merchant_category_code;
        let context = PaymentContext {
            channel: channel.transpose()?.flatten().map_or(0, |channel| channel as i32),
            device_id: text(&self.device_id, record, values::device_id)?,
            ip_address: text(&self.ip_address, record, values::ip_address)?,
            country_code: text(&self.country_code, record, values::country_code)?,
            merchant_category_code: text(category, record, values::merchant_category)?,
            reference: optional(&self.reference, record, values::reference)?.unwrap_or_default(),
            event_time: event_time.transpose()?.flatten(),
            other: self.other(record)?,
            // Files say nothing of traces; requests may.
            trace: None,
        };
        Ok(context.encode_to_vec().into())
    }
}

/// Whether the operation is about an earlier payment and takes what it leaves out from that one.
fn needs_original(operation: Operation) -> bool {
    matches!(operation, Operation::Capture | Operation::Void | Operation::Refund)
}

/// Reads a field that may have empty cells.
fn optional_bound<T>(
    bound: &Bound,
    record: &ByteRecord,
    read: impl FnOnce(&str) -> Result<T, RowReason>,
) -> Result<T, Defect> {
    let filled = bound.fill(record)?;
    read(&filled.text).map_err(|reason| Defect::new(&bound.columns, filled.text, reason))
}

/// Reads a field that the mapping may lack and that may have empty cells.
fn optional<T>(
    bound: &Option<Bound>,
    record: &ByteRecord,
    read: impl FnOnce(&str) -> Result<T, RowReason>,
) -> Result<Option<T>, Defect> {
    bound.as_ref().map(|bound| optional_bound(bound, record, read)).transpose()
}

/// Reads a field; `None` when one of its cells is empty.
fn filled<T>(
    bound: &Bound,
    record: &ByteRecord,
    read: impl FnOnce(&str) -> Result<T, RowReason>,
) -> Result<Option<T>, Defect> {
    let filled = bound.fill(record)?;
    if filled.has_empty_cell {
        return Ok(None);
    }
    read(&filled.text).map(Some).map_err(|reason| Defect::new(&bound.columns, filled.text, reason))
}

/// Reads a field of which no cell may be empty.
fn required<T>(
    bound: &Bound,
    record: &ByteRecord,
    read: impl FnOnce(&str) -> Result<T, RowReason>,
) -> Result<T, Defect> {
    filled(bound, record, read)?.ok_or_else(|| Defect::new(&bound.columns, "", RowReason::Empty))
}
