//! Advice: consumes a word where a value should stand and the one before it, produces what to write.

use super::lexer::{
    Symbol::{
        self, And, Close, CloseList, Equal, Greater, GreaterEqual, In, Less, LessEqual, Not,
        NotEqual, Or,
    },
    Token,
};

/// What to write where `found` stands behind `before` and is no value.
pub(crate) fn instead_of_value(before: Option<&Token>, found: &Token) -> &'static str {
    let (before, found) = (before.map_or(Place::Edge, Place::of), Place::of(found));
    match (before, found) {
        (Place::Edge, Place::Edge) => "write a condition, such as `amount > 1_000`",
        (Place::Comparison, Place::Comparison) => "leave one of the two signs out: `amount > 3`",
        (Place::Comparison, _) => "write what it is compared with: `amount > 3`",
        (Place::Joint, Place::Edge) => {
            "write a condition behind it, or leave the last `and` or `or` out"
        }
        (Place::Joint, Place::Joint) => {
            "leave one of the two out, or write a condition between them"
        }
        (Place::Not, Place::Edge) => {
            "write the condition that is not to hold: `not payer in block_list`"
        }
        (_, Place::Joint) => "write a condition in front of it, or leave it out",
        (_, Place::Not) => "`not` stands in front of a condition: `not amount > 5`",
        (_, Place::In) => "write the value that is looked up: `payer in block_list`",
        (_, Place::Closing) => "write a value, or leave the bracket out",
        (_, Place::Comparison) => "write what is compared in front of it: `amount > 3`",
        _ => "write a number, a text in quotes or the name of a value here",
    }
}

/// What matters of a word here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Begin or end of the expression.
    Edge,
    Comparison,
    /// `and` or `or`.
    Joint,
    Not,
    In,
    Closing,
    Other,
}

impl Place {
    fn of(token: &Token) -> Self {
        match token {
            Token::End => Self::Edge,
            Token::Symbol(symbol) => Self::of_symbol(*symbol),
            _ => Self::Other,
        }
    }

    fn of_symbol(symbol: Symbol) -> Self {
        match symbol {
            And | Or => Self::Joint,
            Not => Self::Not,
            In => Self::In,
            Close | CloseList => Self::Closing,
            Equal | Greater | GreaterEqual | Less | LessEqual | NotEqual => Self::Comparison,
            _ => Self::Other,
        }
    }
}
