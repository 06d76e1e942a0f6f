//! Payments and holds: consumes ids, filters and pages, produces payments as they stand.

use millrace_ledger::{AccountId, EventSeq, PaymentId};
use millrace_sinks::{
    graphql::{
        PaymentView, ReadError, TimedOutHold,
        model::{HoldQuery, Order, OutcomeKind, PageQuery, PaymentQuery, Slice},
    },
    span::Looked,
};
use postgres_types::Type;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    reads::Reads,
    rows::{self, Fields, PAYMENT, PAYMENT_COLUMNS, STANDING},
    statement::{ANY, ONE, Span, Values, first_since, seq_of},
};
use crate::names::{self, DECISIONS, word_of};

const OUTCOMES: [(OutcomeKind, &str); 4] = [
    (OutcomeKind::Settled, "settled"),
    (OutcomeKind::Held, "held"),
    (OutcomeKind::Voided, "voided"),
    (OutcomeKind::Rejected, "rejected"),
];

/// The payments with these ids, in their order.
pub(super) async fn by_id(
    reads: &Reads,
    ids: Vec<PaymentId>,
) -> Result<Vec<Option<PaymentView>>, ReadError> {
    let rows = match ids.as_slice() {
        [id] => reads.prepared(&by_id_sql(ONE), &[&Uuid::from_u128(id.0)]).await?,
        ids => {
            let ids: Vec<_> = ids.iter().map(|id| Uuid::from_u128(id.0)).collect();
            reads.prepared(&by_id_sql(ANY), &[&ids]).await?
        }
    };
    let mut found = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by_key(|view| view.event.payment.id);
    let at = |id: &PaymentId| found.binary_search_by_key(id, |view| view.event.payment.id);
    Ok(ids.iter().map(|id| at(id).ok().map(|index| found[index].clone())).collect())
}

/// One probe of `payment_ids` names the month and the row. The server plans for a list each time,
/// as it may have any length; for one id it keeps its plan, which is most of the time saved.
pub(super) fn by_id_sql(wanted: &str) -> String {
    format!(
        "WITH w AS ( \
             SELECT event_seq, decided_at FROM millrace.payment_ids WHERE payment_id {wanted} \
             UNION ALL \
             SELECT r.event_seq, r.decided_at FROM millrace.free_refusals r \
             LEFT JOIN millrace.payment_ids t ON t.payment_id = r.payment_id \
             WHERE r.payment_id {wanted} AND t.payment_id IS NULL) \
         SELECT {PAYMENT} FROM w \
         JOIN millrace.payments p ON p.decided_at = w.decided_at AND p.event_seq = w.event_seq \
         {STANDING}"
    )
}

fn view(row: &Row) -> Result<PaymentView, ReadError> {
    rows::payment(&mut Fields::of(row))
}

/// The payments that pass all filters. Amounts have no index: where nothing else is asked for, a page
/// looks at so many positions at most.
pub(super) async fn list(
    reads: &Reads,
    query: PaymentQuery,
    newest: EventSeq,
) -> Result<Slice<PaymentView>, ReadError> {
    let page = &query.page;
    let Some(span) = Span::of(page, query.order) else { return Ok(page.slice(Vec::new())) };
    let (span, stopped_at) = match is_by_amount(&query) {
        true => span.first(reads.page_looks, newest.0),
        false => (span, None),
    };
    let (sql, values) = list_sql_within(&query, span);
    let rows = reads.planned(&sql, &values.params()).await?;
    let found = rows.iter().map(view).collect::<Result<_, _>>()?;
    Ok(page.slice_until(Looked { found, stopped_at }))
}

/// Whether only the amount, or the amount and the ledger, choose.
fn is_by_amount(query: &PaymentQuery) -> bool {
    let rest = PaymentQuery { amount_min: None, amount_max: None, ledger: None, ..query.clone() };
    let everything = PaymentQuery { order: query.order, ..PaymentQuery::all(query.page) };
    (query.amount_min.is_some() || query.amount_max.is_some()) && rest == everything
}

/// A page of payments; an empty one where there is nothing to ask.
async fn views(
    reads: &Reads,
    page: &PageQuery,
    question: Option<(String, Values)>,
) -> Result<Slice<PaymentView>, ReadError> {
    let Some((sql, values)) = question else { return Ok(page.slice(Vec::new())) };
    let rows = reads.planned(&sql, &values.params()).await?;
    Ok(page.slice(rows.iter().map(view).collect::<Result<_, _>>()?))
}

