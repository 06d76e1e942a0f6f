//! The plan: consumes a catalogue, produces what is kept of each kind of entity, word by word, and
//! what is read from it for each feature.
//!
//! Features share what they keep: `count_7d`, `mean_7d` and `ratio_7d` of one kind are read from
//! one count and one sum.

use super::{
    decayed::{
        AMOUNT, COUNTERS, Condition, Counter, Decayed, Fading, NOTHING, ONE, RATES_MAX,
        SOURCES_MAX, SQUARE,
    },
    delayed::Delayed,
    exact::Exact,
    moments::Prior,
    ring::Ring,
    runs::{Exception, OfRun, RUN_WORDS, Runs},
    waiting::Waiting,
};
use crate::features::{Entity, Feature, Form, Span, Statistic};

/// Words of a profile, 64 KiB: what is larger is a mistake in the catalogue.
const WORDS_MAX: usize = 8_192;

/// What is kept of the entities of one kind, and what is read from it.
#[derive(Clone, Debug, Default)]
pub(super) struct KindPlan {
    pub(super) decayed: Decayed,
    pub(super) delayed: Vec<Delayed>,
    pub(super) rings: Vec<Ring>,
    pub(super) runs: Vec<Runs>,
    /// Payments that are not yet taken for honest by the runs.
    pub(super) waiting: Option<Waiting>,
    pub(super) exact: Exact,
    /// Word of the time of the first payment.
    pub(super) first: Option<usize>,
    /// Word of the time of the newest report of a fraud.
    pub(super) reported: Option<usize>,
    /// Counters that frauds go to without delay: word and window.
    pub(super) frauds: Vec<(u16, u8)>,
    /// What is read before this payment is counted, and after.
    pub(super) before: Vec<Output>,
    pub(super) after: Vec<Output>,
    /// Words of a profile.
    pub(super) words: usize,
}

/// A feature: what is read, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) column: u16,
    pub(super) missing: f32,
    pub(super) read: Read,
}

/// How a feature is read. Numbers of words, unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    Word(u16),
    Fading(u16),
    Mean {
        count: u16,
        sum: u16,
    },
    Std {
        count: u16,
        sum: u16,
        square: u16,
    },
    Ratio {
        count: u16,
        sum: u16,
    },
    ZScore {
        count: u16,
        sum: u16,
        square: u16,
    },
    Share {
        hits: u16,
        count: u16,
        prior: u8,
    },
    SinceLast,
    Since(u16),
    /// By place among the runs.
    Run {
        runs: u8,
        of: OfRun,
    },
    /// By place among the rings.
    Ring {
        ring: u8,
        statistic: Statistic,
        prior: u8,
    },
    /// By place among the windows of the list, and among what is counted.
    Exact {
        window: u8,
        counted: u8,
        statistic: Statistic,
        prior: u8,
    },
}

/// A feature that needs no entity.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowRead {
    Payment(Statistic),
    Quotient(u16, u16),
}

/// What all features need.
#[derive(Clone, Debug, Default)]
pub(in crate::features) struct Plan {
    pub(super) kinds: Vec<KindPlan>,
    /// Column, value when there is none, and how it is read; in the order of the columns.
    pub(super) row: Vec<(u16, f32, RowRead)>,
    pub(super) columns: usize,
    /// What is assumed of shares; the first assumes nothing.
    pub(super) priors: Vec<Prior>,
    /// Frauds that point at another entity.
    pub(super) exceptions: Vec<Exception>,
}

impl Plan {
    /// What is needed for the features in these columns.
    ///
    /// # Errors
    /// With the kind of entity of which too much would be kept, and what that is.
    pub(in crate::features) fn compile(
        entities: &[Entity],
        features: &[Feature],
        is_kept: impl Fn(usize) -> bool,
    ) -> Result<Self, (usize, String)> {
        let row = Self::row_reads(features, &is_kept);
        let priors = vec![Prior::default()];
        let mut plan = Self { row, columns: features.len(), priors, ..Self::default() };
        let mut kinds: Vec<_> = entities.iter().map(|_| Builder::default()).collect();
        for (column, feature) in features.iter().enumerate().filter(|(column, _)| is_kept(*column))
        {
            let Some(entity) = feature.entity else { continue };
            let except = feature.except.map(|kind| {
                let unusual = kinds[kind].unusual(feature);
                place_of(&mut plan.exceptions, &Exception { kind, unusual })
            });
            kinds[entity].take(column as u16, feature, except, &mut plan.priors);
        }
        for (place, kind) in kinds.into_iter().enumerate() {
            plan.kinds.push(kind.finish(&entities[place]).map_err(|what| (place, what))?);
        }
        Ok(plan)
    }

