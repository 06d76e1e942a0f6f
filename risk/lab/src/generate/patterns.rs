//! The ways of stealing: consumes a stage, produces the payments of one fraud.
//!
//! Each has the signature that `docs/risk/generator.md` states and that tests check.

use super::{
    episode::{Stage, by_stranger},
    payment::FraudPattern,
    world::{HOME, address, rounded},
};

/// Plans one fraud.
pub(super) fn plan(pattern: FraudPattern, stage: &mut Stage<'_>) {
    match pattern {
        FraudPattern::LargeAmount => large_amount(stage),
        FraudPattern::CompromisedMerchant => compromised_merchant(stage),
        FraudPattern::CompromisedCustomer => compromised_customer(stage),
        FraudPattern::CardTesting => card_testing(stage),
        FraudPattern::MuleRing => mule_ring(stage),
    }
}

/// Whether a fraud's payments are reported together, by whoever sees the statement, or each by
/// another victim.
pub(super) fn reported_together(pattern: FraudPattern) -> bool {
    matches!(pattern, FraudPattern::CompromisedCustomer | FraudPattern::CardTesting)
}

/// An address that thieves used before and will use again.
fn thieves_address(stage: &mut Stage<'_>) -> u32 {
    address((2 << 40) + stage.rng.below(300))
}

/// Payments of 25 to 90 times what the payer's purchases usually come to, where much can be spent.
fn large_amount(stage: &mut Stage<'_>) {
    for _ in 0..stage.payments {
        let payer = stage.any_customer();
        let merchant = stage.world.any_expensive(stage.rng);
        let times = stage.rng.within(25.0, 90.0);
        let amount = rounded(30.0 * stage.world.spending(payer) * times, 0.01);
        let mut draft = stage.world.payment_to(stage.rng, payer, merchant, amount);
        // The others from the payer's own device: a card number is not all that gets stolen.
        if stage.rng.chance(0.6) {
            let device = stage.world.foreign_device(stage.rng.bits() as u32);
            let ip = thieves_address(stage);
            let country = stage.world.country_of(payer);
            by_stranger(&mut draft, device, ip, country);
        }
        let after_s = stage.likely();
        stage.at(after_s, draft);
    }
}

/// Cards of many payers at one merchant, in the merchant's usual amounts, beside its honest trade.
fn compromised_merchant(stage: &mut Stage<'_>) {
    let merchant = match stage.rng.chance(0.7) {
        true => stage.world.store_in(stage.rng, HOME),
        false => stage.world.any_site(stage.rng),
    };
    let devices: [u32; 3] = std::array::from_fn(|_| stage.rng.bits() as u32);
    for _ in 0..stage.payments {
        let payer = stage.any_customer();
        let dearer = stage.rng.within(0.8, 1.6);
        let mut draft = stage.world.purchase(stage.rng, payer, merchant, dearer);
        let device = stage.world.foreign_device(devices[stage.rng.index(devices.len())]);
        let ip = thieves_address(stage);
        let country = stage.world.country_of(payer);
        by_stranger(&mut draft, device, ip, country);
        let after_s = stage.likely();
        stage.at(after_s, draft);
    }
}

/// One payer's account in a stranger's hand: mostly sites, dearer things, any hour.
fn compromised_customer(stage: &mut Stage<'_>) {
    let payer = stage.any_customer();
    let device = stage.world.foreign_device(stage.rng.bits() as u32);
    let home = stage.world.country_of(payer);
    let country = match stage.rng.chance(0.5) {
        true => stage.world.other_country(stage.rng, home),
        false => home,
    };
    let ip = thieves_address(stage);
    for after_s in stage.sorted(stage.payments, 0, stage.duration_s) {
        let merchant = match stage.rng.chance(0.8) {
            true => stage.world.any_site(stage.rng),
            false => stage.world.store_in(stage.rng, country),
        };
        let dearer = stage.rng.within(2.0, 7.0);
        let mut draft = stage.world.purchase(stage.rng, payer, merchant, dearer);
        by_stranger(&mut draft, device, ip, country);
        stage.at(after_s, draft);
    }
}

/// A burst of tiny payments in the first half of the time, the large one in the second.
fn card_testing(stage: &mut Stage<'_>) {
    let payer = stage.any_customer();
    // A thief tests some cards in a row from one device.
    let device = stage.world.foreign_device((1 << 29) + stage.nth / 4);
    let ip = address((3 << 40) + u64::from(stage.nth / 4));
    let country = stage.world.other_country(stage.rng, stage.world.country_of(payer));
    let tester = stage.world.any_digital(stage.rng);
    for after_s in stage.sorted(stage.payments - 1, 0, stage.duration_s / 2) {
        let amount = rounded(stage.rng.within(0.5, 3.0), 0.01);
        let mut draft = stage.world.payment_to(stage.rng, payer, tester, amount);
        by_stranger(&mut draft, device, ip, country);
        stage.at(after_s, draft);
    }
    let shop = stage.world.any_expensive_site(stage.rng);
    let amount = rounded(stage.rng.within(250.0, 1_500.0), 0.01);
    let mut draft = stage.world.payment_to(stage.rng, payer, shop, amount);
    by_stranger(&mut draft, device, ip, country);
    let after_s = stage.rng.between(stage.duration_s / 2 + 1, stage.duration_s);
    stage.at(after_s, draft);
}

/// Victims pay one account in the first half of the time; in the second it passes nearly all of it
/// on to several accounts.
fn mule_ring(stage: &mut Stage<'_>) {
    let collector = stage.any_customer();
    let mut ring = vec![collector];
    let fan_in = stage.payments * 2 / 3;
    let mut collected = 0.0;
    for after_s in stage.sorted(fan_in, 0, stage.duration_s / 2) {
        let victim = stage.customer_other_than(&ring);
        ring.push(victim);
        let amount = rounded(stage.rng.within(150.0, 900.0), 1.0);
        collected += amount;
        let draft = stage.world.transfer(stage.rng, victim, collector, amount);
        stage.at(after_s, draft);
    }
    let fan_out = stage.payments - fan_in;
    let part = collected * stage.rng.within(0.9, 0.98) / f64::from(fan_out);
    let device = stage.world.foreign_device(stage.rng.bits() as u32);
    let (ip, country) = (thieves_address(stage), stage.world.country_of(collector));
    for after_s in stage.sorted(fan_out, stage.duration_s / 2 + 1, stage.duration_s) {
        let mule = stage.customer_other_than(&ring);
        ring.push(mule);
        // Between 0.8 and 1.0 parts each, so that never more goes out than came in.
        let amount = (part * stage.rng.within(0.8, 1.0)).floor().max(1.0);
        let mut draft = stage.world.transfer(stage.rng, collector, mule, amount);
        by_stranger(&mut draft, device, ip, country);
        stage.at(after_s, draft);
    }
}
