//! Scenarios that a payments expert can proof-read: one row per command, with what it must come to.
//!
//! Columns: operation, id, then what the operation needs, then `->` and the outcome.
//!
//! ```text
//! open   NAME LEDGER [no-overdraft|no-surplus] [limit=N]
//! freeze|reopen|close NAME -> updated | REASON
//! pay|authorize ID PAYER PAYEE AMOUNT [option…] -> settled N | held N | REASON
//! capture|void|refund ID ORIGINAL [AMOUNT] [option…] -> settled N | voided N | REASON
//! wait   SECONDS -> expired ID…
//! balance NAME -> debits pending/posted credits pending/posted
//! ```
//!
//! Options: `linked`, `up-to-payer` and `up-to-payee` (balancing), `timeout=S`, `code=N`,
//! `ledger=L`, `context=N`, `from=NAME`, `to=NAME`. A replay is written `again OUTCOME`. Rows that
//! follow a `linked` one belong to its request; `end` ends a request whose group is not closed.

use std::collections::BTreeMap;

use millrace_ledger::{
    AccountChange, AccountFlags, AccountId, AccountOutcome, AccountSpec, Amount, Code, Decision,
    Gate, Judged, Ledger, LedgerId, Operation, Payment, PaymentFlags, PaymentId, RejectReason,
    RiskDecision, RuleName, Status, Timestamp, Verdict,
};

/// Reviews amounts of 7,000 and declines amounts of 8,000.
struct TableGate;

impl Gate for TableGate {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let decision = match judged.amount.0 {
            7_000 => RiskDecision::Review,
            8_000 => RiskDecision::Decline,
            _ => return Verdict::APPROVE,
        };
        Verdict { decision, rule: RuleName::new("table").expect("short") }
    }

    fn observe(&mut self, _: Judged<'_>) {}
    fn begin_group(&mut self) {}
    fn end_group(&mut self, _: bool) {}
}

struct Table {
    ledger: Ledger,
    names: BTreeMap<String, u128>,
    now: Timestamp,
    request: Vec<(Payment, String, String)>,
}

fn check(table: &str) {
    let mut run = Table {
        ledger: Ledger::new(3),
        names: BTreeMap::new(),
        now: Timestamp(1_000_000_000),
        request: Vec::new(),
    };
    run.ledger.begin_batch(run.now, &mut Vec::new());
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
        run.row(row);
    }
    assert!(run.request.is_empty(), "the table ends within a group");
    run.ledger.end_batch();
}

impl Table {
    fn row(&mut self, row: &str) {
        let (command, expected) = row.split_once("->").unwrap_or((row, ""));
        let (words, expected) = (command.split_whitespace().collect::<Vec<_>>(), expected.trim());
        match words[0] {
            "open" => self.open(&words),
            "freeze" | "reopen" | "close" => self.change(row, words[0], words[1], expected),
            "wait" => self.wait(row, words[1], expected),
            "balance" => self.balance(row, words[1], expected),
            "end" => self.send(),
            _ => {
                let payment = self.payment(&words);
                self.request.push((payment, expected.to_owned(), row.to_owned()));
                if !payment.flags.has(PaymentFlags::LINKED) {
                    self.send();
                }
            }
        }
    }

    fn send(&mut self) {
        let rows = std::mem::take(&mut self.request);
        let payments: Vec<_> = rows.iter().map(|(payment, ..)| *payment).collect();
        let mut decisions = Vec::new();
        let decided = |decision: &Decision| decisions.push(*decision);
        self.ledger.decide(&payments, &mut TableGate, decided).expect("no history");
        for ((_, expected, row), decision) in rows.iter().zip(&decisions) {
            let (outcome, again) = match decision {
                Decision::New(event) => (event.outcome, ""),
                Decision::Replay { outcome, .. } => (*outcome, "again "),
            };
            let text = match outcome.status {
                Status::Settled => format!("settled {}", outcome.amount.0),
                Status::Held => format!("held {}", outcome.amount.0),
                Status::Voided => format!("voided {}", outcome.amount.0),
                Status::Rejected(reason) => reason.upper_snake_name(),
            };
            assert_eq!(format!("{again}{text}"), *expected, "{row}");
        }
    }

