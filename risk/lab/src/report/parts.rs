//! Parts of reports: consumes an evaluation, a comparison, drift or a tuning, produces its cards,
//! pictures and tables.

use std::fmt::Write as _;

use super::{
    charts,
    number::{escaped, fixed, general, percent, whole},
    page::{Card, Report},
    plot::Ink,
    table::{Align, Table},
};
use crate::{
    data::Day,
    metrics::{Drift, DriftLevel, Evaluation, Interval},
    tune::{BacktestDay, Comparison, Decision, Tuning},
};

/// So many features are drawn; a table holds the others.
const BARS_MAX: usize = 20;

/// A payment, and why it was scored so.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The payment's id.
    pub payment: String,
    /// When, who, whom: one line.
    pub about: String,
    /// Its score.
    pub score: f64,
    /// Its label.
    pub is_fraud: bool,
    /// Sentences, the most important first.
    pub reasons: Vec<String>,
}

impl Report {
    /// One model: headline figures, curves, scores, calibration, thresholds.
    pub fn evaluation(&mut self, evaluation: &Evaluation) -> &mut Self {
        self.cards(&headline(evaluation));
        self.models(&[("model", evaluation)]);
        self.picture(&charts::histogram(&evaluation.histogram));
        if let Some(table) = &evaluation.calibration {
            self.picture(&charts::calibration(table));
        }
        self.table("What a threshold stops", &stopped(evaluation));
        self.table("Card precision at 100 by day", &cards_by_day(evaluation))
    }

    /// ROC and precision-recall curves of one or two models.
    pub fn models(&mut self, models: &[(&str, &Evaluation)]) -> &mut Self {
        self.picture(&charts::roc(models));
        self.picture(&charts::precision_recall(models));
        self
    }

    /// How much each feature matters, the most important first.
    pub fn importance(&mut self, features: &[(&str, f64)]) -> &mut Self {
        let bars: Vec<_> = features
            .iter()
            .take(BARS_MAX)
            .map(|(name, value)| (*name, *value, Ink::First))
            .collect();
        let note = "The share of each feature in all that the model says.";
        self.picture(&charts::bars("Feature importance", note, &bars, percent));
        self
    }

    /// How far features have moved: bars, and a table of all.
    pub fn drift(&mut self, drift: &Drift) -> &mut Self {
        let counted = |level| drift.features.iter().filter(|it| it.level == level).count();
        self.cards(&[
            card(
                "features shifted",
                counted(DriftLevel::Shifted).to_string(),
                "index from 0.25 on",
            ),
            card("features moved", counted(DriftLevel::Moved).to_string(), "index 0.1 to 0.25"),
            card("features stable", counted(DriftLevel::Stable).to_string(), "index below 0.1"),
            card("payments before", whole(drift.rows_before as u64), "the reference"),
            card("payments now", whole(drift.rows_now as u64), ""),
        ]);
        let ink = |level| if level == DriftLevel::Stable { Ink::First } else { Ink::Second };
        let bars: Vec<_> = drift
            .features
            .iter()
            .take(BARS_MAX)
            .map(|it| (it.feature.as_str(), it.psi, ink(it.level)))
            .collect();
        let note = "Population stability index: below 0.1 is stable, from 0.25 on the model may no longer hold.";
        self.picture(&charts::bars("Drift", note, &bars, |psi| fixed(psi, 3)));
        self.table("Features", &drift_table(drift))
    }

    /// Thresholds, what they would have done, and the cost curve.
    pub fn tuning(&mut self, tuning: &Tuning) -> &mut Self {
        let saved = tuning.cost_without - tuning.cost;
        let share = if tuning.cost_without > 0.0 { saved / tuning.cost_without } else { 0.0 };
        let capacity = match tuning.reviews_per_day_max {
            Some(most) => format!(
                "of {} possible; busiest day {}",
                fixed(most, 0),
                tuning.reviews_busiest_day
            ),
            None => format!("busiest day {}", tuning.reviews_busiest_day),
        };
        self.cards(&[
            card("cost", fixed(tuning.cost, 0), &format!("in {} days", tuning.days)),
            card("without a model", fixed(tuning.cost_without, 0), "all approved"),
            card("saved", percent(share), &fixed(saved, 0)),
            card("reviews per day", fixed(tuning.reviews_per_day, 1), &capacity),
        ]);
        self.picture(&charts::cost(tuning));
        self.picture(&charts::money_stopped(tuning));
        self.table("Recommended thresholds", &thresholds_table(tuning))
    }

