//! Reports as whole files. With `MILLRACE_REPORTS` set to a folder, they are left there to look at.

use millrace_risk_lab::{
    data::Day,
    metrics::{Bootstrap, Evaluation, Scored, drift, evaluate},
    report::{Example, Report},
    tune::{Challenge, CompareSettings, Costs, MissedFraud, backtest, compare, tune},
};

const ROWS: u32 = 40_000;

/// Evenly between 0 and 1.
fn noise(n: u32, seed: u32) -> f64 {
    let mixed = n.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    f64::from((mixed ^ (mixed >> 12)) >> 8) / f64::from(1 << 24)
}

/// Two weeks of payments, of which some are risky. A model knows the risk of a share of these
/// (its `skill`), about as far as it can be known, and takes the others for harmless.
fn scored(skill: f64, seed: u32) -> Scored {
    let risk = |n: u32| match noise(n, 1) {
        drawn if drawn > 0.985 => noise(n, 7).powf(0.8) * 0.95,
        _ => noise(n, 7) * 0.003,
    };
    let is_fraud: Vec<bool> = (0..ROWS).map(|n| noise(n, 2) < risk(n)).collect();
    let score = |n: u32| {
        let known = risk(n) * (0.8 + 0.4 * noise(n, seed + 1));
        let guessed = noise(n, seed + 2).powi(40) * 0.4 + 0.002 * noise(n, seed + 3);
        (if noise(n, seed) < skill { known } else { guessed }).min(0.99) as f32
    };
    let scores = (0..ROWS).map(score).collect();
    Scored {
        scores,
        is_fraud,
        amount: (0..ROWS).map(|n| (noise(n, 5) * 40_000.0).round() / 100.0).collect(),
        day: (0..ROWS).map(|n| Day(17_737 + n / (ROWS / 14 + 1))).collect(),
        customer: (0..ROWS).map(|n| n % 3_001).collect(),
    }
}

fn evaluated(scored: &Scored) -> Evaluation {
    let bootstrap = Bootstrap { samples: 100, ..Bootstrap::default() };
    evaluate(scored, Some(bootstrap)).expect("two classes")
}

fn reports() -> Vec<(&'static str, Report)> {
    let (champion, challenger) = (scored(0.7, 11), scored(0.85, 31));
    let (before, now) = (evaluated(&champion), evaluated(&challenger));
    let subtitle = "made-up payments and scores, 2018-07-25..2018-08-07";
    let mut eval = Report::new("Evaluation", subtitle);
    eval.evaluation(&now);
    eval.heading("What the model looks at").importance(&[
        ("amount.ratio_to_payer_mean_30d", 0.31),
        ("payee.fraud_share_28d", 0.27),
        ("amount", 0.21),
        ("payer.count_1d", 0.08),
        ("payer.mean_30d", 0.05),
        ("payee.count_7d", 0.004),
    ]);
    eval.examples(
        "Examples",
        &[Example {
            payment: "1287301".to_owned(),
            about: "2018-08-01 13:45, customer 596 to terminal 3156, 412.50".to_owned(),
            score: 0.93,
            is_fraud: true,
            reasons: vec![
                "amount is 6.2 times the payer's 30-day mean".to_owned(),
                "<script>alert(1)</script> is only text here".to_owned(),
            ],
        }],
    );
    eval.facts(&[("seed", "1".to_owned()), ("bootstrap", "100 samples of customers".to_owned())]);

    let costs = Costs {
        missed_fraud: MissedFraud::ShareOfAmount(1.0),
        false_alarm: 25.0,
        review: 6.0,
        challenge: Some(Challenge { each: 0.5, fraud_stopped: 0.8, legit_lost: 0.1 }),
    };
    let tuning = tune(&challenger, &costs, Some(12.0)).expect("right input");
    let mut tuned = Report::new("Thresholds", subtitle);
    tuned.tuning(&tuning).backtest(&backtest(&challenger, &tuning.thresholds));

    let settings = CompareSettings {
        reviews_per_day: 20,
        bootstrap: Bootstrap { samples: 100, ..Bootstrap::default() },
    };
    let comparison = compare(&champion, &challenger.scores, settings).expect("two classes");
    let mut compared = Report::new("Champion and challenger", subtitle);
    compared.comparison(&comparison, ("champion v3", &before), ("challenger v4", &now));

    let features = ["amount", "payer.count_1d", "payee.fraud_share_30d", "payer.days_since_last"];
    let rows = |moved: f64, seed: u32| -> Vec<f32> {
        let row = |n: u32| {
            [
                noise(n, seed) + moved,
                (noise(n, seed + 1) * 8.0).floor(),
                noise(n, seed + 2).powi(3 + (moved * 9.0) as i32),
                if noise(n, seed + 3) < 0.05 + moved { f64::NAN } else { noise(n, seed + 4) },
            ]
        };
        (0..5_000).flat_map(row).map(|value| value as f32).collect()
    };
    let mut drifted = Report::new("Drift", "made-up features, 2018-07 against 2018-08");
    drifted.drift(&drift(&features, &rows(0.0, 20), &rows(0.12, 30)));
    vec![("eval", eval), ("tune", tuned), ("compare", compared), ("drift", drifted)]
}

/// Every tag that is opened is closed in its order, and nothing is loaded from anywhere.
#[test]
fn reports_are_whole_and_stand_alone() {
    for (name, report) in reports() {
        let html = report.to_html();
        if let Some(folder) = std::env::var_os("MILLRACE_REPORTS") {
            let path = std::path::Path::new(&folder).join(format!("{name}.html"));
            std::fs::write(path, &html).expect("the folder exists");
        }
        assert_eq!(well_formed(&html), Ok(()), "{name}");
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!html.contains(outside), "{name}: {outside}");
        }
        for wrong in ["NaN", "inf", "None", "Some("] {
            let place = html.split("</style>").nth(1).and_then(|body| body.find(wrong));
            assert_eq!(place, None, "{name}: {wrong}");
        }
        assert!(html.contains("<title>") && html.len() < 1 << 20, "{name}: {} bytes", html.len());
    }
    let (first, second) = (reports(), reports());
    assert!(first.iter().zip(&second).all(|(a, b)| a.1.to_html() == b.1.to_html()));
}

/// A report of next to nothing must not divide by zero.
#[test]
fn small_reports_are_whole_too() {
    let scored = Scored {
        scores: vec![0.5, 0.5],
        is_fraud: vec![true, false],
        amount: vec![0.0, 0.0],
        day: vec![Day(1); 2],
        customer: vec![0; 2],
    };
    let costs = Costs {
        missed_fraud: MissedFraud::Fixed(0.0),
        false_alarm: 0.0,
        review: 0.0,
        challenge: None,
    };
    let tuning = tune(&scored, &costs, Some(0.0)).expect("right input");
    let mut report = Report::new("", "");
    report.evaluation(&evaluated(&scored)).tuning(&tuning);
    report.backtest(&backtest(&scored, &tuning.thresholds));
    report.drift(&drift(&["x"], &[], &[])).importance(&[]).examples("none", &[]);
    let html = report.to_html();
    assert_eq!(well_formed(&html), Ok(()));
    assert!(!html.split("</style>").nth(1).is_some_and(|body| body.contains("NaN")), "{html}");
}

/// A small check of nesting: no parser of HTML would complain.
fn well_formed(html: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
        if tag.starts_with('!') || tag.ends_with('/') || name == "meta" {
            continue;
        }
        if !tag.starts_with('/') {
            open.push(name.to_owned());
        } else if open.pop().as_deref() != Some(name) {
            return Err(format!("</{name}> closes what is not open"));
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
}
