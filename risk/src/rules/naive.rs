//! The naive form of the language: consumes the tree as it is written and values by name, produces
//! what a condition says. Slow and plain; the compiled form is compared with it.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Arithmetic, Ast, AstKind, Comparison, Set};

/// What a name or a part of an expression is worth.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// None is missing.
    Number(Option<f64>),
    Text(Option<String>),
    Condition(bool),
    /// A condition that may be missing.
    Flag(Option<bool>),
}

/// Values by name, durations in seconds, and what is listed now.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) lists: BTreeMap<String, BTreeSet<String>>,
}

impl World {
    pub(crate) fn holds(&self, tree: &Ast) -> bool {
        match self.value(tree) {
            Value::Condition(value) => value,
            Value::Flag(value) => value == Some(true),
            other => panic!("{tree} is {other:?}"),
        }
    }

    fn value(&self, tree: &Ast) -> Value {
        match &tree.kind {
            AstKind::Wrong => panic!("a wrong tree"),
            AstKind::Number(value) | AstKind::Duration(value) => Value::Number(Some(*value)),
            AstKind::Text(text) => Value::Text(Some(text.clone())),
            AstKind::Bool(value) => Value::Condition(*value),
            AstKind::Name(name) => self.values[name].clone(),
            AstKind::Negate(part) => Value::Number(self.number(part).map(|value| -value)),
            AstKind::Arithmetic(operation, left, right) => {
                let both = self.number(left).zip(self.number(right));
                Value::Number(both.and_then(|(left, right)| calculate(*operation, left, right)))
            }
            AstKind::Compare(comparison, left, right) => {
                Value::Condition(self.compare(*comparison, left, right))
            }
            AstKind::Within { value, negated, set } => {
                Value::Condition(self.within(value, set).is_some_and(|within| within != *negated))
            }
            AstKind::Not(part) => Value::Condition(!self.holds(part)),
            AstKind::And(parts) => Value::Condition(parts.iter().all(|part| self.holds(part))),
            AstKind::Or(parts) => Value::Condition(parts.iter().any(|part| self.holds(part))),
            AstKind::Call { function, arguments, .. } => self.call(function, arguments),
        }
    }

    fn number(&self, tree: &Ast) -> Option<f64> {
        match self.value(tree) {
            Value::Number(value) => value,
            other => panic!("{tree} is {other:?}"),
        }
    }

    fn compare(&self, comparison: Comparison, left: &Ast, right: &Ast) -> bool {
        match (self.value(left), self.value(right)) {
            (Value::Number(left), Value::Number(right)) => {
                let (Some(left), Some(right)) = (left, right) else { return false };
                let (left, right) = (left as f32, right as f32);
                match comparison {
                    Comparison::Less => left < right,
                    Comparison::LessEqual => left <= right,
                    Comparison::Equal => left == right,
                    Comparison::NotEqual => left != right,
                    Comparison::GreaterEqual => left >= right,
                    Comparison::Greater => left > right,
                }
            }
            (Value::Text(left), Value::Text(right)) => match (left, right) {
                (Some(left), Some(right)) => (left == right) == (comparison == Comparison::Equal),
                _ => false,
            },
            other => panic!("{other:?}"),
        }
    }

    /// None if the value is missing.
    fn within(&self, value: &Ast, set: &Set) -> Option<bool> {
        match (self.value(value), set) {
            (Value::Text(text), Set::List(name, _)) => Some(self.lists[name].contains(&text?)),
            (Value::Text(text), Set::Items(items, _)) => {
                let text = text?;
                let same = |item| matches!(self.value(item), Value::Text(Some(t)) if t == text);
                Some(items.iter().any(same))
            }
            (Value::Number(number), Set::Items(items, _)) => {
                let number = number? as f32;
                Some(items.iter().any(|item| self.number(item).map(|n| n as f32) == Some(number)))
            }
            other => panic!("{other:?}"),
        }
    }

    fn call(&self, function: &str, arguments: &[Ast]) -> Value {
        let values: Vec<Value> = arguments.iter().map(|argument| self.value(argument)).collect();
        let numbers = || -> Option<Vec<f64>> {
            let number = |value: &Value| match value {
                Value::Number(value) => *value,
                other => panic!("{other:?}"),
            };
            values.iter().map(number).collect()
        };
        let missing = |value: &Value| match value {
            Value::Number(value) => value.is_none(),
            Value::Text(value) => value.is_none(),
            Value::Flag(value) => value.is_none(),
            Value::Condition(_) => false,
        };
        match function {
            "min" => Value::Number(numbers().map(|all| all.into_iter().fold(f64::MAX, f64::min))),
            "max" => Value::Number(numbers().map(|all| all.into_iter().fold(f64::MIN, f64::max))),
            "abs" => Value::Number(numbers().map(|all| all[0].abs())),
            "is_missing" => Value::Condition(missing(&values[0])),
            "coalesce" => {
                let last = values[values.len() - 1].clone();
                values.into_iter().find(|value| !missing(value)).unwrap_or(last)
            }
            other => panic!("{other}"),
        }
    }
}

fn calculate(operation: Arithmetic, left: f64, right: f64) -> Option<f64> {
    match operation {
        Arithmetic::Add => Some(left + right),
        Arithmetic::Subtract => Some(left - right),
        Arithmetic::Multiply => Some(left * right),
        Arithmetic::Divide => (right != 0.0).then(|| left / right),
    }
}
