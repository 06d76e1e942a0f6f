//! Payments as columns: consumes rows, produces columns in order of time.

use std::ops::Range;

use millrace_ledger::Timestamp;

use super::{DaySpan, Names, Report, day::Day, error::DataError, report};

/// One payment, as a source hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Payment<'a> {
    /// The payment's own id; may be empty.
    pub id: &'a str,
    /// When it was made.
    pub at: Timestamp,
    /// Who pays.
    pub payer: &'a str,
    /// Who is paid.
    pub payee: &'a str,
    /// In major units.
    pub amount: f64,
    /// Whether it was fraud.
    pub is_fraud: bool,
    /// When the label became known, where that is told.
    pub reported_at: Option<Timestamp>,
}

/// A further column, such as the device. An empty cell has the number of the empty text.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The column's header.
    pub name: String,
    /// The distinct values.
    pub names: Names,
    /// One number per payment.
    pub values: Vec<u32>,
}

/// Payments, one entry per payment in each column, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Payments {
    id_text: String,
    id_ends: Vec<usize>,
    pub(super) at: Vec<Timestamp>,
    payer: Vec<u32>,
    payee: Vec<u32>,
    amount: Vec<f64>,
    pub(super) is_fraud: Vec<bool>,
    /// Empty, or one entry per payment; 0 where it is not told.
    pub(super) reported_at: Vec<Timestamp>,
    pub(super) reports: Vec<Report>,
    payers: Names,
    payees: Names,
    contexts: Vec<Context>,
    has_labels: bool,
}

impl Payments {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The payment's own id, as the file has it.
    #[must_use]
    pub fn id(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.id_ends[before]);
        &self.id_text[start..self.id_ends[row]]
    }

    /// When each was made; never falls.
    #[must_use]
    pub fn at(&self) -> &[Timestamp] {
        &self.at
    }

    /// Numbers of payers, into [`Self::payers`].
    #[must_use]
    pub fn payer(&self) -> &[u32] {
        &self.payer
    }

    /// Numbers of payees, into [`Self::payees`].
    #[must_use]
    pub fn payee(&self) -> &[u32] {
        &self.payee
    }

    /// Amounts in major units: finite, not negative.
    #[must_use]
    pub fn amount(&self) -> &[f64] {
        &self.amount
    }

    /// Labels; all `false` where there is no label column.
    #[must_use]
    pub fn is_fraud(&self) -> &[bool] {
        &self.is_fraud
    }

    /// Whether labels were read.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// When the label of this payment became known, where the file tells.
    #[must_use]
    pub fn reported_at(&self, row: usize) -> Option<Timestamp> {
        self.reported_at.get(row).copied().filter(|at| at.0 > 0)
    }

    /// Texts of the payers.
    #[must_use]
    pub fn payers(&self) -> &Names {
        &self.payers
    }

    /// Texts of the payees.
    #[must_use]
    pub fn payees(&self) -> &Names {
        &self.payees
    }

    /// Further columns.
    #[must_use]
    pub fn contexts(&self) -> &[Context] {
        &self.contexts
    }

    /// The further column of this name.
    #[must_use]
    pub fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name.eq_ignore_ascii_case(name))
    }

    /// The days that the payments span; `None` if there are none.
    #[must_use]
    pub fn span(&self) -> Option<DaySpan> {
        let (first, last) = (self.at.first()?, self.at.last()?);
        DaySpan::new(Day::of(*first), Day::of(*last)).ok()
    }

    /// The rows of these days.
    ///
    /// # Errors
    /// When there is no payment in them.
    pub fn rows_of(&self, span: &DaySpan) -> Result<Range<usize>, DataError> {
        let start = self.at.partition_point(|at| *at < span.first().start());
        let end = self.at.partition_point(|at| *at < span.last().end());
        if start < end {
            return Ok(start..end);
        }
        let all = self.span().map_or_else(|| "nothing".to_owned(), |all| all.to_string());
        Err(DataError::NothingInSpan { span: span.to_string(), all })
    }
}

/// Further columns that payments may bring with them: each takes four bytes of every payment.
const CONTEXTS_MAX: usize = 64;

/// Takes payments one by one.
#[derive(Debug, Default)]
pub struct PaymentsBuilder {
    pub(super) payments: Payments,
    is_sorted: bool,
}

