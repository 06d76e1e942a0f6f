//! The stream: consumes settings, produces payments in order of time, exactly as many as asked for.
//!
//! Everyday payments are drawn one by one. Frauds and look-alikes start at moments drawn likewise,
//! and are planned whole when they start; what is planned waits in a heap. So memory is that of the
//! customers and merchants, and of the payments of those episodes that are under way.

use std::{cmp::Reverse, collections::BinaryHeap, net::Ipv4Addr};

use millrace_ledger::{Currency, Timestamp};

use super::{
    arithmetic::exp2,
    episode::{Draft, Stage, Story},
    lookalikes, patterns,
    payment::{FraudPattern, GeneratedPayment, Lookalike},
    rng::{Rng, mix64},
    season::{Clock, Season, next_of_sorted},
    settings::{PatternSettings, Settings, SettingsError, Shape},
    world::World,
};

/// After all moments of a stream.
const NEVER_S: u64 = u64::MAX;
const NANOS: u64 = 1_000_000_000;

/// Produces payments in order of time; an iterator.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    currency: Currency,
    /// Minor units of a major unit, times the price level.
    minor_units: f64,
    world: World,
    season: Season,
    rng: Rng,
    clock: Clock,
    launchers: Vec<Launcher>,
    /// The launcher whose episode starts next, and when.
    launch_next: Option<(u64, usize)>,
    /// Payments that are expected of episodes still to come.
    forecast: f64,
    pending: BinaryHeap<Reverse<Pending>>,
    planned: Vec<(u64, Draft)>,
    episodes: u64,
    /// Payments that episodes have planned so far: orders those of the same second.
    planned_count: u64,
    everyday_next_s: Option<u64>,
    now_s: u64,
    emitted: u64,
}

/// Starts the episodes of one kind.
#[derive(Debug)]
struct Launcher {
    story: Story,
    shape: Shape,
    rng: Rng,
    left: u64,
    started: u32,
    /// Start of the next one.
    next_s: u64,
    /// No episode lasts longer, so that each ends within the period.
    duration_s_max: u64,
}

/// A planned payment.
#[derive(Debug)]
struct Pending {
    at_s: u64,
    order: u64,
    episode: u64,
    /// Seconds from the payment to the report; only of fraud.
    report_after_s: u64,
    draft: Draft,
}

