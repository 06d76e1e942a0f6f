//! Dies between the quarantine's entry and the sink's cursor, again and again, and sees that no
//! event is lost and none has its effect twice.
//!
//! The story that it guards against: a sink moves on past an event that it could not process, dies
//! before the event is put away, and nobody ever hears of it again.
//!
//! The process is this test's own binary, so it has a `main` of its own. Its sink writes the
//! sequences of events into a file, can't process some of them, and aborts where it is told to.

mod common;

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{History, bank};
use millrace_engine::feed::FeedBatch;
use millrace_ledger::{EventSeq, Timestamp};
use millrace_risk::acts::{ActKind, QuarantinedEvent};
use millrace_sinks::{
    Ask, Done, Quarantine, QuarantineDesk, Sink, SinkError, Source, SourceError, spawn_with,
};

/// Names the directory to a process that is to die.
const DIR_VARIABLE: &str = "MILLRACE_QUARANTINE_TEST_DIR";
/// Events that can't be processed while the file `mended` is not there.
const POISON: [u64; 3] = [5, 6, 17];
const NAME: &str = "scribe";
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let outcome = match env::var_os(DIR_VARIABLE) {
        Some(dir) => follow_to_the_end(Path::new(&dir)),
        None => die_again_and_again(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Bank(Vec<FeedBatch>);

impl Source for Bank {
    type Reader = std::vec::IntoIter<FeedBatch>;

    fn reader(&self, from: EventSeq) -> Result<Self::Reader, SourceError> {
        let is_left =
            |batch: &&FeedBatch| batch.events.last().is_some_and(|event| event.event.seq() >= from);
        Ok(self.0.iter().filter(is_left).cloned().collect::<Vec<_>>().into_iter())
    }

    fn next(rest: &mut Self::Reader, timeout: Duration) -> Result<Option<FeedBatch>, SourceError> {
        let next = rest.next();
        if next.is_none() {
            thread::sleep(timeout);
        }
        Ok(next)
    }
}

/// Writes a line per event, `not <seq>` for one that is skipped, `late <seq>` for one that is
/// replayed. The number of the first two is its cursor.
struct Scribe {
    dir: PathBuf,
    lines: File,
    next_seq: u64,
}

impl Scribe {
    fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let path = dir.join("lines");
        let lines = OpenOptions::new().create(true).append(true).open(&path)?;
        let passed = read_lines(dir).into_iter().filter(|line| !line.starts_with("late"));
        Ok(Self { dir: dir.to_owned(), lines, next_seq: passed.count() as u64 + 1 })
    }

    fn write(&mut self, line: &str) -> Result<(), SinkError> {
        writeln!(self.lines, "{line}").map_err(|source| SinkError::Io {
            action: "write",
            path: self.dir.clone(),
            source,
        })
    }

    fn complain(&self, seq: EventSeq) -> Result<(), SinkError> {
        if POISON.contains(&seq.0) && !self.dir.join("mended").exists() {
            return Err(SinkError::Poison { sink: NAME, seq, problem: "it is odd".into() });
        }
        Ok(())
    }

    /// Dies if it is to die here.
    fn die_if_told(&self, place: &str, seq: EventSeq) {
        let told = self.dir.join(format!("die-{place}-{seq}"));
        if fs::remove_file(told).is_ok() {
            process::abort();
        }
    }
}

impl Sink for Scribe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next_seq(&self) -> EventSeq {
        EventSeq(self.next_seq)
    }

    /// An event is its own commit, which is allowed: what was processed is not handed in again.
    fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
        for event in batches.iter().flat_map(|batch| &batch.events) {
            let seq = event.event.seq();
            if seq.0 < self.next_seq {
                continue;
            }
            assert_eq!(seq.0, self.next_seq, "events come one after the other");
            self.complain(seq)?;
            self.write(&seq.to_string())?;
            self.next_seq += 1;
        }
        Ok(())
    }

    fn skip(&mut self, seq: EventSeq, _: Timestamp, _: &str) -> Result<(), SinkError> {
        self.die_if_told("before", seq);
        self.write(&format!("not {seq}"))?;
        self.die_if_told("after", seq);
        self.next_seq += 1;
        Ok(())
    }

    fn replay(&mut self, batch: &FeedBatch) -> Result<(), SinkError> {
        let seq = batch.events[0].event.seq();
        self.complain(seq)?;
        let line = format!("late {seq}");
        if !read_lines(&self.dir).contains(&line) {
            self.write(&line)?;
        }
        self.die_if_told("replayed", seq);
        Ok(())
    }
}

