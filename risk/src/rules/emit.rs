//! Code: consumes conditions, produces a [`Program`].
//!
//! Guarantees that every jump leads ahead, and that an expression finds enough registers.

use std::sync::Arc;

use super::{
    ast::Comparison,
    list::List,
    program::{Op, Program, REGISTERS, TextOperand},
    typed::{Binary, Condition, Number, Text, TextAtom},
};

/// Makes one program of the conditions of several rules, each with its number.
pub(crate) fn emit<'a>(
    rules: impl Iterator<Item = (u16, &'a Condition)>,
    lists: &[Arc<List>],
) -> Program {
    let mut emitter = Emitter::default();
    emitter.program.lists = lists.to_vec();
    for (rule, condition) in rules {
        let next = emitter.label();
        emitter.jump(condition, false, next);
        emitter.program.ops.push(Op::Hit { rule });
        emitter.bind(next);
    }
    emitter.program.ops.push(Op::End);
    emitter.resolve()
}

/// Where something jumps to, before that place is known.
#[derive(Clone, Copy)]
struct Label(u32);

#[derive(Default)]
struct Emitter {
    program: Program,
    /// The operation that each label is bound to.
    places: Vec<u32>,
}

impl Emitter {
    fn label(&mut self) -> Label {
        self.places.push(u32::MAX);
        Label(self.places.len() as u32 - 1)
    }

    fn bind(&mut self, label: Label) {
        self.places[label.0 as usize] = self.program.ops.len() as u32;
    }

    /// Puts operations in the place of labels.
    fn resolve(mut self) -> Program {
        for (index, op) in self.program.ops.iter_mut().enumerate() {
            if let Some(to) = op.target() {
                *to = self.places[*to as usize];
                let ahead = *to as usize > index;
                assert!(ahead && *to != u32::MAX, "a program only goes ahead");
            }
        }
        self.program
    }

    /// Jumps to `to` if the condition is `when`; else goes on behind.
    fn jump(&mut self, condition: &Condition, when: bool, to: Label) {
        let target = to.0;
        match condition {
            Condition::Constant(value) => {
                if *value == when {
                    self.program.ops.push(Op::Always { to: target });
                }
            }
            Condition::Not(inner) => self.jump(inner, !when, to),
            Condition::And(parts) => self.parts(parts, false, when, to),
            Condition::Or(parts) => self.parts(parts, true, when, to),
            Condition::Compare(comparison, left, right) => {
                self.compare(*comparison, left, right, (target, when));
            }
            Condition::SameText { equal, left, right } => {
                let (left, right) = (self.text(left), self.text(right));
                self.program.ops.push(Op::SameText {
                    equal: *equal,
                    when,
                    left,
                    right,
                    to: target,
                });
            }
            Condition::InList { negated, text, list } => {
                let (negated, list) = (*negated, *list);
                let text = self.text(text);
                self.program.ops.push(Op::InList { negated, when, text, list, to: target });
            }
            Condition::InTexts { negated, text, among } => {
                let negated = *negated;
                let text = self.text(text);
                let among = position(&mut self.program.among, among.clone());
                self.program.ops.push(Op::InTexts { negated, when, text, among, to: target });
            }
            Condition::InNumbers { negated, value, among } => {
                self.number(value, 0);
                let among = position(&mut self.program.numbers, among.clone());
                let negated = *negated;
                self.program.ops.push(Op::InNumbers {
                    negated,
                    when,
                    register: 0,
                    among,
                    to: target,
                });
            }
            Condition::MissingNumber(Number::Feature { feature, .. }) => {
                self.program.ops.push(Op::FeatureMissing { when, feature: *feature, to: target });
            }
            Condition::MissingNumber(value) => {
                self.number(value, 0);
                self.program.ops.push(Op::RegisterMissing { when, register: 0, to: target });
            }
            Condition::MissingText(text) => {
                let text = self.text(text);
                self.program.ops.push(Op::TextMissing { when, text, to: target });
            }
        }
    }

    /// Sides of `and` (`decisive` is false) or `or` (true).
    fn parts(&mut self, parts: &[Condition], decisive: bool, when: bool, to: Label) {
        if when == decisive {
            for part in parts {
                self.jump(part, when, to);
            }
            return;
        }
        let Some((last, others)) = parts.split_last() else { return };
        let behind = self.label();
        for part in others {
            self.jump(part, decisive, behind);
        }
        self.jump(last, when, to);
        self.bind(behind);
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        left: &Number,
        right: &Number,
        (to, when): (u32, bool),
    ) {
        let orders = comparison.orders();
        let op = match (plain(left), plain(right), constant(left), constant(right)) {
            (Some(feature), _, _, Some(constant)) => {
                Op::FeatureConstant { orders, when, feature, constant, to }
            }
            (_, Some(feature), Some(constant), _) => {
                let orders = mirrored(orders);
                Op::FeatureConstant { orders, when, feature, constant, to }
            }
            (Some(left), Some(right), ..) => Op::Features { orders, when, left, right, to },
            (Some(feature), ..) => {
                self.number(right, 0);
                Op::FeatureRegister { orders, when, feature, register: 0, to }
            }
            (_, Some(feature), ..) => {
                self.number(left, 0);
                let orders = mirrored(orders);
                Op::FeatureRegister { orders, when, feature, register: 0, to }
            }
            (.., Some(constant)) => {
                self.number(left, 0);
                Op::RegisterConstant { orders, when, register: 0, constant, to }
            }
            (_, _, Some(constant), _) => {
                self.number(right, 0);
                let orders = mirrored(orders);
                Op::RegisterConstant { orders, when, register: 0, constant, to }
            }
            _ => {
                let (left, right) = self.both(left, right, 0);
                Op::Registers { orders, when, left, right, to }
            }
        };
        self.program.ops.push(op);
    }

