//! Planning: consumes what is due, produces deliveries, and guarantees that what goes as one message
//! is durably fixed before it goes.

use std::sync::Arc;

use millrace_ledger::Timestamp;

use super::{
    super::{
        Channel, DeliveryState,
        deliver::{Envelope, Item},
        outbox::{
            Change, Row,
            tables::{due_of, joinable_prefix, last_id},
        },
        owners::Owner,
        tell::locales::DigestItem,
    },
    circuits::CircuitKey,
    gauges,
    scheduler::{Decision, Job, Scheduler},
};
use crate::SinkError;

/// Notifications that one round looks at, per channel.
const ROUND_ROWS: usize = 256;

/// Deliveries to start now, and when to plan again.
#[derive(Debug, Default)]
pub(in super::super) struct Plan {
    pub(super) jobs: Vec<Job>,
    /// `None` when only news can change anything.
    pub(super) wake: Option<Timestamp>,
}

impl Plan {
    fn wake_at(&mut self, time: Timestamp) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}

impl Scheduler {
    /// What goes now. Each job has a result some time, which [`Scheduler::settle`] gets.
    ///
    /// # Errors
    /// When the outbox fails; nothing goes then.
    pub(in super::super) fn plan(&mut self, now: Timestamp) -> Result<Plan, SinkError> {
        let mut plan = Plan::default();
        let planned = self.plan_channels(now, &mut plan);
        if let Err(error) = planned {
            for job in &plan.jobs {
                self.circuits.forget_probe(&job.circuit, now);
            }
            return Err(error);
        }
        for job in &plan.jobs {
            self.in_flight.insert(job.head, job.envelope.channel);
        }
        Ok(plan)
    }

    fn plan_channels(&mut self, now: Timestamp, plan: &mut Plan) -> Result<(), SinkError> {
        let outbox = self.outbox.clone();
        let mut change = outbox.change();
        for channel in Channel::SENDING {
            if self.providers.is_on(channel) {
                self.plan_channel(channel, now, &mut change, plan)?;
            }
        }
        if change.is_empty() { Ok(()) } else { change.commit() }
    }

    fn plan_channel(
        &mut self,
        channel: Channel,
        now: Timestamp,
        change: &mut Change<'_>,
        plan: &mut Plan,
    ) -> Result<(), SinkError> {
        let in_flight_max = self.settings.in_flight_max as usize;
        let mut free = in_flight_max.saturating_sub(self.under_way(channel));
        let tables = self.outbox.tables.clone();
        let mut looked_at = 0;
        for guard in tables.due.prefix([channel as u8]) {
            let key = guard.key().map_err(tables.store.failed("read what is due"))?;
            let (Some(due), Some(id)) = (due_of(&key), last_id(&key)) else { continue };
            if due > now {
                plan.wake_at(due);
                break;
            }
            if free == 0 {
                break;
            }
            if self.in_flight.contains_key(&id) {
                continue;
            }
            looked_at += 1;
            if looked_at > ROUND_ROWS {
                plan.wake_at(now);
                break;
            }
            // A digest of this round may have taken it.
            let row = change.row(id)?.filter(|row| row.is_queued() && row.due_ns <= now.0);
            let Some(mut row) = row else { continue };
            let owner = self.teller.owners.get(row.owner.as_u128())?;
            match self.decide(&row, &owner, now)? {
                Decision::Blocked(until) => {
                    until.into_iter().for_each(|until| plan.wake_at(until));
                    break;
                }
                Decision::Defer(until) => {
                    row.due_ns = until.0;
                    change.put(id, Some(row))?;
                    plan.wake_at(until);
                }
                Decision::Suppress(reason) => {
                    gauges::suppressed(channel);
                    row.state = DeliveryState::Suppressed { reason };
                    change.put(id, Some(row))?;
                }
                Decision::Go(circuit) => {
                    self.limits.count(channel, row.owner.as_u128(), now);
                    let job = self.prepare(id, row, &owner, circuit, now, change)?;
                    plan.jobs.push(job);
                    free -= 1;
                }
            }
        }
        Ok(())
    }

    /// Makes a message of a notification and those that go with it.
    fn prepare(
        &self,
        id: u64,
        mut head: Row,
        owner: &Owner,
        circuit: CircuitKey,
        now: Timestamp,
        change: &mut Change<'_>,
    ) -> Result<Job, SinkError> {
        if head.can_be_bundled() {
            self.bundle(id, &mut head, owner, now, change)?;
        }
        if let Some(address) = owner.address(head.channel).filter(|now| *now != head.recipient) {
            head.recipient = address.to_owned();
            change.put(id, Some(head.clone()))?;
        }
        let mut members = Vec::new();
        for member in head.bundle.iter().filter(|member| **member != id) {
            members.extend(change.row(*member)?.map(|row| (*member, row)));
        }
        members.push((id, head.clone()));
        members.sort_by_key(|(id, _)| *id);
        let ids = members.iter().map(|(id, _)| *id).collect();
        let envelope = Arc::new(self.envelope(id, &head, &members, owner)?);
        Ok(Job { head: id, members: ids, circuit, envelope })
    }

    /// Fixes which notifications go with this one, also that none does: after a crash, nobody knows
    /// that it went alone.
    fn bundle(
        &self,
        id: u64,
        head: &mut Row,
        owner: &Owner,
        now: Timestamp,
        change: &mut Change<'_>,
    ) -> Result<(), SinkError> {
        let tables = &self.outbox.tables;
        let most = self.settings.digest_max as usize;
        let mut ids = vec![id];
        let prefix = joinable_prefix(head.channel, head.owner.as_u128());
        for guard in tables.joinable.prefix(prefix) {
            let key = guard.key().map_err(tables.store.failed("collect a digest"))?;
            let Some(other) = last_id(&key).filter(|other| *other != id) else { continue };
            if ids.len() >= most {
                break;
            }
            let row = change.row(other)?;
            let row = row.filter(|row| {
                row.can_be_bundled()
                    && row.due_ns <= now.0
                    && !self.in_flight.contains_key(&other)
                    && self.suppressed(row, owner, now).is_none()
            });
            let Some(mut row) = row else { continue };
            row.bundled_by = Some(id);
            change.put(other, Some(row))?;
            ids.push(other);
        }
        ids.sort_unstable();
        head.bundle = ids;
        change.put(id, Some(head.clone()))
    }

    fn envelope(
        &self,
        id: u64,
        head: &Row,
        members: &[(u64, Row)],
        owner: &Owner,
    ) -> Result<Envelope, SinkError> {
        let (subject, text, html) = match members {
            [_] => (head.subject.clone(), head.body.clone(), head.html.clone()),
            several => {
                let items: Vec<_> = several
                    .iter()
                    .map(|(_, row)| DigestItem {
                        subject: row.subject.clone(),
                        text: row.body.clone(),
                    })
                    .collect();
                let name = &owner.recipient.name;
                let (message, html) = self.teller.locales.digest(&head.locale, name, &items)?;
                let html = Some(html).filter(|_| head.channel == Channel::Email);
                (message.subject, message.body, html)
            }
        };
        Ok(Envelope {
            id,
            key: head.idempotency_key(),
            channel: head.channel,
            to: head.recipient.clone(),
            name: owner.recipient.name.clone(),
            locale: head.locale.clone(),
            subject,
            text,
            html,
            items: members.iter().map(|(id, row)| Item::new(*id, row)).collect(),
        })
    }
}
