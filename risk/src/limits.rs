//! Limits, checked and ready: consumes what an analyst wrote, produces what a payment is held
//! against.

use millrace_ledger::{Currency, LedgerId, RiskDecision, RuleName, Verdict};

use crate::{Action, LimitConfig, Measure, RiskConfig, RiskConfigError, last_hour::Window};

#[derive(Clone, Debug)]
pub(crate) struct Limit {
    measure: Measure,
    ledger: Option<LedgerId>,
    above: u128,
    verdict: Verdict,
}

impl Limit {
    /// The limits in the order in which they are checked: those that decline first.
    pub(crate) fn compile(config: &RiskConfig) -> Result<Vec<Self>, RiskConfigError> {
        let mut limits = Vec::new();
        for limit in &config.limits {
            let compiled = Self::compile_one(limit)?;
            if config.limits.iter().filter(|other| other.name == limit.name).count() > 1 {
                return Err(limit.error("name", &limit.name, "is used by two limits"));
            }
            limits.push(compiled);
        }
        limits.sort_by_key(|limit| limit.verdict.decision != RiskDecision::Decline);
        Ok(limits)
    }

    fn compile_one(config: &LimitConfig) -> Result<Self, RiskConfigError> {
        let rule = RuleName::new(&config.name).filter(|_| !config.name.is_empty());
        let rule = rule.ok_or_else(|| {
            let reason = format!("must have 1 to {} bytes", RuleName::LEN_MAX);
            config.error("name", &config.name, &reason)
        })?;
        let currency = match &config.currency {
            None => None,
            Some(code) => Some(Currency::of_code(code).ok_or_else(|| {
                config.error("currency", code, "is no ISO 4217 code, such as EUR or CZK")
            })?),
        };
        let above = match (config.measure, currency) {
            (Measure::PayerCountPerHour, _) => config
                .above
                .parse()
                .map_err(|_| config.error("above", &config.above, "is no whole number"))?,
            (_, Some(currency)) => {
                let amount = currency.parse(&config.above);
                amount.map_err(|error| config.error("above", &config.above, &error.to_string()))?.0
            }
            (_, None) => {
                let reason = "is missing: an amount or a sum needs one";
                return Err(config.error("currency", "", reason));
            }
        };
        let decision = match config.action {
            Action::Review => RiskDecision::Review,
            Action::Decline => RiskDecision::Decline,
        };
        Ok(Self {
            measure: config.measure,
            ledger: currency.map(|currency| currency.ledger),
            above,
            verdict: Verdict { decision, rule, hold_s: 0 },
        })
    }

    pub(crate) fn needs_window(&self) -> bool {
        self.measure != Measure::PaymentAmount
    }

    /// The verdict, if a payment of this amount exceeds the limit. `window` is the payer's hour
    /// before it.
    pub(crate) fn verdict(
        &self,
        ledger: LedgerId,
        amount: u128,
        window: Window,
    ) -> Option<Verdict> {
        if self.ledger.is_some_and(|only| only != ledger) {
            return None;
        }
        let measured = match self.measure {
            Measure::PaymentAmount => amount,
            Measure::PayerCountPerHour => u128::from(window.count) + 1,
            Measure::PayerSumPerHour => window.sum.saturating_add(amount),
        };
        (measured > self.above).then_some(self.verdict)
    }
}

impl LimitConfig {
    fn error(&self, field: &'static str, value: &str, reason: &str) -> RiskConfigError {
        RiskConfigError {
            name: self.name.clone(),
            field,
            value: value.to_owned(),
            reason: reason.to_owned(),
        }
    }
}
