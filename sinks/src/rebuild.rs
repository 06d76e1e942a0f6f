//! Rebuilding a sink: consumes the journal from its first event, produces the sink's directory anew
//! beside the one that is there, and guarantees that a stop at any moment leaves a whole one.
//!
//! [`rebuild`] is for a sink that does not run: whoever calls it holds the sink's quarantine, and with
//! it its place. [`build_beside`] is for one that runs, and is replaced in memory
//! ([`crate::Replacer`]); its directories stay where they are until the next start, because both may
//! be open.
//!
//! Of the sink in directory `D`, [`settle`] makes this of what an earlier rebuild left:
//!
//! | `D` | `D.new` | `D.old` | what happened | what is done |
//! |---|---|---|---|---|
//! | there | | | nothing, or all | nothing |
//! | there | there | | it stopped while it built | `D.new` is removed |
//! | there | there, with a file `WHOLE` | | it was built beside a sink that ran, which uses it in its place | the swap: `D.old`, then `D`, then `D.old` is removed |
//! | | there | there | it stopped between the two renames of the swap | `D.new` becomes `D`, `D.old` is removed |
//! | there | | there | it stopped while it removed the old one | `D.old` is removed |
//! | | there | | it stopped while it built what was not there | `D.new` is removed |
//! | | | there | somebody removed the new one | `D.old` becomes `D` |

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use millrace_engine::{Feed, FeedBatch, JournalError};
use millrace_ledger::EventSeq;

use crate::{
    Blame, Quarantine, Sink, SinkError,
    line_file::{self, sync_dir_of},
    runner::batches::{count, from_seq, place_to_cut, split},
};

/// Most events that one apply gets, give or take a frame.
const APPLY_EVENTS: usize = 32_768;
/// Marks a directory that was built to its end beside a sink that ran.
const WHOLE: &str = "WHOLE";
/// How long reading may wait for an event that is durable already.
const READ_WAIT: Duration = Duration::from_millis(100);

/// Why a sink was not rebuilt. What was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The sink, or its directory, failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// It was rebuilt since the start, and what was built then is in use.
    #[error(
        "it was rebuilt since the start, and uses {} now. Start millrace again first: that puts the \
         new directory in the place of the old one",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// What a rebuild came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The last event that the sink has processed now.
    pub last_seq: EventSeq,
    /// Events that stay in quarantine: they can't be processed now either.
    pub skipped: Vec<EventSeq>,
    /// Events that were in quarantine, and are processed now.
    pub recovered: Vec<EventSeq>,
}

/// A sink that was built beside one that runs.
pub struct Built {
    /// About as far as the feed.
    pub sink: Box<dyn Sink>,
    /// Events that stay in quarantine.
    pub skipped: Vec<EventSeq>,
}

/// What becomes of the directory that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// It is removed.
    Removed,
    /// It is evidence, and is kept under this name.
    KeptAs(PathBuf),
}

/// Builds the sink in `dir` anew from the journal's batches, and puts it in the place of the one
/// that is there. `open` opens the sink in the directory that it is given; `each` hears how far it is.
///
/// # Errors
/// When the journal can't be read, or the sink can't process an event that is not in quarantine.
/// The directory is as it was then.
pub fn rebuild(
    dir: &Path,
    old: &Old,
    quarantine: &mut Quarantine,
    open: impl FnOnce(&Path) -> Result<Box<dyn Sink>, SinkError>,
    journal: impl Iterator<Item = Result<FeedBatch, JournalError>>,
    mut each: impl FnMut(EventSeq),
) -> Result<Rebuilt, RebuildError> {
    settle(dir)?;
    let fresh = beside(dir, "new");
    let mut sink = open(&fresh)?;
    let mut rebuilt = Rebuilt::default();
    let mut batches = Vec::new();
    let mut flush = |sink: &mut dyn Sink, batches: &mut Vec<FeedBatch>| {
        let filled = std::mem::take(batches);
        process(sink, filled, &|seq| quarantine.contains(seq), &mut rebuilt.skipped)?;
        each(sink.next_seq());
        Ok::<(), SinkError>(())
    };
    for batch in journal {
        batches.push(batch?);
        if count(&batches) >= APPLY_EVENTS {
            flush(sink.as_mut(), &mut batches)?;
        }
    }
    flush(sink.as_mut(), &mut batches)?;
    let next_seq = sink.next_seq();
    rebuilt.last_seq = EventSeq(next_seq.0 - 1);
    // What it holds open has to be closed before its directory moves.
    drop(sink);
    swap(dir, old)?;
    rebuilt.recovered = quarantine.keep_only(next_seq, &rebuilt.skipped);
    Ok(rebuilt)
}

