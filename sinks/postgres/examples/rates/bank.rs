//! A bank that makes payments up: the same ones for the same numbers.

use bytes::Bytes;
use millrace_engine::feed::{FeedBatch, FeedEvent};
use millrace_ledger::{
    Account, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances,
    Code, Event, EventSeq, LedgerId, Operation, Outcome, OwnerId, Payment, PaymentEvent,
    PaymentFlags, PaymentId, Status, Timestamp, Verdict,
};
use millrace_risk::evidence::Evidence;

const TIME_NS: u64 = 1_795_163_400_000_000_000;
/// Between the times of two payments.
const STEP_NS: u64 = 10_000;

pub(crate) struct Bank {
    balances: Vec<Balances>,
    seq: u64,
    random: u64,
    /// What risk has to say of each payment.
    evidence: Bytes,
    /// Some of the payments.
    pub(crate) ids: Vec<PaymentId>,
}

impl Bank {
    pub(crate) fn new(accounts: u64) -> Self {
        let balances = vec![Balances::default(); accounts as usize];
        Self { balances, seq: 0, random: 7, evidence: Bytes::new(), ids: Vec::new() }
    }

    /// With payments that have a score.
    pub(crate) fn scored(accounts: u64) -> Self {
        let evidence = Evidence { policy: 1, score: Some(0.25), ..Evidence::default() };
        let mut bytes = Vec::new();
        evidence.put(&mut bytes);
        Self { evidence: bytes.into(), ..Self::new(accounts) }
    }

    pub(crate) fn openings(&mut self) -> FeedBatch {
        let events = (0..self.balances.len()).map(|index| {
            self.seq += 1;
            let spec = AccountSpec {
                id: id_of(index),
                ledger: LedgerId(203),
                code: Code(1),
                flags: AccountFlags::NONE,
                owner: OwnerId(index as u128 + 1),
                ..AccountSpec::default()
            };
            let account =
                Account { spec, state: AccountState::Open, balances: Balances::default() };
            let seq = EventSeq(self.seq);
            let event = Event::Account(AccountEvent { seq, change: None, account });
            FeedEvent { event, context: Bytes::new(), evidence: Bytes::new() }
        });
        FeedBatch { time: Timestamp(TIME_NS), events: events.collect() }
    }

    pub(crate) fn payments(&mut self, count: u64) -> FeedBatch {
        let time = Timestamp(TIME_NS + self.seq * STEP_NS);
        // Every payment has a reference of its own.
        let context = |seq: u64| {
            let head = b"\x08\x02\x22\x02CZ\x2a\x045411\x32\x14".as_slice();
            Bytes::from([head, format!("receipt {seq:012}").as_bytes()].concat())
        };
        let events = (0..count)
            .map(|_| FeedEvent {
                event: Event::Payment(self.pay(time)),
                context: context(self.seq),
                evidence: self.evidence.clone(),
            })
            .collect();
        FeedBatch { time, events }
    }

    fn pay(&mut self, time: Timestamp) -> PaymentEvent {
        self.seq += 1;
        let accounts = self.balances.len() as u64;
        let debit = (self.draw() % accounts) as usize;
        let credit = (debit + 1 + (self.draw() % (accounts - 1)) as usize) % accounts as usize;
        let minor = u128::from(self.draw() % 1_000_000 + 1);
        self.balances[debit].debits_posted += minor;
        self.balances[credit].credits_posted += minor;
        // A UUIDv7: milliseconds, then random bits.
        let id = u128::from(time.0 / 1_000_000) << 80 | 7 << 76 | u128::from(self.draw());
        if self.seq.is_multiple_of(97) {
            self.ids.push(PaymentId(id));
        }
        PaymentEvent {
            seq: EventSeq(self.seq),
            payment: Payment {
                id: PaymentId(id),
                debit: id_of(debit),
                credit: id_of(credit),
                amount: Amount(minor),
                ledger: LedgerId(203),
                code: Code(1),
                operation: Operation::Pay,
                flags: PaymentFlags::NONE,
                ..Payment::default()
            },
            outcome: Outcome { status: Status::Settled, amount: Amount(minor) },
            verdict: Verdict::APPROVE,
            balances: Some([self.balances[debit], self.balances[credit]]),
        }
    }

    /// SplitMix64.
    pub(crate) fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}

/// Spread over the whole range, as account ids are.
fn id_of(index: usize) -> AccountId {
    let spread = (index as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    AccountId(spread)
}
