//! Templates by language: consumes the built-in ones and a directory of an operator's own, once, and
//! facts per message. Guarantees that each can be rendered, and that a message is of one language.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use millrace_ledger::AccountId;
use serde::Serialize;

use super::super::{
    EventKind, RuleConfig,
    preferences::is_locale,
    template::{Facts, Message, TemplateSet, VARIABLES, name_of_rule},
};
use crate::SinkError;

/// The language that has every template.
const ENGLISH: &str = "en";
const DIGEST: &str = "digest";
const MESSAGE: &str = "message.html";
const MESSAGE_SOURCE: &str = include_str!("../../../templates/message.html");
const DIGEST_VARIABLES: [&str; 4] = ["count", "items", "name", "locale"];
const MESSAGE_VARIABLES: [&str; 3] = ["locale", "subject", "paragraphs"];

macro_rules! built_in {
    ($($locale:literal: $($kind:literal)*;)*) => {
        /// Locale, kind, subject, text.
        const BUILT_IN: &[(&str, &str, &str, &str)] = &[$($((
            $locale,
            $kind,
            include_str!(concat!("../../../templates/", $locale, "/", $kind, ".subject")),
            include_str!(concat!("../../../templates/", $locale, "/", $kind, ".txt")),
        ),)*)*];
    };
}

built_in! {
    "en": "settled" "held" "voided" "rejected" "refunded" "expired" "review" "hold_expiring"
        "low_balance" "security" "digest";
    "cs": "settled" "held" "voided" "rejected" "refunded" "expired" "review" "hold_expiring"
        "low_balance" "security" "digest";
}

/// All templates, compiled.
#[derive(Debug)]
pub(in super::super) struct Locales {
    set: TemplateSet,
    default_locale: String,
    /// Rules that have a template of their own.
    of_rules: BTreeMap<usize, String>,
}

/// A message of a digest.
#[derive(Clone, Debug, Serialize)]
pub(in super::super) struct DigestItem {
    pub(in super::super) subject: String,
    pub(in super::super) text: String,
}

#[derive(Serialize)]
struct DigestFacts<'a> {
    count: usize,
    items: &'a [DigestItem],
    name: &'a str,
    locale: &'a str,
}

#[derive(Serialize)]
struct Page<'a> {
    locale: &'a str,
    subject: &'a str,
    paragraphs: Vec<Vec<&'a str>>,
}

impl Locales {
    /// Compiles the built-in templates, those of the directory, and those of rules.
    pub(in super::super) fn open(
        dir: Option<&Path>,
        default_locale: &str,
        rules: &[RuleConfig],
    ) -> Result<Self, SinkError> {
        let default_locale = default_locale.to_owned();
        let mut locales =
            Self { set: TemplateSet::new(), default_locale, of_rules: BTreeMap::new() };
        locales.set.add(MESSAGE, MESSAGE_SOURCE, &MESSAGE_VARIABLES)?;
        for (locale, kind, subject, text) in BUILT_IN {
            locales.add(locale, kind, "subject", subject)?;
            locales.add(locale, kind, "txt", text)?;
        }
        if let Some(dir) = dir {
            locales.add_directory(dir)?;
        }
        for (index, rule) in rules.iter().enumerate() {
            let Some(text) = &rule.template else { continue };
            let name = name_of_rule(index, rule.on);
            locales.set.add(&name, text, &VARIABLES)?;
            locales
                .try_samples(rule.on, |facts| locales.set.render_message(&name, facts).map(drop))?;
            locales.of_rules.insert(index, name);
        }
        Ok(locales)
    }

    fn add(&mut self, locale: &str, kind: &str, part: &str, source: &str) -> Result<(), SinkError> {
        let known: &[&str] = if kind == DIGEST { &DIGEST_VARIABLES } else { &VARIABLES };
        self.set.add(&format!("{locale}/{kind}.{part}"), source, known)
    }

    fn add_directory(&mut self, dir: &Path) -> Result<(), SinkError> {
        let mut added = BTreeSet::new();
        for (locale, path) in entries(dir)? {
            if !is_locale(&locale) {
                return Err(misplaced(&path, "its name is no locale, such as \"en\" or \"cs-CZ\""));
            }
            for (name, path) in entries(&path)? {
                let source = fs::read_to_string(&path).map_err(SinkError::io("read", &path))?;
                let added_one = self.add_file(&locale, &name, &source);
                added.extend(added_one.map_err(|error| at_path(error, &path))?);
            }
        }
        for (locale, kind) in added {
            for part in ["subject", "txt"] {
                if !self.set.has(&format!("{locale}/{kind}.{part}")) {
                    let path = dir.join(&locale).join(format!("{kind}.{part}"));
                    return Err(misplaced(&path, "it is missing beside the kind's other parts"));
                }
            }
            if let Some(kind) = EventKind::ALL.into_iter().find(|known| known.name() == kind) {
                let written = |facts: &Facts<'_>| self.written(&locale, kind, facts, true);
                self.try_samples(kind, |facts| written(facts).map(drop))
                    .map_err(|error| at_path(error, &dir.join(&locale).join(kind.name())))?;
            } else {
                let item = DigestItem { subject: "a".into(), text: "b".into() };
                self.digest(&locale, "", &[item])?;
            }
        }
        Ok(())
    }

