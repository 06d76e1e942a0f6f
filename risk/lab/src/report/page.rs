//! Pages: consumes cards, pictures and tables, produces one HTML file.

use std::fmt::Write as _;

use super::{number::escaped, table::Table};

/// All that a page looks like; light, dark, narrow and printed.
const STYLE: &str = include_str!("report.css");

/// A headline figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it is.
    pub name: String,
    /// Its value, ready to read.
    pub value: String,
    /// What belongs to it, such as its interval; may be empty.
    pub note: String,
}

/// A report: put together part by part, then written as HTML.
#[derive(Clone, Debug, Default)]
pub struct Report {
    title: String,
    subtitle: String,
    warnings: Vec<String>,
    body: String,
    /// The part of the body that is open for further pictures.
    is_grid_open: bool,
}

impl Report {
    /// A report without parts. The subtitle tells what it is about: a file, days, a model.
    #[must_use]
    pub fn new(title: &str, subtitle: &str) -> Self {
        Self { title: title.to_owned(), subtitle: subtitle.to_owned(), ..Self::default() }
    }

    /// What should be known before any figure is trusted: it stands above them all.
    pub fn warnings(&mut self, warnings: &[String]) -> &mut Self {
        self.warnings.extend_from_slice(warnings);
        self
    }

    /// A heading for what follows.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.close_grid();
        let _ = write!(self.body, "<h2>{}</h2>", escaped(text));
        self
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.close_grid();
        let _ = write!(self.body, "<p>{}</p>", escaped(text));
        self
    }

    /// Headline figures, side by side.
    pub fn cards(&mut self, cards: &[Card]) -> &mut Self {
        self.close_grid();
        self.body.push_str("<div class=\"cards\">");
        for Card { name, value, note } in cards {
            let _ = write!(
                self.body,
                "<div><span>{}</span><strong>{}</strong><small>{}</small></div>",
                escaped(name),
                escaped(value),
                escaped(note)
            );
        }
        self.body.push_str("</div>");
        self
    }

    /// Settings and facts as pairs: what makes the figures reproducible.
    pub fn facts(&mut self, facts: &[(&str, String)]) -> &mut Self {
        self.close_grid();
        self.body.push_str("<dl>");
        for (name, value) in facts {
            let _ = write!(
                self.body,
                "<div><dt>{}</dt><dd>{}</dd></div>",
                escaped(name),
                escaped(value)
            );
        }
        self.body.push_str("</dl>");
        self
    }

    /// A table under its heading; nothing if it has no rows.
    pub fn table(&mut self, heading: &str, table: &Table) -> &mut Self {
        if !table.is_empty() {
            self.heading(heading);
            self.body.push_str(&table.to_html());
        }
        self
    }

    /// A picture, beside the one before where there is room.
    pub(super) fn picture(&mut self, html: &str) {
        if !self.is_grid_open {
            self.body.push_str("<div class=\"grid\">");
            self.is_grid_open = true;
        }
        self.body.push_str(html);
    }

    /// HTML that was put together and escaped elsewhere in this module.
    pub(super) fn html(&mut self, html: &str) {
        self.close_grid();
        self.body.push_str(html);
    }

    fn close_grid(&mut self) {
        if std::mem::take(&mut self.is_grid_open) {
            self.body.push_str("</div>");
        }
    }

    /// The whole file.
    #[must_use]
    pub fn to_html(&self) -> String {
        let (title, subtitle) = (escaped(&self.title), escaped(&self.subtitle));
        let warnings = match self.warnings.is_empty() {
            true => String::new(),
            false => {
                let item = |it: &String| format!("<li>{}</li>", escaped(it));
                let items: String = self.warnings.iter().map(item).collect();
                format!("<section class=\"warnings\"><h2>Warnings</h2><ul>{items}</ul></section>")
            }
        };
        let end = if self.is_grid_open { "</div>" } else { "" };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>\n{STYLE}</style></head>\n<body><main><header><h1>{title}</h1><p>{subtitle}</p></header>\n{warnings}{}{end}\n</main></body></html>\n",
            self.body
        )
    }
}
