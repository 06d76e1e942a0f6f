//! Statistics: what a feature can say of a payment or of an entity, and what each needs.

use super::Form;

/// What a feature measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// The payment's amount, in major units.
    Amount,
    /// Hour of the day, UTC: 0 to 23.
    Hour,
    /// Day of the week, UTC: 0 is Monday.
    Weekday,
    /// 1 on Saturday and Sunday, UTC.
    Weekend,
    /// 1 while the hour is 6 or earlier, UTC.
    Night,
    /// Number of payments.
    Count,
    /// Sum of their amounts.
    Sum,
    /// Their mean amount.
    Mean,
    /// Standard deviation of their amounts (of the whole population); 0 where it is less than a
    /// ten-thousandth of the mean.
    Std,
    /// The least amount.
    Min,
    /// The greatest amount. Decayed: each amount fades as a counter does.
    Max,
    /// Number of different entities of another kind, approximately (exact form: exactly).
    Distinct,
    /// Seconds since the entity's newest payment before this one.
    SinceLast,
    /// Seconds since the entity's first payment.
    Age,
    /// The amount, divided by the entity's mean amount.
    Ratio,
    /// The greatest ratio of an amount to the mean before it; it fades as a counter does.
    MaxRatio,
    /// How many standard deviations the amount is above the entity's mean; none where the
    /// deviation is 0.
    ZScore,
    /// Number of payments of more than a given amount.
    CountAbove,
    /// Their share among the payments.
    ShareAbove,
    /// Number of payments of more than a given multiple of the entity's mean at their time.
    CountUnusual,
    /// Their share among the payments.
    ShareUnusual,
    /// Number of payments that are known to be fraud.
    FraudCount,
    /// Their share among the payments.
    FraudShare,
    /// Seconds since a fraud of the entity was last reported.
    SinceFraud,
    /// Moving average of the entity's labels by their number, not by time: 1 is fraud, 0 is not.
    /// Where the entity's payments are honest after some time ([`super::Entity::honest_after`]),
    /// the payments of a bucket count together, as of when the bucket's end is that old.
    FraudAverage,
    /// Seconds since the first fraud of a run was paid: of labels in a row that all say fraud. Where
    /// payments are honest after some time, a bucket of them ends a run that began before the newest
    /// of them was paid, as of when the bucket's end is that old.
    FraudRunAge,
    /// Seconds from the newest honest payment before a run to the first fraud of the run; rounded as
    /// [`Self::SinceHonest`] is.
    FraudRunGap,
    /// Seconds since the newest payment was paid that is known to be honest. Where payments are
    /// honest after some time, its time is rounded down by a 32,768th of its bucket at most, and to the
    /// bucket's beginning if a later payment of the bucket was reported as fraud.
    SinceHonest,
    /// One feature divided by another.
    Quotient,
}

/// What a statistic is taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// This payment alone.
    Payment,
    /// What is remembered of an entity.
    Entity,
    /// An entity's payments in a window.
    Window,
    /// Features that come before it.
    Features,
}

use Form::{Decayed, Exact, Ring};
use Over::{Entity, Features, Payment, Window};

/// Each statistic: its name, its unit if the catalogue says none, what it is taken over, and the
/// forms of window that can give it.
type Row = (Statistic, &'static str, &'static str, Over, &'static [Form]);

const ALL_FORMS: &[Form] = &[Decayed, Ring, Exact];
const TABLE: &[Row] = &[
    (Statistic::Amount, "amount", "money", Payment, &[]),
    (Statistic::Hour, "hour", "hour", Payment, &[]),
    (Statistic::Weekday, "weekday", "day", Payment, &[]),
    (Statistic::Weekend, "weekend", "flag", Payment, &[]),
    (Statistic::Night, "night", "flag", Payment, &[]),
    (Statistic::Count, "count", "payments", Window, ALL_FORMS),
    (Statistic::Sum, "sum", "money", Window, ALL_FORMS),
    (Statistic::Mean, "mean", "money", Window, ALL_FORMS),
    (Statistic::Std, "std", "money", Window, ALL_FORMS),
    (Statistic::Min, "min", "money", Window, &[Ring, Exact]),
    (Statistic::Max, "max", "money", Window, ALL_FORMS),
    (Statistic::Distinct, "distinct", "entities", Window, &[Ring, Exact]),
    (Statistic::SinceLast, "since_last", "seconds", Entity, &[]),
    (Statistic::Age, "age", "seconds", Entity, &[]),
    (Statistic::Ratio, "ratio", "ratio", Window, ALL_FORMS),
    (Statistic::MaxRatio, "max_ratio", "ratio", Window, &[Decayed]),
    (Statistic::ZScore, "zscore", "deviations", Window, ALL_FORMS),
    (Statistic::CountAbove, "count_above", "payments", Window, &[Decayed]),
    (Statistic::ShareAbove, "share_above", "share", Window, &[Decayed]),
    (Statistic::CountUnusual, "count_unusual", "payments", Window, &[Decayed]),
    (Statistic::ShareUnusual, "share_unusual", "share", Window, &[Decayed]),
    (Statistic::FraudCount, "fraud_count", "payments", Window, ALL_FORMS),
    (Statistic::FraudShare, "fraud_share", "share", Window, ALL_FORMS),
    (Statistic::SinceFraud, "since_fraud", "seconds", Entity, &[]),
    (Statistic::FraudAverage, "fraud_average", "share", Entity, &[]),
    (Statistic::FraudRunAge, "fraud_run_age", "seconds", Entity, &[]),
    (Statistic::FraudRunGap, "fraud_run_gap", "seconds", Entity, &[]),
    (Statistic::SinceHonest, "since_honest", "seconds", Entity, &[]),
    (Statistic::Quotient, "quotient", "ratio", Features, &[]),
];

impl Statistic {
    /// The name that a catalogue uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// All names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.1)
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    pub(super) fn unit(self) -> &'static str {
        self.row().2
    }

    pub(super) fn over(self) -> Over {
        self.row().3
    }

    pub(super) fn forms(self) -> &'static [Form] {
        self.row().4
    }

    /// Whether it compares this payment with the others, and so leaves it out of them.
    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Ratio | Self::ZScore)
    }

    /// Whether it is of the labels in their order, and so must know of each payment whether it was
    /// honest: by a label, or by [`super::Entity::honest_after`].
    #[must_use]
    pub fn is_of_runs(self) -> bool {
        matches!(
            self,
            Self::FraudAverage | Self::FraudRunAge | Self::FraudRunGap | Self::SinceHonest
        )
    }

    /// Whether it counts what labels say.
    pub(super) fn is_of_frauds(self) -> bool {
        matches!(self, Self::FraudCount | Self::FraudShare)
    }

    fn row(self) -> &'static Row {
        let row = TABLE.iter().find(|row| row.0 == self);
        row.expect("each statistic is in the table")
    }
}
