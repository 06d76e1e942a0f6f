//! What a promotion does not do: consumes the policy that comes into force and its rules, produces a
//! sentence for each part of it that is right and has no effect.

use millrace_ledger::Timestamp;
use millrace_risk::{policy::PolicyDocument, rules::List};

/// Warnings on a policy whose rule file says `rules`, and on the lists that are new in it.
pub(super) fn doubts(
    document: &PolicyDocument,
    rules: Option<&str>,
    lists: &[List],
    now: Timestamp,
) -> Vec<String> {
    let conditions = conditions(document, rules);
    let mut doubts = Vec::new();
    for list in lists {
        let name = &list.spec().name;
        if !conditions.iter().any(|it| names(it, name)) {
            doubts.push(format!(
                "no rule names the list {name}, so it does nothing; write one, such as \
                 `when = \"payer in {name}\"`, and promote it with --rules"
            ));
        }
        let is_over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        if !list.is_empty() && list.entries().all(|entry| is_over(entry.expires_at)) {
            let values = list.len();
            doubts.push(format!(
                "all values of the list {name} ({values}) have expired, so it lists nothing"
            ));
        }
    }
    if document.model.is_none() && conditions.iter().any(|it| names(it, "score")) {
        doubts.push(
            "the rules speak of `score`, and the policy has no model: it is missing, so that no \
             comparison with it holds; name one with --model"
                .to_owned(),
        );
    }
    doubts
}

/// The conditions of rules that are enabled, and of segments.
fn conditions(document: &PolicyDocument, rules: Option<&str>) -> Vec<String> {
    let mut conditions: Vec<_> = document.segments.iter().map(|it| it.when.clone()).collect();
    let table: Option<toml::Table> = rules.and_then(|text| text.parse().ok());
    let rules = table.as_ref().and_then(|table| table.get("rule")).and_then(toml::Value::as_array);
    for rule in rules.into_iter().flatten() {
        if rule.get("enabled").and_then(toml::Value::as_bool) == Some(false) {
            continue;
        }
        let texts = ["when", "segment"].into_iter().filter_map(|key| rule.get(key)?.as_str());
        conditions.extend(texts.map(str::to_owned));
    }
    conditions
}

/// Whether a condition has this name in it, outside of its texts in quotes.
fn names(condition: &str, name: &str) -> bool {
    let mut quote = None;
    let mut code = String::with_capacity(condition.len());
    for letter in condition.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, letter) => code.push(letter),
            (Some(_), _) => {}
        }
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter);
    code.split(|letter| !is_part(letter)).any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use millrace_risk::rules::{ListEntry, ListKind, ListLimits, ListSpec};

    use super::*;

    fn list(name: &str, ends: &[Option<u64>]) -> List {
        let spec = ListSpec { name: name.to_owned(), kind: ListKind::Block, of: Vec::new() };
        let mut list = List::new(spec, ListLimits::default()).expect("a right name");
        for (number, end) in ends.iter().enumerate() {
            let (value, expires_at) = (&*number.to_string(), end.map(Timestamp));
            let entry = ListEntry { value, expires_at, reason: "", added_by: "" };
            list.add(&entry).expect("there is room");
        }
        list
    }

    #[test]
    fn parts_without_effect_are_told_as_the_table_says() {
        let document = |text: &str| PolicyDocument::parse(text).expect("is right");
        let (bare, scored) = (document(""), document("model = \"m\""));
        let segment = "model = \"m\"\n[[segment]]\nname = \"s\"\nwhen = \"payer in bad\"";
        let segment = document(segment);
        let rule = |when: &str| format!("[[rule]]\nwhen = '''{when}'''\n");
        let (unused, expired) = ("no rule names the list bad", "have expired");
        let score = "the policy has no model";
        for (document, rules, ends, expected) in [
            (&bare, None, &[None][..], &[unused][..]),
            (&bare, Some(rule("payer in bad")), &[None], &[]),
            (&bare, Some(rule("payer in bad_ones or payer == \"bad\"")), &[None], &[unused]),
            (&bare, Some(rule("payer in bad") + "enabled = false\n"), &[None], &[unused]),
            (&bare, Some(rule("amount > 5") + "segment = 'payee not in bad'\n"), &[None], &[]),
            (&segment, None, &[None], &[]),
            (&bare, Some(rule("payer in bad")), &[Some(5), Some(10)], &[expired]),
            (&bare, Some(rule("payer in bad")), &[Some(5), Some(11)], &[]),
            (&bare, Some(rule("payer in bad")), &[], &[]),
            (&bare, None, &[Some(5)], &[unused, expired]),
            (&bare, Some(rule("payer in bad and score > 0.5")), &[None], &[score]),
            (&scored, Some(rule("payer in bad and score > 0.5")), &[None], &[]),
        ] {
            let told = doubts(document, rules.as_deref(), &[list("bad", ends)], Timestamp(10));
            assert_eq!(told.len(), expected.len(), "{rules:?} {ends:?} {told:?}");
            for (told, expected) in told.iter().zip(expected) {
                assert!(told.contains(expected), "{rules:?} {ends:?} {told}");
            }
        }
    }
}
