//! Writes one transaction: consumes events and their projection, produces rows. Guarantees that rows
//! and cursor are committed together, and only where the cursor is the one expected.
//!
//! Transactions are begun and ended by hand, because two go on at a time: [`begin`] copies the payments,
//! [`merge`] does the rest and commits. Whoever gets an error rolls back.
//!
//! Rows that are only ever added are copied straight into their table; a detour would write each
//! of them twice. What changes rows that may be there is copied into a temporary table, which is
//! then merged as a set.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::{SinkExt as _, pin_mut};
use millrace_ledger::{Event, EventSeq, LedgerId, Timestamp};
use tokio_postgres::{Client, Error};

use crate::{
    copy::{CopyRows, micros, nanoseconds},
    names::{self, ACCOUNT_STATES, PAYMENT_STATES},
    payment_row::{self, COLUMNS, Unit, put_balances},
    project::{Due, Projection},
    sink::{NAME, Place},
    sql_time::SqlTime,
};

/// The temporary tables of a session.
pub(crate) const STAGES: &str = "
    CREATE TEMP TABLE stage_standings (event_seq bigint, decided_at timestamptz, payment_id uuid,
        state text, remaining_minor numeric, released_minor numeric) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE stage_free (event_seq bigint, decided_at timestamptz, payment_id uuid)
        ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE stage_accounts (opened_seq bigint, opened_at timestamptz, opened_ns smallint,
        ledger bigint, tenant bigint, account_id uuid, owner_id uuid, code integer, flags smallint,
        state text, currency text, credit_limit numeric) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE stage_balances (balances_seq bigint, account_id uuid, debits_pending numeric,
        debits_posted numeric, credits_pending numeric, credits_posted numeric)
        ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE stage_totals (hour timestamptz, ledger bigint, status text, payments bigint,
        sum_minor numeric) ON COMMIT DELETE ROWS;
";

const IDS: &str = "event_seq, decided_at, payment_id, state, remaining_minor, released_minor";

const MERGE_STANDINGS: &str = "
    INSERT INTO payment_ids
        (event_seq, decided_at, payment_id, state, remaining_minor, released_minor)
    SELECT event_seq, decided_at, payment_id, state, remaining_minor, released_minor
    FROM pg_temp.stage_standings
    ON CONFLICT (payment_id) DO UPDATE SET event_seq = excluded.event_seq,
        decided_at = excluded.decided_at, state = excluded.state,
        remaining_minor = excluded.remaining_minor, released_minor = excluded.released_minor;
    UPDATE holds h SET state = s.state, remaining_minor = s.remaining_minor,
        released_minor = s.released_minor
    FROM pg_temp.stage_standings s
    WHERE h.event_seq = s.event_seq AND s.state LIKE 'hold%'";
const MERGE_FREE: &str = "
    INSERT INTO free_refusals (event_seq, decided_at, payment_id)
    SELECT event_seq, decided_at, payment_id FROM pg_temp.stage_free
    ON CONFLICT (payment_id) DO UPDATE
    SET event_seq = excluded.event_seq, decided_at = excluded.decided_at";
/// What opened the account stays as it is.
const MERGE_ACCOUNTS: &str = "
    INSERT INTO accounts (opened_seq, opened_at, opened_ns, balances_seq, ledger, tenant,
        account_id, owner_id, code, flags, state, currency, credit_limit,
        debits_pending, debits_posted, credits_pending, credits_posted)
    SELECT opened_seq, opened_at, opened_ns, opened_seq, ledger, tenant, account_id, owner_id,
        code, flags, state, currency, credit_limit, 0, 0, 0, 0
    FROM pg_temp.stage_accounts
    ON CONFLICT (account_id) DO UPDATE
    SET state = excluded.state, credit_limit = excluded.credit_limit";
const MERGE_BALANCES: &str = "
    UPDATE accounts a SET balances_seq = s.balances_seq,
        debits_pending = s.debits_pending, debits_posted = s.debits_posted,
        credits_pending = s.credits_pending, credits_posted = s.credits_posted
    FROM pg_temp.stage_balances s WHERE a.account_id = s.account_id";
