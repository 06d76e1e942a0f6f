//! Settling: consumes the results of deliveries, and guarantees that a result is durable before what
//! it is about may go again.

use std::time::Duration;

use millrace_ledger::Timestamp;

use super::{
    super::{
        DeliveryState,
        deliver::{Accepted, Class, Refused},
        outbox::Row,
    },
    backoff,
    breaker::later,
    gauges,
    scheduler::{Delivered, Scheduler},
};
use crate::SinkError;

impl Scheduler {
    /// Notes what became of deliveries.
    ///
    /// # Errors
    /// When the outbox fails. The deliveries still count as under way: settle them again.
    pub(in super::super) fn settle(
        &mut self,
        results: &[Delivered],
        now: Timestamp,
    ) -> Result<(), SinkError> {
        if results.is_empty() {
            return Ok(());
        }
        let outbox = self.outbox.clone();
        let mut change = outbox.change();
        for Delivered { job, result } in results {
            for member in &job.members {
                let Some(mut row) = change.row(*member)? else { continue };
                self.note(&mut row, result, now);
                change.put(*member, Some(row))?;
            }
        }
        change.commit()?;
        for Delivered { job, result } in results {
            self.in_flight.remove(&job.head);
            gauges::attempted(job.envelope.channel, result, job.members.len());
            let circuit = &job.circuit;
            match result {
                // A refusal for good comes from a provider that is well.
                Ok(_) | Err(Refused { class: Class::Permanent, .. }) => {
                    self.circuits.succeeded(circuit, now);
                }
                Err(Refused { class: Class::Throttled { after }, .. }) => {
                    self.circuits.throttled(circuit, now, *after);
                }
                Err(Refused { class: Class::Transient { after }, text }) => {
                    tracing::warn!(
                        channel = job.envelope.channel.name(),
                        id = job.head,
                        reason = text,
                        "a message was not taken",
                    );
                    self.circuits.failed(circuit, now, *after);
                }
            }
        }
        Ok(())
    }

    fn note(&self, row: &mut Row, result: &Result<Accepted, Refused>, now: Timestamp) {
        row.attempts += 1;
        let refused = match result {
            Ok(accepted) => {
                row.sent_ns = row.sent_ns.or(Some(now.0));
                // A provider may have reported more than it says here.
                if row.state.is_open() {
                    row.state = match accepted {
                        Accepted::Sent => DeliveryState::Sent,
                        Accepted::Delivered => DeliveryState::Delivered,
                    };
                }
                return;
            }
            Err(refused) => refused,
        };
        if !row.state.is_open() {
            return;
        }
        let reason = refused.text.clone();
        let after = match refused.class {
            Class::Permanent => {
                row.state = DeliveryState::Dead { reason };
                return;
            }
            Class::Transient { after } | Class::Throttled { after } => after.unwrap_or_default(),
        };
        if row.attempts >= self.settings.attempts_max {
            let attempts = row.attempts;
            row.state = DeliveryState::Dead {
                reason: format!("given up after {attempts} attempts; the last: {reason}"),
            };
            return;
        }
        let wait = backoff::wait(
            row.attempts,
            Duration::from_millis(self.settings.backoff_first_ms),
            Duration::from_millis(self.settings.backoff_max_ms),
            row.identity().as_u128(),
        );
        row.state = DeliveryState::Failed { reason };
        row.due_ns = later(now, wait.max(after)).0;
    }
}
