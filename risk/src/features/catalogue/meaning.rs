//! Meanings: consumes two catalogues and a feature's name, produces what the feature is in the one
//! and is not in the other.
//!
//! Two features mean the same when they give the same number for every history of payments, bounds
//! of memory aside. Places in a catalogue, units and descriptions are no part of it; neither is what
//! other features the catalogues have.

use super::{Catalogue, Entity, EntitySource, Feature, Statistic};

/// Something that a feature is in one catalogue and is not in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The feature; of a quotient, it may be one of the two that it is made of.
    pub feature: String,
    /// What differs, by its name in the file: `window`, `honest_after`.
    pub what: &'static str,
    /// What it is in the first catalogue.
    pub own: String,
    /// What it is in the other.
    pub other: String,
}

impl Catalogue {
    /// What this catalogue's feature of a name is and the other's is not; `None` where both mean the
    /// same.
    ///
    /// # Panics
    /// When either has no feature of this name.
    #[must_use]
    pub fn difference(&self, other: &Self, name: &str) -> Option<Difference> {
        let place = |catalogue: &Self| catalogue.index_of(name).expect("both have the feature");
        let (own, others) = (self.definition(place(self)), other.definition(place(other)));
        let mut parts = own.into_iter().zip(others);
        if let Some(((what, own), (_, other))) = parts.find(|(own, other)| own != other) {
            return Some(Difference { feature: name.to_owned(), what, own, other });
        }
        let Feature { statistic, of, .. } = &self.features[place(self)];
        // The two that a quotient is made of have the same names by now.
        let made_of = if *statistic == Statistic::Quotient { of.as_slice() } else { &[] };
        made_of.iter().find_map(|place| self.difference(other, &self.features[*place].name))
    }

    /// A catalogue of the features of these names alone, in this order: what a model's numbers of
    /// features stand for. It has names, units and words; rows can't be made by it, because what its
    /// quotients are made of may be left out. `None` when there is no feature of a name.
    #[must_use]
    pub fn selected(&self, names: &[String]) -> Option<Self> {
        let feature = |name: &String| {
            let feature = self.features[self.index_of(name)?].clone();
            let feature = Feature { on_demand: false, ..feature };
            match feature.statistic {
                Statistic::Quotient => Some(Feature { of: Vec::new(), ..feature }),
                _ => Some(feature),
            }
        };
        let features: Vec<_> = names.iter().map(feature).collect::<Option<_>>()?;
        let digest = super::digest(&self.entities, &features);
        Some(Self { entities: self.entities.clone(), features, digest })
    }

    /// All that makes up the meaning of a feature, always in the same order.
    fn definition(&self, place: usize) -> Vec<(&'static str, String)> {
        // Without dots, so that whoever adds a field is asked whether it is part of the meaning.
        let Feature {
            name: _,
            entity,
            statistic,
            window,
            form,
            bucket,
            delay,
            current,
            of,
            above,
            times,
            usual,
            except,
            step,
            prior,
            prior_weight,
            unit: _,
            description: _,
            missing,
            on_demand: _,
        } = &self.features[place];
        let key = |place: &usize| self.key_in_words(*place);
        let of: Vec<_> = of
            .iter()
            .map(|place| match statistic {
                Statistic::Quotient => self.features[*place].name.clone(),
                _ => key(place),
            })
            .collect();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        // Only statistics of runs ask after which time a payment is honest.
        let honest = entity.filter(|_| statistic.is_of_runs()).map(|place| &self.entities[place]);
        let honest_after = honest.and_then(|Entity { honest_after, .. }| *honest_after);
        vec![
            ("statistic", statistic.name().to_owned()),
            ("entity", or_none(entity.as_ref().map(key))),
            ("window", or_none(window.map(|window| window.to_string()))),
            ("form", form.to_string()),
            ("bucket", bucket.to_string()),
            ("delay", delay.to_string()),
            ("current", current.to_string()),
            ("of", or_none(Some(of.join(" and ")).filter(|of| !of.is_empty()))),
            ("above", above.to_string()),
            ("times", times.to_string()),
            ("usual", usual.to_string()),
            ("except", or_none(except.as_ref().map(key))),
            ("step", step.to_string()),
            ("prior", prior.to_string()),
            ("prior_weight", prior_weight.to_string()),
            ("missing", or_none(Some(missing.to_string()).filter(|_| !missing.is_nan()))),
            ("honest_after", or_none(honest_after.map(|after| after.to_string()))),
            ("honest_bucket", or_none(honest.map(|entity| entity.honest_bucket.to_string()))),
        ]
    }