/// `None` where nothing can be on the page.
#[cfg(test)]
pub(super) fn list_sql(query: &PaymentQuery) -> Option<(String, Values)> {
    Some(list_sql_within(query, Span::of(&query.page, query.order)?))
}

fn list_sql_within(query: &PaymentQuery, span: Span) -> (String, Values) {
    let mut values = Values::default();
    let mut filters = filters(query, span, &mut values);
    let (direction, limit) = (span.direction(), query.page.limit.saturating_add(1));
    let page = format!("ORDER BY event_seq {direction} LIMIT {limit}");
    let source = match query.account {
        None => {
            format!("SELECT * FROM millrace.payments WHERE {} {page}", filters.join(" AND "))
        }
        Some(account) => {
            let account = values.add(Uuid::from_u128(account.0), Type::UUID);
            let side = |filters: &[String]| {
                format!("(SELECT * FROM millrace.payments WHERE {} {page})", filters.join(" AND "))
            };
            filters.push(format!("debit_account = {account}"));
            let debits = side(&filters);
            filters.pop();
            filters.push(format!("credit_account = {account}"));
            filters.push(format!("debit_account IS DISTINCT FROM {account}"));
            format!("{debits} UNION ALL {} {page}", side(&filters))
        }
    };
    let sql =
        format!("SELECT {PAYMENT} FROM ({source}) p {STANDING} ORDER BY p.event_seq {direction}");
    (sql, values)
}

fn filters(query: &PaymentQuery, span: Span, values: &mut Values) -> Vec<String> {
    let mut filters = vec![
        format!("event_seq >= {}", values.seq(span.low)),
        format!("event_seq <= {}", values.seq(span.high)),
    ];
    // The time itself, too: it names the months to look in.
    if let Some(from) = query.from_time {
        let from = values.time(from);
        filters.push(format!("decided_at >= {}", from[0]));
        filters.push(format!("event_seq >= {}", first_since(&from)));
    }
    if let Some(to) = query.to_time {
        let to = values.time(to);
        filters.push(format!("decided_at <= {}", to[0]));
        filters.push(format!("event_seq < {}", first_since(&to)));
    }
    // No text of PostgreSQL has a NUL: no row has this reference, and the server would refuse it.
    let reference = query.reference.as_ref().map(|text| text.replace('\0', "\u{fffd}\u{fffd}"));
    if let Some(reference) = reference {
        let wanted = values.add(reference, Type::TEXT);
        // The index is by the hash.
        filters.push(format!("hashtextextended(reference, 0) = hashtextextended({wanted}, 0)"));
        filters.push(format!("reference = {wanted}"));
    }
    let mut equal = |column: &str, word: Option<String>| {
        if let Some(word) = word {
            filters.push(format!("{column} = {}", values.add(word, Type::TEXT)));
        }
    };
    equal("status", query.status.map(|status| word_of(&OUTCOMES, status).to_owned()));
    equal("reject_reason", query.reject_reason.map(|reason| names::reason(reason).to_owned()));
    let decision = query.risk_decision.map(|decision| word_of(&DECISIONS, decision).to_owned());
    equal("risk_decision", decision);
    if let Some(ledger) = query.ledger {
        filters.push(format!("ledger = {}", values.add(i64::from(ledger.0), Type::INT8)));
    }
    for (bound, minor) in [(">=", query.amount_min), ("<=", query.amount_max)] {
        if let Some(minor) = minor {
            let minor = values.add(minor.to_string(), Type::TEXT);
            filters.push(format!("amount_minor {bound} {minor}::text::numeric"));
        }
    }
    filters
}

/// Every payment that names this one, oldest first.
pub(super) async fn refunds(
    reads: &Reads,
    original: PaymentId,
    page: PageQuery,
) -> Result<Slice<PaymentView>, ReadError> {
    views(reads, &page, refunds_sql(original, &page)).await
}

