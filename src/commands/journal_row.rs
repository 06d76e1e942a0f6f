//! Events as rows: consumes an event of the journal, produces named cells. One form for people,
//! JSON and CSV. Names and values are those of the API, money is text, and a cell that has nothing
//! to say is left out.

use std::io::{self, Write};

use millrace_engine::{FeedEvent, scan::ScannedFrame};
use millrace_ledger::{
    AccountChange, AccountEvent, AccountFlags, AccountState, Amount, Balances, Currency, Event,
    HoldExpired, LedgerId, Operation, OwnerId, PaymentEvent, PaymentFlags, PaymentId, RiskDecision,
    Status, Timestamp,
};
use millrace_protos::{
    Trace,
    v1::{Channel, PaymentContext},
};
use millrace_risk::evidence::Evidence;
use prost::Message as _;
use uuid::Uuid;

pub(crate) use super::journal_cell::Cell;

/// Every name that a row may have, in the order of its cells.
pub(crate) const COLUMNS: &[&str] = &[
    "event_sequence",
    "time",
    "event",
    "payment_id",
    "original_payment_id",
    "account_id",
    "owner_id",
    "tenant",
    "operation",
    "change",
    "state",
    "status",
    "reject_reason",
    "defect",
    "ledger",
    "currency",
    "code",
    "requested_amount",
    "requested_amount_minor",
    "amount",
    "amount_minor",
    "credit_limit",
    "credit_limit_minor",
    "debit_account_id",
    "credit_account_id",
    "flags",
    "timeout_seconds",
    "event_time",
    "risk_decision",
    "risk_reason",
    "risk_policy_number",
    "risk_score",
    "risk_fell_back",
    "risk_challenger_score",
    "risk_challenger_decision",
    "risk_contributions",
    "risk_evidence_unreadable_bytes",
    "debit_account_debits_pending_minor",
    "debit_account_debits_posted_minor",
    "debit_account_credits_pending_minor",
    "debit_account_credits_posted_minor",
    "credit_account_debits_pending_minor",
    "credit_account_debits_posted_minor",
    "credit_account_credits_pending_minor",
    "credit_account_credits_posted_minor",
    "account_debits_pending_minor",
    "account_debits_posted_minor",
    "account_credits_pending_minor",
    "account_credits_posted_minor",
    "act_kind",
    "act_by",
    "act_why",
    "act_details",
    "act_unreadable_bytes",
];

/// The names of what may tell of persons: a payment's context, a rule's reason with values of it, and
/// acts as they were journaled.
pub(crate) const CONTEXT_COLUMNS: &[&str] = &[
    "channel",
    "device_id",
    "ip_address",
    "country_code",
    "merchant_category_code",
    "reference",
    "traceparent",
    "context_other",
    "context_unreadable_bytes",
    "risk_rule_reason",
    "act",
];

/// Named cells, in the order of [`COLUMNS`] where they are an event's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) cells: Vec<(&'static str, Cell)>,
}

impl Row {
    pub(crate) fn put(&mut self, name: &'static str, cell: impl Into<Cell>) {
        self.cells.push((name, cell.into()));
    }

