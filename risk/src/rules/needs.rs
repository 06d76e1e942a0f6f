//! Needs: consumes rules, produces the features that they look at or speak of.

use std::collections::BTreeSet;

use super::{
    set::RuleSet,
    typed::{Condition, Number},
};

impl RuleSet {
    /// The names of features that enabled rules look at, or that their reasons show.
    #[must_use]
    pub fn features(&self) -> BTreeSet<&str> {
        let mut places = BTreeSet::new();
        for rule in self.rules().iter().filter(|rule| rule.enabled) {
            of_condition(&rule.condition, &mut places);
            places.extend(rule.filled_in.features());
        }
        places.into_iter().map(|place| self.vocabulary().feature_name(place)).collect()
    }
}

fn of_condition(condition: &Condition, places: &mut BTreeSet<u16>) {
    match condition {
        Condition::Compare(_, left, right) => {
            of_number(left, places);
            of_number(right, places);
        }
        Condition::InNumbers { value, .. } | Condition::MissingNumber(value) => {
            of_number(value, places);
        }
        Condition::Not(inner) => of_condition(inner, places),
        Condition::And(parts) | Condition::Or(parts) => {
            parts.iter().for_each(|part| of_condition(part, places));
        }
        Condition::Constant(_)
        | Condition::SameText { .. }
        | Condition::InList { .. }
        | Condition::InTexts { .. }
        | Condition::MissingText(_) => {}
    }
}

fn of_number(number: &Number, places: &mut BTreeSet<u16>) {
    match number {
        Number::Constant(_) => {}
        Number::Feature { feature, .. } => {
            places.insert(*feature);
        }
        Number::Absolute(value) => of_number(value, places),
        Number::Binary(_, left, right) => {
            of_number(left, places);
            of_number(right, places);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::rules::{Lists, RuleSet, Vocabulary};

    const FEATURES: [(&str, &str); 9] = [
        ("amount", "money"),
        ("a", "count"),
        ("b", "count"),
        ("c", "count"),
        ("d", "seconds"),
        ("e", "flag"),
        ("f", "count"),
        ("g", "count"),
        ("h", "count"),
    ];

    /// Conditions, and the features that a rule with this condition speaks of.
    #[test]
    fn all_that_is_looked_at_is_named() {
        for (when, reason, enabled, names) in [
            ("amount > 5", "r", true, &["amount"][..]),
            ("a > 5 and b < 2 * abs(c)", "r", true, &["a", "b", "c"]),
            ("not (e or d < 5min)", "{f} and {payer}", true, &["d", "e", "f"]),
            ("g in [1, 2] or is_missing(h)", "r", true, &["g", "h"]),
            ("coalesce(a, max(b, 5)) > 1 and payer == 'x'", "r", true, &["a", "b"]),
            ("a > 5", "{b}", false, &[]),
        ] {
            let file = format!(
                "[[rule]]\nname = \"n\"\nsegment = \"amount > 0\"\nwhen = \"{when}\"\n\
                 action = \"block\"\nreason = \"{reason}\"\nenabled = {enabled}\n"
            );
            let vocabulary = Vocabulary::new(FEATURES, ["payer"]);
            let rules = RuleSet::compile(&file, &vocabulary, &Lists::new()).expect("it is right");
            let of_segment = enabled.then_some("amount");
            let expected: BTreeSet<_> = names.iter().copied().chain(of_segment).collect();
            assert_eq!(rules.features(), expected, "{when}");
        }
    }
}
