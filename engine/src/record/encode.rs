//! Writing records: consumes events, appends their bytes.

use millrace_ledger::{
    Account, AccountChange, AccountEvent, Amount, Balances, HoldExpired, PaymentEvent, PaymentId,
    Status,
};

use super::{ACCOUNT, ACT, HOLD_EXPIRED, PAYMENT, present};

/// Appends a payment event, its context, and what risk has to say of it. `continues_group` tells that
/// it belongs to the same linked group of the same request as the event before it.
pub(crate) fn encode_payment(
    event: &PaymentEvent,
    context: &[u8],
    evidence: &[u8],
    continues_group: bool,
    events: &mut Vec<u8>,
    contexts: &mut Vec<u8>,
) {
    let payment = &event.payment;
    let amount_all = payment.amount == Amount::ALL;
    let mut numbers = [0; 10];
    numbers[0] = if amount_all { 0 } else { payment.amount.0 };
    numbers[1] = event.outcome.amount.0;
    let mut count = 2;
    if let Some([debit, credit]) = &event.balances {
        put_balances(debit, &mut numbers[2..6]);
        put_balances(credit, &mut numbers[6..10]);
        count = 10;
    }
    let numbers = &numbers[..count];
    let (status, reason) = status_bytes(event.outcome.status);
    let rule = event.verdict.rule.as_str();
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    let has_original = payment.original != PaymentId::ZERO;
    let mut fixed = [0; 72];
    fixed[0] = PAYMENT;
    fixed[1] = payment.operation as u8;
    fixed[2] = payment.flags.0;
    fixed[3] = status;
    fixed[4] = reason;
    fixed[5] = payment.defect.map_or(0, |reason| reason as u8);
    fixed[6] = event.verdict.decision as u8;
    fixed[7] = flag(is_wide(numbers), present::WIDE)
        | flag(event.balances.is_some(), present::BALANCES)
        | flag(has_original, present::ORIGINAL)
        | flag(payment.event_time.is_some(), present::EVENT_TIME)
        | flag(amount_all, present::AMOUNT_ALL)
        | flag(continues_group, present::CONTINUES_GROUP)
        | flag(!evidence.is_empty(), present::EVIDENCE);
    fixed[8..10].copy_from_slice(&payment.code.0.to_le_bytes());
    fixed[10..12].copy_from_slice(&(context.len() as u16).to_le_bytes());
    fixed[12..16].copy_from_slice(&payment.ledger.0.to_le_bytes());
    fixed[16..20].copy_from_slice(&payment.timeout_s.to_le_bytes());
    fixed[20] = rule.len() as u8;
    fixed[21..24].copy_from_slice(&event.verdict.hold_s.to_le_bytes()[..3]);
    fixed[24..40].copy_from_slice(&payment.id.0.to_be_bytes());
    fixed[40..56].copy_from_slice(&payment.debit.0.to_be_bytes());
    fixed[56..72].copy_from_slice(&payment.credit.0.to_be_bytes());
    events.extend_from_slice(&fixed);
    if has_original {
        events.extend_from_slice(&payment.original.0.to_be_bytes());
    }
    if let Some(time) = payment.event_time {
        events.extend_from_slice(&time.0.to_le_bytes());
    }
    put_numbers(numbers, events);
    events.extend_from_slice(rule.as_bytes());
    if !evidence.is_empty() {
        events.push(evidence.len() as u8);
        events.extend_from_slice(evidence);
    }
    contexts.extend_from_slice(context);
}

/// Appends an analyst's act.
pub(crate) fn encode_act(act: &[u8], events: &mut Vec<u8>, contexts: &mut Vec<u8>) {
    events.extend_from_slice(&[ACT, 0, 0, 0]);
    events.extend_from_slice(&(act.len() as u32).to_le_bytes());
    contexts.extend_from_slice(act);
}

/// Appends the expiry of a hold.
pub(crate) fn encode_hold_expired(event: &HoldExpired, events: &mut Vec<u8>) {
    let mut numbers = [0; 9];
    numbers[0] = event.released.0;
    put_balances(&event.balances[0], &mut numbers[1..5]);
    put_balances(&event.balances[1], &mut numbers[5..9]);
    let wide = if is_wide(&numbers) { present::WIDE } else { 0 };
    events.extend_from_slice(&[HOLD_EXPIRED, wide, 0, 0, 0, 0, 0, 0]);
    for id in [event.payment.0, event.debit.0, event.credit.0] {
        events.extend_from_slice(&id.to_be_bytes());
    }
    put_numbers(&numbers, events);
}

/// Appends the opening or change of an account. Rare, so always in the wide form.
pub(crate) fn encode_account(event: &AccountEvent, events: &mut Vec<u8>) {
    let Account { spec, state, balances } = &event.account;
    let change = match event.change {
        None => 0,
        Some(AccountChange::Freeze) => 1,
        Some(AccountChange::Reopen) => 2,
        Some(AccountChange::Close) => 3,
        Some(AccountChange::SetCreditLimit(_)) => 4,
    };
    events.extend_from_slice(&[ACCOUNT, change, *state as u8, spec.flags.0]);
    events.extend_from_slice(&spec.code.0.to_le_bytes());
    events.extend_from_slice(&[0, 0]);
    events.extend_from_slice(&spec.ledger.0.to_le_bytes());
    events.extend_from_slice(&spec.tenant.to_le_bytes());
    events.extend_from_slice(&spec.id.0.to_be_bytes());
    events.extend_from_slice(&spec.owner.0.to_be_bytes());
    events.extend_from_slice(&spec.credit_limit.0.to_le_bytes());
    let mut numbers = [0; 4];
    put_balances(balances, &mut numbers);
    for number in numbers {
        events.extend_from_slice(&number.to_le_bytes());
    }
}

fn is_wide(numbers: &[u128]) -> bool {
    numbers.iter().fold(0, |bits, number| bits | number) > u128::from(u64::MAX)
}

fn put_numbers(numbers: &[u128], events: &mut Vec<u8>) {
    if is_wide(numbers) {
        numbers.iter().for_each(|number| events.extend_from_slice(&number.to_le_bytes()));
    } else {
        numbers.iter().for_each(|number| events.extend_from_slice(&(*number as u64).to_le_bytes()));
    }
}

fn put_balances(balances: &Balances, numbers: &mut [u128]) {
    let Balances { debits_pending, debits_posted, credits_pending, credits_posted } = *balances;
    numbers.copy_from_slice(&[debits_pending, debits_posted, credits_pending, credits_posted]);
}

fn status_bytes(status: Status) -> (u8, u8) {
    match status {
        Status::Settled => (1, 0),
        Status::Held => (2, 0),
        Status::Voided => (3, 0),
        Status::Rejected(reason) => (4, reason as u8),
    }
}
