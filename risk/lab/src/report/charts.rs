//! Charts: consumes figures, produces one picture with a legend for each question that a report
//! answers.

use std::fmt::Write as _;

use super::{
    axis::Scale,
    number::{escaped, fixed, general, percent, tick, whole},
    plot::{Axis, Ink, Plot},
};
use crate::{
    data::Day,
    metrics::{Calibration, Evaluation, HistogramBin},
    tune::{BacktestDay, Tuning},
};

/// A picture under its heading, with what its colours mean and how to read it.
fn figure(heading: &str, legend: &[(Ink, &str)], note: &str, picture: &str) -> String {
    let mut html = format!("<figure><h3>{}</h3>", escaped(heading));
    if !legend.is_empty() {
        html.push_str("<p class=\"legend\">");
        for (ink, name) in legend {
            let _ = write!(html, "<span><i class=\"{}\"></i>{}</span>", ink.class(), escaped(name));
        }
        html.push_str("</p>");
    }
    let _ = write!(html, "{picture}<figcaption>{}</figcaption></figure>", escaped(note));
    html
}

/// What stands in a legend for one or for two models.
fn legend<'a>(models: &[(&'a str, &Evaluation)]) -> Vec<(Ink, &'a str)> {
    let inks = [Ink::First, Ink::Second];
    let named = models.iter().zip(inks).map(|((name, _), ink)| (ink, *name));
    if models.len() > 1 { named.collect() } else { Vec::new() }
}

pub(super) fn roc(models: &[(&str, &Evaluation)]) -> String {
    let unit = Scale::Linear(0.0, 1.0);
    let x = Axis::new("legitimate payments stopped (share)", unit);
    let y = Axis::new("frauds stopped (share)", unit);
    let mut plot = Plot::new("ROC curve", &x, &y);
    plot.dashes((0.0, 0.0), (1.0, 1.0), "chance: area 0.5");
    for ((_, evaluation), ink) in models.iter().zip([Ink::First, Ink::Second]) {
        let curve = &evaluation.roc_curve;
        let points: Vec<_> =
            curve.iter().map(|it| (it.false_positive_rate, it.true_positive_rate)).collect();
        plot.line(&points, ink, |place| {
            let point = &curve[place];
            let (frauds, legit) = (point.true_positive_rate, point.false_positive_rate);
            let stopped = format!("{} of frauds, {} of others", percent(frauds), percent(legit));
            match point.threshold {
                Some(threshold) => format!("score {}: {stopped}", general(f64::from(threshold))),
                None => stopped,
            }
        });
    }
    let note = "The further to the upper left, the better; the dashed line is chance.";
    figure("ROC curve", &legend(models), note, &plot.finish())
}

pub(super) fn precision_recall(models: &[(&str, &Evaluation)]) -> String {
    let unit = Scale::Linear(0.0, 1.0);
    let x = Axis::new("recall: frauds stopped (share)", unit);
    let y = Axis::new("precision: stopped that is fraud (share)", unit);
    let mut plot = Plot::new("Precision-recall curve", &x, &y);
    if let Some((_, evaluation)) = models.first() {
        let share = evaluation.frauds as f64 / evaluation.rows.max(1) as f64;
        plot.dashes((0.0, share), (1.0, share), &format!("chance: {}", percent(share)));
    }
    for ((_, evaluation), ink) in models.iter().zip([Ink::First, Ink::Second]) {
        let curve = &evaluation.precision_recall_curve;
        let points: Vec<_> = curve.iter().map(|it| (it.recall, it.precision)).collect();
        plot.line(&points, ink, |place| {
            let point = &curve[place];
            let (recall, precision) = (percent(point.recall), percent(point.precision));
            let score = general(f64::from(point.threshold));
            format!("score {score}: recall {recall}, precision {precision}")
        });
    }
    let note = "The area below is the average precision; the dashed line is the share of fraud.";
    figure("Precision and recall", &legend(models), note, &plot.finish())
}

