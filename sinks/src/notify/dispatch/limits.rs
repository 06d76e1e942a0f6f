//! How many messages a recipient gets: consumes the times at which messages went, and guarantees that
//! no span of the window's length has more than the limit.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use millrace_ledger::Timestamp;

use super::{super::Channel, breaker::later};

/// Recipients that are remembered at one time; beyond it, those that got nothing of late go.
const REMEMBERED_MAX: usize = 100_000;

/// The limit, and what went within the window.
#[derive(Debug)]
pub(super) struct Limits {
    most: usize,
    window: Duration,
    sent: HashMap<(Channel, u128), VecDeque<Timestamp>, foldhash::fast::RandomState>,
}

impl Limits {
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { most: most as usize, window, sent: HashMap::default() }
    }

    /// Whether anything is known of the recipient.
    pub(super) fn knows(&self, channel: Channel, owner: u128) -> bool {
        self.sent.contains_key(&(channel, owner))
    }

    /// Begins with what went before, oldest first.
    pub(super) fn remember(
        &mut self,
        channel: Channel,
        owner: u128,
        times: impl IntoIterator<Item = Timestamp>,
    ) {
        self.sent.entry((channel, owner)).or_default().extend(times);
    }

    /// The oldest time that still counts.
    pub(super) fn horizon(&self, now: Timestamp) -> Timestamp {
        let window_ns = u64::try_from(self.window.as_nanos()).unwrap_or(u64::MAX);
        Timestamp(now.0.saturating_sub(window_ns))
    }

    /// When the recipient may get one more; `None` for now.
    pub(super) fn wait(
        &mut self,
        channel: Channel,
        owner: u128,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let horizon = self.horizon(now);
        let sent = self.sent.get_mut(&(channel, owner))?;
        while sent.front().is_some_and(|time| *time <= horizon) {
            sent.pop_front();
        }
        // With so many in the window, the one that has to leave it first.
        let blocking = sent.len().checked_sub(self.most)?;
        sent.get(blocking).map(|time| later(*time, self.window))
    }

    /// A message goes now.
    pub(super) fn count(&mut self, channel: Channel, owner: u128, now: Timestamp) {
        if self.sent.len() >= REMEMBERED_MAX {
            let horizon = self.horizon(now);
            self.sent.retain(|_, sent| sent.back().is_some_and(|time| *time > horizon));
        }
        self.sent.entry((channel, owner)).or_default().push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    proptest! {
        /// Sends whenever it may, and else at the time that it was told: never too many in a window,
        /// and never later than need be.
        #[test]
        fn a_window_never_has_too_many(
            most in 1_u32..5,
            window_s in 1_u64..50,
            wants in prop::collection::vec(0_u64..20, 1..100),
        ) {
            let mut limits = Limits::new(most, Duration::from_secs(window_s));
            let mut sent: Vec<u64> = Vec::new();
            let mut now_s = 100;
            for wait_s in wants {
                now_s += wait_s;
                if let Some(until) = limits.wait(Channel::Sms, 7, at(now_s)) {
                    let until_s = until.0 / 1_000_000_000;
                    prop_assert!(until_s > now_s);
                    let within = sent.iter().filter(|time| **time + window_s > until_s - 1).count();
                    prop_assert_eq!(within, most as usize, "it could have gone a second sooner");
                    now_s = until_s;
                    prop_assert_eq!(limits.wait(Channel::Sms, 7, at(now_s)), None);
                }
                limits.count(Channel::Sms, 7, at(now_s));
                sent.push(now_s);
                let within = sent.iter().filter(|time| **time + window_s > now_s).count();
                prop_assert!(within <= most as usize, "{sent:?}");
            }
            prop_assert_eq!(limits.wait(Channel::Sms, 8, at(now_s)), None, "somebody else");
        }
    }
}
