//! Lists: consumes payments and labels, keeps each payment of the longest window.
//!
//! Each payment knows the sum and the frauds up to it, and each window where it begins and ends,
//! so that a window is a subtraction. What comes late is put where it belongs, which takes as long
//! as the list is.

use std::collections::VecDeque;

use super::moments::{Moments, from_fixed, to_fixed};
use crate::features::{EntityKey, Statistic};

/// The windows of a kind of entity, and what is kept of a payment for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Exact {
    /// Delay and window, in nanoseconds.
    pub(super) windows: Vec<(u64, u64)>,
    /// The kinds of entities that are counted, by place.
    pub(super) counted: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Paid {
    at: u64,
    amount: f64,
    is_fraud: bool,
    /// Sum of all amounts up to here, since the list began, and number of all frauds.
    sum: i64,
    frauds: u64,
}

/// The payments of an entity, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct List {
    payments: VecDeque<Paid>,
    /// The counted entities of each payment.
    counted: VecDeque<u64>,
    /// Sum and frauds up to the oldest, without it.
    base: (i64, u64),
    /// Where each window begins and ends. Time does not go back, so both move on alone.
    windows: Vec<(usize, usize)>,
}

impl Exact {
    pub(super) fn is_used(&self) -> bool {
        !self.windows.is_empty()
    }

    fn reach(&self) -> u64 {
        let reach = |(delay, window): &(u64, u64)| delay.saturating_add(*window);
        self.windows.iter().map(reach).max().unwrap_or(0)
    }

    /// Forgets what no window reaches any more.
    pub(super) fn advance(&self, list: &mut List, now: u64) {
        let reach = self.reach();
        while list.payments.front().is_some_and(|paid| paid.at.saturating_add(reach) <= now) {
            list.forget_oldest(self.counted.len());
        }
        self.settle(list, now);
    }

    /// Moves the windows on to this time.
    fn settle(&self, list: &mut List, now: u64) {
        list.windows.resize(self.windows.len(), (0, 0));
        let payments = &list.payments;
        for ((from, to), (delay, window)) in list.windows.iter_mut().zip(&self.windows) {
            let is_over = |place: usize, age: u64| {
                payments.get(place).is_some_and(|paid| paid.at.saturating_add(age) <= now)
            };
            while is_over(*from, delay.saturating_add(*window)) {
                *from += 1;
            }
            *to = (*to).max(*from);
            while is_over(*to, *delay) {
                *to += 1;
            }
        }
    }

    /// Adds a payment, unless it is older than all windows. The oldest give way where there are
    /// too many.
    pub(super) fn add(
        &self,
        list: &mut List,
        (at, now): (u64, u64),
        amount: f64,
        keys: &[EntityKey],
        payments_max: usize,
    ) {
        if at.saturating_add(self.reach()) <= now {
            return;
        }
        let place = list.payments.partition_point(|paid| paid.at <= at);
        let (sum, frauds) = list.up_to(place);
        let fixed = to_fixed(amount);
        let sum = sum.wrapping_add(fixed);
        list.payments.insert(place, Paid { at, amount, is_fraud: false, sum, frauds });
        for later in list.payments.range_mut(place + 1..) {
            later.sum = later.sum.wrapping_add(fixed);
        }
        for (n, counted) in self.counted.iter().enumerate() {
            let key = keys.get(*counted).copied().unwrap_or_default();
            list.counted.insert(place * self.counted.len() + n, key.0);
        }
        // What comes before an edge moves the edge.
        for (from, to) in &mut list.windows {
            *from += usize::from(place < *from);
            *to += usize::from(place < *to);
        }
        while list.payments.len() > payments_max.max(1) {
            list.forget_oldest(self.counted.len());
        }
        self.settle(list, now);
    }

