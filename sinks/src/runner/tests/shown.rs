//! What a sink has done shows before how far it is: who waits for its place finds the rest in place.

use std::{cell::Cell, sync::OnceLock};

use super::{
    script::{NAME, PACE, Recorder, Script, Shared, end, event, eventually, locked},
    *,
};

/// Has somebody look whenever the sink asks for the last event, which it does where its place is new.
struct Watched<L> {
    script: Script,
    look: L,
}

impl<L: Fn() + Clone + Send + Sync + 'static> Source for Watched<L> {
    type Reader = <Script as Source>::Reader;

    fn reader(&self, from: EventSeq) -> Result<Self::Reader, SourceError> {
        self.script.reader(from)
    }

    fn head(&self) -> Head {
        let (look, last) = (self.look.clone(), EventSeq(self.script.last_seq));
        Head::new(move || {
            look();
            Some(last)
        })
    }

    fn next(reader: &mut Self::Reader, wait: Duration) -> Result<Option<FeedBatch>, SourceError> {
        Script::next(reader, wait)
    }
}

thread_local! {
    /// Who looks asks for the last event as well.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Event 15 comes into the quarantine, or was there and can be processed now.
#[test]
fn the_quarantine_is_right_when_the_place_shows() {
    for bad in [true, false] {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut quarantine = Quarantine::open(root.path(), NAME).expect("opens");
        if !bad {
            let entry = crate::Entry::new(NAME, Timestamp(1), &event(15), "as before", TRIES);
            quarantine.put(&entry).expect("is written");
        }
        let watch = Arc::new(OnceLock::<SinkWatch>::new());
        let looks = Shared::<Vec<(u64, u64, usize)>>::default();
        let (watched, seen) = (Arc::clone(&watch), Arc::clone(&looks));
        let desk = QuarantineDesk::new(root.path());
        let look = move || {
            if !LOOKING.replace(true) {
                let status = watched.wait().status();
                let entries = desk.list(None).expect("lists").len();
                locked(&seen).push((status.applied_seq, status.quarantined, entries));
                LOOKING.set(false);
            }
        };
        let sink = Recorder::poisoned_by(bad.then_some(15), Complaint::Named);
        let source = Watched { script: Script::new(20, 10), look };
        let handle = start(Box::new(sink), source, Some(quarantine), PACE);
        watch.set(handle.watch()).expect("is set once");
        assert!(eventually(|| handle.applied_seq() == EventSeq(20)));
        end(handle);
        let looks = locked(&looks);
        let passed: Vec<_> = looks.iter().filter(|(applied, ..)| *applied >= 15).collect();
        assert!(!passed.is_empty(), "{looks:?}");
        for (applied, shown, entries) in passed {
            let expected = (u64::from(bad), usize::from(bad));
            assert_eq!((*shown, *entries), expected, "after event {applied}");
        }
    }
}
