//! Which rule an owner's telling gets: consumes the configured rules, once, and what happened to
//! whom; produces the rule and the channels. The first rule that fits decides.

use millrace_ledger::{AccountId, Amount, LedgerId, RejectReason};

use super::super::{Channel, EventKind, Role, RuleConfig, rules::Rule};
use crate::SinkError;

/// The rules, checked.
#[derive(Debug)]
pub(super) struct Choices {
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    rule: Rule,
    role: Option<Role>,
    accounts: Vec<u128>,
    owners: Vec<u128>,
    reasons: Vec<String>,
    channels: Vec<Channel>,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) kind: EventKind,
    pub(super) role: Role,
    pub(super) ledger: LedgerId,
    pub(super) amount: Amount,
    pub(super) account: AccountId,
    pub(super) owner: u128,
    /// Empty where nothing was refused.
    pub(super) reason: &'a str,
}

/// How a kind is told when its rule does not say.
const USUAL: &[Channel] = &[Channel::InApp, Channel::Email, Channel::Webhook];
const URGENT: &[Channel] =
    &[Channel::InApp, Channel::Email, Channel::Webhook, Channel::Sms, Channel::Push];

impl Choices {
    /// Checks the rules against the channels that are on.
    pub(super) fn compile(
        configs: &[RuleConfig],
        is_on: impl Fn(Channel) -> bool,
    ) -> Result<Self, SinkError> {
        let mut choices = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            let choice = Choice::check(config, &is_on).map_err(|problem| SinkError::Rule {
                rule: index + 1,
                kind: config.on.name(),
                problem,
            })?;
            choices.push(choice);
        }
        Ok(Self { choices })
    }

    /// The number of the rule that fits, and how it tells.
    pub(super) fn find(&self, question: &Question<'_>) -> Option<(usize, &[Channel])> {
        let number = self.choices.iter().position(|choice| choice.fits(question))?;
        Some((number, &self.choices[number].channels))
    }
}

impl Choice {
    fn check(config: &RuleConfig, is_on: impl Fn(Channel) -> bool) -> Result<Self, String> {
        let rule = Rule::check(config)?;
        if let Some(channel) = config.channels.iter().find(|channel| !is_on(**channel)) {
            let name = channel.name();
            return Err(format!(
                "it names channel {name}, which is off; set sinks.notify.{name}.enabled = true"
            ));
        }
        for reason in &config.reasons {
            if !RejectReason::ALL.iter().any(|known| known.upper_snake_name() == *reason) {
                return Err(format!(
                    "there is no reason {reason:?}; give one as in the API, such as \
                     \"INSUFFICIENT_FUNDS\""
                ));
            }
        }
        let channels = match (config.channels.as_slice(), config.on) {
            ([], EventKind::Security) => URGENT,
            ([], _) => USUAL,
            (named, _) => named,
        };
        let ids = |ids: &[uuid::Uuid]| ids.iter().map(uuid::Uuid::as_u128).collect();
        Ok(Self {
            rule,
            role: config.role,
            accounts: ids(&config.accounts),
            owners: ids(&config.owners),
            reasons: config.reasons.clone(),
            channels: channels.iter().copied().filter(|channel| is_on(*channel)).collect(),
        })
    }

    fn fits(&self, question: &Question<'_>) -> bool {
        let names = |list: &[u128], id: u128| list.is_empty() || list.contains(&id);
        self.rule.fits(question.kind, question.ledger, question.amount)
            && self.role.is_none_or(|role| role == question.role)
            && names(&self.accounts, question.account.0)
            && names(&self.owners, question.owner)
            && (self.reasons.is_empty()
                || self.reasons.iter().any(|reason| reason == question.reason))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const CZK: LedgerId = LedgerId(203);

    fn rule(on: EventKind) -> RuleConfig {
        RuleConfig::any(on)
    }

    fn question(kind: EventKind, role: Role) -> Question<'static> {
        Question {
            kind,
            role,
            ledger: CZK,
            amount: Amount(100_000),
            account: AccountId(7),
            owner: 9,
            reason: "",
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let czk = Some("CZK".to_owned());
        let rules = [
            RuleConfig { accounts: vec![Uuid::from_u128(8)], ..rule(EventKind::Settled) },
            RuleConfig { owners: vec![Uuid::from_u128(10)], ..rule(EventKind::Settled) },
            RuleConfig {
                role: Some(Role::Payee),
                currency: czk.clone(),
                minimum: Some("1000.00".into()),
                ..rule(EventKind::Settled)
            },
            RuleConfig { role: Some(Role::Payer), ..rule(EventKind::Settled) },
            RuleConfig { reasons: vec!["RISK_DECLINED".into()], ..rule(EventKind::Rejected) },
        ];
        let choices = Choices::compile(&rules, |_| true).expect("valid rules");
        let settled = |role| question(EventKind::Settled, role);
        let refused = |reason| Question { reason, ..question(EventKind::Rejected, Role::Payer) };
        for (question, expected) in [
            (Question { account: AccountId(8), ..settled(Role::Payer) }, Some(0)),
            (Question { owner: 10, ..settled(Role::Payer) }, Some(1)),
            (settled(Role::Payee), Some(2)),
            (Question { amount: Amount(99_999), ..settled(Role::Payee) }, None),
            (Question { ledger: LedgerId(978), ..settled(Role::Payee) }, None),
            (settled(Role::Payer), Some(3)),
            (refused("RISK_DECLINED"), Some(4)),
            (refused("INSUFFICIENT_FUNDS"), None),
            (question(EventKind::Held, Role::Payer), None),
        ] {
            let found = choices.find(&question).map(|(number, _)| number);
            assert_eq!(found, expected, "{question:?}");
        }
    }

    #[test]
    fn channels_are_those_named_or_the_usual_ones_that_are_on() {
        use Channel::{Email, InApp, Sms};
        let rules = [
            rule(EventKind::Settled),
            rule(EventKind::Security),
            RuleConfig { channels: vec![Sms], ..rule(EventKind::Held) },
        ];
        let is_on = |channel| matches!(channel, InApp | Email | Sms);
        let choices = Choices::compile(&rules, is_on).expect("valid rules");
        for (kind, expected) in [
            (EventKind::Settled, &[InApp, Email][..]),
            (EventKind::Security, &[InApp, Email, Sms]),
            (EventKind::Held, &[Sms]),
        ] {
            let (_, found) = choices.find(&question(kind, Role::Payer)).expect("a rule fits");
            assert_eq!(found, expected, "{kind:?}");
        }
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_named() {
        let push = vec![Channel::Push];
        for (rule, said) in [
            (
                RuleConfig { channels: push, ..rule(EventKind::Held) },
                "names channel push, which is off",
            ),
            (
                RuleConfig { reasons: vec!["NO_MONEY".into()], ..rule(EventKind::Rejected) },
                "there is no reason \"NO_MONEY\"",
            ),
        ] {
            let error = Choices::compile(&[rule], |channel| channel == Channel::InApp);
            let error = error.expect_err(said).to_string();
            assert!(error.starts_with("notify.rules, rule 1 (on = "), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }
}
