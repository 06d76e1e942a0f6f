//! Types: consumes the tree of an expression, produces a [`Condition`] that makes sense.
//!
//! Guarantees that each name is known, that like is compared and calculated with like, and that
//! whatever is wrong is told with its place and advice.

use std::sync::Arc;

use super::{
    ast::{Ast, AstKind, Comparison, Set},
    list::{List, Lists},
    source::Fault,
    suggest::did_you_mean,
    typed::{Binary, Condition, Number, Text, TextAtom},
    unit::Unit,
    vocabulary::{Place, Vocabulary},
};

/// All functions.
pub(super) const FUNCTIONS: [&str; 5] = ["min", "max", "abs", "coalesce", "is_missing"];

/// What an expression may name.
pub(crate) struct Scope<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) lists: &'a Lists,
    /// The lists that are looked up, each once; a condition has their numbers.
    pub(crate) used: Vec<Arc<List>>,
    /// What makes sense and says nothing.
    pub(crate) doubts: Vec<Fault>,
}

impl Scope<'_> {
    /// The condition that the tree of `text` means. None if a fault was told, here or before.
    pub(crate) fn condition(
        &mut self,
        tree: &Ast,
        text: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<Condition> {
        Checker { scope: self, text, faults }.condition(tree)
    }
}

/// A part of an expression that makes sense.
pub(super) enum Typed {
    Number(Number),
    /// In seconds.
    Duration(Number),
    Text(Text),
    /// A feature that is a condition; only of it one may ask whether it is missing.
    Flag(u16),
    Condition(Condition),
}

impl Typed {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Duration(_) => "a duration",
            Self::Text(_) => "a text",
            Self::Flag(_) | Self::Condition(_) => "a condition",
        }
    }
}

pub(super) struct Checker<'a, 'b> {
    pub(super) scope: &'a mut Scope<'b>,
    text: &'a str,
    faults: &'a mut Vec<Fault>,
}

impl Checker<'_, '_> {
    fn condition(&mut self, tree: &Ast) -> Option<Condition> {
        match &tree.kind {
            AstKind::Bool(value) => Some(Condition::Constant(*value)),
            AstKind::Not(part) => self.condition(part).map(Condition::not),
            AstKind::And(parts) => self.conditions(parts).map(Condition::and),
            AstKind::Or(parts) => self.conditions(parts).map(Condition::or),
            AstKind::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            AstKind::Within { value, negated, set } => self.within(value, *negated, set),
            AstKind::Call { function, arguments, .. } if function == "is_missing" => {
                self.is_missing(tree, arguments)
            }
            _ => match self.value(tree)? {
                Typed::Condition(condition) => Some(condition),
                Typed::Flag(feature) => {
                    let flag = Number::Feature { feature, scale: 1.0 };
                    Some(Condition::compare(Comparison::NotEqual, flag, Number::Constant(0.0)))
                }
                other => {
                    let shown = self.shown(tree);
                    let example = match &other {
                        Typed::Duration(_) => format!("`{shown} > 2h`"),
                        Typed::Text(_) => format!("`{shown} == \"...\"` or `{shown} in a_list`"),
                        _ => format!("`{shown} > 0`"),
                    };
                    let name = other.name();
                    let problem = format!("`{shown}` is {name} where a condition is expected");
                    self.fault(tree, problem, format!("compare it, for example {example}"))
                }
            },
        }
    }

    /// All of them are checked, even if the first is wrong.
    fn conditions(&mut self, parts: &[Ast]) -> Option<Vec<Condition>> {
        let checked: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
        checked.into_iter().collect()
    }