    /// What each day would have been like.
    pub fn backtest(&mut self, days: &[(Day, BacktestDay)]) -> &mut Self {
        self.picture(&charts::money_by_day(days));
        self.picture(&charts::frauds_by_day(days));
        self.table("Days", &days_table(days))
    }

    /// A challenger against the champion.
    pub fn comparison(
        &mut self,
        comparison: &Comparison,
        champion: (&str, &Evaluation),
        challenger: (&str, &Evaluation),
    ) -> &mut Self {
        let better = comparison.metrics.iter().filter(|it| it.difference.low > 0.0).count();
        let worse = comparison.metrics.iter().filter(|it| it.difference.high < 0.0).count();
        let of = format!("of {} figures, more than chance", comparison.metrics.len());
        self.cards(&[
            card("better in", better.to_string(), &of),
            card("worse in", worse.to_string(), &of),
            card(
                "same reviews",
                percent(comparison.review_overlap),
                &format!("of {} per day", comparison.settings.reviews_per_day),
            ),
            card(
                "frauds gained",
                whole(comparison.frauds_gained),
                "reviewed by the challenger only",
            ),
            card("frauds lost", whole(comparison.frauds_lost), "reviewed by the champion only"),
        ]);
        self.table("Figures", &comparison_table(comparison));
        self.models(&[champion, challenger])
    }

    /// Payments with the reasons for their scores.
    pub fn examples(&mut self, heading: &str, examples: &[Example]) -> &mut Self {
        self.heading(heading);
        for example in examples {
            let (class, tag) = if example.is_fraud { ("b", "fraud") } else { ("a", "legitimate") };
            let mut html = format!(
                "<div class=\"example\"><p><strong>{}</strong> {} · score {}<span class=\"tag {class}\">{tag}</span></p><ul>",
                escaped(&example.payment),
                escaped(&example.about),
                general(example.score)
            );
            for reason in &example.reasons {
                let _ = write!(html, "<li>{}</li>", escaped(reason));
            }
            html.push_str("</ul></div>");
            self.html(&html);
        }
        self
    }
}

fn card(name: &str, value: String, note: &str) -> Card {
    Card { name: name.to_owned(), value, note: note.to_owned() }
}

fn headline(evaluation: &Evaluation) -> [Card; 5] {
    let note = |interval: Option<Interval>| {
        interval
            .map_or_else(String::new, |it| format!("{} to {}", fixed(it.low, 3), fixed(it.high, 3)))
    };
    let share = evaluation.frauds as f64 / evaluation.rows.max(1) as f64;
    [
        card(
            "average precision",
            fixed(evaluation.average_precision, 3),
            &note(evaluation.average_precision_interval),
        ),
        card("ROC AUC", fixed(evaluation.roc_auc, 3), &note(evaluation.roc_auc_interval)),
        card(
            "card precision at 100",
            fixed(evaluation.card_precision_at_100, 3),
            &note(evaluation.card_precision_interval),
        ),
        card(
            "payments",
            whole(evaluation.rows as u64),
            &format!("{} days", evaluation.card_precision.days.len()),
        ),
        card("frauds", whole(evaluation.frauds as u64), &format!("{} of payments", percent(share))),
    ]
}

fn stopped(evaluation: &Evaluation) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("score from", right),
        ("stopped", right),
        ("frauds", right),
        ("false alarms", right),
        ("precision", right),
        ("recall", right),
        ("money caught", right),
        ("of all", right),
    ]);
    for it in &evaluation.thresholds {
        let share = if it.money_frauds > 0.0 { it.money_caught / it.money_frauds } else { 0.0 };
        table.row([
            general(f64::from(it.threshold)),
            whole(it.alerts()),
            whole(it.caught),
            whole(it.false_alarms),
            percent(it.precision()),
            percent(it.recall()),
            fixed(it.money_caught, 2),
            percent(share),
        ]);
    }
    table
}