pub(super) fn histogram(bins: &[HistogramBin]) -> String {
    let counts = bins.iter().flat_map(|bin| [bin.legit as f64, bin.frauds as f64]);
    let Scale::Log(_, high) = Scale::decades(counts.chain([1.0])) else { return String::new() };
    let (first, last) = (bins.first(), bins.last());
    let ends = first.zip(last).map_or((0.0, 1.0), |(first, last)| (first.from, last.to));
    let x = Axis::new("score", Scale::Linear(f64::from(ends.0), f64::from(ends.1)));
    // From below 1 on, so that a single payment shows.
    let y = Axis::new("payments (log)", Scale::Log(0.5, high));
    let y = Axis { mark: |mark| if mark < 1.0 { String::new() } else { tick(mark) }, ..y };
    let mut plot = Plot::new("Score histogram", &x, &y);
    for bin in bins {
        let (from, to) = (f64::from(bin.from), f64::from(bin.to));
        let middle = from + (to - from) / 2.0;
        let told = format!(
            "score {} to {}: {} legitimate, {} fraud",
            general(from),
            general(to),
            whole(bin.legit),
            whole(bin.frauds)
        );
        let gap = (to - from) * 0.06;
        if bin.legit > 0 {
            plot.bar((from + gap, middle), (0.5, bin.legit as f64), Ink::First, &told);
        }
        if bin.frauds > 0 {
            plot.bar((middle, to - gap), (0.5, bin.frauds as f64), Ink::Second, &told);
        }
    }
    let legend = [(Ink::First, "legitimate"), (Ink::Second, "fraud")];
    let note =
        "A good model leaves few legitimate payments on the right and few frauds on the left.";
    figure("Scores", &legend, note, &plot.finish())
}

pub(super) fn calibration(table: &Calibration) -> String {
    let values = table.bins.iter().flat_map(|bin| [bin.score_mean, bin.share_high]);
    let scale = match Scale::decades(values) {
        Scale::Log(low, _) => Scale::Log(low.max(1e-5), 1.0),
        scale => scale,
    };
    let lowest = if let Scale::Log(low, _) = scale { low } else { 0.0 };
    let x = Axis::new("score: fraud expected (share, log)", scale);
    let y = Axis::new("fraud that happened (share, log)", scale);
    let mut plot = Plot::new("Calibration", &x, &y);
    plot.dashes((lowest, lowest), (1.0, 1.0), "expected equals happened");
    for bin in &table.bins {
        let told = format!(
            "scores {} to {}: expected {}, happened {} ({} of {})",
            general(f64::from(bin.from)),
            general(f64::from(bin.to)),
            percent(bin.score_mean),
            percent(bin.fraud_share),
            whole(bin.frauds),
            whole(bin.rows)
        );
        let at = (bin.score_mean, bin.fraud_share);
        plot.dot(at, (bin.share_low, bin.share_high), &told);
    }
    let note = format!(
        "On the dashed line, a score is a probability; bars are 95 % intervals, and a hollow dot means that no fraud happened. Expected calibration error {}, Brier score {}.",
        general(table.expected_error),
        general(table.brier)
    );
    figure("Calibration", &[], &note, &plot.finish())
}

pub(super) fn cost(tuning: &Tuning) -> String {
    let curve = &tuning.curve;
    // Beyond a few times the cost of doing nothing, a curve only flattens what matters.
    let highest = tuning.cost_without * 2.0;
    let costs = curve.iter().flat_map(|it| [it.reviewed, it.declined]);
    let y_scale = Scale::from_zero(costs.map(|cost| cost.min(highest)));
    let stopped = curve.iter().map(|it| it.stopped_per_day);
    let x = Axis::new("payments stopped per day (log)", Scale::decades(stopped));
    let y = Axis::new("cost", y_scale);
    let mut plot = Plot::new("Cost curve", &x, &y);
    let Scale::Log(left, right) = x.scale else { return String::new() };
    let told = format!("as recommended: {}", fixed(tuning.cost, 0));
    plot.dashes((left, tuning.cost), (right, tuning.cost), &told);
    for (name, ink) in [("reviewed", Ink::First), ("declined", Ink::Second)] {
        let cost = |place: usize| match ink {
            Ink::First => curve[place].reviewed,
            _ => curve[place].declined,
        };
        let shown: Vec<usize> = (0..curve.len())
            .filter(|at| curve[*at].stopped_per_day > 0.0 && cost(*at) <= highest)
            .collect();
        let points: Vec<_> =
            shown.iter().map(|at| (curve[*at].stopped_per_day, cost(*at))).collect();
        plot.line(&points, ink, |place| {
            let point = &curve[shown[place]];
            let score = point.threshold.map_or(0.0, f64::from);
            format!(
                "score {} and above {name}: {} per day, cost {}, {} of the frauds' money stopped",
                general(score),
                fixed(point.stopped_per_day, 1),
                fixed(cost(shown[place]), 0),
                percent(point.money_caught)
            )
        });
    }
    let legend =
        [(Ink::First, "all stopped are reviewed"), (Ink::Second, "all stopped are declined")];
    let note = format!(
        "Approving everything costs {}; the dashed line is the cost with the recommended thresholds, {}.",
        fixed(tuning.cost_without, 0),
        fixed(tuning.cost, 0)
    );
    figure("Cost", &legend, &note, &plot.finish())
}