    pub(super) fn value(&mut self, tree: &Ast) -> Option<Typed> {
        match &tree.kind {
            AstKind::Wrong => None,
            AstKind::Number(value) => Some(Typed::Number(Number::Constant(*value))),
            AstKind::Duration(seconds) => Some(Typed::Duration(Number::Constant(*seconds))),
            AstKind::Text(text) => Some(Typed::Text(Text(vec![TextAtom::Constant(text.clone())]))),
            AstKind::Name(name) => self.name(tree, name),
            AstKind::Negate(part) => {
                let negated =
                    |value| Number::binary(Binary::Subtract, Number::Constant(0.0), value);
                self.signed(part, negated)
            }
            AstKind::Arithmetic(operation, left, right) => self.arithmetic(*operation, left, right),
            AstKind::Call { function, arguments, .. } if function != "is_missing" => {
                self.call(tree, function, arguments)
            }
            _ => self.condition(tree).map(Typed::Condition),
        }
    }

    fn name(&mut self, tree: &Ast, name: &str) -> Option<Typed> {
        match self.scope.vocabulary.find(name) {
            Some(Place::Text(slot)) => Some(Typed::Text(Text(vec![TextAtom::Slot(slot)]))),
            Some(Place::Feature(feature)) => {
                let scaled = |scale| Number::Feature { feature, scale };
                Some(match self.scope.vocabulary.unit(feature) {
                    Unit::Flag => Typed::Flag(feature),
                    Unit::Duration(seconds) => Typed::Duration(scaled(*seconds)),
                    _ => Typed::Number(scaled(1.0)),
                })
            }
            None if self.scope.lists.get(name).is_some() => {
                let problem = format!("`{name}` is a list, not a value");
                self.fault(
                    tree,
                    problem,
                    format!("ask whether it has something: `payer in {name}`"),
                )
            }
            None if FUNCTIONS.contains(&name) => {
                let problem = format!("`{name}` is a function and needs arguments");
                self.fault(tree, problem, format!("write `{name}(...)`"))
            }
            None => {
                let help = did_you_mean(name, self.scope.vocabulary.names());
                self.fault(tree, format!("`{name}` is not a known name"), help)
            }
        }
    }

    fn compare(&mut self, comparison: Comparison, left: &Ast, right: &Ast) -> Option<Condition> {
        let condition = self.compared(comparison, left, right)?;
        self.doubt_comparison(&condition, left, right);
        Some(condition)
    }

    fn compared(&mut self, comparison: Comparison, left: &Ast, right: &Ast) -> Option<Condition> {
        let (one, other) = (self.beside(left, right), self.beside(right, left));
        match (one?, other?) {
            (Typed::Number(one), Typed::Number(other))
            | (Typed::Duration(one), Typed::Duration(other)) => {
                Some(Condition::compare(comparison, one, other))
            }
            (Typed::Text(one), Typed::Text(other)) => match comparison {
                Comparison::Equal => Some(Condition::same_text(true, one, other)),
                Comparison::NotEqual => Some(Condition::same_text(false, one, other)),
                _ => {
                    let problem = format!("texts have no order: `{}`", comparison.symbol());
                    let span = Ast::new(AstKind::Wrong, left.span.to(right.span));
                    self.fault(&span, problem, "compare them by `==` or `!=`".to_owned())
                }
            },
            (Typed::Flag(_) | Typed::Condition(_), _) => self.needless(left),
            (_, Typed::Flag(_) | Typed::Condition(_)) => self.needless(right),
            (one, other) => self.unlike((left, &one), (right, &other)),
        }
    }

    /// A condition that is compared.
    fn needless<T>(&mut self, tree: &Ast) -> Option<T> {
        let shown = self.shown(tree);
        let problem = format!("`{shown}` is a condition: it is not compared");
        self.fault(tree, problem, format!("write `{shown}` or `not {shown}`"))
    }