    /// Of the features in these columns, those that need no entity.
    pub(super) fn row_reads(
        features: &[Feature],
        is_kept: impl Fn(usize) -> bool,
    ) -> Vec<(u16, f32, RowRead)> {
        let read = |(column, feature): (usize, &Feature)| {
            let read = match (feature.statistic, &feature.of[..], feature.entity) {
                (Statistic::Quotient, [one, other], _) => {
                    RowRead::Quotient(*one as u16, *other as u16)
                }
                (.., None) => RowRead::Payment(feature.statistic),
                _ => return None,
            };
            Some((column as u16, feature.missing, read))
        };
        features
            .iter()
            .enumerate()
            .filter(|(column, _)| is_kept(*column))
            .filter_map(read)
            .collect()
    }
}

/// Counters are named by place until all of them are known: their words follow each other.
#[derive(Default)]
struct Builder {
    plan: KindPlan,
}

impl Builder {
    fn take(
        &mut self,
        column: u16,
        feature: &Feature,
        except: Option<u8>,
        priors: &mut Vec<Prior>,
    ) {
        let prior =
            Prior { hits: feature.prior * feature.prior_weight, payments: feature.prior_weight };
        let place = priors.iter().position(|one| *one == prior).unwrap_or(priors.len());
        if place == priors.len() {
            priors.push(prior);
        }
        let read = match (feature.statistic, feature.form) {
            (Statistic::SinceLast, _) => Read::SinceLast,
            (Statistic::Age, _) => {
                self.plan.first.get_or_insert(0);
                Read::Since(FIRST)
            }
            (Statistic::SinceFraud, _) => {
                self.plan.reported.get_or_insert(0);
                Read::Since(REPORTED)
            }
            (Statistic::FraudAverage, _) => self.run(OfRun::Average, feature, except),
            (Statistic::FraudRunAge, _) => self.run(OfRun::Age, feature, except),
            (Statistic::FraudRunGap, _) => self.run(OfRun::Gap, feature, except),
            (Statistic::SinceHonest, _) => self.run(OfRun::SinceHonest, feature, except),
            (_, Form::Decayed) => self.decayed(feature, place as u8),
            (statistic, Form::Ring) => {
                Read::Ring { ring: self.ring(feature), statistic, prior: place as u8 }
            }
            (statistic, Form::Exact) => {
                let windows = &mut self.plan.exact.windows;
                let window = feature.window.unwrap_or(Span::ZERO);
                let window = place_of(windows, &(feature.delay.ns(), window.ns()));
                let counted = match &feature.of[..] {
                    [counted] => place_of(&mut self.plan.exact.counted, counted),
                    _ => 0,
                };
                Read::Exact { window, counted, statistic, prior: place as u8 }
            }
        };
        // When this entity was last seen is asked before it is seen now.
        let reads_before = matches!(read, Read::SinceLast) || !feature.current;
        let outputs = if reads_before { &mut self.plan.before } else { &mut self.plan.after };
        outputs.push(Output { column, missing: feature.missing, read });
    }

    fn run(&mut self, of: OfRun, feature: &Feature, except: Option<u8>) -> Read {
        let runs = Runs { base: 0, step: feature.step, except };
        Read::Run { runs: place_of(&mut self.plan.runs, &runs), of }
    }

    /// Above a multiple of the entity's mean.
    fn unusual(&mut self, feature: &Feature) -> Condition {
        let usual = self.rate(feature.usual);
        let (count, sum) = (self.counter(usual, ONE), self.counter(usual, AMOUNT));
        Condition::Unusual { times: feature.times, count, sum }
    }

    fn rate(&mut self, window: Span) -> u8 {
        place_of(&mut self.plan.decayed.rates, &Decayed::rate(window))
    }

