//! Rules on the command line: consumes a rule file, lists and the columns of payments, produces rules
//! that are right, and what they see of each payment.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    str::FromStr,
};

use millrace_risk::{
    features::Catalogue,
    policy::{TEXTS, own_context_keys, vocabulary},
    rules::{List, ListKind, ListLimits, ListSpec, Lists, RuleError, RuleInput, RuleSet},
};
use millrace_risk_lab::data::{Names, Payments};

use crate::Failure;

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
    pub(crate) name: String,
    pub(crate) kind: ListKind,
    pub(crate) path: PathBuf,
}

impl FromStr for ListArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || {
            format!(
                "\"{text}\" does not name a list; write NAME:KIND=FILE, such as stolen:block=cards.csv"
            )
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

/// A kind as policies write it.
pub(crate) fn kind_name(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Allow => "allow",
        ListKind::Block => "block",
        ListKind::Watch => "watch",
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
    /// As they were named.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ListArg> {
        self.lists.iter()
    }

    pub(crate) fn load(&self) -> Result<Lists, Failure> {
        let mut lists = Lists::new();
        for ListArg { name, kind, path } in &self.lists {
            lists.insert(read_list(name, *kind, path)?);
        }
        Ok(lists)
    }
}

/// Reads and compiles a rule file; all mistakes are told, each with its place.
pub(crate) fn load(path: &Path, catalogue: &Catalogue, lists: &Lists) -> Result<RuleSet, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("the rules {name} can't be read: {error}; check the path"))?;
    RuleSet::compile(&text, &vocabulary(catalogue), lists).map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("\n\n{error}")).collect();
        let count = match errors.len() {
            1 => "1 mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        format!("{name}: {count}; no rule was taken over{}", told.concat()).into()
    })
}

/// What makes sense in rules and says nothing, one sentence each.
pub(crate) fn doubts(rules: &RuleSet) -> Vec<String> {
    let sentence = |it: &RuleError| {
        let rule = it.rule.as_deref().unwrap_or_default();
        let RuleError { line, column, problem, help, .. } = it;
        format!("line {line}, column {column}: rule {rule:?}: {problem}; {help}")
    };
    rules.warnings().iter().map(sentence).collect()
}

/// What to say where rules speak of a score, and nothing gives one.
pub(crate) fn without_score(rules: &RuleSet) -> Option<String> {
    rules.features().contains("score").then(|| {
        "the rules speak of `score`, and there is no model: it is missing, so that no comparison \
         with it holds; name one with --model"
            .to_owned()
    })
}

/// What rules see of payments.
pub(crate) struct RuleInputs<'a> {
    payments: &'a Payments,
    columns: Vec<Option<(&'a Names, &'a [u32])>>,
    texts: Vec<Option<&'a str>>,
    row: Vec<f32>,
}

impl<'a> RuleInputs<'a> {
    /// For rules over this catalogue.
    pub(crate) fn new(payments: &'a Payments, catalogue: &Catalogue) -> Self {
        let of_context = |key: &str| {
            let context = payments.context(key)?;
            Some((&context.names, context.values.as_slice()))
        };
        let column = |text: &&str| match *text {
            "payer" => Some((payments.payers(), payments.payer())),
            "payee" => Some((payments.payees(), payments.payee())),
            other => of_context(other.strip_prefix("context.")?),
        };
        let own = own_context_keys(catalogue);
        let columns: Vec<_> =
            TEXTS.iter().map(column).chain(own.iter().map(|key| of_context(key))).collect();
        Self { payments, texts: vec![None; columns.len()], columns, row: Vec::new() }
    }

    /// The input of a payment; without a model, its score is missing. An empty cell is a missing
    /// text.
    pub(crate) fn of(&mut self, row: usize, features: &[f32], score: f32) -> RuleInput<'_> {
        for (text, column) in self.texts.iter_mut().zip(&self.columns) {
            let value = column.map(|(names, numbers)| names.name(numbers[row]));
            *text = value.filter(|value| !value.is_empty());
        }
        self.row.clear();
        self.row.extend_from_slice(features);
        self.row.push(score);
        RuleInput { row: &self.row, texts: &self.texts, at: self.payments.at()[row] }
    }
}
