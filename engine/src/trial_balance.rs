//! Trial balance: consumes a journal, produces the sums of all accounts as they stood at a time, per
//! ledger and account code.
//!
//! Sums are exact, of whatever amounts. Changes nothing and is safe beside a running engine. It holds accounts in memory and no payments:
//! every event tells the balances that it left. It begins with the newest snapshot that is early
//! enough; one that can't be used is passed over, because the journal alone comes to the same.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use millrace_ledger::{
    Account, AccountId, BalanceSums, Balances, Code, Divergence, Event, EventSeq, LedgerId,
    Timestamp,
};

use crate::{
    JournalError,
    frame::FrameHash,
    recover::Known,
    scan::{self, JournalScan, ScannedFrame, Start},
    segment::{self, JournalId, SegmentReader},
    snapshot,
};

/// Why there is no trial balance.
#[derive(Debug, thiserror::Error)]
pub enum TrialBalanceError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nothing was ever recorded.
    #[error("the journal has no event yet")]
    NoEvent,
    /// The time is before all that is known.
    #[error("nothing was recorded by then: the first event is of a later time")]
    BeforeFirst {
        /// Time of the first event.
        first: Timestamp,
    },
    /// What came first was deleted, and no snapshot stands in for it.
    #[error(
        "the journal begins with event {first}, and there is no snapshot early enough to stand in \
         for what was before it. Put the segments before it back{}",
        if earliest.is_some() { ", or ask for a later time" } else { "" }
    )]
    BeginningMissing {
        /// The first event that is there.
        first: EventSeq,
        /// The earliest time that can be asked for: that of the oldest snapshot that is whole.
        earliest: Option<Timestamp>,
    },
}

/// Accounts of one code, or of a whole ledger, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Number of accounts, closed ones too.
    pub accounts: u64,
    /// Their balances.
    pub balances: BalanceSums,
}

impl Sums {
    fn add(&mut self, balances: &Balances) {
        self.accounts += 1;
        self.balances += balances;
    }
}

/// One ledger's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerSums {
    /// By account code.
    pub codes: BTreeMap<Code, Sums>,
    /// All of them.
    pub total: Sums,
}

/// The sums of all accounts as they stood after one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// The last event that counts.
    pub as_of: EventSeq,
    /// Time of its batch.
    pub time: Timestamp,
    /// The last event of the snapshot that it began with, if there was one.
    pub snapshot: Option<EventSeq>,
    /// By ledger.
    pub ledgers: BTreeMap<LedgerId, LedgerSums>,
}

/// Adds up the accounts of a journal as they stood after the last batch whose time is not after
/// `at`; without, after the last one. `progress` hears of every frame's last event.
///
/// # Errors
/// See [`TrialBalanceError`]. Every ledger's debits equal its credits unless somebody made money:
/// whoever asks is to check [`BalanceSums::balanced`].
pub fn trial_balance(
    directory: &Path,
    at: Option<Timestamp>,
    mut progress: impl FnMut(EventSeq),
) -> Result<TrialBalance, TrialBalanceError> {
    let at = at.unwrap_or(Timestamp(u64::MAX));
    let mut standing = begin(directory, at)?;
    let next = standing.as_of.next();
    let mut scan = JournalScan::open_at(directory, Start::Seq(next))?;
    let mut before = Some(standing.as_of);
    for frame in &mut scan {
        let frame = frame?;
        if let Some(last) = before.take() {
            standing.check_is_of(last == before_frame(&frame), frame.previous)?;
        }
        if frame.time > at {
            if standing.as_of == EventSeq(0) {
                return Err(TrialBalanceError::BeforeFirst { first: frame.time });
            }
            break;
        }
        standing.take(&frame)?;
        progress(standing.as_of);
    }
    if before.is_some() {
        standing.check_is_of(true, scan.head().unwrap_or_default())?;
    }
    match standing.as_of {
        EventSeq(0) => Err(TrialBalanceError::NoEvent),
        _ => Ok(standing.add_up()),
    }
}

/// The last event before a frame.
fn before_frame(frame: &ScannedFrame) -> EventSeq {
    EventSeq(frame.first_seq.0 - 1)
}

/// Accounts as they stand after an event.
#[derive(Debug, Default)]
struct Standing {
    as_of: EventSeq,
    time: Timestamp,
    /// The snapshot that it began with, and the hash of the frame that this stands after.
    snapshot: Option<(PathBuf, EventSeq, FrameHash)>,
    places: HashMap<AccountId, u32>,
    accounts: Vec<Standings>,
}

/// What is kept of one account.
#[derive(Clone, Copy, Debug)]
struct Standings {
    ledger: LedgerId,
    code: Code,
    balances: Balances,
}