fn read_lines(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("lines")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The bank's events, and behind them what somebody has done about those that can't be processed.
fn ordered() -> History {
    let mut bank = bank();
    for event in POISON {
        let sink = NAME.to_owned();
        let event = QuarantinedEvent { sink, event, payment: None, account: None };
        bank.act("ann", ActKind::ReplayEvent(event));
    }
    bank
}

/// The act that orders the event's replay.
fn order(event: u64) -> EventSeq {
    let acts = bank().batches(4).iter().map(|batch| batch.events.len()).sum::<usize>() as u64;
    let place = POISON.iter().position(|it| *it == event).expect("is one of them");
    EventSeq(acts + 1 + place as u64)
}

/// Runs the sink until it has come to the end and done what is asked of its quarantine.
fn follow_to_the_end(dir: &Path) -> Result<(), Box<dyn Error>> {
    let batches = ordered().batches(4);
    let last = batches.iter().map(|batch| batch.events.len()).sum::<usize>() as u64;
    let quarantine = Quarantine::open(&dir.join("quarantine"), NAME)?;
    let handle = spawn_with(Box::new(Scribe::open(dir)?), Bank(batches), quarantine);
    let started = Instant::now();
    let asked = || {
        let files = fs::read_dir(dir.join("quarantine").join(NAME));
        files.is_ok_and(|mut files| {
            files.any(|file| {
                file.is_ok_and(|file| file.path().extension() == Some("replay".as_ref()))
            })
        })
    };
    while handle.applied_seq().0 < last || asked() {
        if let Some(error) = handle.error() {
            return Err(error.into());
        }
        if started.elapsed() > PATIENCE {
            return Err("it did not come to the end".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    handle.stop();
    handle.join();
    Ok(())
}

/// Returns whether it came to the end.
fn run(dir: &Path) -> Result<bool, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    let status = command.env(DIR_VARIABLE, dir).stdout(Stdio::null()).status()?;
    Ok(status.success())
}

fn die_again_and_again() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let die = |place: &str, seq: u64| fs::write(dir.join(format!("die-{place}-{seq}")), "");
    let desk = QuarantineDesk::new(&dir.join("quarantine"));
    let entries = || -> Result<Vec<u64>, SinkError> {
        Ok(desk.list(Some(NAME))?.iter().map(|entry| entry.seq).collect())
    };

    die("before", 5)?;
    die("after", 6)?;
    let mut deaths = 0;
    for (place, expected) in
        [("before the cursor passed 5", vec![5]), ("just after the cursor passed 6", vec![5, 6])]
    {
        check(!run(dir)?, &format!("{place}: it dies"))?;
        check(entries()? == expected, &format!("{place}: {:?} are kept", entries()?))?;
        deaths += 1;
    }
    check(run(dir)?, "it comes to the end")?;
    check(entries()? == POISON, "all are kept")?;
    let lines = read_lines(dir);
    for (index, line) in lines.iter().enumerate() {
        let seq = index as u64 + 1;
        let expected = if POISON.contains(&seq) { format!("not {seq}") } else { seq.to_string() };
        check(*line == expected, &format!("line {seq} is {line}"))?;
    }

    // Nobody runs the sink: what is asked happens when somebody does.
    fs::write(dir.join("mended"), "")?;
    die("replayed", 5)?;
    for seq in POISON {
        let done = desk.ask(NAME, seq, Ask::Replay, order(seq), PATIENCE)?;
        check(done == Done::AtNextStart, &format!("{seq}: {done:?}"))?;
    }
    check(!run(dir)?, "it dies when 5 had its effect and its entry is still there")?;
    deaths += 1;
    check(entries()?.contains(&5), "the entry of 5 is there")?;
    check(run(dir)?, "it comes to the end again")?;
    check(entries()?.is_empty(), "nothing is left")?;
    let all = read_lines(dir);
    let late: Vec<&String> = all.iter().skip(lines.len()).collect();
    let expected = POISON.map(|seq| format!("late {seq}"));
    check(late.len() == POISON.len(), &format!("each once: {late:?}"))?;
    check(BTreeSet::from_iter(late) == BTreeSet::from_iter(&expected), "each had its effect")?;
    println!(
        "died {deaths} times; {} events, {} of them late, none lost",
        lines.len(),
        POISON.len()
    );
    Ok(())
}

fn check(holds: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("expected: {what}").into()) }
}
