//! The notification sink: consumes batches of events, writes the messages that the rules ask for,
//! and guarantees that all messages of one event are written together.

use std::path::Path;

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{AccountId, Amount, Currency, Event, EventSeq, LedgerId, Timestamp};

use super::{
    super::{
        NotifyConfig, Role, RuleConfig,
        occasion::Occasion,
        rules::Rules,
        template::{Facts, Message},
    },
    cursor::{Cursor, Place},
    directory::{Directory, Holder},
    outlet::Outlet,
};
use crate::{
    Sink, SinkError,
    line_file::create_dir,
    sink::is_due,
    text::{put_json_string, put_number, rfc3339},
};

const NAME: &str = "notify";
/// Messages are handed to the transport in pieces of about this size.
const WRITE_BYTES: usize = 256 * 1024;
/// Events between two hints; fewer would cost a sync of their own too often.
const HINT_EVENTS: u64 = 65_536;

/// Tells the holders of accounts what happened.
#[derive(Debug)]
pub struct NotifySink {
    outlet: Outlet,
    directory: Directory,
    rules: Rules,
    cursor: Cursor,
    buffer: Vec<u8>,
    next_seq: EventSeq,
}

impl NotifySink {
    /// Checks the rules, opens the files in `dir`, cuts what is incomplete, and goes on from there.
    ///
    /// # Errors
    /// When a rule or template makes no sense, or a file can't be used.
    pub fn open(dir: &Path, config: &NotifyConfig) -> Result<Self, SinkError> {
        let rules = Rules::compile(&config.rules)?;
        check_for_lines(config)?;
        create_dir(dir)?;
        let outlet = Outlet::open(dir, config.transport)?;
        Self::resume(dir, rules, outlet)
    }

    /// Where both the file and the cursor name a place, the later one counts, because both are
    /// durable. But a file that is shorter than the cursor knows it lost lines, and then only the
    /// file counts; an empty file was rotated away, and then only the cursor does.
    fn resume(dir: &Path, rules: Rules, mut outlet: Outlet) -> Result<Self, SinkError> {
        let cursor = Cursor::open(dir)?;
        let directory = Directory::open(dir, cursor.place.accounts_bytes)?;
        let hinted = EventSeq(cursor.place.next_seq);
        let next_seq = match outlet.resume()? {
            None => hinted,
            Some(in_file) if outlet.len() < cursor.place.notifications_bytes => {
                tracing::warn!(
                    next_seq = in_file.0,
                    hinted = hinted.0,
                    "the notifications lost their tail; writing it again",
                );
                in_file
            }
            Some(in_file) => in_file.max(hinted),
        };
        Ok(Self { outlet, directory, rules, cursor, buffer: Vec::new(), next_seq })
    }

    fn save_place(&mut self) -> Result<(), SinkError> {
        let since_hint = self.next_seq.0 - self.cursor.place.next_seq.min(self.next_seq.0);
        if matches!(self.outlet, Outlet::File(_)) && since_hint < HINT_EVENTS {
            return Ok(());
        }
        self.cursor.save(Place {
            next_seq: self.next_seq.0,
            notifications_bytes: self.outlet.len(),
            accounts_bytes: self.directory.len(),
        })
    }

    /// Appends the event's messages to the buffer.
    fn tell(&mut self, occasion: &Occasion) -> Result<(), SinkError> {
        let holder_of = |role| {
            let (account, _) = occasion.accounts(role);
            self.directory.holder(account, occasion.seq).map(|holder| (role, holder))
        };
        let told = occasion.told().iter().copied().filter_map(holder_of);
        let of = told.clone().count();
        let Some((_, first)) = told.clone().next() else { return Ok(()) };
        let Some(rule) = self.rules.find(occasion.kind, first.ledger, occasion.amount) else {
            return Ok(());
        };
        let wording = Wording::of(occasion, first.ledger);
        for (index, (role, holder)) in told.enumerate() {
            let parties = Parties::of(occasion, role, holder);
            let facts = wording.facts(occasion, role, &parties);
            let message = self.rules.render(rule, &facts)?;
            put_line(&mut self.buffer, &facts, &message, index + 1, of);
        }
        Ok(())
    }
}

