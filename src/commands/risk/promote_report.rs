//! A report on a promotion: consumes the documents before and after, and what they name on the server,
//! produces what is in force now and what was before.

use std::collections::BTreeMap;

use millrace_client::Connection;
use millrace_ledger::Timestamp;
use millrace_risk::{
    model::Model,
    policy::{PolicyDocument, Thresholds},
    rules::List,
};
use millrace_risk_lab::report::{Align, Card, Report, Table};

use super::{
    lists::{
        difference::Difference,
        in_force::{download, fetch},
        now,
        report::{by_time, difference},
    },
    output::count,
    promote_shown::Change,
};
use crate::Failure;

/// What is promoted, and what it replaces.
pub(super) struct Promotion<'a> {
    pub(super) connection: &'a Connection,
    /// Number and document; `None` where no policy was in force.
    pub(super) before: Option<(u32, &'a PolicyDocument)>,
    pub(super) after: (u32, &'a PolicyDocument),
    pub(super) changes: &'a [Change],
    pub(super) dry_run: bool,
    pub(super) why: &'a str,
}

/// A list before and after.
struct ListPair {
    name: String,
    before: Option<List>,
    after: List,
}

impl Promotion<'_> {
    pub(super) async fn report(&self) -> Result<Report, Failure> {
        let (number, document) = self.after;
        let empty = PolicyDocument::default();
        let before = self.before.map_or(&empty, |(_, document)| document);
        let lists = self.lists(before, document).await?;
        let title = if self.dry_run { "Promotion, not made" } else { "Promotion" };
        let mut report = Report::new(title, self.why);
        self.cards(&mut report, number, &lists);
        let left = Align::Left;
        let mut table = Table::new(&[("part", left), ("before", left), ("after", left)]);
        self.changes.iter().for_each(|change| table.row(change.cells()));
        report.table("What changes", &table);
        let models = self.models(before, document).await?;
        report.table("Models", &models);
        let rules = self.rules(before, document).await?;
        report.table("Rules", &rules);
        report.table("Lists in force", &lists_table(&lists, now()));
        for ListPair { name, before, after } in &lists {
            difference(
                &mut report,
                &Difference::between(before.as_ref(), after),
                &format!("({name})"),
            );
        }
        report.heading("In force").facts(&in_force(document));
        Ok(report)
    }

    fn cards(&self, report: &mut Report, number: u32, lists: &[ListPair]) {
        let card =
            |name: &str, value: String, note: String| Card { name: name.to_owned(), value, note };
        let was = match self.before {
            None => "there was none".to_owned(),
            Some((number, _)) => format!("was {number}"),
        };
        let entries: usize = lists.iter().map(|pair| pair.after.len()).sum();
        report.cards(&[
            card("policy", number.to_string(), was),
            card("changes", count(self.changes.len()), String::new()),
            card("lists", count(lists.len()), format!("{} values", count(entries))),
        ]);
    }

    async fn lists(
        &self,
        before: &PolicyDocument,
        after: &PolicyDocument,
    ) -> Result<Vec<ListPair>, Failure> {
        let mut pairs = Vec::new();
        for list in &after.lists {
            let old = before.lists.iter().find(|old| old.name == list.name);
            pairs.push(ListPair {
                name: list.name.clone(),
                before: match old {
                    Some(old) => Some(fetch(self.connection, old).await?),
                    None => None,
                },
                after: fetch(self.connection, list).await?,
            });
        }
        Ok(pairs)
    }

    /// Facts of the models before and after.
    async fn models(
        &self,
        before: &PolicyDocument,
        after: &PolicyDocument,
    ) -> Result<Table, Failure> {
        let (left, right) = (Align::Left, Align::Right);
        let mut table = Table::new(&[
            ("model", left),
            ("trainer", left),
            ("trained on", left),
            ("payments", right),
            ("frauds", right),
            ("features", right),
        ]);
        let named =
            [("before", &before.model), ("now", &after.model), ("challenger", &after.challenger)];
        for (role, name) in named {
            let Some(name) = name else { continue };
            let bytes = download(self.connection, name).await?;
            let model = Model::from_bytes(&bytes).map_err(|error| format!("{name}: {error}"))?;
            let facts = model.facts();
            let trained = facts
                .settings
                .iter()
                .find(|(name, _)| name == "train")
                .map(|(_, days)| days.clone());
            table.row([
                format!("{role} ({}…)", name.get(..12).unwrap_or(name)),
                facts.trainer.clone(),
                trained.unwrap_or_else(|| facts.source.clone()),
                count(facts.rows as usize),
                count(facts.frauds as usize),
                count(model.features().len()),
            ]);
        }
        Ok(table)
    }

    /// Rules that came, went or changed.
    async fn rules(
        &self,
        before: &PolicyDocument,
        after: &PolicyDocument,
    ) -> Result<Table, Failure> {
        let left = Align::Left;
        let mut table = Table::new(&[("rule", left), ("", left), ("action", left), ("when", left)]);
        let (old, new) = (self.rules_of(before).await?, self.rules_of(after).await?);
        let names: Vec<_> =
            old.keys().chain(new.keys().filter(|it| !old.contains_key(*it))).collect();
        for name in names {
            let (what, rule) = match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) if old == new => ("as before", new),
                (Some(_), Some(new)) => ("changed", new),
                (None, Some(new)) => ("added", new),
                (Some(old), None) => ("removed", old),
                (None, None) => continue,
            };
            let text = |key: &str| {
                rule.get(key).and_then(toml::Value::as_str).unwrap_or_default().trim().to_owned()
            };
            table.row([name.clone(), what.to_owned(), text("action"), text("when")]);
        }
        Ok(table)
    }

    async fn rules_of(
        &self,
        document: &PolicyDocument,
    ) -> Result<BTreeMap<String, toml::Table>, Failure> {
        let Some(name) = &document.rules else { return Ok(BTreeMap::new()) };
        let bytes = download(self.connection, name).await?;
        let file: toml::Table = toml::from_str(&String::from_utf8_lossy(&bytes))
            .map_err(|error| format!("rules {name}: {error}"))?;
        let rules = file.get("rule").and_then(toml::Value::as_array).into_iter().flatten();
        let rules = rules
            .filter_map(toml::Value::as_table)
            .filter_map(|rule| Some((rule.get("name")?.as_str()?.to_owned(), rule.clone())));
        Ok(rules.collect())
    }
}

