//! Templates: consumes template text, once, and facts, per message; produces subject and body.
//! Guarantees that a template which names an unknown variable, or has bad syntax, is found at
//! start, with its line.

use millrace_ledger::AccountId;
use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;

use super::{EventKind, RuleConfig};
use crate::SinkError;

/// What a template may use. Everything is text and is always there; what does not apply is empty.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Facts<'a> {
    /// `settled`, `held`, `voided`, `rejected`, `refunded`, `expired`.
    pub(super) kind: &'a str,
    /// `payer` or `payee`: which of the two the message is for.
    pub(super) role: &'a str,
    /// The account of whom the message is for.
    pub(super) account: &'a str,
    /// Who owns that account; empty when nobody is named.
    pub(super) owner: &'a str,
    /// The account of the other party; empty where a refused payment does not name it.
    pub(super) counterparty: &'a str,
    /// The payment's id.
    pub(super) payment: &'a str,
    /// The hold or payment that it refers to, or empty.
    pub(super) original: &'a str,
    /// `pay`, `authorize`, `capture`, `void`, `refund`, `expire`.
    pub(super) operation: &'a str,
    /// Decimal text; `all` where a refused payment asked for all that is left.
    pub(super) amount: &'a str,
    /// Three letters, or the ledger's number where ISO 4217 does not know it.
    pub(super) currency: &'a str,
    /// Why it was refused, in words; else empty.
    pub(super) reason: &'a str,
    /// Why it was refused, as in the API; else empty.
    pub(super) reason_code: &'a str,
    /// Position in the journal.
    pub(super) seq: u64,
    /// RFC 3339, UTC.
    pub(super) time: &'a str,
}

const VARIABLES: [&str; 14] = [
    "kind",
    "role",
    "account",
    "owner",
    "counterparty",
    "payment",
    "original",
    "operation",
    "amount",
    "currency",
    "reason",
    "reason_code",
    "seq",
    "time",
];

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) body: String,
}

/// The templates of all rules, compiled.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
    /// By rule.
    names: Vec<String>,
}

impl Templates {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).build();
        environment.set_syntax(syntax.expect("the usual delimiters"));
        Self { environment, names: Vec::new() }
    }

    /// Compiles the template of rule `index` (from 0) and renders it once on a sample.
    pub(super) fn add(&mut self, index: usize, config: &RuleConfig) -> Result<(), SinkError> {
        let (name, source) = match &config.template {
            Some(text) => {
                (format!("of rule {} (on = \"{}\")", index + 1, config.on.name()), text.clone())
            }
            None => (format!("{}.txt", config.on.name()), built_in(config.on).to_owned()),
        };
        self.environment
            .add_template_owned(name.clone(), source.clone())
            .map_err(|error| unusable(&name, &error))?;
        self.check_variables(&name, &source)?;
        self.names.push(name);
        for role in ["payer", "payee"] {
            let account = AccountId(1).to_string();
            let sample = Facts {
                kind: config.on.name(),
                role,
                account: &account,
                amount: "1.00",
                currency: "CZK",
                ..Facts::default()
            };
            self.render(index, &sample)?;
        }
        Ok(())
    }

    /// Branches that the sample does not take are checked by name.
    fn check_variables(&self, name: &str, source: &str) -> Result<(), SinkError> {
        let template = self.environment.get_template(name).expect("was just added");
        let mut unknown: Vec<_> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|variable| !VARIABLES.contains(&variable.as_str()))
            .filter(|variable| !self.environment.globals().any(|(global, _)| global == variable))
            .map(|variable| (line_of(source, &variable), variable))
            .collect();
        unknown.sort();
        let Some((line, variable)) = unknown.into_iter().next() else { return Ok(()) };
        Err(SinkError::Template {
            template: name.to_owned(),
            line,
            problem: format!("{variable:?} is unknown; known are {}", VARIABLES.join(", ")),
        })
    }

    pub(super) fn render(&self, rule: usize, facts: &Facts<'_>) -> Result<Message, SinkError> {
        let name = &self.names[rule];
        let text = self
            .environment
            .get_template(name)
            .and_then(|template| template.render(Serde(facts)))
            .map_err(|error| unusable(name, &error))?;
        let (subject, body) = text.split_once('\n').unwrap_or((&text, ""));
        Ok(Message { subject: subject.trim().to_owned(), body: body.trim().to_owned() })
    }
}

