//! Attempts as features and rules see them: consumes a payment with its encoded context, produces
//! keys of entities, an amount in major units, a time, and texts.

use std::net::IpAddr;

use millrace_ledger::{Amount, Currency, LedgerId, Payment, Timestamp};
use prost::encoding::{self, DecodeContext, WireType};

use super::compiled::TEXTS;
use crate::features::{Catalogue, EntityKey, EntitySource, KeyMaker};

/// Channels by number, as the API names them.
const CHANNELS: [&str; 8] = [
    "",
    "card_present",
    "card_not_present",
    "transfer",
    "standing_order",
    "direct_debit",
    "cash",
    "internal",
];

/// What a context says. Texts are empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Context<'a> {
    pub(super) channel: &'a str,
    pub(super) device: &'a str,
    pub(super) ip: &'a str,
    pub(super) country: &'a str,
    pub(super) mcc: &'a str,
}

impl<'a> Context<'a> {
    /// Reads a context that the front door has checked. What can't be read says nothing.
    pub(super) fn read(mut rest: &'a [u8]) -> Self {
        let mut context = Self::default();
        while !rest.is_empty() {
            let Ok((tag, wire_type)) = encoding::decode_key(&mut rest) else { break };
            match (tag, wire_type) {
                (1, WireType::Varint) => {
                    let channel = encoding::decode_varint(&mut rest).unwrap_or_default();
                    let channel = CHANNELS.get(usize::try_from(channel).unwrap_or_default());
                    context.channel = channel.copied().unwrap_or_default();
                }
                (2..=5, WireType::LengthDelimited) => {
                    let len = encoding::decode_varint(&mut rest).unwrap_or(u64::MAX);
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    let Some((text, after)) = rest.split_at_checked(len) else { break };
                    rest = after;
                    let text = std::str::from_utf8(text).unwrap_or_default();
                    match tag {
                        2 => context.device = text,
                        3 => context.ip = text,
                        4 => context.country = text,
                        _ => context.mcc = text,
                    }
                }
                _ => {
                    let skipped = DecodeContext::default();
                    if encoding::skip_field(wire_type, tag, &mut rest, skipped).is_err() {
                        break;
                    }
                }
            }
        }
        context
    }

    fn by_key(&self, key: &str) -> &'a str {
        match key {
            "device" => self.device,
            "ip" => self.ip,
            "country" => self.country,
            "mcc" => self.mcc,
            "channel" => self.channel,
            _ => "",
        }
    }
}

/// Context keys that a payment can have.
pub(super) const CONTEXT_KEYS: [&str; 5] = ["device", "ip", "country", "mcc", "channel"];

/// Makes attempts for one catalogue.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    entities: Vec<(EntitySource, KeyMaker)>,
    /// Whether any entity is of the context.
    needs_context: bool,
    /// Of the currency that came last: most payments are of one.
    scale: (LedgerId, f64),
}

impl Reader {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        let entities = catalogue.entities().iter();
        let entities: Vec<_> =
            entities.map(|it| (it.source.clone(), KeyMaker::new(&it.name))).collect();
        let of_context =
            |(source, _): &(EntitySource, _)| matches!(source, EntitySource::Context(_));
        let needs_context = entities.iter().any(of_context);
        Self { entities, needs_context, scale: (LedgerId(0), 1.0) }
    }

    pub(super) fn entities(&self) -> usize {
        self.entities.len()
    }

    pub(super) fn needs_context(&self) -> bool {
        self.needs_context
    }

    /// Appends the keys of a payment's entities, in the order of the catalogue.
    pub(super) fn put_keys(
        &self,
        payer: u128,
        payee: u128,
        context: &Context<'_>,
        keys: &mut Vec<EntityKey>,
    ) {
        let first = keys.len();
        for (source, maker) in &self.entities {
            let key = match source {
                EntitySource::Payer => maker.key(&payer.to_be_bytes()),
                EntitySource::Payee => maker.key(&payee.to_be_bytes()),
                EntitySource::Pair(one, other) => {
                    EntityKey::pair(keys[first + one], keys[first + other])
                }
                EntitySource::Context(key) => match context.by_key(key) {
                    "" => EntityKey::ABSENT,
                    text => maker.key(text.as_bytes()),
                },
            };
            keys.push(key);
        }
    }

    /// Minor units as major ones. An upper bound that names no amount is none.
    pub(super) fn amount(&mut self, ledger: LedgerId, amount: Amount) -> f64 {
        if amount == Amount::ALL {
            return f64::NAN;
        }
        if self.scale.0 != ledger {
            let exponent = Currency::of_ledger(ledger).map_or(0, |currency| currency.exponent);
            self.scale = (ledger, 10_f64.powi(i32::from(exponent)));
        }
        amount.0 as f64 / self.scale.1
    }
}

/// When a payment counts: at its event time, but never ahead of its batch, or one wrong clock would
/// empty its entities' windows.
pub(super) fn time_of(payment: &Payment, at: Timestamp) -> Timestamp {
    payment.event_time.map_or(at, |event_time| event_time.min(at))
}

/// The texts of a payment, in the order of [`TEXTS`].
pub(super) fn texts<'a>(
    payer: &'a str,
    payee: &'a str,
    context: &Context<'a>,
) -> [Option<&'a str>; TEXTS.len()] {
    let there = |text: &'a str| (!text.is_empty()).then_some(text);
    let ip = there(context.ip).filter(|ip| ip.parse::<IpAddr>().is_ok());
    [
        Some(payer),
        Some(payee),
        there(context.device),
        ip,
        there(context.country),
        there(context.mcc),
        there(context.channel),
    ]
}