    /// Marks a payment as fraud or as none, if it is still there.
    pub(super) fn report(&self, list: &mut List, paid_at: u64, amount: f64, is_fraud: bool) {
        let from = list.payments.partition_point(|paid| paid.at < paid_at);
        let same_time = list.payments.range(from..).take_while(|paid| paid.at == paid_at);
        let is_it = |paid: &Paid| paid.is_fraud != is_fraud && paid.amount == amount;
        let Some(place) = same_time.enumerate().find(|(_, paid)| is_it(paid)) else { return };
        let place = from + place.0;
        list.payments[place].is_fraud = is_fraud;
        for later in list.payments.range_mut(place..) {
            // Each of them counts the fraud that is taken back.
            later.frauds = if is_fraud { later.frauds + 1 } else { later.frauds - 1 };
        }
    }

    /// What a window holds, as of the time up to which the list was advanced.
    pub(super) fn read(
        &self,
        list: &List,
        window: usize,
        statistic: Statistic,
        counted: usize,
    ) -> Moments {
        let (from, to) = list.windows.get(window).copied().unwrap_or_default();
        let (base, end) = (list.up_to(from), list.up_to(to));
        let mut moments = Moments {
            count: (to - from) as f64,
            sum: from_fixed(end.0.wrapping_sub(base.0)),
            frauds: (end.1 - base.1) as f64,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..Moments::default()
        };
        match statistic {
            Statistic::Std | Statistic::ZScore | Statistic::Min | Statistic::Max => {
                for paid in list.payments.range(from..to) {
                    moments.square += paid.amount * paid.amount;
                    moments.min = moments.min.min(paid.amount);
                    moments.max = moments.max.max(paid.amount);
                }
            }
            Statistic::Distinct => {
                let kinds = self.counted.len();
                let range = list.counted.range(from * kinds..to * kinds);
                let keys = range.skip(counted).step_by(kinds).filter(|key| **key != 0);
                let mut keys: Vec<_> = keys.collect();
                keys.sort_unstable();
                keys.dedup();
                moments.distinct = keys.len() as f64;
            }
            _ => {}
        }
        moments
    }
}

impl List {
    /// Sum and frauds of the payments before this place.
    fn up_to(&self, place: usize) -> (i64, u64) {
        let before = place.checked_sub(1).and_then(|before| self.payments.get(before));
        before.map_or(self.base, |paid| (paid.sum, paid.frauds))
    }

    fn forget_oldest(&mut self, counted: usize) {
        if let Some(paid) = self.payments.pop_front() {
            self.base = (paid.sum, paid.frauds);
            for (from, to) in &mut self.windows {
                (*from, *to) = (from.saturating_sub(1), to.saturating_sub(1));
            }
            self.counted.drain(..counted.min(self.counted.len()));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.payments.capacity() * size_of::<Paid>() + self.counted.capacity() * 8
    }

    /// Appends the list: number of payments, then of each time, amount, whether it is fraud, and
    /// the counted entities.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.payments.len() as u64).to_le_bytes());
        let kinds = self.counted.len() / self.payments.len().max(1);
        for (place, paid) in self.payments.iter().enumerate() {
            bytes.extend_from_slice(&paid.at.to_le_bytes());
            bytes.extend_from_slice(&paid.amount.to_bits().to_le_bytes());
            bytes.push(u8::from(paid.is_fraud));
            for counted in self.counted.range(place * kinds..(place + 1) * kinds) {
                bytes.extend_from_slice(&counted.to_le_bytes());
            }
        }
    }

    /// Reads what [`Self::put`] wrote, and moves on behind it.
    pub(super) fn read(bytes: &mut &[u8], kinds: usize) -> Option<Self> {
        let mut list = Self::default();
        let mut base = (0_i64, 0);
        for _ in 0..take_word(bytes)? {
            let (at, amount) = (take_word(bytes)?, f64::from_bits(take_word(bytes)?));
            let (is_fraud, rest) = bytes.split_first()?;
            *bytes = rest;
            let is_fraud = *is_fraud == 1;
            base = (base.0.wrapping_add(to_fixed(amount)), base.1 + u64::from(is_fraud));
            let (sum, frauds) = base;
            list.payments.push_back(Paid { at, amount, is_fraud, sum, frauds });
            for _ in 0..kinds {
                list.counted.push_back(take_word(bytes)?);
            }
        }
        Some(list)
    }
}

/// Takes eight little-endian bytes.
pub(super) fn take_word(bytes: &mut &[u8]) -> Option<u64> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*word))
}
