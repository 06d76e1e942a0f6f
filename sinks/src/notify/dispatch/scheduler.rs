//! The scheduler: what it knows, and what may go when. It has no clock and sends nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use millrace_ledger::Timestamp;

use super::{
    super::{
        Channel, DeliveryConfig, EventKind, NotifyConfig, StateKind,
        deliver::{Accepted, Class, Delivering, Envelope, Providers, Refused},
        outbox::{Outbox, Row, tables::last_id},
        owners::Owner,
        tell::{holders::Holders, teller::Teller},
    },
    breaker::{Answer, later},
    circuits::{CircuitKey, Circuits},
    limits::Limits,
    quiet,
};
use crate::SinkError;

/// Wait while another message tries a host that failed.
const PROBING_WAIT: Duration = Duration::from_secs(1);
/// Rows that are read to learn what a recipient got before a restart.
const REMEMBER_ROWS: usize = 1_000;

/// Plans deliveries, and settles their results.
pub(in super::super) struct Scheduler {
    pub(super) outbox: Outbox,
    pub(super) teller: Arc<Teller>,
    pub(super) providers: Providers,
    pub(super) settings: DeliveryConfig,
    pub(super) stale: Duration,
    pub(super) retention: Duration,
    pub(super) circuits: Circuits,
    pub(super) limits: Limits,
    /// What was planned and has no result yet, by the notification that leads it.
    pub(super) in_flight: HashMap<u64, Channel, foldhash::fast::RandomState>,
    pub(super) holders: Holders,
    /// Where the search for what is too old to keep goes on.
    pub(super) retention_from: u64,
}

/// A delivery: a message, and the notifications that it is.
#[derive(Clone, Debug)]
pub(in super::super) struct Job {
    /// The notification that leads it.
    pub(super) head: u64,
    /// All of it, the head too.
    pub(super) members: Vec<u64>,
    pub(super) circuit: CircuitKey,
    pub(super) envelope: Arc<Envelope>,
}

/// What became of a delivery.
#[derive(Clone, Debug)]
pub(in super::super) struct Delivered {
    pub(super) job: Job,
    pub(super) result: Result<Accepted, Refused>,
}

/// What becomes of a notification that is due.
pub(super) enum Decision {
    Go(CircuitKey),
    /// Not before this time.
    Defer(Timestamp),
    /// Nothing goes by the channel, until then or until a result is in.
    Blocked(Option<Timestamp>),
    Suppress(String),
}

impl Scheduler {
    pub(in super::super) fn new(
        outbox: Outbox,
        teller: Arc<Teller>,
        providers: Providers,
        config: &NotifyConfig,
    ) -> Self {
        let settings = config.delivery.clone();
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        Self {
            teller,
            providers,
            stale: seconds(config.stale_s),
            retention: seconds(config.retention_days) * 24 * 3_600,
            circuits: Circuits::new(
                settings.breaker_failures,
                Duration::from_millis(settings.breaker_open_ms),
            ),
            limits: Limits::new(settings.recipient_max, seconds(settings.recipient_window_s)),
            in_flight: HashMap::default(),
            holders: Holders::new(outbox.clone()),
            retention_from: 0,
            settings,
            outbox,
        }
    }

    /// How many deliveries of the channel are under way.
    pub(super) fn under_way(&self, channel: Channel) -> usize {
        self.in_flight.values().filter(|busy| **busy == channel).count()
    }

    /// Decides about a notification that is due, and the owner that it is for.
    pub(super) fn decide(
        &mut self,
        row: &Row,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Decision, SinkError> {
        let was_asked_for = row.resends > 0;
        if !was_asked_for
            && row.attempts == 0
            && let Some(reason) = self.suppressed(row, owner, now)
        {
            return Ok(Decision::Suppress(reason));
        }
        let Some(address) = owner.address(row.channel) else {
            return Ok(Decision::Suppress("the owner has no such address any more".into()));
        };
        let is_urgent = row.kind == EventKind::Security || was_asked_for;
        if !is_urgent {
            let quiet = owner.preferences.quiet_hours;
            let quiet = quiet.and_then(|quiet| quiet::until(now, quiet, &owner.time_zone));
            if let Some(until) = quiet {
                return Ok(Decision::Defer(until));
            }
            self.remember(row.channel, row.owner.as_u128(), now)?;
            if let Some(until) = self.limits.wait(row.channel, row.owner.as_u128(), now) {
                return Ok(Decision::Defer(until));
            }
        }
        Ok(self.ask(row.channel, address, now))
    }

    /// Why a notification that was never tried is not to be sent.
    pub(super) fn suppressed(&self, row: &Row, owner: &Owner, now: Timestamp) -> Option<String> {
        let patience = self.stale + Duration::from_secs(u64::from(row.digest_s));
        if now > later(Timestamp(row.created_ns), patience) {
            return Some(format!("it is older than {} s", self.stale.as_secs()));
        }
        let mutes = owner.preferences.mutes(row.kind, row.channel);
        mutes.then(|| "the owner does not want it".into())
    }

    /// Asks the circuit last: whom it lets go may be the one that tries it.
    fn ask(&mut self, channel: Channel, address: &str, now: Timestamp) -> Decision {
        let Some(provider) = self.providers.get(channel) else { return Decision::Blocked(None) };
        let has_one = provider.has_one_circuit();
        let key = (channel, provider.circuit(address));
        match (self.circuits.ask(&key, now), has_one) {
            (Answer::Go, _) => Decision::Go(key),
            (Answer::Wait(until), true) => Decision::Blocked(Some(until)),
            (Answer::Probing, true) => Decision::Blocked(None),
            (Answer::Wait(until), false) => Decision::Defer(until),
            (Answer::Probing, false) => Decision::Defer(later(now, PROBING_WAIT)),
        }
    }

    /// After a restart, limits go on from what the outbox says was sent.
    fn remember(&mut self, channel: Channel, owner: u128, now: Timestamp) -> Result<(), SinkError> {
        if self.limits.knows(channel, owner) {
            return Ok(());
        }
        let horizon = self.limits.horizon(now);
        let tables = &self.outbox.tables;
        let mut times = Vec::new();
        for guard in tables.by_owner.prefix(owner.to_be_bytes()).rev().take(REMEMBER_ROWS) {
            let key = guard.key().map_err(tables.store.failed("read what an owner got"))?;
            let Some(id) = last_id(&key) else { continue };
            let Some(row) = self.outbox.row(id)? else { continue };
            let went = [StateKind::Sent, StateKind::Delivered].contains(&row.state.kind());
            if went && row.channel == channel && row.bundled_by.is_none() {
                times.extend(row.sent_ns.map(Timestamp).filter(|time| *time > horizon));
            }
        }
        times.sort_unstable();
        self.limits.remember(channel, owner, times);
        Ok(())
    }
}

impl Scheduler {
    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Hands a message to its provider. A channel whose provider is gone is never planned.
    pub(super) fn deliver(&self, job: &Job, now: Timestamp) -> Delivering {
        match self.providers.get(job.envelope.channel) {
            Some(provider) => provider.deliver(Arc::clone(&job.envelope), now),
            None => Box::pin(async {
                Err(Refused {
                    text: "the channel is off".into(),
                    class: Class::Transient { after: None },
                })
            }),
        }
    }

    /// What is done beside deliveries, every second or so.
    pub(super) fn keep_house(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.teller.owners.recipients.refresh();
        self.announce_holds(now)?;
        self.remove_old(now)?;
        self.show(now)
    }
}
