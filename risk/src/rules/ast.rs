//! An expression as it is written: what [`super::parse`] produces and [`super::check`] consumes.
//!
//! Displayed, it is the same expression in one spelling, with no more brackets than it needs.

use std::fmt;

use super::source::Span;

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ast {
    pub(crate) span: Span,
    /// Levels below this one, itself included.
    pub(crate) depth: usize,
    pub(crate) kind: AstKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AstKind {
    /// Couldn't be read; already told.
    Wrong,
    Number(f64),
    /// In seconds.
    Duration(f64),
    Text(String),
    Bool(bool),
    Name(String),
    Negate(Box<Ast>),
    Arithmetic(Arithmetic, Box<Ast>, Box<Ast>),
    Compare(Comparison, Box<Ast>, Box<Ast>),
    Within {
        value: Box<Ast>,
        negated: bool,
        set: Set,
    },
    Not(Box<Ast>),
    And(Vec<Ast>),
    Or(Vec<Ast>),
    Call {
        function: String,
        name: Span,
        arguments: Vec<Ast>,
    },
}

/// What stands behind `in`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Set {
    List(String, Span),
    Items(Vec<Ast>, Span),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessEqual,
    Equal,
    NotEqual,
    GreaterEqual,
    Greater,
}

impl Ast {
    pub(crate) fn new(kind: AstKind, span: Span) -> Self {
        let depth = 1 + kind.parts().map(|part| part.depth).max().unwrap_or(0);
        Self { span, depth, kind }
    }

    /// How tightly it holds together, as the grammar says.
    fn precedence(&self) -> u8 {
        match &self.kind {
            AstKind::Or(_) => 1,
            AstKind::And(_) => 2,
            AstKind::Not(_) => 3,
            AstKind::Compare(..) | AstKind::Within { .. } => 4,
            AstKind::Arithmetic(Arithmetic::Add | Arithmetic::Subtract, ..) => 5,
            AstKind::Arithmetic(..) => 6,
            AstKind::Negate(_) => 7,
            _ => 8,
        }
    }

    fn show(&self, out: &mut fmt::Formatter<'_>, at_least: u8) -> fmt::Result {
        if self.precedence() < at_least { write!(out, "({self})") } else { write!(out, "{self}") }
    }
}

impl AstKind {
    fn parts(&self) -> impl Iterator<Item = &Ast> {
        let (one, other, many): (Option<&Ast>, Option<&Ast>, &[Ast]) = match self {
            Self::Negate(part) | Self::Not(part) => (Some(part), None, &[]),
            Self::Arithmetic(_, left, right) | Self::Compare(_, left, right) => {
                (Some(left), Some(right), &[])
            }
            Self::Within { value, set: Set::Items(items, _), .. } => (Some(value), None, items),
            Self::Within { value, .. } => (Some(value), None, &[]),
            Self::And(parts) | Self::Or(parts) | Self::Call { arguments: parts, .. } => {
                (None, None, parts)
            }
            _ => (None, None, &[]),
        };
        one.into_iter().chain(other).chain(many)
    }
}

impl Comparison {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterEqual => ">=",
            Self::Greater => ">",
        }
    }
}

impl Arithmetic {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

impl fmt::Display for Ast {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precedence = self.precedence();
        match &self.kind {
            AstKind::Wrong => out.write_str("?"),
            AstKind::Number(number) => write!(out, "{number}"),
            AstKind::Duration(seconds) => write!(out, "{seconds}s"),
            AstKind::Text(text) if text.contains('"') => write!(out, "'{text}'"),
            AstKind::Text(text) => write!(out, "\"{text}\""),
            AstKind::Bool(value) => write!(out, "{value}"),
            AstKind::Name(name) => out.write_str(name),
            AstKind::Negate(value) => {
                out.write_str("-")?;
                value.show(out, precedence)
            }
            AstKind::Arithmetic(operation, left, right) => {
                left.show(out, precedence)?;
                write!(out, " {} ", operation.symbol())?;
                right.show(out, precedence + 1)
            }
            AstKind::Compare(comparison, left, right) => {
                left.show(out, precedence + 1)?;
                write!(out, " {} ", comparison.symbol())?;
                right.show(out, precedence + 1)
            }
            AstKind::Within { value, negated, set } => {
                value.show(out, precedence + 1)?;
                out.write_str(if *negated { " not in " } else { " in " })?;
                match set {
                    Set::List(name, _) => out.write_str(name),
                    Set::Items(items, _) => {
                        out.write_str("[")?;
                        separated(out, items, ", ", 0)?;
                        out.write_str("]")
                    }
                }
            }
            AstKind::Not(condition) => {
                out.write_str("not ")?;
                condition.show(out, precedence)
            }
            AstKind::And(parts) => separated(out, parts, " and ", precedence + 1),
            AstKind::Or(parts) => separated(out, parts, " or ", precedence + 1),
            AstKind::Call { function, arguments, .. } => {
                write!(out, "{function}(")?;
                separated(out, arguments, ", ", 0)?;
                out.write_str(")")
            }
        }
    }
}

fn separated(
    out: &mut fmt::Formatter<'_>,
    parts: &[Ast],
    separator: &str,
    at_least: u8,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.write_str(separator)?;
        }
        part.show(out, at_least)?;
    }
    Ok(())
}
