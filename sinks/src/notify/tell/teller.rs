//! Composes notifications: consumes what a party may be told, produces rows of the outbox, one for
//! each channel by which the owner is to be told and can be reached.

use millrace_ledger::{AccountId, Amount, EventSeq, Timestamp};
use uuid::Uuid;

use super::{
    super::{
        Channel, DeliveryState, EventKind, NotifyConfig,
        outbox::{Details, Row},
        owners::{Owner, Owners},
        template::Facts,
    },
    choice::{Choices, Question},
    holders::Holder,
    locales::Locales,
    story::Telling,
    words,
};
use crate::{SinkError, text::rfc3339};

const NS_PER_S: u64 = 1_000_000_000;

/// What composing needs: rules, templates and owners.
pub(in super::super) struct Teller {
    choices: Choices,
    pub(in super::super) locales: Locales,
    pub(in super::super) owners: Owners,
}

impl Teller {
    /// Checks rules and templates.
    pub(in super::super) fn open(
        config: &NotifyConfig,
        is_on: impl Fn(Channel) -> bool,
        owners: Owners,
    ) -> Result<Self, SinkError> {
        let choices = Choices::compile(&config.rules, is_on)?;
        let dir = Some(config.templates.as_path()).filter(|dir| !dir.as_os_str().is_empty());
        let locales = Locales::open(dir, &config.locale, &config.rules)?;
        Ok(Self { choices, locales, owners })
    }

    /// The notifications that a party gets.
    pub(in super::super) fn compose(
        &self,
        telling: &Telling,
        holder: Holder,
    ) -> Result<Vec<Row>, SinkError> {
        let owner = self.owners.get(holder.owner.0)?;
        let occasion = &telling.occasion;
        let (account, counterparty) = occasion.accounts(telling.role);
        let low = match telling.available {
            None => None,
            Some([before, after]) => {
                let threshold = self.owners.low_balance(&owner, holder.ledger);
                let Some(threshold) =
                    threshold.filter(|threshold| before >= threshold.0 && after < threshold.0)
                else {
                    return Ok(Vec::new());
                };
                Some((Amount(after), threshold))
            }
        };
        let reason_code = occasion.reason.map(|reason| reason.upper_snake_name());
        let reason_code = reason_code.unwrap_or_default();
        let question = |kind| Question {
            kind,
            role: telling.role,
            ledger: holder.ledger,
            amount: occasion.amount,
            account,
            owner: holder.owner.0,
            reason: &reason_code,
        };
        let choice = telling.kinds.iter().find_map(|kind| {
            self.choices.find(&question(*kind)).map(|(rule, channels)| (*kind, rule, channels))
        });
        let Some((kind, rule, channels)) = choice else { return Ok(Vec::new()) };
        if is_too_small(&owner, kind, holder, occasion.amount) {
            return Ok(Vec::new());
        }
        let reached: Vec<_> = channels
            .iter()
            .filter(|channel| !owner.preferences.mutes(kind, **channel))
            .filter_map(|channel| Some((*channel, owner.address(*channel)?)))
            .collect();
        if reached.is_empty() {
            return Ok(Vec::new());
        }
        let decimal = |amount| words::decimal(amount, holder.ledger);
        let details = Details {
            operation: occasion.operation.to_owned(),
            counterparty: named(counterparty.0),
            original: named(occasion.original.0),
            amount: if occasion.payment.0 == 0 { String::new() } else { decimal(occasion.amount) },
            currency: words::currency(holder.ledger),
            reason_code,
            balance: low.map(|(after, _)| decimal(after)).unwrap_or_default(),
            expires: telling.expires.map(rfc3339).unwrap_or_default(),
        };
        let threshold = low.map(|(_, threshold)| decimal(threshold)).unwrap_or_default();
        let ids = Ids { account, payment: occasion.payment.0, owner: holder.owner.0 };
        let saying = Saying {
            kind,
            role: telling.role.name(),
            seq: occasion.seq,
            time: occasion.time,
            expires: telling.expires,
            threshold: &threshold,
            owner: &owner,
            ids,
            details: &details,
        };
        let wants_html = reached.iter().any(|(channel, _)| *channel == Channel::Email);
        let (message, html) = saying.with_facts(|facts| {
            self.locales.message(rule, &owner.locale, kind, facts, wants_html)
        })?;
        let digest_s = if kind == EventKind::Security { 0 } else { owner.digest_s };
        let row = |(channel, address): (Channel, &str)| Row {
            seq: occasion.seq.0,
            kind,
            role: telling.role,
            owner: Uuid::from_u128(holder.owner.0),
            account: Uuid::from_u128(account.0),
            payment: Some(occasion.payment.0).filter(|id| *id != 0).map(Uuid::from_u128),
            traceparent: telling.trace.map(|trace| trace.to_string()),
            channel,
            recipient: address.to_owned(),
            locale: owner.locale.clone(),
            subject: message.subject.clone(),
            body: message.body.clone(),
            html: html.clone().filter(|_| channel == Channel::Email),
            details: details.clone(),
            digest_s: if channel.is_sending() { digest_s } else { 0 },
            created_ns: occasion.time.0,
            due_ns: end_of_window(occasion.time, digest_s).0,
            state: match channel {
                Channel::InApp => DeliveryState::Delivered,
                _ => DeliveryState::Pending,
            },
            attempts: 0,
            resends: 0,
            bundle: Vec::new(),
            bundled_by: None,
            sent_ns: (channel == Channel::InApp).then_some(occasion.time.0),
            read_ns: None,
        };
        Ok(reached.into_iter().map(row).collect())
    }
}

