//! Settings in words: consumes the settings of a training, produces what its model's facts and
//! reports say of them.

use millrace_risk::model::Model;

use super::{Boosting, Calibrate, Loss, Settings, SmartBoosting, SmartForest, Trainer};

/// The setting that tells the calibration, and what it says of ranks.
const CALIBRATED: &str = "calibrated";
const RANKS: &str = "to ranks: a score of 0.99 is odder than 99 % of the rows";

/// Whether a model's scores tell how unusual a payment is, not how likely it is fraud: it was trained
/// without labels.
#[must_use]
pub fn scores_are_ranks(model: &Model) -> bool {
    model.facts().settings.iter().any(|(name, value)| name == CALIBRATED && value == RANKS)
}

impl Settings {
    /// For the model's facts: name and value of each.
    pub(super) fn in_words(&self, by_rank: bool) -> Vec<(String, String)> {
        let calibrate = match self.calibrate {
            _ if by_rank => RANKS.to_owned(),
            Calibrate::None => "no".to_owned(),
            Calibrate::Tail(share) => {
                format!("on the last {} % of the rows, by a model of the others", share * 100.0)
            }
            Calibrate::CrossFitted(pieces) => {
                format!("on all rows in {pieces} pieces, each by a model of the others")
            }
        };
        let settings = [
            ("trainer", self.trainer.in_words()),
            (CALIBRATED, calibrate),
            ("legitimate_share", self.legitimate_share.to_string()),
            ("seed", self.seed.to_string()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

impl Trainer {
    fn in_words(&self) -> String {
        match self {
            Self::Blend(blend) => {
                let part = |(boosting, factor): &(Boosting, f64)| {
                    format!("{} (counts {factor})", boosting.in_words())
                };
                let parts: Vec<_> = blend.parts.iter().map(part).collect();
                format!("the sum of {}", parts.join(" and "))
            }
            Self::Boosting(boosting) => boosting.in_words(),
            Self::SmartBoosting(it) => {
                let SmartBoosting { trees, depth, learning_rate, lambda, row_share } = it;
                format!(
                    "smartcore's boosting: {trees} trees of depth {depth}, learning rate \
                     {learning_rate}, lambda {lambda}, {} % of the rows per tree",
                    row_share * 100.0
                )
            }
            Self::SmartForest(SmartForest { trees, depth, leaf_rows_min, .. }) => format!(
                "smartcore's forest: {trees} trees of depth {depth}, at least {leaf_rows_min} rows \
                 per leaf"
            ),
            Self::Logistic(logistic) => {
                format!("smartcore's logistic regression, penalty {}", logistic.alpha)
            }
            Self::Isolation(isolation) => {
                let (trees, sample) = (isolation.trees, isolation.sample);
                format!("isolation forest: {trees} trees of {sample} rows each")
            }
        }
    }
}

impl Boosting {
    fn in_words(&self) -> String {
        let loss = match self.loss {
            Loss::Logistic => "log loss",
            Loss::Squared => "squared error",
        };
        let Self { trees, depth, learning_rate, lambda, gamma, child_weight_min, .. } = self;
        let mut words = format!(
            "{trees} trees of depth {depth} boosted on {loss}, learning rate {learning_rate}, lambda \
             {lambda}, at least {child_weight_min} of weight per leaf"
        );
        let shares = [(self.row_share, "rows"), (self.feature_share, "features")];
        for (share, of) in shares.into_iter().filter(|(share, _)| *share < 1.0) {
            words += &format!(", {} % of the {of} per tree", share * 100.0);
        }
        if *gamma > 0.0 {
            words += &format!(", gamma {gamma}");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Blend, Isolation, Logistic};

    #[test]
    fn no_setting_is_told_as_code() {
        for trainer in [
            Trainer::Blend(Blend::default()),
            Trainer::Boosting(Boosting { row_share: 0.5, gamma: 1.0, ..Boosting::default() }),
            Trainer::SmartBoosting(SmartBoosting::default()),
            Trainer::SmartForest(SmartForest::default()),
            Trainer::Logistic(Logistic::default()),
            Trainer::Isolation(Isolation::default()),
        ] {
            for calibrate in [Calibrate::None, Calibrate::Tail(0.25), Calibrate::CrossFitted(5)] {
                let settings =
                    Settings { trainer: trainer.clone(), calibrate, ..Settings::default() };
                for (name, value) in settings.in_words(false) {
                    let is_code = ['{', '}', '_', '['].iter().any(|sign| value.contains(*sign));
                    assert!(!value.is_empty() && !is_code, "{name}: {value}");
                }
            }
        }
        let told = Settings::default().in_words(false);
        let trainer = "the sum of 200 trees of depth 3 boosted on squared error, learning rate 0.1";
        assert!(told[0].1.starts_with(trainer), "{}", told[0].1);
        assert_eq!(told[1].1, "on the last 25 % of the rows, by a model of the others");
    }
}
