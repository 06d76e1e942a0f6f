//! Honest payments that look like fraud: consumes a stage, produces the payments of one case. Without
//! them a model would find every unusual payment to be fraud, and be right.

use super::{
    episode::Stage,
    payment::{Channel, Lookalike},
    world::rounded,
};

/// Plans one case.
pub(super) fn plan(lookalike: Lookalike, stage: &mut Stage<'_>) {
    match lookalike {
        Lookalike::BigTicket => big_ticket(stage),
        Lookalike::Holiday => holiday(stage),
        Lookalike::GroupCollection => group_collection(stage),
        Lookalike::SmallPurchases => small_purchases(stage),
        Lookalike::NewDevice => new_device(stage),
    }
}

/// The counterpart of a large fraud: the same merchants, 10 to 40 times what is usual.
fn big_ticket(stage: &mut Stage<'_>) {
    for _ in 0..stage.payments {
        let payer = stage.any_customer();
        let merchant = stage.world.any_expensive(stage.rng);
        let times = stage.rng.within(10.0, 40.0);
        let amount = rounded(30.0 * stage.world.spending(payer) * times, 1.0);
        let draft = stage.world.payment_to(stage.rng, payer, merchant, amount);
        let after_s = stage.likely();
        stage.at(after_s, draft);
    }
}

/// Stores of another country, dearer than at home. Everyday payments are made there, too, until
/// the customer is back.
fn holiday(stage: &mut Stage<'_>) {
    let payer = stage.any_customer();
    let until_s = stage.start_s + stage.duration_s;
    let country = stage.world.send_away(stage.rng, payer, until_s);
    for _ in 0..stage.payments {
        let merchant = stage.world.store_in(stage.rng, country);
        let mut draft = stage.world.purchase(stage.rng, payer, merchant, 1.3);
        if draft.channel == Channel::CardNotPresent {
            draft.ip = stage.world.any_address(stage.rng);
            draft.country = country;
        }
        let after_s = stage.likely();
        stage.at(after_s, draft);
    }
}

/// The counterpart of a mule ring: fan-in to one customer, but then one payment to a merchant.
fn group_collection(stage: &mut Stage<'_>) {
    let collector = stage.any_customer();
    let mut friends = vec![collector];
    let part = rounded(stage.rng.within(10.0, 120.0), 5.0);
    let mut collected = 0.0;
    for after_s in stage.sorted(stage.payments - 1, 0, stage.duration_s / 10 * 9) {
        let friend = stage.customer_other_than(&friends);
        friends.push(friend);
        let draft = stage.world.transfer(stage.rng, friend, collector, part);
        collected += part;
        stage.at(after_s, draft);
    }
    let merchant = stage.world.any_expensive(stage.rng);
    let amount = rounded(collected * stage.rng.within(0.95, 1.2), 0.01);
    let draft = stage.world.payment_to(stage.rng, collector, merchant, amount);
    stage.at(stage.duration_s, draft);
}

/// The counterpart of card testing: a burst of tiny payments, from the customer's own device.
fn small_purchases(stage: &mut Stage<'_>) {
    let payer = stage.any_customer();
    let merchant = stage.world.any_digital(stage.rng);
    for after_s in stage.sorted(stage.payments, 0, stage.duration_s) {
        let amount = rounded(stage.rng.within(0.79, 4.99), 0.1) - 0.01;
        let draft = stage.world.payment_to(stage.rng, payer, merchant, amount);
        stage.at(after_s, draft);
    }
}

/// The counterpart of a compromised customer: a device that was never seen, usual amounts.
fn new_device(stage: &mut Stage<'_>) {
    let payer = stage.any_customer();
    stage.world.replace_device(payer);
    let device = stage.world.newest_device(payer);
    for _ in 0..stage.payments {
        let merchant = stage.world.any_site(stage.rng);
        let mut draft = stage.world.purchase(stage.rng, payer, merchant, 1.0);
        draft.device = device;
        let after_s = stage.likely();
        stage.at(after_s, draft);
    }
}
