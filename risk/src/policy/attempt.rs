//! Attempts as features and rules see them: consumes a payment with its encoded context, produces
//! keys of entities, an amount in major units, a time, and texts.

use std::net::IpAddr;

use millrace_ledger::{Amount, Contexts, Currency, LedgerId, Payment, Timestamp};
use prost::encoding::{self, DecodeContext, WireType};

use super::compiled::TEXTS;
use crate::features::{Catalogue, EntityKey, EntitySource, KeyMaker};

/// Channels by number, as the API names them.
pub(super) const CHANNELS: [&str; 8] = [
    "",
    "card_present",
    "card_not_present",
    "transfer",
    "standing_order",
    "direct_debit",
    "cash",
    "internal",
];

/// What rules and features call a channel, by its number in the API; empty for none and for unknown ones.
#[must_use]
pub fn channel_name(number: u64) -> &'static str {
    let name = usize::try_from(number).ok().and_then(|number| CHANNELS.get(number));
    name.copied().unwrap_or_default()
}

/// What a context says. Texts are empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Context<'a> {
    pub(super) channel: &'a str,
    pub(super) device: &'a str,
    pub(super) ip: &'a str,
    pub(super) country: &'a str,
    pub(super) mcc: &'a str,
    /// From the first value of the upstream's own on, encoded.
    others: &'a [u8],
}

/// Field of a context that holds the upstream's own values, each of which has a key and a value.
const OTHER: u32 = 8;
const OTHER_KEY: u32 = 1;
const OTHER_VALUE: u32 = 2;

impl<'a> Context<'a> {
    /// Reads a context that the front door has checked. What can't be read says nothing.
    pub(super) fn read(mut rest: &'a [u8]) -> Self {
        let mut context = Self::default();
        while !rest.is_empty() {
            let here = rest;
            let Ok((tag, wire_type)) = encoding::decode_key(&mut rest) else { break };
            match (tag, wire_type) {
                (1, WireType::Varint) => {
                    let channel = encoding::decode_varint(&mut rest).unwrap_or_default();
                    context.channel = channel_name(channel);
                }
                (2..=5, WireType::LengthDelimited) => {
                    let Some(text) = take(&mut rest) else { break };
                    let text = std::str::from_utf8(text).unwrap_or_default();
                    match tag {
                        2 => context.device = text,
                        3 => context.ip = text,
                        4 => context.country = text,
                        _ => context.mcc = text,
                    }
                }
                _ => {
                    if tag == OTHER && context.others.is_empty() {
                        context.others = here;
                    }
                    let skipped = DecodeContext::default();
                    if encoding::skip_field(wire_type, tag, &mut rest, skipped).is_err() {
                        break;
                    }
                }
            }
        }
        context
    }

    pub(super) fn by_key(&self, key: &str) -> &'a str {
        match key {
            "device" => self.device,
            "ip" => self.ip,
            "country" => self.country,
            "mcc" => self.mcc,
            "channel" => self.channel,
            key => self.other(key).unwrap_or_default(),
        }
    }

    /// The upstream's own value of this key.
    fn other(&self, key: &str) -> Option<&'a str> {
        let mut rest = self.others;
        while !rest.is_empty() {
            let (tag, wire_type) = encoding::decode_key(&mut rest).ok()?;
            if (tag, wire_type) != (OTHER, WireType::LengthDelimited) {
                encoding::skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
                continue;
            }
            let (mut own, mut value, mut pair) = ("", "", take(&mut rest)?);
            while !pair.is_empty() {
                match encoding::decode_key(&mut pair).ok()? {
                    (OTHER_KEY, WireType::LengthDelimited) => own = text(&mut pair)?,
                    (OTHER_VALUE, WireType::LengthDelimited) => value = text(&mut pair)?,
                    (tag, wire_type) => {
                        let skipped = DecodeContext::default();
                        encoding::skip_field(wire_type, tag, &mut pair, skipped).ok()?;
                    }
                }
            }
            if own == key {
                return Some(value);
            }
        }
        None
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(encoding::decode_varint(rest).ok()?).ok()?;
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take(rest)?).ok()
}

