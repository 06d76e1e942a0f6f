//! Mistakes: consumes what stands where the grammar expected something else, produces what is told
//! of it with advice, and the place where reading goes on.
//!
//! Guarantees that what the lexer told of a word is not told again.

use super::{DEPTH_MAX, Parser};
use crate::rules::{
    advice::instead_of_value,
    lexer::{Symbol, Token},
    source::{Fault, Span},
};

/// Mistakes told of one expression.
pub(super) const FAULTS_MAX: usize = 20;

impl Parser<'_> {
    pub(super) fn too_deep(&mut self, span: Span) -> Fault {
        let problem = format!("this is nested more than {DEPTH_MAX} levels deep");
        let help = "split it into several rules, or name the number as a feature";
        let fault = Fault::new(span, problem, help);
        // Each level outside would only complain about the ones inside.
        if !self.given_up {
            self.faults.push(fault.clone());
        }
        self.given_up = true;
        self.at = self.tokens.len() - 1;
        fault
    }

    /// What stands where a value should, with advice by what stands before it.
    pub(super) fn no_value(&self) -> Fault {
        let before = self.at.checked_sub(1).map(|before| &self.tokens[before].0);
        let help = instead_of_value(before, self.token());
        self.unexpected("a value", help)
    }

    pub(super) fn unexpected(&self, expected: &str, help: &str) -> Fault {
        let span = self.span();
        let found = match self.token() {
            Token::End => "the expression ends".to_owned(),
            _ => format!("`{}` stands", span.of(self.text)),
        };
        let fault = Fault::new(span, format!("{found} where {expected} is expected"), help);
        let after_number = self.at > 0 && matches!(self.tokens[self.at - 1].0, Token::Number(_));
        match self.token() {
            Token::Symbol(Symbol::Comma) if after_number => {
                fault.help("digits are grouped by `_`, and the decimal sign is a point: 1_000.00")
            }
            _ => fault,
        }
    }

    pub(super) fn tell(&mut self, fault: Fault) {
        // What the lexer told of a word need not be told again.
        let told = self.faults.iter().any(|other| other.span.start == fault.span.start);
        if !self.given_up && !told && self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// Skips to where a next condition may begin: `and`, `or`, or what closes or separates.
    pub(super) fn recover(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.token() {
                Token::End => return,
                Token::Symbol(Symbol::Open | Symbol::OpenList) => open += 1,
                Token::Symbol(Symbol::Close | Symbol::CloseList | Symbol::Comma) if open == 0 => {
                    return;
                }
                Token::Symbol(Symbol::Close | Symbol::CloseList) => open -= 1,
                Token::Symbol(Symbol::And | Symbol::Or) if open == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

pub(super) fn unclosed(opened: Span) -> Fault {
    Fault::new(opened, "this bracket is never closed", "close it, or leave it out")
}
