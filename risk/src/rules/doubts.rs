//! Doubts: consumes parts of an expression that make sense, produces warnings for those that say
//! nothing: they always hold, or never.
//!
//! A doubt never refuses a rule: rules that run go on running.

use super::{
    ast::{Ast, AstKind, Comparison},
    check::Checker,
    source::Fault,
    suggest::nearest,
    typed::{Condition, Number, Text, TextAtom, in_order},
    unit::Unit,
};

impl Checker<'_, '_> {
    pub(super) fn doubt(&mut self, at: &Ast, problem: String, help: impl Into<String>) {
        self.scope.doubts.push(Fault::new(at.span, problem, help));
    }

    /// A comparison that was checked.
    pub(super) fn doubt_comparison(&mut self, condition: &Condition, left: &Ast, right: &Ast) {
        let whole = Ast::new(AstKind::Wrong, left.span.to(right.span));
        let shown = self.shown(&whole);
        match condition {
            Condition::Constant(holds) => {
                let problem = format!("`{shown}` {}", always(*holds));
                self.doubt(&whole, problem, "compare a value that differs between payments");
            }
            Condition::Compare(comparison, one, other) => {
                let Some((share, number, holds)) = self.beyond_share(*comparison, one, other)
                else {
                    return;
                };
                let problem =
                    format!("`{share}` is a share of 0 to 1, so `{shown}` {}", always(holds));
                let help = match number {
                    number if number > 1.0 && number <= 100.0 => {
                        format!("if {number} percent is meant, write `{number}%`")
                    }
                    _ => "compare it with a number of 0 to 1".to_owned(),
                };
                self.doubt(&whole, problem, help);
            }
            Condition::SameText { left, right, .. } => {
                let (left, right) = (left.clone(), right.clone());
                self.doubt_texts(&whole, &left, right.constant());
                self.doubt_texts(&whole, &right, left.constant());
            }
            _ => {}
        }
    }

    /// A text that is compared with a constant that it never is.
    pub(super) fn doubt_texts(&mut self, at: &Ast, text: &Text, constant: Option<&str>) {
        let ([TextAtom::Slot(slot)], Some(constant)) = (text.0.as_slice(), constant) else {
            return;
        };
        let vocabulary = self.scope.vocabulary;
        let Some(values) = vocabulary.values(*slot) else { return };
        if values.iter().any(|value| value == constant) {
            return;
        }
        let name = vocabulary.text_name(*slot);
        let help = match nearest(constant, values.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("it is one of {}", values.join(", ")),
        };
        self.doubt(at, format!("`{name}` is never \"{constant}\""), help);
    }

    /// A division by what is always nothing.
    pub(super) fn doubt_division(&mut self, left: &Ast, right: &Ast, by: &Number) {
        if *by == Number::Constant(0.0) {
            let whole = Ast::new(AstKind::Wrong, left.span.to(right.span));
            let shown = self.shown(&whole);
            let problem = format!("`{shown}` divides by 0: it is always missing");
            self.doubt(&whole, problem, "no comparison with it holds: divide by something else");
        }
    }

    /// The name of a share, the constant beyond all shares that it is compared with, and whether
    /// that always holds or never.
    fn beyond_share(
        &self,
        comparison: Comparison,
        left: &Number,
        right: &Number,
    ) -> Option<(String, f64, bool)> {
        let (feature, constant, is_left) = match (left, right) {
            (Number::Feature { feature, .. }, Number::Constant(it)) => (*feature, *it, true),
            (Number::Constant(it), Number::Feature { feature, .. }) => (*feature, *it, false),
            _ => return None,
        };
        let is_share = matches!(self.scope.vocabulary.unit(feature), Unit::Share);
        let holds = |share: f32| match is_left {
            true => in_order(comparison.orders(), share, constant as f32),
            false => in_order(comparison.orders(), constant as f32, share),
        };
        let never = ![0.0, 0.5, 1.0].into_iter().any(holds);
        let is_beyond = !(0.0..=1.0).contains(&constant) || never && constant.fract() == 0.0;
        (is_share && is_beyond)
            .then(|| (self.scope.vocabulary.feature_name(feature).to_owned(), constant, holds(0.5)))
    }
}

/// Of a condition that is the same for all payments.
pub(super) fn always(holds: bool) -> &'static str {
    if holds { "holds for every payment" } else { "never holds" }
}