    /// Writes it as a JSON object, on one line.
    pub(crate) fn put_json(&self, out: &mut impl Write) -> io::Result<()> {
        for (position, (name, cell)) in self.cells.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            write!(out, "{before}\"{name}\":")?;
            cell.put_json(out)?;
        }
        out.write_all(if self.cells.is_empty() { b"{}" } else { b"}" })
    }

    /// The row of an event, without what may tell of persons that take part in it.
    pub(crate) fn of_event(time: Timestamp, event: &FeedEvent) -> Self {
        let mut row = Self::default();
        row.put("event_sequence", event.event.seq().0);
        row.put("time", time_text(time));
        match &event.event {
            Event::Payment(payment) => row.put_payment(payment, &event.evidence),
            Event::HoldExpired(event) => row.put_expiry(event),
            Event::Account(event) => row.put_account(event),
            Event::Act(_) => row.put_act(&event.context),
        }
        row
    }

    /// The cells that [`Self::of_event`] leaves out; none where there are none.
    pub(crate) fn of_context(event: &FeedEvent) -> Self {
        let mut row = Self::default();
        if let Event::Act(_) = event.event {
            row.put("act", String::from_utf8_lossy(&event.context).into_owned());
            return row;
        }
        if !event.context.is_empty() {
            row.put_context(&event.context);
        }
        let evidence = Evidence::read(&event.evidence);
        if let Some(reason) = evidence.and_then(|evidence| evidence.rule_reason) {
            row.put("risk_rule_reason", reason);
        }
        row
    }

    fn put_context(&mut self, context: &[u8]) {
        let Ok(context) = PaymentContext::decode(context) else {
            self.put("context_unreadable_bytes", context.len() as u64);
            return;
        };
        if context.channel != 0 {
            let channel = Channel::try_from(context.channel).map(|channel| channel.as_str_name());
            let channel = channel.unwrap_or("CHANNEL_UNKNOWN").trim_start_matches("CHANNEL_");
            self.put("channel", channel);
        }
        for (name, text) in [
            ("device_id", context.device_id),
            ("ip_address", context.ip_address),
            ("country_code", context.country_code),
            ("merchant_category_code", context.merchant_category_code),
            ("reference", context.reference),
        ] {
            if !text.is_empty() {
                self.put(name, text);
            }
        }
        if let Some(trace) = context.trace.as_ref().and_then(Trace::of_message) {
            self.put("traceparent", trace.to_string());
        }
        if !context.other.is_empty() {
            let other = context.other.into_iter().map(|other| (other.key, other.value.into()));
            self.put("context_other", serde_json::Value::Object(other.collect()).to_string());
        }
    }

    /// The row of a frame.
    pub(crate) fn of_frame(frame: &ScannedFrame) -> Self {
        let mut row = Self::default();
        row.put("first_event", frame.first_seq.0);
        row.put("last_event", frame.last_seq().0);
        row.put("events", u64::from(frame.event_count));
        row.put("time", time_text(frame.time));
        row.put("segment", frame.segment.display().to_string());
        row.put("offset", frame.offset);
        row.put("event_bytes", u64::from(frame.events_len));
        row.put("context_bytes", u64::from(frame.context_len));
        row.put("hash", hex(&frame.hash.0));
        row.put("previous", hex(&frame.previous.0));
        row
    }

    fn put_payment(&mut self, event: &PaymentEvent, evidence: &[u8]) {
        let PaymentEvent { payment, outcome, verdict, balances, seq: _ } = event;
        self.put("event", "PAYMENT");
        self.put_id("payment_id", payment.id.0);
        if payment.original != PaymentId::ZERO {
            self.put_id("original_payment_id", payment.original.0);
        }
        self.put("operation", operation_name(payment.operation));
        self.put("status", status_name(outcome.status));
        if let Status::Rejected(reason) = outcome.status {
            self.put("reject_reason", reason.upper_snake_name());
        }
        if let Some(defect) = payment.defect {
            self.put("defect", defect.upper_snake_name());
        }
        let currency = self.put_ledger(payment.ledger);
        self.put("code", u64::from(payment.code.0));
        if payment.amount == Amount::ALL {
            self.put("requested_amount", "ALL");
        } else {
            let requested = payment.amount;
            self.put_money("requested_amount", "requested_amount_minor", currency, requested);
        }
        self.put_money("amount", "amount_minor", currency, outcome.amount);
        self.put_sides(payment.debit.0, payment.credit.0);
        let flags = names_of(&PaymentFlags::NAMED, |flag| payment.flags.has(flag));
        self.put_flags(flags);
        if payment.timeout_s != 0 {
            self.put("timeout_seconds", u64::from(payment.timeout_s));
        }
        if let Some(time) = payment.event_time {
            self.put("event_time", time_text(time));
        }
        if verdict.decision != RiskDecision::NotJudged {
            self.put("risk_decision", verdict.decision.name());
        }
        if !verdict.rule.as_str().is_empty() {
            self.put("risk_reason", verdict.rule.as_str());
        }
        if !evidence.is_empty() {
            self.put_evidence(evidence);
        }
        if let Some([debit, credit]) = balances {
            self.put_balances(&DEBIT_BALANCES, debit);
            self.put_balances(&CREDIT_BALANCES, credit);
        }
    }

    /// An expiry's record names no ledger, so its amount is in minor units only.
    fn put_expiry(&mut self, event: &HoldExpired) {
        self.put("event", "HOLD_EXPIRED");
        self.put_id("payment_id", event.payment.0);
        self.put("amount_minor", event.released.0.to_string());
        self.put_sides(event.debit.0, event.credit.0);
        self.put_balances(&DEBIT_BALANCES, &event.balances[0]);
        self.put_balances(&CREDIT_BALANCES, &event.balances[1]);
    }

    fn put_account(&mut self, event: &AccountEvent) {
        let account = &event.account;
        let spec = &account.spec;
        self.put("event", "ACCOUNT");
        self.put_id("account_id", spec.id.0);
        if spec.owner != OwnerId::ZERO {
            self.put_id("owner_id", spec.owner.0);
        }
        self.put("tenant", u64::from(spec.tenant));
        self.put("change", change_name(event.change));
        self.put("state", state_name(account.state));
        let currency = self.put_ledger(spec.ledger);
        self.put("code", u64::from(spec.code.0));
        self.put_money("credit_limit", "credit_limit_minor", currency, spec.credit_limit);
        self.put_flags(names_of(&ACCOUNT_FLAGS, |flag| spec.flags.has(flag)));
        self.put_balances(&ACCOUNT_BALANCES, &account.balances);
    }

    pub(super) fn put_id(&mut self, name: &'static str, id: u128) {
        self.put(name, Uuid::from_u128(id).to_string());
    }

    fn put_sides(&mut self, debit: u128, credit: u128) {
        for (name, id) in [("debit_account_id", debit), ("credit_account_id", credit)] {
            if id != 0 {
                self.put_id(name, id);
            }
        }
    }

    fn put_flags(&mut self, names: Vec<&'static str>) {
        if !names.is_empty() {
            self.put("flags", Cell::Names(names));
        }
    }

    /// A refused payment may have no ledger, or one that is no currency.
    fn put_ledger(&mut self, ledger: LedgerId) -> Option<Currency> {
        if ledger == LedgerId(0) {
            return None;
        }
        self.put("ledger", u64::from(ledger.0));
        let currency = Currency::of_ledger(ledger)?;
        self.put("currency", currency.code);
        Some(currency)
    }

    fn put_money(
        &mut self,
        decimal: &'static str,
        minor: &'static str,
        currency: Option<Currency>,
        amount: Amount,
    ) {
        if let Some(currency) = currency {
            self.put(decimal, currency.format(amount));
        }
        self.put(minor, amount.0.to_string());
    }

    fn put_balances(&mut self, names: &[&'static str; 4], balances: &Balances) {
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } = balances;
        let numbers = [debits_pending, debits_posted, credits_pending, credits_posted];
        for (name, number) in names.iter().zip(numbers) {
            self.put(name, number.to_string());
        }
    }
}