impl Sink for NotifySink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        self.next_seq
    }

    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        self.outlet.begin()?;
        self.directory.begin()?;
        self.buffer.clear();
        let mut next_seq = self.next_seq;
        for batch in batches {
            for event in &batch.events {
                if !is_due(NAME, next_seq, event.event.seq())? {
                    continue;
                }
                next_seq = next_seq.next();
                if let Event::Account(account) = &event.event {
                    self.directory.note(account);
                } else if let Some(occasion) = Occasion::of(&event.event, batch.time) {
                    self.tell(&occasion).map_err(|error| poisoned(error, occasion.seq))?;
                }
                if self.buffer.len() >= WRITE_BYTES {
                    self.write()?;
                }
            }
        }
        self.write()?;
        self.outlet.commit()?;
        self.next_seq = next_seq;
        self.save_place()
    }

    /// Nothing in the file tells of a skipped event, so the cursor has to.
    fn skip(&mut self, seq: EventSeq, _: Timestamp, _reason: &str) -> Result<(), SinkError> {
        is_due(NAME, self.next_seq, seq)?;
        self.cursor.save(Place {
            next_seq: seq.next().0,
            notifications_bytes: self.outlet.len(),
            accounts_bytes: self.directory.len(),
        })?;
        self.next_seq = seq.next();
        Ok(())
    }
}

impl NotifySink {
    /// Writes what is rendered. Accounts first: the file's end is the cursor, so no message may be
    /// there before the accounts that came before it.
    fn write(&mut self) -> Result<(), SinkError> {
        self.directory.commit()?;
        self.outlet.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Text that both parties' messages share.
struct Wording {
    payment: String,
    original: String,
    amount: String,
    currency: String,
    reason: String,
    reason_code: String,
    time: String,
}

/// Text that tells one party's message from the other's.
struct Parties {
    account: String,
    owner: String,
    counterparty: String,
}

impl Wording {
    fn of(occasion: &Occasion, ledger: LedgerId) -> Self {
        let currency = Currency::of_ledger(ledger);
        let amount = match (occasion.amount, currency) {
            (Amount::ALL, _) => "all".to_owned(),
            (amount, Some(currency)) => currency.format(amount),
            (amount, None) => amount.0.to_string(),
        };
        let reason_code = occasion.reason.map(|reason| reason.upper_snake_name());
        let reason_code = reason_code.unwrap_or_default();
        Self {
            payment: occasion.payment.to_string(),
            original: named(occasion.original.0),
            amount,
            currency: currency.map_or_else(|| ledger.0.to_string(), |known| known.code.to_owned()),
            reason: reason_code.to_lowercase().replace('_', " "),
            reason_code,
            time: rfc3339(occasion.time),
        }
    }

    fn facts<'a>(&'a self, occasion: &'a Occasion, role: Role, parties: &'a Parties) -> Facts<'a> {
        Facts {
            kind: occasion.kind.name(),
            role: role.name(),
            account: &parties.account,
            owner: &parties.owner,
            counterparty: &parties.counterparty,
            payment: &self.payment,
            original: &self.original,
            operation: occasion.operation,
            amount: &self.amount,
            currency: &self.currency,
            reason: &self.reason,
            reason_code: &self.reason_code,
            seq: occasion.seq.0,
            time: &self.time,
            ..Facts::default()
        }
    }
}

impl Parties {
    fn of(occasion: &Occasion, role: Role, holder: Holder) -> Self {
        let (account, counterparty) = occasion.accounts(role);
        Self {
            account: account.to_string(),
            owner: named(holder.owner.0),
            counterparty: named(counterparty.0),
        }
    }
}

/// A template that can't be rendered for an event is at fault for this event only.
fn poisoned(error: SinkError, seq: EventSeq) -> SinkError {
    match error {
        SinkError::Template { .. } => {
            SinkError::Poison { sink: NAME, seq, problem: error.to_string() }
        }
        other => other,
    }
}

/// Lines know fewer kinds than the outbox, one template per rule, and no channels.
fn check_for_lines(config: &NotifyConfig) -> Result<(), SinkError> {
    let outbox_only = |rule: &RuleConfig| match rule {
        rule if *rule == RuleConfig::any(rule.on) => None,
        rule if !rule.on.is_in_lines() => Some("this kind"),
        rule if !rule.channels.is_empty() => Some("channels"),
        rule if rule.role.is_some() => Some("role"),
        rule if !rule.accounts.is_empty() => Some("accounts"),
        rule if !rule.owners.is_empty() => Some("owners"),
        rule if !rule.reasons.is_empty() => Some("reasons"),
        _ => None,
    };
    for (index, rule) in config.rules.iter().enumerate() {
        if let Some(what) = outbox_only(rule) {
            return Err(SinkError::Rule {
                rule: index + 1,
                kind: rule.on.name(),
                problem: format!("{what} needs transport = \"outbox\""),
            });
        }
    }
    Ok(())
}

/// An absent id is no text.
fn named(id: u128) -> String {
    if id == 0 { String::new() } else { AccountId(id).to_string() }
}

