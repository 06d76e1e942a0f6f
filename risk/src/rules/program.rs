//! The compiled form of rules: consumes a row, texts and a time, produces the rules that hit.
//!
//! One list of operations of 16 bytes holds all rules, one behind the other. A test goes on to the
//! next operation or jumps ahead; nothing jumps back, so that a program ends. Nothing is allocated.

use std::sync::Arc;

use super::{
    list::List,
    set::RuleInput,
    typed::{Binary, TextAtom, in_order, is_among},
};

/// Intermediate results at one time; the dearer side is computed first, so that an expression of
/// `EXPRESSION_BYTES_MAX` never needs more.
pub(crate) const REGISTERS: usize = 16;

/// An operation. A test jumps to `to` where its result is `when`; `orders` are those that
/// [`in_order`] takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    FeatureConstant {
        orders: u8,
        when: bool,
        feature: u16,
        constant: f32,
        to: u32,
    },
    Features {
        orders: u8,
        when: bool,
        left: u16,
        right: u16,
        to: u32,
    },
    FeatureRegister {
        orders: u8,
        when: bool,
        feature: u16,
        register: u8,
        to: u32,
    },
    RegisterConstant {
        orders: u8,
        when: bool,
        register: u8,
        constant: f32,
        to: u32,
    },
    Registers {
        orders: u8,
        when: bool,
        left: u8,
        right: u8,
        to: u32,
    },
    InNumbers {
        negated: bool,
        when: bool,
        register: u8,
        among: u16,
        to: u32,
    },
    FeatureMissing {
        when: bool,
        feature: u16,
        to: u32,
    },
    RegisterMissing {
        when: bool,
        register: u8,
        to: u32,
    },
    SameText {
        equal: bool,
        when: bool,
        left: u16,
        right: u16,
        to: u32,
    },
    InList {
        negated: bool,
        when: bool,
        text: u16,
        list: u16,
        to: u32,
    },
    InTexts {
        negated: bool,
        when: bool,
        text: u16,
        among: u16,
        to: u32,
    },
    TextMissing {
        when: bool,
        text: u16,
        to: u32,
    },
    Always {
        to: u32,
    },
    Load {
        register: u8,
        feature: u16,
    },
    LoadScaled {
        register: u8,
        feature: u16,
        scale: f64,
    },
    Constant {
        register: u8,
        value: f64,
    },
    Absolute {
        register: u8,
    },
    Apply {
        operation: Binary,
        into: u8,
        left: u8,
        right: u8,
    },
    ApplyConstant {
        operation: Binary,
        register: u8,
        value: f64,
    },
    ApplyFeature {
        operation: Binary,
        register: u8,
        feature: u16,
    },
    /// The rule of this number holds.
    Hit {
        rule: u16,
    },
    End,
}

const _: () = assert!(size_of::<Op>() == 16, "four operations per cache line");

/// All rules of one purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) texts: Vec<TextOperand>,
    pub(crate) numbers: Vec<Vec<f32>>,
    pub(crate) among: Vec<Vec<String>>,
    pub(crate) lists: Vec<Arc<List>>,
}

/// A text that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextOperand {
    Slot(u16),
    /// The first that isn't missing.
    First(Vec<TextAtom>),
}

impl TextOperand {
    #[inline]
    fn value<'a>(&'a self, input: &RuleInput<'a>) -> Option<&'a str> {
        match self {
            Self::Slot(slot) => input.texts[usize::from(*slot)],
            Self::First(atoms) => atoms.iter().find_map(|atom| match atom {
                TextAtom::Slot(slot) => input.texts[usize::from(*slot)],
                TextAtom::Constant(text) => Some(text.as_str()),
            }),
        }
    }
}

/// Marks the way that is seldom taken: most rules don't hold, by their first test. Without it the
/// compiler makes each jump a conditional move, and the next operation waits for the comparison
/// instead of being guessed: the set of the bench `risk_rules` then takes 1.8 times as long.
#[cold]
#[inline(always)]
fn seldom() {}

