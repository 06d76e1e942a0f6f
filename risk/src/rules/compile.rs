//! Compiling: consumes a rule file, produces rules with their conditions.
//!
//! Guarantees that all mistakes of a file are told, in the order in which they stand in it, and
//! that no rule and no set costs more than its budget.

use std::sync::Arc;

use super::{
    check::Scope,
    doubts::always,
    error::RuleError,
    file::{Written, read},
    list::{List, Lists},
    parse::parse,
    reason::Reason,
    set::{Rule, RuleLimits},
    source::{Fault, Located, Span},
    typed::Condition,
    vocabulary::Vocabulary,
};

/// Bytes of a `when` or a `segment`.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 4_096;
/// Tables of a program are numbered in 16 bits, and each entry costs something.
const COST_PER_SET_CEILING: u32 = 60_000;

/// What a file comes to.
pub(crate) struct Compiled {
    pub(crate) rules: Vec<Rule>,
    /// The lists that they use, by number.
    pub(crate) lists: Vec<Arc<List>>,
    /// What the enabled ones cost together.
    pub(crate) cost: u32,
    /// What is right and says nothing.
    pub(crate) warnings: Vec<RuleError>,
}

pub(crate) fn compile(
    file: &str,
    vocabulary: &Vocabulary,
    lists: &Lists,
    limits: &RuleLimits,
) -> Result<Compiled, Vec<RuleError>> {
    let mut errors = Vec::new();
    let written = read(file, &mut errors);
    let scope = Scope { vocabulary, lists, used: Vec::new(), doubts: Vec::new() };
    let mut compiler = Compiler { file, scope, limits, errors, warnings: Vec::new() };
    compiler.count(&written);
    let rules: Vec<Rule> = written.into_iter().filter_map(|rule| compiler.rule(rule)).collect();
    let cost = rules.iter().filter(|rule| rule.enabled).map(|rule| rule.cost).sum();
    compiler.budget(cost);
    let Compiler { scope, mut errors, warnings, .. } = compiler;
    if errors.is_empty() {
        return Ok(Compiled { rules, lists: scope.used, cost, warnings });
    }
    errors.sort_by_key(|error| (error.line, error.column));
    errors.dedup();
    Err(errors)
}

/// Makes rules of what is written, and collects what is wrong.
struct Compiler<'a> {
    file: &'a str,
    scope: Scope<'a>,
    limits: &'a RuleLimits,
    errors: Vec<RuleError>,
    warnings: Vec<RuleError>,
}

impl Compiler<'_> {
    fn count(&mut self, written: &[Written]) {
        let most = usize::from(self.limits.rules_max);
        if let Some(rule) = written.get(most) {
            let problem = format!("there are {} rules, and {most} are the most", written.len());
            let fault = Fault::new(Span::default(), problem, "leave out rules that never hit");
            self.errors.push(RuleError::within(self.file, Some(&rule.name), &rule.when, fault));
        }
    }

    fn rule(&mut self, written: Written) -> Option<Rule> {
        let name = (!written.name.is_empty()).then_some(written.name.as_str());
        let segment = written.segment.as_ref().map(|segment| self.condition(name, segment));
        let when = self.condition(name, &written.when);
        let mut faults = Vec::new();
        let filled_in = Reason::read(&written.reason.text, self.scope.vocabulary, &mut faults);
        self.tell(name, &written.reason, faults);
        let (when, when_spelled) = when?;
        let (condition, spelled) = match segment {
            Some(segment) => {
                let (segment, segment_spelled) = segment?;
                let spelled = format!("{segment_spelled}: {when_spelled}");
                (Condition::and([segment, when]), spelled)
            }
            None => (when, when_spelled),
        };
        let cost = condition.cost();
        let most = self.limits.cost_per_rule_max;
        if cost > most {
            let problem = format!("this rule costs {cost}, and the budget of a rule is {most}");
            let help = "split it, compute what it computes as a feature, or use a list for long \
                        alternatives";
            let whole = Span::new(0, written.when.text.len());
            self.tell(name, &written.when, vec![Fault::new(whole, problem, help)]);
        }
        Some(Rule {
            action: written.action,
            when: written.when.text,
            segment: written.segment.map(|segment| segment.text),
            reason: written.reason.text,
            enabled: written.enabled,
            shadow: written.shadow,
            comment: written.comment,
            name: written.name,
            cost,
            spelled,
            condition,
            filled_in,
        })
    }

    /// A condition and its spelling.
    fn condition(&mut self, rule: Option<&str>, text: &Located) -> Option<(Condition, String)> {
        let mut faults = Vec::new();
        let compiled = compile_expression(&text.text, &mut self.scope, &mut faults);
        self.tell(rule, text, faults);
        let mut doubts = std::mem::take(&mut self.scope.doubts);
        if let Some((Condition::Constant(holds), _)) = &compiled
            && doubts.is_empty()
        {
            let whole = Span::new(0, text.text.len());
            let help = "say which payments are meant";
            doubts.push(Fault::new(whole, format!("this {}", always(*holds)), help));
        }
        let told = doubts.into_iter().map(|it| RuleError::within(self.file, rule, text, it));
        self.warnings.extend(told);
        compiled
    }

    fn tell(&mut self, rule: Option<&str>, text: &Located, faults: Vec<Fault>) {
        let told = faults.into_iter().map(|f| RuleError::within(self.file, rule, text, f));
        self.errors.extend(told);
    }

    fn budget(&mut self, cost: u32) {
        let most = self.limits.cost_per_set_max.min(COST_PER_SET_CEILING);
        if cost > most {
            let problem = format!(
                "the enabled rules cost {cost} together, and the budget of a set is {most}"
            );
            let help = "disable the rules that a dry run shows to add nothing";
            let error = RuleError::new(self.file, None, Span::default(), problem, help);
            self.errors.push(error);
        }
    }
}

/// The condition that a text means, and its spelling. None if it has faults.
pub(crate) fn compile_expression(
    text: &str,
    scope: &mut Scope<'_>,
    faults: &mut Vec<Fault>,
) -> Option<(Condition, String)> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let problem = format!(
            "this expression has {} bytes, and {EXPRESSION_BYTES_MAX} are the most",
            text.len()
        );
        let span = Span::new(0, text.len());
        faults.push(Fault::new(span, problem, "split the rule, or use a list"));
        return None;
    }
    let tree = parse(text, faults);
    let condition = scope.condition(&tree, text, faults);
    if faults.is_empty() { condition.map(|condition| (condition, tree.to_string())) } else { None }
}

/// What is wrong with a condition that stands alone, not in a rule file.
pub(crate) fn expression_errors(
    text: &str,
    vocabulary: &Vocabulary,
    lists: &Lists,
) -> Vec<RuleError> {
    let mut scope = Scope { vocabulary, lists, used: Vec::new(), doubts: Vec::new() };
    let mut faults = Vec::new();
    compile_expression(text, &mut scope, &mut faults);
    let located = Located::alone(text);
    faults.into_iter().map(|fault| RuleError::within(text, None, &located, fault)).collect()
}