    fn open(&mut self, words: &[&str]) {
        let mut spec = AccountSpec {
            id: AccountId(self.id(words[1])),
            ledger: ledger(words[2]),
            code: Code(1),
            ..AccountSpec::default()
        };
        for option in &words[3..] {
            match option.split_once('=') {
                Some(("limit", limit)) => spec.credit_limit = Amount(number(limit)),
                _ if *option == "no-overdraft" => {
                    spec.flags = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS;
                }
                _ if *option == "no-surplus" => {
                    spec.flags = AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS;
                }
                _ => panic!("unknown option {option}"),
            }
        }
        assert_eq!(self.ledger.create_account(&spec).0, AccountOutcome::Created);
    }

    fn change(&mut self, row: &str, change: &str, name: &str, expected: &str) {
        let change = match change {
            "freeze" => AccountChange::Freeze,
            "reopen" => AccountChange::Reopen,
            _ => AccountChange::Close,
        };
        let id = AccountId(self.id(name));
        let text = match self.ledger.update_account(id, change).0 {
            AccountOutcome::Rejected(reason) => format!("{reason:?}"),
            outcome => format!("{outcome:?}").to_lowercase(),
        };
        assert_eq!(text, expected, "{row}");
    }

    fn wait(&mut self, row: &str, seconds: &str, expected: &str) {
        self.now = self.now.checked_add_s(number(seconds) as u32).expect("fits");
        let mut expired = Vec::new();
        self.ledger.begin_batch(self.now, &mut expired);
        let name_of = |id: PaymentId| {
            let found = self.names.iter().find(|(_, number)| **number == id.0);
            format!(" {}", found.expect("has a name").0)
        };
        let text: String = expired.iter().map(|event| name_of(event.payment)).collect();
        assert_eq!(format!("expired{text}"), expected, "{row}");
    }

    fn balance(&mut self, row: &str, name: &str, expected: &str) {
        let id = AccountId(self.id(name));
        let of = self.ledger.account(id).expect("is open").balances;
        let text = format!(
            "{}/{} {}/{}",
            of.debits_pending, of.debits_posted, of.credits_pending, of.credits_posted
        );
        assert_eq!(text, expected, "{row}");
    }

    fn payment(&mut self, words: &[&str]) -> Payment {
        let operation = match words[0] {
            "pay" => Operation::Pay,
            "authorize" => Operation::Authorize,
            "capture" => Operation::Capture,
            "void" => Operation::Void,
            "refund" => Operation::Refund,
            other => panic!("unknown operation {other}"),
        };
        let mut payment = Payment {
            id: PaymentId(self.id(words[1])),
            operation,
            amount: Amount::ALL,
            ..Payment::default()
        };
        let mut rest = &words[2..];
        if operation.needs_original() {
            payment.original = PaymentId(self.id(rest[0]));
            rest = &rest[1..];
        } else {
            payment.debit = AccountId(self.id(rest[0]));
            payment.credit = AccountId(self.id(rest[1]));
            (payment.ledger, payment.code) = (ledger("CZK"), Code(1));
            rest = &rest[2..];
        }
        for word in rest {
            match word.split_once('=') {
                Some(("timeout", seconds)) => payment.timeout_s = number(seconds) as u32,
                Some(("code", code)) => payment.code = Code(number(code) as u16),
                Some(("ledger", name)) => payment.ledger = ledger(name),
                Some(("context", digest)) => payment.context_digest = number(digest) as u64,
                Some(("from", name)) => payment.debit = AccountId(self.id(name)),
                Some(("to", name)) => payment.credit = AccountId(self.id(name)),
                Some(("original", name)) => payment.original = PaymentId(self.id(name)),
                Some(("defect", name)) => payment.defect = Some(reason(name)),
                _ => match *word {
                    "linked" => payment.flags = payment.flags.with(PaymentFlags::LINKED),
                    "up-to-payer" => {
                        payment.flags = payment.flags.with(PaymentFlags::BALANCING_DEBIT);
                    }
                    "up-to-payee" => {
                        payment.flags = payment.flags.with(PaymentFlags::BALANCING_CREDIT);
                    }
                    amount => payment.amount = Amount(number(amount)),
                },
            }
        }
        payment
    }

