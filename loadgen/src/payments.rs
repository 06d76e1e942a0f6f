//! Payments to send: consumes a seed, produces requests of payments between known accounts.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millrace_protos::{Payment, v1};
use prost::Message as _;

/// Ledger that all accounts are on: CZK.
pub(crate) const LEDGER: u32 = 203;

/// The account with this number. Spread over the id space by a fixed mixing, as ids of real
/// accounts are.
pub(crate) fn account_id(number: u32) -> u128 {
    let high = mix(u64::from(number) + 1);
    u128::from(high) << 64 | u128::from(mix(high))
}

/// Makes payments, each with an id of its own.
#[derive(Clone, Debug)]
pub(crate) struct PaymentSource {
    state: u64,
    accounts: u32,
    random_ids: bool,
    /// Tells this source's ids from those of others: client and run.
    tag: u64,
    counter: u64,
    context: Bytes,
}

impl PaymentSource {
    pub(crate) fn new(args: &crate::RunArgs, run: u64, client: u32) -> Self {
        let tag = mix(run ^ mix(u64::from(client)));
        let context = v1::PaymentContext {
            channel: v1::Channel::CardPresent as i32,
            device_id: "terminal-0042".to_owned(),
            country_code: "CZ".to_owned(),
            merchant_category_code: "5411".to_owned(),
            ..v1::PaymentContext::default()
        };
        Self {
            state: tag,
            accounts: args.accounts,
            random_ids: args.random_ids,
            tag,
            counter: 0,
            context: if args.context { context.encode_to_vec().into() } else { Bytes::new() },
        }
    }

    /// The payments of one request.
    pub(crate) fn batch(&mut self, count: u32) -> Vec<Payment> {
        let now_ms = unix_ms();
        (0..count).map(|_| self.payment(now_ms)).collect()
    }

    fn payment(&mut self, now_ms: u64) -> Payment {
        let number = self.next_random();
        let debit = (number >> 32) as u32 % self.accounts;
        let credit = (debit + 1 + number as u32 % (self.accounts - 1)) % self.accounts;
        Payment {
            payment_id: self.next_id(now_ms),
            debit_account_id: account_id(debit),
            credit_account_id: account_id(credit),
            amount_minor: Some(1 + number % 10_000),
            ledger: LEDGER,
            code: 1,
            context: self.context.clone(),
            ..Payment::default()
        }
    }

    fn next_id(&mut self, now_ms: u64) -> u128 {
        if self.random_ids {
            return u128::from(self.next_random()) << 64 | u128::from(self.next_random());
        }
        // UUIDv7: 48 bits of milliseconds, version, then bits that tell ids of one millisecond
        // apart: here 32 of the source's tag and 30 of its counter.
        self.counter += 1;
        let high = now_ms << 16 | 0x7000 | self.counter >> 30 & 0xfff;
        let low = 1 << 63 | (self.tag & 0xffff_ffff) << 30 | self.counter & 0x3fff_ffff;
        u128::from(high) << 64 | u128::from(low)
    }

    fn next_random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as u64
}
