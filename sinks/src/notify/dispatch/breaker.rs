//! A circuit breaker: consumes the results of deliveries, and guarantees that a provider which
//! failed so many times in a row is left alone for a while, and then tried with one message.
//!
//! | state | asked | success | failure |
//! |---|---|---|---|
//! | closed | yes | failures are forgotten | one more; the last one opens it |
//! | open | no, until its time; then it is half open | closed | open for a while from now |
//! | half open | one message at a time | closed | open for a while from now |

use std::time::Duration;

use millrace_ledger::Timestamp;

/// Whether a provider may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Go,
    /// Not before this time.
    Wait(Timestamp),
    /// Not before the message that tries it has come back.
    Probing,
}

/// What the breaker is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Position {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breaker {
    state: State,
    /// Failures in a row that open it.
    failures_max: u32,
    open_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp },
    HalfOpen { probing: bool },
}

impl Breaker {
    pub(super) fn new(failures_max: u32, open_for: Duration) -> Self {
        Self { state: State::Closed { failures: 0 }, failures_max, open_for }
    }

    /// Whether a message may go now. One that goes has a result some time.
    pub(super) fn ask(&mut self, now: Timestamp) -> Answer {
        match self.state {
            State::Closed { .. } => Answer::Go,
            State::Open { until } if now < until => Answer::Wait(until),
            State::Open { .. } | State::HalfOpen { probing: false } => {
                self.state = State::HalfOpen { probing: true };
                Answer::Go
            }
            State::HalfOpen { probing: true } => Answer::Probing,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    pub(super) fn failed(&mut self, now: Timestamp) {
        let open = State::Open { until: later(now, self.open_for) };
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.failures_max => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::HalfOpen { .. } => open,
            // Messages that were under way when it opened do not keep it open for longer.
            State::Open { until } => State::Open { until },
        };
    }

    /// A message that was let go did not reach the provider after all.
    pub(super) fn forget_probe(&mut self) {
        if let State::HalfOpen { probing } = &mut self.state {
            *probing = false;
        }
    }

    pub(super) fn position(&self) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// Whether it says no more than a new one.
    pub(super) fn is_fresh(&self) -> bool {
        self.state == State::Closed { failures: 0 }
    }
}

/// A time so much later.
pub(super) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn it_opens_waits_and_tries_with_one() {
        let mut breaker = Breaker::new(3, OPEN_FOR);
        for second in 0..2 {
            assert_eq!(breaker.ask(at(second)), Answer::Go);
            breaker.failed(at(second));
        }
        assert_eq!((breaker.ask(at(2)), breaker.ask(at(2))), (Answer::Go, Answer::Go));
        breaker.failed(at(2));
        assert_eq!(breaker.position(), Position::Open);
        breaker.failed(at(20));
        assert_eq!(breaker.ask(at(31)), Answer::Wait(at(32)), "a late failure changes nothing");
        assert_eq!(breaker.ask(at(32)), Answer::Go, "half open");
        assert_eq!(breaker.ask(at(33)), Answer::Probing);
        breaker.failed(at(40));
        assert_eq!(breaker.ask(at(69)), Answer::Wait(at(70)));
        assert_eq!(breaker.ask(at(70)), Answer::Go);
        breaker.succeeded();
        assert_eq!((breaker.ask(at(70)), breaker.ask(at(70))), (Answer::Go, Answer::Go));
        assert!(breaker.is_fresh());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask,
        Succeed,
        Fail,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Ask),
            1 => Just(Step::Succeed),
            3 => Just(Step::Fail),
            1 => (1_u64..40).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Against a list of all that happened: nothing goes within `OPEN_FOR` of the failure that
        /// opened it, and what goes after that goes alone until it has a result.
        #[test]
        fn it_lets_nothing_through_while_it_is_open(steps in prop::collection::vec(step(), 1..200)) {
            let mut breaker = Breaker::new(3, OPEN_FOR);
            let (mut now_s, mut in_a_row, mut under_way) = (0, 0, 0);
            let mut opened_s = None;
            let mut probing = false;
            for step in steps {
                match step {
                    Step::Wait(seconds) => now_s += seconds,
                    Step::Ask => {
                        let goes = breaker.ask(at(now_s)) == Answer::Go;
                        let expected = match opened_s {
                            None => true,
                            Some(opened_s) => now_s >= opened_s + 30 && !probing,
                        };
                        prop_assert_eq!(goes, expected);
                        under_way += u32::from(goes);
                        probing |= goes && opened_s.is_some();
                    }
                    Step::Succeed if under_way > 0 => {
                        breaker.succeeded();
                        (under_way, in_a_row, opened_s, probing) = (under_way - 1, 0, None, false);
                    }
                    Step::Fail if under_way > 0 => {
                        breaker.failed(at(now_s));
                        (under_way, in_a_row) = (under_way - 1, in_a_row + 1);
                        if probing || (opened_s.is_none() && in_a_row >= 3) {
                            (opened_s, probing) = (Some(now_s), false);
                        }
                    }
                    Step::Succeed | Step::Fail => {}
                }
            }
        }
    }
}
