//! Redecide: consumes a journal, decides everything in it again with today's rules, and produces the
//! differences between what is recorded and what would be decided now.
//!
//! Guarantees that a difference is told with its event and its field, and that it has no followers:
//! after one, deciding goes on from the recorded state. Two ledgers go side by side for that: one
//! applies what is recorded, as recovery does, the other decides.
//!
//! What the journal does not know is taken from it as it is: what risk said, and whether a linked
//! group was left open at its request's end. A replay leaves no event; of the groups that it may
//! have been in,
//!
//! | recorded members | what is done |
//! |---|---|
//! | one has a reason of its own, or all were accepted | decided again: a replay changes nothing |
//! | the last one is `GROUP_UNCLOSED` | decided again as a group that is not closed |
//! | all are `GROUP_MEMBER_FAILED` | a replay was what failed, so it is applied as recorded, and counted |

mod compare;
#[cfg(test)]
mod tests;

use std::path::Path;

use millrace_ledger::{
    ApproveAll, Decision, Event, EventSeq, Gate, HoldExpired, Judged, Ledger, LedgerConfig,
    Payment, PaymentEvent, RejectReason, RiskDecision, Status, Verdict,
};

use crate::{
    JournalError, RecoveryReport,
    past::Runs,
    recover::{self, Origin},
    scan::{JournalScan, ScannedFrame, Start},
    segment::{self, FIRST_FRAME},
    segment_frames::ChainEnd,
};
use compare::Differences;

/// Differences after which nothing more is decided again: by then they are of one kind.
const DIFFERENCES_MAX: usize = 20;

/// A recorded event that would be another one today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event.
    pub seq: EventSeq,
    /// What differs, named as in an export.
    pub field: &'static str,
    /// What the journal says.
    pub recorded: String,
    /// What is decided today.
    pub redecided: String,
}

/// What came of deciding a journal again.
#[derive(Debug)]
pub struct Redecision {
    /// What was read, as [`crate::recover::verify`] tells it.
    pub report: RecoveryReport,
    /// The ledger that the recorded events come to.
    pub ledger: Ledger,
    /// Events that were decided again.
    pub redecided: u64,
    /// Payments of groups that failed because of a member that left no event.
    pub not_redecidable: u64,
    /// The first of them, by event.
    pub differences: Vec<Difference>,
    /// The last event that was decided again, where there were too many differences to go on.
    pub gave_up_after: Option<EventSeq>,
    /// Why the journal could not be applied to its end, where a difference was found before that.
    pub stopped: Option<JournalError>,
}

/// Decides the whole journal of a directory again, in bounded memory: payments that are not recent
/// are kept in files in `scratch`. Of a journal whose beginning was deleted, what the oldest usable
/// snapshot does not know is decided again; of the frames before that, bytes and chain are checked.
/// Changes nothing. `progress` hears of every frame's last event.
///
/// # Errors
/// As [`crate::recover::verify_within`], unless a difference was found before: it may be the cause.
pub fn redecide_within(
    directory: &Path,
    scratch: &Path,
    progress: impl FnMut(EventSeq),
) -> Result<Redecision, JournalError> {
    let LedgerConfig { generation_payments_max, .. } = LedgerConfig::default();
    redecide(directory, scratch, generation_payments_max, progress)
}

fn redecide(
    directory: &Path,
    scratch: &Path,
    generation_payments_max: u32,
    mut progress: impl FnMut(EventSeq),
) -> Result<Redecision, JournalError> {
    let mut report = RecoveryReport::default();
    let mut known = recover::known(directory, &mut report)?;
    let Origin { ledger, runs, from, snapshot } =
        recover::origin(directory, scratch, generation_payments_max, &known, &mut report)?;
    known.begin(from);
    let mut redecider = Redecider::new(ledger, runs);
    let segments = segment::list(directory)?;
    report.first_seq = segments.first().map_or(from.next_seq, |(first, _)| *first);
    report.segments = segments.len();
    report.bytes = report.segments as u64 * FIRST_FRAME;
    report.head = from.head;
    let mut read_to = report.first_seq;
    let mut scan = JournalScan::open_at(directory, Start::Oldest)?.with_any_end();
    let mut stopped = None;
    for frame in &mut scan {
        let done = frame.and_then(|frame| {
            report.bytes += frame.len();
            read_to = frame.last_seq().next();
            progress(frame.last_seq());
            // What the snapshot knows is not decided again. The scan found it whole and in its place.
            if read_to <= from.next_seq {
                return Ok(());
            }
            let before = ChainEnd { head: frame.previous, next_seq: frame.first_seq };
            if let (0, Some(snapshot), true) = (report.frames, &snapshot, before != from) {
                return Err(recover::another_frame(snapshot));
            }
            redecider.frame(&frame)?;
            let end = ChainEnd { head: frame.hash, next_seq: frame.last_seq().next() };
            known.frame(end, &redecider.recorded)?;
            report.frames += 1;
            report.head = frame.hash;
            Ok(())
        });
        if let Err(error) = done {
            if redecider.differences.is_empty() {
                return Err(error);
            }
            stopped = Some(error);
            break;
        }
    }
    let torn = scan.torn_tail();
    report.torn_tail = torn.map(|torn| (torn.segment.display().to_string(), torn.offset));
    report.last_seq = redecider.recorded.last_seq();
    if stopped.is_none() {
        let journal = scan.journal();
        let broken = torn.map(|torn| (torn.segment.clone(), torn.offset));
        let ended = match (report.frames, &snapshot) {
            (0, Some(path)) if read_to < from.next_seq => {
                let (known, last) = (EventSeq(from.next_seq.0 - 1), EventSeq(read_to.0 - 1));
                Err(JournalError::SnapshotAhead { path: path.clone(), known, last, broken })
            }
            (0, Some(snapshot)) if scan.head() != Some(from.head) => {
                Err(recover::another_frame(snapshot))
            }
            _ => known.end(journal, report.last_seq, broken),
        };
        match ended {
            Err(error) if redecider.differences.is_empty() => return Err(error),
            ended => stopped = ended.err(),
        }
    }
    Ok(redecider.finish(report, stopped))
}

