//! The features as their definitions say, over a list of everything that ever happened.

use millrace_risk::features::{Attempt, Catalogue, Feature, Form, Label, Span, Statistic};

pub(crate) const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
struct Paid {
    at: u64,
    amount: f64,
    keys: Vec<u64>,
}

/// Remembers all.
#[derive(Clone, Debug)]
pub(crate) struct Naive {
    catalogue: Catalogue,
    payments: Vec<Paid>,
    /// Frauds: when reported, and the payment.
    reports: Vec<(u64, Paid)>,
    /// Those of them that were taken back.
    taken_back: Vec<(u64, Paid)>,
    /// All labels: the payment, whether it was fraud, and payments that had been seen.
    labels: Vec<(Paid, bool, usize)>,
}

/// A payment with what it counts in a window.
type Weighted<'a> = (&'a Paid, f64);

impl Naive {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            payments: Vec::new(),
            reports: Vec::new(),
            taken_back: Vec::new(),
            labels: Vec::new(),
        }
    }

    pub(crate) fn label(&mut self, label: &Label<'_>) {
        let keys = label.entities.iter().map(|key| key.0).collect();
        let paid = Paid { at: label.paid_at.0, amount: label.amount, keys };
        self.labels.push((paid.clone(), label.fraud, self.payments.len()));
        if label.fraud {
            self.reports.push((label.at.0, paid));
        } else if label.takes_back {
            let its = |(_, one): &(u64, Paid)| (one.at, &one.keys) == (paid.at, &paid.keys);
            let place = self.reports.iter().rposition(its).expect("it was reported");
            self.taken_back.push(self.reports.remove(place));
        }
    }

    pub(crate) fn observe(&mut self, attempt: &Attempt<'_>) -> Vec<f64> {
        let keys = attempt.entities.iter().map(|key| key.0).collect();
        self.payments.push(Paid { at: attempt.at.0, amount: attempt.amount, keys });
        let catalogue = self.catalogue.clone();
        let values = catalogue.features().iter().map(|feature| {
            let value = match feature.entity {
                Some(entity) => self.of_entity(feature, entity),
                None => f64::NAN,
            };
            if value.is_nan() { f64::from(feature.missing) } else { value }
        });
        values.collect()
    }

    fn of_entity(&self, feature: &Feature, entity: usize) -> f64 {
        let (this, before) = self.payments.split_last().expect("there is this one");
        let key = this.keys[entity];
        if key == 0 {
            return f64::NAN;
        }
        let is_its = |paid: &&Paid| paid.keys[entity] == key;
        let before: Vec<_> = before.iter().filter(is_its).collect();
        let last = before.iter().map(|paid| paid.at).max();
        let now = this.at.max(last.unwrap_or(0));
        let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / SECOND as f64;
        let reports = self.reports.iter().filter(|(_, paid)| is_its(&paid));
        match feature.statistic {
            Statistic::SinceLast => return last.map_or(f64::NAN, |last| seconds(last, this.at)),
            Statistic::Age => return before.first().map_or(0.0, |first| seconds(first.at, now)),
            Statistic::SinceFraud => {
                let taken_back = self.taken_back.iter().filter(|(_, paid)| is_its(&paid));
                let newest = reports.chain(taken_back).map(|(at, _)| *at).max();
                return newest.map_or(f64::NAN, |at| seconds(at, now));
            }
            _ if feature.statistic.is_of_runs() => return self.of_runs(feature, entity, key, now),
            _ => {}
        }
        let mut counted = before.clone();
        if feature.current {
            counted.push(this);
        }
        let weighted: Vec<_> =
            counted.into_iter().map(|paid| (paid, weight(feature, paid.at, now))).collect();
        let frauds = reports.map(|(_, paid)| weight(feature, paid.at, now)).sum();
        statistic(feature, &weighted, frauds, this, &before)
    }
}

impl Naive {
    fn of_runs(&self, feature: &Feature, entity: usize, key: u64, now: u64) -> f64 {
        let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / SECOND as f64;
        let is_excepted = |paid: &Paid, seen: usize| {
            let Some(other) = feature.except else { return false };
            let seen = self.payments[..seen].iter();
            let before: Vec<_> = seen.filter(|one| one.keys[other] == paid.keys[other]).collect();
            paid.keys[other] != 0 && is_unusual(feature, &before, paid)
        };
        let its = self.labels.iter().filter(|(paid, ..)| paid.keys[entity] == key);
        let counted: Vec<_> =
            its.filter(|(paid, fraud, seen)| !(*fraud && is_excepted(paid, *seen))).collect();
        let run_from = counted.iter().rposition(|(_, fraud, _)| !fraud).map_or(0, |last| last + 1);
        let honest = |labels: &[&(Paid, bool, usize)]| {
            labels.iter().filter(|(_, fraud, _)| !fraud).map(|(paid, ..)| paid.at).max()
        };
        let first = counted.get(run_from).map(|(paid, ..)| paid.at);
        match feature.statistic {
            Statistic::FraudAverage => counted.iter().fold(0.0, |average, (_, fraud, _)| {
                average * (1.0 - feature.step) + feature.step * f64::from(*fraud)
            }),
            Statistic::FraudRunAge => first.map_or(f64::NAN, |first| seconds(first, now)),
            Statistic::FraudRunGap => match (first, honest(&counted[..run_from])) {
                (Some(first), Some(honest)) => seconds(honest, first),
                _ => f64::NAN,
            },
            _ => honest(&counted).map_or(f64::NAN, |at| seconds(at, now)),
        }
    }
}

