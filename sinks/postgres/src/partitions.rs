//! The months of table `payments`: consumes times of batches, produces partitions before they are
//! needed, and drops those that retention has passed. Guarantees that readers never wait for a new
//! one.
//!
//! A partition is a month: few enough that a look-up which names no time asks each of them, and
//! large enough to drop at once.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use millrace_ledger::{EventSeq, Timestamp};
use millrace_sinks::SinkError;
use tokio_postgres::Client;

use crate::database::Database;

/// Ids that one statement removes: short enough that the sink's next batch does not wait long.
const IDS_PER_STEP: i64 = 20_000;
const DAY_NS: u64 = 86_400_000_000_000;

/// A month of the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month in which the time is.
    pub(crate) fn of(time: Timestamp) -> Self {
        let since_1970 = i128::from(time.0);
        let time = jiff::Timestamp::from_nanosecond(since_1970)
            .expect("64 bits of nanoseconds end in the year 2554");
        let date = time.to_zoned(TimeZone::UTC);
        Self { year: date.year(), month: date.month() }
    }

    fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { month: month + 1, ..self },
        }
    }

    fn table(self) -> String {
        format!("payments_{:04}_{:02}", self.year, self.month)
    }

    fn of_table(name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix("payments_")?.split_once('_')?;
        Some(Self { year: year.parse().ok()?, month: month.parse().ok()? })
    }

    fn start(self) -> String {
        format!("{:04}-{:02}-01 00:00:00+00", self.year, self.month)
    }
}

/// The partitions that are there.
#[derive(Default)]
pub(crate) struct Partitions {
    months: BTreeSet<Month>,
}

impl Partitions {
    pub(crate) async fn load(client: &Client, database: &Database) -> Result<Self, SinkError> {
        let children = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                        WHERE i.inhparent = 'payments'::regclass";
        let rows = client.query(children, &[]).await.map_err(database.failed("list the months"))?;
        let months = rows.iter().filter_map(|row| Month::of_table(row.get(0)));
        Ok(Self { months: months.collect() })
    }

    /// Makes what these months need, and the month behind the last one.
    pub(crate) async fn prepare(
        &mut self,
        client: &mut Client,
        database: &Database,
        needed: &BTreeSet<Month>,
    ) -> Result<(), SinkError> {
        let ahead = needed.last().map(|last| last.next());
        for month in needed.iter().copied().chain(ahead) {
            if self.months.contains(&month) {
                continue;
            }
            create(client, month).await.map_err(database.failed("create the table of a month"))?;
            tracing::info!(table = month.table(), "created the table of a month of payments");
            self.months.insert(month);
        }
        Ok(())
    }

    /// Drops months that ended more than `days` before `now`.
    pub(crate) async fn drop_old(
        &mut self,
        client: &mut Client,
        database: &Database,
        now: Timestamp,
        days: u32,
    ) -> Result<(), SinkError> {
        let oldest = Month::of(Timestamp(now.0.saturating_sub(u64::from(days) * DAY_NS)));
        while let Some(month) = self.months.first().copied().filter(|month| *month < oldest) {
            let dropped = drop_month(client, month).await;
            let kept_from = dropped.map_err(database.failed("drop the table of a month"))?;
            tracing::info!(table = month.table(), %kept_from, "retention dropped a month");
            self.months.remove(&month);
        }
        Ok(())
    }
}

/// A table that is attached when it is whole takes no lock that readers wait for; one that is made
/// as a partition does.
async fn create(client: &mut Client, month: Month) -> Result<(), tokio_postgres::Error> {
    let (table, from, to) = (month.table(), month.start(), month.next().start());
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {table} \
             (LIKE payments \
                 INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS);
         COMMENT ON TABLE {table} IS 'Payments decided from {from} until {to}.';
         ALTER TABLE payments ATTACH PARTITION {table} \
             FOR VALUES FROM ('{from}') TO ('{to}');"
    );
    let transaction = client.transaction().await?;
    transaction.batch_execute(&sql).await?;
    transaction.commit().await
}

/// Removes what names the month's payments, step by step, then the month itself. The ids of holds
/// that are open stay: their captures and expiries are still to come. May be cut short anywhere.
async fn drop_month(client: &mut Client, month: Month) -> Result<EventSeq, tokio_postgres::Error> {
    let table = month.table();
    let step = format!(
        "WITH step AS (
             SELECT event_seq, payment_id FROM {table}
             WHERE event_seq > $1 ORDER BY event_seq LIMIT {IDS_PER_STEP}),
         gone AS (
             DELETE FROM payment_ids i USING step s
             WHERE i.payment_id = s.payment_id AND i.event_seq = s.event_seq
                 AND i.state <> 'hold_open')
         SELECT max(event_seq) FROM step"
    );
    let mut last = 0_i64;
    while let Some(next) = client.query_one(&step, &[&last]).await?.get::<_, Option<i64>>(0) {
        last = next;
    }
    let end = month.next().start();
    let sql = format!(
        "SET LOCAL lock_timeout = '5s';
         DELETE FROM free_refusals WHERE decided_at < '{end}';
         DELETE FROM expiries WHERE expired_at < '{end}';
         DELETE FROM holds WHERE held_at < '{end}' AND state <> 'hold_open';
         UPDATE sink_cursor SET kept_from = greatest(kept_from, {last} + 1);
         DROP TABLE {table};"
    );
    let transaction = client.transaction().await?;
    transaction.batch_execute(&sql).await?;
    transaction.commit().await?;
    Ok(EventSeq(last as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_knows_its_table_and_its_end() {
        for (ns, table, start, end) in [
            (0, "payments_1970_01", "1970-01-01 00:00:00+00", "1970-02-01 00:00:00+00"),
            (
                1_795_163_400_000_000_000,
                "payments_2026_11",
                "2026-11-01 00:00:00+00",
                "2026-12-01 00:00:00+00",
            ),
            // The last nanosecond of a year.
            (
                1_798_761_599_999_999_999,
                "payments_2026_12",
                "2026-12-01 00:00:00+00",
                "2027-01-01 00:00:00+00",
            ),
            (u64::MAX, "payments_2554_07", "2554-07-01 00:00:00+00", "2554-08-01 00:00:00+00"),
        ] {
            let month = Month::of(Timestamp(ns));
            assert_eq!(month.table(), table);
            assert_eq!(month.start(), start);
            assert_eq!(month.next().start(), end);
            assert_eq!(Month::of_table(table), Some(month));
        }
        assert_eq!(Month::of_table("payments_old"), None);
    }
}
