//! Nothing is answered before it is durable: each frame that is appended is written, then synced, then
//! released, in this order and none left out.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use millrace_ledger::{
    AccountId, AccountSpec, ApproveAll, Code, Event, EventSeq, Ledger, LedgerId, Timestamp,
};
use tokio::sync::oneshot;

use crate::{
    Command, Crew, Engine, EngineConfig, Feed,
    desk::Recovered,
    frame::FrameBuffer,
    record,
    segment::{Disk, SegmentWriter},
    upkeep::Upkeep,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
}

/// A disk that notes what it is asked for, and refuses some of it.
#[derive(Clone, Debug, Default)]
struct Watched {
    calls: Arc<Mutex<Vec<Call>>>,
    refuses: Option<Call>,
}

impl Watched {
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().expect("no test panics meanwhile"))
    }

    fn called(&self, call: Call) -> io::Result<()> {
        self.calls.lock().expect("no test panics meanwhile").push(call);
        match self.refuses == Some(call) {
            true => Err(io::Error::other("refused")),
            false => Ok(()),
        }
    }
}

impl Disk for Watched {
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)?;
        self.called(Call::Write)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        self.called(Call::Sync)
    }
}

fn spec(id: u128) -> AccountSpec {
    let (ledger, code) = (LedgerId(203), Code(1));
    AccountSpec { id: AccountId(id), ledger, code, ..AccountSpec::default() }
}

/// A frame with one event.
fn frame(ledger: &mut Ledger) -> (FrameBuffer, EventSeq) {
    let mut frame = FrameBuffer::default();
    frame.clear();
    let id = u128::from(ledger.last_seq().0) + 1;
    let (_, event) = ledger.create_account(&spec(id));
    let event = event.expect("is new");
    record::encode_account(&event, frame.begin_event().0);
    (frame, Event::Account(event).seq())
}

#[test]
fn each_frame_is_written_then_synced_before_append_returns() {
    let (directory, mut ledger) = (tempfile::tempdir().expect("a directory"), Ledger::new(0));
    let disk = Watched::default();
    let mut writer =
        SegmentWriter::create_on(disk.clone(), directory.path(), 4_096).expect("creates");
    for _ in 0..60 {
        let (mut frame, seq) = frame(&mut ledger);
        writer.append(&mut frame, seq, Timestamp(1)).expect("is written");
        assert_eq!(disk.take(), [Call::Write, Call::Sync], "event {seq}");
    }
    let segments = crate::segment::list(directory.path()).expect("lists");
    assert!(segments.len() > 2, "the first frames of segments are among them");
}

#[test]
fn what_the_disk_refuses_is_not_appended() {
    for (refused, calls, said) in [
        (Call::Write, vec![Call::Write], "can't write"),
        (Call::Sync, vec![Call::Write, Call::Sync], "can't sync"),
    ] {
        let (directory, mut ledger) = (tempfile::tempdir().expect("a directory"), Ledger::new(0));
        let disk = Watched { refuses: Some(refused), ..Watched::default() };
        let mut writer =
            SegmentWriter::create_on(disk.clone(), directory.path(), 4_096).expect("creates");
        let (mut frame, seq) = frame(&mut ledger);
        let error = writer.append(&mut frame, seq, Timestamp(1)).expect_err("refused");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(disk.take(), calls);
    }
}

/// A disk whose syncs wait until they are let go.
#[derive(Debug)]
struct Held {
    syncing: Sender<()>,
    go: Receiver<()>,
}

impl Disk for Held {
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        self.syncing.send(()).expect("the test waits for it");
        self.go.recv().map_err(|_| io::Error::other("the test is over"))
    }
}

/// Tells what the feed has at the moment when an answer is sent.
struct LooksInFeed(Feed, Sender<EventSeq>);

impl Wake for LooksInFeed {
    fn wake(self: Arc<Self>) {
        self.1.send(self.0.durable_seq()).expect("the test waits for it");
    }
}

#[tokio::test]
async fn nothing_is_answered_and_nothing_streamed_before_the_sync_is_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (syncing, is_syncing) = bounded(1);
    let (let_go, go) = bounded(1);
    let disk = Held { syncing, go };
    let log = SegmentWriter::create_on(disk, directory.path(), 1 << 16).expect("creates");
    let feed = Feed::new(Path::new("unused"), EventSeq(0));
    let (ledger, gate) = (Ledger::new(0), ApproveAll);
    let state =
        Recovered { ledger, gate, workers: Crew::new(1).expect("starts"), upkeep: Upkeep::none() };
    let engine =
        Engine::start_with(&EngineConfig::new("unused"), state, log, feed, None).expect("starts");
    for id in 1..=3 {
        let (reply, mut answer) = oneshot::channel();
        let command = Command::CreateAccounts { specs: vec![spec(id)], acts: Vec::new(), reply };
        let room = std::time::Instant::now() + std::time::Duration::from_secs(120);
        engine.submitter().submit(command, None, room).await.expect("there is room");
        let waiting = is_syncing.clone();
        let waited = tokio::task::spawn_blocking(move || waiting.recv()).await;
        waited.expect("no panic").expect("it is synced");
        // It was written, and waits for its sync.
        let (looked, has_looked) = bounded(1);
        let waker = Waker::from(Arc::new(LooksInFeed(engine.feed().clone(), looked)));
        let answer_now = Pin::new(&mut answer).poll(&mut Context::from_waker(&waker));
        assert!(answer_now.is_pending(), "account {id}");
        assert_eq!(engine.feed().durable_seq(), EventSeq(id as u64 - 1));
        let_go.send(()).expect("the disk waits");
        // Who has the answer finds the event in the feed.
        assert_eq!(has_looked.recv(), Ok(EventSeq(id as u64)));
        assert!(answer.await.expect("answered").is_ok());
    }
    engine.stop().expect("stops");
}
