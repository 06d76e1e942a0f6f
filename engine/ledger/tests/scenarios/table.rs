//! Runs a table: each row through ledgers that are kept in different ways, and the naive ledger.

use std::collections::BTreeMap;

use millrace_ledger::{
    AccountChange, AccountId, AccountOutcome, Balances, Decision, Event, Gate, HoldState, Judged,
    Outcome, Payment, PaymentFlags, PaymentId, RiskDecision, RuleName, Status, Timestamp, Verdict,
    naive::NaiveLedger,
};

use crate::{
    rows::{Names, upper_snake},
    support::split::Split,
};

/// Makes a test of every table, and a list of them all.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $table:literal;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                crate::table::check($table);
            }
        )*

        /// All tables of this file.
        pub(crate) const TABLES: &[&str] = &[$($table),*];
    };
}
pub(crate) use tables;

/// Reviews amounts of 7,000, declines amounts of 8,000, and challenges amounts of 9,000.
pub(crate) struct TableGate;

impl Gate for TableGate {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let decision = match judged.amount.0 {
            77 | 7_000 => RiskDecision::Review,
            8_000 => RiskDecision::Decline,
            9_000 => RiskDecision::Challenge,
            _ => return Verdict::APPROVE,
        };
        Verdict { decision, rule: RuleName::new("table").expect("short"), hold_s: 0 }
    }

    fn observe(&mut self, _: Judged<'_>) {}
    fn begin_group(&mut self) {}
    fn end_group(&mut self, _: bool) {}
}

/// Shards, payments of a generation, how many closed ones are kept in memory, and whether later
/// names get lower ids.
const KEPT: [(usize, u32, usize, bool); 5] =
    [(1, u32::MAX, 0, false), (1, 2, 0, false), (1, 1, 0, true), (3, 2, 1, true), (8, 1, 3, false)];

/// Runs the table, however the ledger is kept.
pub(crate) fn check(table: &str) {
    for (shards, generation, closed_max, descending) in KEPT {
        let split = Split::new(shards, generation, closed_max, false);
        Table::new(table, split, Names::new(descending)).run();
    }
}

struct Table<'a> {
    table: &'a str,
    split: Split,
    naive: NaiveLedger,
    names: Names,
    now: Timestamp,
    /// Payments, each with what is expected and its row.
    request: Vec<(Payment, String, String)>,
    /// Whether rows are collected until `end`.
    in_request: bool,
    /// By id, the balances of its last event.
    balances: BTreeMap<PaymentId, Option<[Balances; 2]>>,
    /// Each with the time of its batch.
    events: Vec<(Timestamp, Event)>,
}