pub(super) fn refunds_sql(original: PaymentId, page: &PageQuery) -> Option<(String, Values)> {
    let span = Span::of(page, Order::OldestFirst)?;
    let (direction, limit) = (span.direction(), page.limit.saturating_add(1));
    let mut values = Values::default();
    let original = values.add(Uuid::from_u128(original.0), Type::UUID);
    let (low, high) = (values.seq(span.low), values.seq(span.high));
    let sql = format!(
        "SELECT {PAYMENT} FROM (SELECT * FROM millrace.payments WHERE original_id = {original} \
             AND event_seq >= {low} AND event_seq <= {high} \
             ORDER BY event_seq {direction} LIMIT {limit}) p {STANDING} \
         ORDER BY p.event_seq {direction}"
    );
    Some((sql, values))
}

/// Holds of which something is left.
pub(super) async fn holds(
    reads: &Reads,
    query: HoldQuery,
) -> Result<Slice<PaymentView>, ReadError> {
    views(reads, &query.page, holds_sql(&query)).await
}

pub(super) fn holds_sql(query: &HoldQuery) -> Option<(String, Values)> {
    let span = Span::of(&query.page, query.order)?;
    let (direction, limit) = (span.direction(), query.page.limit.saturating_add(1));
    let mut values = Values::default();
    let (low, high) = (values.seq(span.low), values.seq(span.high));
    let open = format!(
        "SELECT event_seq, held_at FROM millrace.holds WHERE state = 'hold_open' \
         AND event_seq >= {low} AND event_seq <= {high}"
    );
    let source = of_account(&open, query.account, &mut values, direction, limit);
    let sql = format!(
        "SELECT {PAYMENT} FROM ({source}) h \
         JOIN millrace.payments p ON p.decided_at = h.held_at AND p.event_seq = h.event_seq \
         {STANDING} ORDER BY p.event_seq {direction}"
    );
    Some((sql, values))
}

/// Holds that timed out, newest expiry first.
pub(super) async fn timed_out(
    reads: &Reads,
    account: Option<AccountId>,
    page: PageQuery,
) -> Result<Slice<TimedOutHold>, ReadError> {
    let Some((sql, values)) = timed_out_sql(account, &page) else {
        return Ok(page.slice(Vec::new()));
    };
    let rows = reads.planned(&sql, &values.params()).await?;
    let found = rows.iter().map(|row| {
        let hold = view(row)?;
        let mut fields = Fields::from(row, PAYMENT_COLUMNS);
        let seq = seq_of(fields.take()?).ok_or(ReadError::Damaged)?;
        let time = fields.time()?;
        Ok(TimedOutHold { seq, time, released: fields.minor()?, hold })
    });
    Ok(page.slice(found.collect::<Result<_, ReadError>>()?))
}

pub(super) fn timed_out_sql(
    account: Option<AccountId>,
    page: &PageQuery,
) -> Option<(String, Values)> {
    let span = Span::of(page, Order::NewestFirst)?;
    let (direction, limit) = (span.direction(), page.limit.saturating_add(1));
    let mut values = Values::default();
    let (low, high) = (values.seq(span.low), values.seq(span.high));
    let some = format!(
        "SELECT event_seq, expired_at, expired_ns, released_minor, hold_seq, held_at \
         FROM millrace.expiries WHERE event_seq >= {low} AND event_seq <= {high}"
    );
    let source = of_account(&some, account, &mut values, direction, limit);
    let sql = format!(
        "SELECT {PAYMENT}, e.event_seq, e.expired_at, e.expired_ns, e.released_minor \
         FROM ({source}) e \
         JOIN millrace.payments p ON p.decided_at = e.held_at AND p.event_seq = e.hold_seq \
         {STANDING} ORDER BY e.event_seq {direction}"
    );
    Some((sql, values))
}

/// A page of rows of one account, on either side, or of all. `some` ends with its filters.
fn of_account(
    some: &str,
    account: Option<AccountId>,
    values: &mut Values,
    direction: &str,
    limit: usize,
) -> String {
    let page = format!("ORDER BY event_seq {direction} LIMIT {limit}");
    let Some(account) = account else { return format!("{some} {page}") };
    let account = values.add(Uuid::from_u128(account.0), Type::UUID);
    format!(
        "({some} AND debit_account = {account} {page}) UNION ALL \
         ({some} AND credit_account = {account} AND debit_account IS DISTINCT FROM {account} \
         {page}) {page}"
    )
}
