//! Values of rows: consumes numbers, names and what risk said, produces their text in a table or a CSV,
//! and their JSON.

use std::io::{self, Write};

use millrace_risk::evidence::Reason;
use serde::Serialize;
use serde_json::Value;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Number(u64),
    Text(String),
    Names(Vec<&'static str>),
    Bool(bool),
    /// To as many digits as it takes to read it back.
    Float(f32),
    /// Features that moved a score.
    Reasons(Vec<Reason>),
    /// Is JSON itself.
    Json(Value),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Cell {
    /// As it stands in a table or a CSV file.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Names(names) => names.join("|"),
            Self::Bool(yes) => yes.to_string(),
            Self::Float(number) => float_text(*number),
            Self::Reasons(reasons) => {
                let reason = |reason: &Reason| {
                    let [value, moved] = [reason.value, reason.contribution].map(float_text);
                    format!("{}:{value}:{moved}", reason.feature)
                };
                reasons.iter().map(reason).collect::<Vec<_>>().join("|")
            }
            Self::Json(value) => value.to_string(),
        }
    }

    pub(super) fn put_json(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Text(text) => Ok(serde_json::to_writer(out, text)?),
            Self::Names(names) => Ok(serde_json::to_writer(out, names)?),
            Self::Bool(yes) => write!(out, "{yes}"),
            Self::Float(number) => Ok(serde_json::to_writer(out, number)?),
            Self::Reasons(reasons) => {
                // Values of JSON would turn them into longer numbers.
                let reason = |reason: &Reason| ReasonCell {
                    feature: reason.feature,
                    value: reason.value,
                    contribution: reason.contribution,
                };
                Ok(serde_json::to_writer(out, &reasons.iter().map(reason).collect::<Vec<_>>())?)
            }
            Self::Json(value) => Ok(serde_json::to_writer(out, value)?),
        }
    }
}

/// A feature that moved a score, as JSON has it.
#[derive(Serialize)]
struct ReasonCell {
    feature: u16,
    value: f32,
    contribution: f32,
}

/// As in JSON; nothing where it is no number.
fn float_text(number: f32) -> String {
    match number.is_finite() {
        true => serde_json::to_string(&number).expect("a number becomes JSON"),
        false => String::new(),
    }
}