impl<'a> Table<'a> {
    fn new(table: &'a str, split: Split, names: Names) -> Self {
        Self {
            table,
            split,
            naive: NaiveLedger::default(),
            names,
            now: Timestamp(1_000_000_000),
            request: Vec::new(),
            in_request: false,
            balances: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    fn run(mut self) {
        let table = self.table;
        self.split.ledger.begin_batch(self.now, &mut Vec::new());
        self.naive.begin_batch(self.now);
        let is_row = |row: &&str| !row.is_empty() && !row.starts_with('#');
        for row in table.lines().map(str::trim).filter(is_row) {
            let (command, expected) = row.split_once("->").unwrap_or((row, ""));
            let words: Vec<_> = command.split_whitespace().collect();
            if let Some(answer) = self.row(row, &words, expected.trim()) {
                assert!(is_as(&answer, expected.trim()), "{answer}: {row}\n{table}");
            }
        }
        assert!(self.request.is_empty(), "the table ends within a request");
        let state_hash = self.split.ledger.state_hash();
        assert_eq!(state_hash, self.naive.state_hash(), "naive: state\n{table}");
        assert_eq!(state_hash, self.replayed(), "replayed: state\n{table}");
    }

    /// The state hash of a ledger that replays the events.
    fn replayed(&self) -> [u8; 32] {
        let mut replayed = Split::new(1, 1, 0, false);
        for (position, (time, event)) in self.events.iter().enumerate() {
            assert_eq!(event.seq().0, position as u64 + 1, "events follow each other");
            replayed.ledger.begin_recorded_batch(*time);
            assert_eq!(replayed.ledger.apply(event, &mut TableGate), Ok(()));
            replayed.end_batch();
        }
        replayed.ledger.state_hash()
    }

    /// The answer to one row, unless it is one of several of a request.
    fn row(&mut self, row: &str, words: &[&str], expected: &str) -> Option<String> {
        Some(match words[0] {
            "open" => self.open(words, expected)?,
            "freeze" => self.change(words[1], AccountChange::Freeze),
            "reopen" => self.change(words[1], AccountChange::Reopen),
            "close" => self.change(words[1], AccountChange::Close),
            "limit" => {
                let limit = self.names.number(words[2]);
                self.change(words[1], AccountChange::SetCreditLimit(limit))
            }
            "wait" => self.wait(words[1]),
            "balance" => self.balance(words[1]),
            "event" => self.event(words[1]),
            "view" => self.view(words[1]),
            "request" => {
                self.in_request = true;
                return None;
            }
            "end" => {
                self.in_request = false;
                self.send();
                return None;
            }
            _ => {
                self.payment(row, words, expected);
                return None;
            }
        })
    }

    fn payment(&mut self, row: &str, words: &[&str], expected: &str) {
        let mut payment = self.names.payment(words);
        if words.contains(&"brim") {
            payment.amount.0 = self.brim(&payment);
        }
        self.request.push((payment, expected.to_owned(), row.to_owned()));
        if !self.in_request && !payment.flags.has(PaymentFlags::LINKED) {
            self.send();
        }
    }

    /// As much as both sides have room for, less one.
    fn brim(&self, payment: &Payment) -> u128 {
        let of = |id| self.split.ledger.account(id).expect("is open").balances;
        let (payer, payee) = (of(payment.debit), of(payment.credit));
        let debits = payer.debits_pending + payer.debits_posted;
        let credits = payee.credits_pending + payee.credits_posted;
        u128::MAX - 1 - debits.max(credits)
    }

    fn send(&mut self) {
        let rows = std::mem::take(&mut self.request);
        let payments: Vec<_> = rows.iter().map(|(payment, ..)| *payment).collect();
        let decisions = self.split.decide(&payments, &mut TableGate);
        let naive = self.naive.decide(&payments, &mut TableGate);
        for (((_, expected, row), decision), naive) in rows.iter().zip(&decisions).zip(&naive) {
            let (outcome, replayed) = match decision {
                Decision::New(event) => {
                    let naive = (naive.payment, naive.balances);
                    assert_eq!((event.payment, event.balances), naive, "naive: {row}");
                    self.balances.insert(event.payment.id, event.balances);
                    self.events.push((self.now, Event::Payment(*event)));
                    (event.outcome, false)
                }
                Decision::Replay { outcome, .. } => (*outcome, true),
            };
            let (answer, naive) =
                (decision_text(outcome, replayed), decision_text(naive.outcome, naive.replayed));
            assert!(is_as(&answer, expected), "{answer}: {row}\n{}", self.table);
            assert!(is_as(&naive, expected), "naive: {naive}: {row}\n{}", self.table);
        }
        self.end_batch();
    }

    fn end_batch(&mut self) {
        self.split.end_batch();
        self.split.ledger.begin_batch(self.now, &mut Vec::new());
    }

    fn open(&mut self, words: &[&str], expected: &str) -> Option<String> {
        let spec = self.names.account(words);
        let (outcome, event) = self.split.ledger.create_account(&spec);
        if let Some(event) = event {
            self.events.push((self.now, Event::Account(event)));
            self.naive.open(spec);
        }
        assert!(!expected.is_empty() || outcome == AccountOutcome::Created, "{words:?}");
        (!expected.is_empty()).then(|| account_text(outcome))
    }

    fn change(&mut self, name: &str, change: AccountChange) -> String {
        let id = AccountId(self.names.id(name));
        let (outcome, event) = self.split.ledger.update_account(id, change);
        assert_eq!(outcome, self.naive.update_account(id, change), "naive: {change:?} {name}");
        self.events.extend(event.map(|event| (self.now, Event::Account(event))));
        self.end_batch();
        account_text(outcome)
    }

    fn wait(&mut self, seconds: &str) -> String {
        let seconds = self.names.number(seconds).0 as u32;
        self.now = self.now.checked_add_s(seconds).expect("fits");
        let mut expired = Vec::new();
        self.split.ledger.begin_batch(self.now, &mut expired);
        let ids: Vec<_> = expired.iter().map(|event| event.payment).collect();
        assert_eq!(ids, self.naive.begin_batch(self.now), "naive: expired");
        let mut texts = Vec::new();
        for event in expired {
            self.balances.insert(event.payment, Some(event.balances));
            self.events.push((self.now, Event::HoldExpired(event)));
            texts.push(format!(" {} {}", self.names.name(event.payment.0), event.released.0));
        }
        self.split.end_batch();
        format!("expired{}", texts.join(","))
    }

    fn balance(&mut self, name: &str) -> String {
        let id = AccountId(self.names.id(name));
        let balances = self.split.ledger.account(id).expect("is open").balances;
        let naive = self.naive.account(id).expect("is open").balances;
        assert_eq!(balances, naive, "naive: balance {name}");
        balance_text(balances)
    }

    fn event(&mut self, name: &str) -> String {
        let id = PaymentId(self.names.id(name));
        match self.balances.get(&id).copied().expect("had an event") {
            Some([payer, payee]) => format!("{}, {}", balance_text(payer), balance_text(payee)),
            None => "no accounts".to_owned(),
        }
    }

    fn view(&mut self, name: &str) -> String {
        let id = PaymentId(self.names.id(name));
        let Some(view) = self.split.ledger.payment(id).expect("history can be read") else {
            return "unknown".to_owned();
        };
        let hold = view.hold.map_or("", |hold| match hold {
            HoldState::Open => ", open",
            HoldState::Captured => ", captured",
            HoldState::Voided => ", voided",
            HoldState::Expired => ", expired",
        });
        format!("{}{hold}, left {}", decision_text(view.outcome, false), view.left.0)
    }
}

/// An expectation that ends with a star leaves the rest open.
fn is_as(answer: &str, expected: &str) -> bool {
    match expected.strip_suffix('*') {
        Some(beginning) => answer.starts_with(beginning),
        None => answer == expected,
    }
}

fn decision_text(outcome: Outcome, replayed: bool) -> String {
    let again = if replayed { "again " } else { "" };
    let amount = outcome.amount.0;
    match outcome.status {
        Status::Settled => format!("{again}settled {amount}"),
        Status::Held => format!("{again}held {amount}"),
        Status::Voided => format!("{again}voided {amount}"),
        Status::Rejected(reason) => format!("{again}{}", reason.upper_snake_name()),
    }
}

fn account_text(outcome: AccountOutcome) -> String {
    match outcome {
        AccountOutcome::Rejected(reason) => upper_snake(&format!("{reason:?}")),
        outcome => format!("{outcome:?}").to_lowercase(),
    }
}

fn balance_text(of: Balances) -> String {
    format!(
        "{}/{} {}/{}",
        of.debits_pending, of.debits_posted, of.credits_pending, of.credits_posted
    )
}
