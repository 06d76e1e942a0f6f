//! Rule files: consumes TOML, produces what is written of each rule, with its places.
//!
//! Guarantees that each mistake of form is told: keys that no rule has, values of the wrong kind,
//! names that are missing, too long or given twice.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    error::RuleError,
    set::RuleAction,
    source::{Located, Span},
    suggest::{did_you_mean, nearest},
};

/// Bytes of a file.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a rule's name: what the journal has room for.
const NAME_BYTES_MAX: usize = 31;
const KEYS: [&str; 8] =
    ["name", "when", "action", "reason", "segment", "enabled", "shadow", "comment"];

/// A rule as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) when: Located,
    pub(crate) segment: Option<Located>,
    pub(crate) action: RuleAction,
    pub(crate) reason: Located,
    pub(crate) enabled: bool,
    pub(crate) shadow: bool,
    pub(crate) comment: Option<String>,
}

/// The rules of a file, as far as they have a right form.
pub(crate) fn read(file: &str, errors: &mut Vec<RuleError>) -> Vec<Written> {
    if file.len() > FILE_BYTES_MAX {
        let problem =
            format!("the file has {} bytes, and {FILE_BYTES_MAX} are the most", file.len());
        let help = "put long alternatives into lists";
        errors.push(RuleError::new(file, None, Span::default(), problem, help));
        return Vec::new();
    }
    let (table, syntax) = DeTable::parse_recoverable(file);
    for error in &syntax {
        let span = error.span().map_or(Span::default(), |span| Span::new(span.start, span.end));
        let problem = format!("this is not TOML: {}", error.message());
        let help = "see https://toml.io for how TOML is written";
        errors.push(RuleError::new(file, None, span, problem, help));
    }
    if !syntax.is_empty() {
        return Vec::new();
    }
    let mut reader = Reader { file, rule: None, errors, names: BTreeMap::new() };
    let mut rules = Vec::new();
    for (key, value) in table.get_ref() {
        if key.get_ref() != "rule" {
            let problem = format!("a rule file has no `{}`", key.get_ref());
            reader.error(span(key), problem, "each rule begins with a line `[[rule]]`");
            continue;
        }
        let Some(written) = value.get_ref().as_array() else {
            let help = "write [[rule]] with two brackets, because there may be several";
            reader.error(span(key), "`rule` is not a list of rules".to_owned(), help);
            continue;
        };
        for rule in written {
            match rule.get_ref().as_table() {
                Some(keys) => rules.extend(reader.rule(span(rule), keys)),
                None => {
                    let problem = "this is not a rule".to_owned();
                    reader.error(span(rule), problem, "begin each rule with a line `[[rule]]`");
                }
            }
        }
    }
    rules
}

fn span<T>(of: &Spanned<T>) -> Span {
    Span::new(of.span().start, of.span().end)
}

struct Reader<'a> {
    file: &'a str,
    /// The rule that is read.
    rule: Option<String>,
    errors: &'a mut Vec<RuleError>,
    /// The names so far, and their lines.
    names: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn rule(&mut self, at: Span, keys: &DeTable<'_>) -> Option<Written> {
        let before = self.errors.len();
        self.rule = keys.get("name").and_then(|name| name.get_ref().as_str()).map(str::to_owned);
        for key in keys.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
            let problem = format!("a rule has no `{}`", key.get_ref());
            self.error(span(key), problem, &did_you_mean(key.get_ref(), KEYS));
        }
        let name = self.needed(at, keys, "name", "name = \"velocity\"");
        let name = name.and_then(|name| self.name(name, keys));
        let when = self.needed(at, keys, "when", "when = \"payer.count_1h > 20\"");
        let action = self.needed(at, keys, "action", "action = \"review\"");
        let action = action.and_then(|action| self.action(&action));
        let example = "reason = \"{payer.count_1h} payments in an hour\"";
        let reason = self.needed(at, keys, "reason", example);
        let segment = self.text(keys, "segment");
        let enabled = self.flag(keys, "enabled", true);
        let shadow = self.flag(keys, "shadow", false);
        let comment = self.text(keys, "comment").map(|comment| comment.text);
        self.rule = None;
        if self.errors.len() > before {
            // What can be read of it is checked all the same.
            let unnamed = name.unwrap_or_default();
            let when = when?;
            let action = action.unwrap_or(RuleAction::Review);
            let reason = reason.unwrap_or_else(|| Located::new("", "", Span::default()));
            return Some(Written {
                name: unnamed,
                when,
                segment,
                action,
                reason,
                enabled,
                shadow,
                comment,
            });
        }
        let (name, when, action, reason) = (name?, when?, action?, reason?);
        Some(Written { name, when, segment, action, reason, enabled, shadow, comment })
    }

    fn name(&mut self, name: Located, keys: &DeTable<'_>) -> Option<String> {
        let at = keys.get("name").map_or(Span::default(), span);
        let text = name.text;
        let problem = if text.is_empty() {
            "a name can't be empty".to_owned()
        } else if text.len() > NAME_BYTES_MAX {
            format!("this name has {} bytes, and {NAME_BYTES_MAX} are the most", text.len())
        } else if text.chars().any(char::is_control) {
            "a name has no control characters".to_owned()
        } else {
            let line = super::source::place(self.file, at.start).0;
            match self.names.insert(text.clone(), line) {
                None => return Some(text),
                Some(first) => {
                    self.names.insert(text, first);
                    format!("the rule in line {first} has this name already")
                }
            }
        };
        let help = "verdicts and the journal tell rules apart by their names: choose a short one";
        self.error(at, problem, help);
        None
    }

    fn action(&mut self, action: &Located) -> Option<RuleAction> {
        let found = RuleAction::ALL.iter().find(|known| known.name() == action.text);
        if found.is_none() {
            let known = RuleAction::ALL.map(RuleAction::name);
            let problem = format!("{:?} is not an action", action.text);
            let help = match nearest(&action.text, known) {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!("write one of {}", known.join(", ")),
            };
            let span = action.in_file(Span::new(0, action.text.len()));
            self.error(span, problem, &help);
        }
        found.copied()
    }

    fn needed(
        &mut self,
        at: Span,
        keys: &DeTable<'_>,
        key: &str,
        example: &str,
    ) -> Option<Located> {
        if !keys.contains_key(key) {
            let problem = format!("the rule has no `{key}`");
            self.error(at, problem, &format!("write, for example, {example}"));
        }
        self.text(keys, key)
    }

    fn text(&mut self, keys: &DeTable<'_>, key: &str) -> Option<Located> {
        let value = keys.get(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some(Located::new(self.file, text, span(value)));
        }
        let found = value.get_ref().type_str();
        let problem = format!("`{key}` is of the kind {found} where a text is expected");
        self.error(span(value), problem, "write it in quotes");
        None
    }

    fn flag(&mut self, keys: &DeTable<'_>, key: &str, otherwise: bool) -> bool {
        let Some(value) = keys.get(key) else { return otherwise };
        value.get_ref().as_bool().unwrap_or_else(|| {
            let problem = format!("`{key}` is neither true nor false");
            self.error(span(value), problem, "write true or false, without quotes");
            otherwise
        })
    }

    fn error(&mut self, at: Span, problem: String, help: &str) {
        let rule = self.rule.as_deref();
        let error = RuleError::new(self.file, rule, at, problem, help);
        self.errors.push(error);
    }
}
