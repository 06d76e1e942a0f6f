//! When payments happen: consumes settings, produces the weight of each hour and moments in order.
//!
//! The weight of an hour is that of the hour of the day (another course on weekends), times that of
//! the weekday, times payday, times growth. All hours are UTC.

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};

use super::{arithmetic::share_taken, rng::Rng, settings::Settings};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

/// Weights of the hours of a working day, from midnight.
const WORKDAY: [u8; 24] =
    [3, 2, 1, 1, 1, 3, 8, 18, 30, 34, 36, 42, 54, 50, 42, 40, 46, 58, 62, 52, 40, 28, 16, 8];
/// Weights of the hours of Saturday and Sunday: later in the morning, longer at night.
const WEEKEND: [u8; 24] =
    [7, 5, 3, 2, 1, 1, 3, 7, 16, 30, 44, 54, 56, 52, 48, 46, 46, 48, 50, 48, 42, 34, 24, 14];
const HOUR_WEIGHT_MAX: u8 = 62;
/// From Monday.
const WEEKDAYS: [f64; 7] = [0.94, 0.95, 0.98, 1.02, 1.2, 1.14, 0.77];
/// The payday's effect is halved each day and over after so many.
const PAYDAY_DAYS: i8 = 4;

/// The course of a period.
#[derive(Debug)]
pub(super) struct Season {
    /// First second, since the Unix epoch.
    pub(super) from_s: u64,
    /// The first second after the period.
    pub(super) end_s: u64,
    /// Days since Monday of the first day.
    weekday: usize,
    days: Vec<Day>,
    total: f64,
}

#[derive(Debug)]
struct Day {
    weight: f64,
    /// Customers that are there, as a share of those at the end.
    grown: f64,
}

impl Season {
    pub(super) fn new(settings: &Settings) -> Self {
        let days = u64::from(settings.days);
        let level = |day: u64| 1.0 + settings.growth_share * day as f64 / 30.0;
        let weekday = settings.from.weekday().to_monday_zero_offset() as usize;
        let mut date = settings.from;
        let mut season =
            Self { from_s: midnight_s(date), end_s: 0, weekday, days: Vec::new(), total: 0.0 };
        for day in 0..days {
            let grown = level(day) / level(days - 1);
            let weekly = WEEKDAYS[(weekday + day as usize) % 7];
            let weight = weekly * payday_factor(date, settings) * grown;
            season.days.push(Day { weight, grown });
            date = date.saturating_add(1.day());
        }
        season.end_s = season.from_s + days * DAY_S;
        season.total = (0..24 * days).map(|hour| season.hour_weight(hour)).sum();
        season
    }

    /// Weight of an hour, counted from the period's first.
    fn hour_weight(&self, hour: u64) -> f64 {
        self.days[(hour / 24) as usize].weight * f64::from(self.course(hour))
    }

    fn course(&self, hour: u64) -> u8 {
        let weekend = (self.weekday + (hour / 24) as usize) % 7 >= 5;
        let course = if weekend { &WEEKEND } else { &WORKDAY };
        course[(hour % 24) as usize]
    }

    /// Customers that are there at a moment, as a share of those at the end.
    pub(super) fn grown(&self, at_s: u64) -> f64 {
        self.days[((at_s - self.from_s) / DAY_S) as usize].grown
    }

    /// A moment of a span of the period, most likely when most payments happen.
    pub(super) fn likely_moment(&self, rng: &mut Rng, start_s: u64, duration_s: u64) -> u64 {
        // A span of night hours has no likely moment: any of it is taken in the end.
        let tries = 12;
        let mut at_s = start_s;
        for _ in 0..tries {
            at_s = rng.between(start_s, start_s + duration_s);
            let hour = (at_s - self.from_s) / HOUR_S;
            if rng.below(HOUR_WEIGHT_MAX.into()) < u64::from(self.course(hour)) {
                break;
            }
        }
        at_s
    }
}

/// Hour of the day, UTC.
pub(super) fn hour_of_day(at_s: u64) -> u8 {
    ((at_s / HOUR_S) % 24) as u8
}

fn midnight_s(date: Date) -> u64 {
    let midnight = date.to_zoned(TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_second());
    u64::try_from(midnight).unwrap_or_default()
}

fn payday_factor(date: Date, settings: &Settings) -> f64 {
    let payday = settings.payday as i8;
    let after = (0..PAYDAY_DAYS).find(|after| {
        date.checked_sub(i64::from(*after).days()).is_ok_and(|earlier| earlier.day() == payday)
    });
    let mut boost = settings.payday_boost;
    for _ in 0..after.unwrap_or_default() {
        boost *= 0.5;
    }
    if after.is_some() { 1.0 + boost } else { 1.0 }
}

