//! Compiled policies: consumes a policy document and the shelf, produces what decides about rows of
//! features.
//!
//! Guarantees that whatever a document names is there, whole, and fits the catalogue that is running:
//! a document with anything wrong never becomes a policy.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use millrace_ledger::{RiskDecision, RuleName, Verdict};

use super::{
    attempt::CONTEXT_KEYS,
    document::{Fallback, PolicyDocument, Thresholds},
};
use crate::{
    features::{Catalogue, EntitySource},
    model::Model,
    rules::{List, ListKind, ListLimits, ListSpec, Lists, RuleAction, RuleSet, Vocabulary},
    shelf::Shelf,
};

/// Texts that rules may always speak of, in the order of their values. Behind them come
/// [`own_context_keys`].
pub const TEXTS: [&str; 7] = [
    "payer",
    "payee",
    "context.device",
    "context.ip",
    "context.country",
    "context.mcc",
    "context.channel",
];
/// What rules call the champion's score.
const SCORE: &str = "score";

/// A policy, ready to decide.
#[derive(Debug)]
pub struct Compiled {
    /// Its name on the shelf.
    pub name: String,
    /// As it was written.
    pub document: PolicyDocument,
    pub(super) model: Option<Model>,
    pub(super) challenger: Option<Model>,
    pub(super) rules: Option<RuleSet>,
    /// Verdicts of rules, by their number.
    pub(super) rule_verdicts: Vec<Verdict>,
    segments: Option<RuleSet>,
    bands: Vec<Band>,
    pub(super) fallback: Verdict,
    /// The features on demand that its rules, segments and models need.
    pub on_demand: Vec<String>,
    /// Keys of the texts behind [`TEXTS`].
    pub(super) own_keys: Vec<String>,
}

/// What thresholds come to in one segment; the last band is everywhere else.
#[derive(Clone, Copy, Debug)]
struct Band {
    thresholds: Thresholds,
    /// Of review, challenge and decline.
    verdicts: [Verdict; 3],
}

/// Compiles policies, and keeps the ones that were compiled. Shared with whoever checks a policy
/// before it is promoted, so that the engine finds it ready.
#[derive(Clone, Debug)]
pub struct Library {
    shelf: Shelf,
    catalogue: Arc<Catalogue>,
    compiled: Arc<Mutex<HashMap<String, Arc<Compiled>>>>,
    /// Of policies whose decisions were explained.
    explained: Arc<Mutex<HashMap<String, Arc<Catalogue>>>>,
}

/// Policies that are kept compiled.
const KEPT_MAX: usize = 8;

impl Library {
    /// Policies over this shelf, for rows of this catalogue.
    #[must_use]
    pub fn new(shelf: Shelf, catalogue: Arc<Catalogue>) -> Self {
        Self { shelf, catalogue, compiled: Arc::default(), explained: Arc::default() }
    }

