//! What an analyst reads about mistakes: place, problem, advice.

use millrace_risk::rules::{RuleError, RuleLimits, RuleSet};

use crate::{lists, rule, vocabulary};

fn errors(file: &str) -> Vec<RuleError> {
    RuleSet::compile(file, &vocabulary(), &lists()).err().unwrap_or_default()
}

#[test]
fn each_mistake_in_an_expression_is_told_with_its_column_and_advice() {
    for (when, column, problem, help) in [
        ("payer.count_1hr > 5", 1, "`payer.count_1hr` is not a known name", "`payer.count_1h`?"),
        ("amount > 5 and Amount > 5", 16, "`Amount` is not a known name", "`amount`?"),
        ("xyz > 5", 1, "`xyz` is not a known name", "known are `amount`"),
        ("context.country == KP", 20, "`KP` is not a known name", "in quotes: \"KP\""),
        ("context.country in [KP]", 21, "`KP` is not a known name", "in quotes: \"KP\""),
        ("payer.count_1h and weekend", 1, "a number where a condition", "`payer.count_1h > 0`"),
        ("payer", 1, "`payer` is a text where a condition", "`payer in a_list`"),
        ("payer.age", 1, "a duration where a condition", "`payer.age > 2h`"),
        ("weekend == 1", 1, "is a condition: it is not compared", "`not weekend`"),
        ("weekend + 1 > 2", 1, "`weekend` is a condition where a number", "name of one"),
        ("payer.age < 2", 13, "`2` is a number and `payer.age` is a duration", "`2h`"),
        ("amount > 2h", 10, "`2h` is a duration and `amount` is a number", "without one"),
        ("amount > '5'", 10, "`'5'` is a text and `amount` is a number", "without quotes: 5"),
        ("context.country == 5", 20, "`5` is a number and", "in quotes: \"5\""),
        ("context.country > 'KP'", 1, "texts have no order: `>`", "`==` or `!=`"),
        ("payer.age + 1 > 2d", 13, "`1` is a number and `payer.age` is a duration", "`1d`"),
        ("payer.age * payer.age > 1", 1, "can't be divided or multiplied", "by a number"),
        ("amount + payer > 1", 10, "`payer` is a text where a number", "name of one"),
        ("1 < amount < 5", 1, "can't be chained", "`1 < amount and amount < 5`"),
        ("amount = 5", 8, "`=` has no meaning here", "write `==`"),
        ("amount > 5 & weekend", 12, "`&` has no meaning here", "write `and`"),
        ("amount > 5 OR weekend", 12, "`OR` is not known", "write `or`"),
        ("amount \u{2265} 5", 8, "`\u{2265}` has no meaning here", "write `>=`"),
        ("amount > 1,000", 11, "`,` stands where", "1_000.00"),
        ("amount > 1__0", 10, "`1__0` is no number", "1_000.00"),
        ("payer.since_last > 5m", 20, "the unknown unit `m`", "minutes as `min`"),
        ("amount > 5k", 10, "the unknown unit `k`", "all its digits"),
        ("payer == \u{201c}x\u{201d}", 10, "these quotes have no meaning", "plain quotes"),
        ("amount > 5 # big", 12, "`#` has no meaning in an expression", "`comment`"),
        ("payer == 'x", 10, "this text has no end", "close it with `'`"),
        ("(amount > 5", 1, "this bracket is never closed", "close it"),
        ("amount > 5)", 11, "`)` stands where", "`and` or `or`"),
        (
            "amount >",
            9,
            "the expression ends where a value is expected",
            "what it is compared with",
        ),
        ("", 1, "the expression ends where a value is expected", "such as `amount > 1_000`"),
        ("> 3", 1, "`>` stands where a value", "in front of it: `amount > 3`"),
        ("amount > 3 and", 15, "the expression ends where a value", "a condition behind it"),
        ("amount >> 3", 9, "`>` stands where a value", "one of the two signs out"),
        ("amount > 5 %", 12, "`%` has no meaning in an expression", "right behind the number: 5%"),
        ("amount in [", 11, "this bracket is never closed", "close it"),
        ("not", 4, "the expression ends where a value", "`not payer in block_list`"),
        ("weekend or or weekend", 12, "`or` stands where a value", "one of the two out"),
        ("amount?", 7, "`?` has no meaning in an expression", "`is_missing(..)`"),
        ("and amount > 3", 1, "`and` stands where a value", "in front of it"),
        ("payer in in block_list", 10, "`in` stands where a list", "`in block_list`"),
        ("min(amount 5, 3) > 1", 12, "`5` stands where", "`and` or `or`"),
        ("amount @ 3", 8, "`@` has no meaning", "take it out"),
        ("amount 5", 8, "`5` stands where an operator, `and` or `or`", "`and` or `or`"),
        ("payer in blocklist", 10, "`blocklist` is not a known list", "`block_list`?"),
        ("payer in payee", 10, "`payee` is a value, not a list", "by `==`"),
        ("block_list", 1, "`block_list` is a list, not a value", "`payer in block_list`"),
        ("amount in block_list", 1, "lists hold texts", "`in [1, 2]`"),
        ("payer in high_risk_countries", 1, "not a list of `payer` values", "`context.country in"),
        ("payer in []", 10, "nothing is in this list", "[\"KP\", \"IR\"]"),
        ("amount in [1, 'a']", 15, "`'a'` is a text and `amount` is a number", "compare"),
        ("amount in [payer.mean_30d]", 12, "differs from payment to payment", "`==`"),
        ("['a'] == payer", 1, "a list stands behind `in` only", "in [\"KP\"]"),
        ("minn(amount, 5) > 1", 1, "`minn` is not a known function", "`min`?"),
        ("min(amount) > 1", 1, "takes 2 to 16 arguments, and 1 are given", "`max(amount, 100)`"),
        ("abs > 1", 1, "is a function and needs arguments", "`abs(...)`"),
        ("is_missing(amount > 5)", 12, "a condition is never missing", "`is_missing(payer"),
        ("min(payer, payee) == payer", 5, "`payer` is a text where a number", "the name of one"),
        ("min(weekend, 1) == 1", 5, "`weekend` is a condition where a number", "the name of one"),
    ] {
        let found = errors(&rule(when));
        let [error] = found.as_slice() else { panic!("{when}: {found:#?}") };
        assert_eq!((error.line, error.column), (3, column + 10), "{when}: {error}");
        assert!(error.problem.contains(problem), "{when}: {error}");
        assert!(!help.is_empty() && error.help.contains(help), "{when}: {error}");
        assert_eq!(error.rule.as_deref(), Some("r"), "{when}");
    }
}

