//! Something unusual that takes several payments: what a fraud or a look-alike is told through.

use super::{
    payment::{Account, Channel, Device, FraudPattern, Lookalike},
    rng::Rng,
    season::Season,
    world::World,
};

/// What a payment is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    Everyday,
    Fraud(FraudPattern),
    Lookalike(Lookalike),
}

/// A payment without its moment and number.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) payer: Account,
    pub(super) payee: Account,
    /// Major units, before the price level.
    pub(super) amount: f64,
    pub(super) device: Device,
    /// 0 is none.
    pub(super) ip: u32,
    /// Index of the world's countries.
    pub(super) country: u8,
    pub(super) mcc: u16,
    pub(super) channel: Channel,
    pub(super) story: Story,
}

/// Where an episode is told: when it happens, how long, with how many payments.
pub(super) struct Stage<'a> {
    pub(super) world: &'a mut World,
    pub(super) season: &'a Season,
    pub(super) rng: &'a mut Rng,
    /// First second.
    pub(super) start_s: u64,
    /// The last payment comes at most so much later.
    pub(super) duration_s: u64,
    pub(super) payments: u32,
    /// Customers that are there, as a share of those at the end.
    pub(super) grown: f64,
    /// Number of the episode among those of its story.
    pub(super) nth: u32,
    /// What happens, in any order.
    pub(super) planned: &'a mut Vec<(u64, Draft)>,
}

impl Stage<'_> {
    /// Adds a payment at a moment of the episode, in seconds after its start.
    pub(super) fn at(&mut self, after_s: u64, draft: Draft) {
        debug_assert!(after_s <= self.duration_s, "{after_s} s is after the end");
        self.planned.push((self.start_s + after_s, draft));
    }

    /// A moment of the episode in which people are likely to pay, in seconds after its start.
    pub(super) fn likely(&mut self) -> u64 {
        self.season.likely_moment(self.rng, self.start_s, self.duration_s) - self.start_s
    }

    /// So many moments of a part of the episode in order, in seconds after its start.
    pub(super) fn sorted(&mut self, count: u32, from_s: u64, to_s: u64) -> Vec<u64> {
        let mut moments: Vec<u64> =
            (0..count).map(|_| self.rng.between(from_s, to_s.max(from_s))).collect();
        moments.sort_unstable();
        moments
    }

    /// A customer who is there.
    pub(super) fn any_customer(&mut self) -> u32 {
        self.world.any_customer(self.rng, self.grown)
    }

    /// A customer who is there and none of those, of which there is at least one.
    pub(super) fn customer_other_than(&mut self, those: &[u32]) -> u32 {
        let first = those[0];
        let mut customer = self.any_customer();
        for _ in 0..20 {
            if !those.contains(&customer) {
                return customer;
            }
            customer = self.any_customer();
        }
        // Nearly all are among those: one of them again, but never the first, whom it is to pay.
        if customer == first { if first == 0 { 1 } else { first - 1 } } else { customer }
    }
}

/// Puts a stranger's device and address in place of the payer's own.
pub(super) fn by_stranger(draft: &mut Draft, device: Device, ip: u32, country: u8) {
    if draft.channel == Channel::CardNotPresent || draft.channel == Channel::Transfer {
        (draft.device, draft.ip, draft.country) = (device, ip, country);
    }
}
