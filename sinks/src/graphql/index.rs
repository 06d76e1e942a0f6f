//! What payments are found by, beside ids and accounts: consumes the payments and hold ends of one
//! apply, produces rows of the tables `lists`, `references`, `follow_ups`, `open_holds`, `totals`
//! and `times`. Guarantees a few bytes a payment: positions that share a filter share rows.

use std::collections::HashMap;

use fjall::{Keyspace, OwnedWriteBatch};
use millrace_ledger::{AccountId, EventSeq, LedgerId, PaymentEvent, PaymentId, Status, Timestamp};

use super::{
    keys::{ListOf, hour_of, id_key, reference_of, reference_prefix, totals_key},
    model::OutcomeKind,
    row,
    tables::Tables,
    totals_row::TotalsRow,
};
use crate::SinkError;

/// Most positions in one row of a list, so that reading a page reads little more.
const PER_ROW: usize = 1_024;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The index rows of one apply, in the making.
#[derive(Default)]
pub(super) struct Index {
    lists: Map<ListOf, Vec<u64>>,
    references: Vec<([u8; 8], u64)>,
    follow_ups: Vec<(u128, u64)>,
    /// Keys of `open_holds`, and whether the hold is open after this apply.
    holds: Map<[u8; 24], bool>,
    totals: Map<(LedgerId, u32), TotalsRow>,
    /// The last position of each batch.
    times: Vec<(Timestamp, EventSeq)>,
}

impl Index {
    pub(super) fn note_time(&mut self, seq: EventSeq, time: Timestamp) {
        match self.times.last_mut() {
            Some(last) if last.0 == time => last.1 = seq,
            _ => self.times.push((time, seq)),
        }
    }

    pub(super) fn add_payment(&mut self, event: &PaymentEvent, time: Timestamp, context: &[u8]) {
        let (payment, seq) = (&event.payment, event.seq.0);
        let outcome = OutcomeKind::from(event.outcome.status);
        self.list(ListOf::Outcome(outcome), seq);
        self.list(ListOf::Decision(event.verdict.decision), seq);
        self.list(ListOf::Ledger(payment.ledger), seq);
        if let Status::Rejected(reason) = event.outcome.status {
            self.list(ListOf::Reason(reason), seq);
        }
        if let Some(reference) = reference_of(context) {
            self.references.push((reference_prefix(reference), seq));
        }
        if payment.original != PaymentId::ZERO {
            self.follow_ups.push((payment.original.0, seq));
        }
        if event.outcome.status == Status::Held {
            self.mark_hold(event.seq, [payment.debit, payment.credit], true);
        }
        let totals = self.totals.entry((payment.ledger, hour_of(time.0))).or_default();
        totals.count(outcome, event.outcome.amount.0);
    }

    /// Nothing is left of the hold.
    pub(super) fn close_hold(&mut self, hold: EventSeq, sides: [AccountId; 2]) {
        self.mark_hold(hold, sides, false);
    }

    fn mark_hold(&mut self, hold: EventSeq, sides: [AccountId; 2], open: bool) {
        for account in [0, sides[0].0, sides[1].0] {
            self.holds.insert(id_key(account, hold.0), open);
        }
    }

    fn list(&mut self, of: ListOf, seq: u64) {
        self.lists.entry(of).or_default().push(seq);
    }

    /// Adds the rows to the batch, those of a table in the order of their keys: the store takes
    /// those sooner.
    pub(super) fn write(
        &mut self,
        tables: &Tables,
        batch: &mut OwnedWriteBatch,
        buffer: &mut Vec<u8>,
    ) -> Result<(), SinkError> {
        let mut lists: Vec<_> = self.lists.drain().collect();
        lists.sort_unstable_by_key(|(of, _)| of.prefix());
        for (of, seqs) in lists {
            put_list(batch, &tables.lists, &of.prefix(), &seqs, buffer);
        }
        self.references.sort_unstable();
        for same in self.references.chunk_by(|a, b| a.0 == b.0) {
            let seqs: Vec<_> = same.iter().map(|(_, seq)| *seq).collect();
            put_list(batch, &tables.references, &same[0].0, &seqs, buffer);
        }
        self.follow_ups.sort_unstable();
        for (original, seq) in &self.follow_ups {
            batch.insert(&tables.follow_ups, id_key(*original, *seq), []);
        }
        for (key, open) in &self.holds {
            match open {
                true => batch.insert(&tables.open_holds, key, []),
                false => batch.remove(&tables.open_holds, key),
            }
        }
        for (time, seq) in &self.times {
            batch.insert(&tables.times, time.0.to_be_bytes(), seq.0.to_be_bytes());
        }
        self.write_totals(tables, batch, buffer)
    }

    fn write_totals(
        &self,
        tables: &Tables,
        batch: &mut OwnedWriteBatch,
        buffer: &mut Vec<u8>,
    ) -> Result<(), SinkError> {
        for ((ledger, hour), of_apply) in &self.totals {
            let key = totals_key(*ledger, *hour);
            let stored = tables.totals.get(key).map_err(tables.failed("read totals"))?;
            let mut row = match stored {
                Some(stored) => TotalsRow::read(&stored)
                    .map_err(|_| tables.damaged(&format!("totals of ledger {}", ledger.0)))?,
                None => TotalsRow::default(),
            };
            row.add(of_apply);
            buffer.clear();
            row.put(buffer);
            batch.insert(&tables.totals, key, &buffer[..]);
        }
        Ok(())
    }
}

/// Adds the rows of a list: its key is the prefix and the first position of the row.
pub(super) fn put_list(
    batch: &mut OwnedWriteBatch,
    table: &Keyspace,
    prefix: &[u8],
    seqs: &[u64],
    buffer: &mut Vec<u8>,
) {
    for row_seqs in seqs.chunks(PER_ROW) {
        buffer.clear();
        row::put_steps(buffer, row_seqs);
        let mut key = [0; 24];
        let key = &mut key[..prefix.len() + 8];
        key[..prefix.len()].copy_from_slice(prefix);
        key[prefix.len()..].copy_from_slice(&row_seqs[0].to_be_bytes());
        batch.insert(table, &*key, &buffer[..]);
    }
}
