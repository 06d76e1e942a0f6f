//! Settings of a training on the command line: consumes arguments, produces settings of the trainer
//! that they name.

use millrace_risk_lab::train::{
    Blend, Boosting, Calibrate, Isolation, Logistic, Loss, Settings, SmartBoosting, SmartForest,
    Trainer,
};

use crate::Failure;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Algorithm {
    /// A sum of boosted trees on two losses: the best that we know
    Blend,
    /// Boosted trees with exact splits, on log loss or squared error
    Boosting,
    /// smartcore's boosted trees, on squared error
    SmartcoreBoosting,
    /// smartcore's random forest
    Forest,
    /// smartcore's logistic regression: the baseline
    Logistic,
    /// How odd a payment is: needs no labels
    IsolationForest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LossArg {
    Logistic,
    Squared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CalibrateArg {
    /// On the last quarter of the days of training
    Tail,
    /// On all of them, in five pieces: takes four times longer
    Cross,
    /// Scores stay as the trainer has them
    None,
}

/// Settings of a training.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingArgs {
    /// What is trained
    #[arg(long, value_enum, default_value_t = Algorithm::Blend)]
    algorithm: Algorithm,
    /// What all random numbers derive from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// What makes probabilities of scores
    #[arg(long, value_enum, default_value_t = CalibrateArg::Tail)]
    calibrate: CalibrateArg,
    /// Share of the genuine payments to train on, for long spans; probabilities stay right
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    genuine_share: f64,
    /// What boosting descends [default: logistic]
    #[arg(long, value_enum)]
    loss: Option<LossArg>,
    /// Trees, of all but blend and logistic
    #[arg(long, value_name = "N")]
    trees: Option<usize>,
    /// Levels of a tree, of boosting and forest
    #[arg(long, value_name = "N")]
    depth: Option<u16>,
    /// What part of a tree's correction boosting takes
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// Penalty on large values: of leaves in boosting, of weights in logistic
    #[arg(long, value_name = "X")]
    lambda: Option<f64>,
    /// Share of the payments that each tree of boosting sees
    #[arg(long, value_name = "SHARE")]
    row_share: Option<f64>,
    /// Least weight of payments in a child, of boosting, or payments in a leaf, of forest
    #[arg(long, value_name = "N")]
    child_weight_min: Option<f64>,
}

impl SettingArgs {
    /// Whether nothing can be learned without labels.
    pub(crate) fn needs_labels(&self) -> bool {
        self.algorithm != Algorithm::IsolationForest
    }

    pub(crate) fn to_settings(&self) -> Result<Settings, Failure> {
        self.refuse_unused()?;
        let trainer = match self.algorithm {
            Algorithm::Blend => Trainer::Blend(Blend::default()),
            Algorithm::Boosting => Trainer::Boosting(self.boosting()),
            Algorithm::SmartcoreBoosting => {
                let usual = SmartBoosting::default();
                Trainer::SmartBoosting(SmartBoosting {
                    trees: self.trees.unwrap_or(usual.trees),
                    depth: self.depth.unwrap_or(usual.depth),
                    learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
                    lambda: self.lambda.unwrap_or(usual.lambda),
                    row_share: self.row_share.unwrap_or(usual.row_share),
                })
            }
            Algorithm::Forest => {
                let usual = SmartForest::default();
                let rows = self.child_weight_min.map(|rows| rows as usize);
                Trainer::SmartForest(SmartForest {
                    trees: self.trees.unwrap_or(usual.trees),
                    depth: self.depth.unwrap_or(usual.depth),
                    leaf_rows_min: rows.unwrap_or(usual.leaf_rows_min),
                })
            }
            Algorithm::Logistic => {
                let usual = Logistic::default();
                Trainer::Logistic(Logistic { alpha: self.lambda.unwrap_or(usual.alpha) })
            }
            Algorithm::IsolationForest => {
                let usual = Isolation::default();
                let trees = self.trees.unwrap_or(usual.trees);
                Trainer::Isolation(Isolation { trees, ..usual })
            }
        };
        let calibrate = match self.calibrate {
            CalibrateArg::Tail => Calibrate::Tail(0.25),
            CalibrateArg::Cross => Calibrate::CrossFitted(5),
            CalibrateArg::None => Calibrate::None,
        };
        let (legitimate_share, seed) = (self.genuine_share, self.seed);
        Ok(Settings { trainer, calibrate, legitimate_share, seed })
    }

    fn boosting(&self) -> Boosting {
        let usual = Boosting::default();
        Boosting {
            loss: match self.loss {
                Some(LossArg::Squared) => Loss::Squared,
                Some(LossArg::Logistic) | None => Loss::Logistic,
            },
            trees: self.trees.unwrap_or(usual.trees),
            depth: self.depth.map_or(usual.depth, u32::from),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            lambda: self.lambda.unwrap_or(usual.lambda),
            row_share: self.row_share.unwrap_or(usual.row_share),
            child_weight_min: self.child_weight_min.unwrap_or(usual.child_weight_min),
            ..usual
        }
    }

    /// A setting that has no effect is more likely a mistake than meant.
    fn refuse_unused(&self) -> Result<(), Failure> {
        use Algorithm::{Blend, Boosting, Forest, IsolationForest, Logistic, SmartcoreBoosting};
        let of = [
            ("--loss", self.loss.is_some(), &[Boosting][..]),
            (
                "--trees",
                self.trees.is_some(),
                &[Boosting, SmartcoreBoosting, Forest, IsolationForest],
            ),
            ("--depth", self.depth.is_some(), &[Boosting, SmartcoreBoosting, Forest]),
            ("--learning-rate", self.learning_rate.is_some(), &[Boosting, SmartcoreBoosting]),
            ("--lambda", self.lambda.is_some(), &[Boosting, SmartcoreBoosting, Logistic]),
            ("--row-share", self.row_share.is_some(), &[Boosting, SmartcoreBoosting]),
            ("--child-weight-min", self.child_weight_min.is_some(), &[Boosting, Forest]),
        ];
        let named = |algorithm: &Algorithm| match algorithm {
            Blend => "blend",
            Boosting => "boosting",
            SmartcoreBoosting => "smartcore-boosting",
            Forest => "forest",
            Logistic => "logistic",
            IsolationForest => "isolation-forest",
        };
        for (option, is_there, algorithms) in of {
            if is_there && !algorithms.contains(&self.algorithm) {
                let own = named(&self.algorithm);
                let others: Vec<_> = algorithms.iter().map(named).collect();
                return Err(format!(
                    "{option} is no setting of {own}: leave it out, or take --algorithm {}",
                    others.join(" or ")
                )
                .into());
            }
        }
        Ok(())
    }
}