fn unusable(template: &str, error: &minijinja::Error) -> SinkError {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    SinkError::Template {
        template: template.to_owned(),
        line: error.line().unwrap_or(1),
        problem: format!("{}{detail}", error.kind()),
    }
}

/// The first line that has the word.
fn line_of(source: &str, word: &str) -> usize {
    let has_word = |line: &str| {
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .any(|part| part == word)
    };
    source.lines().position(has_word).map_or(1, |index| index + 1)
}

fn built_in(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Settled => include_str!("../../templates/settled.txt"),
        EventKind::Held => include_str!("../../templates/held.txt"),
        EventKind::Voided => include_str!("../../templates/voided.txt"),
        EventKind::Rejected => include_str!("../../templates/rejected.txt"),
        EventKind::Refunded => include_str!("../../templates/refunded.txt"),
        EventKind::Expired => include_str!("../../templates/expired.txt"),
        _ => "{{ amount }} {{ currency }}\n\nx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_template(text: &str) -> RuleConfig {
        RuleConfig { template: Some(text.into()), ..RuleConfig::any(EventKind::Settled) }
    }

    #[test]
    fn the_variables_are_the_facts() {
        let facts = serde_json::to_value(Facts::default()).expect("plain text");
        let facts: Vec<_> = facts.as_object().expect("an object").keys().cloned().collect();
        let mut known = VARIABLES.map(String::from);
        known.sort();
        assert_eq!(facts, known);
    }

    #[test]
    fn the_first_line_is_the_subject() {
        let mut templates = Templates::new();
        templates
            .add(0, &with_template("{{ amount }} {{ currency }}\n\nfor {{ role }}\nbye\n"))
            .expect("a valid template");
        let facts = Facts { amount: "1.50", currency: "EUR", role: "payee", ..Facts::default() };
        let message = templates.render(0, &facts).expect("renders");
        assert_eq!(message.subject, "1.50 EUR");
        assert_eq!(message.body, "for payee\nbye");
    }

    #[test]
    fn a_bad_template_is_named_with_its_line() {
        for (text, line, said) in [
            ("ok\n{{ amont }}", 2, "\"amont\" is unknown; known are kind, role"),
            ("{% if false %}\n\n{{ nested }}{% endif %}", 3, "\"nested\" is unknown"),
            ("ok\nok\n{{ amount", 3, "syntax error"),
            ("{% if role %}\nnever closed", 2, "syntax error"),
            ("ok\n{{ amount|no_such_filter }}", 2, "unknown filter"),
            ("{{ amount.cents }}", 1, "undefined value"),
        ] {
            let error = Templates::new().add(0, &with_template(text)).expect_err(text);
            let SinkError::Template { template, line: found, problem } = error else {
                panic!("{error}")
            };
            assert_eq!(template, "of rule 1 (on = \"settled\")");
            assert_eq!(found, line, "{text}");
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn every_built_in_template_has_subject_and_body() {
        let mut templates = Templates::new();
        for (index, kind) in EventKind::ALL.into_iter().enumerate() {
            templates.add(index, &RuleConfig::any(kind)).expect("renders");
            let facts = Facts { amount: "12.30", currency: "EUR", ..Facts::default() };
            let message = templates.render(index, &facts).expect("renders");
            assert!(message.subject.contains("12.30 EUR"), "{kind:?}: {}", message.subject);
            assert!(!message.body.is_empty(), "{kind:?}");
        }
    }
}