    fn counter(&mut self, rate: u8, source: u8) -> u16 {
        let counters = &mut self.plan.decayed.counters;
        let place = match source {
            // Each stands for itself.
            NOTHING => {
                counters.push(Counter { rate, source });
                counters.len() - 1
            }
            _ => usize::from(place_of(counters, &Counter { rate, source })),
        };
        (COUNTERS + place) as u16
    }

    fn condition(&mut self, condition: Condition) -> u8 {
        Decayed::source_of(place_of(&mut self.plan.decayed.conditions, &condition).into())
    }

    fn decayed(&mut self, feature: &Feature, prior: u8) -> Read {
        let rate = self.rate(feature.window.unwrap_or(Span::Ever));
        if feature.delay != Span::ZERO {
            return self.delayed(feature, rate, prior);
        }
        match feature.statistic {
            Statistic::Count => Read::Word(self.counter(rate, ONE)),
            Statistic::Sum => Read::Word(self.counter(rate, AMOUNT)),
            Statistic::Mean => {
                Read::Mean { count: self.counter(rate, ONE), sum: self.counter(rate, AMOUNT) }
            }
            Statistic::Ratio => {
                Read::Ratio { count: self.counter(rate, ONE), sum: self.counter(rate, AMOUNT) }
            }
            Statistic::Std | Statistic::ZScore => {
                let [count, sum, square] =
                    [ONE, AMOUNT, SQUARE].map(|source| self.counter(rate, source));
                match feature.statistic {
                    Statistic::Std => Read::Std { count, sum, square },
                    _ => Read::ZScore { count, sum, square },
                }
            }
            Statistic::Max => self.fading(rate, None),
            Statistic::MaxRatio => {
                let usual = self.rate(feature.usual);
                let ratio_to = (self.counter(usual, ONE), self.counter(usual, AMOUNT));
                self.fading(rate, Some(ratio_to))
            }
            Statistic::FraudCount => Read::Word(self.fraud(rate)),
            Statistic::FraudShare => {
                Read::Share { hits: self.fraud(rate), count: self.counter(rate, ONE), prior }
            }
            Statistic::CountAbove | Statistic::ShareAbove => {
                let source = self.condition(Condition::Above(feature.above));
                self.conditional(feature.statistic, rate, source, prior)
            }
            Statistic::CountUnusual | Statistic::ShareUnusual => {
                let unusual = self.unusual(feature);
                let source = self.condition(unusual);
                self.conditional(feature.statistic, rate, source, prior)
            }
            _ => unreachable!("the catalogue refuses it for this form"),
        }
    }

    /// Read by place until the word is known.
    fn fading(&mut self, rate: u8, ratio_to: Option<(u16, u16)>) -> Read {
        let fading = Fading { word: 0, rate, ratio_to };
        Read::Fading(place_of(&mut self.plan.decayed.fading, &fading).into())
    }

    fn conditional(&mut self, statistic: Statistic, rate: u8, source: u8, prior: u8) -> Read {
        let hits = self.counter(rate, source);
        match statistic {
            Statistic::CountAbove | Statistic::CountUnusual => Read::Word(hits),
            _ => Read::Share { hits, count: self.counter(rate, ONE), prior },
        }
    }

    /// The counter of frauds of this window, without delay.
    fn fraud(&mut self, rate: u8) -> u16 {
        if let Some((word, _)) = self.plan.frauds.iter().find(|(_, other)| *other == rate) {
            return *word;
        }
        let word = self.counter(rate, NOTHING);
        self.plan.frauds.push((word, rate));
        word
    }

    fn delayed(&mut self, feature: &Feature, rate: u8, prior: u8) -> Read {
        let (delay_ns, bucket_ns) = (feature.delay.ns(), feature.bucket.ns());
        let same = |one: &Delayed| (one.delay_ns, one.bucket_ns) == (delay_ns, bucket_ns);
        let place = self.plan.delayed.iter().position(same).unwrap_or(self.plan.delayed.len());
        if place == self.plan.delayed.len() {
            let slots = delay_ns / bucket_ns + 1;
            let (payments, frauds) = (Vec::new(), Vec::new());
            let delayed = Delayed { delay_ns, bucket_ns, slots, base: 0, payments, frauds };
            self.plan.delayed.push(delayed);
        }
        let mut counter = |frauds: bool| {
            let delayed = &self.plan.delayed[place];
            let among = if frauds { &delayed.frauds } else { &delayed.payments };
            if let Some((word, _)) = among.iter().find(|(_, other)| *other == rate) {
                return *word;
            }
            let word = self.counter(rate, NOTHING);
            let delayed = &mut self.plan.delayed[place];
            let among = if frauds { &mut delayed.frauds } else { &mut delayed.payments };
            among.push((word, rate));
            word
        };
        match feature.statistic {
            Statistic::Count => Read::Word(counter(false)),
            Statistic::FraudCount => Read::Word(counter(true)),
            _ => Read::Share { hits: counter(true), count: counter(false), prior },
        }
    }