const DEBIT_BALANCES: [&str; 4] = [
    "debit_account_debits_pending_minor",
    "debit_account_debits_posted_minor",
    "debit_account_credits_pending_minor",
    "debit_account_credits_posted_minor",
];

const CREDIT_BALANCES: [&str; 4] = [
    "credit_account_debits_pending_minor",
    "credit_account_debits_posted_minor",
    "credit_account_credits_pending_minor",
    "credit_account_credits_posted_minor",
];

const ACCOUNT_BALANCES: [&str; 4] = [
    "account_debits_pending_minor",
    "account_debits_posted_minor",
    "account_credits_pending_minor",
    "account_credits_posted_minor",
];

const ACCOUNT_FLAGS: [(AccountFlags, &str); 3] = [
    (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, "DEBITS_MUST_NOT_EXCEED_CREDITS"),
    (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, "CREDITS_MUST_NOT_EXCEED_DEBITS"),
    (AccountFlags::KEEPS_HISTORY, "KEEPS_HISTORY"),
];

fn names_of<F: Copy>(all: &[(F, &'static str)], is_set: impl Fn(F) -> bool) -> Vec<&'static str> {
    all.iter().filter(|(flag, _)| is_set(*flag)).map(|(_, name)| *name).collect()
}

/// RFC 3339 in UTC with nanoseconds.
pub(crate) fn time_text(time: Timestamp) -> String {
    let since_epoch = jiff::Timestamp::from_nanosecond(i128::from(time.0))
        .expect("64 bits of nanoseconds end in the year 2554");
    format!("{since_epoch:.9}")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Pay => "PAY",
        Operation::Authorize => "AUTHORIZE",
        Operation::Capture => "CAPTURE",
        Operation::Void => "VOID",
        Operation::Refund => "REFUND",
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Settled => "SETTLED",
        Status::Held => "HELD",
        Status::Voided => "VOIDED",
        Status::Rejected(_) => "REJECTED",
    }
}

fn state_name(state: AccountState) -> &'static str {
    match state {
        AccountState::Open => "OPEN",
        AccountState::Frozen => "FROZEN",
        AccountState::Closed => "CLOSED",
    }
}

fn change_name(change: Option<AccountChange>) -> &'static str {
    match change {
        None => "OPENED",
        Some(AccountChange::Freeze) => "FROZEN",
        Some(AccountChange::Reopen) => "REOPENED",
        Some(AccountChange::Close) => "CLOSED",
        Some(AccountChange::SetCreditLimit(_)) => "CREDIT_LIMIT_SET",
    }
}