struct Redecider {
    /// Applies what is recorded.
    recorded: Ledger,
    /// Decides. `None` once there were too many differences.
    deciding: Option<Ledger>,
    runs: Runs,
    differences: Differences,
    redecided: u64,
    not_redecidable: u64,
    gave_up_after: Option<EventSeq>,
}

impl Redecider {
    fn new(empty: Ledger, runs: Runs) -> Self {
        Self {
            deciding: Some(empty.clone()),
            recorded: empty,
            runs,
            differences: Differences::default(),
            redecided: 0,
            not_redecidable: 0,
            gave_up_after: None,
        }
    }

    fn frame(&mut self, frame: &ScannedFrame) -> Result<(), JournalError> {
        let (mut events, mut continues) = (Vec::new(), Vec::new());
        frame.each_event(|event, continues_group| {
            events.push(event.event);
            continues.push(continues_group);
        })?;
        self.recorded.begin_recorded_batch(frame.time);
        let is_expiry = |event: &&Event| matches!(event, Event::HoldExpired(_));
        let expiries = events.iter().take_while(is_expiry).count();
        let found = self.differences.len();
        self.begin_batch(frame, &events, expiries);
        self.apply(frame, &events[..expiries], found)?;
        let mut at = expiries;
        while at < events.len() {
            let end = match &events[at] {
                Event::Payment(_) => {
                    let members = continues[at + 1..].iter().take_while(|continues| **continues);
                    at + 1 + members.count()
                }
                Event::HoldExpired(_) | Event::Account(_) | Event::Act(_) => at + 1,
            };
            let found = self.differences.len();
            self.decide_again(&events[at..end])?;
            self.apply(frame, &events[at..end], found)?;
            at = end;
        }
        self.seal_if_full()
    }

    /// Begins a batch on the ledger that decides, and compares the holds that expire.
    fn begin_batch(&mut self, frame: &ScannedFrame, events: &[Event], expiries: usize) {
        let Some(deciding) = &mut self.deciding else { return };
        let time = frame.time.max(deciding.time());
        if time != frame.time {
            self.differences.time(frame.first_seq, frame.time, time);
        }
        // A frame of expiries only may have been full: the others that were due came in the next.
        let holds_max = if expiries == events.len() { expiries } else { usize::MAX };
        let mut expired: Vec<HoldExpired> = Vec::new();
        deciding.begin_batch_within(time, holds_max, &mut expired);
        for at in 0..expiries.max(expired.len()) {
            let redecided = expired.get(at).map(|event| Event::HoldExpired(*event));
            match (events.get(at), redecided) {
                (Some(recorded), Some(redecided)) => self.differences.event(recorded, &redecided),
                (Some(recorded), None) => self.differences.no_event(recorded, "no event"),
                (None, _) => {
                    let seq = EventSeq(frame.first_seq.0 + at as u64);
                    self.differences.superfluous(seq, "HOLD_EXPIRED");
                }
            }
        }
        self.redecided += expiries as u64;
    }

