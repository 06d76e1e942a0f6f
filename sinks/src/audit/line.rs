//! Writes one event as one line of the audit log: consumes an event and the chain's head, produces
//! bytes and the next head. Guarantees the same bytes for the same events, whatever the batches.

use millrace_engine::FeedEvent;
use millrace_ledger::{
    AccountChange, AccountEvent, AccountState, Amount, Balances, Currency, Event, EventSeq,
    HoldExpired, LedgerId, Operation, OwnerId, PaymentEvent, PaymentFlags, PaymentId, RejectReason,
    RiskDecision, Status, Timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::text::{put_hex, put_json_string, put_number, put_uuid, rfc3339};

pub(super) use super::merkle::Hash;

/// What the first line follows.
pub(super) const GENESIS: Hash = [0; 32];

/// The hash of a line with this content behind a line with that hash.
pub(super) fn chain(prev: &Hash, content: &[u8]) -> Hash {
    Sha256::new().chain_update(prev).chain_update(content).finalize().into()
}

/// Writes lines, and keeps what many of them share.
#[derive(Debug)]
pub(super) struct LineWriter {
    time: (Timestamp, String),
    ledger: (LedgerId, Option<&'static str>),
    /// By the reason's number.
    reason_names: Vec<String>,
}

impl LineWriter {
    pub(super) fn new() -> Self {
        let mut reason_names = vec![String::new(); 256];
        for reason in RejectReason::ALL {
            reason_names[*reason as usize] = reason.upper_snake_name();
        }
        Self {
            time: (Timestamp(0), rfc3339(Timestamp(0))),
            ledger: (LedgerId(0), None),
            reason_names,
        }
    }

    /// Appends the event's line and returns its hash.
    pub(super) fn put(
        &mut self,
        out: &mut Vec<u8>,
        time: Timestamp,
        event: &FeedEvent,
        prev: &Hash,
    ) -> Hash {
        let start = out.len();
        self.put_content(out, time, event);
        end_line(out, start, prev)
    }

    /// Appends the line of an event that is quarantined, and returns its hash.
    pub(super) fn put_quarantined(
        &mut self,
        out: &mut Vec<u8>,
        time: Timestamp,
        seq: EventSeq,
        why: &str,
        prev: &Hash,
    ) -> Hash {
        let start = out.len();
        self.put_start(out, time, seq);
        put(out, b"\",\"event\":\"QUARANTINED\",\"why\":");
        put_json_string(out, why);
        end_line(out, start, prev)
    }

    /// Leaves the string open.
    fn put_start(&mut self, out: &mut Vec<u8>, time: Timestamp, seq: EventSeq) {
        if self.time.0 != time {
            self.time = (time, rfc3339(time));
        }
        put(out, b"{\"seq\":");
        put_number(out, seq.0);
        put(out, b",\"time\":\"");
        put(out, self.time.1.as_bytes());
    }

    /// Appends what the line's hash covers.
    pub(super) fn put_content(&mut self, out: &mut Vec<u8>, time: Timestamp, event: &FeedEvent) {
        let FeedEvent { event, context: beside, .. } = event;
        self.put_start(out, time, event.seq());
        match event {
            Event::Payment(payment) => self.put_payment(out, payment),
            Event::HoldExpired(expired) => put_expiry(out, expired),
            Event::Account(account) => self.put_account(out, account),
            // An act is JSON, checked when it was taken.
            Event::Act(_) => {
                put(out, b"\",\"event\":\"ACT\",\"act\":");
                put(out, beside);
            }
        }
    }

    fn put_payment(&mut self, out: &mut Vec<u8>, event: &PaymentEvent) {
        let payment = &event.payment;
        put(out, b"\",\"event\":\"PAYMENT\",\"payment\":\"");
        put_uuid(out, payment.id.0);
        if payment.original != PaymentId::ZERO {
            put_id(out, b"\",\"original\":\"", payment.original.0);
        }
        put(out, b"\",\"operation\":\"");
        put(out, operation_name(payment.operation));
        put(out, b"\",\"status\":\"");
        put(out, status_name(event.outcome.status));
        if let Status::Rejected(reason) = event.outcome.status {
            put(out, b"\",\"reason\":\"");
            put(out, self.reason_names[reason as usize].as_bytes());
        }
        self.put_ledger(out, payment.ledger);
        put_field(out, b",\"code\":", payment.code.0);
        if payment.amount != Amount::ALL {
            put_minor(out, b",\"requested_minor\":\"", payment.amount.0);
        }
        put_minor(out, b",\"amount_minor\":\"", event.outcome.amount.0);
        for (label, account) in
            [(&b",\"debit\":\""[..], payment.debit), (b",\"credit\":\"", payment.credit)]
        {
            if account.0 != 0 {
                put_id(out, label, account.0);
                out.push(b'"');
            }
        }
        put_flags(out, payment.flags);
        if payment.timeout_s != 0 {
            put_field(out, b",\"timeout_s\":", payment.timeout_s);
        }
        if event.verdict.decision != RiskDecision::NotJudged {
            put(out, b",\"risk\":\"");
            put(out, event.verdict.decision.name().as_bytes());
            out.push(b'"');
            let rule = event.verdict.rule.as_str();
            if !rule.is_empty() {
                put(out, b",\"rule\":");
                put_json_string(out, rule);
            }
        }
        if let Some([debit, credit]) = &event.balances {
            put_balances(out, b",\"debit_balances\":", debit);
            put_balances(out, b",\"credit_balances\":", credit);
        }
    }

    fn put_account(&mut self, out: &mut Vec<u8>, event: &AccountEvent) {
        let account = &event.account;
        put(out, b"\",\"event\":\"ACCOUNT\",\"change\":\"");
        put(out, change_name(event.change));
        put_id(out, b"\",\"account\":\"", account.spec.id.0);
        if account.spec.owner != OwnerId::ZERO {
            put_id(out, b"\",\"owner\":\"", account.spec.owner.0);
        }
        self.put_ledger(out, account.spec.ledger);
        put_field(out, b",\"code\":", account.spec.code.0);
        put_field(out, b",\"tenant\":", account.spec.tenant);
        put_field(out, b",\"flags\":", account.spec.flags.0);
        put(out, b",\"state\":\"");
        put(out, state_name(account.state));
        put_minor(out, b"\",\"credit_limit_minor\":\"", account.spec.credit_limit.0);
        put_balances(out, b",\"balances\":", &account.balances);
    }

    /// Closes the string before it.
    fn put_ledger(&mut self, out: &mut Vec<u8>, ledger: LedgerId) {
        if self.ledger.0 != ledger {
            self.ledger = (ledger, Currency::of_ledger(ledger).map(|currency| currency.code));
        }
        put_field(out, b"\",\"ledger\":", ledger.0);
        if let Some(code) = self.ledger.1 {
            put(out, b",\"currency\":\"");
            put(out, code.as_bytes());
            out.push(b'"');
        }
    }
}

/// Closes the line whose content starts at `start`, and returns its hash.
fn end_line(out: &mut Vec<u8>, start: usize, prev: &Hash) -> Hash {
    let hash = chain(prev, &out[start..]);
    put(out, b",\"prev\":\"");
    put_hex(out, prev);
    put(out, b"\",\"hash\":\"");
    put_hex(out, &hash);
    put(out, b"\"}\n");
    hash
}

fn put_expiry(out: &mut Vec<u8>, event: &HoldExpired) {
    put_id(out, b"\",\"event\":\"HOLD_EXPIRED\",\"payment\":\"", event.payment.0);
    put_minor(out, b"\",\"amount_minor\":\"", event.released.0);
    put_id(out, b",\"debit\":\"", event.debit.0);
    put_id(out, b"\",\"credit\":\"", event.credit.0);
    put_balances(out, b"\",\"debit_balances\":", &event.balances[0]);
    put_balances(out, b",\"credit_balances\":", &event.balances[1]);
}

fn put_flags(out: &mut Vec<u8>, flags: PaymentFlags) {
    if flags == PaymentFlags::NONE {
        return;
    }
    let mut separator = &b",\"flags\":[\""[..];
    for (flag, name) in PaymentFlags::NAMED {
        if flags.has(flag) {
            put(out, separator);
            put(out, name.as_bytes());
            separator = b"\",\"";
        }
    }
    put(out, b"\"]");
}

fn put_balances(out: &mut Vec<u8>, label: &[u8], balances: &Balances) {
    put(out, label);
    put_minor(out, b"{\"debits_pending\":\"", balances.debits_pending);
    put_minor(out, b",\"debits_posted\":\"", balances.debits_posted);
    put_minor(out, b",\"credits_pending\":\"", balances.credits_pending);
    put_minor(out, b",\"credits_posted\":\"", balances.credits_posted);
    out.push(b'}');
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

fn put_field(out: &mut Vec<u8>, label: &[u8], number: impl itoa::Integer) {
    put(out, label);
    put_number(out, number);
}

/// Leaves the string open.
fn put_id(out: &mut Vec<u8>, label: &[u8], id: u128) {
    put(out, label);
    put_uuid(out, id);
}

/// Closes the string: money is decimal text.
fn put_minor(out: &mut Vec<u8>, label: &[u8], minor: u128) {
    put(out, label);
    match u64::try_from(minor) {
        Ok(small) => put_number(out, small),
        Err(_) => put_number(out, minor),
    }
    out.push(b'"');
}

fn operation_name(operation: Operation) -> &'static [u8] {
    match operation {
        Operation::Pay => b"PAY",
        Operation::Authorize => b"AUTHORIZE",
        Operation::Capture => b"CAPTURE",
        Operation::Void => b"VOID",
        Operation::Refund => b"REFUND",
    }
}

fn status_name(status: Status) -> &'static [u8] {
    match status {
        Status::Settled => b"SETTLED",
        Status::Held => b"HELD",
        Status::Voided => b"VOIDED",
        Status::Rejected(_) => b"REJECTED",
    }
}

fn state_name(state: AccountState) -> &'static [u8] {
    match state {
        AccountState::Open => b"OPEN",
        AccountState::Frozen => b"FROZEN",
        AccountState::Closed => b"CLOSED",
    }
}

fn change_name(change: Option<AccountChange>) -> &'static [u8] {
    match change {
        None => b"OPENED",
        Some(AccountChange::Freeze) => b"FROZEN",
        Some(AccountChange::Reopen) => b"REOPENED",
        Some(AccountChange::Close) => b"CLOSED",
        Some(AccountChange::SetCreditLimit(_)) => b"CREDIT_LIMIT_SET",
    }
}