/// What is right and says nothing is warned of, and runs all the same.
#[test]
fn conditions_that_say_nothing_are_warned_of() {
    const CHANNELS: [&str; 2] = ["card_present", "transfer"];
    let features = [("amount", "money"), ("score", "share"), ("age", "days")];
    let vocabulary = millrace_risk::rules::Vocabulary::new(features, ["payer", "channel"]);
    let vocabulary = vocabulary.with_values("channel", &CHANNELS);
    for (when, column, problem, help) in [
        ("amount / 0 > 1", 1, "`amount / 0` divides by 0: it is always missing", "something else"),
        ("age / 0 > 1d", 1, "`age / 0` divides by 0", "something else"),
        ("5 > 3", 1, "`5 > 3` holds for every payment", "differs between payments"),
        ("amount > 5 and 3 > 5", 16, "`3 > 5` never holds", "differs between payments"),
        ("true", 1, "this holds for every payment", "which payments"),
        ("amount > 5 and false", 1, "this never holds", "which payments"),
        ("score > 2", 1, "`score` is a share of 0 to 1, so `score > 2` never holds", "`2%`"),
        ("5 <= score", 1, "so `5 <= score` never holds", "`5%`"),
        ("score < 200", 1, "so `score < 200` holds for every payment", "of 0 to 1"),
        ("score > 1", 1, "so `score > 1` never holds", "of 0 to 1"),
        ("channel == 'card'", 1, "`channel` is never \"card\"", "\"card_present\"?"),
        ("'x' != channel", 1, "`channel` is never \"x\"", "one of card_present, transfer"),
        ("channel in ['transfer', 'transfers']", 25, "is never \"transfers\"", "\"transfer\"?"),
        ("score >= 1 or score > 0.5 or score >= 0", 0, "", ""),
        ("channel == 'transfer' or payer == 'x' or channel != payer", 0, "", ""),
        ("amount / 2 > 1 and age > 1d", 0, "", ""),
    ] {
        let set = RuleSet::compile(&rule(when), &vocabulary, &Default::default());
        let set = set.unwrap_or_else(|errors| panic!("{when}: {errors:?}"));
        let told: Vec<_> = set.warnings().iter().map(|it| (it.column, it.to_string())).collect();
        match told.as_slice() {
            [] => assert_eq!(problem, "", "{when}"),
            [(at, told)] => {
                assert_eq!(*at, column + 10, "{told}");
                assert!(!problem.is_empty() && told.contains(problem), "{when}: {told}");
                assert!(told.contains(help), "{when}: {told}");
            }
            more => panic!("{when}: {more:#?}"),
        }
    }
}

#[test]
fn without_lists_it_is_told_how_to_name_one() {
    let none = RuleSet::compile(&rule("payer in stolen"), &vocabulary(), &Default::default());
    let told = none.expect_err("there is no list").remove(0).help;
    assert!(told.contains("`--list stolen:block=FILE`"), "{told}");
}

