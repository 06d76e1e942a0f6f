//! Workloads: consume a seed and a client's number, produce requests of payments between accounts.
//!
//! Guarantees: ids are unique across clients and requests; no payment gives the ledger a reason to
//! refuse it, as long as the accounts are there and a client's requests are carried out in order.

use std::{collections::VecDeque, sync::Arc};

use clap::ValueEnum;
use millrace_ledger::{Amount, Code, Operation, Payment, PaymentId};

use crate::{
    LEDGER, Numbers, account_id,
    alias::{AliasTable, shuffle},
    below,
};

/// Who pays whom, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Between two different accounts, all equally often
    Uniform,
    /// Both sides by Zipf's law with exponent 1
    Zipf,
    /// Every payment to one merchant, from all others equally often
    Hot,
    /// Every second payment to one merchant, on average; the others are uniform
    Hot50,
    /// All between the same two accounts, either way
    Two,
    /// 30 % authorize, 30 % capture what was authorized earlier, the rest pays; uniform accounts
    Holds,
    /// Uniform, with random ids instead of ids ordered by time
    RandomIds,
    /// Uniform, with ids ordered by time, but for 1 in 100,000, which is random
    MixedIds,
}

/// Clients at most: their numbers must fit into the ids.
pub const CLIENTS_MAX: u32 = 1 << CLIENT_BITS;

/// Of so many ids of the workload `mixed-ids`, one is random.
const RANDOM_ID_EVERY: u32 = 100_000;
const CLIENT_BITS: u32 = 12;
const COUNTER_BITS: u32 = 34;
/// A hold's time-out, in seconds: a card hold's usual week, so that none expires within a run.
const HOLD_TIMEOUT_S: u32 = 7 * 86_400;
/// Places after which the operations of the workload `holds` come in the same order again: too
/// many for a processor to learn.
const OPERATIONS_CYCLE: usize = 1_000;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Mix {
    workload: Workload,
    accounts: u32,
    capture_after: u32,
    /// Where accounts are not equally busy.
    zipf: Option<AliasTable>,
    /// The order of operations, where there is more than one.
    operations: Vec<Operation>,
    seed: u64,
}

impl Mix {
    /// Payments between so many accounts, at least two. A hold is captured `capture_after` payments
    /// later at the earliest, counted at its client.
    #[must_use]
    pub fn new(workload: Workload, accounts: u32, capture_after: u32, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let zipf = workload == Workload::Zipf;
        let zipf = zipf.then(|| AliasTable::zipf(accounts, &mut numbers));
        let mut operations = Vec::new();
        if workload == Workload::Holds {
            operations = vec![Operation::Pay; OPERATIONS_CYCLE];
            operations[..OPERATIONS_CYCLE * 3 / 10].fill(Operation::Authorize);
            operations[OPERATIONS_CYCLE * 7 / 10..].fill(Operation::Capture);
            shuffle(&mut operations, &mut numbers);
        }
        Self { workload, accounts, capture_after, zipf, operations, seed }
    }

    /// Numbers of the accounts that pay and receive; two different ones.
    fn sides(&self, numbers: &mut Numbers) -> (u32, u32) {
        match self.workload {
            Workload::Uniform | Workload::Holds | Workload::RandomIds | Workload::MixedIds => {
                self.uniform(numbers)
            }
            Workload::Zipf => self.by_zipf(numbers),
            Workload::Hot => (1 + numbers.draw_below(self.accounts - 1), 0),
            Workload::Hot50 if numbers.draw() >> 63 == 0 => {
                (1 + numbers.draw_below(self.accounts - 1), 0)
            }
            Workload::Hot50 => self.uniform(numbers),
            Workload::Two => {
                let debit = (numbers.draw() >> 63) as u32;
                (debit, 1 - debit)
            }
        }
    }

    fn uniform(&self, numbers: &mut Numbers) -> (u32, u32) {
        let number = numbers.draw();
        let debit = below(self.accounts, (number >> 32) as u32);
        let credit = below(self.accounts - 1, number as u32);
        (debit, credit + u32::from(credit >= debit))
    }

    /// The payer exactly by Zipf's law; the payee is drawn again where it is the payer, which takes
    /// from the busiest accounts: the first of 10,000 receives 9.2 %
    /// of all payments and pays 10.2 %.
    fn by_zipf(&self, numbers: &mut Numbers) -> (u32, u32) {
        let table = self.zipf.as_ref().expect("this workload has a table");
        let debit = table.draw(numbers);
        loop {
            let credit = table.draw(numbers);
            if credit != debit {
                return (debit, credit);
            }
        }
    }
}

/// One client's payments, in order.
#[derive(Debug)]
pub struct Source {
    mix: Arc<Mix>,
    client: u32,
    numbers: Numbers,
    /// Payments made so far.
    made: u64,
    /// Holds not yet captured, and how many payments had been made before each.
    holds: VecDeque<(u64, PaymentId)>,
}

