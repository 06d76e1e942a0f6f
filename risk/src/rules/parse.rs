//! Grammar: consumes the words of an expression, produces its tree.
//!
//! Guarantees an end and bounded depth for any text. Behind a mistake it goes on at the next `and`,
//! `or` or closing bracket, so that one reading tells all mistakes.

mod mistakes;

use mistakes::{FAULTS_MAX, unclosed};

use super::{
    ast::{Arithmetic, Ast, AstKind, Comparison, Set},
    lexer::{Symbol, Token, tokens},
    source::{Fault, Span},
};

/// Levels of brackets, calls and operators. Recursion goes no deeper.
pub(crate) const DEPTH_MAX: usize = 32;
/// Advice where one condition follows the other.
const JOIN: &str = "join conditions by `and` or `or`";

/// The tree of `text`. Where it has mistakes, they are told, and its parts that could be read are
/// in the tree, to be checked.
pub(crate) fn parse(text: &str, faults: &mut Vec<Fault>) -> Ast {
    let tokens = tokens(text, faults);
    faults.truncate(FAULTS_MAX);
    let mut parser = Parser { text, tokens, at: 0, nesting: 0, given_up: false, faults };
    parser.whole()
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, Span)>,
    at: usize,
    nesting: usize,
    /// Nothing that follows would help.
    given_up: bool,
    faults: &'a mut Vec<Fault>,
}

type Parsed = Result<Ast, Fault>;