    /// Values of two types that are to be compared.
    pub(super) fn unlike<T>(&mut self, left: (&Ast, &Typed), right: (&Ast, &Typed)) -> Option<T> {
        let [(at, found), (other_at, other)] =
            if matches!(left.0.kind, AstKind::Number(_) | AstKind::Text(_)) {
                [left, right]
            } else {
                [right, left]
            };
        let (shown, beside) = (self.shown(at), self.shown(other_at));
        let help = match (&at.kind, other) {
            (AstKind::Number(number), Typed::Duration(_)) => {
                format!("write a duration: `{number}s`, `{number}min`, `{number}h` or `{number}d`")
            }
            (AstKind::Number(_), Typed::Text(_)) => {
                format!("write the text in quotes: \"{shown}\"")
            }
            (AstKind::Text(text), Typed::Number(_)) if text.parse::<f64>().is_ok() => {
                format!("write the number without quotes: {text}")
            }
            (AstKind::Duration(_), Typed::Number(_)) => {
                format!("`{beside}` has no unit of time: write a number without one")
            }
            _ => format!("compare `{beside}` with {}", other.name()),
        };
        let problem = format!("`{shown}` is {} and `{beside}` is {}", found.name(), other.name());
        self.fault(at, problem, help)
    }

    /// One side of a comparison. An unknown name beside a text may be a text without quotes.
    fn beside(&mut self, tree: &Ast, other: &Ast) -> Option<Typed> {
        let AstKind::Name(name) = &tree.kind else { return self.value(tree) };
        let beside_text = match &other.kind {
            AstKind::Text(_) => true,
            AstKind::Name(name) => matches!(self.scope.vocabulary.find(name), Some(Place::Text(_))),
            _ => false,
        };
        let dotted = name.contains('.') || self.scope.lists.get(name).is_some();
        if beside_text && !dotted && self.scope.vocabulary.find(name).is_none() {
            let problem = format!("`{name}` is not a known name");
            return self.fault(tree, problem, format!("write texts in quotes: \"{name}\""));
        }
        self.value(tree)
    }

    fn within(&mut self, value: &Ast, negated: bool, set: &Set) -> Option<Condition> {
        match set {
            Set::List(name, span) => {
                let at = Ast::new(AstKind::Wrong, *span);
                let (typed, list) = (self.value(value), self.list(&at, name));
                let (typed, list) = (typed?, list?);
                let Typed::Text(text) = typed else {
                    let (shown, name) = (self.shown(value), typed.name());
                    let problem = format!("`{shown}` is {name}, and lists hold texts");
                    let help = "look up a text, or write the numbers: `in [1, 2]`".to_owned();
                    return self.fault(value, problem, help);
                };
                self.suits(value, &text, &self.scope.used[usize::from(list)].clone())?;
                Some(Condition::InList { negated, text, list })
            }
            Set::Items(items, span) => {
                let typed = self.value(value);
                if items.is_empty() {
                    let at = Ast::new(AstKind::Wrong, *span);
                    let help = "write what it may be: [\"KP\", \"IR\"]".to_owned();
                    return self.fault(&at, "nothing is in this list".to_owned(), help);
                }
                let checked: Vec<_> = items.iter().map(|item| self.beside(item, value)).collect();
                let checked: Option<Vec<_>> = checked.into_iter().collect();
                self.among(value, negated, typed?, items, checked?)
            }
        }
    }

