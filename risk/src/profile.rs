//! Profiles: what is remembered of a payer, enough for its last hour to be exact to the minute.

/// Minutes that a window spans.
pub(crate) const WINDOW_MIN: u64 = 60;

/// What a payer did in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) count: u64,
    pub(crate) sum: u128,
}

/// The payer's accepted payments, one entry per minute in which there were any, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    minutes: Vec<(u64, Window)>,
}

impl Profile {
    /// The hour that ends with this minute.
    pub(crate) fn window(&self, minute: u64) -> Window {
        self.minutes
            .iter()
            .rev()
            .skip_while(|(at, _)| *at > minute)
            .take_while(|(at, _)| at + WINDOW_MIN > minute)
            .fold(Window::default(), |window, (_, entry)| Window {
                count: window.count + entry.count,
                sum: window.sum.saturating_add(entry.sum),
            })
    }

    /// Adds a payment, and forgets what no later hour can reach. A payment that comes an hour
    /// late is forgotten at once.
    pub(crate) fn add(&mut self, minute: u64, amount: u128) {
        let place = self.minutes.partition_point(|(at, _)| *at < minute);
        if self.minutes.get(place).is_none_or(|(at, _)| *at != minute) {
            self.minutes.insert(place, (minute, Window::default()));
        }
        let entry = &mut self.minutes[place].1;
        entry.count += 1;
        entry.sum = entry.sum.saturating_add(amount);
        let newest = self.minutes[self.minutes.len() - 1].0;
        let stale = self.minutes.partition_point(|(at, _)| at + WINDOW_MIN <= newest);
        self.minutes.drain(..stale);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_hour_is_exact_to_the_minute() {
        let mut profile = Profile::default();
        profile.add(100, 10);
        profile.add(100, 5);
        profile.add(130, 1);
        for (minute, count, sum) in
            [(99, 0, 0), (100, 2, 15), (129, 2, 15), (130, 3, 16), (159, 3, 16), (160, 1, 1)]
        {
            assert_eq!(profile.window(minute), Window { count, sum }, "minute {minute}");
        }
        profile.add(160, 0);
        assert_eq!(profile.minutes.len(), 2, "minute 100 is out of reach");
    }

    proptest! {
        /// While payments are never later than an hour, the profile equals a full list of them.
        #[test]
        fn equals_the_naive_form(steps in prop::collection::vec((0_u64..30, 0_u64..40, 1_u128..9), 1..80)) {
            let (mut profile, mut all, mut clock) = (Profile::default(), Vec::new(), 1_000);
            for (forward, late, amount) in steps {
                clock += forward;
                let minute = clock - late;
                let within = all.iter().filter(|(at, _)| *at <= minute && at + WINDOW_MIN > minute);
                let naive = within.fold(Window::default(), |window, (_, amount)| Window {
                    count: window.count + 1,
                    sum: window.sum + amount,
                });
                // What lies more than an hour before the newest is forgotten.
                let newest = all.iter().map(|(at, _)| *at).max().unwrap_or(0);
                if minute >= newest {
                    prop_assert_eq!(profile.window(minute), naive);
                }
                profile.add(minute, amount);
                all.push((minute, amount));
            }
        }
    }
}
