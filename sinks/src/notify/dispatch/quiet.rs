//! Quiet hours: consumes a local span of the day, a time zone and an instant, produces the instant at
//! which they end. Where the clock is put forward or back, the wall clock decides.

use jiff::{SignedDuration, Timestamp as Instant, tz::TimeZone};
use millrace_ledger::Timestamp;

use super::super::{HourMinute, QuietHours};

const MINUTES_PER_DAY: u32 = 24 * 60;

/// The first instant from `now` on that is not quiet; `None` when `now` itself is not.
pub(super) fn until(now: Timestamp, quiet: QuietHours, zone: &TimeZone) -> Option<Timestamp> {
    let start = Instant::from_nanosecond(i128::from(now.0)).ok()?;
    let mut at = start;
    loop {
        let local = zone.to_datetime(at);
        let minute = HourMinute::new(local.hour() as u8, local.minute() as u8)?;
        if !quiet.covers(minute) {
            break;
        }
        let minutes =
            i64::from((quiet.to.of_day() + MINUTES_PER_DAY - minute.of_day()) % MINUTES_PER_DAY);
        let into_minute =
            i64::from(local.second()) * 1_000_000_000 + i64::from(local.subsec_nanosecond());
        let left = SignedDuration::from_mins(minutes) - SignedDuration::from_nanos(into_minute);
        let end = at.checked_add(left).ok()?;
        // The clock may be changed before the end: look again from there.
        let change = zone.following(at).next().map(|change| change.timestamp());
        at = change.filter(|change| *change < end).unwrap_or(end);
    }
    (at > start).then(|| Timestamp(u64::try_from(at.as_nanosecond()).unwrap_or(u64::MAX)))
}

impl QuietHours {
    /// Whether the minute is quiet.
    fn covers(self, minute: HourMinute) -> bool {
        match self.from <= self.to {
            true => self.from <= minute && minute < self.to,
            false => self.from <= minute || minute < self.to,
        }
    }
}

impl HourMinute {
    /// Minutes since midnight.
    fn of_day(self) -> u32 {
        u32::from(self.hour()) * 60 + u32::from(self.minute())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quiet(from: &str, to: &str) -> QuietHours {
        let time = |text: &str| text.parse().expect("a time of day");
        QuietHours { from: time(from), to: time(to) }
    }

    fn instant(text: &str) -> Timestamp {
        let at: Instant = text.parse().expect("RFC 3339");
        Timestamp(at.as_nanosecond() as u64)
    }

    /// In Prague the clock goes from 2 to 3 on 29 March 2026, and from 3 to 2 on 25 October.
    #[test]
    fn the_wall_clock_decides() {
        let prague = TimeZone::get("Europe/Prague").expect("is in the database");
        for (span, now, end) in [
            (("22:00", "07:00"), "2026-11-20T20:59:59Z", None),
            (("22:00", "07:00"), "2026-11-20T21:00:00Z", Some("2026-11-21T06:00:00Z")),
            (("22:00", "07:00"), "2026-11-21T05:59:59.5Z", Some("2026-11-21T06:00:00Z")),
            (("22:00", "07:00"), "2026-11-21T06:00:00Z", None),
            (("12:00", "13:00"), "2026-11-20T11:30:00Z", Some("2026-11-20T12:00:00Z")),
            // The night of spring is an hour shorter, that of autumn an hour longer.
            (("22:00", "07:00"), "2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z")),
            (("22:00", "07:00"), "2026-10-24T20:00:00Z", Some("2026-10-25T06:00:00Z")),
            // It would end at 2:30, which spring skips: the clock says 3:00.
            (("22:00", "02:30"), "2026-03-29T00:10:00Z", Some("2026-03-29T01:00:00Z")),
            // 2:30 comes twice: after the first, 2:00 comes again, and is quiet again.
            (("22:00", "02:30"), "2026-10-25T00:10:00Z", Some("2026-10-25T00:30:00Z")),
            (("22:00", "02:30"), "2026-10-25T01:10:00Z", Some("2026-10-25T01:30:00Z")),
            // All of it lies in the hour that is skipped.
            (("02:10", "02:50"), "2026-03-29T00:59:59Z", None),
            (("02:10", "02:50"), "2026-03-29T01:00:00Z", None),
        ] {
            let found = until(instant(now), quiet(span.0, span.1), &prague);
            assert_eq!(found, end.map(instant), "{span:?} at {now}");
        }
    }

    /// Looks at every minute.
    fn naive(now: u64, quiet: QuietHours, zone: &TimeZone) -> Option<u64> {
        let is_quiet = |at_s: u64| {
            let at = Instant::from_second(at_s as i64).expect("in range");
            let local = zone.to_datetime(at);
            quiet.covers(HourMinute::new(local.hour() as u8, local.minute() as u8).expect("a time"))
        };
        if !is_quiet(now) {
            return None;
        }
        let next_minute = now - now % 60 + 60;
        (next_minute..).step_by(60).find(|at_s| !is_quiet(*at_s))
    }

    proptest! {
        /// Around changes of the clock, in zones that change it by an hour, by half an hour, at
        /// midnight, and never.
        #[test]
        fn the_end_is_the_first_minute_that_is_not_quiet(
            zone in prop::sample::select(vec![
                "Europe/Prague", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo",
                "America/Santiago", "Asia/Kathmandu", "UTC",
            ]),
            from in 0_u16..1_440,
            length in 1_u16..1_439,
            day in 0_u64..730,
            second in 0_u64..86_400,
        ) {
            let time = |minute: u16| {
                let minute = minute % 1_440;
                HourMinute::new((minute / 60) as u8, (minute % 60) as u8).expect("a time of day")
            };
            let quiet = QuietHours { from: time(from), to: time(from + length) };
            let zone = TimeZone::get(zone).expect("is in the database");
            let now_s = 1_767_225_600 + day * 86_400 + second;
            let found = until(Timestamp(now_s * 1_000_000_000), quiet, &zone);
            let expected = naive(now_s, quiet, &zone);
            prop_assert_eq!(found, expected.map(|at_s| Timestamp(at_s * 1_000_000_000)));
        }
    }
}