    fn ring(&mut self, feature: &Feature) -> u8 {
        let bucket_ns = feature.bucket.ns();
        let span = feature.window.unwrap_or(Span::ZERO).ns() / bucket_ns;
        // The bucket that the shifted time is in has payments whose labels are not due.
        let lag = match feature.delay {
            Span::ZERO => 0,
            delay => delay.ns() / bucket_ns + 1,
        };
        let counted = feature.of.first().copied();
        let has_spread = matches!(
            feature.statistic,
            Statistic::Std | Statistic::ZScore | Statistic::Min | Statistic::Max
        );
        let same = |ring: &Ring| {
            (ring.bucket_ns, ring.span, ring.lag) == (bucket_ns, span, lag)
                && (ring.counted == counted || counted.is_none())
        };
        let rings = &mut self.plan.rings;
        let place = rings.iter().position(same).unwrap_or(rings.len());
        if place == rings.len() {
            rings.push(Ring { bucket_ns, span, lag, base: 0, has_spread, counted });
        }
        rings[place].has_spread |= has_spread;
        place as u8
    }

    /// Gives each thing its words.
    fn finish(self, entity: &Entity) -> Result<KindPlan, String> {
        let mut plan = self.plan;
        plan.waiting = Waiting::of(entity).filter(|_| !plan.runs.is_empty());
        plan.decayed.finish();
        let (rates, conditions) = (plan.decayed.rates.len(), plan.decayed.conditions.len());
        if rates > RATES_MAX {
            return Err(format!("{rates} different decayed windows, and {RATES_MAX} are the most"));
        }
        let conditions_max = SOURCES_MAX - usize::from(Decayed::source_of(0));
        if conditions > conditions_max {
            return Err(format!(
                "{conditions} different conditions on amounts, and {conditions_max} are the most"
            ));
        }
        let mut next = COUNTERS + plan.decayed.counters.len();
        let mut take = |words: usize| {
            next += words;
            next - words
        };
        plan.first = plan.first.map(|_| take(1));
        plan.reported = plan.reported.map(|_| take(1));
        plan.decayed.fading.iter_mut().for_each(|fading| fading.word = take(1) as u16);
        plan.runs.iter_mut().for_each(|runs| runs.base = take(RUN_WORDS));
        if let Some(waiting) = &mut plan.waiting {
            waiting.base = take(waiting.words());
        }
        for delayed in &mut plan.delayed {
            delayed.base = take(delayed.words());
        }
        for ring in &mut plan.rings {
            ring.base = take(ring.words());
        }
        plan.words = take(0);
        if plan.words > WORDS_MAX {
            let (kib, kib_max) = (plan.words / 128, WORDS_MAX / 128);
            return Err(format!(
                "{kib} KiB for each entity, and {kib_max} are the most: take longer buckets"
            ));
        }
        let fading: Vec<_> = plan.decayed.fading.iter().map(|fading| fading.word).collect();
        for output in plan.before.iter_mut().chain(&mut plan.after) {
            match &mut output.read {
                Read::Fading(place) => *place = fading[usize::from(*place)],
                Read::Since(word) if *word == FIRST => *word = plan.first.unwrap_or(0) as u16,
                Read::Since(word) => *word = plan.reported.unwrap_or(0) as u16,
                _ => {}
            }
        }
        Ok(plan)
    }
}

/// Stand for words that are not known yet.
const FIRST: u16 = 0;
const REPORTED: u16 = 1;

/// The place of this one, which is appended if it is not there.
fn place_of<T: PartialEq + Clone>(all: &mut Vec<T>, one: &T) -> u8 {
    let place = all.iter().position(|other| other == one).unwrap_or(all.len());
    if place == all.len() {
        all.push(one.clone());
    }
    place as u8
}
