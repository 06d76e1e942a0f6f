//! What the dispatcher shows of itself, as metrics.
//!
//! | metric | what |
//! |---|---|
//! | `millrace_notify_pending_messages` | still to be delivered |
//! | `millrace_notify_oldest_pending_seconds` | age of the oldest of them |
//! | `millrace_notify_dead_messages` | dead letters |
//! | `millrace_notify_sent_messages_total` | notifications that providers took |
//! | `millrace_notify_failed_attempts_total` | attempts that failed |
//! | `millrace_notify_suppressed_messages_total` | notifications that were not to be sent |
//! | `millrace_notify_breaker_state` | the worst of the channel: 0 closed, 1 half open, 2 open |
//! | `millrace_notify_breakers_open` | breakers of the channel that are not closed |

use metrics::{counter, gauge};
use millrace_ledger::Timestamp;

use super::{
    super::{
        Channel,
        deliver::{Accepted, Refused},
        outbox::tables::last_id,
    },
    breaker::Position,
    scheduler::Scheduler,
};
use crate::SinkError;

const SINK: &str = "notify";
const NS_PER_S: f64 = 1e9;

/// Counts an attempt for so many notifications.
pub(super) fn attempted(channel: Channel, result: &Result<Accepted, Refused>, members: usize) {
    let channel = channel.name();
    match result {
        Ok(_) => {
            counter!("millrace_notify_sent_messages_total", "sink" => SINK, "channel" => channel)
                .increment(members as u64);
        }
        Err(_) => {
            counter!("millrace_notify_failed_attempts_total", "sink" => SINK, "channel" => channel)
                .increment(1);
        }
    }
}

/// Counts a notification that is not to be sent.
pub(super) fn suppressed(channel: Channel) {
    let channel = channel.name();
    counter!("millrace_notify_suppressed_messages_total", "sink" => SINK, "channel" => channel)
        .increment(1);
}

impl Scheduler {
    /// Shows how things stand.
    pub(super) fn show(&self, now: Timestamp) -> Result<(), SinkError> {
        let standing = self.outbox.standing();
        let positions = self.circuits.positions();
        for channel in Channel::SENDING {
            let (worst, open) = positions.get(&channel).copied().unwrap_or((Position::Closed, 0));
            let values = [
                ("millrace_notify_pending_messages", standing.open[channel.index()] as f64),
                ("millrace_notify_oldest_pending_seconds", self.oldest_s(channel, now)?),
                ("millrace_notify_dead_messages", standing.dead[channel.index()] as f64),
                ("millrace_notify_breaker_state", f64::from(worst as u8)),
                ("millrace_notify_breakers_open", open as f64),
            ];
            for (name, value) in values {
                gauge!(name, "sink" => SINK, "channel" => channel.name()).set(value);
            }
        }
        Ok(())
    }

    /// Age of the oldest notification that is still to be delivered.
    pub(super) fn oldest_s(&self, channel: Channel, now: Timestamp) -> Result<f64, SinkError> {
        let tables = &self.outbox.tables;
        let first = tables.open.prefix([channel as u8]).next().map(|guard| guard.key());
        let first = first.transpose().map_err(tables.store.failed("find the oldest"))?;
        let row = first.as_deref().and_then(last_id).map(|id| self.outbox.row(id)).transpose()?;
        let created_ns = row.flatten().map(|row| row.created_ns);
        Ok(created_ns.map_or(0.0, |created| now.0.saturating_sub(created) as f64 / NS_PER_S))
    }
}