fn put_line(out: &mut Vec<u8>, facts: &Facts<'_>, message: &Message, n: usize, of: usize) {
    out.extend_from_slice(b"{\"seq\":");
    put_number(out, facts.seq);
    out.extend_from_slice(b",\"n\":");
    put_number(out, n);
    out.extend_from_slice(b",\"of\":");
    put_number(out, of);
    for (label, text) in [
        (",\"time\":", facts.time),
        (",\"kind\":", facts.kind),
        (",\"payment\":", facts.payment),
        (",\"to\":{\"role\":", facts.role),
        (",\"account\":", facts.account),
    ] {
        out.extend_from_slice(label.as_bytes());
        put_json_string(out, text);
    }
    if !facts.owner.is_empty() {
        out.extend_from_slice(b",\"owner\":");
        put_json_string(out, facts.owner);
    }
    out.extend_from_slice(b"},\"subject\":");
    put_json_string(out, &message.subject);
    out.extend_from_slice(b",\"body\":");
    put_json_string(out, &message.body);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use millrace_engine::feed::FeedEvent;
    use millrace_ledger::{
        Account, AccountEvent, AccountSpec, AccountState, Balances, HoldExpired, PaymentId,
    };

    use super::*;

    /// A stream that shows what was written to it, or fails.
    #[derive(Clone, Default)]
    struct Stream(Arc<Mutex<(Vec<u8>, bool)>>);

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap();
            if state.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            state.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn open(dir: &Path, stream: &Stream) -> NotifySink {
        let rules = Rules::compile(&NotifyConfig::default().rules).expect("valid rules");
        NotifySink::resume(dir, rules, Outlet::Stream(Box::new(stream.clone()))).expect("opens")
    }

    fn event(seq: u64) -> FeedBatch {
        let event = match seq {
            1 | 2 => {
                let spec = AccountSpec {
                    id: AccountId(u128::from(seq)),
                    ledger: LedgerId(203),
                    ..AccountSpec::default()
                };
                let balances = Balances::default();
                let account = Account { spec, state: AccountState::Open, balances };
                Event::Account(AccountEvent { seq: EventSeq(seq), change: None, account })
            }
            _ => Event::HoldExpired(HoldExpired {
                seq: EventSeq(seq),
                payment: PaymentId(u128::from(seq)),
                debit: AccountId(1),
                credit: AccountId(2),
                released: Amount(100),
                balances: [Balances::default(); 2],
            }),
        };
        let event = FeedEvent { event, context: Vec::new().into(), evidence: Vec::new().into() };
        FeedBatch { time: Timestamp(0), events: vec![event] }
    }

    fn told(stream: &Stream) -> Vec<u64> {
        let text = String::from_utf8(stream.0.lock().unwrap().0.clone()).expect("text");
        let seq =
            |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["seq"].as_u64();
        text.lines().map(|line| seq(line).expect("a number")).collect()
    }

    /// A stream keeps nothing, so the cursor alone says where to go on; what was written after it
    /// comes again.
    #[test]
    fn a_stream_is_at_least_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let stream = Stream::default();
        let mut sink = open(dir.path(), &stream);
        sink.apply(&[event(1), event(2), event(3)]).expect("applies");
        let cursor = std::fs::read(dir.path().join("cursor")).expect("reads");
        sink.apply(&[event(4)]).expect("applies");
        drop(sink);

        let sink = open(dir.path(), &stream);
        assert_eq!(sink.next_seq(), EventSeq(5));
        drop(sink);

        std::fs::write(dir.path().join("cursor"), cursor).expect("written");
        let mut sink = open(dir.path(), &stream);
        assert_eq!(sink.next_seq(), EventSeq(4), "as if the last cursor had not been written");
        sink.apply(&[event(4), event(5)]).expect("applies");
        assert_eq!(told(&stream), [3, 4, 4, 5]);
    }

    #[test]
    fn an_attempt_that_fails_is_repeated_with_all_that_it_knew() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let stream = Stream::default();
        let mut sink = open(dir.path(), &stream);
        let batches = [event(1), event(2), event(3)];
        stream.0.lock().unwrap().1 = true;
        let error = sink.apply(&batches).expect_err("the stream is broken");
        assert!(error.is_transient(), "{error}");
        assert_eq!(sink.next_seq(), EventSeq(1));
        stream.0.lock().unwrap().1 = false;
        sink.apply(&batches).expect("applies");
        drop(sink);
        assert_eq!(told(&stream), [3]);
        let accounts = std::fs::read_to_string(dir.path().join("accounts.jsonl")).expect("reads");
        assert_eq!(accounts.lines().count(), 2, "each account once: {accounts}");
    }
}