    /// Computes a number into `register`; those behind it are free.
    fn number(&mut self, number: &Number, register: u8) {
        assert!(usize::from(register) < REGISTERS, "expressions are bounded in length");
        let op = match number {
            Number::Constant(value) => Op::Constant { register, value: *value },
            Number::Feature { feature, scale } if *scale == 1.0 => {
                Op::Load { register, feature: *feature }
            }
            Number::Feature { feature, scale } => {
                Op::LoadScaled { register, feature: *feature, scale: *scale }
            }
            Number::Absolute(value) => {
                self.number(value, register);
                Op::Absolute { register }
            }
            Number::Binary(operation, left, right) => {
                let operation = *operation;
                let turns = matches!(operation, Binary::Add | Binary::Multiply);
                match (&**left, &**right) {
                    (left, Number::Constant(value)) => {
                        self.number(left, register);
                        Op::ApplyConstant { operation, register, value: *value }
                    }
                    (Number::Constant(value), right) if turns => {
                        self.number(right, register);
                        Op::ApplyConstant { operation, register, value: *value }
                    }
                    (left, right) if plain(right).is_some() => {
                        self.number(left, register);
                        let feature = plain(right).unwrap_or_default();
                        Op::ApplyFeature { operation, register, feature }
                    }
                    (left, right) => {
                        let (left, right) = self.both(left, right, register);
                        Op::Apply { operation, into: register, left, right }
                    }
                }
            }
        };
        self.program.ops.push(op);
    }

    /// Computes two numbers, from `register` on. The one that needs more registers comes first,
    /// while all are free: a tree of n leaves then needs no more than log2(n) + 1 of them.
    fn both(&mut self, left: &Number, right: &Number, register: u8) -> (u8, u8) {
        let (first, second) = (register, register + 1);
        if registers(left) >= registers(right) {
            self.number(left, first);
            self.number(right, second);
            (first, second)
        } else {
            self.number(right, first);
            self.number(left, second);
            (second, first)
        }
    }

    fn text(&mut self, text: &Text) -> u16 {
        let operand = match text.0.as_slice() {
            [TextAtom::Slot(slot)] => TextOperand::Slot(*slot),
            atoms => TextOperand::First(atoms.to_vec()),
        };
        position(&mut self.program.texts, operand)
    }
}

/// How many registers a number needs while it is computed.
fn registers(number: &Number) -> u32 {
    match number {
        Number::Constant(_) | Number::Feature { .. } => 1,
        Number::Absolute(value) => registers(value),
        Number::Binary(_, left, right) => {
            let (left, right) = (registers(left), registers(right));
            if left == right { left + 1 } else { left.max(right) }
        }
    }
}

/// A feature as it stands in the row.
fn plain(number: &Number) -> Option<u16> {
    match number {
        Number::Feature { feature, scale } if *scale == 1.0 => Some(*feature),
        _ => None,
    }
}

fn constant(number: &Number) -> Option<f32> {
    match number {
        Number::Constant(value) => Some(*value as f32),
        _ => None,
    }
}

/// What holds with the sides exchanged.
fn mirrored(orders: u8) -> u8 {
    (orders & 0b010) | (orders & 0b001) << 2 | (orders & 0b100) >> 2
}

/// Where in the table the value is; it is added if it isn't there.
fn position<T: PartialEq>(table: &mut Vec<T>, value: T) -> u16 {
    let known = table.iter().position(|other| *other == value).unwrap_or(table.len());
    if known == table.len() {
        table.push(value);
    }
    u16::try_from(known).expect("the cost of a set is bounded")
}

impl Op {
    fn target(&mut self) -> Option<&mut u32> {
        match self {
            Self::FeatureConstant { to, .. }
            | Self::Features { to, .. }
            | Self::FeatureRegister { to, .. }
            | Self::RegisterConstant { to, .. }
            | Self::Registers { to, .. }
            | Self::InNumbers { to, .. }
            | Self::FeatureMissing { to, .. }
            | Self::RegisterMissing { to, .. }
            | Self::SameText { to, .. }
            | Self::InList { to, .. }
            | Self::InTexts { to, .. }
            | Self::TextMissing { to, .. }
            | Self::Always { to } => Some(to),
            _ => None,
        }
    }
}