impl Parser<'_> {
    fn whole(&mut self) -> Ast {
        let mut parts = vec![self.or()];
        while *self.token() != Token::End {
            self.tell(self.unexpected("`and`, `or` or the end", JOIN));
            // What stands between the mistake and the next condition would only confuse.
            while !self.take(Symbol::And) && !self.take(Symbol::Or) && *self.token() != Token::End {
                self.at += 1;
            }
            if *self.token() != Token::End {
                parts.push(self.or());
            }
        }
        let first = parts.swap_remove(0);
        if parts.is_empty() {
            return first;
        }
        // With a mistake in it, it will never run: all that matters is that its parts are checked.
        let span = first.span;
        parts.push(first);
        Ast::new(AstKind::And(parts), span)
    }

    fn or(&mut self) -> Ast {
        self.joined(
            Symbol::Or,
            |parser| parser.joined(Symbol::And, Self::operand, AstKind::And),
            AstKind::Or,
        )
    }

    /// Parts with a symbol between them, as one tree.
    fn joined(
        &mut self,
        symbol: Symbol,
        part: impl Fn(&mut Self) -> Ast,
        kind: impl Fn(Vec<Ast>) -> AstKind,
    ) -> Ast {
        let first = part(self);
        let mut parts = vec![first];
        while self.take(symbol) {
            parts.push(part(self));
        }
        let span = parts[0].span.to(parts[parts.len() - 1].span);
        if parts.len() == 1 { parts.swap_remove(0) } else { Ast::new(kind(parts), span) }
    }

    /// One side of `and` or `or`. A mistake ends here.
    fn operand(&mut self) -> Ast {
        let start = self.span();
        let fault = match self.not() {
            Ok(part) if self.at_an_end() => return part,
            Ok(part) => {
                let fault = self.unexpected("an operator, `and` or `or`", JOIN);
                // Is it a condition so far? Then it is worth checking.
                if matches!(part.kind, AstKind::Compare(..) | AstKind::Within { .. }) {
                    self.tell(fault);
                    self.recover();
                    return part;
                }
                fault
            }
            Err(fault) => fault,
        };
        self.tell(fault);
        self.recover();
        Ast::new(AstKind::Wrong, start)
    }

    fn at_an_end(&self) -> bool {
        use Symbol::{And, Close, CloseList, Comma, Or};
        let ends = |symbol| matches!(symbol, And | Close | CloseList | Comma | Or);
        match self.token() {
            Token::End => true,
            Token::Symbol(symbol) => ends(*symbol),
            _ => false,
        }
    }

    fn not(&mut self) -> Parsed {
        let start = self.span();
        if !self.take(Symbol::Not) {
            return self.comparison();
        }
        let condition = self.nested(Self::not)?;
        let span = start.to(condition.span);
        self.node(AstKind::Not(Box::new(condition)), span)
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        if *self.token() == Token::Symbol(Symbol::Not)
            && self
                .tokens
                .get(self.at + 1)
                .is_some_and(|(next, _)| *next == Token::Symbol(Symbol::In))
        {
            self.at += 2;
            return self.within(left, true);
        }
        if self.take(Symbol::In) {
            return self.within(left, false);
        }
        let Some(comparison) = self.comparison_symbol() else { return Ok(left) };
        let right = self.sum()?;
        if let Some(next) = self.comparison_symbol() {
            return self.chain(&left, comparison, &right, next);
        }
        let span = left.span.to(right.span);
        self.node(AstKind::Compare(comparison, Box::new(left), Box::new(right)), span)
    }

    /// `1 < amount < 5`: what it means is not what it says, in most languages. Refused.
    fn chain(&mut self, left: &Ast, one: Comparison, middle: &Ast, other: Comparison) -> Parsed {
        let right = self.sum()?;
        while self.comparison_symbol().is_some() {
            self.sum()?;
        }
        let [left_text, middle_text, right_text] =
            [left, middle, &right].map(|part| part.span.of(self.text));
        let (one, other) = (one.symbol(), other.symbol());
        let help = format!(
            "write `{left_text} {one} {middle_text} and {middle_text} {other} {right_text}`"
        );
        let span = left.span.to(right.span);
        self.tell(Fault::new(span, "comparisons can't be chained", help));
        Ok(Ast::new(AstKind::Wrong, span))
    }

    fn comparison_symbol(&mut self) -> Option<Comparison> {
        let Token::Symbol(symbol) = self.token() else { return None };
        let comparison = match symbol {
            Symbol::Less => Comparison::Less,
            Symbol::LessEqual => Comparison::LessEqual,
            Symbol::Equal => Comparison::Equal,
            Symbol::NotEqual => Comparison::NotEqual,
            Symbol::GreaterEqual => Comparison::GreaterEqual,
            Symbol::Greater => Comparison::Greater,
            _ => return None,
        };
        self.at += 1;
        Some(comparison)
    }

    /// What stands behind `in`.
    fn within(&mut self, value: Ast, negated: bool) -> Parsed {
        let start = self.span();
        let (set, end) = if let Token::Name(name) = self.token() {
            let name = name.clone();
            self.at += 1;
            (Set::List(name, start), start)
        } else if self.take(Symbol::OpenList) {
            let items = self.items(Symbol::CloseList, start, Self::sum)?;
            let end = self.tokens[self.at - 1].1;
            (Set::Items(items, start.to(end)), end)
        } else {
            return Err(self.unexpected("a list", "write `in block_list` or `in [\"KP\", \"IR\"]`"));
        };
        let span = value.span.to(end);
        self.node(AstKind::Within { value: Box::new(value), negated, set }, span)
    }

    /// Items with commas between them, up to the closing bracket.
    fn items(
        &mut self,
        close: Symbol,
        opened: Span,
        item: impl Fn(&mut Self) -> Parsed,
    ) -> Result<Vec<Ast>, Fault> {
        let mut items = Vec::new();
        while !self.take(close) {
            if *self.token() == Token::End {
                return Err(unclosed(opened));
            }
            items.push(self.nested(&item)?);
            if self.take(Symbol::Comma) || *self.token() == Token::Symbol(close) {
                continue;
            }
            if *self.token() == Token::End {
                return Err(unclosed(opened));
            }
            let help = "put `,` between values, and close the bracket behind the last";
            return Err(self.unexpected("`,` or the closing bracket", help));
        }
        Ok(items)
    }

    fn sum(&mut self) -> Parsed {
        self.chained(
            Self::product,
            &[(Symbol::Plus, Arithmetic::Add), (Symbol::Minus, Arithmetic::Subtract)],
        )
    }

    fn product(&mut self) -> Parsed {
        self.chained(
            Self::unary,
            &[(Symbol::Times, Arithmetic::Multiply), (Symbol::Over, Arithmetic::Divide)],
        )
    }

    /// From left to right.
    fn chained(
        &mut self,
        part: impl Fn(&mut Self) -> Parsed,
        operations: &[(Symbol, Arithmetic)],
    ) -> Parsed {
        let mut left = part(self)?;
        while let Some((_, operation)) =
            operations.iter().find(|(symbol, _)| *self.token() == Token::Symbol(*symbol))
        {
            self.at += 1;
            let right = part(self)?;
            let span = left.span.to(right.span);
            let kind = AstKind::Arithmetic(*operation, Box::new(left), Box::new(right));
            left = self.node(kind, span)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        let start = self.span();
        if !self.take(Symbol::Minus) {
            return self.primary();
        }
        let value = self.nested(Self::unary)?;
        let span = start.to(value.span);
        self.node(AstKind::Negate(Box::new(value)), span)
    }

    fn primary(&mut self) -> Parsed {
        let (token, span) = self.tokens[self.at].clone();
        let kind = match token {
            Token::Number(number) => AstKind::Number(number),
            Token::Duration(seconds) => AstKind::Duration(seconds),
            Token::Text(text) => AstKind::Text(text),
            Token::Symbol(Symbol::True) => AstKind::Bool(true),
            Token::Symbol(Symbol::False) => AstKind::Bool(false),
            Token::Wrong => AstKind::Wrong,
            Token::Name(name) => {
                self.at += 1;
                let opened = self.span();
                if !self.take(Symbol::Open) {
                    return Ok(Ast::new(AstKind::Name(name), span));
                }
                let condition = |parser: &mut Self| Ok(parser.or());
                let arguments = self.items(Symbol::Close, opened, condition)?;
                let whole = span.to(self.tokens[self.at - 1].1);
                return self.node(AstKind::Call { function: name, name: span, arguments }, whole);
            }
            Token::Symbol(Symbol::Open) => {
                self.at += 1;
                let inner = self.nested(|parser| Ok(parser.or()))?;
                if !self.take(Symbol::Close) {
                    return Err(if *self.token() == Token::End {
                        unclosed(span)
                    } else {
                        self.unexpected("`)` or an operator", "close the bracket with `)`")
                    });
                }
                // The brackets belong to the place of what is in them.
                let whole = span.to(self.tokens[self.at - 1].1);
                return Ok(Ast { span: whole, ..inner });
            }
            Token::Symbol(Symbol::OpenList) => {
                let problem = "a list stands behind `in` only";
                return Err(Fault::new(span, problem, "write `context.country in [\"KP\"]`"));
            }
            Token::Symbol(_) | Token::End => return Err(self.no_value()),
        };
        self.at += 1;
        Ok(Ast::new(kind, span))
    }

    /// One level deeper.
    fn nested(&mut self, part: impl Fn(&mut Self) -> Parsed) -> Parsed {
        if self.nesting == DEPTH_MAX {
            return Err(self.too_deep(self.span()));
        }
        self.nesting += 1;
        let parsed = part(self);
        self.nesting -= 1;
        parsed
    }

    fn node(&mut self, kind: AstKind, span: Span) -> Parsed {
        let node = Ast::new(kind, span);
        if node.depth > DEPTH_MAX { Err(self.too_deep(span)) } else { Ok(node) }
    }

    fn token(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    fn take(&mut self, symbol: Symbol) -> bool {
        let taken = *self.token() == Token::Symbol(symbol);
        self.at += usize::from(taken);
        taken
    }
}
