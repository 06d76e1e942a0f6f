//! Tested models: consumes a model, payments and days, produces the payments' scores and all that is
//! needed to tell where they come from.

use std::path::Path;

use millrace_ledger::Timestamp;
use millrace_risk::features::Catalogue;
use millrace_risk_lab::{
    data::{Day, DaySpan, LabelDelay, Payments, TestSplit},
    dataset::{FeatureTable, Replay},
    metrics::Scored,
    model_file::ModelFile,
    report::Example,
    train::scores_are_ranks,
};
use serde_json::{Map, Value, json};

use super::{
    catalogue, progress,
    source::{Source, SourceArgs, label_delay},
};
use crate::Failure;

/// Reasons that are told of a payment.
const REASONS: usize = 4;

/// Which payments a model is tested on.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Days to test on, both included, UTC
    #[arg(long, value_name = "FROM..TO")]
    pub(crate) test: DaySpan,
    /// How long after a payment its label is known, where the data does not tell
    /// [default: as the model was trained]
    #[arg(long, value_name = "7d")]
    pub(crate) label_delay: Option<LabelDelay>,
    /// From this day on, a known fraud blocks its payer, whose later payments are not tested
    /// [default: seven days before the labels that are just known when the test begins]
    #[arg(long, value_name = "DAY")]
    pub(crate) known_since: Option<Day>,
    /// Catalogue of models that do not tell theirs: a file, standard, devices or book
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<String>,
}

/// Payments to test on, and how they were chosen.
pub(crate) struct Tested {
    pub(crate) source: Source,
    pub(crate) split: TestSplit,
    /// The payments, by their rows.
    pub(crate) rows: Vec<u32>,
}

impl TestArgs {
    /// Reads the payments. `model` tells the delay of labels where the arguments do not.
    pub(crate) fn load(&self, model: &ModelFile) -> Result<Tested, Failure> {
        let split = self.split(model);
        let mut source = self.source.load(true)?;
        if let Some(warning) = overlap(&split, model, &source.payments) {
            source.warn(warning);
        }
        if scores_are_ranks(&model.model) {
            source.warn(
                "the model was trained without labels: its scores are ranks, not probabilities, so \
                 calibration and Brier score say nothing of it"
                    .to_owned(),
            );
        }
        let rows = split.rows(&source.payments)?;
        Ok(Tested { source, split, rows })
    }

    /// The days, and what is known on them.
    pub(crate) fn split(&self, model: &ModelFile) -> TestSplit {
        let delay = label_delay(self.label_delay, model.label_delay);
        let mut split = TestSplit::standard(self.test, delay);
        split.known_since = self.known_since.unwrap_or(split.known_since);
        split
    }

    pub(crate) fn model(&self, path: &Path) -> Result<ModelFile, Failure> {
        load_model(path, self.catalogue.as_deref())
    }
}

/// Reads a model, with this catalogue if one is named.
pub(crate) fn load_model(path: &Path, named: Option<&str>) -> Result<ModelFile, Failure> {
    let catalogue = named.map(|name| Ok::<_, Failure>(catalogue::load(name)?.0)).transpose()?;
    Ok(ModelFile::load(path, catalogue)?)
}

/// Says that days of a test are among those of the training, or so soon behind them that labels of the
/// training were not known yet; or nothing. A model knows the labels of its training, so figures of
/// such days say too much of new payments.
pub(crate) fn overlap(split: &TestSplit, model: &ModelFile, payments: &Payments) -> Option<String> {
    let test = &split.test;
    let (first, last) = model.model.facts().span?;
    let trained = DaySpan::new(Day::of(first), Day::of(last)).ok()?;
    let (first, last) = (trained.first(), trained.last());
    if test.first() <= last && first <= test.last() {
        return Some(format!(
            "days of the test ({test}) are among those that the model was trained on \
             ({first}..{last}), so its figures are too good; test on days after {last}"
        ));
    }
    if test.first() <= first {
        return None;
    }
    let (last_known, late) = labels_known(&trained, split, payments);
    (test.first() <= last_known).then(|| {
        format!(
            "{late} of the training ({first}..{last}) only after the test ({test}) began, so nobody \
             had this model then, and its figures are too good; test on days after {last_known}"
        )
    })
}