const MERGE_TOTALS: &str = "
    INSERT INTO totals AS t (hour, ledger, status, payments, sum_minor)
    SELECT hour, ledger, status, sum(payments), sum(sum_minor) FROM pg_temp.stage_totals
    GROUP BY hour, ledger, status
    ON CONFLICT (ledger, hour, status) DO UPDATE
    SET payments = t.payments + excluded.payments, sum_minor = t.sum_minor + excluded.sum_minor";
const MOVE_CURSOR: &str = "
    UPDATE sink_cursor
    SET next_seq = $3, batch_time = $4, batch_ns = $5, written_at = now()
    WHERE sink = $1 AND next_seq = $2";

/// Why an apply was not committed.
pub(crate) enum WriteError {
    Database(Error),
    /// The cursor is not where this process left it.
    CursorMoved,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Ledgers as the rows name them.
pub(crate) type KnownUnits = HashMap<u32, Unit>;
/// Ledgers that are in their table.
pub(crate) type Noted = HashSet<u32>;

/// Ledgers, kept from apply to apply.
#[derive(Default)]
pub(crate) struct Units {
    known: KnownUnits,
    noted: Noted,
}

impl Units {
    /// Takes in the ledgers that the events name.
    pub(crate) fn learn(&mut self, events: &[Due<'_>]) {
        for ledger in events.iter().filter_map(ledger_of) {
            self.known.entry(ledger.0).or_insert_with(|| Unit::of(ledger));
        }
    }

    pub(crate) fn split(&mut self) -> (&KnownUnits, &mut Noted) {
        (&self.known, &mut self.noted)
    }

    /// Nothing is known of the table any more.
    pub(crate) fn forget(&mut self) {
        self.noted.clear();
    }
}

fn ledger_of((event, _): &Due<'_>) -> Option<LedgerId> {
    match &event.event {
        Event::Payment(payment) => Some(payment.payment.ledger),
        Event::Account(account) => Some(account.account.spec.ledger),
        Event::HoldExpired(_) | Event::Act(_) => None,
    }
}

/// The events of one transaction, and what is known of their ledgers.
pub(crate) struct Step<'s, 'a> {
    pub(crate) events: &'s [Due<'a>],
    pub(crate) known: &'s KnownUnits,
    pub(crate) noted: &'s mut Noted,
}

/// Where rows go.
struct Target<'a> {
    client: &'a Client,
}

impl Target<'_> {
    /// Copies rows into the table, unless there are none.
    async fn copy(&self, table: &str, rows: CopyRows, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let statement = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let writer = self.client.copy_in::<_, Bytes>(&statement).await?;
        pin_mut!(writer);
        writer.feed(rows.finish()).await?;
        writer.finish().await.map(|_| ())
    }

    /// Copies rows into a temporary table and merges it, unless there are none.
    async fn merge(
        &self,
        stage: &str,
        rows: CopyRows,
        count: usize,
        merge: &str,
    ) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        self.copy(&format!("pg_temp.{stage}"), rows, count).await?;
        self.client.batch_execute(merge).await
    }
}