impl Source {
    /// The payments of the client with this number, below [`CLIENTS_MAX`].
    #[must_use]
    pub fn new(mix: Arc<Mix>, client: u32) -> Self {
        assert!(client < CLIENTS_MAX, "ids have room for fewer clients");
        let numbers = Numbers(Numbers(mix.seed ^ u64::from(client + 1) << 32).draw());
        Self { mix, client, numbers, made: 0, holds: VecDeque::new() }
    }

    /// The next payments, made at this time in milliseconds since the Unix epoch.
    pub fn request(&mut self, count: u32, now_ms: u64) -> Vec<Payment> {
        (0..count).map(|_| self.payment(now_ms)).collect()
    }

    fn payment(&mut self, now_ms: u64) -> Payment {
        let number = self.numbers.draw();
        let id = self.id(now_ms, number);
        let place = self.made;
        self.made += 1;
        let operation = match &self.mix.operations[..] {
            [] => Operation::Pay,
            operations => operations[place as usize % operations.len()],
        };
        if operation == Operation::Capture
            && let Some(hold) = self.due_hold(place)
        {
            return capture(id, hold);
        }
        let (debit, credit) = self.mix.sides(&mut self.numbers);
        // Mixed anew each time: with 1,000,000 accounts, a table of their ids costs 60 ns more per
        // payment, because it does not stay in the cache.
        let mut payment = Payment {
            id,
            debit: account_id(debit),
            credit: account_id(credit),
            amount: Amount(1 + u128::from(below(10_000, number as u32))),
            ledger: LEDGER,
            code: Code(1),
            ..Payment::default()
        };
        if operation == Operation::Authorize {
            payment.operation = operation;
            payment.timeout_s = HOLD_TIMEOUT_S;
            self.holds.push_back((place, id));
        }
        payment
    }

    /// The oldest hold, if it is old enough to be captured at this place.
    fn due_hold(&mut self, place: u64) -> Option<PaymentId> {
        let (held_at, _) = self.holds.front()?;
        let is_due = place - held_at >= u64::from(self.mix.capture_after);
        is_due.then(|| self.holds.pop_front().map(|(_, id)| id)).flatten()
    }

    /// A UUIDv7: 48 bits of milliseconds, the version, random bits, then what makes it unique: the
    /// client's counter, and the client.
    fn id(&mut self, now_ms: u64, random: u64) -> PaymentId {
        let is_random = match self.mix.workload {
            Workload::RandomIds => true,
            Workload::MixedIds => self.numbers.draw_below(RANDOM_ID_EVERY) == 0,
            _ => false,
        };
        if is_random {
            return PaymentId(u128::from(random) << 64 | u128::from(self.numbers.draw()));
        }
        let high = now_ms << 16 | 7 << 12 | random >> 52;
        let counter = self.made & ((1 << COUNTER_BITS) - 1);
        let unique = counter << CLIENT_BITS | u64::from(self.client);
        let low = 2 << 62 | (random >> 36 & 0xffff) << 46 | unique;
        PaymentId(u128::from(high) << 64 | u128::from(low))
    }
}

