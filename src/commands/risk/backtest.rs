//! `millrace risk backtest`: consumes payments of the past, a model, rules and thresholds, produces
//! what would have been decided, what it would have caught, and what work it would have made.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Instant};

use millrace_risk::{
    features::Catalogue,
    rules::{RuleAction, RuleSet},
};
use millrace_risk_lab::{
    data::{Day, DaySpan, LabelDelay, Payments},
    dataset::Replay,
    model_file::ModelFile,
    report::{Align, Card, Report, Table},
    tune::{BacktestDay, BacktestDays, Decision, DecisionCount, Thresholds},
};
use serde::Serialize;
use serde_json::json;

use super::{
    catalogue,
    output::{self, count, number, percent},
    progress,
    rule_source::{self, ListArgs, RuleInputs},
    source::{Source, SourceArgs, label_delay},
    tested::{load_model, of_model, warn_of_absent},
};
use crate::{Failure, commands::say};

/// From this probability of fraud on, payments are reviewed where no threshold is named.
const REVIEW_AT: f32 = 0.2;

/// Tell what a model, rules and thresholds would have done with payments of the past
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk backtest --model model.mrm --data payments.csv.gz
  millrace risk backtest --model model.mrm --data payments.csv.gz --span 2018-08-01..2018-08-14 \\
      --review-at 0.1 --decline-at 0.8 --report backtest.html
  millrace risk backtest --rules rules.toml --list stolen:block=cards.csv --journal millrace-data --json

A rule that allows approves. Else the severest of what the rules and the model's score say is done:
decline before challenge before review. Nothing that was known later is used: features and labels are
those of each payment's moment. A model does better on days that it was trained on.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Only payments of these days, both included, UTC; those before feed the profiles
    #[arg(long, value_name = "FROM..TO")]
    span: Option<DaySpan>,
    /// The model
    #[arg(long, value_name = "FILE", required_unless_present = "rules")]
    model: Option<PathBuf>,
    /// The rules
    #[arg(long, value_name = "TOML")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    lists: ListArgs,
    /// Review from this score on [default: 0.2 where no threshold is named]
    #[arg(long, value_name = "SCORE", requires = "model")]
    review_at: Option<f32>,
    /// Challenge from this score on
    #[arg(long, value_name = "SCORE", requires = "model")]
    challenge_at: Option<f32>,
    /// Decline from this score on
    #[arg(long, value_name = "SCORE", requires = "model")]
    decline_at: Option<f32>,
    /// How long after a payment its label is known, where the data does not tell
    #[arg(long, value_name = "7d")]
    label_delay: Option<LabelDelay>,
    /// Catalogue of rules without a model, or of a model that does not tell: a file, book or standard
    #[arg(long, value_name = "FILE")]
    catalogue: Option<String>,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a report with pictures
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

/// What would have been.
#[derive(Debug, Serialize)]
struct Outcome {
    rows: u64,
    frauds: u64,
    money_frauds: f64,
    /// Money of the frauds that were not approved.
    money_caught: f64,
    reviews_per_day: f64,
    reviews_busiest_day: u64,
    decisions: [DecisionCount; 4],
    /// How often each rule decided, the most frequent first.
    rules: Vec<(String, u64)>,
    #[serde(serialize_with = "days_as_objects")]
    days: Vec<(Day, BacktestDay)>,
}

fn days_as_objects<S: serde::Serializer>(
    days: &[(Day, BacktestDay)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        day: Day,
        #[serde(flatten)]
        counts: &'a BacktestDay,
    }
    serializer.collect_seq(days.iter().map(|(day, counts)| Row { day: *day, counts }))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let model = match &args.model {
        None => None,
        Some(path) => Some(load_model(path, args.catalogue.as_deref())?),
    };
    let catalogue = match &model {
        Some(file) => file.catalogue.clone(),
        None => catalogue::load(args.catalogue.as_deref().unwrap_or("standard"))?.0,
    };
    let lists = args.lists.load()?;
    let rules = match &args.rules {
        None => None,
        Some(path) => Some(rule_source::load(path, &catalogue, &lists)?),
    };
    let source = args.source.load(false)?;
    let thresholds = thresholds(args)?;
    let judge = Judge { model: model.as_ref(), rules: rules.as_ref(), thresholds };
    let outcome = judge.run(args, &catalogue, &source)?;
    let seconds = started.elapsed().as_secs_f64();
    output::report(args.report.as_deref(), || report(&outcome, &source, &thresholds))?;
    if args.json {
        let model = args.model.as_deref().zip(model.as_ref());
        let settings = json!({
            "data": source.name,
            "span": args.span,
            "thresholds": model.map(|_| thresholds),
            "model": model.map(|(path, file)| of_model(path, file)),
            "rules": args.rules,
        });
        say!("{}", json!({ "backtest": outcome, "settings": settings, "elapsed_s": seconds }));
    } else {
        print(&outcome, seconds);
    }
    Ok(ExitCode::SUCCESS)
}

