//! The same rows give the same model in every build and on every machine: what our own trainers make of
//! rows that are whole numbers is held to what they made once. A platform's exponential function or a sum
//! in another order would show here. Where a trainer is changed on purpose, so are the numbers.

use millrace_risk::model::Model;
use millrace_risk_lab::train::{
    Boosting, Calibrate, Dataset, Isolation, Loss, Settings, Trainer, fit_platt, train,
};

const ROWS: u32 = 1_500;

/// Whole numbers that look random.
fn numbers() -> impl Iterator<Item = u32> {
    (1_u32..).map(|n| n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(0x85eb_ca6b) >> 12)
}

fn rows() -> (Vec<f32>, Vec<bool>) {
    let rows: Vec<f32> = numbers().take(ROWS as usize * 4).map(|n| (n % 1_000) as f32).collect();
    let doubt = numbers().skip(77_777);
    let label = |(row, doubt): (&[f32], u32)| row[0] + row[1] > 1_500.0 && doubt % 10 < 8;
    let labels = rows.chunks_exact(4).zip(doubt).map(label).collect();
    (rows, labels)
}

/// FNV-1a over the bits of all scores.
fn digest(scores: impl IntoIterator<Item = u64>) -> u64 {
    scores.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, bits| {
        bits.to_le_bytes()
            .iter()
            .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

fn scores(model: &Model, rows: &[f32]) -> u64 {
    let mut sums = vec![0.0; rows.len() / 4];
    let mut scores = vec![0.0; rows.len() / 4];
    model.score_raw(rows, &mut sums);
    model.score(rows, &mut scores);
    let bits = sums.iter().map(|sum: &f64| sum.to_bits());
    digest(bits.chain(scores.iter().map(|score: &f32| u64::from(score.to_bits()))))
}

#[test]
fn the_same_rows_give_the_same_model_everywhere() {
    let (rows, labels) = rows();
    let features = ["a", "b", "c", "d"].map(str::to_owned);
    let dataset = Dataset { features: &features, rows: &rows, labels: &labels, weights: None };
    let few = |loss| Boosting { loss, trees: 60, row_share: 0.7, ..Boosting::default() };
    for (name, trainer, expected) in [
        ("the default", Trainer::default(), 0),
        ("logistic loss", Trainer::Boosting(few(Loss::Logistic)), 0),
        ("squared loss", Trainer::Boosting(few(Loss::Squared)), 0),
        ("isolation", Trainer::Isolation(Isolation::default()), 0),
    ] {
        for calibrate in [Calibrate::Tail(0.25)] {
            let settings = Settings { trainer: trainer.clone(), calibrate, ..Settings::default() };
            let model = train(&dataset, &settings, &mut |_| {}).expect("right rows and settings");
            assert_eq!(scores(&model, &rows), expected, "{name}: {:#x}", scores(&model, &rows));
        }
    }
    let by_first: Vec<_> = rows.chunks_exact(4).map(|row| f64::from(row[0]) / 1_000.0).collect();
    let platt = fit_platt(&by_first, &labels, None);
    let probabilities = by_first.iter().map(|score| platt.apply(*score).to_bits());
    assert_eq!(digest(probabilities), 0);
}
