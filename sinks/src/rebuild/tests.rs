//! Rebuilds of a sink that writes the sequences it is given into a file.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use millrace_engine::FeedEvent;
use millrace_ledger::{ActEvent, Event, Timestamp};
use tempfile::TempDir;

use super::{
    swap::{beside, mark_whole},
    *,
};

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
    let rebuilt =
        rebuild(&dir, &Old::Removed, &mut quarantine, open, journal(6), |_| {}, |_| Ok(()))
            .expect("builds");
    let expected =
        Rebuilt { last_seq: EventSeq(6), skipped: vec![EventSeq(4)], recovered: vec![EventSeq(2)] };
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
    rebuild(&dir, &old, &mut quarantine, open, journal(2), |_| {}, |_| Ok(())).expect("builds");
    assert_eq!(Scribe::read(&dir), ["1", "2"]);
    assert_eq!(Scribe::read(&kept), ["as before"]);
    settle(&dir).expect("settles");
    assert_eq!(names(root.path()), ["kept", "quarantine", "scribe"]);
}

#[test]
fn a_rebuild_that_fails_leaves_what_was_there() {
    let (_root, dir, mut quarantine) = before(&[]);
    let open = |dir: &Path| Scribe::open(dir, &[4]);
    let error = rebuild(&dir, &Old::Removed, &mut quarantine, open, journal(6), |_| {}, |_| Ok(()))
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
    mark_whole(&dir, &Old::Removed).expect("is marked");
    settle(&dir).expect("settles");
    assert_eq!(Scribe::read(&dir), ["anew"]);
    assert_eq!(names(root.path()), ["quarantine", "scribe"]);
    settle(&dir).expect("settles again");
    assert_eq!(Scribe::read(&dir), ["anew"]);
}

/// What may not take its place is removed.
#[test]
fn a_rebuild_that_is_refused_leaves_what_was_there() {
    let (root, dir, mut quarantine) = before(&[2]);
    let open = |dir: &Path| Scribe::open(dir, &[]);
    let refuse = |fresh: &Path| -> Result<(), SinkError> {
        assert_eq!(Scribe::read(fresh), ["1", "2", "3"], "it is whole");
        Err(SinkError::InUse { path: "the readers".into() })
    };
    let built = rebuild(&dir, &Old::Removed, &mut quarantine, open, journal(3), |_| {}, refuse);
    assert!(built.expect_err("is refused").to_string().starts_with("the readers is in use"));
    assert_eq!(Scribe::read(&dir), ["as before"]);
    assert_eq!(names(root.path()), ["quarantine", "scribe"]);
    assert!(quarantine.contains(EventSeq(2)), "and the quarantine is as it was");
}

/// What a stop left: a sink, the one that was built beside it, and the one that was replaced, each with
/// what it tells; nothing where it tells nothing.
fn stopped(there: &str, fresh: &str, old: &str) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("scribe");
    for (path, content) in
        [(dir.clone(), there), (beside(&dir, "new"), fresh), (beside(&dir, "old"), old)]
    {
        if !content.is_empty() {
            fs::create_dir(&path).expect("is made");
            fs::write(path.join("told"), content).expect("is written");
        }
        if content == "anew" {
            fs::write(path.join("WHOLE"), "kept").expect("is written");
        }
    }
    (root, dir)
}

/// A stop between the exchange and the rest: what was replaced lies where the new one was built.
#[test]
fn evidence_is_kept_wherever_the_swap_stops() {
    for (there, fresh, old) in [("live", "anew", ""), ("anew", "live", ""), ("anew", "", "live")] {
        let (root, dir) = stopped(there, fresh, old);
        settle(&dir).expect("settles");
        assert_eq!(Scribe::read(&dir), ["anew"], "{there}|{fresh}|{old}");
        assert_eq!(Scribe::read(&root.path().join("kept")), ["live"], "{there}|{fresh}|{old}");
        assert_eq!(names(root.path()), ["kept", "scribe"]);
        assert!(!dir.join("WHOLE").exists());
    }
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
        let (root, dir) = stopped(there, fresh, old);
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
            |_| Ok(()),
        )
    }));
    assert!(cut.is_err());
    assert_eq!(names(root.path()), ["quarantine", "scribe", "scribe.new"]);
    settle(&dir).expect("settles");
    assert_eq!(Scribe::read(&dir), ["as before"]);
    assert_eq!(names(root.path()), ["quarantine", "scribe"]);
}
