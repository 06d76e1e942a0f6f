//! `millrace risk tune`: consumes a model, payments, costs and the analysts' capacity, produces the
//! thresholds that cost least.

use std::{path::PathBuf, process::ExitCode};

use millrace_risk_lab::{
    report::{Align, Report, Table},
    tune::{Challenge, Costs, Decision, MissedFraud, Thresholds, Tuning, backtest, tune},
};
use serde_json::json;

use super::{
    output::{self, number, percent},
    tested::{TestArgs, Tested, name_of, of_model},
};
use crate::{Failure, commands::say};

/// Recommend thresholds for given costs and a given number of reviews per day
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk tune --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14 \\
      --cost-review 5 --cost-false-alarm 30 --capacity 40
  millrace risk tune --model model.mrm --data payments.csv.gz --test 2018-08-08..2018-08-14 \\
      --cost-missed-fixed 250 --cost-challenge 0.5 --json --report tune.html

Costs are in the unit of the amounts. A review is taken to find the truth. Of all choices of three
thresholds the one is recommended that would have cost least on these payments; with challenges, say
what one costs. The capacity holds in the mean over the days.")]
pub(crate) struct Args {
    /// The model
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    test: TestArgs,
    /// What a missed fraud costs, as a share of its amount
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    cost_missed: f64,
    /// What a missed fraud costs, the same for each
    #[arg(long, value_name = "MONEY", conflicts_with = "cost_missed")]
    cost_missed_fixed: Option<f64>,
    /// What it costs to decline a genuine payment
    #[arg(long, value_name = "MONEY", default_value_t = 25.0)]
    cost_false_alarm: f64,
    /// What an analyst's look at one payment costs
    #[arg(long, value_name = "MONEY", default_value_t = 5.0)]
    cost_review: f64,
    /// What a challenge costs; without it, nobody is challenged
    #[arg(long, value_name = "MONEY")]
    cost_challenge: Option<f64>,
    /// Share of frauds that a challenge stops
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, requires = "cost_challenge")]
    challenge_stops: f64,
    /// Share of genuine payments that are given up when challenged
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, requires = "cost_challenge")]
    challenge_loses: f64,
    /// Reviews per day that analysts can do [default: as many as pay]
    #[arg(long, value_name = "N")]
    capacity: Option<f64>,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a report with pictures
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

impl Args {
    fn costs(&self) -> Costs {
        let challenge = |each| Challenge {
            each,
            fraud_stopped: self.challenge_stops,
            legit_lost: self.challenge_loses,
        };
        Costs {
            missed_fraud: self
                .cost_missed_fixed
                .map_or(MissedFraud::ShareOfAmount(self.cost_missed), MissedFraud::Fixed),
            false_alarm: self.cost_false_alarm,
            review: self.cost_review,
            challenge: self.cost_challenge.map(challenge),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let costs = args.costs();
    costs.check()?;
    let file = args.test.model(&args.model)?;
    let mut tested = args.test.load(&file)?;
    let table = tested.features(&file.catalogue);
    let scored = tested.scored(&file, &table)?;
    let tuning = tune(&scored, &costs, args.capacity)?;
    output::warned(args.report.as_deref(), tested.warnings(), || {
        let about = format!("{} on {}", name_of(&args.model), tested.split.test);
        let mut report = Report::new("Thresholds", &about);
        report.tuning(&tuning).backtest(&backtest(&scored, &tuning.thresholds));
        report.heading("Settings").facts(&facts(&tested, &costs));
        report
    })?;
    if args.json {
        let mut settings = tested.settings();
        settings.insert("model".to_owned(), of_model(&args.model, &file));
        let warnings = tested.warnings();
        say!("{}", json!({ "tuning": tuning, "settings": settings, "warnings": warnings }));
    } else {
        print(args, &tuning);
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(tested: &Tested, costs: &Costs) -> Vec<(&'static str, String)> {
    let mut facts = tested.facts();
    facts.push((
        "a missed fraud costs",
        match costs.missed_fraud {
            MissedFraud::ShareOfAmount(share) => format!("{} of its amount", percent(share)),
            MissedFraud::Fixed(cost) => number(cost, 2),
        },
    ));
    facts.push(("a false alarm costs", number(costs.false_alarm, 2)));
    facts.push(("a review costs", number(costs.review, 2)));
    if let Some(challenge) = costs.challenge {
        facts.push(("a challenge costs", number(challenge.each, 2)));
    }
    facts
}

fn print(args: &Args, tuning: &Tuning) {
    let Tuning { thresholds, days, cost, cost_without, .. } = tuning;
    let saved = 1.0 - cost / cost_without.max(f64::MIN_POSITIVE);
    say!(
        "{} on {days} days: errors and work cost {}, against {} with everything approved ({} saved)",
        args.model.display(),
        number(*cost, 2),
        number(*cost_without, 2),
        percent(saved)
    );
    say!(
        "{} reviews per day in the mean, {} on the busiest day",
        number(tuning.reviews_per_day, 1),
        tuning.reviews_busiest_day
    );
    if let Some(capacity) = tuning.reviews_per_day_max {
        say!("the capacity of {capacity} reviews per day holds in the mean, not on each day");
    }
    say!(
        "payments of payers with a known fraud are left out: they are blocked (backtest counts them)\n"
    );
    let mut table = Table::new(&[
        ("decision", Align::Left),
        ("score from", Align::Right),
        ("payments", Align::Right),
        ("per day", Align::Right),
        ("frauds", Align::Right),
        ("money of frauds", Align::Right),
    ]);
    for it in tuning.decisions.iter().rev() {
        let (name, from) = decision(it.decision, thresholds);
        table.row([
            name.to_owned(),
            from,
            number(it.rows as f64, 0),
            number(it.rows as f64 / f64::from((*days).max(1)), 1),
            number(it.frauds as f64, 0),
            number(it.money_frauds, 2),
        ]);
    }
    say!("{}", table.to_text());
    let option = |name: &str, at: Option<f32>| at.map(|at| format!("--{name}-at {at}"));
    let options = [
        option("review", thresholds.review_at),
        option("challenge", thresholds.challenge_at),
        option("decline", thresholds.decline_at),
    ];
    let options: Vec<_> = options.into_iter().flatten().collect();
    if !options.is_empty() {
        let (model, source) = (args.model.display(), args.test.source.shown());
        say!(
            "Try them on other days: millrace risk backtest --model {model} {source} {}",
            options.join(" ")
        );
    }
}

fn decision(decision: Decision, thresholds: &Thresholds) -> (&'static str, String) {
    let at = |at: Option<f32>| at.map_or_else(|| "never".to_owned(), |at| number(at.into(), 4));
    match decision {
        Decision::Decline => ("decline", at(thresholds.decline_at)),
        Decision::Challenge => ("challenge", at(thresholds.challenge_at)),
        Decision::Review => ("review", at(thresholds.review_at)),
        Decision::Approve => ("approve", "all others".to_owned()),
    }
}