    /// Adds a file of a locale; the kind that it is of.
    fn add_file(
        &mut self,
        locale: &str,
        name: &str,
        source: &str,
    ) -> Result<Option<(String, String)>, SinkError> {
        if name == MESSAGE {
            self.set.add(&format!("{locale}/{MESSAGE}"), source, &MESSAGE_VARIABLES)?;
            return Ok(None);
        }
        let known =
            |kind: &str| kind == DIGEST || EventKind::ALL.iter().any(|known| known.name() == kind);
        match name.rsplit_once('.') {
            Some((kind, part @ ("subject" | "txt" | "html"))) if known(kind) => {
                self.add(locale, kind, part, source)?;
                Ok(Some((locale.to_owned(), kind.to_owned())))
            }
            _ => Err(misplaced(
                Path::new(name),
                "a template is called <kind>.subject, <kind>.txt or <kind>.html, such as \
                 settled.txt",
            )),
        }
    }

    /// Renders for each party, as of payments that were taken, refused and challenged.
    fn try_samples(
        &self,
        kind: EventKind,
        render: impl Fn(&Facts<'_>) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let account = AccountId(1).to_string();
        for role in ["payer", "payee", "holder"] {
            for reason_code in ["", "RISK_DECLINED"] {
                render(&Facts { reason_code, ..Facts::sample(kind, role, &account) })?;
            }
        }
        Ok(())
    }

    /// Renders a message in the language that comes nearest to the locale.
    pub(in super::super) fn message(
        &self,
        rule: usize,
        locale: &str,
        kind: EventKind,
        facts: &Facts<'_>,
        wants_html: bool,
    ) -> Result<(Message, Option<String>), SinkError> {
        match self.of_rules.get(&rule) {
            Some(name) => {
                let message = self.set.render_message(name, facts)?;
                let html = wants_html.then(|| self.page(locale, &message)).transpose()?;
                Ok((message, html))
            }
            None => self.written(self.nearest(locale, kind.name()), kind, facts, wants_html),
        }
    }

    fn written(
        &self,
        locale: &str,
        kind: EventKind,
        facts: &Facts<'_>,
        wants_html: bool,
    ) -> Result<(Message, Option<String>), SinkError> {
        let name = |part: &str| format!("{locale}/{}.{part}", kind.name());
        let message = Message {
            subject: one_line(&self.set.render(&name("subject"), facts)?),
            body: self.set.render(&name("txt"), facts)?.trim().to_owned(),
        };
        let html = match wants_html {
            false => None,
            true if self.set.has(&name("html")) => Some(self.set.render(&name("html"), facts)?),
            true => Some(self.page(locale, &message)?),
        };
        Ok((message, html))
    }

    /// Several messages as one.
    pub(in super::super) fn digest(
        &self,
        locale: &str,
        name: &str,
        items: &[DigestItem],
    ) -> Result<(Message, String), SinkError> {
        let locale = self.nearest(locale, DIGEST);
        let facts = DigestFacts { count: items.len(), items, name, locale };
        let text = |part: &str| self.set.render(&format!("{locale}/{DIGEST}.{part}"), &facts);
        let message =
            Message { subject: one_line(&text("subject")?), body: text("txt")?.trim().to_owned() };
        let html = self.page(locale, &message)?;
        Ok((message, html))
    }

    /// Plain text as a page.
    fn page(&self, locale: &str, message: &Message) -> Result<String, SinkError> {
        let own = format!("{locale}/{MESSAGE}");
        let name = if self.set.has(&own) { own.as_str() } else { MESSAGE };
        let paragraphs = message.body.split("\n\n").map(|text| text.lines().collect()).collect();
        self.set.render(name, &Page { locale, subject: &message.subject, paragraphs })
    }

    /// The locale itself, its language, the default one, or English: the first that has the kind.
    fn nearest<'a>(&'a self, locale: &'a str, kind: &str) -> &'a str {
        let language = locale.split('-').next().unwrap_or(locale);
        [locale, language, &self.default_locale]
            .into_iter()
            .find(|locale| self.set.has(&format!("{locale}/{kind}.txt")))
            .unwrap_or(ENGLISH)
    }
}

/// A subject is one line, whatever its template looks like. Spaces at which no line breaks stay.
fn one_line(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Names and paths in a directory, sorted; hidden ones left out.
fn entries(dir: &Path) -> Result<Vec<(String, std::path::PathBuf)>, SinkError> {
    let read = || -> std::io::Result<Vec<_>> {
        fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
            })
            .collect()
    };
    let mut entries = read().map_err(SinkError::io("read", dir))?;
    entries.retain(|(name, _)| !name.starts_with('.'));
    entries.sort();
    Ok(entries)
}

fn misplaced(path: &Path, problem: &str) -> SinkError {
    SinkError::Template {
        template: path.display().to_string(),
        line: 1,
        problem: problem.to_owned(),
    }
}