/// Context keys that each payment can have; all others are the upstream's own.
pub(super) const CONTEXT_KEYS: [&str; 5] = ["device", "ip", "country", "mcc", "channel"];

/// Makes attempts for one catalogue.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    entities: Vec<(EntitySource, KeyMaker)>,
    /// Whether any entity is of the context.
    needs_context: bool,
    /// Kept for their memory.
    ids: Vec<u128>,
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
        Self { entities, needs_context, ids: Vec::new(), scale: (LedgerId(0), 1.0) }
    }

    pub(super) fn entities(&self) -> usize {
        self.entities.len()
    }

    /// Makes the keys of the entities of these payments of a request: as many for each, in the order of the
    /// catalogue. Those of accounts are made side by side.
    pub(super) fn keys_of(
        &mut self,
        payments: &[Payment],
        positions: &[u32],
        contexts: &dyn Contexts,
        keys: &mut Vec<EntityKey>,
    ) {
        let Self { entities, needs_context, ids, .. } = self;
        let every = entities.len();
        keys.clear();
        keys.resize(positions.len() * every, EntityKey::ABSENT);
        for (place, (source, maker)) in entities.iter().enumerate() {
            let id_of = match source {
                EntitySource::Payer => |payment: &Payment| payment.debit.0,
                EntitySource::Payee => |payment: &Payment| payment.credit.0,
                EntitySource::Pair(..) | EntitySource::Context(_) => continue,
            };
            ids.clear();
            ids.extend(positions.iter().map(|position| id_of(&payments[*position as usize])));
            let from = place.min(keys.len());
            maker.put_keys_of_numbers(ids, &mut keys[from..], every);
        }
        let is_account =
            |source: &EntitySource| matches!(source, EntitySource::Payer | EntitySource::Payee);
        if entities.iter().all(|(source, _)| is_account(source)) {
            return;
        }
        for (position, keys) in positions.iter().zip(keys.chunks_exact_mut(every)) {
            let context = match *needs_context {
                true => Context::read(contexts.context(*position as usize)),
                false => Context::default(),
            };
            for (place, (source, maker)) in entities.iter().enumerate() {
                keys[place] = match source {
                    EntitySource::Payer | EntitySource::Payee => continue,
                    EntitySource::Pair(one, other) => EntityKey::pair(keys[*one], keys[*other]),
                    EntitySource::Context(key) => match context.by_key(key) {
                        "" => EntityKey::ABSENT,
                        text => maker.key(text.as_bytes()),
                    },
                };
            }
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
        // The same number, for which most take one instruction.
        let minor = u64::try_from(amount.0).map_or(amount.0 as f64, |minor| minor as f64);
        minor / self.scale.1
    }
}

/// The context of one payment that is alone.
pub(super) struct OneContext<'a>(pub(super) &'a [u8]);

