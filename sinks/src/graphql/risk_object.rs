//! What risk had to say of a payment: turns evidence of the journal into a GraphQL object, with
//! reasons in words where the catalogue of features is known.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject};
use millrace_ledger::{RiskDecision as LedgerRiskDecision, Verdict};
use millrace_risk::{
    evidence::{Evidence, Reason},
    features::Catalogue,
    reasons::in_words,
};

use super::{enums::RiskDecision, error::read_failed, services::Services};

pub(super) struct RiskExplanation {
    pub(super) evidence: Evidence,
    pub(super) verdict: Verdict,
}

/// What risk had to say of a payment.
#[Object]
impl RiskExplanation {
    /// What it decided.
    async fn decision(&self) -> RiskDecision {
        self.verdict.decision.into()
    }

    /// The limit or rule that decided; null where it was the score, or where nothing stood against
    /// the payment.
    async fn rule(&self) -> Option<String> {
        let rule = self.verdict.rule;
        Some(rule.as_str().to_owned()).filter(|rule| !rule.is_empty())
    }

    /// Why the rule that decided holds, in words, with the payment's values; null unless a rule of the
    /// policy kept the payment from being approved.
    async fn rule_reason(&self) -> Option<&str> {
        self.evidence.rule_reason.as_deref()
    }

    /// The model's score, 0 to 1: the probability of fraud; null where no model was asked.
    async fn score(&self) -> Option<f64> {
        self.evidence.score.map(f64::from)
    }

    /// Number of the policy in force, with its rules and its model; 0 where there was none.
    async fn policy_number(&self) -> u32 {
        u32::from(self.evidence.policy)
    }

    /// The policy's name, BLAKE3 of its document; null where reviews are switched off here.
    #[graphql(complexity = 5)]
    async fn policy_name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        self.policy_on_shelf(ctx).await
    }

    /// The score of the model that is tried out beside the one in force.
    async fn challenger_score(&self) -> Option<f64> {
        self.evidence.challenger.map(|(score, _)| f64::from(score))
    }

    /// What that one would have decided.
    async fn challenger_decision(&self) -> Option<RiskDecision> {
        let (_, number) = self.evidence.challenger?;
        LedgerRiskDecision::from_number(number).map(RiskDecision::from)
    }

    /// The time for a decision was spent: the policy's fallback decided.
    async fn fell_back(&self) -> bool {
        self.evidence.fell_back
    }

    /// What moved the score most, most first; empty for payments that were approved.
    async fn reasons(&self, ctx: &Context<'_>) -> Result<Vec<RiskReason>> {
        let catalogue = match self.evidence.reasons.as_slice() {
            [] => None,
            _ => self.catalogue(ctx).await?,
        };
        let reason = |reason: &Reason| RiskReason::new(*reason, catalogue.as_deref());
        Ok(self.evidence.reasons.iter().map(reason).collect())
    }
}

impl RiskExplanation {
    async fn policy_on_shelf(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let number = u32::from(self.evidence.policy);
        let Some(reviews) = Services::of(ctx)?.reviews.clone().filter(|_| number > 0) else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || reviews.policies(Some(number + 1), 1));
        let found = read.await?.map_err(|error| read_failed(&error))?;
        Ok(found.into_iter().find(|set| set.number == number).map(|set| set.name))
    }

    /// The features that the reasons are numbered by, where they are known here.
    async fn catalogue(&self, ctx: &Context<'_>) -> Result<Option<Arc<Catalogue>>> {
        let (Some(policies), Some(name)) =
            (Services::of(ctx)?.policies.clone(), self.policy_on_shelf(ctx).await?)
        else {
            return Ok(None);
        };
        Ok(tokio::task::spawn_blocking(move || policies.catalogue_of(&name)).await?)
    }
}

/// Something that moved a score.
#[derive(SimpleObject)]
struct RiskReason {
    /// The feature's number in the policy's model.
    number: u32,
    /// Its name; null where the policy is not known here.
    feature: Option<String>,
    /// What it says of the payment, in words; null where the policy is not known here.
    text: Option<String>,
    /// Its value for the payment; null where there was none.
    value: Option<f64>,
    /// By how much it moved the raw score; up is towards fraud.
    contribution: f64,
}

impl RiskReason {
    fn new(reason: Reason, catalogue: Option<&Catalogue>) -> Self {
        let number = usize::from(reason.feature);
        let named = catalogue.and_then(|catalogue| {
            let feature = catalogue.features().get(number)?;
            // Only this feature's own value is looked at.
            let mut row = vec![f32::NAN; catalogue.features().len()];
            row[number] = reason.value;
            Some((feature.name.clone(), in_words(catalogue, number, &row)))
        });
        let (feature, text) = named.unzip();
        let value = Some(f64::from(reason.value)).filter(|value| value.is_finite());
        let contribution = f64::from(reason.contribution);
        Self { number: u32::from(reason.feature), feature, text, value, contribution }
    }
}
