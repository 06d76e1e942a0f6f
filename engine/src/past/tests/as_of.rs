//! A payment that is looked up now and read from its runs later reads as it does now, whatever happens
//! in between: it changes, generations are closed and sealed, runs are merged and their files deleted.

use std::{collections::VecDeque, sync::Arc};

use millrace_ledger::{
    AccountId, AccountSpec, Amount, ApproveAll, Code, Generation, History, Ledger, LedgerConfig,
    LedgerId, LookUp, Operation, Payment, PaymentId, PaymentView, Timestamp,
};

use super::*;

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        (scrambled(self.0) as u64) % bound
    }
}

/// A question that is not answered yet.
struct Asked {
    id: PaymentId,
    history: Arc<dyn History>,
    /// What the ledger said at once, reading the runs itself.
    expected: Option<PaymentView>,
}

struct Course {
    dice: Dice,
    ledger: Ledger,
    runs: Runs,
    /// Closed, and not in a run yet.
    unsealed: VecDeque<Arc<Generation>>,
    /// In a run, and not let go yet: digests.
    sealed: VecDeque<u128>,
    ids: Vec<PaymentId>,
    asked: Vec<Asked>,
    answered: usize,
    /// Answers that would be others by now.
    outdated: usize,
}

impl Course {
    fn payment(&mut self, number: u64, in_time: bool) -> Payment {
        let id = if in_time { u128::from(number) << 64 } else { scrambled(number) };
        let first = Payment {
            id: PaymentId(id),
            debit: AccountId(1 + u128::from(self.dice.below(4))),
            credit: AccountId(5),
            amount: Amount(10),
            ledger: LedgerId(203),
            code: Code(1),
            ..Payment::default()
        };
        let original = match self.ids.len() as u64 {
            0 => return first,
            count => self.ids[self.dice.below(count) as usize],
        };
        let amount = Amount(1 + u128::from(self.dice.below(5)));
        let id = first.id;
        let follow_up =
            |operation| Payment { id, original, operation, amount, ..Payment::default() };
        match self.dice.below(10) {
            0..=2 => first,
            3 => Payment { operation: Operation::Authorize, ..first },
            4 => Payment { operation: Operation::Authorize, timeout_s: 9, ..first },
            5 => follow_up(Operation::Capture),
            6 => Payment { amount: Amount::ALL, ..follow_up(Operation::Void) },
            _ => follow_up(Operation::Refund),
        }
    }

    /// Decides a batch, and does some of the upkeep that the engine would do, or none.
    fn round(&mut self, round: u64, in_time: bool) {
        self.ledger.begin_batch(Timestamp(round * 1_000_000_000), &mut Vec::new());
        let numbers = round * 12 + 1..round * 12 + 13;
        let payments: Vec<_> = numbers.map(|number| self.payment(number, in_time)).collect();
        self.ledger.decide(&payments, &mut ApproveAll, |_| {}).expect("runs can be read");
        self.ledger.end_batch();
        self.ids.extend(payments.iter().map(|payment| payment.id));
        self.ledger.carry_on(3);
        if self.ledger.generation_is_full() {
            self.unsealed.extend(self.ledger.close_generation());
        }
        if self.dice.below(2) == 0
            && let Some(generation) = self.unsealed.pop_front()
        {
            self.runs.seal(&generation).expect("sealed");
            self.sealed.push_back(generation.digest());
        }
        if self.dice.below(2) == 0
            && let Some(digest) = self.sealed.pop_front()
        {
            self.ledger.let_go(digest);
        }
        if self.dice.below(3) == 0 {
            self.runs.merge_if_due(&|| false).expect("merged");
        }
    }

    fn ask(&mut self) {
        let known = self.ids[self.dice.below(self.ids.len() as u64) as usize];
        let id = if self.dice.below(8) == 0 { PaymentId(known.0 ^ 1) } else { known };
        let expected = self.ledger.payment(id).expect("runs can be read");
        match self.ledger.look_up(id) {
            LookUp::InMemory(view) => assert_eq!(view.map(|view| *view), expected, "{id}"),
            LookUp::InHistory(history) => self.asked.push(Asked { id, history, expected }),
        }
    }

    fn answer(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let at = self.dice.below(self.asked.len() as u64) as usize;
        let Asked { id, history, expected } = self.asked.swap_remove(at);
        let found = history.find(id).expect("runs can be read");
        assert_eq!(found.map(|stored| self.ledger.view(&stored)), expected, "{id}");
        self.answered += usize::from(expected.is_some());
        let now = self.ledger.payment(id).expect("runs can be read");
        self.outdated += usize::from(now != expected);
    }
}

#[test]
fn a_read_that_is_answered_later_is_as_of_when_it_was_asked() {
    for (seed, in_time, shards) in [(1, true, 1), (2, false, 1), (3, true, 3), (4, false, 2)] {
        let directory = directory();
        let runs = open(&directory, &[], 8192);
        let config = LedgerConfig {
            shards,
            generation_payments_max: 30,
            history: Arc::new(runs.clone()),
            ..LedgerConfig::default()
        };
        let mut course = Course {
            dice: Dice(seed << 32),
            ledger: Ledger::with_config(config),
            runs,
            unsealed: VecDeque::new(),
            sealed: VecDeque::new(),
            ids: Vec::new(),
            asked: Vec::new(),
            answered: 0,
            outdated: 0,
        };
        for id in 1..=5 {
            let (id, ledger, code) = (AccountId(id), LedgerId(203), Code(1));
            course.ledger.create_account(&AccountSpec {
                id,
                ledger,
                code,
                ..AccountSpec::default()
            });
        }
        for round in 0..300 {
            course.round(round, in_time);
            (0..6).for_each(|_| course.ask());
            // Some wait for long: more is asked than answered.
            (0..3).for_each(|_| course.answer());
        }
        while !course.asked.is_empty() {
            course.answer();
        }
        assert!(course.runs.list().len() < 30, "some were merged");
        assert!(course.answered > 200, "{} payments were read from runs", course.answered);
        assert!(course.outdated > 20, "{} had changed meanwhile", course.outdated);
    }
}