/// Posts all that the hold holds; accounts, currency and code are the hold's.
fn capture(id: PaymentId, hold: PaymentId) -> Payment {
    let (operation, amount) = (Operation::Capture, Amount::ALL);
    Payment { id, original: hold, operation, amount, ..Payment::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use millrace_ledger::{AccountId, ApproveAll, Decision, Timestamp};

    use super::*;

    const ACCOUNTS: u32 = 50;
    const CAPTURE_AFTER: u32 = 200;

    /// So many payments of each of four clients, a request of each in turn.
    fn payments(workload: Workload, per_client: u32) -> Vec<Payment> {
        let mix = Arc::new(Mix::new(workload, ACCOUNTS, CAPTURE_AFTER, 3));
        let mut sources: Vec<Source> =
            (0..4).map(|client| Source::new(mix.clone(), client)).collect();
        let mut payments = Vec::new();
        for round in 0..per_client / 100 {
            for source in &mut sources {
                payments.extend(source.request(100, 1_800_000_000_000 + u64::from(round / 3)));
            }
        }
        payments
    }

    fn share(payments: &[Payment], is: impl Fn(&Payment) -> bool) -> f64 {
        payments.iter().filter(|payment| is(payment)).count() as f64 / payments.len() as f64
    }

    #[test]
    fn the_ledger_accepts_every_payment_of_every_workload() {
        for workload in Workload::value_variants() {
            let mut ledger = crate::ledger(ACCOUNTS, 1);
            ledger.begin_batch(Timestamp(1_800_000_000_000_000_000), &mut Vec::new());
            let decided = |decision: &Decision| {
                let Decision::New(event) = decision else { panic!("{workload:?}: a known id") };
                assert!(event.outcome.is_accepted(), "{workload:?}: {event:?}");
            };
            let decided = ledger.decide(&payments(*workload, 5_000), &mut ApproveAll, decided);
            decided.expect("there is no history to read");
        }
    }

    #[test]
    fn ids_are_unique_and_ordered_by_time_where_they_should_be() {
        for workload in Workload::value_variants() {
            let payments = payments(*workload, 5_000);
            let ids: HashSet<u128> = payments.iter().map(|payment| payment.id.0).collect();
            assert_eq!(ids.len(), payments.len(), "{workload:?}");
            let ms = payments.iter().map(|payment| payment.id.0 >> 80);
            if *workload == Workload::MixedIds {
                continue;
            }
            assert_eq!(ms.is_sorted(), *workload != Workload::RandomIds, "{workload:?}");
        }
        let form = |id: u128| (id >> 76 & 0xf, id >> 62 & 0b11);
        assert!(payments(Workload::Uniform, 100).iter().all(|it| form(it.id.0) == (7, 0b10)));
    }

    #[test]
    fn of_mixed_ids_a_few_are_random() {
        let payments = payments(Workload::MixedIds, 200_000);
        let now_ms = 1_800_000_000_000..1_800_001_000_000;
        let at_random = share(&payments, |it| !now_ms.contains(&(it.id.0 >> 80)));
        let expected = 1.0 / f64::from(RANDOM_ID_EVERY);
        assert!((0.2..5.0).contains(&(at_random / expected)), "{at_random}");
    }

    #[test]
    fn the_same_seed_makes_the_same_payments() {
        for workload in Workload::value_variants() {
            assert_eq!(payments(*workload, 300), payments(*workload, 300), "{workload:?}");
        }
    }

    #[test]
    fn each_account_has_the_share_that_its_workload_says() {
        let debit: fn(&Payment) -> AccountId = |payment| payment.debit;
        let credit: fn(&Payment) -> AccountId = |payment| payment.credit;
        let harmonic: f64 = (1..=ACCOUNTS).map(|rank| 1.0 / f64::from(rank)).sum();
        // Workload, side, accounts on that side, share of the one that is there most often.
        for (workload, side, accounts, share) in [
            (Workload::Uniform, debit, 50, 0.02),
            (Workload::Uniform, credit, 50, 0.02),
            (Workload::RandomIds, credit, 50, 0.02),
            (Workload::Zipf, debit, 50, 1.0 / harmonic),
            (Workload::Zipf, credit, 50, 0.18),
            (Workload::Hot, debit, 49, 1.0 / 49.0),
            (Workload::Hot, credit, 1, 1.0),
            (Workload::Hot50, debit, 50, 0.02),
            (Workload::Hot50, credit, 50, 0.5 + 0.5 * 0.02),
            (Workload::Two, debit, 2, 0.5),
            (Workload::Two, credit, 2, 0.5),
        ] {
            let mut counts = HashMap::new();
            let payments = payments(workload, 20_000);
            payments.iter().for_each(|payment| *counts.entry(side(payment)).or_insert(0) += 1);
            assert_eq!(counts.len(), accounts, "{workload:?}");
            let most = counts.into_values().max().map_or(0.0, f64::from) / payments.len() as f64;
            assert!((most / share - 1.0).abs() < 0.1, "{workload:?}: {most} for {share}");
        }
        assert_eq!(share(&payments(Workload::Zipf, 5_000), |it| it.debit == it.credit), 0.0);
    }

    #[test]
    fn a_hold_is_captured_once_and_not_before_its_time() {
        let mix = Arc::new(Mix::new(Workload::Holds, ACCOUNTS, CAPTURE_AFTER, 3));
        let payments = Source::new(mix, 1).request(50_000, 1_800_000_000_000);
        let mut open = HashMap::new();
        for (place, payment) in payments.iter().enumerate() {
            match payment.operation {
                Operation::Authorize => {
                    assert!(payment.timeout_s > 0);
                    open.insert(payment.id, place);
                }
                Operation::Capture => {
                    let held_at = open.remove(&payment.original).expect("held, not captured yet");
                    assert!(place - held_at >= CAPTURE_AFTER as usize, "{held_at}, then {place}");
                }
                _ => assert_eq!(payment.operation, Operation::Pay),
            }
        }
        assert!(open.len() < 300, "{} holds are left", open.len());
        let steady = &payments[1_000..];
        for (operation, expected) in
            [(Operation::Authorize, 0.3), (Operation::Capture, 0.3), (Operation::Pay, 0.4)]
        {
            let found = share(steady, |payment| payment.operation == operation);
            assert!((found - expected).abs() < 0.005, "{operation:?}: {found}");
        }
    }
}
