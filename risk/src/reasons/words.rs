//! Wording: consumes a feature, the names around it and its value, produces a sentence.

use crate::{
    features::{Feature, Form, Span},
    rules::unit::Unit,
};

pub(super) struct Words<'a> {
    pub(super) feature: &'a Feature,
    pub(super) entity: &'a str,
    /// The two that an entity of both is made of.
    pub(super) pair: Option<(&'a str, &'a str)>,
    /// What is counted, if something other than payments is.
    pub(super) counted: &'a str,
    pub(super) value: f32,
}

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Words<'_> {
    /// `None` where there is no wording for the statistic.
    pub(super) fn known(&self) -> Option<String> {
        let (entity, yes) = (self.entity, self.value != 0.0);
        let value = self.shown();
        let over = self.over();
        let times = self.feature.times;
        Some(match self.feature.statistic.name() {
            "amount" => format!("amount is {value}"),
            "hour" => format!("paid between {0}:00 and {0}:59 UTC", self.value),
            "weekday" => {
                format!("paid on a {}", DAYS.get(self.value as usize).unwrap_or(&"strange day"))
            }
            "weekend" if yes => "paid on a weekend".to_owned(),
            "weekend" => "paid on a working day".to_owned(),
            "night" if yes => "paid at night".to_owned(),
            "night" => "paid in the daytime".to_owned(),
            "count" => {
                let (payments, _) = self.payments();
                format!("{payments} of the {entity}{over}")
            }
            "sum" => format!("the {entity}'s payments{over} add up to {value}"),
            "mean" => format!("the {entity}'s mean amount{over} is {value}"),
            "std" => format!("amounts of the {entity}{over} vary by {value}"),
            "min" => format!("the {entity}'s least amount{over} is {value}"),
            "max" => format!("the {entity}'s greatest amount{over} is {value}"),
            "since_last" => format!("the {entity}'s payment before was {value} ago"),
            "distinct" => match self.value {
                1.0 => format!("one {} at the {entity}{over}", self.counted),
                _ => format!("{value} different {}s at the {entity}{over}", self.counted),
            },
            "age" => match (self.pair, yes) {
                (Some((one, other)), false) => {
                    format!("{one} and {other} were never seen together before")
                }
                (Some((one, other)), true) => {
                    format!("{one} and {other} were first seen together {value} ago")
                }
                (None, false) => format!("the {entity} was never seen before"),
                (None, true) => format!("the {entity} was first seen {value} ago"),
            },
            "ratio" => {
                format!("amount is {value} times the {entity}'s {}mean", self.of_days())
            }
            "max_ratio" => {
                format!("a payment of the {entity}{over} was {value} times its usual amount")
            }
            "zscore" => format!(
                "amount is {:.1} standard deviations {} the {entity}'s {}mean",
                self.value.abs(),
                if self.value < 0.0 { "below" } else { "above" },
                self.of_days()
            ),
            "count_unusual" => {
                let (payments, is_one) = self.payments();
                let were = if is_one { "was" } else { "were" };
                format!(
                    "{payments} of the {entity}{over} {were} above {times} times its usual amount"
                )
            }
            "share_unusual" => format!(
                "{value} of the {entity}'s payments{over} were above {times} times its usual amount"
            ),
            "fraud_count" => {
                let (payments, is_one) = self.payments();
                let are = if is_one { "is" } else { "are" };
                format!("{payments} of the {entity}{over} {are} known as fraud")
            }
            "fraud_share" => {
                format!("{value} of the {entity}'s payments{over} are known as fraud")
            }
            "since_fraud" => format!("a fraud of the {entity} was reported {value} ago"),
            "fraud_average" => {
                format!("of the {entity}'s payments that were judged last, {value} were fraud")
            }
            "fraud_run_age" => {
                format!("the {entity} has had nothing but fraud reported, the first {value} ago")
            }
            "fraud_run_gap" => format!(
                "the {entity}'s last honest payment was {value} before the first of its frauds"
            ),
            "since_honest" => {
                format!("the {entity}'s last payment that is known as honest was {value} ago")
            }
            _ => return None,
        })
    }

    pub(super) fn missing(&self) -> String {
        let entity = self.entity;
        match self.feature.statistic.name() {
            "since_last" | "ratio" | "zscore" | "mean" => {
                format!(
                    "nothing is known of the {entity}'s payments before ({})",
                    self.feature.name
                )
            }
            "since_fraud" => format!("no fraud of the {entity} was reported"),
            "fraud_run_age" | "fraud_run_gap" => {
                format!("the {entity}'s newest payments of which it is known are honest")
            }
            "since_honest" => format!("no payment of the {entity} is known as honest"),
            _ => format!("{} is not known", self.described_as()),
        }
    }

    pub(super) fn described(&self) -> String {
        format!("{}: {}", self.described_as(), self.shown())
    }

    fn described_as(&self) -> &str {
        match self.feature.description.as_str() {
            "" => &self.feature.name,
            description => description.trim_end_matches('.'),
        }
    }

    /// So many payments, and whether that is one. What fades is no whole number: it is rounded.
    fn payments(&self) -> (String, bool) {
        let rounded = self.value.round();
        let about = if rounded == self.value { "" } else { "about " };
        match rounded {
            0.0 if self.value > 0.05 => ("hardly any payments".to_owned(), false),
            0.0 => ("no payments".to_owned(), false),
            1.0 => (format!("{about}1 payment"), true),
            _ => {
                let shown = Unit::named(&self.feature.unit).show(rounded);
                (format!("{about}{shown} payments"), false)
            }
        }
    }

    fn shown(&self) -> String {
        Unit::named(&self.feature.unit).show(self.value)
    }

    /// ` in 7 days`; what fades is not sharp.
    fn over(&self) -> String {
        match (self.feature.window, self.feature.form) {
            (None, _) => String::new(),
            (Some(Span::Ever), _) => " so far".to_owned(),
            (Some(window), Form::Decayed) => format!(" in about {}", spelled(window)),
            (Some(window), _) => format!(" in {}", spelled(window)),
        }
    }

    /// `30-day `, or nothing where the window has no end.
    fn of_days(&self) -> String {
        match self.feature.window {
            Some(window @ Span::Seconds(_)) => {
                let spelled = spelled(window);
                format!("{} ", spelled.trim_end_matches('s').replace(' ', "-"))
            }
            _ => String::new(),
        }
    }
}

fn spelled(window: Span) -> String {
    const UNITS: [(&str, u64); 4] =
        [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let Span::Seconds(seconds) = window else { return "all time".to_owned() };
    let whole = UNITS.iter().find(|(_, size)| seconds.is_multiple_of(*size) && seconds > 0);
    let (unit, size) = whole.unwrap_or(&("second", 1));
    match seconds / size {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}
