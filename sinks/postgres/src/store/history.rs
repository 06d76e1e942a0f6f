//! Balances as they were. Every payment's row has its accounts' balances right after it, so that
//! the past of every account can be asked for.

use millrace_ledger::{AccountFlags, AccountId, Balances, LedgerId, PaymentId};
use millrace_sinks::graphql::{
    HistoryRow, ReadError,
    model::{AsOf, BalancesAt, Order, PageQuery, Slice, TimeRange},
};
use postgres_types::Type;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    reads::Reads,
    rows::Fields,
    statement::{Span, Values, first_since, seq_of},
};
use crate::names::{CHANGES, value_of};

/// What changed the balances, in words.
const CHANGE: &str = "CASE WHEN status <> 'settled' THEN status WHEN operation = 'capture' \
                      THEN 'captured' WHEN operation = 'refund' THEN 'refunded' \
                      ELSE 'settled' END AS change";

/// The last rows, in the order asked for, of the four places where an account's balances change.
struct Changes {
    account: String,
    payments: String,
    expiries: String,
    page: String,
}

impl Changes {
    /// Columns: position, time in two parts, what it was, payment, four balances.
    fn sql(&self) -> String {
        let Self { account, payments, expiries, page } = self;
        let of_payments = |side: &str| {
            format!(
                "(SELECT event_seq, decided_at AS at, decided_ns AS ns, {CHANGE}, payment_id, \
                     {side}_debits_pending AS dp, {side}_debits_posted AS dd, \
                     {side}_credits_pending AS cp, {side}_credits_posted AS cc \
                 FROM millrace.payments WHERE {side}_account = {account} \
                     AND status <> 'rejected' AND {payments} {page})"
            )
        };
        let of_expiries = |side: &str| {
            format!(
                "(SELECT event_seq, expired_at AS at, expired_ns AS ns, 'expired' AS change, \
                     payment_id, {side}_debits_pending AS dp, {side}_debits_posted AS dd, \
                     {side}_credits_pending AS cp, {side}_credits_posted AS cc \
                 FROM millrace.expiries WHERE {side}_account = {account} AND {expiries} {page})"
            )
        };
        format!(
            "{} UNION ALL {} UNION ALL {} UNION ALL {} {page}",
            of_payments("debit"),
            of_payments("credit"),
            of_expiries("debit"),
            of_expiries("credit")
        )
    }
}

fn entry(fields: &mut Fields<'_>) -> Result<HistoryRow, ReadError> {
    let seq = seq_of(fields.take()?).ok_or(ReadError::Damaged)?;
    let time = fields.time()?;
    let change = value_of(&CHANGES, fields.take()?).ok_or(ReadError::Damaged)?;
    let payment = PaymentId(fields.take::<Uuid>()?.as_u128());
    Ok(HistoryRow { seq, time, change, payment, balances: fields.balances()? })
}

/// Balances after each event that changed them, newest first, where the account keeps its history.
pub(super) async fn list(
    reads: &Reads,
    account: AccountId,
    range: TimeRange,
    page: PageQuery,
) -> Result<Slice<HistoryRow>, ReadError> {
    let Some((sql, values)) = list_sql(account, range, &page) else {
        return Ok(page.slice(Vec::new()));
    };
    let rows = reads.planned(&sql, &values.params()).await?;
    let found = rows.iter().map(|row| entry(&mut Fields::of(row)));
    Ok(page.slice(found.collect::<Result<_, _>>()?))
}

pub(super) fn list_sql(
    account: AccountId,
    range: TimeRange,
    page: &PageQuery,
) -> Option<(String, Values)> {
    let span = Span::of(page, Order::NewestFirst)?;
    let mut values = Values::default();
    let account = values.add(Uuid::from_u128(account.0), Type::UUID);
    let (low, high) = (values.seq(span.low), values.seq(span.high));
    let keeps = AccountFlags::KEEPS_HISTORY.0;
    let mut both = vec![
        format!("event_seq >= {low} AND event_seq <= {high}"),
        format!(
            "EXISTS (SELECT FROM millrace.accounts a WHERE a.account_id = {account} \
             AND a.flags & {keeps} <> 0)"
        ),
    ];
    let mut expiries = Vec::new();
    if let Some(from) = range.from {
        let from = values.time(from);
        expiries.push(format!("(expired_at, expired_ns) >= ({}, {})", from[0], from[1]));
        both.push(format!("event_seq >= {}", first_since(&from)));
    }
    if let Some(to) = range.to {
        let to = values.time(to);
        expiries.push(format!("(expired_at, expired_ns) < ({}, {})", to[0], to[1]));
        both.push(format!("event_seq < {}", first_since(&to)));
    }
    let payments = both.join(" AND ");
    // Expiries are few: their own times are looked at.
    expiries.extend(both.drain(..2));
    let changes = Changes {
        account,
        payments,
        expiries: expiries.join(" AND "),
        page: format!(
            "ORDER BY event_seq {} LIMIT {}",
            span.direction(),
            page.limit.saturating_add(1)
        ),
    };
    Some((changes.sql(), values))
}