impl PaymentsBuilder {
    /// For payments with these further columns, labelled or not.
    #[must_use]
    pub fn new(contexts: &[&str], has_labels: bool) -> Self {
        let named = |name: &&str| Context { name: (*name).to_owned(), ..Context::default() };
        let contexts = contexts.iter().map(named).collect();
        Self { payments: Payments { contexts, has_labels, ..Payments::default() }, is_sorted: true }
    }

    /// Says more of the payment that was added last: what this further column holds of it. The column
    /// is added if there is none of the name. `false` where there are too many columns already.
    pub fn tell(&mut self, name: &str, value: &str) -> bool {
        let all = &mut self.payments;
        let place = all.contexts.iter().position(|context| context.name == name);
        let place = place.unwrap_or(all.contexts.len());
        if place == all.contexts.len() {
            if place == CONTEXTS_MAX {
                return false;
            }
            let mut added = Context { name: name.to_owned(), ..Context::default() };
            let nothing = added.names.number("");
            added.values.resize(all.at.len(), nothing);
            all.contexts.push(added);
        }
        let context = &mut all.contexts[place];
        let number = context.names.number(value);
        if let Some(last) = context.values.last_mut() {
            *last = number;
        }
        true
    }

    /// The time of the payment before, if this one is earlier.
    #[must_use]
    pub fn earlier_than_last(&self, at: Timestamp) -> Option<Timestamp> {
        self.payments.at.last().copied().filter(|last| at < *last)
    }

    /// Adds a payment, and its further columns in the order that was named. Columns that
    /// [`Self::tell`] added are empty.
    ///
    /// # Panics
    /// When there are more further columns than were named.
    pub fn push(&mut self, payment: &Payment<'_>, contexts: &[&str]) {
        let all = &mut self.payments;
        assert!(contexts.len() <= all.contexts.len(), "one value per further column");
        self.is_sorted &= all.at.last().is_none_or(|last| *last <= payment.at);
        let values = contexts.iter().copied().chain(std::iter::repeat(""));
        for (context, value) in all.contexts.iter_mut().zip(values) {
            context.values.push(context.names.number(value));
        }
        if payment.reported_at.is_some() && all.reported_at.is_empty() {
            all.reported_at.resize(all.at.len(), Timestamp(0));
        }
        if payment.reported_at.is_some() || !all.reported_at.is_empty() {
            all.reported_at.push(payment.reported_at.unwrap_or_default());
        }
        all.id_text.push_str(payment.id);
        all.id_ends.push(all.id_text.len());
        all.at.push(payment.at);
        all.payer.push(all.payers.number(payment.payer));
        all.payee.push(all.payees.number(payment.payee));
        all.amount.push(payment.amount);
        all.is_fraud.push(payment.is_fraud);
    }

    /// How many were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payments.len()
    }

    /// Whether none was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payments.is_empty()
    }

    /// The payments in order of time; those of one moment stay in the order in which they came.
    #[must_use]
    pub fn finish(self) -> Payments {
        self.finish_with::<()>(Vec::new()).0
    }

    /// The same, with a column of the caller's own, which is brought into the same order. It has one
    /// entry per payment in the order of adding, or none at all.
    ///
    /// # Panics
    /// When it has more or fewer.
    #[must_use]
    pub fn finish_with<T: Copy>(mut self, column: Vec<T>) -> (Payments, Vec<T>) {
        let len = self.payments.len();
        assert!(column.is_empty() || column.len() == len, "one entry per payment");
        if self.is_sorted {
            report::sorted(&mut self.payments.reports, |row| row);
            return (self.payments, column);
        }
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by_key(|row| self.payments.at[*row]);
        let column = if column.is_empty() { column } else { pick(&column, &order) };
        (sorted(&self.payments, &order), column)
    }
}

fn pick<T: Copy>(column: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|row| column[*row]).collect()
}

