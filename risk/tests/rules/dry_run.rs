//! Dry runs: figures that can be checked by hand.

use millrace_risk::rules::{DryRunPayment, DryRunReport, Overlap};

use crate::{SOMEBODY, compile, input, row};

const RULES: &str = r#"
[[rule]]
name = "large"
when = "amount >= 100"
action = "review"
reason = "{amount} is large"

[[rule]]
name = "odd"
when = "payer.count_1h in [1, 3, 5, 7, 9]"
action = "block"
reason = "{payer.count_1h}"

[[rule]]
name = "watching"
when = "amount >= 180"
action = "allow"
reason = "x"
shadow = true

[[rule]]
name = "off"
when = "true"
action = "allow"
reason = "x"
enabled = false

[[rule]]
name = "never"
when = "amount < 0"
action = "allow"
reason = "x"
"#;

/// Amounts 0, 20, ... 180, counts 0 to 9; frauds from 120 on; of the last nothing is known.
fn report() -> DryRunReport {
    let rows: Vec<Vec<f32>> = (0..10_u8)
        .map(|i| row(&[("amount", f32::from(i) * 20.0), ("payer.count_1h", f32::from(i))]))
        .collect();
    let ids: Vec<String> = (0..10).map(|index| format!("payment {index}")).collect();
    let payments = (0..10).map(|index| DryRunPayment {
        id: &ids[index],
        input: input(&rows[index], &SOMEBODY),
        amount: index as f64 * 20.0,
        fraud: (index < 9).then_some(index >= 6),
    });
    compile(RULES).dry_run(payments)
}

#[test]
fn each_rule_is_told_with_its_hits_money_frauds_and_overlaps() {
    let report = report();
    assert_eq!((report.payments, report.money, report.labelled), (10, 900.0, 9));
    assert_eq!((report.frauds, report.fraud_money), (3, 120.0 + 140.0 + 160.0));
    let figures = |name: &str| {
        let rule = report.rules.iter().find(|rule| rule.name == name).expect("it is there");
        (rule.hits, rule.money, rule.decided, rule.alone, rule.labelled_hits, rule.frauds_caught)
    };
    // Large: 5 to 9. Odd: 1, 3, 5, 7, 9; block decides before review.
    assert_eq!(figures("large"), (5, 700.0, 2, 2, 4, 3));
    assert_eq!(figures("odd"), (5, 500.0, 5, 2, 4, 1));
    assert_eq!(figures("watching"), (1, 180.0, 0, 0, 0, 0));
    assert_eq!(figures("off"), (0, 0.0, 0, 0, 0, 0));
    assert_eq!(figures("never"), (0, 0.0, 0, 0, 0, 0));

    let large = &report.rules[0];
    assert_eq!((large.hit_share, large.precision, large.recall), (0.5, Some(0.75), Some(1.0)));
    assert_eq!(large.fraud_money_caught, 420.0);
    let overlap = |rule: &str, hits, share| Overlap { rule: rule.to_owned(), hits, share };
    assert_eq!(large.overlaps, [overlap("odd", 3, 0.6), overlap("watching", 1, 0.2)]);
    assert_eq!(report.rules[2].precision, None);
    assert_eq!(large.examples.len(), 5);
    let example = &large.examples[0];
    assert_eq!((example.id.as_str(), example.reason.as_str()), ("payment 5", "100.00 is large"));
    assert_eq!((example.at.as_str(), example.fraud), ("1970-01-01T00:00:00.000001Z", Some(false)));

    let decisions: Vec<_> =
        report.decisions.iter().map(|d| (d.decision, d.payments, d.money, d.frauds)).collect();
    let expected = [
        ("allow", 0, 0.0, 0),
        ("block", 5, 500.0, 1),
        ("challenge", 0, 0.0, 0),
        ("review", 2, 280.0, 2),
        ("none", 3, 120.0, 0),
    ];
    assert_eq!(decisions, expected);
}

#[test]
fn a_report_is_json_and_a_table() {
    let report = report();
    let json = serde_json::to_value(&report).expect("it is serialisable");
    assert_eq!(json["rules"][0]["name"], "large");
    assert_eq!(json["rules"][1]["action"], "block");
    assert_eq!(json["rules"][2]["precision"], serde_json::Value::Null);
    let table = report.to_string();
    for line in [
        "10 payments, 900.00 in all; 9 labelled, 3 frauds, 420.00 in all",
        "rule      action          cost  hits    share   money  decided  alone  frauds  precision    recall",
        "large     review             2     5  50.00 %  700.00        2      2       3    75.00 %  100.00 %",
        "watching  allow (shadow)     2     1  10.00 %  180.00        0      0       0          -    0.00 %",
        "off       allow (off)        0     0   0.00 %    0.00        0      0       0          -    0.00 %",
        "  3 of its hits (60.00 %) are also of odd",
        "  1970-01-01T00:00:00.000001Z payment 6, fraud: 120.00 is large",
    ] {
        assert!(table.lines().any(|found| found == line), "{line:?} is missing in\n{table}");
    }
}
