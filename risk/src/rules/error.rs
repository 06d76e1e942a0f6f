//! What is wrong with a rule file: consumes places and words, produces text for the analyst who
//! wrote the file: where, what, and what to do.

use std::fmt;

use super::source::{Located, Span, place};

/// How much of a long line is shown.
const EXCERPT_CHARS: usize = 100;

/// One mistake in a rule file. Displayed with the line it stands in and a mark below the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The rule it is in. None where it is in none, or in one without a name.
    pub rule: Option<String>,
    /// In the file, from 1 on.
    pub line: usize,
    /// In characters, from 1 on.
    pub column: usize,
    /// What is wrong: one sentence.
    pub problem: String,
    /// What to do, or what was probably meant.
    pub help: String,
    excerpt: String,
    /// Where in the excerpt the mark begins, and how long it is, in characters.
    mark: (usize, usize),
}

impl std::error::Error for RuleError {}

impl RuleError {
    pub(crate) fn new(
        file: &str,
        rule: Option<&str>,
        span: Span,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (line, column, text) = place(file, span.start);
        let marked = span.of(file);
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        let skipped =
            if column + marked.min(40) > EXCERPT_CHARS { column.min(column - 20) } else { 0 };
        let clean = |character: char| if character.is_control() { ' ' } else { character };
        let excerpt: String = text.chars().skip(skipped).take(EXCERPT_CHARS).map(clean).collect();
        let begin = column - 1 - skipped.min(column - 1);
        let width = marked.clamp(1, EXCERPT_CHARS.saturating_sub(begin).max(1));
        Self {
            rule: rule.map(str::to_owned),
            line,
            column,
            problem: problem.into(),
            help: help.into(),
            excerpt: excerpt.trim_end().to_owned(),
            mark: (begin, width),
        }
    }

    /// A mistake in a string of the file.
    pub(crate) fn within(
        file: &str,
        rule: Option<&str>,
        text: &Located,
        fault: super::source::Fault,
    ) -> Self {
        Self::new(file, rule, text.in_file(fault.span), fault.problem, fault.help)
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, problem, excerpt, mark: (begin, width), .. } = self;
        write!(out, "line {line}, column {column}: ")?;
        if let Some(rule) = &self.rule {
            write!(out, "rule {rule:?}: ")?;
        }
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(out, "{problem}")?;
        writeln!(out, "{margin} |")?;
        writeln!(out, "{number} | {excerpt}")?;
        write!(out, "{margin} | {}{}", " ".repeat(*begin), "^".repeat(*width))?;
        write!(out, "\n{margin} = {}", self.help)
    }
}
