//! Reasons: consumes a text with names in braces, produces what an analyst reads about one payment.
//!
//! `"{payer.count_1h} payments in an hour, this one {amount}"` becomes `"23 payments in an hour,
//! this one 1,500.00"`. Braces themselves are doubled.

use super::{
    set::RuleInput,
    source::{Fault, Span},
    suggest::did_you_mean,
    vocabulary::{Place, Vocabulary},
};

/// A reason, ready to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Place),
}

impl Reason {
    /// Reads a reason; what is wrong is told.
    pub(crate) fn read(text: &str, vocabulary: &Vocabulary, faults: &mut Vec<Fault>) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(offset) = text[at..].find(['{', '}']) {
            let brace = at + offset;
            plain.push_str(&text[at..brace]);
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push_str(&rest[..1]);
                at = brace + 2;
                continue;
            }
            let close = rest.find('}').filter(|_| rest.starts_with('{'));
            let Some(close) = close else {
                let problem = "this brace has no partner";
                let help = "write a name in braces, `{amount}`, or the brace itself twice";
                faults.push(Fault::new(Span::new(brace, brace + 1), problem, help));
                at = brace + 1;
                continue;
            };
            at = brace + close + 1;
            let name = rest[1..close].trim();
            if let Some(place) = vocabulary.find(name) {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Value(place));
            } else {
                let problem = format!("`{name}` is not a known name");
                let help = did_you_mean(name, vocabulary.names());
                faults.push(Fault::new(Span::new(brace + 1, at - 1), problem, help));
            }
        }
        plain.push_str(&text[at..]);
        pieces.push(Piece::Text(plain));
        Self(pieces)
    }

    /// The features that it shows.
    pub(crate) fn features(&self) -> impl Iterator<Item = u16> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value(Place::Feature(feature)) => Some(*feature),
            Piece::Value(Place::Text(_)) | Piece::Text(_) => None,
        })
    }

    /// The reason with the payment's values.
    pub(crate) fn show(&self, vocabulary: &Vocabulary, input: &RuleInput<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(Place::Feature(feature)) => {
                    let value = input.row[usize::from(*feature)];
                    out.push_str(&vocabulary.unit(*feature).show(value));
                }
                Piece::Value(Place::Text(slot)) => {
                    out.push_str(input.texts[usize::from(*slot)].unwrap_or("unknown"));
                }
            }
        }
        out
    }
}