/// Whether the owner does not care about so little money.
fn is_too_small(owner: &Owner, kind: EventKind, holder: Holder, amount: Amount) -> bool {
    let counts = !matches!(kind, EventKind::Security | EventKind::LowBalance);
    counts && amount < owner.preferences.least(holder.ledger)
}

/// The end of the digest's window that the time is in. All that happens in one window is due at one
/// time; a window of 0 s ends at once.
fn end_of_window(time: Timestamp, digest_s: u32) -> Timestamp {
    let window_ns = u64::from(digest_s) * NS_PER_S;
    match time.0.checked_div(window_ns) {
        None => time,
        Some(window) => Timestamp((window + 1).saturating_mul(window_ns)),
    }
}

struct Ids {
    account: AccountId,
    payment: u128,
    owner: u128,
}

/// What a message says, before it is in words.
struct Saying<'a> {
    kind: EventKind,
    role: &'a str,
    seq: EventSeq,
    time: Timestamp,
    expires: Option<Timestamp>,
    threshold: &'a str,
    owner: &'a Owner,
    ids: Ids,
    details: &'a Details,
}

impl Saying<'_> {
    /// Puts it in the owner's words, for a template.
    fn with_facts<T>(&self, render: impl FnOnce(&Facts<'_>) -> T) -> T {
        let Self { owner, details, .. } = self;
        let number = |decimal: &str| match decimal {
            "" => String::new(),
            decimal => words::number(decimal, &owner.locale),
        };
        let time = |at| words::time(at, &owner.time_zone, &owner.locale);
        render(&Facts {
            kind: self.kind.name(),
            role: self.role,
            account: &self.ids.account.to_string(),
            owner: &named(self.ids.owner),
            counterparty: &details.counterparty,
            payment: &named(self.ids.payment),
            original: &details.original,
            operation: &details.operation,
            amount: &number(&details.amount),
            currency: &details.currency,
            reason: &details.reason_code.to_lowercase().replace('_', " "),
            reason_code: &details.reason_code,
            seq: self.seq.0,
            time: &time(self.time),
            name: &owner.recipient.name,
            locale: &owner.locale,
            balance: &number(&details.balance),
            threshold: &number(self.threshold),
            expires: &self.expires.map(time).unwrap_or_default(),
        })
    }
}

/// An absent id is no text.
fn named(id: u128) -> String {
    if id == 0 { String::new() } else { AccountId(id).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_in_one_window_is_due_at_one_time() {
        for (time_s, window_s, due_s) in
            [(7_201, 0, 7_201), (7_200, 3_600, 10_800), (10_799, 3_600, 10_800), (0, 60, 60)]
        {
            let due = end_of_window(Timestamp(time_s * NS_PER_S), window_s);
            assert_eq!(due, Timestamp(due_s * NS_PER_S), "{time_s} s in windows of {window_s} s");
        }
    }
}