    /// Names get numbers in the order of their first use; `-` is no id, `max` is
    /// the id of all ones.
    fn id(&mut self, name: &str) -> u128 {
        let next = self.names.len() as u128 + 1;
        match name {
            "-" => 0,
            "max" => u128::MAX,
            name => *self.names.entry(name.to_owned()).or_insert(next),
        }
    }
}

fn reason(name: &str) -> RejectReason {
    let found = RejectReason::ALL.iter().find(|reason| reason.upper_snake_name() == name);
    *found.unwrap_or_else(|| panic!("unknown reason {name}"))
}

fn ledger(name: &str) -> LedgerId {
    LedgerId(match name {
        "CZK" => 203,
        "EUR" => 978,
        "-" => 0,
        other => panic!("unknown ledger {other}"),
    })
}

fn number(text: &str) -> u128 {
    match text {
        "most" => u128::MAX - 1,
        "half" => 1 << 127,
        text => text.parse().unwrap_or_else(|_| panic!("{text} is no number")),
    }
}

#[test]
fn money_moves_and_overdrafts_are_refused() {
    check(
        "
        open bank   CZK
        open alice  CZK no-overdraft
        open bob    CZK no-overdraft limit=50
        open dealer CZK no-surplus
        pay  p1 bank  alice 100                 -> settled 100
        pay  p2 alice bob    60                 -> settled 60
        pay  p3 alice bob    41                 -> INSUFFICIENT_FUNDS
        pay  p4 alice bob    40                 -> settled 40
        pay  p5 bob   alice 151                 -> INSUFFICIENT_FUNDS
        pay  p6 bob   alice 150                 -> settled 150
        pay  p7 bank  dealer  1                 -> CREDITS_EXCEED_DEBITS
        pay  p8 dealer bank  10                 -> settled 10
        pay  p9 bank  dealer 10                 -> settled 10
        balance alice                           -> 0/100 0/250
        balance bob                             -> 0/150 0/100
        # A refusal for want of funds is final, even when the money has come since.
        pay  p3 alice bob    41                 -> again INSUFFICIENT_FUNDS
        # Whatever it says now.
        pay  p3 alice bob     1                 -> again INSUFFICIENT_FUNDS
        ",
    );
}

#[test]
fn an_id_is_one_payment() {
    check(
        "
        open bank  CZK
        open alice CZK
        open bob   CZK
        pay  p1 bank alice 100 context=1              -> settled 100
        pay  p1 bank alice 100 context=1              -> again settled 100
        authorize p1 bank alice 100 context=1         -> ID_REUSED_OPERATION_DIFFERS
        pay  p1 bank alice 100 context=1 up-to-payer  -> ID_REUSED_FLAGS_DIFFER
        pay  p1 bank alice 100 context=1 original=p0  -> ID_REUSED_ORIGINAL_DIFFERS
        pay  p1 bob  alice 100 context=1              -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        pay  p1 bank bob   100 context=1              -> ID_REUSED_CREDIT_ACCOUNT_DIFFERS
        pay  p1 bank alice 101 context=1              -> ID_REUSED_AMOUNT_DIFFERS
        pay  p1 bank alice 100 context=1 ledger=EUR   -> ID_REUSED_LEDGER_DIFFERS
        pay  p1 bank alice 100 context=1 code=2       -> ID_REUSED_CODE_DIFFERS
        pay  p1 bank alice 100 context=1 timeout=5    -> ID_REUSED_TIMEOUT_DIFFERS
        pay  p1 bank alice 100 context=2              -> ID_REUSED_CONTEXT_DIFFERS
        # The first field that differs, in that order.
        pay  p1 bob  bob     1 code=2                 -> ID_REUSED_DEBIT_ACCOUNT_DIFFERS
        balance alice                                 -> 0/0 0/100
        # What is wrong with the payment itself does not burn the id: it can be corrected.
        pay  p2 bank alice 0                          -> AMOUNT_ZERO
        pay  p2 bank alice 7                          -> settled 7
        ",
    );
}