/// Begins with the newest snapshot that is not after a time, or with nothing.
fn begin(directory: &Path, at: Timestamp) -> Result<Standing, TrialBalanceError> {
    // Snapshots first: one that appears meanwhile may be ahead of the segments that were listed.
    let snapshots = snapshot::list(directory)?;
    let segments = segment::list(directory)?;
    let (Some((first, _)), Some((_, newest))) = (segments.first(), segments.last()) else {
        if let Some((known, path)) = snapshots.into_iter().next() {
            let (last, broken) = (EventSeq(0), None);
            return Err(JournalError::SnapshotAhead { path, known, last, broken }.into());
        }
        Known::by_note(directory)?.end(None, EventSeq(0), None)?;
        return Err(TrialBalanceError::NoEvent);
    };
    let journal = SegmentReader::open(newest)?.header.journal;
    let mut later = Vec::new();
    for (seq, path) in snapshots {
        // A snapshot whose events come after a gap is of no use.
        if seq.next() < *first {
            break;
        }
        match from_snapshot(&path, journal, at) {
            Ok(Some(standing)) => {
                let last = scan::last_seq(directory)?;
                return match standing.as_of <= last {
                    true => Ok(standing),
                    false => {
                        let known = seq;
                        Err(JournalError::SnapshotAhead { path, known, last, broken: None }.into())
                    }
                };
            }
            Ok(None) => later.push(path),
            Err(error) => tracing::warn!(%error, "passing over a snapshot"),
        }
    }
    match *first {
        EventSeq::FIRST => Ok(Standing::default()),
        first => {
            let whole = |path: &PathBuf| snapshot::read_accounts(path, |_| {}).is_ok();
            let oldest = later.iter().rev().find(|path| whole(path));
            let earliest = oldest.map(|path| snapshot::read_head(path)).transpose()?;
            let earliest = earliest.map(|head| head.time);
            Err(TrialBalanceError::BeginningMissing { first, earliest })
        }
    }
}

/// `None` when the snapshot is of a later time.
fn from_snapshot(
    path: &Path,
    journal: JournalId,
    at: Timestamp,
) -> Result<Option<Standing>, JournalError> {
    let head = snapshot::read_head(path)?;
    if head.journal != journal {
        return Err(JournalError::snapshot(path, "it is of another journal".to_owned()));
    }
    if head.time > at {
        return Ok(None);
    }
    let mut standing = Standing::default();
    let frame = snapshot::read_accounts(path, |account| standing.set(&account))?;
    standing.as_of = head.last_seq;
    standing.time = head.time;
    standing.snapshot = Some((path.to_owned(), head.last_seq, frame));
    Ok(Some(standing))
}

impl Standing {
    /// Checks that the journal has the snapshot's frame in its place: one of another history would
    /// lead to sums of nothing. `found` is the hash of the frame that is there.
    fn check_is_of(&self, in_place: bool, found: FrameHash) -> Result<(), JournalError> {
        let Some((path, _, head)) = &self.snapshot else { return Ok(()) };
        match in_place && found == *head {
            true => Ok(()),
            false => {
                let what = "the journal has another frame at its place. Nothing was changed. Put \
                            the journal that it was taken of back, or move the snapshot away";
                Err(JournalError::snapshot(path, what.to_owned()))
            }
        }
    }

    fn take(&mut self, frame: &ScannedFrame) -> Result<(), JournalError> {
        for event in frame.events()? {
            self.take_event(&event.event).map_err(|what| JournalError::Diverged {
                path: frame.segment.to_path_buf(),
                divergence: Divergence { seq: event.event.seq(), what: what.to_owned() },
            })?;
        }
        self.as_of = frame.last_seq();
        self.time = frame.time;
        Ok(())
    }

    fn take_event(&mut self, event: &Event) -> Result<(), &'static str> {
        let (sides, balances) = match event {
            Event::Account(event) => {
                self.set(&event.account);
                return Ok(());
            }
            Event::Act(_) => return Ok(()),
            // One that was refused changed nothing, and may name other accounts than it tells of.
            Event::Payment(event) if !event.outcome.is_accepted() => return Ok(()),
            Event::Payment(event) => {
                let balances = event.balances.ok_or("it tells no balances")?;
                ([event.payment.debit, event.payment.credit], balances)
            }
            Event::HoldExpired(event) => ([event.debit, event.credit], event.balances),
        };
        for (id, balances) in sides.into_iter().zip(balances) {
            let place = self.places.get(&id).ok_or("its account is unknown")?;
            self.accounts[*place as usize].balances = balances;
        }
        Ok(())
    }

    fn set(&mut self, account: &Account) {
        let Account { spec, balances, .. } = account;
        let standings = Standings { ledger: spec.ledger, code: spec.code, balances: *balances };
        let next = self.accounts.len() as u32;
        match *self.places.entry(spec.id).or_insert(next) {
            place if place == next => self.accounts.push(standings),
            place => self.accounts[place as usize] = standings,
        }
    }

    fn add_up(&self) -> TrialBalance {
        let mut ledgers: BTreeMap<LedgerId, LedgerSums> = BTreeMap::new();
        for Standings { ledger, code, balances } in &self.accounts {
            let sums = ledgers.entry(*ledger).or_default();
            sums.codes.entry(*code).or_default().add(balances);
            sums.total.add(balances);
        }
        let snapshot = self.snapshot.as_ref().map(|(_, seq, _)| *seq);
        TrialBalance { as_of: self.as_of, time: self.time, snapshot, ledgers }
    }
}