fn thresholds(args: &Args) -> Result<Thresholds, Failure> {
    let Args { review_at, challenge_at, decline_at, .. } = *args;
    for (name, at) in [("review", review_at), ("challenge", challenge_at), ("decline", decline_at)]
    {
        if let Some(at) = at
            && !(0.0..=1.0).contains(&at)
        {
            let what = "a score is a probability of 0 to 1";
            return Err(format!("--{name}-at {at}: {what}; take one in between").into());
        }
    }
    let none = review_at.is_none() && challenge_at.is_none() && decline_at.is_none();
    let review_at = if none { Some(REVIEW_AT) } else { review_at };
    Ok(Thresholds { review_at, challenge_at, decline_at })
}

/// What decides.
struct Judge<'a> {
    model: Option<&'a ModelFile>,
    rules: Option<&'a RuleSet>,
    thresholds: Thresholds,
}

impl Judge<'_> {
    fn run(&self, args: &Args, catalogue: &Catalogue, source: &Source) -> Result<Outcome, Failure> {
        let payments = &source.payments;
        // Rules are asked what they would have said, had they always been there.
        let catalogue = &catalogue.keeping(self.rules.iter().flat_map(|rules| rules.features()));
        let of_model = self.model.and_then(|file| file.label_delay);
        let label_delay = label_delay(args.label_delay, of_model);
        let replay = Replay { payments, catalogue, label_delay };
        warn_of_absent(&replay);
        let rows =
            args.span.as_ref().map_or(Ok(0..payments.len()), |span| payments.rows_of(span))?;
        let bar = progress::bar(rows.end, "backtest", "payments");
        let mut tally = Tally::new(payments, self.rules);
        let (mut inputs, stride) = (RuleInputs::new(payments, catalogue), catalogue.len());
        let mut scores = Vec::new();
        replay.run(rows, &mut |done| bar.set_position(done as u64), &mut |block, features| {
            scores.clear();
            scores.resize(block.len(), f32::NAN);
            if let Some(file) = self.model {
                file.model.score(features, &mut scores);
            }
            let each = block.zip(features.chunks_exact(stride)).zip(&scores);
            for ((row, features), score) in each {
                let hit =
                    self.rules.and_then(|rules| rules.evaluate(&inputs.of(row, features, *score)));
                let by_score = match self.model {
                    Some(_) => self.thresholds.decide(*score),
                    None => Decision::Approve,
                };
                let decision = match hit.map(|hit| hit.action) {
                    None => by_score,
                    Some(RuleAction::Allow) => Decision::Approve,
                    Some(RuleAction::Block) => Decision::Decline,
                    Some(RuleAction::Challenge) => by_score.max(Decision::Challenge),
                    Some(RuleAction::Review) => by_score.max(Decision::Review),
                };
                tally.add(row, decision, hit.map(|hit| hit.rule));
            }
        });
        bar.finish_and_clear();
        Ok(tally.finish())
    }
}

/// What was decided so far.
struct Tally<'a> {
    payments: &'a Payments,
    rules: Option<&'a RuleSet>,
    days: BacktestDays,
    decisions: [DecisionCount; 4],
    of_rules: BTreeMap<u16, u64>,
}

impl<'a> Tally<'a> {
    fn new(payments: &'a Payments, rules: Option<&'a RuleSet>) -> Self {
        let all = [Decision::Approve, Decision::Review, Decision::Challenge, Decision::Decline];
        let none = |decision| DecisionCount { decision, rows: 0, frauds: 0, money_frauds: 0.0 };
        let decisions = all.map(none);
        let days = BacktestDays::default();
        Self { payments, rules, days, decisions, of_rules: BTreeMap::new() }
    }

    fn add(&mut self, row: usize, decision: Decision, rule: Option<u16>) {
        let (is_fraud, amount) = (self.payments.is_fraud()[row], self.payments.amount()[row]);
        self.days.add(Day::of(self.payments.at()[row]), is_fraud, amount, decision);
        let count = &mut self.decisions[decision as usize];
        count.rows += 1;
        count.frauds += u64::from(is_fraud);
        count.money_frauds += if is_fraud { amount } else { 0.0 };
        if let Some(rule) = rule {
            *self.of_rules.entry(rule).or_default() += 1;
        }
    }