#[test]
fn holds_are_captured_voided_and_expire() {
    check(
        "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        pay  fund bank alice 1000               -> settled 1000
        authorize h1 alice shop 400             -> held 400
        authorize h2 alice shop 601             -> INSUFFICIENT_FUNDS
        balance alice                           -> 400/0 0/1000
        balance shop                            -> 0/0 400/0
        # Part is captured, the rest is released.
        capture c1 h1 150                       -> settled 150
        capture c2 h1 251                       -> EXCEEDS_REMAINING_AMOUNT
        capture c3 h1 401                       -> EXCEEDS_ORIGINAL_AMOUNT
        void    v1 h1                           -> voided 250
        capture c4 h1                           -> HOLD_VOIDED
        void    v2 h1                           -> HOLD_VOIDED
        balance alice                           -> 0/150 0/1000
        balance shop                            -> 0/0 0/150
        # All of it is captured, in two parts.
        authorize h3 alice shop 100             -> held 100
        capture c5 h3 40                        -> settled 40
        capture c6 h3                           -> settled 60
        capture c7 h3 1                         -> HOLD_CAPTURED
        void    v3 h3                           -> HOLD_CAPTURED
        # Time-outs: the event comes by itself, in the order of time.
        authorize h4 alice shop 10 timeout=20   -> held 10
        authorize h5 alice shop 20 timeout=10   -> held 20
        authorize h6 alice shop 30 timeout=10   -> held 30
        capture c8 h6 5                         -> settled 5
        wait 9                                  -> expired
        wait 1                                  -> expired h5 h6
        capture c9 h5                           -> HOLD_EXPIRED
        void    v4 h6                           -> HOLD_EXPIRED
        void    v5 h4                           -> voided 10
        wait 60                                 -> expired
        balance alice                           -> 0/255 0/1000
        # What is no hold.
        capture c10 fund                        -> ORIGINAL_NOT_A_HOLD
        capture c11 nothing                     -> ORIGINAL_UNKNOWN
        void    v6 h2                           -> ORIGINAL_UNKNOWN
        # What a follow-up says of its original must be so.
        authorize h7 alice shop 10              -> held 10
        capture c12 h7 from=shop                -> ORIGINAL_DEBIT_ACCOUNT_DIFFERS
        capture c13 h7 to=alice                 -> ORIGINAL_CREDIT_ACCOUNT_DIFFERS
        capture c14 h7 ledger=EUR               -> ORIGINAL_LEDGER_DIFFERS
        capture c15 h7 code=2                   -> ORIGINAL_CODE_DIFFERS
        capture c16 h7 from=alice to=shop ledger=CZK code=1 -> settled 10
        ",
    );
}

#[test]
fn refunds_never_exceed_what_was_paid() {
    check(
        "
        open bank  CZK
        open shop  CZK no-overdraft
        open alice CZK
        pay  p1 alice shop 100                  -> settled 100
        refund r1 p1 30                         -> settled 30
        refund r2 p1 30                         -> settled 30
        refund r3 p1 41                         -> EXCEEDS_REMAINING_AMOUNT
        refund r4 p1 101                        -> EXCEEDS_ORIGINAL_AMOUNT
        refund r5 p1                            -> settled 40
        refund r6 p1 1                          -> ALREADY_REFUNDED
        refund r7 p1                            -> ALREADY_REFUNDED
        refund r8 r1                            -> ORIGINAL_NOT_SETTLED
        balance shop                            -> 0/100 0/100
        # The shop must have the money.
        pay  p2 alice shop 50                   -> settled 50
        pay  p3 shop bank 20                    -> settled 20
        refund r9 p2                            -> INSUFFICIENT_FUNDS
        refund r10 p2 30                        -> settled 30
        # A hold is refunded through its captures.
        authorize h1 alice shop 80              -> held 80
        refund r11 h1                           -> ORIGINAL_NOT_SETTLED
        capture c1 h1 60                        -> settled 60
        refund r12 c1 60                        -> settled 60
        void v1 h1                              -> voided 20
        refund r13 v1                           -> ORIGINAL_NOT_SETTLED
        ",
    );
}

