//! What a promotion changes: consumes two documents of a policy, produces what differs, for people
//! and for scripts.

use millrace_risk::policy::{ListDocument, PolicyDocument, Thresholds};
use serde_json::json;

use super::promote::InForce;
use crate::commands::say;

/// A part of a policy, before and after.
pub(super) struct Change {
    part: String,
    before: Option<String>,
    after: Option<String>,
}

impl Change {
    /// The part, and what it was and is.
    pub(super) fn cells(&self) -> [String; 3] {
        [self.part.clone(), shown(self.before.as_deref()), shown(self.after.as_deref())]
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "none".to_owned(),
        // A digest's beginning tells it from others.
        Some(digest) if digest.len() == 64 => format!("{}…", &digest[..12]),
        Some(text) => text.to_owned(),
    }
}

/// What differs between two documents, in what can be promoted.
pub(super) fn changes(before: &PolicyDocument, after: &PolicyDocument) -> Vec<Change> {
    let score = |score: Option<f32>| score.map(|score| score.to_string());
    let parts = |it: &PolicyDocument| {
        let Thresholds { review, challenge, decline } = it.thresholds;
        let name = Some(it.name.clone()).filter(|name| !name.is_empty());
        [
            ("name", name),
            ("model", it.model.clone()),
            ("challenger", it.challenger.clone()),
            ("rules", it.rules.clone()),
            ("review from", score(review)),
            ("challenge from", score(challenge)),
            ("decline from", score(decline)),
        ]
    };
    let pairs = parts(before).into_iter().zip(parts(after));
    let changes = pairs.map(|((part, before), (_, after))| {
        let part = part.to_owned();
        Change { part, before, after }
    });
    let changes = changes.chain(list_changes(&before.lists, &after.lists));
    changes.filter(|change| change.before != change.after).collect()
}

/// Lists are replaced and added; a promotion takes none away.
fn list_changes(before: &[ListDocument], after: &[ListDocument]) -> Vec<Change> {
    let mut changes = Vec::new();
    for list in after {
        let old = before.iter().find(|old| old.name == list.name);
        changes.push(Change {
            part: format!("list {}", list.name),
            before: old.map(|old| old.artefact.clone()),
            after: Some(list.artefact.clone()),
        });
        changes.push(Change {
            part: format!("kind of {}", list.name),
            before: old.map(|old| old.kind.clone()),
            after: Some(list.kind.clone()),
        });
    }
    changes
}

/// What is told in the end.
pub(super) struct Shown<'a> {
    pub(super) before: &'a InForce,
    pub(super) name: &'a str,
    pub(super) number: u32,
    pub(super) changes: &'a [Change],
    pub(super) warnings: &'a [String],
}

impl Shown<'_> {
    pub(super) fn print_json(&self, dry_run: bool, replayed: bool) {
        let before = json!({ "number": self.before.number, "name": self.before.name });
        let before = (!self.before.name.is_empty()).then_some(before);
        let changes = self.changes.iter();
        let changes =
            changes.map(|it| json!({ "part": it.part, "before": it.before, "after": it.after }));
        say!(
            "{}",
            json!({
                "before": before,
                "after": { "number": self.number, "name": self.name },
                "changes": changes.collect::<Vec<_>>(),
                "dry_run": dry_run,
                "replayed": replayed,
                "warnings": self.warnings,
            })
        );
    }

    pub(super) fn print(&self, dry_run: bool, replayed: bool) {
        let before = match self.before.name.as_str() {
            "" => "no policy".to_owned(),
            name => format!("policy {}  {name}", self.before.number),
        };
        say!("before  {before}");
        say!("after   policy {}  {}", self.number, self.name);
        if self.changes.is_empty() {
            say!("  nothing differs");
        }
        for change in self.changes {
            let [part, before, after] = change.cells();
            say!("  {part:<15} {before} -> {after}");
        }
        match (dry_run, replayed) {
            (true, _) => say!("It can be used. Nothing was changed (--dry-run)."),
            (false, true) => say!("It is in force, as before."),
            (false, false) => say!("It is in force."),
        }
    }
}
