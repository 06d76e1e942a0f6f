//! Types of what is calculated: consumes calls and arithmetic, produces numbers, durations and texts
//! that make sense; the other half of [`super::check`].

use super::{
    ast::{Arithmetic, Ast, AstKind},
    check::{Checker, FUNCTIONS, Typed},
    suggest::did_you_mean,
    typed::{Binary, Number, Text, TextAtom},
};

/// Arguments of `min`, `max` and `coalesce`, at most.
const ARGUMENTS_MAX: usize = 16;

impl Checker<'_, '_> {
    pub(super) fn call(&mut self, tree: &Ast, function: &str, arguments: &[Ast]) -> Option<Typed> {
        let operation = match function {
            "abs" => {
                self.count(tree, function, arguments, 1, 1)?;
                return self.signed(&arguments[0], Number::absolute);
            }
            "min" => Binary::Minimum,
            "max" => Binary::Maximum,
            "coalesce" => Binary::Coalesce,
            _ => {
                let checked: Vec<_> = arguments.iter().map(|part| self.value(part)).collect();
                drop(checked);
                let help = did_you_mean(function, FUNCTIONS);
                return self.fault(tree, format!("`{function}` is not a known function"), help);
            }
        };
        self.count(tree, function, arguments, 2, ARGUMENTS_MAX)?;
        let checked: Vec<_> = arguments.iter().map(|part| self.value(part)).collect();
        let checked: Option<Vec<_>> = checked.into_iter().collect();
        let mut parts = checked?.into_iter().zip(arguments);
        let (mut whole, first) = parts.next()?;
        if matches!(whole, Typed::Flag(_) | Typed::Condition(_)) {
            return self.calculates(first, &whole);
        }
        for (part, at) in parts {
            whole = match (whole, part) {
                (Typed::Number(one), Typed::Number(other)) => {
                    Typed::Number(Number::binary(operation, one, other))
                }
                (Typed::Duration(one), Typed::Duration(other)) => {
                    Typed::Duration(Number::binary(operation, one, other))
                }
                (Typed::Text(mut one), Typed::Text(other)) if operation == Binary::Coalesce => {
                    one.0.extend(other.0);
                    Typed::Text(one)
                }
                (Typed::Text(text), Typed::Text(_)) => {
                    return self.calculates(first, &Typed::Text(text));
                }
                (_, part @ (Typed::Flag(_) | Typed::Condition(_))) => {
                    return self.calculates(at, &part);
                }
                (whole, part) => return self.unlike((first, &whole), (at, &part)),
            };
        }
        Some(match whole {
            // What stands behind a constant is never needed.
            Typed::Text(Text(atoms)) => Typed::Text(Text(until_constant(atoms))),
            other => other,
        })
    }

    pub(super) fn count(
        &mut self,
        tree: &Ast,
        function: &str,
        arguments: &[Ast],
        least: usize,
        most: usize,
    ) -> Option<()> {
        let found = arguments.len();
        if (least..=most).contains(&found) {
            return Some(());
        }
        let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let problem = format!("`{function}` takes {range} arguments, and {found} are given");
        let example = match function {
            "abs" => "`abs(amount - payer.mean_30d)`",
            "is_missing" => "`is_missing(context.device)`",
            _ => "`max(amount, 100)`",
        };
        self.fault(tree, problem, format!("write it as {example}"))
    }

    /// An operation on one number or duration, which stays one.
    pub(super) fn signed(
        &mut self,
        part: &Ast,
        operation: impl Fn(Number) -> Number,
    ) -> Option<Typed> {
        match self.value(part)? {
            Typed::Number(value) => Some(Typed::Number(operation(value))),
            Typed::Duration(value) => Some(Typed::Duration(operation(value))),
            other => self.calculates(part, &other),
        }
    }

    pub(super) fn arithmetic(
        &mut self,
        operation: Arithmetic,
        left: &Ast,
        right: &Ast,
    ) -> Option<Typed> {
        use Arithmetic::{Add, Divide, Multiply, Subtract};
        let (one, other) = (self.value(left), self.value(right));
        if let (Divide, Some(Typed::Number(by) | Typed::Duration(by))) = (operation, &other) {
            self.doubt_division(left, right, by);
        }
        let apply = |one, other| Number::binary(operation.into(), one, other);
        match (operation, one?, other?) {
            (_, Typed::Number(one), Typed::Number(other))
            | (Divide, Typed::Duration(one), Typed::Duration(other)) => {
                Some(Typed::Number(apply(one, other)))
            }
            (Add | Subtract, Typed::Duration(one), Typed::Duration(other))
            | (Multiply, Typed::Duration(one), Typed::Number(other))
            | (Multiply, Typed::Number(one), Typed::Duration(other))
            | (Divide, Typed::Duration(one), Typed::Number(other)) => {
                Some(Typed::Duration(apply(one, other)))
            }
            (Add | Subtract, one @ Typed::Number(_), other @ Typed::Duration(_))
            | (Add | Subtract, one @ Typed::Duration(_), other @ Typed::Number(_)) => {
                self.unlike((left, &one), (right, &other))
            }
            (_, Typed::Number(_) | Typed::Duration(_), other @ Typed::Duration(_)) => {
                let problem = format!("{} can't be divided or multiplied like this", other.name());
                let help = "a duration can be multiplied by a number, and divided by either";
                let whole = Ast::new(AstKind::Wrong, left.span.to(right.span));
                self.fault(&whole, problem, help.to_owned())
            }
            (_, Typed::Number(_) | Typed::Duration(_), other) => self.calculates(right, &other),
            (_, one, _) => self.calculates(left, &one),
        }
    }

    /// A text or a condition where a number is needed.
    fn calculates<T>(&mut self, tree: &Ast, found: &Typed) -> Option<T> {
        let (shown, name) = (self.shown(tree), found.name());
        let help = match &tree.kind {
            AstKind::Text(text) if text.parse::<f64>().is_ok() => {
                format!("write the number without quotes: {text}")
            }
            _ => "write a number or the name of one".to_owned(),
        };
        self.fault(tree, format!("`{shown}` is {name} where a number is expected"), help)
    }
}

fn until_constant(mut atoms: Vec<TextAtom>) -> Vec<TextAtom> {
    let constant = atoms.iter().position(|atom| matches!(atom, TextAtom::Constant(_)));
    atoms.truncate(constant.map_or(atoms.len(), |index| index + 1));
    atoms
}
