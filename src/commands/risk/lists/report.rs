//! A report on a list: consumes what is on it, what was before, and what it would have touched,
//! produces cards and tables.

use millrace_ledger::Timestamp;
use millrace_risk::rules::{List, ListEntry};
use millrace_risk_lab::{
    data::Payments,
    report::{Align, Card, Report, Table},
};

use super::difference::{Difference, Touched};
use crate::commands::risk::{
    output::{count, number, percent},
    rule_source::kind_name,
    tested::about,
};

/// Entries that a table shows.
const ENTRIES_TOLD: usize = 100;
/// What expires within these days is told.
const SOON_NS: u64 = 30 * 86_400_000_000_000;

/// What a report is about.
pub(crate) struct Shown<'a> {
    pub(crate) list: &'a List,
    /// What was listed before, and what people call that; `None` where there is nothing to compare with.
    pub(crate) before: Option<(&'a str, &'a List)>,
    /// When entries are looked at: what has expired then is no longer listed.
    pub(crate) at: Timestamp,
    /// What it would have touched, among which payments, and over what.
    pub(crate) touched: Option<(&'a Touched, &'a Payments, String)>,
}

fn card(name: &str, value: String, note: String) -> Card {
    Card { name: name.to_owned(), value, note }
}

fn day(at: Option<Timestamp>) -> String {
    let at = at.and_then(|at| jiff::Timestamp::from_nanosecond(i128::from(at.0)).ok());
    at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"))
}

pub(crate) fn entries_table<'a>(entries: impl IntoIterator<Item = &'a ListEntry<'a>>) -> Table {
    let left = Align::Left;
    let mut table =
        Table::new(&[("value", left), ("expires", left), ("reason", left), ("added by", left)]);
    for entry in entries.into_iter().take(ENTRIES_TOLD) {
        let texts = [entry.value, &day(entry.expires_at), entry.reason, entry.added_by];
        table.row(texts.map(str::to_owned));
    }
    table
}

fn titled(title: &str, all: usize) -> String {
    match all > ENTRIES_TOLD {
        true => format!("{title}: the first {ENTRIES_TOLD} of {}", count(all)),
        false => title.to_owned(),
    }
}

/// Adds what came and went.
pub(crate) fn difference(report: &mut Report, of: &Difference<'_>, name: &str) {
    let Difference { added, removed, changed } = of;
    let title = |what: &str, all| titled(format!("{what} {name}").trim_end(), all);
    report.table(&title("Added", added.len()), &entries_table(added));
    report.table(&title("Removed", removed.len()), &entries_table(removed));
    let left = Align::Left;
    let mut table = Table::new(&[("value", left), ("was", left), ("is", left)]);
    let told = |entry: &ListEntry<'_>| {
        let parts = [day(entry.expires_at), entry.reason.to_owned(), entry.added_by.to_owned()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    };
    for (old, new) in changed.iter().take(ENTRIES_TOLD) {
        table.row([old.value.to_owned(), told(old), told(new)]);
    }
    report.table(&title("Changed", changed.len()), &table);
}

/// Entries that are listed at a time, those of them that expire soon, soonest first, and how many
/// have expired.
pub(crate) fn by_time(list: &List, at: Timestamp) -> (usize, Vec<ListEntry<'_>>, usize) {
    let (mut soon, mut expired) = (Vec::new(), 0);
    for entry in list.entries() {
        match entry.expires_at {
            Some(end) if end <= at => expired += 1,
            Some(end) if end.0 - at.0 <= SOON_NS => soon.push(entry),
            _ => {}
        }
    }
    soon.sort_by_key(|entry| entry.expires_at);
    (list.len() - expired, soon, expired)
}

pub(crate) fn report(title: &str, shown: &Shown<'_>) -> Report {
    let Shown { list, before, at, touched } = shown;
    let spec = list.spec();
    let mut report = Report::new(title, &format!("{} ({})", spec.name, kind_name(spec.kind)));
    let (active, soon, expired) = by_time(list, *at);
    let of = Difference::between(before.map(|(_, before)| before), list);
    let mut cards = vec![
        card("listed", count(active), format!("at {}", day(Some(*at)))),
        card("expiring", count(soon.len()), "within 30 days".to_owned()),
        card("expired", count(expired), "no longer listed".to_owned()),
    ];
    if let Some((name, before)) = before {
        let against = format!("against {name}, {} values", count(before.len()));
        cards.push(card("added", count(of.added.len()), against));
        let changed = format!("{} changed", count(of.changed.len()));
        cards.push(card("removed", count(of.removed.len()), changed));
    }
    if let Some((touched, _, over)) = touched {
        let share = percent(touched.payments as f64 / touched.rows.max(1) as f64);
        let note = format!("{share} of {over}");
        cards.push(card("payments touched", count(touched.payments as usize), note));
        let money = format!("money {}", number(touched.money_frauds, 2));
        cards.push(card("frauds touched", count(touched.frauds as usize), money));
    }
    report.cards(&cards);
    if let Some((touched, payments, _)) = touched {
        add_touched(&mut report, touched, payments);
    }
    if before.is_some() {
        difference(&mut report, &of, "");
    }
    report.table(&titled("Expiring within 30 days", soon.len()), &entries_table(&soon));
    let listed: Vec<_> =
        list.entries().filter(|entry| entry.expires_at.is_none_or(|end| *at < end)).collect();
    report.table(&titled("Listed", listed.len()), &entries_table(&listed));
    report
}

fn add_touched(report: &mut Report, touched: &Touched, payments: &Payments) {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[("text", left), ("payments", right), ("frauds", right)]);
    for text in &touched.texts {
        let counts = [text.payments, text.frauds].map(|it| count(it as usize));
        table.row([text.text.to_owned()].into_iter().chain(counts));
    }
    report.table("Payments that it would have touched", &table);
    let mut table =
        Table::new(&[("payment", left), ("", left), ("text", left), ("value", left), ("", left)]);
    for it in &touched.first {
        let label = if it.is_fraud { "fraud" } else { "" };
        let texts = [&it.payment, &about(payments, it.row), it.text, &it.value, label];
        table.row(texts.map(str::to_owned));
    }
    report.table("The first of them", &table);
}