    fn finish(self) -> Outcome {
        let Self { days, decisions, of_rules, .. } = self;
        let days = days.finish();
        let sum = |of: &dyn Fn(&DecisionCount) -> f64| decisions.iter().map(of).sum::<f64>();
        let reviews = decisions[Decision::Review as usize].rows;
        let span = days.first().zip(days.last()).map_or(1, |(a, b)| b.0.0 - a.0.0 + 1);
        let name = |rule: &u16| match self.rules {
            Some(rules) => rules.rules()[usize::from(*rule)].name.clone(),
            None => rule.to_string(),
        };
        let mut rules: Vec<_> = of_rules.iter().map(|(rule, hits)| (name(rule), *hits)).collect();
        rules.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
        let money_frauds = sum(&|it| it.money_frauds);
        Outcome {
            rows: sum(&|it| it.rows as f64) as u64,
            frauds: sum(&|it| it.frauds as f64) as u64,
            money_frauds,
            money_caught: money_frauds - decisions[Decision::Approve as usize].money_frauds,
            reviews_per_day: reviews as f64 / f64::from(span),
            reviews_busiest_day: days.iter().map(|(_, day)| day.reviewed).max().unwrap_or(0),
            decisions,
            rules,
            days,
        }
    }
}

fn caught(it: &Outcome) -> f64 {
    if it.money_frauds > 0.0 { it.money_caught / it.money_frauds } else { 0.0 }
}

fn name_of(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Review => "review",
        Decision::Challenge => "challenge",
        Decision::Decline => "decline",
    }
}

fn decisions_table(it: &Outcome) -> Table {
    let mut table = Table::new(&[
        ("decision", Align::Left),
        ("payments", Align::Right),
        ("share", Align::Right),
        ("frauds", Align::Right),
        ("of them fraud", Align::Right),
        ("money of frauds", Align::Right),
    ]);
    for each in it.decisions.iter().rev() {
        table.row([
            name_of(each.decision).to_owned(),
            number(each.rows as f64, 0),
            percent(each.rows as f64 / it.rows.max(1) as f64),
            number(each.frauds as f64, 0),
            percent(each.frauds as f64 / each.rows.max(1) as f64),
            number(each.money_frauds, 2),
        ]);
    }
    table
}

fn rules_table(it: &Outcome) -> Table {
    let mut table = Table::new(&[("rule", Align::Left), ("decided", Align::Right)]);
    it.rules.iter().for_each(|(rule, hits)| table.row([rule.clone(), number(*hits as f64, 0)]));
    table
}

fn print(it: &Outcome, seconds: f64) {
    say!(
        "{} payments in {} days, {} of them fraud; {seconds:.2} s, {} payments/s\n",
        count(it.rows as usize),
        it.days.len(),
        count(it.frauds as usize),
        number(it.rows as f64 / seconds.max(1e-9), 0)
    );
    say!("{}", decisions_table(it).to_text());
    if !it.rules.is_empty() {
        say!("{}", rules_table(it).to_text());
    }
    say!(
        "money caught: {} of {} ({})",
        number(it.money_caught, 2),
        number(it.money_frauds, 2),
        percent(caught(it))
    );
    say!(
        "reviews per day: {} in the mean, {} on the busiest day",
        number(it.reviews_per_day, 1),
        it.reviews_busiest_day
    );
}

fn report(it: &Outcome, source: &Source, thresholds: &Thresholds) -> Report {
    let mut report = Report::new("Backtest", &source.name);
    let card =
        |name: &str, value: String, note: String| Card { name: name.to_owned(), value, note };
    let busiest = format!("busiest day {}", it.reviews_busiest_day);
    report.cards(&[
        card("payments", number(it.rows as f64, 0), format!("{} days", it.days.len())),
        card("frauds", number(it.frauds as f64, 0), String::new()),
        card("money caught", percent(caught(it)), number(it.money_caught, 0)),
        card("reviews per day", number(it.reviews_per_day, 1), busiest),
    ]);
    report.backtest(&it.days);
    report.table("Decisions", &decisions_table(it)).table("Rules", &rules_table(it));
    let at = |at: Option<f32>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    report.heading("Settings").facts(&[
        ("review from", at(thresholds.review_at)),
        ("challenge from", at(thresholds.challenge_at)),
        ("decline from", at(thresholds.decline_at)),
    ]);
    report
}