    /// A value in brackets' constants.
    fn among(
        &mut self,
        value: &Ast,
        negated: bool,
        typed: Typed,
        items: &[Ast],
        checked: Vec<Typed>,
    ) -> Option<Condition> {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for (item, found) in items.iter().zip(checked) {
            match (&typed, found) {
                (Typed::Number(_), Typed::Number(Number::Constant(number)))
                | (Typed::Duration(_), Typed::Duration(Number::Constant(number))) => {
                    numbers.push(number);
                }
                (Typed::Text(value), Typed::Text(text)) if text.constant().is_some() => {
                    self.doubt_texts(item, value, text.constant());
                    texts.extend(text.constant().map(str::to_owned));
                }
                (Typed::Flag(_) | Typed::Condition(_), _) => return self.needless(value),
                (Typed::Number(_), Typed::Number(_))
                | (Typed::Duration(_), Typed::Duration(_))
                | (Typed::Text(_), Typed::Text(_)) => {
                    let problem = format!("`{}` differs from payment to payment", self.shown(item));
                    let help = "a list in brackets holds constants; compare by `==`".to_owned();
                    return self.fault(item, problem, help);
                }
                (_, found) => return self.unlike((value, &typed), (item, &found)),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        match typed {
            Typed::Text(text) => Some(match text.constant() {
                Some(constant) => {
                    Condition::Constant(texts.iter().any(|text| text == constant) != negated)
                }
                None => Condition::InTexts { negated, text, among: texts },
            }),
            Typed::Number(value) | Typed::Duration(value) => {
                Some(Condition::in_numbers(negated, value, &numbers))
            }
            Typed::Flag(_) | Typed::Condition(_) => self.needless(value),
        }
    }

    /// The number of a list.
    fn list(&mut self, at: &Ast, name: &str) -> Option<u16> {
        let Some(list) = self.scope.lists.get(name) else {
            if self.scope.vocabulary.find(name).is_some() {
                let help = "compare by `==`, or write the values in brackets".to_owned();
                return self.fault(at, format!("`{name}` is a value, not a list"), help);
            }
            let known: Vec<_> = self.scope.lists.iter().map(|list| &*list.spec().name).collect();
            let help = match known.is_empty() {
                false => did_you_mean(name, known),
                true => format!(
                    "there is no list: name its file with `--list {name}:block=FILE`, here or in \
                     `millrace risk promote`"
                ),
            };
            return self.fault(at, format!("`{name}` is not a known list"), help);
        };
        let known = self.scope.used.iter().position(|used| used.spec().name == name);
        let number = known.unwrap_or(self.scope.used.len());
        if known.is_none() {
            self.scope.used.push(Arc::clone(list));
        }
        u16::try_from(number).ok()
    }

    /// A list says which texts it is of.
    fn suits(&mut self, value: &Ast, text: &Text, list: &List) -> Option<()> {
        let of = &list.spec().of;
        for atom in &text.0 {
            let TextAtom::Slot(slot) = atom else { continue };
            let name = self.scope.vocabulary.text_name(*slot);
            if !of.is_empty() && !of.iter().any(|of| of == name) {
                let list = &list.spec().name;
                let problem = format!("`{list}` is not a list of `{name}` values");
                let of: Vec<_> = of.iter().map(|of| format!("`{of} in {list}`")).collect();
                return self.fault(value, problem, format!("write {}", of.join(" or ")));
            }
        }
        Some(())
    }

    fn is_missing(&mut self, tree: &Ast, arguments: &[Ast]) -> Option<Condition> {
        self.count(tree, "is_missing", arguments, 1, 1)?;
        Some(match self.value(&arguments[0])? {
            Typed::Number(value) | Typed::Duration(value) => Condition::missing_number(value),
            Typed::Flag(feature) => {
                Condition::missing_number(Number::Feature { feature, scale: 1.0 })
            }
            Typed::Text(text)
                if text.0.iter().any(|atom| matches!(atom, TextAtom::Constant(_))) =>
            {
                Condition::Constant(false)
            }
            Typed::Text(text) => Condition::MissingText(text),
            Typed::Condition(_) => {
                let help = "ask it of a value: `is_missing(payer.count_1h)`".to_owned();
                return self.fault(&arguments[0], "a condition is never missing".to_owned(), help);
            }
        })
    }

    /// The text of a part, shortened.
    pub(super) fn shown(&self, tree: &Ast) -> String {
        const CHARS: usize = 40;
        let words: Vec<&str> = tree.span.of(self.text).split_whitespace().collect();
        let text = words.join(" ");
        match text.char_indices().nth(CHARS) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }

    pub(super) fn fault<T>(&mut self, at: &Ast, problem: String, help: String) -> Option<T> {
        self.faults.push(Fault::new(at.span, problem, help));
        None
    }
}