    /// The shelf.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The names that rules may use.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary {
        vocabulary(&self.catalogue)
    }

    /// The policy of this name, compiled now unless it was before.
    ///
    /// # Errors
    /// What is wrong with it: one sentence per line.
    pub fn compile(&self, name: &str) -> Result<Arc<Compiled>, String> {
        let name = name.to_ascii_lowercase();
        // Whoever panicked with the lock left a whole map.
        let kept = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = kept().get(&name) {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(self.compile_anew(&name)?);
        let mut kept = kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(name, compiled.clone());
        Ok(compiled)
    }

    fn compile_anew(&self, name: &str) -> Result<Compiled, String> {
        let text = self.text(name, "policy")?;
        let document = PolicyDocument::parse(&text).map_err(|it| format!("policy {name}: {it}"))?;
        let model = document.model.as_deref().map(|it| self.model(it, "model")).transpose()?;
        let challenger = document.challenger.as_deref();
        let challenger = challenger.map(|it| self.model(it, "challenger")).transpose()?;
        let mut lists = Lists::new();
        for list in &document.lists {
            lists.insert(self.list(list)?);
        }
        let vocabulary = self.vocabulary();
        let compile = |what: &str, file: &str| {
            RuleSet::compile(file, &vocabulary, &lists).map_err(|errors| {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                format!("{what}: {}", errors.join("\n"))
            })
        };
        let rules = match &document.rules {
            None => None,
            Some(name) => Some(compile("rules", &self.text(name, "rule file")?)?),
        };
        let segments = match document.segments.is_empty() {
            true => None,
            false => Some(compile("segments", &segments_as_rules(&document))?),
        };
        let mut bands: Vec<_> = document
            .segments
            .iter()
            .map(|it| Band::new(&document, it.thresholds(), &format!("score/{}", it.name)))
            .collect();
        bands.push(Band::new(&document, document.thresholds, "score"));
        let rule_verdicts = rules
            .iter()
            .flat_map(RuleSet::rules)
            .map(|rule| verdict(&document, decision_of(rule.action), &rule.name));
        let rule_verdicts = rule_verdicts.collect();
        let fallback = match document.budget.then {
            Fallback::Approve => RiskDecision::Approve,
            Fallback::Review => RiskDecision::Review,
            Fallback::Decline => RiskDecision::Decline,
        };
        let fallback = verdict(&document, fallback, "time-budget");
        let name = name.to_owned();
        let of_rules = rules.iter().chain(&segments).flat_map(RuleSet::features);
        let of_models = model.iter().chain(&challenger).flat_map(Model::features);
        let needed = of_rules.chain(of_models.map(String::as_str));
        let on_demand = self.catalogue.on_demand(needed);
        Ok(Compiled {
            name,
            document,
            model,
            challenger,
            rules,
            rule_verdicts,
            segments,
            bands,
            fallback,
            on_demand,
            own_keys: own_context_keys(&self.catalogue),
        })
    }

    fn bytes(&self, name: &str, what: &str) -> Result<Vec<u8>, String> {
        self.shelf.get(name).map_err(|error| format!("{what}: {error}"))
    }

    fn text(&self, name: &str, what: &str) -> Result<String, String> {
        String::from_utf8(self.bytes(name, what)?)
            .map_err(|_| format!("{what} {name} is no text. Upload the right file"))
    }

    /// A model for rows of the catalogue that is running.
    fn model(&self, name: &str, what: &str) -> Result<Model, String> {
        let bytes = self.bytes(name, what)?;
        let model = Model::from_bytes(&bytes).and_then(|it| it.fitted_to(&self.catalogue));
        model.map_err(|error| format!("{what} {name}: {error}"))
    }

    /// The features that reasons of this policy are numbered by: those of its model, in the model's
    /// order, as they were when it was trained. So a number in the journal keeps its name, whatever
    /// becomes of the catalogue that is running. `None` where the policy has no model, or is not
    /// whole on the shelf any more.
    #[must_use]
    pub fn catalogue_of(&self, policy: &str) -> Option<Arc<Catalogue>> {
        let policy = policy.to_ascii_lowercase();
        // Whoever panicked with the lock left a whole map.
        let kept = || self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(catalogue) = kept().get(&policy) {
            return Some(catalogue.clone());
        }
        let document = PolicyDocument::parse(&self.text(&policy, "policy").ok()?).ok()?;
        let model = Model::from_bytes(&self.shelf.get(&document.model?).ok()?).ok()?;
        let own = model.own_catalogue().ok()?;
        let catalogue = own.as_ref().unwrap_or(&self.catalogue).selected(model.features())?;
        let catalogue = Arc::new(catalogue);
        let mut kept = kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(policy, catalogue.clone());
        Some(catalogue)
    }

    fn list(&self, list: &super::document::ListDocument) -> Result<List, String> {
        let kind = match list.kind.as_str() {
            "allow" => ListKind::Allow,
            "block" => ListKind::Block,
            "watch" => ListKind::Watch,
            other => {
                let name = &list.name;
                return Err(format!("list {name:?}: kind {other:?} is not allow, block or watch"));
            }
        };
        let spec = ListSpec { name: list.name.clone(), kind, of: list.of.clone() };
        let bytes = self.bytes(&list.artefact, "list")?;
        List::from_csv(spec, ListLimits::default(), &bytes[..]).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            format!("list {:?}: {}", list.name, errors.join("\n"))
        })
    }
}

