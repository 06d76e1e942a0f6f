//! Random sets of rules over random payments: what is compiled says what the naive form says.

use std::collections::BTreeMap;

use millrace_ledger::Timestamp;
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

use super::{
    List, ListEntry, ListKind, ListLimits, ListSpec, Lists, RuleAction, RuleInput, RuleLimits,
    RuleSet, Vocabulary,
    ast::{Arithmetic, Ast, AstKind, Comparison, Set},
    naive::{Value, World},
    parse::parse,
    source::Span,
};

const FEATURES: [(&str, &str); 7] = [
    ("amount", "money"),
    ("payer.count_1h", "count"),
    ("payer.mean_30d", "money"),
    ("payee.fraud_share_30d", "share"),
    ("payer.age", "hours"),
    ("payer.since_last", "seconds"),
    ("weekend", "flag"),
];
const TEXTS: [&str; 3] = ["payer", "context.country", "context.device"];
/// In seconds.
const NOW: u64 = 100;

fn node(kind: AstKind) -> Ast {
    Ast::new(kind, Span::default())
}

fn name(name: &str) -> Ast {
    node(AstKind::Name(name.to_owned()))
}

fn call(function: &str, arguments: Vec<Ast>) -> Ast {
    let (function, name) = (function.to_owned(), Span::default());
    node(AstKind::Call { function, name, arguments })
}

fn literal() -> impl Strategy<Value = f64> {
    select(vec![0.0, 1.0, 2.0, 3.0, 0.5, 0.1, 19.99, 1_000.0])
}

fn arithmetic(operation: Arithmetic, left: Ast, right: Ast) -> Ast {
    node(AstKind::Arithmetic(operation, Box::new(left), Box::new(right)))
}

fn number() -> impl Strategy<Value = Ast> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    let leaf = prop_oneof![
        3 => select(&FEATURES[..4]).prop_map(|(feature, _)| name(feature)),
        2 => literal().prop_map(|value| node(AstKind::Number(value))),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operation = select(vec![Add, Subtract, Multiply, Divide]);
        let many = (select(vec!["min", "max", "coalesce"]), vec(inner.clone(), 2..4));
        prop_oneof![
            (operation, inner.clone(), inner.clone()).prop_map(|(o, l, r)| arithmetic(o, l, r)),
            many.prop_map(|(function, arguments)| call(function, arguments)),
            inner.clone().prop_map(|part| call("abs", vec![part])),
            inner.prop_map(|part| node(AstKind::Negate(Box::new(part)))),
        ]
    })
}

fn duration() -> impl Strategy<Value = Ast> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    let seconds = select(vec![0.0, 1.5, 60.0, 3_600.0, 7_200.0]);
    let leaf = prop_oneof![
        select(&FEATURES[4..6]).prop_map(|(feature, _)| name(feature)),
        seconds.prop_map(|value| node(AstKind::Duration(value))),
    ];
    let summed = (select(vec![Add, Subtract]), leaf.clone(), leaf.clone());
    let scaled = (select(vec![Multiply, Divide]), leaf.clone(), literal());
    prop_oneof![
        2 => leaf,
        1 => summed.prop_map(|(operation, left, right)| arithmetic(operation, left, right)),
        1 => scaled.prop_map(|(operation, left, times)| {
            arithmetic(operation, left, node(AstKind::Number(times)))
        }),
    ]
}

fn constant_text() -> impl Strategy<Value = Ast> {
    select(vec!["a", "b", "c", "KP", "it's"]).prop_map(|text| node(AstKind::Text(text.to_owned())))
}

fn text() -> impl Strategy<Value = Ast> {
    let leaf = prop_oneof![3 => select(&TEXTS[..]).prop_map(name), 1 => constant_text()];
    let many = vec(leaf.clone(), 2..4).prop_map(|parts| call("coalesce", parts));
    prop_oneof![3 => leaf, 1 => many]
}

fn within(value: Ast, negated: bool, set: Set) -> Ast {
    node(AstKind::Within { value: Box::new(value), negated, set })
}

fn test() -> impl Strategy<Value = Ast> {
    use Comparison::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
    let compare = |(comparison, left, right)| {
        node(AstKind::Compare(comparison, Box::new(left), Box::new(right)))
    };
    let comparison = || select(vec![Less, LessEqual, Equal, NotEqual, GreaterEqual, Greater]);
    let same = select(vec![Equal, NotEqual]);
    let list = select(vec!["block_list", "watch_list"]);
    let list = list.prop_map(|name| Set::List(name.to_owned(), Span::default()));
    let items = |items| Set::Items(items, Span::default());
    let numbers = vec(literal().prop_map(|value| node(AstKind::Number(value))), 1..5);
    let missing = prop_oneof![number(), duration(), text(), Just(name("weekend"))];
    prop_oneof![
        4 => (comparison(), number(), number()).prop_map(compare),
        2 => (comparison(), duration(), duration()).prop_map(compare),
        2 => (same, text(), text()).prop_map(compare),
        2 => (text(), any::<bool>(), list).prop_map(|(v, n, set)| within(v, n, set)),
        1 => (text(), any::<bool>(), vec(constant_text(), 1..4).prop_map(items))
            .prop_map(|(v, n, set)| within(v, n, set)),
        1 => (number(), any::<bool>(), numbers.prop_map(items))
            .prop_map(|(v, n, set)| within(v, n, set)),
        1 => missing.prop_map(|value| call("is_missing", vec![value])),
        1 => Just(name("weekend")),
        1 => any::<bool>().prop_map(|value| node(AstKind::Bool(value))),
    ]
}

