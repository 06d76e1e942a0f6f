//! `millrace risk backtest`: consumes payments of the past, and a policy or a model, rules and
//! thresholds, produces what would have been decided, what it would have caught, and what work it
//! would have made.

mod replayed;
mod shown;
mod tally;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use millrace_risk::{
    features::Catalogue,
    policy::{Compiled, TEXTS},
    rules::{RuleCounts, RuleInput, RuleSet},
};
use millrace_risk_lab::{
    data::{DaySpan, LabelDelay},
    dataset::Replay,
};
use serde_json::json;

pub(super) use self::shown::name_of;
use self::{
    replayed::Replayed,
    tally::{Outcome, Said, Tally},
};
use super::{
    journal_source::decision_of,
    output, progress,
    rule_source::{self, ListArgs, RuleInputs},
    source::{Decided, Source, SourceArgs, label_delay},
};
use crate::{Failure, commands::say};

/// From this probability of fraud on, payments are reviewed where no threshold is named.
const REVIEW_AT: f32 = 0.2;
/// The same for a model whose scores are ranks: one payment in a hundred.
const REVIEW_RANK_AT: f32 = 0.99;

/// Tell what a model, rules and thresholds would have done with payments of the past
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("scores").args(["model", "policy"]).multiple(true))]
#[command(after_help = "\
Examples:
  millrace risk backtest --model model.mrm --data payments.csv.gz
  millrace risk backtest --model model.mrm --data payments.csv.gz --span 2018-08-01..2018-08-14 \\
      --review-at 0.1 --decline-at 0.8 --report backtest.html
  millrace risk backtest --rules rules.toml --list stolen:block=cards.csv --journal millrace-data --json
  millrace risk backtest --policy policy.toml --journal millrace-data --report backtest.html
  millrace risk backtest --policy policy.toml --shelf millrace-data --data payments.csv.gz \\
      --model april.mrm --decline-at 0.7

A rule that allows approves. Else the severest of what the rules and the model's score say is done:
decline before challenge before review. Nothing that was known later is used: features and labels are
those of each payment's moment. A model does better on days that it was trained on.

With --policy, all of a policy decides: its model, rules, lists, and the thresholds of each segment;
--model, --rules, --list and --review-at and so on replace what the policy has. What it names by its
BLAKE3 is looked for on the shelf. Over a journal, it is held against what was decided then; payments
that the server had no time for get the policy's fallback. Limits of the server's configuration are
not replayed.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Only payments of these days, both included, UTC; those before feed the profiles
    #[arg(long, value_name = "FROM..TO")]
    span: Option<DaySpan>,
    /// The policy: its document as `policy show` and `policy set` have it, or the
    /// number, the name or the first digits of the BLAKE3 of one on the shelf
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Where the files are that the policy names: the data directory of a server, or a folder of
    /// files, whatever they are called [default: that of --journal]
    #[arg(long, value_name = "DIR", requires = "policy")]
    shelf: Option<PathBuf>,
    /// The model
    #[arg(long, value_name = "FILE", required_unless_present_any = ["rules", "policy"])]
    model: Option<PathBuf>,
    /// The rules
    #[arg(long, value_name = "TOML")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    lists: ListArgs,
    /// Review from this score on [default: 0.2 where no threshold is named; 0.99 for ranks]
    #[arg(long, value_name = "SCORE", requires = "scores")]
    review_at: Option<f32>,
    /// Challenge from this score on
    #[arg(long, value_name = "SCORE", requires = "scores")]
    challenge_at: Option<f32>,
    /// Decline from this score on
    #[arg(long, value_name = "SCORE", requires = "scores")]
    decline_at: Option<f32>,
    /// How long after a payment its label is known, where the data does not tell
    #[arg(long, value_name = "7d")]
    label_delay: Option<LabelDelay>,
    /// Catalogue of rules without a model, or of a model that does not tell: a file, standard, devices or book
    #[arg(long, value_name = "FILE")]
    catalogue: Option<String>,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a report with pictures
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let replayed = Replayed::load(args)?;
    let mut source = args.source.load(false)?;
    // Rules are asked what they would have said, had they always been there.
    let catalogue = replayed.catalogue.keeping(&replayed.policy.on_demand);
    source.warn_of_absent(&catalogue);
    if let Some(rules) = replayed.policy.rules() {
        rule_source::doubts(rules).into_iter().for_each(|warning| source.warn(warning));
        if let (None, Some(warning)) = (replayed.policy.model(), rule_source::without_score(rules))
        {
            source.warn(warning);
        }
    }
    let outcome = replayed.run(args, &source, &catalogue)?;
    let seconds = started.elapsed().as_secs_f64();
    let report = || shown::report(&outcome, &source, &replayed);
    output::warned(args.report.as_deref(), &source.warnings, report)?;
    if args.json {
        let mut settings = json!({ "data": source.name, "span": args.span });
        if let (Some(all), Some(more)) = (settings.as_object_mut(), replayed.settings.as_object()) {
            all.extend(more.clone());
        }
        let shown = json!({
            "backtest": outcome,
            "settings": settings,
            "elapsed_s": seconds,
            "warnings": source.warnings,
        });
        say!("{shown}");
    } else {
        shown::print(&outcome, &replayed, seconds);
    }
    Ok(ExitCode::SUCCESS)
}

