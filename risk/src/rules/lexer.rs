//! Words of an expression: consumes its text, produces tokens with their places.
//!
//! Guarantees a token list that ends with [`Token::End`] for any text. What can't be understood is
//! told, and replaced by what was probably meant, so that the rest can be checked, too.

use super::source::{Fault, Span};

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Number(f64),
    /// In seconds.
    Duration(f64),
    Text(String),
    Name(String),
    Symbol(Symbol),
    /// Already told.
    Wrong,
    End,
}

/// A word that is always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    And,
    Or,
    Not,
    In,
    True,
    False,
    Plus,
    Minus,
    Times,
    Over,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
}

use Symbol::{
    And, Close, CloseList, Comma, Equal, False, Greater, GreaterEqual, In, Less, LessEqual, Minus,
    Not, NotEqual, Open, OpenList, Or, Over, Plus, Times, True,
};

/// How each symbol is written. Longer ones stand before those that they begin with.
const SYMBOLS: [(&str, Symbol); 18] = [
    ("&&", And),
    ("||", Or),
    ("<=", LessEqual),
    (">=", GreaterEqual),
    ("==", Equal),
    ("!=", NotEqual),
    ("!", Not),
    ("<", Less),
    (">", Greater),
    ("+", Plus),
    ("-", Minus),
    ("*", Times),
    ("/", Over),
    ("(", Open),
    (")", Close),
    ("[", OpenList),
    ("]", CloseList),
    (",", Comma),
];

/// What people write, and what it is called here.
const MISTAKES: [(&str, Symbol, &str); 14] = [
    ("<>", NotEqual, "!="),
    ("=<", LessEqual, "<="),
    ("=>", GreaterEqual, ">="),
    ("=", Equal, "=="),
    ("&", And, "and"),
    ("|", Or, "or"),
    (";", Comma, ","),
    ("\u{2264}", LessEqual, "<="),
    ("\u{2265}", GreaterEqual, ">="),
    ("\u{2260}", NotEqual, "!="),
    ("\u{2212}", Minus, "-"),
    ("\u{2013}", Minus, "-"),
    ("\u{d7}", Times, "*"),
    ("\u{f7}", Over, "/"),
];

const KEYWORDS: [(&str, Symbol); 6] =
    [("and", And), ("or", Or), ("not", Not), ("in", In), ("true", True), ("false", False)];

/// Units of durations, in seconds.
const DURATIONS: [(&str, f64); 5] =
    [("s", 1.0), ("min", 60.0), ("h", 3_600.0), ("d", 86_400.0), ("w", 604_800.0)];