#[test]
fn a_linked_group_happens_whole_or_not_at_all() {
    check(
        "
        open bank  CZK
        open alice CZK no-overdraft
        open shop  CZK
        open fees  CZK
        pay fund bank alice 100                 -> settled 100
        # All members are there, and see each other.
        pay g1 bank  alice 50 linked            -> settled 50
        pay g2 alice shop 140 linked            -> settled 140
        pay g3 alice fees  10                   -> settled 10
        # The culprit is first, in the middle, last: only it tells its own reason.
        pay g4 alice shop   1 linked            -> INSUFFICIENT_FUNDS
        pay g5 bank  alice  5 linked            -> GROUP_MEMBER_FAILED
        pay g6 bank  shop   5                   -> GROUP_MEMBER_FAILED
        pay g7 bank  alice  5 linked            -> GROUP_MEMBER_FAILED
        pay g8 alice shop   6 linked            -> INSUFFICIENT_FUNDS
        pay g9 bank  shop   5                   -> GROUP_MEMBER_FAILED
        pay g10 bank alice  5 linked            -> GROUP_MEMBER_FAILED
        pay g11 bank shop   5 linked            -> GROUP_MEMBER_FAILED
        pay g12 alice shop  6                   -> INSUFFICIENT_FUNDS
        balance alice                           -> 0/150 0/150
        balance shop                            -> 0/0 0/140
        # A hold and its capture in one group; taken back, both are gone.
        authorize h1 bank shop 9 linked         -> GROUP_MEMBER_FAILED
        capture c1 h1 linked                    -> GROUP_MEMBER_FAILED
        pay g13 alice shop 1                    -> INSUFFICIENT_FUNDS
        balance shop                            -> 0/0 0/140
        capture c2 h1                           -> ORIGINAL_UNKNOWN
        # Members that were well may come again under the same ids; the culprit may not.
        pay g5 bank alice 5                     -> settled 5
        pay g4 alice shop 1                     -> again INSUFFICIENT_FUNDS
        # A retry of a whole group changes nothing.
        pay g1 bank  alice 50 linked            -> again settled 50
        pay g2 alice shop 140 linked            -> again settled 140
        pay g3 alice fees  10                   -> again settled 10
        # A known member keeps its outcome whatever becomes of the rest.
        pay g1 bank  alice 50 linked            -> again settled 50
        pay g14 alice shop 99                   -> INSUFFICIENT_FUNDS
        # A member twice in a group that fails: neither happened.
        pay g20 bank alice 5 linked             -> GROUP_MEMBER_FAILED
        pay g20 bank alice 5 linked             -> GROUP_MEMBER_FAILED
        pay g21 alice shop 900                  -> INSUFFICIENT_FUNDS
        # A group that is still open when its request ends.
        pay g15 bank alice 5 linked             -> GROUP_MEMBER_FAILED
        pay g1  bank alice 50 linked            -> again settled 50
        pay g16 bank alice 5 linked             -> GROUP_UNCLOSED
        end
        pay g15 bank alice 5                    -> settled 5
        ",
    );
}

#[test]
fn balancing_payments_move_what_is_there() {
    check(
        "
        open bank   CZK
        open alice  CZK no-overdraft limit=10
        open shop   CZK
        open dealer CZK no-surplus
        pay  fund bank alice 100                -> settled 100
        authorize h1 alice shop 30              -> held 30
        pay  p1 alice shop 50 up-to-payer       -> settled 50
        pay  p2 alice shop 50 up-to-payer       -> settled 30
        pay  p3 alice shop 50 up-to-payer       -> INSUFFICIENT_FUNDS
        pay  p4 dealer bank 40                  -> settled 40
        pay  p5 bank dealer up-to-payee         -> settled 40
        pay  p6 bank dealer 5 up-to-payee       -> CREDITS_EXCEED_DEBITS
        pay  p7 bank shop                       -> AMOUNT_MISSING
        # The amount that is asked for makes the payment the same, not the one that was moved.
        pay  p2 alice shop 50 up-to-payer       -> again settled 30
        pay  p2 alice shop 30 up-to-payer       -> ID_REUSED_AMOUNT_DIFFERS
        refund r1 p2                            -> settled 30
        ",
    );
}