impl Pending {
    fn key(&self) -> (u64, u64) {
        (self.at_s, self.order)
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Launcher {
    fn new(settings: &Settings, season: &Season, story: Story, number: u64) -> Self {
        let mut rng = Rng::new(settings.seed, 100 + number);
        let (shape, payments) = match story {
            Story::Everyday => unreachable!("everyday payments are no episode"),
            Story::Fraud(pattern) => {
                let of = settings.patterns.of(pattern);
                let total = settings.patterns.weight_total();
                let part = if total > 0.0 { of.weight / total } else { 0.0 };
                (of.shape(), settings.fraud_share * part * settings.payments as f64)
            }
            Story::Lookalike(lookalike) => {
                let of = settings.lookalikes.of(lookalike);
                (of.shape(), of.share * settings.payments as f64)
            }
        };
        // A part of an episode is one with that probability.
        let left = (payments / shape.payments_mean() + rng.unit()) as u64;
        let duration_s_max = shape.duration_s_max.min((season.end_s - season.from_s - 1) / 2);
        let mut launcher =
            Self { story, shape, rng, left, started: 0, next_s: season.from_s, duration_s_max };
        launcher.draw_next(season);
        launcher
    }

    /// The next start: the smallest of as many uniform moments as episodes are left.
    fn draw_next(&mut self, season: &Season) {
        if self.left == 0 {
            self.next_s = NEVER_S;
            return;
        }
        let latest_s = season.end_s - 1 - self.duration_s_max;
        let span = (latest_s - self.next_s) as f64;
        self.next_s += next_of_sorted(&mut self.rng, span, self.left) as u64;
    }

    /// Payments that are still to be expected.
    fn forecast(&self) -> f64 {
        self.left as f64 * self.shape.payments_mean()
    }
}

impl Generator {
    /// Draws customers and merchants.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let currency = settings.currency().ok_or_else(|| SettingsError::OutOfBounds {
            key: "currency".to_owned(),
            value: settings.currency.clone(),
            must_be: "three letters of ISO 4217, such as EUR".to_owned(),
        })?;
        let season = Season::new(settings);
        let stories = FraudPattern::ALL.iter().copied().map(Story::Fraud);
        let stories = stories.chain(Lookalike::ALL.iter().copied().map(Story::Lookalike));
        let launchers = stories
            .zip(0..)
            .map(|(story, number)| Launcher::new(settings, &season, story, number))
            .collect();
        let minor_units = 10_u64.pow(currency.exponent.into()) as f64 * settings.price_level;
        let mut generator = Self {
            settings: settings.clone(),
            currency,
            minor_units,
            world: World::new(settings),
            now_s: season.from_s,
            season,
            rng: Rng::new(settings.seed, 2),
            clock: Clock::new(),
            launchers,
            launch_next: None,
            forecast: 0.0,
            pending: BinaryHeap::new(),
            planned: Vec::new(),
            episodes: 0,
            planned_count: 0,
            everyday_next_s: None,
            emitted: 0,
        };
        generator.look_ahead();
        Ok(generator)
    }

    /// Planned payments that wait for their moment: what memory depends on beside customers and
    /// merchants.
    #[must_use]
    pub fn pending_payments(&self) -> usize {
        self.pending.len()
    }

    /// Finds the episode that starts next, and how many payments all that are left will have.
    fn look_ahead(&mut self) {
        let starts = self.launchers.iter().enumerate().map(|(index, each)| (each.next_s, index));
        self.launch_next = starts.min().filter(|(start_s, _)| *start_s != NEVER_S);
        self.forecast = self.launchers.iter().map(Launcher::forecast).sum();
    }

    /// Everyday payments still to come, if episodes bring as many payments as expected.
    fn everyday_left(&self) -> u64 {
        let planned = self.pending.len() as u64 + self.forecast as u64;
        (self.settings.payments - self.emitted).saturating_sub(planned)
    }

    /// The moment of the next everyday payment.
    fn everyday_s(&mut self) -> u64 {
        if let Some(at_s) = self.everyday_next_s {
            return at_s;
        }
        let left = self.everyday_left();
        if left == 0 {
            return NEVER_S;
        }
        self.clock.skip_to(&self.season, self.now_s);
        let at_s = self.clock.next(&self.season, &mut self.rng, left);
        self.everyday_next_s = Some(at_s);
        at_s
    }

    /// Starts an episode: plans its payments.
    fn launch(&mut self, index: usize) {
        let launcher = &mut self.launchers[index];
        let (start_s, shape) = (launcher.next_s, launcher.shape);
        let rng = &mut launcher.rng;
        let payments = rng.between(shape.payments_min.into(), shape.payments_max.into()) as u32;
        let duration_s_min = shape.duration_s_min.min(launcher.duration_s_max);
        let duration_s = rng.between(duration_s_min, launcher.duration_s_max);
        let mut stage = Stage {
            world: &mut self.world,
            season: &self.season,
            rng,
            start_s,
            duration_s,
            payments,
            grown: self.season.grown(start_s),
            nth: launcher.started,
            planned: &mut self.planned,
        };
        match launcher.story {
            Story::Everyday => unreachable!("everyday payments are no episode"),
            Story::Fraud(pattern) => patterns::plan(pattern, &mut stage),
            Story::Lookalike(lookalike) => lookalikes::plan(lookalike, &mut stage),
        }
        launcher.started += 1;
        launcher.left -= 1;
        launcher.draw_next(&self.season);
        self.wait_for_planned(index);
        self.look_ahead();
    }

    /// Puts what an episode planned where it waits, each fraud with the time of its report.
    fn wait_for_planned(&mut self, index: usize) {
        self.episodes += 1;
        let Launcher { story, rng, .. } = &mut self.launchers[index];
        let last_s = self.planned.iter().map(|(at_s, _)| *at_s).max().unwrap_or_default();
        let mut together_s = None;
        for (at_s, mut draft) in self.planned.drain(..) {
            draft.story = *story;
            let report_after_s = match story {
                Story::Fraud(pattern) => {
                    let of = self.settings.patterns.of(*pattern);
                    if patterns::reported_together(*pattern) {
                        let delay_s = *together_s.get_or_insert_with(|| report_delay_s(rng, of));
                        last_s - at_s + delay_s
                    } else {
                        report_delay_s(rng, of)
                    }
                }
                _ => 0,
            };
            self.planned_count += 1;
            let (order, episode) = (self.planned_count, self.episodes);
            let pending = Pending { at_s, order, episode, report_after_s, draft };
            self.pending.push(Reverse(pending));
        }
    }

    fn emit(
        &mut self,
        at_s: u64,
        episode: u64,
        report_after_s: u64,
        draft: &Draft,
    ) -> GeneratedPayment {
        assert!(at_s >= self.now_s && at_s < self.season.end_s, "payments are in order of time");
        let seq = self.emitted;
        self.emitted += 1;
        self.now_s = at_s;
        let (label, lookalike) = match draft.story {
            Story::Everyday => (None, None),
            Story::Fraud(pattern) => (Some(pattern), None),
            Story::Lookalike(lookalike) => (None, Some(lookalike)),
        };
        let at = Timestamp(at_s * NANOS);
        GeneratedPayment {
            seq,
            // Both halves are one-to-one, of the seed and of the position.
            id: u128::from(mix64(self.settings.seed)) << 64 | u128::from(mix64(seq)),
            at,
            payer: draft.payer,
            payee: draft.payee,
            amount_minor: ((draft.amount * self.minor_units + 0.5) as u64).max(1),
            currency: self.currency,
            device: draft.device,
            ip: (draft.ip != 0).then(|| Ipv4Addr::from(draft.ip)),
            country: self.world.country(draft.country),
            mcc: draft.mcc,
            channel: draft.channel,
            label,
            label_known_at: label.map(|_| Timestamp(at.0 + report_after_s * NANOS)),
            lookalike,
            episode,
        }
    }

    fn emit_everyday(&mut self, at_s: u64) -> GeneratedPayment {
        self.everyday_next_s = None;
        let grown = self.season.grown(at_s);
        let payer = self.world.paying_customer(&mut self.rng, grown);
        let draft = self.world.everyday(&mut self.rng, payer, at_s, grown);
        self.emit(at_s, 0, 0, &draft)
    }
}

impl Iterator for Generator {
    type Item = GeneratedPayment;

    fn next(&mut self) -> Option<GeneratedPayment> {
        if self.emitted == self.settings.payments {
            return None;
        }
        loop {
            let everyday_s = self.everyday_s();
            let pending_s = self.pending.peek().map_or(NEVER_S, |Reverse(next)| next.at_s);
            if let Some((start_s, index)) = self.launch_next
                && start_s <= everyday_s.min(pending_s)
            {
                self.launch(index);
            } else if pending_s <= everyday_s {
                let Reverse(next) = self.pending.pop()?;
                return Some(self.emit(next.at_s, next.episode, next.report_after_s, &next.draft));
            } else {
                return Some(self.emit_everyday(everyday_s));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.settings.payments - self.emitted);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

fn report_delay_s(rng: &mut Rng, of: &PatternSettings) -> u64 {
    (of.report_s_median as f64 * exp2(of.report_spread * rng.normal())) as u64
}