    /// Decides an account event, or the payments of a group, again.
    fn decide_again(&mut self, unit: &[Event]) -> Result<(), JournalError> {
        let Some(deciding) = &mut self.deciding else { return Ok(()) };
        let payments: Vec<&PaymentEvent> = unit.iter().filter_map(as_payment).collect();
        match &unit[0] {
            Event::Payment(_) => {
                if payments.iter().all(|event| failed_with(event, RejectReason::GroupMemberFailed))
                {
                    self.not_redecidable += unit.len() as u64;
                    for event in unit {
                        // It refuses what the other ledger refuses, which tells of it.
                        let _ = deciding.apply(event, &mut ApproveAll);
                    }
                    return Ok(());
                }
                let decisions = decide(deciding, &payments)?;
                for (recorded, decision) in unit.iter().zip(&decisions) {
                    self.differences.decision(recorded, decision);
                }
            }
            Event::Account(recorded) => self.differences.account(recorded, deciding),
            // What an analyst did is no decision: it takes its place.
            Event::Act(_) => drop(deciding.record_act()),
            // Holds expire at the beginning of a batch only.
            late @ Event::HoldExpired(_) => self.differences.no_event(late, "no event"),
        }
        self.redecided += unit.len() as u64;
        Ok(())
    }

    /// Applies events as they are recorded. Where they differ from what was decided, deciding goes
    /// on from there. `found` is how many differences there were before them.
    fn apply(
        &mut self,
        frame: &ScannedFrame,
        events: &[Event],
        found: usize,
    ) -> Result<(), JournalError> {
        for event in events {
            self.recorded.apply(event, &mut ApproveAll).map_err(|divergence| {
                JournalError::Diverged { path: frame.segment.to_path_buf(), divergence }
            })?;
        }
        if self.deciding.is_some() && self.differences.len() > found {
            self.deciding = None;
            match self.differences.len() < DIFFERENCES_MAX {
                true => self.deciding = Some(self.recorded.clone()),
                false => self.gave_up_after = Some(self.recorded.last_seq()),
            }
        }
        Ok(())
    }

    /// Both ledgers close their generations together. They hold the same payments, so one run will
    /// do for both; if they do not, the hash at the end tells.
    fn seal_if_full(&mut self) -> Result<(), JournalError> {
        let is_full = |ledger: &Ledger| ledger.generation_is_full();
        if !is_full(&self.recorded) && !self.deciding.as_ref().is_some_and(is_full) {
            return Ok(());
        }
        if let Some(generation) = self.recorded.close_generation() {
            self.runs.seal(&generation)?;
            self.recorded.let_go(generation.digest());
        }
        if let Some(deciding) = &mut self.deciding
            && let Some(generation) = deciding.close_generation()
        {
            deciding.let_go(generation.digest());
        }
        while self.runs.merge_if_due(&|| false)? {}
        Ok(())
    }

    fn finish(mut self, report: RecoveryReport, stopped: Option<JournalError>) -> Redecision {
        self.recorded.end_batch();
        if let (Some(deciding), None) = (&self.deciding, &stopped) {
            let hashes = (self.recorded.state_hash(), deciding.state_hash());
            self.differences.state_hash(report.last_seq, hashes);
        }
        Redecision {
            report,
            ledger: self.recorded,
            redecided: self.redecided,
            not_redecidable: self.not_redecidable,
            differences: self.differences.into_first(DIFFERENCES_MAX),
            gave_up_after: self.gave_up_after,
            stopped,
        }
    }
}

fn as_payment(event: &Event) -> Option<&PaymentEvent> {
    match event {
        Event::Payment(event) => Some(event),
        Event::HoldExpired(_) | Event::Account(_) | Event::Act(_) => None,
    }
}

fn failed_with(event: &PaymentEvent, reason: RejectReason) -> bool {
    event.outcome.status == Status::Rejected(reason)
}

/// Decides the payments of one group.
fn decide(ledger: &mut Ledger, recorded: &[&PaymentEvent]) -> Result<Vec<Decision>, JournalError> {
    let payments: Vec<Payment> = recorded.iter().map(|event| event.payment).collect();
    let unclosed =
        recorded.last().is_some_and(|event| failed_with(event, RejectReason::GroupUnclosed));
    let mut gate = RecordedVerdicts { ahead: recorded };
    let mut decisions = Vec::with_capacity(payments.len());
    let decided = |decision: &Decision| decisions.push(*decision);
    match unclosed {
        true => ledger.decide(&payments, &mut gate, decided)?,
        false => ledger.decide_group_again(&payments, &mut gate, decided)?,
    }
    Ok(decisions)
}

/// Gives back what risk said. A payment that was not judged then, and is now, is approved, which
/// shows in its event, as does one that was judged and is not any more.
struct RecordedVerdicts<'a> {
    /// Members that come after the one that was judged last.
    ahead: &'a [&'a PaymentEvent],
}

impl Gate for RecordedVerdicts<'_> {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        // Members are judged in order, each at most once.
        let at = self.ahead.iter().position(|event| event.payment == *judged.payment);
        let Some(at) = at else { return Verdict::APPROVE };
        let verdict = self.ahead[at].verdict;
        self.ahead = &self.ahead[at + 1..];
        match verdict.decision {
            RiskDecision::NotJudged => Verdict::APPROVE,
            _ => verdict,
        }
    }

    fn observe(&mut self, _: Judged<'_>) {}

    fn begin_group(&mut self) {}

    fn end_group(&mut self, _: bool) {}
}
