//! A condition that makes sense: consumes typed parts, produces the tree that a program is made of.
//!
//! Guarantees that parts which are the same for all payments are computed once, here, and that of
//! the sides of an `and` or `or` the cheaper comes first. Neither changes what a condition says:
//! no part has an effect beyond its value, and a missing value is a value.

use super::ast::{Arithmetic, Comparison};

/// Durations are in seconds. A missing number is NaN.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Constant(f64),
    Feature { feature: u16, scale: f64 },
    Absolute(Box<Number>),
    Binary(Binary, Box<Number>, Box<Number>),
}

/// An operation on two numbers. Missing if either is, but for [`Binary::Coalesce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Minimum,
    Maximum,
    /// The first unless it is missing.
    Coalesce,
}

/// The first of them that isn't missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<TextAtom>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextAtom {
    /// A place in [`super::RuleInput::texts`].
    Slot(u16),
    Constant(String),
}

/// Each comparison with something missing is false.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Constant(bool),
    Compare(Comparison, Number, Number),
    SameText {
        equal: bool,
        left: Text,
        right: Text,
    },
    /// The number of a list of the set of rules.
    InList {
        negated: bool,
        text: Text,
        list: u16,
    },
    /// Sorted.
    InTexts {
        negated: bool,
        text: Text,
        among: Vec<String>,
    },
    /// Sorted, without -0.
    InNumbers {
        negated: bool,
        value: Number,
        among: Vec<f32>,
    },
    MissingNumber(Number),
    MissingText(Text),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl Binary {
    pub(crate) fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            // How many times nothing a number is, nobody can say.
            Self::Divide if right == 0.0 => f64::NAN,
            Self::Divide => left / right,
            Self::Minimum if left.is_nan() || right.is_nan() => f64::NAN,
            Self::Minimum => left.min(right),
            Self::Maximum if left.is_nan() || right.is_nan() => f64::NAN,
            Self::Maximum => left.max(right),
            Self::Coalesce if left.is_nan() => right,
            Self::Coalesce => left,
        }
    }
}

impl From<Arithmetic> for Binary {
    fn from(arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Add => Self::Add,
            Arithmetic::Subtract => Self::Subtract,
            Arithmetic::Multiply => Self::Multiply,
            Arithmetic::Divide => Self::Divide,
        }
    }
}

impl Comparison {
    /// Which of less, equal and greater (bits 0 to 2) it holds for.
    pub(crate) fn orders(self) -> u8 {
        match self {
            Self::Less => 0b001,
            Self::LessEqual => 0b011,
            Self::Equal => 0b010,
            Self::NotEqual => 0b101,
            Self::GreaterEqual => 0b110,
            Self::Greater => 0b100,
        }
    }
}

/// Whether numbers stand in one of `orders`. Features are f32: a constant is rounded as they are,
/// so that 19.99 is 19.99. Without a branch; a missing number stands in no order.
#[inline]
pub(crate) fn in_order(orders: u8, left: f32, right: f32) -> bool {
    let order = u8::from(left < right) | u8::from(left == right) << 1 | u8::from(left > right) << 2;
    order & orders != 0
}

/// Whether a number is in a sorted set, or not in it. Neither if it is missing.
pub(crate) fn is_among(among: &[f32], value: f32, negated: bool) -> bool {
    let found = among.binary_search_by(|number| number.total_cmp(&(value + 0.0))).is_ok();
    !value.is_nan() && found != negated
}

impl Number {
    pub(crate) fn binary(operation: Binary, left: Self, right: Self) -> Self {
        match (&left, &right) {
            (Self::Constant(left), Self::Constant(right)) => {
                Self::Constant(operation.apply(*left, *right))
            }
            _ => Self::Binary(operation, Box::new(left), Box::new(right)),
        }
    }

    pub(crate) fn absolute(value: Self) -> Self {
        match value {
            Self::Constant(value) => Self::Constant(value.abs()),
            value => Self::Absolute(Box::new(value)),
        }
    }

    /// Operations, weighted; about nanoseconds.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Constant(_) => 0,
            Self::Feature { .. } => 1,
            Self::Absolute(value) => 1 + value.cost(),
            Self::Binary(operation, left, right) => {
                let own = if *operation == Binary::Divide { 2 } else { 1 };
                own + left.cost() + right.cost()
            }
        }
    }
}

impl Text {
    fn cost(&self) -> u32 {
        self.0.len() as u32
    }

    /// The same for all payments.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [TextAtom::Constant(text)] => Some(text),
            _ => None,
        }
    }
}

impl Condition {
    pub(crate) fn compare(comparison: Comparison, left: Number, right: Number) -> Self {
        match (&left, &right) {
            (Number::Constant(left), Number::Constant(right)) => {
                let holds = in_order(comparison.orders(), *left as f32, *right as f32);
                Self::Constant(holds)
            }
            _ => Self::Compare(comparison, left, right),
        }
    }

