//! Compares events: consumes what is recorded and what is decided today, produces one difference per
//! field that differs. Fields are named, and values written, as in an export.

use millrace_ledger::{
    Account, AccountEvent, AccountId, AccountOutcome, Balances, Decision, Event, EventSeq,
    HoldExpired, Ledger, LedgerId, Payment, PaymentEvent, RejectReason, Status, Timestamp,
};

use super::Difference;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Differences {
    found: Vec<Difference>,
}

impl Differences {
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_first(mut self, max: usize) -> Vec<Difference> {
        self.found.truncate(max);
        self.found
    }

    fn note(&mut self, seq: EventSeq, field: &'static str, recorded: String, redecided: String) {
        if recorded != redecided {
            self.found.push(Difference { seq, field, recorded, redecided });
        }
    }

    pub(super) fn time(&mut self, seq: EventSeq, recorded: Timestamp, redecided: Timestamp) {
        let nanoseconds = |time: Timestamp| time.0.to_string();
        self.note(seq, "time", nanoseconds(recorded), nanoseconds(redecided));
    }

    pub(super) fn state_hash(&mut self, last: EventSeq, (recorded, redecided): Hashes) {
        self.note(last, "state_hash", hex(&recorded), hex(&redecided));
    }

    /// Nothing like the recorded event happens today.
    pub(super) fn no_event(&mut self, recorded: &Event, instead: &str) {
        self.note(recorded.seq(), "event", kind(recorded).to_owned(), instead.to_owned());
    }

    /// Something happens today that is not recorded.
    pub(super) fn superfluous(&mut self, seq: EventSeq, kind: &str) {
        self.note(seq, "event", "no event".to_owned(), kind.to_owned());
    }

    pub(super) fn decision(&mut self, recorded: &Event, decision: &Decision) {
        match decision {
            Decision::New(event) => {
                let event = match recorded {
                    Event::Payment(recorded) => as_told_then(recorded, event),
                    Event::HoldExpired(_) | Event::Account(_) | Event::Act(_) => *event,
                };
                self.event(recorded, &Event::Payment(event));
            }
            Decision::Replay { seq, .. } => {
                self.no_event(recorded, &format!("a replay of event {seq}"));
            }
        }
    }

    /// Carries out an account command again.
    pub(super) fn account(&mut self, recorded: &AccountEvent, ledger: &mut Ledger) {
        let spec = &recorded.account.spec;
        let (outcome, event) = match recorded.change {
            None => ledger.create_account(spec),
            Some(change) => ledger.update_account(spec.id, change),
        };
        match event {
            Some(event) => self.event(&Event::Account(*recorded), &Event::Account(event)),
            None => self.no_event(&Event::Account(*recorded), &outcome_text(outcome)),
        }
    }

    pub(super) fn event(&mut self, recorded: &Event, redecided: &Event) {
        if recorded == redecided {
            return;
        }
        let found = self.len();
        self.note(recorded.seq(), "event", kind(recorded).into(), kind(redecided).into());
        match (recorded, redecided) {
            (Event::Payment(recorded), Event::Payment(redecided)) => {
                self.payments(recorded, redecided);
            }
            (Event::HoldExpired(recorded), Event::HoldExpired(redecided)) => {
                self.expiries(recorded, redecided);
            }
            (Event::Account(recorded), Event::Account(redecided)) => {
                self.accounts(recorded, redecided);
            }
            _ => {}
        }
        // What has no field of its own above: the payment itself, which deciding takes as it is.
        if self.len() == found {
            let (recorded_text, redecided) = (format!("{recorded:?}"), format!("{redecided:?}"));
            self.note(recorded.seq(), "event", recorded_text, redecided);
        }
    }

    fn payments(&mut self, recorded: &PaymentEvent, redecided: &PaymentEvent) {
        let fields = |event: &PaymentEvent| {
            let PaymentEvent { seq, payment, outcome, verdict, .. } = event;
            [
                ("event_sequence", seq.to_string()),
                ("payment_id", id(payment.id.0)),
                ("status", status_text(outcome.status)),
                ("amount_minor", outcome.amount.0.to_string()),
                ("debit_account_id", id(payment.debit.0)),
                ("credit_account_id", id(payment.credit.0)),
                ("ledger", payment.ledger.0.to_string()),
                ("code", payment.code.0.to_string()),
                ("risk_decision", verdict.decision.name().to_owned()),
                ("risk_reason", verdict.rule.as_str().to_owned()),
            ]
        };
        self.fields(recorded.seq, fields(recorded), fields(redecided));
        self.balances(recorded.seq, recorded.balances.as_ref(), redecided.balances.as_ref());
    }