impl Contexts for OneContext<'_> {
    fn context(&self, _: usize) -> &[u8] {
        self.0
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Catalogue;

    fn field(tag: u8, text: &[u8]) -> Vec<u8> {
        let len = u8::try_from(text.len()).expect("a short text");
        [&[tag << 3 | 2, len][..], text].concat()
    }

    /// As `millrace.v1.ContextValue`.
    fn other(key: &str, value: &str) -> Vec<u8> {
        field(8, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    }

    #[test]
    fn values_of_the_upstreams_own_are_found_wherever_they_lie() {
        let wallet = other("wallet", "w-1");
        let device = field(2, b"phone");
        for (encoded, wallet, scheme) in [
            (vec![], "", ""),
            (device.clone(), "", ""),
            (wallet.clone(), "w-1", ""),
            ([device.clone(), wallet.clone(), other("scheme", "visa")].concat(), "w-1", "visa"),
            ([other("scheme", ""), field(4, b"CZ"), wallet.clone()].concat(), "w-1", ""),
            // The value before the key, and a later version's fields.
            (field(8, &[field(2, b"w-2"), field(1, b"wallet")].concat()), "w-2", ""),
            ([field(15, b"new"), wallet.clone(), field(15, b"new")].concat(), "w-1", ""),
            (
                field(8, &[field(1, b"wallet"), field(9, b"new"), field(2, b"w-3")].concat()),
                "w-3",
                "",
            ),
            // What can't be read says nothing.
            (field(8, b"\x0a\x09wal"), "", ""),
            ([wallet.clone(), vec![8 << 3 | 2, 99]].concat(), "w-1", ""),
            (field(8, &[field(1, b"wallet"), field(2, b"\xff")].concat()), "", ""),
        ] {
            let context = Context::read(&encoded);
            assert_eq!(context.by_key("wallet"), wallet, "{encoded:?}");
            assert_eq!(context.by_key("scheme"), scheme, "{encoded:?}");
        }
        let both = [device, wallet].concat();
        assert_eq!(Context::read(&both).device, "phone");
    }

    #[test]
    fn they_are_entities_like_any_other_key() {
        let catalogue = Catalogue::parse(
            "version = 1\n[[entity]]\nname = \"wallet\"\n[[entity]]\nname = \"device\"\n\
             [[feature]]\nname = \"wallet.age\"\nentity = \"wallet\"\nstatistic = \"age\"\n",
        );
        let mut reader = Reader::new(&catalogue.expect("right"));
        let mut keys = |encoded: &[u8]| {
            let mut keys = Vec::new();
            reader.keys_of(&[Payment::default()], &[0], &OneContext(encoded), &mut keys);
            keys
        };
        assert_eq!(
            keys(&other("wallet", "w-1")),
            [EntityKey::of("wallet", b"w-1"), EntityKey::ABSENT]
        );
        assert_eq!(keys(&other("purse", "w-1")), [EntityKey::ABSENT; 2]);
    }

    #[test]
    fn keys_of_many_are_those_of_each() {
        let catalogue = Catalogue::parse(
            "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"device\"\n\
             [[entity]]\nname = \"payee\"\n[[entity]]\nname = \"both\"\nof = [\"payer\", \"payee\"]\n\
             [[entity]]\nname = \"theirs\"\nof = [\"payer\", \"device\"]\n\
             [[feature]]\nname = \"payer.age\"\nentity = \"payer\"\nstatistic = \"age\"\n",
        );
        let mut reader = Reader::new(&catalogue.expect("right"));
        let account = |n: u32| millrace_ledger::AccountId(u128::from(n) << 77 | 0x5eed);
        let pay = |n| Payment { debit: account(n), credit: account(n + 7), ..Payment::default() };
        let payments: Vec<_> = (0..90).map(pay).collect();
        let positions: Vec<u32> = (0..90).filter(|n| n % 3 != 1).collect();
        for device in ["", "phone"] {
            let context = if device.is_empty() { Vec::new() } else { field(2, device.as_bytes()) };
            let mut keys = vec![EntityKey(3); 7];
            reader.keys_of(&payments, &positions, &OneContext(&context), &mut keys);
            let key = |kind: &str, id: &[u8]| EntityKey::of(kind, id);
            let expected = positions.iter().flat_map(|position| {
                let Payment { debit, credit, .. } = &payments[*position as usize];
                let payer = key("payer", &debit.0.to_be_bytes());
                let payee = key("payee", &credit.0.to_be_bytes());
                let absent = device.is_empty();
                let device =
                    if absent { EntityKey::ABSENT } else { key("device", device.as_bytes()) };
                [
                    payer,
                    device,
                    payee,
                    EntityKey::pair(payer, payee),
                    EntityKey::pair(payer, device),
                ]
            });
            assert_eq!(keys, expected.collect::<Vec<_>>(), "device {device:?}");
        }
    }
}