/// What a payment counts.
fn weight(feature: &Feature, at: u64, now: u64) -> f64 {
    let ns = |span: Span| match span {
        Span::Seconds(seconds) => seconds * SECOND,
        Span::Ever => u64::MAX,
    };
    let window = feature.window.expect("it has a window");
    let (delay, bucket) = (ns(feature.delay), ns(feature.bucket));
    let decayed = |age: u64| match window {
        Span::Ever => 1.0,
        Span::Seconds(_) => (-(age as f64) / ns(window) as f64).exp(),
    };
    match feature.form {
        Form::Exact => f64::from(now >= at + delay && now < at + delay + ns(window)),
        Form::Decayed if delay == 0 => decayed(now - at),
        Form::Decayed => {
            let is_over = at / bucket < now.saturating_sub(delay) / bucket;
            let middle = at / bucket * bucket + bucket / 2;
            if is_over { decayed((now - delay).saturating_sub(middle)) } else { 0.0 }
        }
        Form::Ring => {
            let (age, lag) = (now / bucket - at / bucket, delay / bucket);
            let from = if delay == 0 { 0 } else { lag + 1 };
            f64::from(age >= from && age < from + ns(window) / bucket)
        }
    }
}

fn statistic(
    feature: &Feature,
    weighted: &[Weighted<'_>],
    frauds: f64,
    this: &Paid,
    before: &[&Paid],
) -> f64 {
    let sum_of = |what: &dyn Fn(&Paid) -> f64| -> f64 {
        weighted.iter().map(|(paid, weight)| weight * what(paid)).sum()
    };
    let count = sum_of(&|_| 1.0);
    let mean = sum_of(&|paid| paid.amount) / count;
    let std = (sum_of(&|paid| (paid.amount - mean) * (paid.amount - mean)) / count).sqrt();
    // Amounts that differ by less are the same.
    let std = if std <= 1e-4 * mean { 0.0 } else { std };
    let share =
        |hits: f64| (hits + feature.prior * feature.prior_weight) / (count + feature.prior_weight);
    let within = || weighted.iter().filter(|(_, weight)| *weight > 0.0);
    match feature.statistic {
        Statistic::Count => count,
        Statistic::Sum => mean_or_zero(mean, count) * count,
        Statistic::Mean => mean,
        Statistic::Std => std,
        Statistic::Min => {
            within().map(|(paid, _)| paid.amount).min_by(f64::total_cmp).unwrap_or(f64::NAN)
        }
        Statistic::Max => {
            let fade = |weight: f64| if feature.form == Form::Decayed { weight } else { 1.0 };
            within()
                .map(|(paid, weight)| paid.amount * fade(*weight))
                .max_by(f64::total_cmp)
                .unwrap_or(f64::NAN)
        }
        Statistic::Distinct => {
            let keys = within().map(|(paid, _)| paid.keys[feature.of[0]]).filter(|key| *key != 0);
            let mut keys: Vec<_> = keys.collect();
            keys.sort_unstable();
            keys.dedup();
            keys.len() as f64
        }
        Statistic::Ratio => this.amount / mean,
        // Where all are the same, there is nothing to measure by.
        Statistic::ZScore if std == 0.0 => f64::NAN,
        Statistic::ZScore => (this.amount - mean) / std,
        Statistic::CountAbove => sum_of(&|paid| f64::from(paid.amount > feature.above)),
        Statistic::ShareAbove => share(sum_of(&|paid| f64::from(paid.amount > feature.above))),
        Statistic::CountUnusual | Statistic::ShareUnusual => {
            let all: Vec<_> = before.iter().copied().chain([this]).collect();
            let hits = (0..all.len()).map(|n| {
                let weight = weighted.get(n).map_or(0.0, |(_, weight)| *weight);
                weight * f64::from(is_unusual(feature, &all[..n], all[n]))
            });
            let hits: f64 = hits.sum();
            if feature.statistic == Statistic::CountUnusual { hits } else { share(hits) }
        }
        Statistic::MaxRatio => {
            let all: Vec<_> = before.iter().copied().chain([this]).collect();
            let ratios = weighted
                .iter()
                .enumerate()
                .map(|(n, (paid, weight))| weight * paid.amount / usual_mean(feature, &all[..n]));
            ratios.filter(|ratio| ratio.is_finite()).max_by(f64::total_cmp).unwrap_or(f64::NAN)
        }
        Statistic::FraudCount => frauds,
        Statistic::FraudShare => share(frauds),
        _ => f64::NAN,
    }
}

fn mean_or_zero(mean: f64, count: f64) -> f64 {
    if count > 0.0 { mean } else { 0.0 }
}

/// Against the mean of the payments that had arrived before it.
fn is_unusual(feature: &Feature, before: &[&Paid], this: &Paid) -> bool {
    this.amount > feature.times * usual_mean(feature, before)
}

/// NaN without payments.
fn usual_mean(feature: &Feature, before: &[&Paid]) -> f64 {
    let now = before.iter().map(|paid| paid.at).max().unwrap_or(0);
    let (form, delay) = (Form::Decayed, Span::ZERO);
    let usual = Feature { window: Some(feature.usual), form, delay, ..feature.clone() };
    let weights = before.iter().map(|paid| (paid.amount, weight(&usual, paid.at, now)));
    let (sum, count) = weights
        .fold((0.0, 0.0), |(sum, count), (amount, weight)| (sum + amount * weight, count + weight));
    sum / count
}
