//! Where payments come from: consumes `--data` or `--journal` and what belongs to them, produces
//! labelled payments in order of time.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use millrace_risk::features::Catalogue;
use millrace_risk_lab::{
    data::{
        Columns, LabelDelay, Leak, Payments, ReadSettings, TimeOrder, doubts_of_payments,
        leaks_in_payments, read,
    },
    dataset::Replay,
    tune::Decision,
};
use uuid::Uuid;

use super::{journal_source, progress};
use crate::Failure;

/// Of rows that were left out, so many are told one by one.
const LEFT_OUT_TOLD: usize = 3;

/// Which payments.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Labelled payments, gzipped or not
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// Data directory of a millrace: payments and labels come from its journal
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    journal: Option<PathBuf>,
    /// An account whose payments the server does not judge (its risk.exempt_payers): they are left
    /// out; may be named more than once
    #[arg(long = "exempt-payer", value_name = "UUID", requires = "journal")]
    exempt_payers: Vec<Uuid>,
    /// Which header stands for what, such as payer=card,label=chargeback,context=wallet
    #[arg(long, value_name = "ROLE=HEADER,..", value_parser = Columns::parse, conflicts_with = "journal")]
    columns: Option<Columns>,
    /// Sort a file whose time goes back, instead of refusing it
    #[arg(long, conflicts_with = "journal")]
    sort: bool,
    /// Leave out up to so many rows that can't be read
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "journal")]
    bad_rows_max: u64,
}

/// Payments, and what is to be said of them.
pub(crate) struct Source {
    pub(crate) payments: Payments,
    /// The file or the directory.
    pub(crate) name: String,
    /// Sentences that were told on standard error.
    pub(crate) warnings: Vec<String>,
    /// Columns that nothing was read from, and that give the label away.
    pub(crate) unread_leaks: Vec<Leak>,
    /// What was decided of each payment; `None` where the payments are of a file.
    pub(crate) decided: Option<Vec<Decided>>,
}

/// What a server decided of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// There was no time to look: the fallback of the policy decided.
    pub(crate) fell_back: bool,
    /// Number of the policy in force; 0 is none.
    pub(crate) policy: u16,
    /// What its challenger in shadow would have decided, where there was one.
    pub(crate) challenger: Option<Decision>,
}

impl Source {
    /// Tells something that the analyst should know before trusting a figure.
    pub(crate) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            crate::commands::tell!("warning: {warning}");
            self.warnings.push(warning);
        }
    }

    /// Tells which entities of a catalogue the payments have no column for.
    pub(crate) fn warn_of_absent(&mut self, catalogue: &Catalogue) {
        let label_delay = LabelDelay::days(0);
        let replay = Replay { payments: &self.payments, catalogue, label_delay };
        let sentence = |entity: &str| {
            format!(
                "the payments have no column for the catalogue's entity {entity}, so its features \
                 are missing; name the column with --columns context=HEADER"
            )
        };
        let absent: Vec<_> = replay.entities_absent().into_iter().map(sentence).collect();
        absent.into_iter().for_each(|warning| self.warn(warning));
    }

    /// Tells which columns that are not read give the label away.
    pub(crate) fn warn_of_unread(&mut self) {
        for leak in std::mem::take(&mut self.unread_leaks) {
            self.warn(leak.to_string());
        }
    }
}

impl SourceArgs {
    /// As it was named, for a command that follows.
    pub(crate) fn shown(&self) -> String {
        match (&self.data, &self.journal) {
            (Some(path), _) => format!("--data {}", path.display()),
            (None, Some(directory)) => format!("--journal {}", directory.display()),
            (None, None) => String::new(),
        }
    }

    /// Whether any payments were named.
    pub(crate) fn is_named(&self) -> bool {
        self.data.is_some() || self.journal.is_some()
    }

    /// The data directory, where payments come from a journal.
    pub(crate) fn journal(&self) -> Option<&Path> {
        self.journal.as_deref()
    }

    /// Reads all payments. Warnings are printed, too.
    pub(crate) fn load(&self, label_needed: bool) -> Result<Source, Failure> {
        let mut source = match (&self.data, &self.journal) {
            (Some(path), _) => self.read_file(path, label_needed)?,
            (None, Some(directory)) => journal_source::read(directory, &self.exempt_payers)?,
            (None, None) => {
                let what = "name a file with --data, or a data directory with --journal";
                return Err(format!("there are no payments: {what}").into());
            }
        };
        if source.payments.has_labels() {
            let leaks = leaks_in_payments(&source.payments);
            source.warnings.extend(leaks.iter().map(ToString::to_string));
        }
        source.warnings.iter().for_each(|warning| crate::commands::tell!("warning: {warning}"));
        Ok(source)
    }

    fn read_file(&self, path: &Path, label_needed: bool) -> Result<Source, Failure> {
        let settings = ReadSettings {
            columns: self.columns.clone().unwrap_or_default(),
            unlabelled: !label_needed,
            order: if self.sort { TimeOrder::Sort } else { TimeOrder::Refuse },
            bad_rows_max: self.bad_rows_max,
        };
        let bar = progress::bytes("reading");
        let read = read(path, &settings, &mut |done, all| moved(&bar, done, all));
        bar.finish_and_clear();
        let (payments, report) = read.map_err(|error| with_options(&error))?;
        let mut warnings = Vec::new();
        if report.left_out.count > 0 {
            let told = report.left_out.first.iter().take(LEFT_OUT_TOLD).map(ToString::to_string);
            let told: Vec<_> = told.collect();
            let count = report.left_out.count;
            warnings.push(format!("{count} rows were left out: {}", told.join("; ")));
        }
        warnings.extend(doubts_of_payments(&payments));
        let unread_leaks = report.unused_leaks;
        Ok(Source { payments, name: report.file, warnings, unread_leaks, decided: None })
    }
}

/// The library does not know what the options are called.
fn with_options(error: &millrace_risk_lab::data::DataError) -> Failure {
    let text = error.to_string();
    let options = [
        ("ask for it to be sorted while it is read", "add --sort"),
        ("map it as ROLE=HEADER", "map it with --columns ROLE=HEADER"),
    ];
    options.iter().fold(text, |text, (library, here)| text.replace(library, here)).into()
}

fn moved(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}

/// The delay of labels: the argument's, else the model's, else seven days.
pub(crate) fn label_delay(
    argument: Option<LabelDelay>,
    of_model: Option<LabelDelay>,
) -> LabelDelay {
    argument.or(of_model).unwrap_or(LabelDelay::days(7))
}