fn cards_by_day(evaluation: &Evaluation) -> Table {
    let mut table =
        Table::new(&[("day", Align::Left), ("compromised of the 100 highest", Align::Right)]);
    for (day, share) in &evaluation.card_precision.days {
        table.row([day.to_string(), fixed(share * f64::from(evaluation.card_precision.k), 0)]);
    }
    table
}

/// Drift, a feature a row: how far it moved, and what it was and is on average.
#[must_use]
pub fn drift_table(drift: &Drift) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("feature", Align::Left),
        ("", Align::Left),
        ("PSI", right),
        ("KS", right),
        ("mean before", right),
        ("mean now", right),
        ("missing before", right),
        ("missing now", right),
    ]);
    let mean = |mean: Option<f64>| mean.map_or_else(|| "–".to_owned(), |mean| fixed(mean, 3));
    for it in &drift.features {
        let level = match it.level {
            DriftLevel::Stable => "stable",
            DriftLevel::Moved => "moved",
            DriftLevel::Shifted => "shifted",
        };
        table.row([
            it.feature.clone(),
            level.to_owned(),
            fixed(it.psi, 3),
            fixed(it.ks, 3),
            mean(it.mean_before),
            mean(it.mean_now),
            percent(it.missing_before),
            percent(it.missing_now),
        ]);
    }
    table
}

fn thresholds_table(tuning: &Tuning) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("decision", Align::Left),
        ("score from", right),
        ("payments", right),
        ("per day", right),
        ("frauds", right),
        ("share of fraud", right),
        ("money of frauds", right),
    ]);
    let at = |threshold: Option<f32>| {
        threshold.map_or_else(|| "never".to_owned(), |it| general(f64::from(it)))
    };
    for it in tuning.decisions.iter().rev() {
        let (name, from) = match it.decision {
            Decision::Decline => ("decline", at(tuning.thresholds.decline_at)),
            Decision::Challenge => ("challenge", at(tuning.thresholds.challenge_at)),
            Decision::Review => ("review", at(tuning.thresholds.review_at)),
            Decision::Approve => ("approve", "all others".to_owned()),
        };
        table.row([
            name.to_owned(),
            from,
            whole(it.rows),
            fixed(it.rows as f64 / f64::from(tuning.days.max(1)), 1),
            whole(it.frauds),
            percent(it.frauds as f64 / it.rows.max(1) as f64),
            fixed(it.money_frauds, 2),
        ]);
    }
    table
}

fn days_table(days: &[(Day, BacktestDay)]) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("day", Align::Left),
        ("payments", right),
        ("reviewed", right),
        ("challenged", right),
        ("declined", right),
        ("frauds", right),
        ("stopped", right),
        ("money stopped", right),
        ("money missed", right),
    ]);
    for (day, it) in days {
        let counts =
            [it.rows, it.reviewed, it.challenged, it.declined, it.frauds, it.frauds_stopped];
        let money = [it.money_stopped, it.money_missed].map(|money| fixed(money, 2));
        table.row([day.to_string()].into_iter().chain(counts.map(whole)).chain(money));
    }
    table
}

fn comparison_table(comparison: &Comparison) -> Table {
    let right = Align::Right;
    let interval = format!("{} % interval", fixed(comparison.settings.bootstrap.level * 100.0, 0));
    let mut table = Table::new(&[
        ("figure", Align::Left),
        ("champion", right),
        ("challenger", right),
        ("difference", right),
        (&interval, right),
        ("", Align::Left),
    ]);
    for it in &comparison.metrics {
        let (name, decimals) = match it.metric {
            "average_precision" => ("average precision".to_owned(), 3),
            "roc_auc" => ("ROC AUC".to_owned(), 3),
            "card_precision_at_100" => ("card precision at 100".to_owned(), 3),
            _ => (
                format!("money caught, {} reviews per day", comparison.settings.reviews_per_day),
                0,
            ),
        };
        let reading = match &it.difference {
            difference if difference.low > 0.0 => "better",
            difference if difference.high < 0.0 => "worse",
            _ => "may be chance",
        };
        table.row([
            name,
            fixed(it.champion.value, decimals),
            fixed(it.challenger.value, decimals),
            fixed(it.difference.value, decimals),
            format!(
                "{} to {}",
                fixed(it.difference.low, decimals),
                fixed(it.difference.high, decimals)
            ),
            reading.to_owned(),
        ]);
    }
    table
}
