//! Compiled policies: consumes a policy document and the artefacts that it names, produces what
//! decides about rows of features.
//!
//! Guarantees that whatever a document names is there, whole, and fits the catalogue that is running:
//! a document with anything wrong never becomes a policy.

use millrace_ledger::{RiskDecision, RuleName, Verdict};

use super::{
    attempt::{CHANNELS, CONTEXT_KEYS},
    document::{Fallback, ListDocument, PolicyDocument, SegmentDocument, Thresholds},
};
use crate::{
    features::{Catalogue, EntitySource},
    model::Model,
    rules::{
        List, ListKind, ListLimits, ListSpec, Lists, RuleAction, RuleCounts, RuleInput, RuleSet,
        Vocabulary,
    },
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

/// The names that rules may use over rows of a catalogue.
#[must_use]
pub fn vocabulary(catalogue: &Catalogue) -> Vocabulary {
    let features = catalogue.features().iter().map(|it| (it.name.clone(), it.unit.clone()));
    let score = std::iter::once((SCORE.to_owned(), "share".to_owned()));
    let own = own_context_keys(catalogue).into_iter().map(|key| format!("context.{key}"));
    let texts = TEXTS.map(str::to_owned).into_iter().chain(own);
    Vocabulary::new(features.chain(score), texts).with_values("context.channel", &CHANNELS[1..])
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

/// The stricter of two verdicts; the first of equals.
pub(super) fn stricter(one: Verdict, other: Verdict) -> Verdict {
    let strictness = |verdict: &Verdict| match verdict.decision {
        RiskDecision::NotJudged | RiskDecision::Approve => 0,
        RiskDecision::Review => 1,
        RiskDecision::Challenge => 2,
        RiskDecision::Decline => 3,
    };
    if strictness(&other) > strictness(&one) { other } else { one }
}

fn fetched(
    artefact: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    name: &str,
    what: &str,
) -> Result<Vec<u8>, String> {
    artefact(name).map_err(|error| format!("{what}: {error}"))
}

pub(super) fn as_text(bytes: Vec<u8>, name: &str, what: &str) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| format!("{what} {name} is no text. Upload the right file"))
}

fn list_of(
    list: &ListDocument,
    artefact: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<List, String> {
    let name = &list.name;
    let kind = match list.kind.as_str() {
        "allow" => ListKind::Allow,
        "block" => ListKind::Block,
        "watch" => ListKind::Watch,
        other => {
            return Err(format!("list {name:?}: kind {other:?} is not allow, block or watch"));
        }
    };
    let spec = ListSpec { name: name.clone(), kind, of: list.of.clone() };
    let bytes = fetched(artefact, &list.artefact, "list")?;
    List::from_csv(spec, ListLimits::default(), &bytes[..]).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        format!("list {name:?}: {}", errors.join("\n"))
    })
}

/// Segments are rules that allow: the first one that holds names the segment.
fn segments_as_rules(document: &PolicyDocument) -> String {
    let rule = |segment: &SegmentDocument| {
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
    /// A policy for rows of a catalogue. `artefact` fetches what the document names.
    ///
    /// # Errors
    /// What is wrong with it: one sentence per line.
    pub fn of(
        name: &str,
        document: PolicyDocument,
        catalogue: &Catalogue,
        artefact: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        let model_of = |name: &str, what| {
            let model = Model::from_bytes(&fetched(artefact, name, what)?);
            let model = model.and_then(|model| model.fitted_to(catalogue));
            model.map_err(|error| format!("{what} {name}: {error}"))
        };
        let model = document.model.as_deref().map(|it| model_of(it, "model")).transpose()?;
        let challenger = document.challenger.as_deref();
        let challenger = challenger.map(|it| model_of(it, "challenger")).transpose()?;
        let mut lists = Lists::new();
        for list in &document.lists {
            lists.insert(list_of(list, artefact)?);
        }
        let vocabulary = vocabulary(catalogue);
        let compile = |what: &str, file: &str| {
            RuleSet::compile(file, &vocabulary, &lists).map_err(|errors| {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                format!("{what}: {}", errors.join("\n"))
            })
        };
        let rules = match &document.rules {
            None => None,
            Some(name) => {
                let bytes = fetched(artefact, name, "rule file")?;
                Some(compile("rules", &as_text(bytes, name, "rule file")?)?)
            }
        };
        // Told by the segment, not by the file that is made of them.
        let wrong = |it: &SegmentDocument| {
            let errors = RuleSet::condition_errors(&it.when, &vocabulary, &lists);
            let told =
                errors.iter().map(|error| format!("segment {:?}, in its `when`: {error}", it.name));
            told.collect::<Vec<_>>()
        };
        let wrong: Vec<_> = document.segments.iter().flat_map(wrong).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
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
        let on_demand = catalogue.on_demand(of_rules.chain(of_models.map(String::as_str)));
        Ok(Self {
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
            own_keys: own_context_keys(catalogue),
        })
    }

    /// The model whose score decides, for rows of the catalogue.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> Option<&RuleSet> {
        self.rules.as_ref()
    }

    /// What is decided when there is no time for more.
    #[must_use]
    pub fn fallback(&self) -> Verdict {
        self.fallback
    }

    /// What the policy says of a payment, and the rule that kept it from being approved, if one did.
    ///
    /// Rules speak before thresholds; an allow rule ends it, and of the others the stricter of rule
    /// and threshold decides.
    ///
    /// # Panics
    /// If the input is not of the catalogue, or the counts are other rules'.
    #[inline]
    pub fn verdict(
        &self,
        score: Option<f32>,
        input: &RuleInput<'_>,
        counts: &mut RuleCounts,
    ) -> (Verdict, Option<u16>) {
        let rules = self.rules.as_ref();
        let hit = rules.and_then(|rules| rules.evaluate_counted(input, counts));
        let by_score = || score.map_or(Verdict::APPROVE, |score| self.of_score(score, input));
        match hit {
            Some(hit) if hit.action == RuleAction::Allow => (Verdict::APPROVE, None),
            Some(hit) => {
                let by_rule = self.rule_verdicts[usize::from(hit.rule)];
                let verdict = stricter(by_rule, by_score());
                (verdict, (verdict == by_rule).then_some(hit.rule))
            }
            None => (by_score(), None),
        }
    }

    /// What a score comes to in the payment's segment.
    pub(super) fn of_score(&self, score: f32, input: &RuleInput<'_>) -> Verdict {
        self.bands[self.segment_of(input)].verdict(score)
    }

    /// The payment's segment: its place in the document, or the number of segments for a payment
    /// that is in none.
    ///
    /// # Panics
    /// If the input is not of the catalogue.
    #[must_use]
    pub fn segment_of(&self, input: &RuleInput<'_>) -> usize {
        let segment = self.segments.as_ref().and_then(|segments| segments.evaluate(input));
        segment.map_or(self.bands.len() - 1, |hit| usize::from(hit.rule))
    }

    /// Whether anything but the score decides: rules, or segments.
    #[must_use]
    pub fn looks_at_payments(&self) -> bool {
        self.rules.is_some() || self.segments.is_some()
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
