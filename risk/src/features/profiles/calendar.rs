//! The calendar: consumes a time, produces hour and weekday in UTC.

use crate::features::{Statistic, span::SECOND_NS};

const DAY_S: u64 = 86_400;

/// A feature of the payment alone.
pub(super) fn of_payment(statistic: Statistic, at_ns: u64, amount: f64) -> f64 {
    let seconds = at_ns / SECOND_NS;
    let hour = seconds % DAY_S / 3_600;
    // 1 January 1970 was a Thursday, three days after a Monday.
    let weekday = (seconds / DAY_S + 3) % 7;
    match statistic {
        Statistic::Amount => amount,
        Statistic::Hour => hour as f64,
        Statistic::Weekday => weekday as f64,
        Statistic::Weekend => f64::from(weekday >= 5),
        Statistic::Night => f64::from(hour <= 6),
        _ => unreachable!("it is no statistic of a payment alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        // Seconds, hour, weekday, weekend, night.
        for (seconds, expected) in [
            (0, [0.0, 3.0, 0.0, 1.0]),
            (1_533_168_000, [0.0, 3.0, 0.0, 1.0]), // Thursday, 2018-08-02T00:00:00Z
            (1_533_168_000 + 2 * DAY_S - 1, [23.0, 4.0, 0.0, 0.0]),
            (1_533_168_000 + 2 * DAY_S, [0.0, 5.0, 1.0, 1.0]),
            (1_533_168_000 + 4 * DAY_S - 1, [23.0, 6.0, 1.0, 0.0]),
            (1_533_168_000 + 4 * DAY_S + 7 * 3_600 - 1, [6.0, 0.0, 0.0, 1.0]),
            (1_533_168_000 + 4 * DAY_S + 7 * 3_600, [7.0, 0.0, 0.0, 0.0]),
        ] {
            let statistics =
                [Statistic::Hour, Statistic::Weekday, Statistic::Weekend, Statistic::Night];
            let found = statistics.map(|one| of_payment(one, seconds * SECOND_NS + 999, 0.0));
            assert_eq!(found, expected, "{seconds}");
        }
    }
}