fn condition() -> impl Strategy<Value = Ast> {
    test().prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|parts| node(AstKind::And(parts))),
            vec(inner.clone(), 2..4).prop_map(|parts| node(AstKind::Or(parts))),
            inner.prop_map(|part| node(AstKind::Not(Box::new(part)))),
        ]
    })
}

#[derive(Debug)]
struct Payment {
    row: Vec<f32>,
    texts: Vec<Option<&'static str>>,
}

fn payment() -> impl Strategy<Value = Payment> {
    let value = prop_oneof![
        1 => Just(f32::NAN),
        4 => select(vec![0.0, -0.0, 1.0, 2.0, 3.0, 0.5, 0.1, 19.99, 3_600.0, 7_200.0]),
        2 => -1e6_f32..1e6,
    ];
    let text = prop_oneof![1 => Just(None), 4 => select(vec!["a", "b", "c", "KP"]).prop_map(Some)];
    (vec(value, FEATURES.len()), vec(text, TEXTS.len()))
        .prop_map(|(row, texts)| Payment { row, texts })
}

fn world(payment: &Payment) -> World {
    let mut values = BTreeMap::new();
    for ((name, unit), value) in FEATURES.iter().zip(&payment.row) {
        let value = (!value.is_nan()).then_some(f64::from(*value));
        let value = match *unit {
            "flag" => Value::Flag(value.map(|value| value != 0.0)),
            "hours" => Value::Number(value.map(|value| value * 3_600.0)),
            _ => Value::Number(value),
        };
        values.insert((*name).to_owned(), value);
    }
    for (name, text) in TEXTS.iter().zip(&payment.texts) {
        values.insert((*name).to_owned(), Value::Text(text.map(str::to_owned)));
    }
    let listed = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let lists = [("block_list", listed(&["a", "it's"])), ("watch_list", listed(&["b"]))];
    World { values, lists: lists.map(|(name, set)| (name.to_owned(), set)).into() }
}

fn lists() -> Lists {
    let mut lists = Lists::new();
    // An entry that expires now is no longer listed.
    for (name, entries) in [
        ("block_list", vec![("a", None), ("it's", Some(NOW + 1)), ("c", Some(NOW))]),
        ("watch_list", vec![("b", None), ("KP", Some(1))]),
    ] {
        let spec = ListSpec { name: name.to_owned(), kind: ListKind::Block, of: Vec::new() };
        let mut list = List::new(spec, ListLimits::default()).expect("a right name");
        for (value, expires) in entries {
            let expires_at = expires.map(Timestamp);
            let entry = ListEntry { value, expires_at, reason: "", added_by: "" };
            list.add(&entry).expect("there is room");
        }
        lists.insert(list);
    }
    lists
}

#[derive(Debug)]
struct Drawn {
    when: Ast,
    segment: Option<Ast>,
    action: RuleAction,
    shadow: bool,
}

fn rule() -> impl Strategy<Value = Drawn> {
    (condition(), proptest::option::of(test()), select(&RuleAction::ALL[..]), any::<bool>())
        .prop_map(|(when, segment, action, shadow)| Drawn { when, segment, action, shadow })
}

fn file(rules: &[Drawn]) -> String {
    let mut file = String::new();
    for (index, rule) in rules.iter().enumerate() {
        let (when, action, shadow) = (&rule.when, rule.action.name(), rule.shadow);
        file += &format!("[[rule]]\nname = 'rule {index}'\nwhen = '''{when}'''\n");
        file += &format!("action = '{action}'\nreason = 'r'\nshadow = {shadow}\n");
        if let Some(segment) = &rule.segment {
            file += &format!("segment = '''{segment}'''\n");
        }
    }
    file
}

proptest! {
    #![proptest_config(Config { cases: 1_500, ..Config::default() })]

    #[test]
    fn compiled_rules_say_what_the_naive_form_says(
        rules in vec(rule(), 1..6),
        payments in vec(payment(), 1..12),
    ) {
        let limits = RuleLimits { cost_per_rule_max: 60_000, cost_per_set_max: 60_000, rules_max: 9 };
        let file = file(&rules);
        let set = RuleSet::compile_within(&file, &Vocabulary::new(FEATURES, TEXTS), &lists(), &limits);
        let set = set.unwrap_or_else(|errors| panic!("{file}\n{errors:?}"));
        for payment in &payments {
            let world = world(payment);
            let holds = |rule: &Drawn| {
                rule.segment.as_ref().is_none_or(|segment| world.holds(segment))
                    && world.holds(&rule.when)
            };
            let expected: Vec<usize> = (0..rules.len()).filter(|i| holds(&rules[*i])).collect();
            let acting = expected.iter().filter(|index| !rules[**index].shadow);
            let decides = acting.min_by_key(|index| (rules[**index].action, **index));

            let input = RuleInput { row: &payment.row, texts: &payment.texts, at: Timestamp(NOW) };
            if !set.looks_at_texts() {
                let without = RuleInput { texts: &[None; TEXTS.len()], ..input };
                prop_assert_eq!(set.evaluate(&without), set.evaluate(&input));
            }
            let mut all = Vec::new();
            set.evaluate_all(&input, |rule| all.push(usize::from(rule)));
            all.sort_unstable();
            prop_assert_eq!(&all, &expected, "{}\n{:?}", file, payment);
            let decided = set.evaluate(&input).map(|hit| usize::from(hit.rule));
            prop_assert_eq!(decided, decides.copied(), "{}\n{:?}", file, payment);
        }
    }

    #[test]
    fn an_expression_is_read_as_it_was_written(tree in condition()) {
        let text = tree.to_string();
        let mut faults = Vec::new();
        prop_assert_eq!(parse(&text, &mut faults).to_string(), text);
        prop_assert_eq!(faults, []);
    }
}
