//! A challenger scores in shadow: what it says is recorded with each payment, counted, and changes
//! nothing else.

use super::*;
use crate::{
    features::Catalogue,
    model::{Model, Term},
    policy::ChallengerCount,
};

/// A model of the book's features that looks at the amount alone, at half of which it is undecided.
fn model(library: &Library, undecided_at: f64) -> String {
    let names: Vec<_> =
        Catalogue::book().features().iter().map(|feature| feature.name.clone()).collect();
    let of_amount = |name: &String| if name == "amount" { 8.0 } else { 0.0 };
    let terms = names
        .iter()
        .map(|name| Term { weight: of_amount(name), mean: undecided_at, scale: 100.0 })
        .collect();
    let model = Model::of_weights(names, terms, 0.0).expect("right weights");
    let model = model.with_catalogue(Catalogue::book().digest());
    library.shelf().put(&model.to_bytes()).expect("is written")
}

fn document(library: &Library, challenger: Option<&str>) -> String {
    let (model, rules) = (
        model(library, 700.0),
        library.shelf().put(
            b"[[rule]]\nname = \"small\"\nwhen = \"amount < 50\"\naction = \"challenge\"\nreason = \"{amount}\"\n",
        ),
    );
    let rules = rules.expect("is written");
    let challenger = challenger.map_or_else(String::new, |it| format!("challenger = \"{it}\"\n"));
    let document = format!(
        "name = \"test\"\nmodel = \"{model}\"\n{challenger}rules = \"{rules}\"\n\
         [thresholds]\nreview = 0.5\ndecline = 0.9\n"
    );
    library.shelf().put(document.as_bytes()).expect("is written")
}

/// What became of some payments under a policy.
struct Decided {
    said: Vec<(Verdict, Evidence)>,
    counts: Vec<ChallengerCount>,
    profiles: Vec<Vec<u8>>,
}

fn decided(library: &Library, challenger: Option<&str>, payments: &[Payment]) -> Decided {
    let mut policy = policy_with(library, 2);
    policy.act(&set_policy(&document(library, challenger)), Timestamp(0)).expect("is right");
    let said = said(&mut policy, payments, 300);
    let said = said
        .into_iter()
        .map(|(verdict, evidence)| (verdict, Evidence::read(&evidence).expect("is there")));
    let (said, counts) = (said.collect(), policy.counts().challenger.totals());
    // The first piece names the policy.
    Decided { said, counts, profiles: state(&mut policy).split_off(1) }
}

/// Guards "recorded, never acted on": the same verdicts, reasons and profiles with and without one.
#[test]
fn a_challenger_is_recorded_and_never_acted_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let payments = payments(900, 4);
    // Much stricter than the model in force.
    let challenger = model(&library, 300.0);
    let without = decided(&library, None, &payments);
    assert_eq!(without.counts, []);
    let alone = without.said;
    assert!(alone.iter().all(|(_, evidence)| evidence.challenger.is_none()));
    let Decided { said: shadowed, counts, profiles } =
        decided(&library, Some(&challenger), &payments);
    assert!(profiles == without.profiles, "it leaves no trace in profiles");

    let (mut pairs, mut stricter) = (std::collections::BTreeMap::new(), 0);
    for ((alone, of_alone), (verdict, evidence)) in alone.iter().zip(&shadowed) {
        assert_eq!(verdict, alone);
        let without = Evidence { challenger: None, ..evidence.clone() };
        assert_eq!(&without, of_alone);
        let (score, number) = evidence.challenger.expect("it was asked");
        let expected = match score {
            score if score >= 0.9 => RiskDecision::Decline,
            score if score >= 0.5 => RiskDecision::Review,
            _ => RiskDecision::Approve,
        };
        assert_eq!(number, expected as u8, "{score}");
        stricter += usize::from(verdict.decision == RiskDecision::Approve && number > 1);
        *pairs.entry((verdict.decision as u8, number)).or_insert(0_u64) += 1;
    }
    assert!(stricter > 100, "the challenger says something else of {stricter}");
    let counted = counts.iter().map(|it| ((it.champion as u8, it.challenger as u8), it.attempts));
    assert_eq!(counted.collect::<std::collections::BTreeMap<_, _>>(), pairs);
}