#[test]
fn frozen_and_closed_accounts() {
    check(
        "
        open bank  CZK
        open alice CZK
        open shop  CZK
        open empty CZK
        pay  p1 alice shop 100                  -> settled 100
        authorize h1 alice shop 10              -> held 10
        authorize h2 alice shop 10 timeout=5    -> held 10
        close alice                             -> AccountNotEmpty
        freeze alice                            -> updated
        freeze alice                            -> unchanged
        pay  p2 alice shop 1                    -> DEBIT_ACCOUNT_FROZEN
        pay  p3 bank alice 1                    -> CREDIT_ACCOUNT_FROZEN
        authorize h3 alice shop 1               -> DEBIT_ACCOUNT_FROZEN
        capture c1 h1                           -> DEBIT_ACCOUNT_FROZEN
        # Nothing leaves, but what was reserved is released and refunds come in.
        void v1 h1                              -> voided 10
        wait 5                                  -> expired h2
        refund r1 p1 10                         -> settled 10
        freeze shop                             -> updated
        refund r2 p1 10                         -> DEBIT_ACCOUNT_FROZEN
        reopen shop                             -> updated
        reopen alice                            -> updated
        pay  p4 alice shop 1                    -> settled 1
        close empty                             -> updated
        freeze empty                            -> AccountClosed
        pay  p5 bank empty 1                    -> CREDIT_ACCOUNT_CLOSED
        pay  p6 empty bank 1                    -> DEBIT_ACCOUNT_CLOSED
        reopen empty                            -> updated
        pay  p7 bank empty 1                    -> settled 1
        ",
    );
}

#[test]
fn risk_holds_and_declines() {
    check(
        "
        open alice CZK
        open poor  CZK no-overdraft
        open shop  CZK
        pay  p1 alice shop 7000                 -> held 7000
        balance shop                            -> 0/0 7000/0
        capture c1 p1                           -> settled 7000
        pay  p2 alice shop 7000                 -> held 7000
        void v1 p2                              -> voided 7000
        pay  p3 alice shop 8000                 -> RISK_DECLINED
        pay  p3 alice shop 8000                 -> again RISK_DECLINED
        # Risk speaks before funds.
        pay  p4 poor shop 8000                  -> RISK_DECLINED
        pay  p5 poor shop 7000                  -> INSUFFICIENT_FUNDS
        ",
    );
}

#[test]
fn amounts_at_their_bounds() {
    check(
        "
        open a CZK
        open b CZK
        open c CZK
        open d CZK
        pay  p1 a b most                        -> settled 340282366920938463463374607431768211454
        pay  p2 a b 2                           -> OVERFLOW_DEBITS_POSTED
        pay  p3 c b 2                           -> OVERFLOW_CREDITS_POSTED
        pay  p4 a c 1                           -> settled 1
        authorize h1 a c 1                      -> OVERFLOW_DEBITS
        authorize h2 c b 2                      -> OVERFLOW_CREDITS
        authorize h3 c d half                   -> held 170141183460469231731687303715884105728
        authorize h4 c a half                   -> OVERFLOW_DEBITS_PENDING
        authorize h5 b d half                   -> OVERFLOW_CREDITS_PENDING
        pay  p5 c a half                        -> OVERFLOW_DEBITS
        pay  p6 a b 0                           -> AMOUNT_ZERO
        capture c1 h3 0                         -> AMOUNT_ZERO
        ",
    );
}