/// Names the file instead of the template.
fn at_path(error: SinkError, path: &Path) -> SinkError {
    match error {
        SinkError::Template { line, problem, .. } => {
            SinkError::Template { template: path.display().to_string(), line, problem }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Locales, SinkError>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("created");
            fs::write(path, text).expect("written");
        }
        let locales = Locales::open(Some(dir.path()), "en", &[]);
        (dir, locales)
    }

    fn subject(locales: &Locales, locale: &str, kind: EventKind, role: &str) -> String {
        let facts = Facts { amount: "7.00", ..Facts::sample(kind, role, "an account") };
        locales.message(0, locale, kind, &facts, false).expect("renders").0.subject
    }

    #[test]
    fn every_built_in_template_renders_in_its_language() {
        let (_dir, locales) = own(&[]);
        let locales = locales.expect("the built-in ones are right");
        for kind in EventKind::ALL {
            for role in ["payer", "payee", "holder"] {
                let facts = Facts::sample(kind, role, "an account");
                let in_locale = |locale| {
                    let (message, html) =
                        locales.message(0, locale, kind, &facts, true).expect("renders");
                    let html = html.expect("was wanted");
                    assert!(!message.subject.is_empty() && !message.body.is_empty(), "{kind:?}");
                    assert!(html.contains(&format!("lang=\"{locale}\"")), "{html}");
                    message
                };
                assert_ne!(in_locale("en"), in_locale("cs"), "{kind:?} {role}");
            }
        }
    }

    #[test]
    fn the_nearest_language_is_taken() {
        let (_dir, locales) = own(&[
            ("de/settled.subject", "{{ amount }} bezahlt"),
            ("de/settled.txt", "{{ account }}"),
            ("cs-SK/settled.subject", "{{ amount }} po našem"),
            ("cs-SK/settled.txt", "{{ account }}"),
        ]);
        let locales = locales.expect("valid templates");
        for (locale, kind, expected) in [
            ("de", EventKind::Settled, "7.00 bezahlt"),
            ("de-AT", EventKind::Settled, "7.00 bezahlt"),
            ("de", EventKind::Held, "7.00 CZK reserved"),
            ("cs", EventKind::Settled, "Zaplatili jste 7.00 CZK"),
            ("cs-CZ", EventKind::Settled, "Zaplatili jste 7.00 CZK"),
            ("cs-SK", EventKind::Settled, "7.00 po našem"),
            ("fr", EventKind::Settled, "You paid 7.00 CZK"),
        ] {
            assert_eq!(subject(&locales, locale, kind, "payer"), expected, "{locale}");
        }
    }

    #[test]
    fn html_escapes_what_it_shows() {
        let (_dir, locales) = own(&[
            ("en/settled.subject", "x"),
            ("en/settled.txt", "{{ reason }}"),
            ("en/held.html", "<b>{{ reason }}</b>"),
        ]);
        let locales = locales.expect("valid templates");
        for kind in [EventKind::Settled, EventKind::Held] {
            let facts = Facts { reason: "<script>&", ..Facts::sample(kind, "payer", "1") };
            let (_, html) = locales.message(0, "en", kind, &facts, true).expect("renders");
            let html = html.expect("was wanted");
            assert!(html.contains("&lt;script&gt;&amp;") && !html.contains("<script"), "{html}");
        }
    }

    #[test]
    fn a_digest_has_all_its_messages() {
        let (_dir, locales) = own(&[]);
        let items = ["one", "two"]
            .map(|subject| DigestItem { subject: subject.into(), text: format!("{subject}!") });
        let locales = locales.expect("the built-in ones are right");
        let (message, html) = locales.digest("en-GB", "", &items).expect("renders");
        assert_eq!(message.subject, "2 messages about your accounts");
        for text in [&message.body, &html] {
            assert!(text.contains("one!") && text.contains("two!"), "{text}");
        }
        let (message, _) = locales.digest("cs", "", &items).expect("renders");
        assert_eq!(message.subject, "Zprávy o vašich účtech: 2");
    }

    #[test]
    fn a_bad_template_is_named_with_its_file() {
        for (files, place, said) in [
            (&[("en/settled.txt", "ok\n{{ amont }}")][..], "en/settled.txt, line 2", "\"amont\""),
            (&[("english/settled.txt", "x")], "english, line 1", "no locale"),
            (&[("en/setled.txt", "x")], "en/setled.txt, line 1", "<kind>.subject"),
            (&[("en/settled.md", "x")], "en/settled.md, line 1", "<kind>.subject"),
            (&[("de/settled.txt", "x")], "de/settled.subject, line 1", "it is missing"),
            (&[("en/digest.txt", "{{ amount }}")], "en/digest.txt, line 1", "\"amount\""),
            (&[("cs/held.html", "{% if %}")], "cs/held.html, line 1", "syntax error"),
        ] {
            let (_dir, locales) = own(files);
            let error = locales.expect_err(said).to_string();
            assert!(error.contains(place) && error.contains(said), "{error}");
        }
    }
}