    fn expiries(&mut self, recorded: &HoldExpired, redecided: &HoldExpired) {
        let fields = |event: &HoldExpired| {
            [
                ("event_sequence", event.seq.to_string()),
                ("payment_id", id(event.payment.0)),
                ("amount_minor", event.released.0.to_string()),
                ("debit_account_id", id(event.debit.0)),
                ("credit_account_id", id(event.credit.0)),
            ]
        };
        self.fields(recorded.seq, fields(recorded), fields(redecided));
        self.balances(recorded.seq, Some(&recorded.balances), Some(&redecided.balances));
    }

    fn accounts(&mut self, recorded: &AccountEvent, redecided: &AccountEvent) {
        let fields = |event: &AccountEvent| {
            let Account { spec, state, balances } = &event.account;
            [
                ("event_sequence", event.seq.to_string()),
                ("account_id", id(spec.id.0)),
                ("state", format!("{state:?}").to_uppercase()),
                ("credit_limit_minor", spec.credit_limit.0.to_string()),
                ("ledger", spec.ledger.0.to_string()),
                ("code", spec.code.0.to_string()),
                ("account_balances_minor", format!("{balances:?}")),
            ]
        };
        self.fields(recorded.seq, fields(recorded), fields(redecided));
    }

    fn fields<const N: usize>(
        &mut self,
        seq: EventSeq,
        recorded: [(&'static str, String); N],
        redecided: [(&'static str, String); N],
    ) {
        for ((field, recorded), (_, redecided)) in recorded.into_iter().zip(redecided) {
            self.note(seq, field, recorded, redecided);
        }
    }

    fn balances(
        &mut self,
        seq: EventSeq,
        recorded: Option<&[Balances; 2]>,
        redecided: Option<&[Balances; 2]>,
    ) {
        for (side, names) in BALANCES.iter().enumerate() {
            let numbers = |sides: Option<&[Balances; 2]>| match sides {
                None => ["none"; 4].map(str::to_owned),
                Some(sides) => {
                    let Balances { debits_pending, debits_posted, credits_pending, credits_posted } =
                        sides[side];
                    [debits_pending, debits_posted, credits_pending, credits_posted]
                        .map(|number| number.to_string())
                }
            };
            for ((name, recorded), redecided) in
                names.iter().zip(numbers(recorded)).zip(numbers(redecided))
            {
                self.note(seq, name, recorded, redecided);
            }
        }
    }
}

/// What is decided today, told as far as the release that recorded it told of refusals: early ones
/// left the balances out where a group or the payment itself was at fault, and what a follow-up left
/// to its original; and where that named another account than its original, they told the balances of
/// the original's accounts.
fn as_told_then(recorded: &PaymentEvent, today: &PaymentEvent) -> PaymentEvent {
    use RejectReason as R;
    let (then, now) = (&recorded.payment, &today.payment);
    let mut told = *today;
    let Status::Rejected(reason) = today.outcome.status else { return told };
    if recorded.outcome.status != today.outcome.status {
        return told;
    }
    let of_original = [R::OriginalDebitAccountDiffers, R::OriginalCreditAccountDiffers];
    if recorded.balances.is_none() || of_original.contains(&reason) {
        told.balances = recorded.balances;
    }
    let unnamed = (then.debit, then.credit) == (AccountId::ZERO, AccountId::ZERO);
    if now.operation.needs_original() && unnamed {
        told.payment = Payment { debit: then.debit, credit: then.credit, ..*now };
        if then.ledger == LedgerId(0) {
            told.payment.ledger = then.ledger;
        }
    }
    told
}

type Hashes = ([u8; 32], [u8; 32]);

const BALANCES: [[&str; 4]; 2] = [
    [
        "debit_account_debits_pending_minor",
        "debit_account_debits_posted_minor",
        "debit_account_credits_pending_minor",
        "debit_account_credits_posted_minor",
    ],
    [
        "credit_account_debits_pending_minor",
        "credit_account_debits_posted_minor",
        "credit_account_credits_pending_minor",
        "credit_account_credits_posted_minor",
    ],
];

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Payment(_) => "PAYMENT",
        Event::HoldExpired(_) => "HOLD_EXPIRED",
        Event::Account(_) => "ACCOUNT",
        Event::Act(_) => "ACT",
    }
}

fn status_text(status: Status) -> String {
    match status {
        Status::Settled => "SETTLED".to_owned(),
        Status::Held => "HELD".to_owned(),
        Status::Voided => "VOIDED".to_owned(),
        Status::Rejected(reason) => format!("REJECTED {}", reason.upper_snake_name()),
    }
}

fn outcome_text(outcome: AccountOutcome) -> String {
    format!("no event: {outcome:?}")
}

/// An id as a UUID is written.
fn id(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