/// The balances of an account as they were.
pub(super) async fn at(
    reads: &Reads,
    account: AccountId,
    at: AsOf,
) -> Result<Option<BalancesAt>, ReadError> {
    let (sql, values) = at_sql(account, at);
    let rows = reads.planned(&sql, &values.params()).await?;
    rows.first().map_or(Ok(None), balances_at)
}

pub(super) fn at_sql(account: AccountId, at: AsOf) -> (String, Values) {
    let mut values = Values::default();
    let account = values.add(Uuid::from_u128(account.0), Type::UUID);
    let (payments, expiries, opened) = match at {
        AsOf::Seq(seq) => {
            let seq = values.seq(seq.0);
            let until = format!("event_seq <= {seq}");
            (until.clone(), until, format!("a.opened_seq <= {seq}"))
        }
        AsOf::Time(time) => {
            let [time, ns] = values.time(time);
            // The first payment that is later parts the payments in two.
            let later = format!(
                "coalesce((SELECT q.event_seq FROM millrace.payments q \
                     WHERE q.decided_at >= {time} AND (q.decided_at, q.decided_ns) > ({time}, {ns}) \
                     ORDER BY q.decided_at, q.event_seq LIMIT 1), {})",
                i64::MAX
            );
            (
                format!("event_seq < {later}"),
                format!("(expired_at, expired_ns) <= ({time}, {ns})"),
                format!("(a.opened_at, a.opened_ns) <= ({time}, {ns})"),
            )
        }
    };
    let changes = Changes {
        account: account.clone(),
        payments,
        expiries,
        page: "ORDER BY event_seq DESC LIMIT 1".to_owned(),
    };
    let sql = format!(
        "SELECT a.ledger, a.opened_seq, a.opened_at, a.opened_ns, a.balances_seq, c.kept_from, \
             a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, h.* \
         FROM millrace.accounts a \
         CROSS JOIN millrace.sink_cursor c \
         LEFT JOIN LATERAL ({}) h ON true \
         WHERE a.account_id = {account} AND {opened}",
        changes.sql()
    );
    (sql, values)
}

fn balances_at(row: &Row) -> Result<Option<BalancesAt>, ReadError> {
    let mut fields = Fields::of(row);
    let ledger = LedgerId(fields.number()?);
    let opened_at = seq_of(fields.take()?).ok_or(ReadError::Damaged)?;
    let opened_time = fields.time()?;
    let (now_at, kept_from) = (fields.take::<i64>()?, fields.take::<i64>()?);
    let now = fields.balances()?;
    let found = fields.take::<Option<i64>>()?;
    let balances_at = |balances, changed_at, changed_time| {
        Ok(Some(BalancesAt { ledger, balances, changed_at, changed_time }))
    };
    if found.is_some() {
        let entry = entry(&mut Fields::from(row, FIRST_OF_CHANGE))?;
        return balances_at(entry.balances, entry.seq, entry.time);
    }
    if opened_at.0 as i64 >= kept_from {
        return balances_at(Balances::default(), opened_at, opened_time);
    }
    // Retention dropped what there was, if anything. What holds now held then, if nothing changed
    // it since.
    if now_at < kept_from {
        let changed_at = seq_of(now_at).ok_or(ReadError::Damaged)?;
        return balances_at(now, changed_at, opened_time);
    }
    Ok(None)
}

/// Where the columns of the change begin in the row of [`balances_at`].
const FIRST_OF_CHANGE: usize = 10;