impl Replayed {
    fn run(&self, args: &Args, source: &Source, catalogue: &Catalogue) -> Result<Outcome, Failure> {
        let (payments, policy) = (&source.payments, &self.policy);
        let label_delay = label_delay(args.label_delay, self.label_delay);
        let replay = Replay { payments, catalogue, label_delay };
        let rows =
            args.span.as_ref().map_or(Ok(0..payments.len()), |span| payments.rows_of(span))?;
        let bar = progress::bar(rows.end, "backtest", "payments");
        let decided = source.decided.as_deref();
        let mut tally = Tally::new(payments, decided, policy);
        let (mut inputs, stride) = (RuleInputs::new(payments, catalogue), catalogue.len());
        let mut hits = policy.rules().map_or_else(RuleCounts::default, RuleSet::counts);
        let mut scores = Vec::new();
        replay.run(rows, &mut |done| bar.set_position(done as u64), &mut |block, features| {
            scores.clear();
            scores.resize(block.len(), f32::NAN);
            if let Some(model) = policy.model() {
                model.score(features, &mut scores);
            }
            let each = block.zip(features.chunks_exact(stride)).zip(&scores);
            for ((row, features), score) in each {
                // Without rules and segments, only the score is looked at.
                let input = match policy.looks_at_payments() {
                    true => inputs.of(row, features, *score),
                    false => {
                        RuleInput { row: &[], texts: &[None; TEXTS.len()], at: payments.at()[row] }
                    }
                };
                let then = decided.map(|decided| decided[row]);
                tally.add(row, said(policy, *score, &input, then, &mut hits));
            }
        });
        bar.finish_and_clear();
        Ok(tally.finish(policy, &hits.0))
    }
}

/// What the policy says of a payment. There is as little time for it as there was then.
fn said(
    policy: &Compiled,
    score: f32,
    input: &RuleInput<'_>,
    then: Option<Decided>,
    hits: &mut RuleCounts,
) -> Said {
    let has_budget = policy.document.budget.request_ms > 0;
    let fell_back = has_budget && then.is_some_and(|then| then.fell_back);
    let score = policy.model().map(|_| score);
    let verdict = match fell_back {
        true => policy.fallback(),
        false => policy.verdict(score, input, hits).0,
    };
    Said { decision: decision_of(verdict.decision), segment: policy.segment_of(input), fell_back }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::Timestamp;
    use millrace_risk::policy::PolicyDocument;
    use millrace_risk_lab::tune::Decision;

    use super::*;

    const RULES: &str = "[[rule]]\nname = \"all\"\nwhen = \"true\"\naction = \"challenge\"\n\
                         reason = \"all\"\n";

    #[test]
    fn what_there_was_no_time_for_gets_the_fallback_of_the_policy_that_is_replayed() {
        let catalogue = Catalogue::book();
        let row = vec![1.0; catalogue.len() + 1];
        let input = RuleInput { row: &row, texts: &[None; TEXTS.len()], at: Timestamp(1) };
        let decided = |fell_back| {
            let (decision, challenger) = (Decision::Approve, None);
            Some(Decided { decision, fell_back, policy: 1, challenger })
        };
        for (request_ms, then, expected, fell_back) in [
            (50, decided(true), Decision::Review, true),
            (50, decided(false), Decision::Challenge, false),
            (50, None, Decision::Challenge, false),
            // Without a budget there is always time.
            (0, decided(true), Decision::Challenge, false),
        ] {
            let text =
                format!("rules = \"r\"\n[budget]\nrequest_ms = {request_ms}\nthen = \"review\"\n");
            let document = PolicyDocument::parse(&text).expect("is right");
            let artefact = |_: &str| Ok(RULES.as_bytes().to_vec());
            let policy = Compiled::of("p", document, &catalogue, &artefact).expect("compiles");
            let mut hits = policy.rules().expect("has rules").counts();
            let said = said(&policy, f32::NAN, &input, then, &mut hits);
            assert_eq!((said.decision, said.fell_back), (expected, fell_back), "{text} {then:?}");
            assert_eq!(
                hits.0,
                [u64::from(!fell_back)],
                "a rule is not asked where there is no time"
            );
        }
    }
}
