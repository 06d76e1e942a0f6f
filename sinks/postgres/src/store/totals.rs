//! Totals: consumes a span of time, produces counts and sums by the hour, the day, or ever.

use millrace_ledger::{LedgerId, Timestamp};
use millrace_sinks::graphql::{
    ReadError,
    model::{CountAndSum, Total, TotalsBy, TotalsQuery},
};
use postgres_types::Type;
use tokio_postgres::Row;

use super::{reads::Reads, rows::Fields, statement::Values};
use crate::{
    copy::{micros, timestamp},
    sql_time::SqlTime,
};

pub(super) async fn list(reads: &Reads, query: TotalsQuery) -> Result<Vec<Total>, ReadError> {
    let (sql, values) = list_sql(query);
    let rows = reads.planned(&sql, &values.params()).await?;
    rows.iter().map(total).collect()
}

pub(super) fn list_sql(query: TotalsQuery) -> (String, Values) {
    let mut values = Values::default();
    let mut filters = vec!["true".to_owned()];
    if let Some(ledger) = query.ledger {
        filters.push(format!("ledger = {}", values.add(i64::from(ledger.0), Type::INT8)));
    }
    // Hours begin at whole microseconds, so a bound between two of them is the later one.
    let mut bound = |time: Timestamp| {
        let time = micros(Timestamp(time.0.saturating_add(999)));
        values.add(SqlTime(time), Type::TIMESTAMPTZ)
    };
    if let Some(from) = query.range.from {
        filters.push(format!("hour >= {}", bound(from)));
    }
    if let Some(to) = query.range.to {
        filters.push(format!("hour < {}", bound(to)));
    }
    let start = match query.by {
        TotalsBy::Hour => "hour",
        TotalsBy::Day => "date_trunc('day', hour, 'UTC')",
        TotalsBy::Ledger => "NULL::timestamptz",
    };
    let of = |status: &str| {
        format!(
            "coalesce(sum(payments) FILTER (WHERE status = '{status}'), 0)::bigint, \
             coalesce(sum(sum_minor) FILTER (WHERE status = '{status}'), 0)"
        )
    };
    let sql = format!(
        "SELECT ledger, {start} AS start, {}, {}, {}, {} FROM millrace.totals WHERE {} \
         GROUP BY 1, 2 ORDER BY 1, 2",
        of("settled"),
        of("held"),
        of("voided"),
        of("rejected"),
        filters.join(" AND ")
    );
    (sql, values)
}

fn total(row: &Row) -> Result<Total, ReadError> {
    let mut fields = Fields::of(row);
    let ledger = LedgerId(fields.number()?);
    let start = match fields.take::<Option<SqlTime>>()? {
        Some(SqlTime(start)) => Some(timestamp(start, 0).ok_or(ReadError::Damaged)?),
        None => None,
    };
    let mut next = || -> Result<_, ReadError> {
        Ok(CountAndSum { count: fields.number()?, minor: fields.sum()? })
    };
    let (settled, held, voided, rejected) = (next()?, next()?, next()?, next()?);
    Ok(Total { ledger, start, settled, held, voided, rejected })
}