/// All words of `text`.
pub(crate) fn tokens(text: &str, faults: &mut Vec<Fault>) -> Vec<(Token, Span)> {
    let mut lexer = Lexer { text, at: 0, faults };
    let mut tokens = Vec::new();
    loop {
        lexer.skip(char::is_whitespace);
        let start = lexer.at;
        let token = lexer.token();
        let end = token == Token::End;
        tokens.push((token, Span::new(start, lexer.at)));
        if end {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes on as long as characters are of a kind; returns them.
    fn skip(&mut self, kind: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|character| !kind(character)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn token(&mut self) -> Token {
        let Some(first) = self.rest().chars().next() else { return Token::End };
        match first {
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => self.name(),
            '"' | '\'' => self.quoted(first),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}' | '`' => {
                self.curly_quoted(first)
            }
            _ => self.symbol(first),
        }
    }

    fn symbol(&mut self, first: char) -> Token {
        let (start, rest) = (self.at, self.rest());
        let meant = MISTAKES.iter().find(|(written, ..)| {
            // `==` begins with a mistake, too.
            rest.starts_with(written) && !["==", "&&", "||"].iter().any(|s| rest.starts_with(s))
        });
        if let Some((written, symbol, right)) = meant {
            self.at += written.len();
            let problem = format!("`{written}` has no meaning here");
            self.fault(start, problem, format!("write `{right}`"));
            return Token::Symbol(*symbol);
        }
        if let Some((written, symbol)) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)) {
            self.at += written.len();
            return Token::Symbol(*symbol);
        }
        self.at += first.len_utf8();
        let help = match first {
            '#' => "remarks belong into the rule's `comment`",
            '.' => "a number begins with a digit: 0.5; a name with a letter: payer.count_1h",
            '{' | '}' => "names stand in expressions without braces",
            '%' => "write the sign right behind the number: 5%",
            '?' => "a condition asks already; whether a value is there, `is_missing(..)` tells",
            _ => "take it out: conditions have names, numbers, texts in quotes, and, or, not, in",
        };
        let shown: String = first.escape_debug().collect();
        let problem = format!("the character `{shown}` has no meaning in an expression");
        self.fault(start, problem, help);
        Token::Wrong
    }

    fn name(&mut self) -> Token {
        let part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let start = self.at;
        self.skip(part);
        while self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(part)) {
            self.at += 1;
            self.skip(part);
        }
        let name = &self.text[start..self.at];
        if let Some((_, symbol)) = KEYWORDS.iter().find(|(word, _)| *word == name) {
            return Token::Symbol(*symbol);
        }
        // No name of a feature is a keyword in capitals: it is meant as one.
        let lower = name.to_ascii_lowercase();
        if let Some((word, symbol)) = KEYWORDS.iter().find(|(word, _)| *word == lower) {
            self.fault(start, format!("`{name}` is not known"), format!("write `{word}`"));
            return Token::Symbol(*symbol);
        }
        Token::Name(name.to_owned())
    }

    fn quoted(&mut self, quote: char) -> Token {
        let start = self.at;
        let body = &self.rest()[1..];
        let Some(length) = body.find(quote) else {
            self.at = self.text.len();
            let help = format!("close it with `{quote}`");
            self.fault(start, "this text has no end", help);
            return Token::Wrong;
        };
        self.at += length + 2;
        Token::Text(body[..length].to_owned())
    }

    /// In the quotes of word processors: told, and read as what is meant.
    fn curly_quoted(&mut self, first: char) -> Token {
        let start = self.at;
        self.at += first.len_utf8();
        let quote = |character| matches!(character, '\u{2018}'..='\u{201e}' | '`' | '"' | '\'');
        let body = self.skip(|character| !quote(character));
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
        let help = "write texts in plain quotes: \"KP\" or 'KP'";
        self.fault(start, "these quotes have no meaning here", help);
        Token::Text(body.to_owned())
    }

    fn number(&mut self) -> Token {
        let start = self.at;
        let digits = |character: char| character.is_ascii_digit() || character == '_';
        self.skip(digits);
        if self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(digits)) {
            self.at += 1;
            self.skip(digits);
        }
        let written = &self.text[start..self.at];
        let bare: String = written.chars().filter(|character| *character != '_').collect();
        let grouped = written.split('.').all(|p| !p.starts_with('_') && !p.ends_with('_'));
        let value: f64 = bare.parse().unwrap_or(f64::INFINITY);
        if !grouped || written.contains("__") || !value.is_finite() {
            let help = "write digits in groups, as 1_000.00";
            self.fault(start, format!("`{written}` is no number"), help);
            return Token::Wrong;
        }
        self.with_unit(start, value)
    }

    /// A duration or a percentage, if a unit stands right behind the number.
    fn with_unit(&mut self, start: usize, value: f64) -> Token {
        if self.rest().starts_with('%') {
            self.at += 1;
            return Token::Number(value / 100.0);
        }
        let unit = self.skip(|character| character.is_ascii_alphanumeric() || character == '_');
        if unit.is_empty() {
            return Token::Number(value);
        }
        if let Some((_, seconds)) = DURATIONS.iter().find(|(name, _)| *name == unit) {
            return Token::Duration(value * seconds);
        }
        let help = match unit {
            "m" => "write minutes as `min`, a month as `30d`".to_owned(),
            "k" | "K" | "M" => "write the number with all its digits: 1_000".to_owned(),
            _ => "durations are written 30s, 5min, 2h, 7d or 4w, shares 5%".to_owned(),
        };
        let written = &self.text[start..self.at];
        self.fault(start, format!("`{written}` has the unknown unit `{unit}`"), help);
        Token::Wrong
    }

    fn fault(&mut self, start: usize, problem: impl Into<String>, help: impl Into<String>) {
        let span = Span::new(start, self.at);
        self.faults.push(Fault::new(span, problem, help));
    }
}
