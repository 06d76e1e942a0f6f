//! Forges journals for tests: consumes a whole one, produces one that says something else and is as
//! whole: every hash is right, so only the events themselves can tell.

use std::path::Path;

use millrace_ledger::{Event, Timestamp};
use tempfile::TempDir;

use crate::{FeedEvent, frame::FrameBuffer, record, scan::JournalScan, segment::SegmentWriter};

pub(crate) type Frames = Vec<(Timestamp, Vec<(FeedEvent, bool)>)>;

/// The frames of a journal: time, and events, each with whether it continues a group.
pub(crate) fn frames(directory: &Path) -> Frames {
    let scan = JournalScan::open(directory).expect("opens");
    scan.map(|frame| {
        let (frame, mut events) = (frame.expect("is whole"), Vec::new());
        frame.each_event(|event, continues| events.push((event, continues))).expect("decodes");
        (frame.time, events)
    })
    .collect()
}

/// The journal with some of its events changed, hashes and all.
pub(crate) fn forged(directory: &Path, mut change: impl FnMut(&mut Event)) -> TempDir {
    let forged = tempfile::tempdir().expect("a temporary directory");
    let mut writer = SegmentWriter::create(forged.path(), 1 << 20).expect("creates");
    for (time, mut events) in frames(directory) {
        let first_seq = events[0].0.event.seq();
        let mut buffer = FrameBuffer::default();
        buffer.clear();
        for (FeedEvent { event, context, evidence }, continues) in &mut events {
            change(event);
            let (bytes, contexts) = buffer.begin_event();
            match event {
                Event::Account(event) => record::encode_account(event, bytes),
                Event::Act(_) => record::encode_act(context, bytes, contexts),
                Event::HoldExpired(event) => record::encode_hold_expired(event, bytes),
                Event::Payment(event) => {
                    record::encode_payment(event, context, evidence, *continues, bytes, contexts);
                }
            }
        }
        writer.append(&mut buffer, first_seq, time).expect("is written");
    }
    forged
}