/// Builds a sink anew in [`fresh_dir`], beside the one that runs, until it is about as far as the feed.
/// `None` when `go_on` says so: it hears how far it is.
///
/// # Errors
/// As for [`rebuild`], and when the sink was built so since the start already.
pub fn build_beside(
    dir: &Path,
    feed: &Feed,
    in_quarantine: &dyn Fn(EventSeq) -> bool,
    open: impl FnOnce(&Path) -> Result<Box<dyn Sink>, SinkError>,
    mut go_on: impl FnMut(EventSeq) -> bool,
) -> Result<Option<Built>, RebuildError> {
    let fresh = fresh_dir(dir);
    if fresh.join(WHOLE).exists() {
        return Err(RebuildError::InUse { path: fresh });
    }
    if fresh.exists() {
        remove(&fresh)?;
    }
    let mut sink = open(&fresh)?;
    let (mut skipped, mut reader) = (Vec::new(), feed.reader(sink.next_seq()));
    while go_on(EventSeq(sink.next_seq().0 - 1)) {
        let mut batches = Vec::new();
        while count(&batches) < APPLY_EVENTS && reader.next_seq() <= feed.durable_seq() {
            batches.extend(reader.next(READ_WAIT)?);
        }
        process(sink.as_mut(), batches, in_quarantine, &mut skipped)?;
        if feed.durable_seq().0 < sink.next_seq().0 + APPLY_EVENTS as u64 {
            return Ok(Some(Built { sink, skipped }));
        }
    }
    Ok(None)
}

/// The sink that was built beside the one in `dir` has taken its place: the next start moves it there.
///
/// # Errors
/// When the mark can't be written.
pub fn mark_whole(dir: &Path) -> Result<(), SinkError> {
    line_file::replace(&fresh_dir(dir).join(WHOLE), b"")
}

/// Where a sink is built that is to replace the one in `dir`.
#[must_use]
pub fn fresh_dir(dir: &Path) -> PathBuf {
    beside(dir, "new")
}

/// Applies the batches; leaves out what is in quarantine if it still can't be applied.
fn process(
    sink: &mut dyn Sink,
    batches: Vec<FeedBatch>,
    in_quarantine: &dyn Fn(EventSeq) -> bool,
    skipped: &mut Vec<EventSeq>,
) -> Result<(), SinkError> {
    if batches.is_empty() {
        return Ok(());
    }
    let Err(error) = sink.apply(&batches) else { return Ok(()) };
    if error.is_transient() || error.blame() == Blame::Sink {
        return Err(error);
    }
    let batches = from_seq(batches, sink.next_seq());
    if let Some(place) = place_to_cut(&batches, &error) {
        let (first, rest) = split(batches, place);
        process(sink, first, in_quarantine, skipped)?;
        return process(sink, rest, in_quarantine, skipped);
    }
    let Some(FeedBatch { time, events }) = batches.first() else { return Ok(()) };
    let seq = events[0].event.seq();
    if !in_quarantine(seq) {
        return Err(error);
    }
    sink.skip(seq, *time, &error.to_string())?;
    skipped.push(seq);
    Ok(())
}

/// Finishes or undoes what an earlier rebuild of the sink in this directory left, whichever its
/// table says. To be called before the sink is opened.
///
/// # Errors
/// When a directory can't be renamed or removed.
pub fn settle(dir: &Path) -> Result<(), SinkError> {
    let (fresh, old) = (beside(dir, "new"), beside(dir, "old"));
    match (dir.exists(), fresh.exists(), old.exists()) {
        (true, true, _) if fresh.join(WHOLE).exists() => {
            if old.exists() {
                remove(&old)?;
            }
            return swap(dir, &Old::Removed);
        }
        (true, true, _) | (false, true, false) => remove(&fresh)?,
        (false, true, true) => rename(&fresh, dir)?,
        (false, false, true) => return rename(&old, dir),
        (_, false, _) => {}
    }
    if old.exists() { remove(&old) } else { Ok(()) }
}

