//! The clock of the journal: consumes the system's time and a clock that only runs forward, produces the time of
//! each batch.
//!
//! Guarantees that time never goes back, whatever the system's clock does, and that it goes on: where the
//! journal is ahead of the system by more than [`PAUSE_MAX`], as after a start with a clock that was wrong, a
//! second of the journal is a second that passed, so that holds expire when they should.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_ledger::Timestamp;

/// A system clock that was set back by less is waited for: the journal's time pauses and agrees with it again.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often it is told that the journal is ahead.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The system's time.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_epoch.as_nanos() as u64)
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What was told last, and when that was.
    told: Timestamp,
    told_at: Instant,
    warned_at: Option<Instant>,
}

impl Clock {
    /// A clock that goes on from the last batch of a journal.
    pub(crate) fn after(last: Timestamp) -> Self {
        Self { told: last, told_at: Instant::now(), warned_at: None }
    }

    /// The time for a batch that begins now.
    pub(crate) fn tell(&mut self) -> Timestamp {
        let (system, at) = (now(), Instant::now());
        self.told = self.at(system, at);
        self.told_at = at;
        self.warn(system, at);
        self.told
    }

    /// How long it is until a time.
    pub(crate) fn until(&self, time: Timestamp) -> Duration {
        Duration::from_nanos(time.0.saturating_sub(self.at(now(), Instant::now()).0))
    }

    /// How far the journal is ahead of the system's clock.
    pub(crate) fn ahead(&self) -> Duration {
        Duration::from_nanos(self.told.0.saturating_sub(now().0))
    }

    fn at(&self, system: Timestamp, at: Instant) -> Timestamp {
        let ahead = Duration::from_nanos(self.told.0.saturating_sub(system.0));
        if ahead <= PAUSE_MAX {
            return system.max(self.told);
        }
        let passed = at.saturating_duration_since(self.told_at).as_nanos() as u64;
        Timestamp(self.told.0.saturating_add(passed))
    }

    fn warn(&mut self, system: Timestamp, at: Instant) {
        let ahead = Duration::from_nanos(self.told.0.saturating_sub(system.0));
        let due = |warned_at: Instant| at.saturating_duration_since(warned_at) >= WARN_EVERY;
        if ahead > PAUSE_MAX && self.warned_at.is_none_or(due) {
            self.warned_at = Some(at);
            tracing::warn!(
                ahead_s = ahead.as_secs(),
                "the journal's time is ahead of this machine's clock, which was set back or was ahead when \
                 payments were taken; time goes on from the journal's: compare the clock with another one"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{
        AccountId, AccountSpec, Amount, ApproveAll, Code, Event, EventSeq, Ledger, LedgerId,
        Operation, Payment, PaymentId,
    };
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        Command, Crew, Engine, EngineConfig, Feed, desk::Recovered, segment::SegmentWriter,
        upkeep::Upkeep,
    };

    const S: u64 = 1_000_000_000;

    /// Last told at second 1,000; the system's clock and the seconds that passed since; what is told.
    #[test]
    fn time_goes_on_and_never_back() {
        let cases = [
            ("the clocks agree", 1_005, 5, 1_005),
            ("no time passed", 1_000, 0, 1_000),
            ("the system's clock was set forward", 5_000, 5, 5_000),
            ("set back a little: it is waited for", 995, 5, 1_000),
            ("as much as is waited for", 990, 5, 1_000),
            ("set back by more: time goes on", 989, 5, 1_005),
            ("the journal is years ahead", 1, 5, 1_005),
            ("years ahead, and no time passed", 1, 0, 1_000),
        ];
        for (case, system, passed, expected) in cases {
            let clock = Clock { told: Timestamp(1_000 * S), ..Clock::after(Timestamp(0)) };
            let at = clock.told_at + Duration::from_secs(passed);
            assert_eq!(clock.at(Timestamp(system * S), at), Timestamp(expected * S), "{case}");
        }
    }

    /// A journal that a clock an hour ahead wrote: its holds expire when their seconds have passed.
    #[test]
    fn holds_expire_though_the_journal_is_ahead() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = EngineConfig::new(directory.path());
        let mut ledger = Ledger::new(0);
        ledger.begin_batch(Timestamp(now().0 + 3_600 * S), &mut Vec::new());
        let log = SegmentWriter::create(directory.path(), 1 << 16).expect("creates");
        let feed = Feed::new(directory.path(), EventSeq(0));
        let (workers, upkeep) = (Crew::new(1).expect("starts"), Upkeep::none());
        let state = Recovered { ledger, gate: ApproveAll, workers, upkeep };
        let engine = Engine::start_with(&config, state, log, feed, None).expect("starts");
        let account = |id| AccountSpec {
            id: AccountId(id),
            ledger: LedgerId(203),
            code: Code(1),
            ..AccountSpec::default()
        };
        let hold = Payment {
            id: PaymentId(1),
            debit: AccountId(1),
            credit: AccountId(2),
            amount: Amount(5),
            ledger: LedgerId(203),
            code: Code(1),
            operation: Operation::Authorize,
            timeout_s: 1,
            ..Payment::default()
        };
        let (specs, payments) = ([1, 2].map(account).to_vec(), vec![hold]);
        let (opened, _opened) = oneshot::channel();
        let (paid, _paid) = oneshot::channel();
        let accounts = Command::CreateAccounts { specs, acts: Vec::new(), reply: opened };
        let payments = Command::Payments { payments, contexts: Vec::new(), reply: paid };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for command in [accounts, payments] {
                let room = Instant::now() + Duration::from_secs(60);
                engine.submitter().submit(command, None, room).await.expect("there is room");
            }
        });
        let mut events = engine.feed().reader(EventSeq(4));
        let expired = events.next(Duration::from_secs(120)).expect("reads").expect("comes");
        assert!(matches!(expired.events[0].event, Event::HoldExpired(_)), "{expired:?}");
        assert!(engine.counted().clock_ahead() > Duration::from_secs(3_000));
        engine.stop().expect("stops");
    }

    #[test]
    fn a_clock_that_is_ahead_runs() {
        let ahead = Timestamp(now().0 + 3_600 * S);
        let mut clock = Clock::after(ahead);
        let first = clock.tell();
        assert!(first >= ahead);
        assert!(clock.ahead() > Duration::from_secs(3_000));
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.tell().0 >= first.0 + 5_000_000, "it runs on");
        assert!(clock.until(Timestamp(ahead.0 + 60 * S)) <= Duration::from_secs(60));
    }
}
