//! Acts: consumes who, why and what, produces one event of the journal each. Guarantees that what
//! this process journaled is known here at once, however far behind the review desk is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use millrace_engine::Command;
use millrace_ledger::{EventSeq, PaymentId};
use millrace_risk::{
    acts::{Act, ActKind},
    desk::Deed,
};
use tonic::Status;

use super::{RiskRefusal, Risks, desk::ReviewDesk};

const ACTOR_LEN_MAX: usize = 200;
const WHY_LEN_MAX: usize = 1_000;
/// How long a change waits for the desk to have read what was journaled before the start.
const START_WAIT_MAX: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);
/// Acts that the desk may be behind.
const RECENT_MAX: usize = 65_536;
/// Locks that payments are spread over.
const LOCKS: usize = 64;

/// Who, and why: checked.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) actor: String,
    pub(crate) why: String,
}

/// Says what is wrong with who and why, as the front door would.
///
/// # Errors
/// A sentence.
pub fn check_signature(actor: &str, why: &str) -> Result<(), String> {
    let checked = Signature::check(actor.to_owned(), why.to_owned());
    checked.map(drop).map_err(|refusal| Status::from(refusal).message().to_owned())
}

impl Signature {
    pub(crate) fn check(actor: String, why: String) -> Result<Self, RiskRefusal> {
        for (field, text, bytes_max) in
            [("actor", &actor, ACTOR_LEN_MAX), ("why", &why, WHY_LEN_MAX)]
        {
            if text.trim().is_empty() {
                return Err(RiskRefusal::FieldMissing { field });
            }
            if text.len() > bytes_max {
                return Err(RiskRefusal::FieldTooLong { field, bytes_max });
            }
            if text.chars().any(char::is_control) {
                let what = "has control characters; write it on one line";
                return Err(RiskRefusal::FieldMalformed { field, what });
            }
        }
        Ok(Self { actor, why })
    }
}

/// An act of this process.
#[derive(Debug)]
struct Recent {
    act: Act,
    deed: Deed,
}

/// What this process journaled and the desk may not have read yet, and the locks that make "look,
/// then act" one step.
#[derive(Debug)]
pub(super) struct Ledgered {
    /// The last event that was durable when the service started.
    start_seq: EventSeq,
    recent: Mutex<Vec<Recent>>,
    payments: [tokio::sync::Mutex<()>; LOCKS],
    pub(super) policy: tokio::sync::Mutex<()>,
    pub(super) shelving: tokio::sync::Mutex<()>,
}

impl Ledgered {
    pub(super) fn new(start_seq: EventSeq) -> Self {
        Self {
            start_seq,
            recent: Mutex::default(),
            payments: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            policy: tokio::sync::Mutex::new(()),
            shelving: tokio::sync::Mutex::new(()),
        }
    }

    /// Keeps everybody else from acting on the payment.
    pub(super) async fn lock(&self, payment: PaymentId) -> tokio::sync::MutexGuard<'_, ()> {
        self.payments[(payment.0 % LOCKS as u128) as usize].lock().await
    }

    /// The acts that fit and that the desk has not read yet, in order. Whoever asks the desk as
    /// well asks it afterwards: an act that is not here any more is there.
    pub(super) fn unread<T>(
        &self,
        desk: &dyn ReviewDesk,
        fits: impl Fn(&ActKind) -> Option<T>,
    ) -> Vec<(T, Deed)> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = desk.applied_seq().0;
        recent.retain(|recent| recent.deed.seq > applied);
        let fitting = |it: &Recent| Some((fits(&it.act.act)?, it.deed.clone()));
        let mut found: Vec<_> = recent.iter().filter_map(fitting).collect();
        found.sort_by_key(|(_, deed)| deed.seq);
        found
    }

    fn has_room(&self) -> bool {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).len() < RECENT_MAX
    }

    /// The time is that of the answer, a moment after the batch's, until the desk knows that one.
    fn note(&self, seq: EventSeq, act: Act) -> Deed {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (by, why) = (act.actor.clone(), act.why.clone());
        let deed = Deed { by, why, at_ns: now.as_nanos() as u64, seq: seq.0 };
        let recent = Recent { act, deed: deed.clone() };
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(recent);
        deed
    }
}

impl Risks {
    /// The desk, once it has read all that was journaled before this process took requests: what
    /// came later is known here.
    pub(super) async fn current_desk(&self) -> Result<Arc<dyn ReviewDesk>, RiskRefusal> {
        let desk = self.desk()?;
        let started = Instant::now();
        loop {
            let behind = self.ledgered.start_seq.0.saturating_sub(desk.applied_seq().0);
            if behind == 0 {
                return Ok(desk);
            }
            if started.elapsed() >= START_WAIT_MAX {
                return Err(RiskRefusal::DeskBehind { events: behind });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Journals an act. Whoever calls has looked whether it makes sense, under the lock of what it
    /// changes.
    pub(super) async fn act(
        &self,
        desk: &dyn ReviewDesk,
        signature: &Signature,
        act: ActKind,
        deadline: Option<Instant>,
    ) -> Result<Deed, Status> {
        // Forgets what the desk has read.
        self.ledgered.unread(desk, |_| None::<()>);
        if !self.ledgered.has_room() {
            return Err(RiskRefusal::DeskBehind { events: RECENT_MAX as u64 }.into());
        }
        let Signature { actor, why } = signature.clone();
        let act = Act { actor, why, act };
        let bytes = Bytes::from(act.to_bytes());
        let command = |reply| Command::Act { act: bytes, reply };
        let done = self.admission.submit(deadline, command).await?.answer().await?;
        let seq = done.map_err(|error| RiskRefusal::ActRefused { what: error.to_string() })?;
        Ok(self.ledgered.note(seq, act))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_says_who_and_why_in_one_line_each() {
        let reason = |actor: &str, why: &str| check_signature(actor, why).err();
        assert_eq!(reason("ann", "looks right"), None);
        assert_eq!(reason(&"a".repeat(200), &"w".repeat(1_000)), None);
        for (actor, why, said) in [
            ("", "because", "actor is not set; every change says who makes it and why"),
            ("ann", " \t", "why is not set; every change says who makes it and why"),
            (&*"a".repeat(201), "because", "actor has more than 200 bytes; shorten it"),
            ("ann", &*"w".repeat(1_001), "why has more than 1000 bytes; shorten it"),
            ("ann\u{1b}[2J", "x", "actor has control characters; write it on one line"),
            ("ann", "two\nlines", "why has control characters; write it on one line"),
        ] {
            assert_eq!(reason(actor, why).as_deref(), Some(said), "{actor:?} {why:?}");
        }
    }
}
