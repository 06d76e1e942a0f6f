//! The policy document: consumes the TOML text that an analyst promotes, produces settings that are
//! right in themselves. What it names is looked up when it is compiled.

use serde::{Deserialize, Serialize};

/// Everything that decides about a payment, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyDocument {
    /// What people call it.
    pub name: String,
    /// The model whose score decides: its name on the shelf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A model that is scored as well, and never acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger: Option<String>,
    /// The rule file: its name on the shelf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// Lists that rules look into.
    #[serde(rename = "list", skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListDocument>,
    /// Where no segment says otherwise.
    pub thresholds: Thresholds,
    /// The first one that a payment is in decides by which thresholds.
    #[serde(rename = "segment", skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentDocument>,
    /// How long a review may hold money.
    pub review: HoldDocument,
    /// How long a challenge may hold money.
    pub challenge: HoldDocument,
    /// How long scoring may take, and what is decided then.
    pub budget: BudgetDocument,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListDocument {
    /// As rules call it.
    pub name: String,
    /// allow, block or watch.
    pub kind: String,
    /// The texts whose values it lists; any when empty.
    #[serde(default)]
    pub of: Vec<String>,
    /// The CSV: its name on the shelf.
    pub artefact: String,
}

/// At or above which score what is done. A threshold that is left out is never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// A person looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<f32>,
    /// The upstream confirms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<f32>,
    /// It is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline: Option<f32>,
}

/// Payments with thresholds of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentDocument {
    /// At most 24 bytes: it stands in reasons, as `score/NAME`.
    pub name: String,
    /// Which payments, in the language of rules.
    pub when: String,
    /// A person looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<f32>,
    /// The upstream confirms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<f32>,
    /// It is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline: Option<f32>,
}

/// How long money is held. At the end it is released: nobody pays by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldDocument {
    /// Seconds, 0 to 16777215 (194 days); 0 is for ever.
    pub hold_s: u32,
}

impl Default for HoldDocument {
    fn default() -> Self {
        Self { hold_s: 86_400 }
    }
}

/// How long scoring may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetDocument {
    /// Milliseconds for the payments of one request; 0 is no limit.
    pub request_ms: u32,
    /// What is decided about payments that there was no time for.
    pub then: Fallback,
}

impl Default for BudgetDocument {
    fn default() -> Self {
        Self { request_ms: 50, then: Fallback::Approve }
    }
}

/// What is decided when there is no time for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Let it through: limits still hold.
    Approve,
    /// Have a person look.
    Review,
    /// Refuse it.
    Decline,
}

impl PolicyDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// A sentence for each thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Self = toml::from_str(text).map_err(|error| told(&error))?;
        let mut wrong = Vec::new();
        let own = ("thresholds".to_owned(), document.thresholds);
        let segments = document
            .segments
            .iter()
            .map(|segment| (format!("segment {:?}", segment.name), segment.thresholds()));
        for (place, thresholds) in std::iter::once(own).chain(segments) {
            wrong.extend(thresholds.complaint().map(|complaint| format!("{place}: {complaint}")));
        }
        for segment in &document.segments {
            if segment.name.is_empty() || segment.name.len() > 24 {
                wrong.push(format!("segment {:?}: its name must have 1 to 24 bytes", segment.name));
            }
        }
        let hold_max = millrace_ledger::Verdict::HOLD_S_MAX;
        for (place, hold) in [("review", document.review), ("challenge", document.challenge)] {
            if hold.hold_s > hold_max {
                wrong.push(format!("{place}: hold_s is {}, of {hold_max} at most", hold.hold_s));
            }
        }
        let scored = document.thresholds != Thresholds::default() || !document.segments.is_empty();
        if scored && document.model.is_none() {
            wrong.push("thresholds need a model: name one, or leave them out".to_owned());
        }
        if wrong.is_empty() { Ok(document) } else { Err(wrong.join("\n")) }
    }

    /// Whether any score leads to more than an approval.
    #[must_use]
    pub fn acts_on_scores(&self) -> bool {
        let own = std::iter::once(self.thresholds);
        let mut all = own.chain(self.segments.iter().map(SegmentDocument::thresholds));
        all.any(|thresholds| thresholds != Thresholds::default())
    }

    /// The document as text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("text and numbers become TOML")
    }
}

impl SegmentDocument {
    /// Its thresholds.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { review: self.review, challenge: self.challenge, decline: self.decline }
    }
}

impl Thresholds {
    fn complaint(&self) -> Option<String> {
        let named =
            [("review", self.review), ("challenge", self.challenge), ("decline", self.decline)];
        for (name, threshold) in named {
            if let Some(threshold) = threshold.filter(|it| !(0.0..=1.0).contains(it)) {
                return Some(format!("{name} is {threshold}; scores are probabilities, 0 to 1"));
            }
        }
        let set: Vec<_> = named.into_iter().filter_map(|(name, it)| Some((name, it?))).collect();
        set.windows(2).find(|pair| pair[0].1 > pair[1].1).map(|pair| {
            let [(mild, low), (strict, high)] = [pair[0], pair[1]];
            format!("{strict} ({high}) is below {mild} ({low}), so {mild} would never be reached")
        })
    }
}

/// What TOML says of a mistake, in the words of those who write policies.
fn told(error: &toml::de::Error) -> String {
    const BETTER: [(&str, &str); 2] = [
        (
            "unknown variant `challenge`, expected one of `approve`, `review`, `decline`",
            "there is no time to challenge: write \"approve\", \"review\" or \"decline\"",
        ),
        (
            "expected `nan`",
            "a threshold is a number of 0 to 1; leave it out where it is never reached",
        ),
    ];
    BETTER.iter().fold(error.to_string(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back() {
        let text = "name = \"november\"\nmodel = \"ab\"\n[thresholds]\nreview = 0.3\ndecline = 0.9\n\
                    [[segment]]\nname = \"big\"\nwhen = \"amount > 100\"\nreview = 0.1\n";
        let document = PolicyDocument::parse(text).expect("is right");
        assert_eq!(document.segments[0].thresholds().review, Some(0.1));
        assert_eq!(document.review.hold_s, 86_400);
        assert_eq!(PolicyDocument::parse(&document.to_toml()), Ok(document));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, complaint) in [
            ("[thresholds]\nreview = 0.5", "thresholds need a model"),
            ("model = \"a\"\n[thresholds]\nreview = 1.5", "scores are probabilities"),
            (
                "model = \"a\"\n[thresholds]\nreview = 0.5\ndecline = 0.4",
                "decline (0.4) is below review (0.5)",
            ),
            ("[review]\nhold_s = 99999999", "of 16777215 at most"),
            ("modle = \"a\"", "unknown field `modle`"),
            ("[budget]\nrequest_ms = 5\nthen = \"challenge\"", "there is no time to challenge"),
            ("model = \"a\"\n[thresholds]\nreview = NaN", "a threshold is a number of 0 to 1"),
            ("model = \"a\"\n[thresholds]\nreview = nan", "scores are probabilities, 0 to 1"),
            (
                "model = \"a\"\n[[segment]]\nname = \"\"\nwhen = \"true\"",
                "its name must have 1 to 24 bytes",
            ),
        ] {
            let error = PolicyDocument::parse(text).expect_err(text);
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