    pub(crate) fn same_text(equal: bool, left: Text, right: Text) -> Self {
        match (left.constant(), right.constant()) {
            (Some(left), Some(right)) => Self::Constant((left == right) == equal),
            _ => Self::SameText { equal, left, right },
        }
    }

    /// Whether a number is one of constants.
    pub(crate) fn in_numbers(negated: bool, value: Number, among: &[f64]) -> Self {
        // Adding 0 makes 0 of -0.
        let mut among: Vec<f32> = among.iter().map(|number| *number as f32 + 0.0).collect();
        among.sort_by(f32::total_cmp);
        among.dedup();
        match value {
            Number::Constant(value) => Self::Constant(is_among(&among, value as f32, negated)),
            value => Self::InNumbers { negated, value, among },
        }
    }

    pub(crate) fn missing_number(value: Number) -> Self {
        match value {
            Number::Constant(value) => Self::Constant(value.is_nan()),
            value => Self::MissingNumber(value),
        }
    }

    pub(crate) fn not(condition: Self) -> Self {
        match condition {
            Self::Constant(value) => Self::Constant(!value),
            Self::Not(inner) => *inner,
            condition => Self::Not(Box::new(condition)),
        }
    }

    pub(crate) fn and(parts: impl IntoIterator<Item = Self>) -> Self {
        let within = |part| match part {
            Self::And(inner) => inner,
            part => vec![part],
        };
        Self::joined(parts.into_iter().flat_map(within), false, Self::And)
    }

    pub(crate) fn or(parts: impl IntoIterator<Item = Self>) -> Self {
        let within = |part| match part {
            Self::Or(inner) => inner,
            part => vec![part],
        };
        Self::joined(parts.into_iter().flat_map(within), true, Self::Or)
    }

    /// `decisive` is the value of a part that makes the others not matter.
    fn joined(
        parts: impl Iterator<Item = Self>,
        decisive: bool,
        kind: impl Fn(Vec<Self>) -> Self,
    ) -> Self {
        let mut parts: Vec<Self> =
            parts.filter(|part| *part != Self::Constant(!decisive)).collect();
        if parts.contains(&Self::Constant(decisive)) {
            return Self::Constant(decisive);
        }
        // The cheap ones first: they often make the dear ones unnecessary.
        parts.sort_by_key(Self::cost);
        match parts.len() {
            0 => Self::Constant(!decisive),
            1 => parts.swap_remove(0),
            _ => kind(parts),
        }
    }

    /// Operations at most, weighted; about nanoseconds.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Constant(_) => 0,
            Self::Compare(_, left, right) => 1 + left.cost() + right.cost(),
            Self::SameText { left, right, .. } => 3 + left.cost() + right.cost(),
            Self::InList { text, .. } => 10 + text.cost(),
            Self::InTexts { text, among, .. } => 3 + bits(among.len()) + text.cost(),
            Self::InNumbers { value, among, .. } => 1 + bits(among.len()) + value.cost(),
            Self::MissingNumber(value) => 1 + value.cost(),
            Self::MissingText(text) => 1 + text.cost(),
            Self::Not(condition) => condition.cost(),
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::cost).sum(),
        }
    }
}

/// Steps of a search in so many.
fn bits(len: usize) -> u32 {
    usize::BITS - len.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_with_a_missing_number_are_false() {
        use Comparison::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        for (comparison, less, equal, greater) in [
            (Less, true, false, false),
            (LessEqual, true, true, false),
            (Equal, false, true, false),
            (NotEqual, true, false, true),
            (GreaterEqual, false, true, true),
            (Greater, false, false, true),
        ] {
            let holds = |left, right| in_order(comparison.orders(), left, right);
            assert_eq!([holds(1.0, 2.0), holds(2.0, 2.0), holds(3.0, 2.0)], [less, equal, greater]);
            for (left, right) in [(f32::NAN, 1.0), (1.0, f32::NAN), (f32::NAN, f32::NAN)] {
                assert!(!holds(left, right), "{comparison:?} {left} {right}");
            }
        }
    }

    #[test]
    fn operations_with_a_missing_number_are_missing_but_for_coalesce() {
        use Binary::{Add, Coalesce, Divide, Maximum, Minimum, Multiply, Subtract};
        for operation in [Add, Subtract, Multiply, Divide, Minimum, Maximum] {
            assert!(operation.apply(f64::NAN, 2.0).is_nan(), "{operation:?}");
            assert!(operation.apply(2.0, f64::NAN).is_nan(), "{operation:?}");
        }
        assert!(Divide.apply(2.0, 0.0).is_nan());
        assert_eq!(Coalesce.apply(f64::NAN, 2.0), 2.0);
        assert_eq!(Coalesce.apply(1.0, 2.0), 1.0);
    }
}
