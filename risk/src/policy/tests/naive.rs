//! What is said of attempts, against the naive form: one payment at a time, its row alone, each part asked
//! by itself.

use super::*;
use crate::{
    evidence::{REASONS_MAX, Reason},
    features::{Attempt, EntityKey},
    model::{Kind, Link, Missing, Model, Node, Side, Tree},
    rules::{RuleCounts, RuleInput},
};

const RULES: &str = r#"
[[rule]]
name = "many"
when = "payer.count_7d > 40 && amount > 300"
action = "review"
reason = "{payer.count_7d} payments"
[[rule]]
name = "friend"
when = "payer == \"00000000-0000-0000-0000-000000000007\""
action = "allow"
reason = "a friend"
[[rule]]
name = "score-and-amount"
when = "score > 0.55 && amount > 800"
action = "block"
reason = "{score} and {amount}"
"#;

/// Trees over the catalogue's features that look at amounts and counts.
fn model(catalogue: &Catalogue, seed: u32) -> Model {
    let names: Vec<_> = catalogue.features().iter().map(|it| it.name.clone()).collect();
    let mut state = seed;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut node = |at: usize| match at < 7 {
        true => Node::Split {
            feature: draw(names.len() as u32) as usize,
            threshold: draw(900) as f32,
            missing: Missing::NanGoes(if draw(2) == 0 { Side::Left } else { Side::Right }),
            left: 2 * at + 1,
            right: 2 * at + 2,
        },
        false => Node::Leaf { value: draw(1_000) as f32 / 2_000.0 - 0.25, cover: 1.0 },
    };
    let tree = || Tree { nodes: (0..15).map(&mut node).collect() };
    let trees: Vec<_> = std::iter::repeat_with(tree).take(40).collect();
    let link = Link::Sigmoid { slope: 1.0 };
    Model::of_trees(Kind::Boosting, names.clone(), &trees, 0.0, link).expect("right trees")
}

/// The policy's name, as it is set.
fn put_policy(library: &Library, catalogue: &Catalogue) -> String {
    let put = |bytes: &[u8]| library.shelf().put(bytes).expect("is written");
    let [champion, challenger] = [5, 6].map(|seed| put(&model(catalogue, seed).to_bytes()));
    let rules = put(RULES.as_bytes());
    let document = format!(
        "name = \"test\"\nmodel = \"{champion}\"\nchallenger = \"{challenger}\"\n\
         rules = \"{rules}\"\n[thresholds]\nreview = 0.5\ndecline = 0.7\n[review]\nhold_s = 60\n\
         [budget]\nrequest_ms = 0\nthen = \"approve\"\n"
    );
    put(document.as_bytes())
}

/// Verdict and evidence of each, with a limit that says nothing.
fn naively(compiled: &Compiled, payments: &[Payment], at: Timestamp) -> Vec<(Verdict, Vec<u8>)> {
    let catalogue = Catalogue::book();
    let limits = ProfileLimits { entities_max: 50, ..ProfileLimits::default() };
    let mut profiles = Profiles::new(catalogue.clone(), limits);
    let mut counts = compiled.rules().expect("there are rules").counts();
    let one = |payment: &Payment| {
        let key = |kind: &str, id: u128| EntityKey::of(kind, &id.to_be_bytes());
        let entities = [key("payer", payment.debit.0), key("payee", payment.credit.0)];
        let amount = match payment.amount {
            Amount::ALL => f64::NAN,
            Amount(minor) => minor as f64 / 100.0,
        };
        let paid_at = payment.event_time.map_or(at, |time| time.min(at));
        let mut row = vec![f32::MAX; catalogue.len()];
        profiles.observe(&Attempt { at: paid_at, amount, entities: &entities }, &mut row);
        said_of(compiled, payment, &row, paid_at, &mut counts)
    };
    payments.iter().map(one).collect()
}

fn said_of(
    compiled: &Compiled,
    payment: &Payment,
    row: &[f32],
    at: Timestamp,
    counts: &mut RuleCounts,
) -> (Verdict, Vec<u8>) {
    let score_by = |model: &Option<Model>| {
        let mut score = [0.0];
        model.as_ref().expect("there is one").score(row, &mut score);
        score[0]
    };
    let score = score_by(&compiled.model);
    let (payer, payee) =
        [payment.debit.0, payment.credit.0].map(|id| uuid::Uuid::from_u128(id).to_string()).into();
    let texts = [Some(&*payer), Some(&*payee), None, None, None, None, None];
    let row_and_score: Vec<_> = row.iter().copied().chain([score]).collect();
    let input = RuleInput { row: &row_and_score, texts: &texts, at };
    let (verdict, rule) = compiled.verdict(Some(score), &input, counts);
    let challenger = score_by(&compiled.challenger);
    let decision = compiled.of_score(challenger, &input).decision as u8;
    let mut evidence = Evidence {
        policy: 1,
        score: Some(score),
        challenger: Some((challenger, decision)),
        ..Evidence::default()
    };
    if verdict.decision != RiskDecision::Approve {
        let model = compiled.model().expect("there is one");
        let mut contributions = vec![0.0; model.features().len()];
        model.contributions(row, &mut contributions);
        let mut reasons: Vec<_> = (0..).zip(&contributions).filter(|(_, by)| **by > 0.0).collect();
        reasons.sort_by(|one, other| other.1.total_cmp(one.1));
        let reason = |(feature, by): (u16, &f32)| Reason {
            feature,
            value: row[usize::from(feature)],
            contribution: *by,
        };
        evidence.reasons = reasons.into_iter().take(REASONS_MAX).map(reason).collect();
        let rules = compiled.rules().expect("there are rules");
        evidence.rule_reason = rule.map(|rule| rules.reason(rule, &input));
    }
    let mut bytes = Vec::new();
    evidence.put(&mut bytes);
    (verdict, bytes)
}

#[test]
fn verdicts_and_evidence_are_those_of_one_at_a_time() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = library(directory.path());
    let name = put_policy(&library, &Catalogue::book());
    let compiled = library.compile(&name).expect("is right");
    let payments = payments(2_000, 11);
    let at = Timestamp(u64::MAX / 4);
    let expected = naively(&compiled, &payments, at);
    for decision in [RiskDecision::Approve, RiskDecision::Review, RiskDecision::Decline] {
        let there = expected.iter().filter(|(verdict, _)| verdict.decision == decision).count();
        assert!(there > 20, "{there} of {decision:?} show nothing");
    }
    let with_reason = |(_, bytes): &&(Verdict, Vec<u8>)| {
        Evidence::read(bytes).is_some_and(|it| it.rule_reason.is_some())
    };
    assert!(expected.iter().filter(with_reason).count() > 20);
    for (threads, len) in [(1, 2_000), (1, 300), (3, 2_000)] {
        let mut policy = policy_with(&library, threads);
        policy.act(&set_policy(&name), Timestamp(0)).expect("is there");
        policy.begin_request(payments.len());
        let positions: Vec<u32> = (0..payments.len() as u32).collect();
        for positions in positions.chunks(len) {
            let contexts = &NoContexts;
            policy.look_ahead(&Block { payments: &payments, positions, contexts, at });
        }
        for (position, expected) in positions.iter().zip(&expected) {
            let (payment, position) = (&payments[*position as usize], *position);
            let judged = Judged { payment, amount: payment.amount, at, position, payer: 0 };
            let said = (policy.judge(judged), policy.evidence(position).to_vec());
            assert_eq!(&said, expected, "payment {position}, {threads} threads, blocks of {len}");
        }
    }
}