/// Each row has two things wrong with it; the one whose family comes first is told.
#[test]
fn reasons_come_in_the_order_of_their_families() {
    check(
        "
        open alice CZK no-overdraft
        open bob   CZK
        open euro  EUR
        open ice   CZK
        pay  first bob alice 5                  -> settled 5
        freeze ice                              -> updated
        # group before envelope
        pay  - alice bob 1 linked               -> GROUP_UNCLOSED
        end
        # envelope before idempotency and static
        pay  -    alice bob 0                   -> PAYMENT_ID_ZERO
        pay  max  alice bob 0                   -> PAYMENT_ID_MAX
        pay  first bob alice 5 defect=CONTEXT_MALFORMED -> CONTEXT_MALFORMED
        pay  x0   alice bob 0 defect=OPERATION_UNKNOWN -> OPERATION_UNKNOWN
        # idempotency before static
        pay  first bob bob 0                    -> ID_REUSED_CREDIT_ACCOUNT_DIFFERS
        # static, in its own order, before look-up
        capture x1 first 1 up-to-payer from=-   -> FLAGS_EXCLUSIVE
        pay  x2 - - 0                           -> DEBIT_ACCOUNT_ID_ZERO
        pay  x3 max max 0                       -> DEBIT_ACCOUNT_ID_MAX
        pay  x4 alice - 0                       -> CREDIT_ACCOUNT_ID_ZERO
        pay  x5 alice max 0                     -> CREDIT_ACCOUNT_ID_MAX
        pay  x6 alice alice 0                   -> ACCOUNTS_EQUAL
        capture x7 - 0                          -> ORIGINAL_MISSING
        pay  x8 alice bob 0 original=first      -> ORIGINAL_SUPERFLUOUS
        capture x9 x9 0                         -> ORIGINAL_IS_ITSELF
        pay  x10 alice bob 0 timeout=1          -> TIMEOUT_SUPERFLUOUS
        pay  x11 alice nobody 0                 -> AMOUNT_ZERO
        pay  x12 alice nobody                   -> AMOUNT_MISSING
        void x13 nothing 5                      -> AMOUNT_SUPERFLUOUS
        pay  x14 alice nobody 1 ledger=- code=0 -> LEDGER_ZERO
        pay  x15 alice nobody 1 code=0          -> CODE_ZERO
        pay  x16 alice bob 1 ledger=- defect=CODE_TOO_LARGE -> LEDGER_ZERO
        # look-up before account state
        pay  x17 nobody none 1                  -> DEBIT_ACCOUNT_UNKNOWN
        pay  x18 ice nobody 1                   -> CREDIT_ACCOUNT_UNKNOWN
        pay  x19 ice euro 1                     -> ACCOUNTS_ON_DIFFERENT_LEDGERS
        pay  x20 ice bob 1 ledger=EUR           -> LEDGER_DIFFERS
        # account state before risk and funds
        pay  x21 ice bob 8000                   -> DEBIT_ACCOUNT_FROZEN
        pay  x22 alice ice 8000                 -> CREDIT_ACCOUNT_FROZEN
        # overflow before risk and funds
        pay  x23 bob euro 1 ledger=EUR          -> ACCOUNTS_ON_DIFFERENT_LEDGERS
        # risk before funds
        pay  x24 alice bob 8000                 -> RISK_DECLINED
        pay  x25 alice bob 6                    -> INSUFFICIENT_FUNDS
        ",
    );
}

/// "The first outcome again" includes what risk said and by which rule.
#[test]
fn a_replay_repeats_the_verdict() {
    let mut ledger = Ledger::new(3);
    for id in [1, 2] {
        let (id, ledger_id, code) = (AccountId(id), LedgerId(203), Code(1));
        ledger.create_account(&AccountSpec {
            id,
            ledger: ledger_id,
            code,
            ..AccountSpec::default()
        });
    }
    for (id, amount) in [(1, 5), (2, 7_000), (3, 8_000)] {
        let payment = Payment {
            id: PaymentId(id),
            debit: AccountId(1),
            credit: AccountId(2),
            amount: Amount(amount),
            ledger: LedgerId(203),
            code: Code(1),
            ..Payment::default()
        };
        let mut verdicts = Vec::new();
        let decided = |decision: &Decision| {
            verdicts.push(match decision {
                Decision::New(event) => event.verdict,
                Decision::Replay { verdict, .. } => *verdict,
            });
        };
        ledger.decide(&[payment, payment], &mut TableGate, decided).expect("no history");
        assert_ne!(verdicts[0], Verdict::default(), "amount {amount} was judged");
        assert_eq!(verdicts[0], verdicts[1], "amount {amount}");
        let view = ledger.payment(PaymentId(id)).expect("no history").expect("its id is taken");
        assert_eq!(view.verdict, verdicts[0], "amount {amount}");
    }
}
