//! A model scores rows of every catalogue that has its features, and no others: larger ones and
//! turned round ones as its own, bit by bit.

use millrace_ledger::Timestamp;
use millrace_risk::{
    features::{Attempt, Catalogue, EntityKey, EntitySource, Label, ProfileLimits, Profiles},
    model::{
        CATALOGUE_SETTING, Kind, Link, Missing, Model, ModelError, Node, Side, Term, TrainingFacts,
        Tree,
    },
};
use proptest::prelude::*;

/// Features that the larger catalogue has beside those of the model; of its own entity, too.
const MORE: [&str; 5] = [
    "name = \"hour_of_payment\"\nstatistic = \"hour\"\n",
    "name = \"payer.count_3h\"\nentity = \"payer\"\nstatistic = \"count\"\nwindow = \"3h\"\nform = \"ring\"\n",
    "name = \"payee.fraud_share_30d\"\nentity = \"payee\"\nstatistic = \"fraud_share\"\nwindow = \"30d\"\ndelay = \"7d\"\n",
    "name = \"payer.mean_3d\"\nentity = \"payer\"\nstatistic = \"mean\"\nwindow = \"3d\"\n",
    "name = \"country.sum_1d\"\nentity = \"country\"\nstatistic = \"sum\"\nwindow = \"1d\"\nform = \"ring\"\n",
];
const COUNTRY: &str = "[[entity]]\nname = \"country\"\n\n";
const FEATURE: &str = "[[feature]]\n";

/// Entities and features of a catalogue's text.
fn split(text: &str) -> (&str, Vec<&str>) {
    let mut parts = text.split(FEATURE);
    (parts.next().expect("has entities"), parts.collect())
}

/// The catalogue of devices with more features, in this order, and another entity before its own.
fn enlarged(order: &[usize]) -> Catalogue {
    let (entities, features) = split(Catalogue::DEVICES);
    let mut text = entities.replacen("[[entity]]\n", &format!("{COUNTRY}[[entity]]\n"), 1);
    let features: Vec<_> = features.into_iter().chain(MORE).collect();
    for place in order {
        text.push_str(FEATURE);
        text.push_str(features[*place]);
    }
    Catalogue::parse(&text).expect("right")
}

fn features_in_all() -> usize {
    Catalogue::devices().len() + MORE.len()
}

/// A stream of numbers that look random: SplitMix64.
fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// The rows that a catalogue makes of payments of few payers, payees, devices and countries, some of
/// which are reported as fraud a day later.
fn rows(catalogue: &Catalogue, seed: u64, payments: u64) -> Vec<f32> {
    let mut profiles = Profiles::new(catalogue.clone(), ProfileLimits::default());
    let (mut draw, mut rows) = (numbers(seed), Vec::new());
    let mut before: Option<(Timestamp, f64, Vec<EntityKey>)> = None;
    for payment in 0..payments {
        let at = Timestamp((1 << 60) + payment * 7_200_000_000_000);
        let drawn = [draw(6), draw(5), draw(4), draw(3)].map(|number| EntityKey(number + 1));
        let amount = draw(90_000) as f64 / 100.0;
        let key = |source: &EntitySource| match source {
            EntitySource::Payer => drawn[0],
            EntitySource::Payee => drawn[1],
            EntitySource::Context(key) if key == "device" => drawn[2],
            EntitySource::Context(_) => drawn[3],
            EntitySource::Pair(..) => EntityKey::ABSENT,
        };
        let mut keys: Vec<_> = catalogue.entities().iter().map(|it| key(&it.source)).collect();
        catalogue.pair_keys(&mut keys);
        if let Some((paid_at, amount, entities)) = before.take_if(|_| draw(3) == 0) {
            let entities = &entities;
            profiles.label(&Label {
                at,
                paid_at,
                amount,
                entities,
                fraud: true,
                takes_back: false,
            });
        }
        let start = rows.len();
        rows.resize(start + catalogue.len(), 0.0);
        profiles.observe(&Attempt { at, amount, entities: &keys }, &mut rows[start..]);
        before = Some((at, amount, keys));
    }
    rows
}

/// A tree that is as deep as this, over thresholds that the features have on both sides.
fn tree(depth: usize, features: usize, draw: &mut impl FnMut(u64) -> u64) -> Tree {
    let inner = (1 << depth) - 1;
    let node = |at: usize| {
        if at >= inner {
            return Node::Leaf { value: draw(2_001) as f32 / 1_000.0 - 1.0, cover: 1.0 };
        }
        let missing = match draw(4) {
            0 => Missing::NanIsZero,
            1 => Missing::ZeroGoes(Side::Right),
            2 => Missing::NanGoes(Side::Left),
            _ => Missing::NanGoes(Side::Right),
        };
        let threshold = [0.5, 1.0, 3.0, 40.0, 300.0, 90_000.0][draw(6) as usize];
        let feature = draw(features as u64) as usize;
        Node::Split { feature, threshold, missing, left: 2 * at + 1, right: 2 * at + 2 }
    };
    Tree { nodes: (0..2 * inner + 1).map(node).collect() }
}

/// Models of each form that is scored in its own way: shallow and deep trees, weights.
fn models(seed: u64) -> Vec<Model> {
    let names: Vec<_> =
        Catalogue::devices().features().iter().map(|feature| feature.name.clone()).collect();
    let mut draw = numbers(seed);
    let mut of_depth = |depth| {
        let trees: Vec<_> = (0..12).map(|_| tree(depth, names.len(), &mut draw)).collect();
        let link = Link::Sigmoid { slope: 1.0 };
        Model::of_trees(Kind::Boosting, names.clone(), &trees, 0.25, link).expect("right trees")
    };
    let of_trees = [of_depth(3), of_depth(7)];
    let term = |number: usize| Term { weight: number as f64 / 9.0 - 1.0, mean: 2.0, scale: 50.0 };
    let terms = (0..names.len()).map(term).collect();
    let linear = Model::of_weights(names, terms, -1.0).expect("right weights");
    of_trees.into_iter().chain([linear]).map(|model| told(model, Catalogue::DEVICES)).collect()
}

