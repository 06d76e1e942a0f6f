//! Which template an event gets: consumes the configured rules, once, and guarantees that every
//! template can be rendered for every event that its rule fits.

use millrace_ledger::{Amount, Currency, LedgerId};

use super::{
    EventKind, RuleConfig,
    template::{Facts, Message, Templates},
};
use crate::SinkError;

/// The rules, checked, with their templates compiled.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    templates: Templates,
}

/// What a rule says of kind, currency and amount.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    kind: EventKind,
    ledger: Option<LedgerId>,
    minimum: Amount,
}

impl Rules {
    pub(super) fn compile(configs: &[RuleConfig]) -> Result<Self, SinkError> {
        let mut templates = Templates::new();
        let mut rules = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            rules.push(Rule::check(config).map_err(|problem| SinkError::Rule {
                rule: index + 1,
                kind: config.on.name(),
                problem,
            })?);
            templates.add(index, config)?;
        }
        Ok(Self { rules, templates })
    }

    /// The rule for an event of this kind and amount.
    pub(super) fn find(&self, kind: EventKind, ledger: LedgerId, amount: Amount) -> Option<usize> {
        self.rules.iter().position(|rule| rule.fits(kind, ledger, amount))
    }

    pub(super) fn render(&self, rule: usize, facts: &Facts<'_>) -> Result<Message, SinkError> {
        self.templates.render(rule, facts)
    }
}

impl Rule {
    pub(super) fn fits(self, kind: EventKind, ledger: LedgerId, amount: Amount) -> bool {
        self.kind == kind
            && self.ledger.is_none_or(|wanted| wanted == ledger)
            && self.minimum <= amount
    }

    pub(super) fn check(config: &RuleConfig) -> Result<Self, String> {
        let currency = match &config.currency {
            None => None,
            Some(code) => Some(Currency::of_code(code).ok_or_else(|| {
                format!("currency {code:?} is not in ISO 4217; give three upper-case letters")
            })?),
        };
        let minimum = match (&config.minimum, currency) {
            (None, _) => Amount::ZERO,
            (Some(_), None) => {
                return Err("minimum needs a currency; add one, such as currency = \"CZK\"".into());
            }
            (Some(text), Some(currency)) => {
                currency.parse(text).map_err(|error| format!("minimum {text:?} {error}"))?
            }
        };
        Ok(Self { kind: config.on, ledger: currency.map(|currency| currency.ledger), minimum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(on: EventKind, currency: Option<&str>, minimum: Option<&str>) -> RuleConfig {
        RuleConfig {
            currency: currency.map(Into::into),
            minimum: minimum.map(Into::into),
            ..RuleConfig::any(on)
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = Rules::compile(&[
            rule(EventKind::Settled, Some("CZK"), Some("1000")),
            rule(EventKind::Settled, Some("EUR"), None),
            rule(EventKind::Rejected, None, None),
            rule(EventKind::Settled, Some("CZK"), None),
        ])
        .expect("valid rules");
        let (czk, eur, jpy) = (LedgerId(203), LedgerId(978), LedgerId(392));
        for (kind, ledger, minor, expected) in [
            (EventKind::Settled, czk, 100_000, Some(0)),
            (EventKind::Settled, czk, 99_999, Some(3)),
            (EventKind::Settled, eur, 1, Some(1)),
            (EventKind::Settled, jpy, 1_000_000, None),
            (EventKind::Rejected, jpy, 1, Some(2)),
            (EventKind::Held, czk, 100_000, None),
        ] {
            assert_eq!(rules.find(kind, ledger, Amount(minor)), expected, "{kind:?} {minor}");
        }
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_named() {
        for (currency, minimum, said) in [
            (Some("czk"), None, "currency \"czk\" is not in ISO 4217"),
            (None, Some("5"), "minimum needs a currency"),
            (Some("CZK"), Some("5.001"), "minimum \"5.001\" has more than 2 digits"),
            (Some("CZK"), Some("-5"), "minimum \"-5\" is not a decimal number"),
        ] {
            let rules =
                [RuleConfig::any(EventKind::Held), rule(EventKind::Held, currency, minimum)];
            let error = Rules::compile(&rules).expect_err("makes no sense").to_string();
            assert!(error.starts_with("notify.rules, rule 2 (on = \"held\"): "), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }
}
