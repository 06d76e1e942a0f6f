//! Templates: consumes template text, once, and facts, per message; produces subject and body.
//! Guarantees that a template which names an unknown variable, or has bad syntax, is found at
//! start, with its line.

use millrace_ledger::AccountId;
use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig, value::Serde,
};
use serde::Serialize;

use super::{EventKind, RuleConfig};
use crate::SinkError;

/// What a template may use. Everything is text and is always there; what does not apply is empty.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Facts<'a> {
    /// `settled`, `held`, `voided`, `rejected`, `refunded`, `expired`, `review`, `hold_expiring`,
    /// `low_balance`, `security`.
    pub(super) kind: &'a str,
    /// `payer`, `payee` or `holder`: which of them the message is for.
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
    /// When it happened: in the words of the owner's language and time zone; in lines of a file,
    /// RFC 3339 and UTC.
    pub(super) time: &'a str,
    /// How the owner is addressed. Empty in lines of a file, as all that follow.
    pub(super) name: &'a str,
    /// The owner's language.
    pub(super) locale: &'a str,
    /// What is available on the account, for `low_balance`.
    pub(super) balance: &'a str,
    /// Below which amount that is low.
    pub(super) threshold: &'a str,
    /// When a hold ends.
    pub(super) expires: &'a str,
}

impl<'a> Facts<'a> {
    /// What templates are tried with.
    pub(super) fn sample(kind: EventKind, role: &'a str, account: &'a str) -> Self {
        Self {
            kind: kind.name(),
            role,
            account,
            amount: "1.00",
            currency: "CZK",
            ..Self::default()
        }
    }
}

pub(super) const VARIABLES: [&str; 19] = [
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
    "name",
    "locale",
    "balance",
    "threshold",
    "expires",
];

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) body: String,
}

/// Compiled templates by name.
#[derive(Debug)]
pub(super) struct TemplateSet {
    environment: Environment<'static>,
}

impl TemplateSet {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).build();
        environment.set_syntax(syntax.expect("the usual delimiters"));
        Self { environment }
    }

    /// Adds filters that quote: `json` and `urlencode`.
    pub(super) fn add_quoting(&mut self) {
        self.environment.add_filter("json", |value: Value| {
            serde_json::to_string(&value)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
        });
        self.environment.add_filter("urlencode", |text: String| {
            let mut encoded = String::with_capacity(text.len());
            for byte in text.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        encoded.push(char::from(byte));
                    }
                    other => encoded.push_str(&format!("%{other:02X}")),
                }
            }
            encoded
        });
    }

    /// Adds a template, in the place of one of that name, which may use the variables that are
    /// `known`. Branches that no sample takes are checked by name.
    pub(super) fn add(
        &mut self,
        name: &str,
        source: &str,
        known: &[&str],
    ) -> Result<(), SinkError> {
        self.environment
            .add_template_owned(name.to_owned(), source.to_owned())
            .map_err(|error| unusable(name, &error))?;
        let template = self.environment.get_template(name).expect("was just added");
        let mut unknown: Vec<_> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|variable| !known.contains(&variable.as_str()))
            .filter(|variable| !self.environment.globals().any(|(global, _)| global == variable))
            .map(|variable| (line_of(source, &variable), variable))
            .collect();
        unknown.sort();
        let Some((line, variable)) = unknown.into_iter().next() else { return Ok(()) };
        Err(SinkError::Template {
            template: name.to_owned(),
            line,
            problem: format!("{variable:?} is unknown; known are {}", known.join(", ")),
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.environment.get_template(name).is_ok()
    }

    pub(super) fn render(&self, name: &str, facts: &impl Serialize) -> Result<String, SinkError> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(Serde(facts)))
            .map_err(|error| unusable(name, &error))
    }

    /// Renders a template whose first line is the subject.
    pub(super) fn render_message(
        &self,
        name: &str,
        facts: &Facts<'_>,
    ) -> Result<Message, SinkError> {
        let text = self.render(name, facts)?;
        let (subject, body) = text.split_once('\n').unwrap_or((&text, ""));
        Ok(Message { subject: subject.trim().to_owned(), body: body.trim().to_owned() })
    }
}

/// The templates of all rules, one each.
#[derive(Debug)]
pub(super) struct Templates {
    set: TemplateSet,
    /// By rule.
    names: Vec<String>,
}

impl Templates {
    pub(super) fn new() -> Self {
        Self { set: TemplateSet::new(), names: Vec::new() }
    }

    /// Compiles the template of rule `index` (from 0) and renders it once on a sample.
    pub(super) fn add(&mut self, index: usize, config: &RuleConfig) -> Result<(), SinkError> {
        let (name, source) = match &config.template {
            Some(text) => (name_of_rule(index, config.on), text.as_str()),
            None => (format!("{}.txt", config.on.name()), built_in(config.on)),
        };
        self.set.add(&name, source, &VARIABLES)?;
        self.names.push(name);
        let account = AccountId(1).to_string();
        for role in ["payer", "payee"] {
            self.render(index, &Facts::sample(config.on, role, &account))?;
        }
        Ok(())
    }

    pub(super) fn render(&self, rule: usize, facts: &Facts<'_>) -> Result<Message, SinkError> {
        self.set.render_message(&self.names[rule], facts)
    }
}

/// What errors call the template of a rule.
pub(super) fn name_of_rule(index: usize, kind: EventKind) -> String {
    format!("of rule {} (on = \"{}\")", index + 1, kind.name())
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

/// The English template, subject first.
fn built_in(kind: EventKind) -> &'static str {
    macro_rules! message {
        ($name:literal) => {
            concat!(
                include_str!(concat!("../../templates/en/", $name, ".subject")),
                "\n",
                include_str!(concat!("../../templates/en/", $name, ".txt")),
            )
        };
    }
    match kind {
        EventKind::Settled => message!("settled"),
        EventKind::Held => message!("held"),
        EventKind::Voided => message!("voided"),
        EventKind::Rejected => message!("rejected"),
        EventKind::Refunded => message!("refunded"),
        EventKind::Expired => message!("expired"),
        EventKind::Review => message!("review"),
        EventKind::HoldExpiring => message!("hold_expiring"),
        EventKind::LowBalance => message!("low_balance"),
        EventKind::Security => message!("security"),
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
        let kinds = EventKind::ALL.into_iter().filter(|kind| kind.is_in_lines());
        for (index, kind) in kinds.enumerate() {
            templates.add(index, &RuleConfig::any(kind)).expect("renders");
            let facts = Facts { amount: "12.30", currency: "EUR", ..Facts::default() };
            let message = templates.render(index, &facts).expect("renders");
            assert!(message.subject.contains("12.30 EUR"), "{kind:?}: {}", message.subject);
            assert!(!message.body.is_empty(), "{kind:?}");
        }
    }
}