/// The model with its catalogue in it, as the trainer writes it, written and read again.
fn told(model: Model, catalogue: &str) -> Model {
    let settings = vec![(CATALOGUE_SETTING.to_owned(), catalogue.to_owned())];
    let model = model.with_facts(TrainingFacts { settings, ..TrainingFacts::default() });
    let digest = Catalogue::parse(catalogue).expect("right").digest();
    Model::from_bytes(&model.with_catalogue(digest).to_bytes()).expect("whole")
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Alone and in blocks; what moved a score is named alike, too.
    #[test]
    fn larger_and_turned_round_catalogues_give_the_same_scores_and_reasons(
        seed: u64,
        order in Just((0..features_in_all()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (own, larger) = (Catalogue::devices(), enlarged(&order));
        let (own_rows, rows) = (rows(&own, seed, 40), rows(&larger, seed, 40));
        for model in models(seed ^ 1) {
            let fitted = model.clone().fitted_to(&larger).expect("all features are there");
            prop_assert_eq!(fitted.row_len(), larger.len());
            prop_assert_eq!(fitted.to_bytes(), model.to_bytes(), "it is the same model");
            let (mut expected, mut scores) = ([0.0; 40], [0.0; 40]);
            model.score(&own_rows, &mut expected);
            fitted.score(&rows, &mut scores);
            prop_assert_eq!(bits(&expected), bits(&scores));
            let each = own_rows.chunks_exact(own.len()).zip(rows.chunks_exact(larger.len()));
            for ((own_row, row), score) in each.zip(expected) {
                let mut alone = [0.0];
                fitted.score(row, &mut alone);
                prop_assert_eq!(alone[0].to_bits(), score.to_bits());
                let mut moved = [vec![0.0; own.len()], vec![0.0; own.len()]];
                model.contributions(own_row, &mut moved[0]);
                fitted.contributions(row, &mut moved[1]);
                prop_assert_eq!(bits(&moved[0]), bits(&moved[1]));
                for (number, feature) in fitted.features().iter().enumerate() {
                    let place = fitted.place_of(number);
                    prop_assert_eq!(&larger.features()[place].name, feature);
                    prop_assert_eq!(row[place].to_bits(), own_row[number].to_bits());
                }
            }
        }
    }
}

#[test]
fn rows_differ_enough_for_the_property_to_mean_something() {
    let (own, rows) = (Catalogue::devices(), rows(&Catalogue::devices(), 5, 40));
    let mut scores = [0.0; 40];
    models(6)[1].score(&rows, &mut scores);
    let mut different = bits(&scores);
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 20, "{different:?}");
    assert!(rows.iter().any(|value| value.is_nan()) && own.len() > 10);
}

/// A change of the text, and what is said of a model that was trained before it.
#[test]
fn what_the_catalogue_lacks_or_means_otherwise_is_said() {
    let model = models(1).remove(0);
    let said = |model: &Model, before: &str, after: &str| {
        assert!(Catalogue::DEVICES.contains(before), "{before}");
        let catalogue = Catalogue::parse(&Catalogue::DEVICES.replacen(before, after, 1));
        model.clone().fitted_to(&catalogue.expect("right")).map(|_| ()).map_err(|it| it.to_string())
    };
    let another = |feature: &str, what: &str| {
        Err(format!(
            "the model was trained on another {feature:?} than the catalogue has: {what} in the \
             catalogue. Keep the feature as the model knows it and give the new one a name of its \
             own, or train the model again on this catalogue"
        ))
    };
    assert_eq!(said(&model, "Amount of the payment", "What is paid"), Ok(()));
    assert_eq!(
        said(&model, "\"payer.count_1h\"", "\"payer.count_60m\""),
        Err("the model needs the feature \"payer.count_1h\", and the catalogue has none of that \
             name: name the catalogue that the model was trained on (on a server, \
             risk.features.catalogue), add the feature as it was then, or train the model again on \
             this catalogue"
            .to_owned())
    );
    assert_eq!(
        said(&model, "window = \"14d\"", "window = \"21d\""),
        another("payer.max_ratio_14d", "window is 14d in the model and 21d")
    );
    assert_eq!(
        said(&model, "honest_after = \"7d\"", "honest_after = \"10d\""),
        another("payee.fraud_average", "honest_after is 7d in the model and 10d")
    );

    let bare = model.clone().with_facts(TrainingFacts::default());
    assert_eq!(said(&bare, "Amount of", "Money of"), Ok(()), "the digest is the same");
    let error = bare.clone().fitted_to(&enlarged(&(0..features_in_all()).collect::<Vec<_>>()));
    assert_eq!(error, Err(ModelError::OtherCatalogue));
    let imported = bare.with_catalogue([0; 32]);
    assert_eq!(said(&imported, "window = \"14d\"", "window = \"21d\""), Ok(()), "names are all");

    let settings = vec![(CATALOGUE_SETTING.to_owned(), "version = 9".to_owned())];
    let facts = TrainingFacts { settings, ..TrainingFacts::default() };
    let odd = model.with_facts(facts).with_catalogue([9; 32]);
    let error = odd.fitted_to(&Catalogue::devices()).expect_err("no catalogue").to_string();
    assert!(
        error.starts_with("the catalogue in the model can't be read; train the model"),
        "{error}"
    );
}
