//! Sets of rules: consumes a rule file, produces for each payment the rule that decides.
//!
//! Precedence: allow before block before challenge before review; among rules of one action the
//! first in the file. A shadow rule is evaluated and counted, and never decides.

use std::sync::Arc;

use millrace_ledger::Timestamp;
use serde::Serialize;

use super::{
    compile::{Compiled, compile, expression_errors},
    emit::emit,
    error::RuleError,
    list::{List, Lists},
    program::Program,
    reason::Reason,
    typed::Condition,
    vocabulary::Vocabulary,
};

/// What a rule does, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleAction {
    /// Approve, whatever the other rules say.
    Allow,
    /// Refuse.
    Block,
    /// Hold the money until the payer has confirmed.
    Challenge,
    /// Hold the money until an analyst has looked.
    Review,
}

impl RuleAction {
    /// All of them, in order of precedence.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Block, Self::Challenge, Self::Review];

    /// As it is written in a rule file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Challenge => "challenge",
            Self::Review => "review",
        }
    }
}

/// One payment, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct RuleInput<'a> {
    /// In the order of the vocabulary's features. NaN is missing.
    pub row: &'a [f32],
    /// In the order of the vocabulary's texts. None is missing.
    pub texts: &'a [Option<&'a str>],
    /// The payment's time, by which entries of lists expire.
    pub at: Timestamp,
}

/// The rule that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleHit {
    /// Its number in [`RuleSet::rules`].
    pub rule: u16,
    /// What it does.
    pub action: RuleAction,
}

/// Bounds of a set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleLimits {
    /// Rules in a file.
    pub rules_max: u16,
    /// Cost of one rule. A unit is about a nanosecond.
    pub cost_per_rule_max: u32,
    /// Cost of all enabled rules together; 60,000 at most.
    pub cost_per_set_max: u32,
}

impl Default for RuleLimits {
    /// Two microseconds at the very most.
    fn default() -> Self {
        Self { rules_max: 1_000, cost_per_rule_max: 100, cost_per_set_max: 2_000 }
    }
}

/// One rule of a set.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name: at most 31 bytes.
    pub name: String,
    /// What it does.
    pub action: RuleAction,
    /// Its condition, as written.
    pub when: String,
    /// To which payments it is limited, as written.
    pub segment: Option<String>,
    /// Its reason, as written.
    pub reason: String,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Whether it is only counted.
    pub shadow: bool,
    /// What its author says of it.
    pub comment: Option<String>,
    /// Operations at most, weighted; about nanoseconds.
    pub cost: u32,
    /// Its condition in one spelling.
    pub(crate) spelled: String,
    pub(crate) condition: Condition,
    pub(crate) filled_in: Reason,
}

/// How often each rule was the one that decided or, in shadow, held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts(pub Vec<u64>);

/// Rules that are right, ready to run.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    vocabulary: Vocabulary,
    lists: Vec<Arc<List>>,
    acting: Program,
    shadow: Program,
    has_shadow: bool,
    cost: u32,
    warnings: Vec<RuleError>,
}

impl RuleSet {
    /// Compiles a rule file within the default limits.
    ///
    /// # Errors
    ///
    /// All mistakes of the file, in the order in which they stand in it.
    pub fn compile(
        file: &str,
        vocabulary: &Vocabulary,
        lists: &Lists,
    ) -> Result<Self, Vec<RuleError>> {
        Self::compile_within(file, vocabulary, lists, &RuleLimits::default())
    }

    /// Compiles a rule file within limits of one's own.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::compile`].
    pub fn compile_within(
        file: &str,
        vocabulary: &Vocabulary,
        lists: &Lists,
        limits: &RuleLimits,
    ) -> Result<Self, Vec<RuleError>> {
        Ok(Self::new(compile(file, vocabulary, lists, limits)?, vocabulary.clone()))
    }

    /// What is wrong with a condition that stands alone, with its places there.
    #[must_use]
    pub fn condition_errors(
        condition: &str,
        vocabulary: &Vocabulary,
        lists: &Lists,
    ) -> Vec<RuleError> {
        expression_errors(condition, vocabulary, lists)
    }