pub(super) fn money_stopped(tuning: &Tuning) -> String {
    let curve: Vec<_> = tuning.curve.iter().filter(|it| it.stopped_per_day > 0.0).collect();
    let stopped = curve.iter().map(|it| it.stopped_per_day);
    let x = Axis::new("payments stopped per day (log)", Scale::decades(stopped));
    let y = Axis::new("frauds' money stopped (share)", Scale::Linear(0.0, 1.0));
    let mut plot = Plot::new("Money stopped", &x, &y);
    if let Some(most) = tuning.reviews_per_day_max.filter(|most| *most > 0.0) {
        let told = format!("capacity: {} reviews per day", fixed(most, 0));
        plot.dashes((most, 0.0), (most, 1.0), &told);
    }
    let points: Vec<_> = curve.iter().map(|it| (it.stopped_per_day, it.money_caught)).collect();
    plot.line(&points, Ink::First, |place| {
        let point = curve[place];
        let score = point.threshold.map_or(0.0, f64::from);
        let (per_day, money) = (fixed(point.stopped_per_day, 1), percent(point.money_caught));
        format!("score {} and above: {per_day} per day, {money} of the money", general(score))
    });
    let note = "How much of the frauds' money is found by stopping the highest scores; a dashed line is the capacity of reviews.";
    figure("Money stopped", &[], note, &plot.finish())
}

pub(super) fn money_by_day(days: &[(Day, BacktestDay)]) -> String {
    let values: Vec<_> =
        days.iter().map(|(day, it)| (*day, it.money_stopped, it.money_missed)).collect();
    by_day("Money of frauds by day", "money of frauds", 2, &values)
}

pub(super) fn frauds_by_day(days: &[(Day, BacktestDay)]) -> String {
    let missed = |it: &BacktestDay| (it.frauds - it.frauds_stopped) as f64;
    let values: Vec<_> =
        days.iter().map(|(day, it)| (*day, it.frauds_stopped as f64, missed(it))).collect();
    by_day("Frauds by day", "frauds", 0, &values)
}

/// What was stopped, and on top of it what was missed.
fn by_day(heading: &str, label: &str, decimals: usize, days: &[(Day, f64, f64)]) -> String {
    let first = days.first().map_or(0, |(day, ..)| day.0);
    let last = days.last().map_or(0, |(day, ..)| day.0);
    let x_label = format!("days since {}", Day(first));
    let x = Axis::new(&x_label, Scale::Linear(0.0, f64::from(last - first + 1)));
    let y = Axis::new(
        label,
        Scale::from_zero(days.iter().map(|(_, stopped, missed)| stopped + missed)),
    );
    let mut plot = Plot::new(heading, &x, &y);
    for (day, stopped, missed) in days {
        let left = f64::from(day.0 - first);
        let (low, high) = (fixed(*stopped, decimals), fixed(*missed, decimals));
        let told = format!("{day}: {low} stopped, {high} missed");
        let width = (left + 0.12, left + 0.88);
        if *stopped > 0.0 {
            plot.bar(width, (0.0, *stopped), Ink::First, &told);
        }
        if *missed > 0.0 {
            plot.bar(width, (*stopped, stopped + missed), Ink::Second, &told);
        }
    }
    let legend = [(Ink::First, "stopped"), (Ink::Second, "missed")];
    figure(heading, &legend, "With the thresholds that were tested.", &plot.finish())
}

/// Bars from left to right, with their names in front: for importance and drift.
pub(super) fn bars(
    heading: &str,
    note: &str,
    values: &[(&str, f64, Ink)],
    told: impl Fn(f64) -> String,
) -> String {
    let highest = values.iter().map(|(_, value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut html = String::from("<div class=\"bars\">");
    for (name, value, ink) in values {
        let _ = write!(
            html,
            "<div title=\"{0}: {1}\"><span>{0}</span><b><i class=\"{2}\" style=\"width:{3:.1}%\"></i></b><em>{1}</em></div>",
            escaped(name),
            escaped(&told(*value)),
            ink.class(),
            (value / highest * 100.0).clamp(0.3, 100.0)
        );
    }
    html.push_str("</div>");
    figure(heading, &[], note, &html)
}