impl Program {
    /// Whether any operation looks at a payment's texts.
    pub(crate) fn looks_at_texts(&self) -> bool {
        !self.texts.is_empty()
    }

    /// Calls `hit` with each rule that holds, in order, until it says that this is enough.
    #[inline]
    pub(crate) fn run(&self, input: &RuleInput<'_>, mut hit: impl FnMut(u16) -> bool) {
        let mut registers = [0.0_f64; REGISTERS];
        let mut at = 0;
        let feature = |index: u16| input.row[usize::from(index)];
        let text = |index: u16| self.texts[usize::from(index)].value(input);
        let slot = |index: u8| usize::from(index) % REGISTERS;
        loop {
            let op = self.ops[at];
            at += 1;
            let (result, when, to) = match op {
                Op::FeatureConstant { orders, when, feature: index, constant, to } => {
                    (in_order(orders, feature(index), constant), when, to)
                }
                Op::Features { orders, when, left, right, to } => {
                    (in_order(orders, feature(left), feature(right)), when, to)
                }
                Op::FeatureRegister { orders, when, feature: index, register, to } => {
                    let other = registers[slot(register)] as f32;
                    (in_order(orders, feature(index), other), when, to)
                }
                Op::RegisterConstant { orders, when, register, constant, to } => {
                    (in_order(orders, registers[slot(register)] as f32, constant), when, to)
                }
                Op::Registers { orders, when, left, right, to } => {
                    let [left, right] = [left, right].map(|index| registers[slot(index)] as f32);
                    (in_order(orders, left, right), when, to)
                }
                Op::InNumbers { negated, when, register, among, to } => {
                    let among = &self.numbers[usize::from(among)];
                    (is_among(among, registers[slot(register)] as f32, negated), when, to)
                }
                Op::FeatureMissing { when, feature: index, to } => {
                    (feature(index).is_nan(), when, to)
                }
                Op::RegisterMissing { when, register, to } => {
                    (registers[slot(register)].is_nan(), when, to)
                }
                Op::SameText { equal, when, left, right, to } => {
                    let both = text(left).zip(text(right));
                    (both.is_some_and(|(left, right)| (left == right) == equal), when, to)
                }
                Op::InList { negated, when, text: index, list, to } => {
                    let list = &self.lists[usize::from(list)];
                    let listed = text(index).is_some_and(|t| list.contains(t, input.at) != negated);
                    (listed, when, to)
                }
                Op::InTexts { negated, when, text: index, among, to } => {
                    let among = &self.among[usize::from(among)];
                    let found = |text: &str| among.binary_search_by(|a| a.as_str().cmp(text));
                    (text(index).is_some_and(|text| found(text).is_ok() != negated), when, to)
                }
                Op::TextMissing { when, text: index, to } => (text(index).is_none(), when, to),
                Op::Always { to } => (true, true, to),
                Op::Load { register, feature: index } => {
                    registers[slot(register)] = f64::from(feature(index));
                    continue;
                }
                Op::LoadScaled { register, feature: index, scale } => {
                    registers[slot(register)] = f64::from(feature(index)) * scale;
                    continue;
                }
                Op::Constant { register, value } => {
                    registers[slot(register)] = value;
                    continue;
                }
                Op::Absolute { register } => {
                    registers[slot(register)] = registers[slot(register)].abs();
                    continue;
                }
                Op::Apply { operation, into, left, right } => {
                    let (left, right) = (registers[slot(left)], registers[slot(right)]);
                    registers[slot(into)] = operation.apply(left, right);
                    continue;
                }
                Op::ApplyConstant { operation, register, value } => {
                    let register = &mut registers[slot(register)];
                    *register = operation.apply(*register, value);
                    continue;
                }
                Op::ApplyFeature { operation, register, feature: index } => {
                    let register = &mut registers[slot(register)];
                    *register = operation.apply(*register, f64::from(feature(index)));
                    continue;
                }
                Op::Hit { rule } => {
                    if hit(rule) {
                        return;
                    }
                    continue;
                }
                Op::End => return,
            };
            if result == when {
                at = to as usize;
            } else {
                seldom();
            }
        }
    }
}