    /// An entity and where a payment has its key. The name is part of it: keys are hashed with it,
    /// and what `distinct` estimates is made of keys.
    fn key_in_words(&self, place: usize) -> String {
        let Entity { name, source, .. } = &self.entities[place];
        match source {
            EntitySource::Payer | EntitySource::Payee => name.clone(),
            EntitySource::Context(key) => format!("{name} (context.{key})"),
            EntitySource::Pair(one, other) => {
                let [one, other] = [*one, *other].map(|place| self.key_in_words(place));
                format!("{name} ({one} with {other})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTITIES: &str = "version = 1\n\
        [[entity]]\nname = \"payer\"\n\
        [[entity]]\nname = \"payee\"\nhonest_after = \"7d\"\n\
        [[entity]]\nname = \"card\"\ncontext = \"device\"\n\
        [[entity]]\nname = \"pair\"\nof = [\"payer\", \"payee\"]\n";

    const FEATURES: &str = r#"
[[feature]]
name = "count"
entity = "payer"
statistic = "count"
window = "1h"
form = "ring"
[[feature]]
name = "share"
entity = "card"
statistic = "fraud_share"
window = "30d"
delay = "7d"
prior = 0.1
prior_weight = 2
[[feature]]
name = "runs"
entity = "payee"
statistic = "fraud_average"
except = "payer"
times = 2
usual = "30d"
step = 0.5
[[feature]]
name = "devices"
entity = "pair"
statistic = "distinct"
of = "card"
window = "1d"
form = "ring"
[[feature]]
name = "above"
entity = "payer"
statistic = "count_above"
above = 100
window = "1d"
missing = 0
[[feature]]
name = "part"
statistic = "quotient"
of = ["count", "above"]
"#;

    fn catalogue(change: (&str, &str)) -> Catalogue {
        let text = format!("{ENTITIES}{FEATURES}");
        assert!(text.contains(change.0), "{change:?}");
        Catalogue::parse(&text.replacen(change.0, change.1, 1)).expect("right")
    }

    /// Feature, part, what it is in the one and in the other.
    type Found = (&'static str, &'static str, &'static str, &'static str);

    /// Each change of the text, and the feature and part of it that another meaning is found in.
    #[test]
    fn what_differs_is_named_once_and_only_where_it_matters() {
        let own = catalogue(("", ""));
        let all = ["count", "share", "runs", "devices", "above", "part"];
        let named: [(&str, &str, &[Found]); 13] = [
            ("", "", &[]),
            ("statistic = \"distinct\"", "description = \"D\"\nstatistic = \"distinct\"", &[]),
            ("name = \"card\"\n", "name = \"card\"\nentities_max = 9\n", &[]),
            (
                "window = \"1h\"",
                "window = \"2h\"",
                &[("count", "window", "1h", "2h"), ("part", "window", "1h", "2h")],
            ),
            (
                "window = \"1h\"\nform = \"ring\"",
                "window = \"1h\"\nform = \"exact\"",
                &[("count", "form", "ring", "exact"), ("part", "form", "ring", "exact")],
            ),
            ("delay = \"7d\"", "delay = \"8d\"", &[("share", "delay", "7d", "8d")]),
            ("prior = 0.1", "prior = 0.2", &[("share", "prior", "0.1", "0.2")]),
            (
                "context = \"device\"",
                "context = \"ip\"",
                &[
                    ("share", "entity", "card (context.device)", "card (context.ip)"),
                    ("devices", "of", "card (context.device)", "card (context.ip)"),
                ],
            ),
            (
                "honest_after = \"7d\"",
                "honest_after = \"14d\"",
                &[("runs", "honest_after", "7d", "14d")],
            ),
            (
                "except = \"payer\"",
                "except = \"card\"",
                &[("runs", "except", "payer", "card (context.device)")],
            ),
            (
                "of = [\"payer\", \"payee\"]",
                "of = [\"payee\", \"payer\"]",
                &[("devices", "entity", "pair (payer with payee)", "pair (payee with payer)")],
            ),
            (
                "missing = 0",
                "",
                &[("above", "missing", "0", "none"), ("part", "missing", "0", "none")],
            ),
            (
                "of = [\"count\", \"above\"]",
                "of = [\"above\", \"count\"]",
                &[("part", "of", "count and above", "above and count")],
            ),
        ];
        for (before, after, expected) in named {
            let other = catalogue((before, after));
            let found = all.into_iter().filter_map(|name| {
                let Difference { what, own, other, .. } = own.difference(&other, name)?;
                Some((name, what, own, other))
            });
            let expected = expected.iter().map(|(name, what, own, other)| {
                (*name, *what, (*own).to_owned(), (*other).to_owned())
            });
            assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{after:?}");
        }
    }

    #[test]
    fn neither_places_nor_other_features_matter() {
        let own = catalogue(("", ""));
        let (features, quotient) =
            FEATURES.split_at(FEATURES.find("[[feature]]\nname = \"part\"").expect("is there"));
        let mut turned: Vec<_> = features.split("[[feature]]\n").skip(1).collect();
        turned.reverse();
        let entities = ENTITIES.replace("[[entity]]\nname = \"payer\"\n", "");
        let entities = entities.replace(
            "version = 1\n",
            "version = 1\n[[entity]]\nname = \"country\"\n[[entity]]\nname = \"payer\"\n",
        );
        let text = format!(
            "{entities}[[feature]]\nname = \"new\"\nstatistic = \"hour\"\n[[feature]]\n{}{quotient}",
            turned.join("[[feature]]\n")
        );
        let other = Catalogue::parse(&text).expect("right");
        assert_ne!(own.index_of("share"), other.index_of("share"));
        for feature in own.features() {
            assert_eq!(own.difference(&other, &feature.name), None);
        }
    }
}