#[test]
fn all_mistakes_of_a_file_are_told_in_their_order() {
    let file = r#"
[[rule]]
name = "one"
when = "amont > 5 and payer.cnt_1h > 1 and (amount > > 3) or weekend == 1"
segment = "context.contry == 'CZ'"
action = "blok"
reason = "{amunt} is too much"

[[rule]]
name = "one"
when = "amount > 5"
action = "block"
reason = "x"
weight = 5

[[rule]]
when = "\u0061mount > \"5\" and\tx == 1"
enabled = "yes"

[[rules]]
"#;
    let found = errors(file);
    let told: Vec<(usize, usize, &str)> =
        found.iter().map(|error| (error.line, error.column, error.problem.as_str())).collect();
    let expected = [
        (4, 9, "`amont` is not a known name"),
        (4, 23, "`payer.cnt_1h` is not a known name"),
        (4, 54, "`>` stands where a value is expected"),
        (4, 62, "`weekend` is a condition: it is not compared"),
        (5, 12, "`context.contry` is not a known name"),
        (6, 11, "\"blok\" is not an action"),
        (7, 12, "`amunt` is not a known name"),
        (10, 8, "the rule in line 3 has this name already"),
        (14, 1, "a rule has no `weight`"),
        (16, 1, "the rule has no `name`"),
        (16, 1, "the rule has no `action`"),
        (16, 1, "the rule has no `reason`"),
        (17, 23, "`\"5\"` is a text and `amount` is a number"),
        (17, 34, "`x` is not a known name"),
        (18, 11, "`enabled` is neither true nor false"),
        (20, 3, "a rule file has no `rules`"),
    ];
    assert_eq!(told, expected, "{found:#?}");
}

#[test]
fn an_error_shows_its_line_with_a_mark() {
    let found = errors(&rule("amount > 5 and payer.count_1hr > 20"));
    let expected = "\
line 3, column 26: rule \"r\": `payer.count_1hr` is not a known name
  |
3 | when = '''amount > 5 and payer.count_1hr > 20'''
  |                          ^^^^^^^^^^^^^^^
  = did you mean `payer.count_1h`?";
    assert_eq!(found[0].to_string(), expected);
}

#[test]
fn a_mistake_far_to_the_right_is_shown_with_what_stands_around_it() {
    let when = "amount > 5 and ".repeat(20) + "amont > 5 and weekend";
    let shown = errors(&rule(&when))[0].to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let mark = lines[3].find('^').expect("a mark");
    assert_eq!(lines[2][mark..].split(' ').next(), Some("amont"), "{shown}");
    assert!(lines[2].len() < 120, "{shown}");
}

#[test]
fn rules_that_cost_too_much_are_refused_with_cost_and_budget() {
    let limits = RuleLimits { rules_max: 3, cost_per_rule_max: 6, cost_per_set_max: 9 };
    let complaints = |file: &str| -> Vec<String> {
        let set = RuleSet::compile_within(file, &vocabulary(), &lists(), &limits);
        set.err().unwrap_or_default().into_iter().map(|error| error.problem).collect()
    };
    let fits = "payer.count_1h > 20 and amount > 5 * payer.mean_30d";
    assert_eq!(complaints(&rule(fits)), [""; 0]);
    // What is the same for all payments costs nothing.
    assert_eq!(complaints(&rule(&format!("{fits} + 2 * 3 * 4 - 24 / 7 + 5"))).len(), 1);
    assert_eq!(complaints(&rule(&fits.replace('5', "(2 * 3 * 4 + 5)"))), [""; 0]);
    let problem = "this rule costs 8, and the budget of a rule is 6";
    assert_eq!(complaints(&rule(&format!("{fits} or amount > 1"))), [problem]);

    let named = |name: &str, when: &str| rule(when).replace("'r'", &format!("'{name}'"));
    let three = named("a", fits) + &named("b", "amount > 1") + &named("c", "amount > 2");
    let problem = "the enabled rules cost 10 together, and the budget of a set is 9";
    assert_eq!(complaints(&three), [problem]);
    let off = three.clone() + "enabled = false\n";
    assert_eq!(complaints(&off), [""; 0]);
    let problem = "there are 4 rules, and 3 are the most";
    assert_eq!(complaints(&(off + &named("d", "false"))), [problem]);
}

#[test]
fn names_that_the_journal_has_no_room_for_are_refused() {
    for (name, problem) in [
        ("", "a name can't be empty"),
        ("a name with thirty-two bytes....", "this name has 32 bytes, and 31 are the most"),
        ("tab\\t", "a name has no control characters"),
    ] {
        let file = rule("true").replace("'r'", &format!("\"{name}\""));
        let found = errors(&file);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].line, found[0].problem.as_str()), (2, problem));
    }
    assert_eq!(errors(&rule("true").replace("'r'", "'a name with thirty-one bytes...'")), []);
}

#[test]
fn a_file_that_is_no_toml_is_told_where() {
    let found = errors("[[rule]]\nname = 'a\nwhen = ''\n");
    assert!(!found.is_empty());
    assert_eq!(found[0].line, 2, "{found:?}");
    assert!(found[0].problem.starts_with("this is not TOML"), "{found:?}");
    let found = errors("[rule]\nname = 'a'\n");
    assert_eq!(found[0].problem, "`rule` is not a list of rules");
    assert_eq!(errors(""), []);
    let found = errors(&("#".repeat(1 << 20) + "\n"));
    assert_eq!(found[0].problem, "the file has 1048577 bytes, and 1048576 are the most");
}
