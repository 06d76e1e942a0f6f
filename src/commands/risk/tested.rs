//! Tested models: consumes a model, payments and days, produces the payments' scores and all that is
//! needed to tell where they come from.

use std::path::Path;

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
    /// Catalogue of models that do not tell theirs: a file, book or standard
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
        if let Some(warning) = overlap(&self.test, model) {
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

/// Says that days of a test are among those of the training, or nothing. A model knows the labels of
/// its training, so its figures there say nothing of new payments.
pub(crate) fn overlap(test: &DaySpan, model: &ModelFile) -> Option<String> {
    let (first, last) = model.model.facts().span?;
    let (first, last) = (Day::of(first), Day::of(last));
    (test.first() <= last && first <= test.last()).then(|| {
        format!(
            "days of the test ({test}) are among those that the model was trained on \
             ({first}..{last}), so its figures are too good; test on days after {last}"
        )
    })
}

impl Tested {
    pub(crate) fn payments(&self) -> &Payments {
        &self.source.payments
    }

    /// The features of the payments, as this catalogue has them.
    pub(crate) fn features(&self, catalogue: &Catalogue) -> FeatureTable {
        let replay =
            Replay { payments: self.payments(), catalogue, label_delay: self.split.label_delay };
        warn_of_absent(&replay);
        progress::table(&replay, &self.rows)
    }

    /// The payments with their scores.
    pub(crate) fn scored(&self, file: &ModelFile, table: &FeatureTable) -> Result<Scored, Failure> {
        Ok(Scored::of(self.payments(), &self.rows, file.scores(&table.values))?)
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

fn moment(at: millrace_ledger::Timestamp) -> String {
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

pub(crate) fn warn_of_absent(replay: &Replay<'_>) {
    for entity in replay.entities_absent() {
        eprintln!(
            "warning: the payments have no column for the catalogue's entity {entity}, so its \
             features are missing; name the column with --columns context=HEADER"
        );
    }
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
