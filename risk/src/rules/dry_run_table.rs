//! Dry runs on a screen: consumes a report, produces tables.

use std::fmt;

use super::{
    dry_run::{DryRunReport, RuleReport},
    unit::grouped,
};

/// Other rules named per rule, and examples shown.
const SHOWN: usize = 3;

impl fmt::Display for DryRunReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} payments, {} in all; {} labelled, {} frauds, {} in all",
            count(self.payments),
            grouped(self.money, 2),
            count(self.labelled),
            count(self.frauds),
            grouped(self.fraud_money, 2),
        )?;
        writeln!(out)?;
        table(out, &self.rule_rows())?;
        writeln!(out)?;
        table(out, &self.decision_rows())?;
        self.rules.iter().try_for_each(|rule| details(out, rule))
    }
}

impl DryRunReport {
    fn rule_rows(&self) -> Vec<Vec<String>> {
        let header = [
            "rule",
            "action",
            "cost",
            "hits",
            "share",
            "money",
            "decided",
            "alone",
            "frauds",
            "precision",
            "recall",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for rule in &self.rules {
            let action = match (rule.enabled, rule.shadow) {
                (false, _) => format!("{} (off)", rule.action.name()),
                (true, true) => format!("{} (shadow)", rule.action.name()),
                (true, false) => rule.action.name().to_owned(),
            };
            rows.push(vec![
                rule.name.clone(),
                action,
                rule.cost.to_string(),
                count(rule.hits),
                percent(Some(rule.hit_share)),
                grouped(rule.money, 2),
                count(rule.decided),
                count(rule.alone),
                count(rule.frauds_caught),
                percent(rule.precision),
                percent(rule.recall),
            ]);
        }
        rows
    }

    fn decision_rows(&self) -> Vec<Vec<String>> {
        let header = ["decision", "", "payments", "share", "money", "frauds"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for decision in &self.decisions {
            rows.push(vec![
                decision.decision.to_owned(),
                String::new(),
                count(decision.payments),
                percent(Some(decision.share)),
                grouped(decision.money, 2),
                count(decision.frauds),
            ]);
        }
        rows
    }
}

/// Overlaps and examples of a rule that hits.
fn details(out: &mut fmt::Formatter<'_>, rule: &RuleReport) -> fmt::Result {
    if rule.hits == 0 {
        return Ok(());
    }
    writeln!(out, "\n{}", rule.name)?;
    for overlap in rule.overlaps.iter().take(SHOWN) {
        let share = percent(Some(overlap.share));
        writeln!(
            out,
            "  {} of its hits ({share}) are also of {}",
            count(overlap.hits),
            overlap.rule
        )?;
    }
    for example in rule.examples.iter().take(SHOWN) {
        let fraud = match example.fraud {
            Some(true) => ", fraud",
            Some(false) => ", no fraud",
            None => "",
        };
        writeln!(out, "  {} {}{fraud}: {}", example.at, example.id, example.reason)?;
    }
    Ok(())
}

/// Two columns of text to the left, numbers to the right. The first row is the header.
fn table(out: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn count(number: u64) -> String {
    grouped(number as f64, 0)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}