/// Begins a transaction with the payments of these events.
pub(crate) async fn begin(
    client: &Client,
    events: &[Due<'_>],
    units: &KnownUnits,
) -> Result<(), Error> {
    client.batch_execute("BEGIN").await?;
    copy_payments(client, events, units).await
}

/// Writes all else, and commits. `merge_ids`: some of the new ids may be there.
pub(crate) async fn merge(
    client: &Client,
    step: &mut Step<'_, '_>,
    projection: &Projection<'_>,
    from: EventSeq,
    to: Place,
    merge_ids: bool,
) -> Result<(), WriteError> {
    move_cursor(client, from, to).await?;
    note_ledgers(client, step).await?;
    let target = Target { client };
    write_standings(&target, projection, merge_ids).await?;
    write_holds(&target, projection, step.known).await?;
    write_expiries(&target, projection).await?;
    write_accounts(&target, projection, step.known).await?;
    write_totals(&target, projection).await?;
    Ok(client.batch_execute("COMMIT").await?)
}

/// Moves the cursor, and nothing else.
pub(crate) async fn skip_to(client: &Client, [from, to]: [Place; 2]) -> Result<(), WriteError> {
    move_cursor(client, from.next_seq, to).await
}

async fn move_cursor(client: &Client, from: EventSeq, to: Place) -> Result<(), WriteError> {
    let moved = client
        .execute(
            MOVE_CURSOR,
            &[
                &NAME,
                &(from.0 as i64),
                &(to.next_seq.0 as i64),
                &SqlTime(micros(to.time)),
                &nanoseconds(to.time),
            ],
        )
        .await?;
    if moved == 1 { Ok(()) } else { Err(WriteError::CursorMoved) }
}

/// Adds the ledgers that are named for the first time since this process connected.
async fn note_ledgers(client: &Client, step: &mut Step<'_, '_>) -> Result<(), Error> {
    for ledger in step.events.iter().filter_map(ledger_of) {
        if !step.noted.insert(ledger.0) {
            continue;
        }
        let unit = unit(step.known, ledger);
        let note = "INSERT INTO ledgers (ledger, currency, digits) VALUES ($1, $2, $3) \
                    ON CONFLICT DO NOTHING";
        let digits = i16::from(unit.digits);
        client.execute(note, &[&i64::from(ledger.0), &unit.currency, &digits]).await?;
    }
    Ok(())
}

fn unit(units: &KnownUnits, ledger: LedgerId) -> &Unit {
    &units[&ledger.0]
}

/// The server takes a chunk while the next one is encoded. The rows go in the order of the paying
/// accounts, so that entries of the same page of that index are added one after another.
async fn copy_payments(
    client: &Client,
    events: &[Due<'_>],
    units: &KnownUnits,
) -> Result<(), Error> {
    let statement = format!("COPY payments ({COLUMNS}) FROM STDIN (FORMAT binary)");
    let writer = client.copy_in::<_, Bytes>(&statement).await?;
    pin_mut!(writer);
    let payments = events.iter().filter_map(|(event, time)| match &event.event {
        Event::Payment(payment) => Some((payment, *time, *event)),
        _ => None,
    });
    let mut payments: Vec<_> = payments.collect();
    payments.sort_unstable_by_key(|(payment, ..)| (payment.payment.debit, payment.seq));
    let mut rows = CopyRows::new();
    for (payment, time, event) in payments {
        payment_row::put(&mut rows, payment, time, unit(units, payment.payment.ledger), event);
        if let Some(chunk) = rows.take_full() {
            writer.feed(chunk).await?;
        }
    }
    writer.feed(rows.finish()).await?;
    writer.finish().await.map(|_| ())
}

async fn write_standings(
    target: &Target<'_>,
    projection: &Projection<'_>,
    merge_ids: bool,
) -> Result<(), Error> {
    let (mut added, mut merged) = (CopyRows::new(), CopyRows::new());
    let (mut added_count, mut merged_count) = (0, 0);
    // In their order, for the index; an id comes twice where the ledger forgot it between.
    let mut new_ids = projection.new_ids.clone();
    new_ids.sort_unstable();
    new_ids.dedup();
    let known = projection.standings.iter().filter(|(_, row)| row.stored && row.changed);
    let new = new_ids.iter().map(|id| (id, &projection.standings[id]));
    for (id, standing) in known.chain(new) {
        let rows = if standing.stored || merge_ids {
            merged_count += 1;
            &mut merged
        } else {
            added_count += 1;
            &mut added
        };
        rows.row(6);
        rows.bigint(standing.seq.0);
        rows.time(standing.time);
        rows.uuid(id.0);
        rows.text(names::word_of(&PAYMENT_STATES, standing.state));
        rows.minor(standing.left);
        rows.minor(standing.released);
    }
    target.copy(&format!("payment_ids ({IDS})"), added, added_count).await?;
    target.merge("stage_standings", merged, merged_count, MERGE_STANDINGS).await?;
    let mut free = CopyRows::new();
    for (id, (seq, time)) in &projection.free {
        free.row(3);
        free.bigint(seq.0);
        free.time(*time);
        free.uuid(id.0);
    }
    target.merge("stage_free", free, projection.free.len(), MERGE_FREE).await
}

async fn write_holds(
    target: &Target<'_>,
    projection: &Projection<'_>,
    units: &KnownUnits,
) -> Result<(), Error> {
    let mut rows = CopyRows::new();
    for hold in &projection.holds {
        let payment = &hold.event.payment;
        let standing = &projection.standings[&payment.id];
        let timeout_s = match payment.timeout_s {
            0 => hold.event.verdict.hold_s,
            seconds => seconds,
        };
        rows.row(13);
        rows.bigint(hold.event.seq.0);
        rows.time(hold.time);
        match hold.time.checked_add_s(timeout_s).filter(|_| timeout_s != 0) {
            Some(expires_at) => rows.time(expires_at),
            None => rows.null(),
        }
        rows.bigint(u64::from(payment.ledger.0));
        rows.uuid(payment.id.0);
        rows.uuid_or_null(payment.debit.0);
        rows.uuid_or_null(payment.credit.0);
        rows.text(hold.kind);
        rows.text(names::word_of(&PAYMENT_STATES, standing.state));
        rows.text(&unit(units, payment.ledger).currency);
        rows.minor(hold.event.outcome.amount.0);
        rows.minor(standing.left);
        rows.minor(standing.released);
    }
    let table = "holds (event_seq, held_at, expires_at, ledger, payment_id, \
                 debit_account, credit_account, kind, state, currency, amount_minor, \
                 remaining_minor, released_minor)";
    target.copy(table, rows, projection.holds.len()).await
}

async fn write_expiries(target: &Target<'_>, projection: &Projection<'_>) -> Result<(), Error> {
    let mut rows = CopyRows::new();
    for expiry in &projection.expiries {
        let event = expiry.event;
        rows.row(17);
        rows.bigint(event.seq.0);
        rows.time(expiry.time);
        rows.bigint(expiry.hold_seq.0);
        rows.time(expiry.held_at);
        rows.uuid(event.payment.0);
        rows.uuid(event.debit.0);
        rows.uuid(event.credit.0);
        rows.smallint(nanoseconds(expiry.time));
        rows.minor(event.released.0);
        event.balances.iter().for_each(|balances| put_balances(&mut rows, balances));
    }
    target.copy("expiries", rows, projection.expiries.len()).await
}

async fn write_accounts(
    target: &Target<'_>,
    projection: &Projection<'_>,
    units: &KnownUnits,
) -> Result<(), Error> {
    let mut rows = CopyRows::new();
    for row in projection.accounts.values() {
        let spec = &row.account.spec;
        rows.row(12);
        rows.bigint(row.seq.0);
        rows.time(row.time);
        rows.smallint(nanoseconds(row.time));
        rows.bigint(u64::from(spec.ledger.0));
        rows.bigint(u64::from(spec.tenant));
        rows.uuid(spec.id.0);
        rows.uuid_or_null(spec.owner.0);
        rows.int(i32::from(spec.code.0));
        rows.smallint(i16::from(spec.flags.0));
        rows.text(names::word_of(&ACCOUNT_STATES, row.account.state));
        rows.text(&unit(units, spec.ledger).currency);
        rows.minor(spec.credit_limit.0);
    }
    target.merge("stage_accounts", rows, projection.accounts.len(), MERGE_ACCOUNTS).await?;
    // In the order of their ids, so that neighbours in the index come one after another.
    let mut balances: Vec<_> = projection.balances.iter().collect();
    balances.sort_unstable_by_key(|(account, _)| **account);
    let mut rows = CopyRows::new();
    for (account, (seq, balances)) in &balances {
        rows.row(6);
        rows.bigint(seq.0);
        rows.uuid(**account);
        put_balances(&mut rows, balances);
    }
    target.merge("stage_balances", rows, balances.len(), MERGE_BALANCES).await
}

async fn write_totals(target: &Target<'_>, projection: &Projection<'_>) -> Result<(), Error> {
    let mut rows = CopyRows::new();
    for total in &projection.totals {
        let (hour, ledger, status) = total.key;
        rows.row(5);
        rows.time(Timestamp(hour));
        rows.bigint(u64::from(ledger));
        rows.text(status);
        rows.bigint(total.payments);
        rows.minor(total.minor);
    }
    target.merge("stage_totals", rows, projection.totals.len(), MERGE_TOTALS).await
}