/// The names that rules may use over rows of a catalogue.
#[must_use]
pub fn vocabulary(catalogue: &Catalogue) -> Vocabulary {
    let features = catalogue.features().iter().map(|it| (it.name.clone(), it.unit.clone()));
    let score = std::iter::once((SCORE.to_owned(), "share".to_owned()));
    let own = own_context_keys(catalogue).into_iter().map(|key| format!("context.{key}"));
    Vocabulary::new(features.chain(score), TEXTS.map(str::to_owned).into_iter().chain(own))
}

/// Keys of upstreams' own that the catalogue has entities of, in their order: rules may speak of them,
/// too.
#[must_use]
pub fn own_context_keys(catalogue: &Catalogue) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for entity in catalogue.entities() {
        if let EntitySource::Context(key) = &entity.source
            && !CONTEXT_KEYS.contains(&key.as_str())
            && !keys.contains(key)
        {
            keys.push(key.clone());
        }
    }
    keys
}

/// Segments are rules that allow: the first one that holds names the segment.
fn segments_as_rules(document: &PolicyDocument) -> String {
    let rule = |segment: &super::document::SegmentDocument| {
        let (name, when) = (quoted(&segment.name), quoted(&segment.when));
        format!(
            "[[rule]]\nname = {name}\nwhen = {when}\naction = \"allow\"\nreason = \"segment\"\n"
        )
    };
    document.segments.iter().map(rule).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn decision_of(action: RuleAction) -> RiskDecision {
    match action {
        RuleAction::Allow => RiskDecision::Approve,
        RuleAction::Block => RiskDecision::Decline,
        RuleAction::Challenge => RiskDecision::Challenge,
        RuleAction::Review => RiskDecision::Review,
    }
}

fn verdict(document: &PolicyDocument, decision: RiskDecision, rule: &str) -> Verdict {
    if decision == RiskDecision::Approve {
        return Verdict::APPROVE;
    }
    let hold_s = match decision {
        RiskDecision::Review => document.review.hold_s,
        RiskDecision::Challenge => document.challenge.hold_s,
        RiskDecision::NotJudged | RiskDecision::Approve | RiskDecision::Decline => 0,
    };
    // Names were checked to fit.
    Verdict { decision, rule: RuleName::new(rule).unwrap_or_default(), hold_s }
}

impl Band {
    fn new(document: &PolicyDocument, thresholds: Thresholds, rule: &str) -> Self {
        let decisions = [RiskDecision::Review, RiskDecision::Challenge, RiskDecision::Decline];
        let verdicts = decisions.map(|decision| verdict(document, decision, rule));
        Self { thresholds, verdicts }
    }

    fn verdict(&self, score: f32) -> Verdict {
        let Thresholds { review, challenge, decline } = self.thresholds;
        let reached = |threshold: Option<f32>| threshold.is_some_and(|it| score >= it);
        match () {
            () if reached(decline) => self.verdicts[2],
            () if reached(challenge) => self.verdicts[1],
            () if reached(review) => self.verdicts[0],
            () => Verdict::APPROVE,
        }
    }
}

impl Compiled {
    /// What a score comes to in the payment's segment.
    pub(super) fn of_score(&self, score: f32, input: &crate::rules::RuleInput<'_>) -> Verdict {
        let segment = self.segments.as_ref().and_then(|segments| segments.evaluate(input));
        let place = segment.map_or(self.bands.len() - 1, |hit| usize::from(hit.rule));
        self.bands[place].verdict(score)
    }

    /// The same policy without a model and with no time left, for tests.
    #[cfg(test)]
    pub(super) fn with_spent_budget(compiled: &Self, then: super::document::Fallback) -> Self {
        let mut document = compiled.document.clone();
        document.budget = super::document::BudgetDocument { request_ms: u32::MAX, then };
        let fallback = verdict(&document, RiskDecision::Review, "time-budget");
        Self {
            name: compiled.name.clone(),
            document,
            model: None,
            challenger: None,
            rules: None,
            rule_verdicts: Vec::new(),
            segments: None,
            bands: Vec::new(),
            fallback,
            on_demand: Vec::new(),
            own_keys: Vec::new(),
        }
    }

    /// Whether rules or segments look at a payment's texts.
    pub(super) fn looks_at_texts(&self) -> bool {
        self.rules.iter().chain(&self.segments).any(RuleSet::looks_at_texts)
    }
}
