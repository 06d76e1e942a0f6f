//! What expressions mean, by example.

use crate::{SOMEBODY, compile, input, row, rule};

/// Whether a condition holds for a row and [`SOMEBODY`].
fn holds(when: &str, values: &[(&str, f32)]) -> bool {
    compile(&rule(when)).evaluate(&input(&row(values), &SOMEBODY)).is_some()
}

#[test]
fn each_construct_means_what_its_line_says() {
    let many: &[(&str, f32)] = &[("payer.count_1h", 21.0), ("amount", 251.0)];
    for (when, values, expected) in [
        // Numbers, arithmetic, precedence of operators.
        ("payer.count_1h > 20 && amount > 5 * payer.mean_30d", many, true),
        ("payer.count_1h > 20 and amount > 5.1 * payer.mean_30d", many, false),
        ("amount == 2 + 3 * 4 - 10 / 5", &[("amount", 12.0)], true),
        ("amount == (2 + 3) * 4", &[("amount", 20.0)], true),
        ("amount == 10 - 3 - 2", &[("amount", 5.0)], true),
        ("amount == -(-5)", &[("amount", 5.0)], true),
        ("amount > 1_000.00", &[("amount", 1_000.01)], true),
        ("amount >= 19.99 and amount == 19.99", &[("amount", 19.99)], true),
        ("payee.fraud_share_30d >= 30%", &[("payee.fraud_share_30d", 0.3)], true),
        // `and` binds more tightly than `or`, `not` more tightly than both.
        ("true or true and false", &[], true),
        ("(true or true) and false", &[], false),
        ("not false and false", &[], false),
        ("!(amount > 5) || false", &[], false),
        ("not amount > 5", &[], false),
        // Functions.
        ("min(amount, 5) == 5 and max(amount, 5, 200) == 200", &[], true),
        ("abs(amount - 300) == 200", &[], true),
        ("coalesce(payer.mean_30d, 7) == 7", &[("payer.mean_30d", f32::NAN)], true),
        ("coalesce(context.device, payer, 'none') == 'alice'", &[], true),
        // Durations, in whatever unit the feature has.
        ("payer.age >= 365d and payer.age < 53w", &[], true),
        ("payer.since_last == 1h and payer.since_last == 60min", &[], true),
        ("payer.since_last < 30min + 2 * 20min", &[], true),
        ("payer.age / 1d > 364", &[], true),
        // Flags.
        ("weekend", &[("weekend", 1.0)], true),
        ("not weekend", &[("weekend", 0.0)], true),
        // Texts and lists.
        ("context.country == \"CZ\" and context.channel != 'branch'", &[], true),
        ("context.country in [\"KP\", \"IR\"]", &[], false),
        ("context.country not in ['KP', 'IR']", &[], true),
        ("payer in block_list or payee in block_list", &[], false),
        ("payer not in block_list", &[], true),
        ("payer.count_1d in [1, 2, 1 + 2]", &[], true),
    ] {
        assert_eq!(holds(when, values), expected, "{when}");
    }
}

#[test]
fn comparisons_with_something_missing_are_false() {
    // Nothing is known of the payer's usual, of the weekend and of the device.
    let missing = [("payer.mean_30d", f32::NAN), ("weekend", f32::NAN)];
    for (when, expected) in [
        ("payer.mean_30d < 5", false),
        ("payer.mean_30d >= 5", false),
        ("payer.mean_30d == payer.mean_30d", false),
        ("payer.mean_30d != 5", false),
        ("payer.mean_30d in [5]", false),
        ("payer.mean_30d not in [5]", false),
        ("context.device == 'a'", false),
        ("context.device != 'a'", false),
        ("context.device in ['a']", false),
        ("context.device not in ['a']", false),
        ("weekend", false),
        // Missing spreads.
        ("amount > 5 * payer.mean_30d", false),
        ("min(amount, payer.mean_30d) < 1_000", false),
        ("amount / 0 > 5 or amount / 0 <= 5", false),
        // `not` turns the answer, not the comparison.
        ("not payer.mean_30d < 5", true),
        ("not weekend", true),
        ("is_missing(payer.mean_30d) and is_missing(context.device) and is_missing(weekend)", true),
        ("is_missing(5 * payer.mean_30d) and not is_missing(amount)", true),
        ("amount > 5 * coalesce(payer.mean_30d, 10)", true),
    ] {
        assert_eq!(holds(when, &missing), expected, "{when}");
    }
}

#[test]
fn reasons_show_values_by_their_units() {
    let reason = "{payer.count_1h} in an hour, {amount} from {payer} in {context.device}, known \
                  for {payer.age}, fraud {payee.fraud_share_30d}, {{weekend}}: {weekend}";
    let file = rule("true").replace("'x'", &format!("\"{reason}\""));
    let (set, row) =
        (compile(&file), row(&[("amount", 1_234.5), ("payee.fraud_share_30d", 0.125)]));
    let input = input(&row, &SOMEBODY);
    let hit = set.evaluate(&input).expect("it always holds");
    assert_eq!(
        set.reason(hit.rule, &input),
        "1 in an hour, 1,234.50 from alice in unknown, known for 365 d, fraud 12.5 %, {weekend}: no"
    );
}

#[test]
fn the_digest_changes_with_the_meaning_alone() {
    let digest = |when: &str| compile(&rule(when)).digest();
    assert_eq!(digest("amount>5 && weekend"), digest("amount > 5 and weekend"));
    assert_ne!(digest("amount > 5"), digest("amount >= 5"));
    let commented = rule("amount > 5") + "comment = 'why'\n";
    assert_eq!(compile(&commented).digest(), digest("amount > 5"));
    let shadow = rule("amount > 5") + "shadow = true\n";
    assert_ne!(compile(&shadow).digest(), digest("amount > 5"));
    let mut others = crate::lists();
    others.insert(crate::list(
        "block_list",
        millrace_risk::rules::ListKind::Block,
        &["payer", "payee"],
        &["mallory", "trudy"],
    ));
    let file = rule("payer in block_list");
    let set = millrace_risk::rules::RuleSet::compile(&file, &crate::vocabulary(), &others);
    assert_ne!(set.expect("right").digest(), digest("payer in block_list"));
}
