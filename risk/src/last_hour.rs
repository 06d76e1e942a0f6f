//! A payer's last hour: consumes accepted payments with their minutes, produces how many they were
//! and what they add up to, exact to the minute.

/// Minutes that a window spans.
pub(crate) const WINDOW_MIN: u64 = 60;

/// What a payer did in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) count: u64,
    pub(crate) sum: u128,
}

/// The payer's accepted payments, one entry per minute in which there were any. The newest minute
/// is all that most payments touch, so it stands apart from the heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastHour {
    newest_minute: u64,
    newest: Window,
    /// Oldest first.
    older: Vec<(u64, Window)>,
}

impl LastHour {
    /// What is further back than the hour reaches counts at its far end: else it would count
    /// nowhere.
    fn reachable(&self, minute: u64) -> u64 {
        minute.max((self.newest_minute + 1).saturating_sub(WINDOW_MIN))
    }

    /// The hour that ends with this minute.
    pub(crate) fn window(&self, minute: u64) -> Window {
        let minute = self.reachable(minute);
        let newest = [(self.newest_minute, self.newest)];
        newest
            .iter()
            .chain(self.older.iter().rev())
            .skip_while(|(at, _)| *at > minute)
            .take_while(|(at, _)| at + WINDOW_MIN > minute)
            .fold(Window::default(), |window, (_, entry)| window.with(entry))
    }

    /// Adds a payment, and forgets what no later hour can reach.
    pub(crate) fn add(&mut self, minute: u64, amount: u128) {
        let minute = self.reachable(minute);
        let payment = Window { count: 1, sum: amount };
        if minute == self.newest_minute {
            self.newest = self.newest.with(&payment);
        } else if minute > self.newest_minute {
            if self.newest.count > 0 {
                self.older.push((self.newest_minute, self.newest));
            }
            (self.newest_minute, self.newest) = (minute, payment);
            let stale = self.older.partition_point(|(at, _)| at + WINDOW_MIN <= minute);
            self.older.drain(..stale);
        } else if minute + WINDOW_MIN > self.newest_minute {
            let place = self.older.partition_point(|(at, _)| *at < minute);
            match self.older.get_mut(place).filter(|(at, _)| *at == minute) {
                Some((_, entry)) => *entry = entry.with(&payment),
                None => self.older.insert(place, (minute, payment)),
            }
        }
    }
}

impl LastHour {
    /// Appends the hour's bytes: minutes and counts of 8 bytes, sums of 16, all little-endian.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.older.len() as u32).to_le_bytes());
        for (minute, window) in self.older.iter().chain([&(self.newest_minute, self.newest)]) {
            bytes.extend_from_slice(&minute.to_le_bytes());
            bytes.extend_from_slice(&window.count.to_le_bytes());
            bytes.extend_from_slice(&window.sum.to_le_bytes());
        }
    }

    /// Reads what [`Self::put`] wrote. Returns what follows it, too.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (older_len, mut rest) = bytes.split_first_chunk()?;
        let mut entry = || {
            let (minute, after) = rest.split_first_chunk()?;
            let (count, after) = after.split_first_chunk()?;
            let (sum, after) = after.split_first_chunk()?;
            rest = after;
            let window =
                Window { count: u64::from_le_bytes(*count), sum: u128::from_le_bytes(*sum) };
            Some((u64::from_le_bytes(*minute), window))
        };
        let older: Option<_> = (0..u32::from_le_bytes(*older_len)).map(|_| entry()).collect();
        let (newest_minute, newest) = entry()?;
        Some((Self { newest_minute, newest, older: older? }, rest))
    }
}

impl Window {
    fn with(&self, other: &Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum.saturating_add(other.sum) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_hour_is_exact_to_the_minute() {
        let mut hour = LastHour::default();
        hour.add(100, 10);
        hour.add(100, 5);
        hour.add(130, 1);
        for (minute, count, sum) in
            [(99, 0, 0), (100, 2, 15), (129, 2, 15), (130, 3, 16), (159, 3, 16), (160, 1, 1)]
        {
            assert_eq!(hour.window(minute), Window { count, sum }, "minute {minute}");
        }
        hour.add(160, 0);
        assert_eq!(hour.older.len(), 1, "minute 100 is out of reach");
    }

    /// A backfill behind a newer payment would else be counted nowhere, and escape every limit.
    #[test]
    fn payments_too_late_for_the_window_count_at_its_far_end() {
        let mut hour = LastHour::default();
        hour.add(1_000, 1);
        for count in 0..5 {
            assert_eq!(hour.window(10), Window { count, sum: u128::from(count) });
            hour.add(10, 1);
        }
        assert_eq!(hour.window(1_000).count, 6);
        assert_eq!(hour.window(1_001).count, 1);
    }

    proptest! {
        /// While payments are never later than an hour, it equals a full list of them.
        #[test]
        fn equals_the_naive_form(steps in prop::collection::vec((0_u64..30, 0_u64..40, 1_u128..9), 1..80)) {
            let (mut hour, mut all, mut clock) = (LastHour::default(), Vec::new(), 1_000);
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
                    prop_assert_eq!(hour.window(minute), naive);
                }
                hour.add(minute, amount);
                all.push((minute, amount));
            }
        }
    }
}