/// Of the frauds of a training, so many may be reported late.
const LATE_SHARE: f64 = 0.01;

/// The day on which nearly all labels of these days were known, and what was not when the test began:
/// as the payments tell, or by the delay where they do not have these days.
fn labels_known(trained: &DaySpan, split: &TestSplit, payments: &Payments) -> (Day, String) {
    let delay = split.label_delay;
    let rows = payments.rows_of(trained).unwrap_or_default();
    let known = |row| payments.reported_at(row).unwrap_or(delay.after(payments.at()[row]));
    let mut known: Vec<_> = rows.filter(|row| payments.is_fraud()[*row]).map(known).collect();
    known.sort_unstable();
    let may_be_late = (known.len() as f64 * LATE_SHARE) as usize;
    match known.iter().rev().nth(may_be_late) {
        Some(at) => {
            let begin = split.test.first().start();
            let late = known.len() - known.partition_point(|at| *at < begin);
            (Day::of(*at), format!("it was known of {late} of {} frauds", known.len()))
        }
        None => {
            let last = delay.after(trained.last().end()).0.saturating_sub(1);
            (Day::of(Timestamp(last)), "labels were known".to_owned())
        }
    }
}

impl Tested {
    pub(crate) fn payments(&self) -> &Payments {
        &self.source.payments
    }

    /// The features of the payments, as this catalogue has them.
    pub(crate) fn features(&mut self, catalogue: &Catalogue) -> FeatureTable {
        self.source.warn_of_absent(catalogue);
        let replay =
            Replay { payments: self.payments(), catalogue, label_delay: self.split.label_delay };
        progress::table(&replay, &self.rows)
    }

    /// The payments with their scores.
    pub(crate) fn scored(&self, file: &ModelFile, table: &FeatureTable) -> Result<Scored, Failure> {
        Ok(Scored::of(self.payments(), &self.rows, file.scores(&table.values))?)
    }

    /// What should be known before the figures are trusted.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.source.warnings
    }

    /// What makes the figures reproducible.
    pub(crate) fn settings(&self) -> Map<String, Value> {
        let split = &self.split;
        let settings = json!({
            "data": self.source.name,
            "test": split.test,
            "label_delay": split.label_delay,
            "known_since": split.known_since,
        });
        match settings {
            Value::Object(settings) => settings,
            _ => Map::new(),
        }
    }

    /// The same for a report.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let split = &self.split;
        vec![
            ("data", self.source.name.clone()),
            ("test", split.test.to_string()),
            ("labels known after", split.label_delay.to_string()),
            ("payers blocked for frauds since", split.known_since.to_string()),
        ]
    }

    /// The payment at this place, and why it was scored so.
    pub(crate) fn example(
        &self,
        file: &ModelFile,
        table: &FeatureTable,
        place: usize,
        score: f32,
    ) -> Example {
        let payments = self.payments();
        let row = self.rows[place] as usize;
        let reasons = file.reasons(table.row(place), REASONS);
        Example {
            payment: payments.id(row).to_owned(),
            about: about(payments, row),
            score: f64::from(score),
            is_fraud: payments.is_fraud()[row],
            reasons: reasons.into_iter().map(|reason| reason.words).collect(),
        }
    }
}

/// One line on a payment.
pub(crate) fn about(payments: &Payments, row: usize) -> String {
    let payer = payments.payers().name(payments.payer()[row]);
    let payee = payments.payees().name(payments.payee()[row]);
    let at = moment(payments.at()[row]);
    format!("{at}, {payer} to {payee}, {:.2}", payments.amount()[row])
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0))
        .map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// Where a model and its features come from.
pub(crate) fn of_model(path: &Path, file: &ModelFile) -> Value {
    let facts = file.model.facts();
    let settings: Map<String, Value> =
        file.settings().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({
        "file": path,
        "blake3": hex(&file.model.digest()),
        "kind": file.model.kind().name(),
        "features": file.model.features().len(),
        "catalogue_blake3": hex(&file.catalogue.digest()),
        "trainer": facts.trainer,
        "source": facts.source,
        "rows": facts.rows,
        "frauds": facts.frauds,
        "settings": settings,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A model's name for people: that of its file.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_stem()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
