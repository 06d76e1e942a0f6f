//! What the dispatcher does beside delivering: announces holds that end soon, and removes what is too
//! old to keep.

use millrace_ledger::{EventSeq, PaymentId, Timestamp};

use super::{
    super::{
        outbox::tables::{ending_key, id_of_ending, last_id},
        tell::holds,
    },
    scheduler::Scheduler,
};
use crate::SinkError;

/// Holds that one round announces.
const ANNOUNCE_MAX: usize = 1_000;
/// Notifications that one round looks at.
const RETENTION_ROWS: usize = 1_000;

impl Scheduler {
    /// Tells payees of holds that end soon. One whose end has passed is not announced any more.
    pub(super) fn announce_holds(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let outbox = self.outbox.clone();
        let tables = &outbox.tables;
        let near = ..=ending_key(now, u128::MAX);
        let mut due = Vec::new();
        for guard in tables.ending.range(near).take(ANNOUNCE_MAX) {
            let key = guard.key().map_err(tables.store.failed("read holds that end"))?;
            due.extend(id_of_ending(&key).map(|id| (key.to_vec(), PaymentId(id))));
        }
        if due.is_empty() {
            return Ok(());
        }
        let mut change = outbox.change();
        for (key, payment) in due {
            change.batch.remove(&tables.ending, key);
            // The sink may have ended it meanwhile.
            let Some(hold) = holds::read(&outbox, payment)? else { continue };
            if hold.expires_ns <= now.0 {
                continue;
            }
            let telling = hold.telling(payment, now);
            let (payee, _) = telling.occasion.accounts(telling.role);
            let Some(holder) = self.holders.get(payee, EventSeq(telling.occasion.seq.0))? else {
                continue;
            };
            for row in self.teller.compose(&telling, holder)? {
                change.add(row)?;
            }
        }
        change.commit()
    }

    /// Removes notifications that are too old to keep, and not still to be delivered. The newest
    /// stays, so that its number is not used again.
    pub(super) fn remove_old(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let outbox = self.outbox.clone();
        let tables = &outbox.tables;
        let retention_ns = u64::try_from(self.retention.as_nanos()).unwrap_or(u64::MAX);
        let oldest_ns = now.0.saturating_sub(retention_ns);
        let newest = outbox.latest_id();
        let mut change = outbox.change();
        let (from, mut looked_at) = (self.retention_from, 0);
        self.retention_from = 0;
        for guard in tables.notifications.range(from.to_be_bytes()..) {
            let key = guard.key().map_err(tables.store.failed("look for old notifications"))?;
            let Some(id) = last_id(&key) else { continue };
            if looked_at >= RETENTION_ROWS {
                self.retention_from = id;
                break;
            }
            looked_at += 1;
            let Some(row) = outbox.row(id)? else { continue };
            if row.created_ns >= oldest_ns || id == newest {
                break;
            }
            if !row.state.is_open() {
                change.put(id, None)?;
            }
        }
        if change.is_empty() { Ok(()) } else { change.commit() }
    }
}