/// Puts the new directory in the place of the one that is there.
fn swap(dir: &Path, kept: &Old) -> Result<(), SinkError> {
    let (fresh, old) = (beside(dir, "new"), beside(dir, "old"));
    if dir.exists() {
        // A stop after this one and before the next leaves no directory where one is kept: the sink
        // begins anew at the next start, and comes to the same.
        rename(dir, if let Old::KeptAs(kept) = kept { kept } else { &old })?;
    }
    rename(&fresh, dir)?;
    // A mark that stays is looked at by nobody.
    let _ = fs::remove_file(dir.join(WHOLE));
    if old.exists() { remove(&old) } else { Ok(()) }
}

fn rename(from: &Path, to: &Path) -> Result<(), SinkError> {
    fs::rename(from, to).map_err(SinkError::io("rename", from))?;
    sync_dir_of(to)
}

fn remove(dir: &Path) -> Result<(), SinkError> {
    fs::remove_dir_all(dir).map_err(SinkError::io("remove", dir))?;
    sync_dir_of(dir)
}

/// `D.new` or `D.old`.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(dir.as_os_str());
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{Arc, Mutex},
    };

    use millrace_engine::FeedEvent;
    use millrace_ledger::{ActEvent, Event, Timestamp};

    use super::*;

    /// Writes the sequences that it is given into a file.
    struct Scribe {
        dir: PathBuf,
        next_seq: u64,
        poison: Vec<u64>,
    }

    impl Scribe {
        fn open(dir: &Path, poison: &[u64]) -> Result<Box<dyn Sink>, SinkError> {
            fs::create_dir_all(dir).map_err(SinkError::io("create", dir))?;
            Ok(Box::new(Self { dir: dir.to_owned(), next_seq: 1, poison: poison.to_vec() }))
        }

        fn read(dir: &Path) -> Vec<String> {
            let text = fs::read_to_string(dir.join("told")).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        }

        fn tell(&mut self, line: &str) {
            let lines = [Self::read(&self.dir), vec![line.to_owned()]].concat();
            fs::write(self.dir.join("told"), lines.join("\n")).expect("is written");
        }
    }

    impl Sink for Scribe {
        fn name(&self) -> &'static str {
            "scribe"
        }

        fn next_seq(&self) -> EventSeq {
            EventSeq(self.next_seq)
        }

        fn apply(&mut self, batches: &[FeedBatch]) -> Result<(), SinkError> {
            for event in batches.iter().flat_map(|batch| &batch.events) {
                let seq = event.event.seq();
                if self.poison.contains(&seq.0) {
                    let problem = "odd".to_owned();
                    return Err(SinkError::Poison { sink: "scribe", seq, problem });
                }
                assert_eq!(seq.0, self.next_seq);
                self.tell(&seq.to_string());
                self.next_seq += 1;
            }
            Ok(())
        }

        fn skip(&mut self, seq: EventSeq, _: Timestamp, _: &str) -> Result<(), SinkError> {
            self.tell(&format!("not {seq}"));
            self.next_seq += 1;
            Ok(())
        }
    }

    fn event(seq: u64) -> FeedEvent {
        let event = Event::Act(ActEvent { seq: EventSeq(seq) });
        FeedEvent { event, context: Vec::new().into(), evidence: Vec::new().into() }
    }

    fn journal(last: u64) -> impl Iterator<Item = Result<FeedBatch, JournalError>> {
        (1..=last).map(|seq| Ok(FeedBatch { time: Timestamp(1), events: vec![event(seq)] }))
    }

    /// A sink's directory as it was, and its quarantine with these events.
    fn before(entries: &[u64]) -> (tempfile::TempDir, PathBuf, Quarantine) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = root.path().join("scribe");
        fs::create_dir(&dir).expect("is made");
        fs::write(dir.join("told"), "as before").expect("is written");
        let mut quarantine = Quarantine::open(&root.path().join("quarantine"), "scribe");
        for seq in entries {
            let quarantine = quarantine.as_mut().expect("opens");
            let entry = crate::Entry::new("scribe", Timestamp(1), &event(*seq), "odd", 5);
            quarantine.put(&entry).expect("is written");
        }
        (root, dir, quarantine.expect("opens"))
    }

    fn names(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).expect("lists").map(|it| it.expect("lists").file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_mended_comes_in_its_place_and_what_is_not_stays_in_quarantine() {
        let (root, dir, mut quarantine) = before(&[2, 4]);
        let open = |dir: &Path| Scribe::open(dir, &[4]);
        let rebuilt = rebuild(&dir, &Old::Removed, &mut quarantine, open, journal(6), |_| {})
            .expect("builds");
        let expected = Rebuilt {
            last_seq: EventSeq(6),
            skipped: vec![EventSeq(4)],
            recovered: vec![EventSeq(2)],
        };
        assert_eq!(rebuilt, expected);
        assert_eq!(Scribe::read(&dir), ["1", "2", "3", "not 4", "5", "6"]);
        assert_eq!(names(root.path()), ["quarantine", "scribe"]);
        assert_eq!((quarantine.len(), quarantine.contains(EventSeq(4))), (1, true));
    }

    #[test]
    fn evidence_is_kept() {
        let (root, dir, mut quarantine) = before(&[]);
        let kept = root.path().join("kept");
        let (old, open) = (Old::KeptAs(kept.clone()), |dir: &Path| Scribe::open(dir, &[]));
        rebuild(&dir, &old, &mut quarantine, open, journal(2), |_| {}).expect("builds");
        assert_eq!(Scribe::read(&dir), ["1", "2"]);
        assert_eq!(Scribe::read(&kept), ["as before"]);
        settle(&dir).expect("settles");
        assert_eq!(names(root.path()), ["kept", "quarantine", "scribe"]);
    }

    #[test]
    fn a_rebuild_that_fails_leaves_what_was_there() {
        let (_root, dir, mut quarantine) = before(&[]);
        let open = |dir: &Path| Scribe::open(dir, &[4]);
        let error = rebuild(&dir, &Old::Removed, &mut quarantine, open, journal(6), |_| {})
            .expect_err("fails");
        assert!(error.to_string().contains("event 4 can't be processed: odd"), "{error}");
        settle(&dir).expect("settles");
        assert_eq!(Scribe::read(&dir), ["as before"]);
    }

    #[test]
    fn what_was_built_beside_a_running_sink_takes_its_place_at_the_next_start() {
        let (root, dir, _quarantine) = before(&[]);
        fs::create_dir(fresh_dir(&dir)).expect("is made");
        fs::write(fresh_dir(&dir).join("told"), "anew").expect("is written");
        mark_whole(&dir).expect("is marked");
        settle(&dir).expect("settles");
        assert_eq!(Scribe::read(&dir), ["anew"]);
        assert_eq!(names(root.path()), ["quarantine", "scribe"]);
        settle(&dir).expect("settles again");
        assert_eq!(Scribe::read(&dir), ["anew"]);
    }

    #[test]
    fn whatever_a_stop_leaves_is_settled() {
        for (there, fresh, old, expected) in [
            ("live", "", "", "live"),
            ("live", "half", "", "live"),
            ("", "whole", "live", "whole"),
            ("whole", "", "live", "whole"),
            ("whole", "half", "live", "whole"),
            ("", "half", "", ""),
            ("", "", "live", "live"),
            ("", "", "", ""),
        ] {
            let root = tempfile::tempdir().expect("a temporary directory");
            let dir = root.path().join("scribe");
            for (path, content) in
                [(dir.clone(), there), (beside(&dir, "new"), fresh), (beside(&dir, "old"), old)]
            {
                if !content.is_empty() {
                    fs::create_dir(&path).expect("is made");
                    fs::write(path.join("told"), content).expect("is written");
                }
            }
            settle(&dir).expect("settles");
            assert_eq!(Scribe::read(&dir).concat(), expected, "{there}|{fresh}|{old}");
            let left = if expected.is_empty() { vec![] } else { vec!["scribe"] };
            assert_eq!(names(root.path()), left, "{there}|{fresh}|{old}");
        }
    }

    /// The process dies in the middle; the next start finds the sink as it was.
    #[test]
    fn a_rebuild_that_is_cut_short_leaves_what_was_there() {
        let (root, dir, mut quarantine) = before(&[]);
        let seen = Arc::new(Mutex::new(0));
        let cut = catch_unwind(AssertUnwindSafe(|| {
            let dying = journal(6).inspect(|_| {
                let mut seen = seen.lock().expect("is free");
                *seen += 1;
                assert!(*seen < 4, "as the test asks");
            });
            rebuild(
                &dir,
                &Old::Removed,
                &mut quarantine,
                |dir| Scribe::open(dir, &[]),
                dying,
                |_| {},
            )
        }));
        assert!(cut.is_err());
        assert_eq!(names(root.path()), ["quarantine", "scribe", "scribe.new"]);
        settle(&dir).expect("settles");
        assert_eq!(Scribe::read(&dir), ["as before"]);
        assert_eq!(names(root.path()), ["quarantine", "scribe"]);
    }
}