    fn new(compiled: Compiled, vocabulary: Vocabulary) -> Self {
        let Compiled { rules, lists, cost, warnings } = compiled;
        let numbered = || (0..).zip(&rules).filter(|(_, rule)| rule.enabled);
        let mut acting: Vec<(u16, &Rule)> = numbered().filter(|(_, rule)| !rule.shadow).collect();
        // Stable: rules of one action stay in the order of the file.
        acting.sort_by_key(|(_, rule)| rule.action);
        let acting = emit(acting.iter().map(|(index, rule)| (*index, &rule.condition)), &lists);
        let shadow: Vec<(u16, &Rule)> = numbered().filter(|(_, rule)| rule.shadow).collect();
        let has_shadow = !shadow.is_empty();
        let shadow = emit(shadow.iter().map(|(index, rule)| (*index, &rule.condition)), &lists);
        Self { rules, vocabulary, lists, acting, shadow, has_shadow, cost, warnings }
    }

    /// The rule that decides about a payment. Shadow rules are left out.
    ///
    /// # Panics
    ///
    /// If the row or the texts are not those of the vocabulary.
    #[inline]
    #[must_use]
    pub fn evaluate(&self, input: &RuleInput<'_>) -> Option<RuleHit> {
        self.assert_fits(input);
        let mut first = None;
        self.acting.run(input, |rule| {
            first = Some(rule);
            true
        });
        first.map(|rule| RuleHit { rule, action: self.rules[usize::from(rule)].action })
    }

    /// The rule that decides about a payment; it and each shadow rule that holds are counted.
    ///
    /// # Panics
    ///
    /// As [`RuleSet::evaluate`], and if the counts are another set's.
    #[inline]
    pub fn evaluate_counted(
        &self,
        input: &RuleInput<'_>,
        counts: &mut RuleCounts,
    ) -> Option<RuleHit> {
        let hit = self.evaluate(input);
        if let Some(hit) = hit {
            counts.0[usize::from(hit.rule)] += 1;
        }
        // Most sets have none, and shall not pay for them.
        if self.has_shadow {
            self.shadow.run(input, |rule| {
                counts.0[usize::from(rule)] += 1;
                false
            });
        }
        hit
    }

    /// Calls `hit` with each enabled rule that holds: those that act, in order of precedence, then
    /// those in shadow.
    ///
    /// # Panics
    ///
    /// As [`RuleSet::evaluate`].
    pub fn evaluate_all(&self, input: &RuleInput<'_>, mut hit: impl FnMut(u16)) {
        self.assert_fits(input);
        for program in [&self.acting, &self.shadow] {
            program.run(input, |rule| {
                hit(rule);
                false
            });
        }
    }

    /// Whether [`RuleSet::evaluate_counted`] looks at texts at all.
    pub(crate) fn looks_at_texts(&self) -> bool {
        self.acting.looks_at_texts() || self.shadow.looks_at_texts()
    }

    fn assert_fits(&self, input: &RuleInput<'_>) {
        assert_eq!(input.row.len(), self.vocabulary.feature_count(), "a row of the vocabulary");
        assert_eq!(input.texts.len(), self.vocabulary.text_count(), "texts of the vocabulary");
    }

    /// Why a rule holds, in words, with the payment's values.
    ///
    /// # Panics
    ///
    /// If there is no such rule.
    #[must_use]
    pub fn reason(&self, rule: u16, input: &RuleInput<'_>) -> String {
        self.rules[usize::from(rule)].filled_in.show(&self.vocabulary, input)
    }

    /// All rules, in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The lists that rules look values up in.
    #[must_use]
    pub fn lists(&self) -> &[Arc<List>] {
        &self.lists
    }

    /// What is right in the file and says nothing: conditions that hold for every payment, or for none.
    #[must_use]
    pub fn warnings(&self) -> &[RuleError] {
        &self.warnings
    }

    /// Counts that are all 0.
    #[must_use]
    pub fn counts(&self) -> RuleCounts {
        RuleCounts(vec![0; self.rules.len()])
    }

    /// Operations at most for one payment, weighted; about nanoseconds.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// BLAKE3 of what the rules say and of the lists that they use. Comments and spelling don't
    /// count, names, reasons and the order do.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        add("millrace rules 1");
        for rule in &self.rules {
            for text in [&*rule.name, rule.action.name(), &rule.spelled, &rule.reason] {
                add(text);
            }
            add(&format!("{} {}", rule.enabled, rule.shadow));
        }
        for list in &self.lists {
            hasher.update(&list.digest());
        }
        *hasher.finalize().as_bytes()
    }
}