/// Draws the moments of everyday payments one after the other, in order.
///
/// With n moments left, the next one takes a share of the weight that is left as the smallest of n
/// uniform numbers would: so they come sorted, without being held, and end with the period.
#[derive(Debug)]
pub(super) struct Clock {
    hour: u64,
    /// Weight of this hour that has passed.
    passed: f64,
    /// Weight of the period that has passed, this hour's included.
    used: f64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { hour: 0, passed: 0.0, used: 0.0 }
    }

    /// The next of `left` moments, in seconds since the Unix epoch.
    pub(super) fn next(&mut self, season: &Season, rng: &mut Rng, left: u64) -> u64 {
        let remaining = (season.total - self.used).max(0.0);
        let mut step = next_of_sorted(rng, remaining, left);
        self.used += step;
        let hour_last = season.days.len() as u64 * 24 - 1;
        loop {
            let weight = season.hour_weight(self.hour);
            if self.passed + step < weight || self.hour == hour_last {
                self.passed += step;
                let second = (self.passed / weight * HOUR_S as f64) as u64;
                return season.from_s + self.hour * HOUR_S + second.min(HOUR_S - 1);
            }
            step -= weight - self.passed;
            self.hour += 1;
            self.passed = 0.0;
        }
    }

    /// Lets time pass up to a moment, if that is later.
    pub(super) fn skip_to(&mut self, season: &Season, at_s: u64) {
        let hour = (at_s - season.from_s) / HOUR_S;
        while self.hour < hour {
            self.used += season.hour_weight(self.hour) - self.passed;
            self.hour += 1;
            self.passed = 0.0;
        }
        let weight = season.hour_weight(self.hour);
        let within_s = (at_s - season.from_s).saturating_sub(self.hour * HOUR_S);
        let passed = weight * within_s as f64 / HOUR_S as f64;
        if hour == self.hour && passed > self.passed {
            self.used += passed - self.passed;
            self.passed = passed;
        }
    }
}

/// The smallest of `left` uniform numbers from 0 to `span`.
pub(super) fn next_of_sorted(rng: &mut Rng, span: f64, left: u64) -> f64 {
    span * share_taken(rng.exponential() / left.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn season(days: u32) -> Season {
        Season::new(&Settings { days, ..Settings::default() })
    }

    #[test]
    fn the_clock_gives_sorted_moments_that_follow_the_weights() {
        let season = season(14);
        let (mut clock, mut rng) = (Clock::new(), Rng::new(1, 1));
        let count = 200_000;
        let moments: Vec<u64> =
            (0..count).map(|done| clock.next(&season, &mut rng, count - done)).collect();
        assert!(moments.is_sorted());
        assert!(moments[0] >= season.from_s && moments[count as usize - 1] < season.end_s);
        for hour in 0..14 * 24 {
            let expected = season.hour_weight(hour) / season.total * count as f64;
            let start_s = season.from_s + hour * HOUR_S;
            let got = moments.iter().filter(|at| (start_s..start_s + HOUR_S).contains(at)).count();
            let sigmas = (got as f64 - expected) / expected.sqrt();
            assert!(sigmas.abs() < 5.0, "hour {hour}: {got} instead of {expected}");
        }
    }

    #[test]
    fn skipping_leaves_the_rest_of_the_period() {
        let season = season(3);
        let (mut clock, mut rng) = (Clock::new(), Rng::new(1, 1));
        let middle_s = season.from_s + 36 * HOUR_S + 1_800;
        clock.skip_to(&season, middle_s);
        clock.skip_to(&season, season.from_s);
        let moments: Vec<u64> =
            (0..1_000).map(|done| clock.next(&season, &mut rng, 1_000 - done)).collect();
        assert!(moments.is_sorted() && moments[0] >= middle_s);
        assert!(moments[999] > season.end_s - 12 * HOUR_S && moments[999] < season.end_s);
    }

    #[test]
    fn payday_lifts_four_days() {
        let settings = Settings { payday: 30, payday_boost: 0.8, ..Settings::default() };
        let factors: Vec<f64> = (29..=31)
            .map(|day| Date::constant(2026, 1, day))
            .chain((1..=4).map(|day| Date::constant(2026, 2, day)))
            .map(|date| payday_factor(date, &settings))
            .collect();
        assert_eq!(factors, [1.0, 1.8, 1.4, 1.2, 1.1, 1.0, 1.0]);
    }
}