fn sorted(payments: &Payments, order: &[usize]) -> Payments {
    let mut ids = (String::with_capacity(payments.id_text.len()), Vec::with_capacity(order.len()));
    for row in order {
        ids.0.push_str(payments.id(*row));
        ids.1.push(ids.0.len());
    }
    let mut new_rows = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, row)| new_rows[*row] = new as u32);
    let mut reports = payments.reports.clone();
    report::sorted(&mut reports, |row| new_rows[row as usize]);
    let reordered =
        |context: &Context| Context { values: pick(&context.values, order), ..context.clone() };
    Payments {
        id_text: ids.0,
        id_ends: ids.1,
        at: pick(&payments.at, order),
        payer: pick(&payments.payer, order),
        payee: pick(&payments.payee, order),
        amount: pick(&payments.amount, order),
        is_fraud: pick(&payments.is_fraud, order),
        reported_at: match payments.reported_at.is_empty() {
            true => Vec::new(),
            false => pick(&payments.reported_at, order),
        },
        reports,
        contexts: payments.contexts.iter().map(reordered).collect(),
        payers: payments.payers.clone(),
        payees: payments.payees.clone(),
        has_labels: payments.has_labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_unsorted_leaves_sorted() {
        let mut builder = PaymentsBuilder::new(&["device"], true);
        for (id, at, reported_at) in
            [("a", 5, None), ("b", 3, Some(9)), ("c", 5, None), ("dd", 1, None)]
        {
            let payment = Payment {
                id,
                at: Timestamp(at),
                payer: id,
                payee: "shop",
                amount: at as f64,
                is_fraud: id == "b",
                reported_at: reported_at.map(Timestamp),
            };
            builder.push(&payment, &[id]);
        }
        let (payments, letters) = builder.finish_with(vec!['a', 'b', 'c', 'd']);
        assert_eq!(letters, ['d', 'b', 'a', 'c'], "a column of the caller's own follows");
        let ids: Vec<_> = (0..4).map(|row| payments.id(row)).collect();
        assert_eq!(ids, ["dd", "b", "a", "c"]);
        assert_eq!(payments.is_fraud(), [false, true, false, false]);
        assert_eq!(payments.amount(), [1.0, 3.0, 5.0, 5.0]);
        assert_eq!((payments.reported_at(1), payments.reported_at(2)), (Some(Timestamp(9)), None));
        let device = payments.context("Device").expect("there is one");
        assert_eq!(device.names.name(device.values[0]), "dd");
        assert_eq!(payments.payers().name(payments.payer()[3]), "c");
    }

    #[test]
    fn columns_that_come_later_are_empty_before() {
        let mut builder = PaymentsBuilder::new(&["device"], true);
        let payment = Payment {
            id: "a",
            at: Timestamp(5),
            payer: "p",
            payee: "q",
            amount: 1.0,
            is_fraud: false,
            reported_at: None,
        };
        for (at, wallet) in [(5, None), (4, Some("w-1")), (6, None), (7, Some("w-2"))] {
            builder.push(&Payment { at: Timestamp(at), ..payment }, &["phone"]);
            if let Some(wallet) = wallet {
                assert!(builder.tell("wallet", wallet));
            }
        }
        assert!((0..62).all(|number| builder.tell(&format!("k{number}"), "v")));
        assert!(!builder.tell("one too many", "v"));
        let payments = builder.finish();
        let values = |name: &str| -> Vec<_> {
            let column = payments.context(name).expect("there is one");
            column.values.iter().map(|number| column.names.name(*number)).collect()
        };
        assert_eq!(values("wallet"), ["w-1", "", "", "w-2"]);
        assert_eq!(values("device"), ["phone"; 4]);
        assert_eq!(values("k3"), ["", "", "", "v"]);
    }

    #[test]
    fn an_empty_span_tells_what_there_is() {
        let mut builder = PaymentsBuilder::new(&[], true);
        let payment = Payment {
            id: "",
            at: Day(17_737).start(),
            payer: "p",
            payee: "q",
            amount: 1.0,
            is_fraud: false,
            reported_at: None,
        };
        builder.push(&payment, &[]);
        let payments = builder.finish();
        assert_eq!(payments.rows_of(&"2018-07-25".parse().expect("a day")).expect("one"), 0..1);
        let error = payments.rows_of(&"2018-07-26".parse().expect("a day")).expect_err("none");
        let expected =
            "no payments from 2018-07-26..2018-07-26; the data spans 2018-07-25..2018-07-25";
        assert_eq!(error.to_string(), expected);
    }
}