/// All of a policy, part by part.
fn in_force(document: &PolicyDocument) -> Vec<(&'static str, String)> {
    let at = |at: Option<f32>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let thresholds = |of: Thresholds| {
        let [review, challenge, decline] = [of.review, of.challenge, of.decline].map(at);
        format!("review from {review}, challenge from {challenge}, decline from {decline}")
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let mut facts = vec![
        ("name", document.name.clone()),
        ("model", text(&document.model)),
        ("challenger", text(&document.challenger)),
        ("rules", text(&document.rules)),
        ("thresholds", thresholds(document.thresholds)),
    ];
    for segment in &document.segments {
        let (name, when) = (&segment.name, &segment.when);
        facts.push(("segment", format!("{name} ({when}): {}", thresholds(segment.thresholds()))));
    }
    for list in &document.lists {
        facts.push(("list", format!("{} ({}): {}", list.name, list.kind, list.artefact)));
    }
    let (review, challenge) = (document.review.hold_s, document.challenge.hold_s);
    facts.push(("holds", format!("review {review} s, challenge {challenge} s")));
    facts.push(("time budget", format!("{} ms per request", document.budget.request_ms)));
    facts
}

fn lists_table(lists: &[ListPair], at: Timestamp) -> Table {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("list", left),
        ("before", right),
        ("now", right),
        ("added", right),
        ("removed", right),
        ("changed", right),
        ("expiring in 30 days", right),
        ("expired", right),
    ]);
    for ListPair { name, before, after } in lists {
        let Difference { added, removed, changed } = Difference::between(before.as_ref(), after);
        let (active, soon, expired) = by_time(after, at);
        let was = before.as_ref().map_or(0, |before| by_time(before, at).0);
        let counts = [was, active, added.len(), removed.len(), changed.len(), soon.len(), expired];
        table.row([name.clone()].into_iter().chain(counts.map(count)));
    }
    table
}
