//! Rules on the command line: consumes a rule file, lists and the columns of payments, produces rules
//! that are right, and what they see of each payment.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    str::FromStr,
};

use millrace_risk::{
    features::Catalogue,
    rules::{
        List, ListKind, ListLimits, ListSpec, Lists, RuleInput, RuleLimits, RuleSet, Vocabulary,
    },
};
use millrace_risk_lab::data::{Names, Payments};

use crate::Failure;

/// Texts that rules can name, and the columns that hold them in a file.
const CONTEXT_TEXTS: [(&str, &str); 6] = [
    ("context.device", "device"),
    ("context.ip", "ip"),
    ("context.country", "country"),
    ("context.channel", "channel"),
    ("context.currency", "currency"),
    ("context.mcc", "mcc"),
];

/// Lists that rules may name.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// A list that rules name: its name, its kind (allow, block or watch) and its file
    #[arg(long = "list", value_name = "NAME:KIND=CSV")]
    lists: Vec<ListArg>,
}

/// `block_list:block=cards.csv`.
#[derive(Clone, Debug)]
pub(crate) struct ListArg {
    name: String,
    kind: ListKind,
    path: PathBuf,
}

impl FromStr for ListArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || {
            format!("\"{text}\" does not name a list; write NAME:KIND=FILE, such as stolen:block=cards.csv")
        };
        let (what, path) = text.split_once('=').ok_or_else(shape)?;
        let (name, kind) = what.split_once(':').ok_or_else(shape)?;
        Ok(Self { name: name.to_owned(), kind: list_kind(kind)?, path: path.into() })
    }
}

/// Reads `allow`, `block` or `watch`.
pub(crate) fn list_kind(text: &str) -> Result<ListKind, String> {
    match text {
        "allow" => Ok(ListKind::Allow),
        "block" => Ok(ListKind::Block),
        "watch" => Ok(ListKind::Watch),
        _ => Err(format!("\"{text}\" is no kind of list; kinds are allow, block and watch")),
    }
}

/// Reads a list; all mistakes of the file are told.
pub(crate) fn read_list(name: &str, kind: ListKind, path: &Path) -> Result<List, Failure> {
    let shown = path.display();
    let file = File::open(path)
        .map_err(|error| format!("the list {shown} can't be read: {error}; check the path"))?;
    let spec = ListSpec { name: name.to_owned(), kind, of: Vec::new() };
    List::from_csv(spec, ListLimits::default(), file).map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("\n  {error}")).collect();
        format!("{shown}: the list can't be used as it is:{}", told.concat()).into()
    })
}

impl ListArgs {
    pub(crate) fn load(&self) -> Result<Lists, Failure> {
        let mut lists = Lists::new();
        for ListArg { name, kind, path } in &self.lists {
            lists.insert(read_list(name, *kind, path)?);
        }
        Ok(lists)
    }
}

/// Reads and compiles a rule file; all mistakes are told, each with its place.
pub(crate) fn load(
    path: &Path,
    catalogue: &Catalogue,
    lists: &Lists,
) -> Result<RuleSet, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("the rules {name} can't be read: {error}; check the path"))?;
    let features = catalogue.features().iter();
    let features = features.map(|feature| (feature.name.as_str(), feature.unit.as_str()));
    let texts = ["payer", "payee"].into_iter().chain(CONTEXT_TEXTS.map(|(text, _)| text));
    let vocabulary = Vocabulary::new(features, texts);
    RuleSet::compile_within(&text, &vocabulary, lists, &RuleLimits::default()).map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("\n\n{error}")).collect();
        let count = match errors.len() {
            1 => "1 mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        format!("{name}: {count}; no rule was taken over{}", told.concat()).into()
    })
}

/// What rules see of payments beside their features.
pub(crate) struct Texts<'a> {
    payments: &'a Payments,
    columns: Vec<Option<(&'a Names, &'a [u32])>>,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(payments: &'a Payments) -> Self {
        let accounts = [
            Some((payments.payers(), payments.payer())),
            Some((payments.payees(), payments.payee())),
        ];
        let context = |(_, column): &(&str, &str)| {
            let context = payments.context(column)?;
            Some((&context.names, context.values.as_slice()))
        };
        let columns = accounts.into_iter().chain(CONTEXT_TEXTS.iter().map(context)).collect();
        Self { payments, columns }
    }

    /// Room for the texts of one payment.
    pub(crate) fn room(&self) -> Vec<Option<&'a str>> {
        vec![None; self.columns.len()]
    }

    /// The input of a payment. An empty cell is a missing text.
    pub(crate) fn input<'b>(
        &self,
        row: usize,
        features: &'b [f32],
        room: &'b mut [Option<&'a str>],
    ) -> RuleInput<'b> {
        for (text, column) in room.iter_mut().zip(&self.columns) {
            let value = column.map(|(names, numbers)| names.name(numbers[row]));
            *text = value.filter(|value| !value.is_empty());
        }
        RuleInput { row: features, texts: room, at: self.payments.at()[row] }
    }
}
