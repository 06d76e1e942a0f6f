//! The recovery decision table, row by row, on real files that are damaged in every way it names.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use millrace_engine::{Command, Engine, EngineConfig, FeedBatch, JournalError, PaymentReply};
use millrace_ledger::{
    AccountFlags, AccountId, AccountSpec, Amount, ApproveAll, Code, EventSeq, LedgerId, Operation,
    Payment, PaymentId, Status,
};
use support::{ask, config, frames, payment, refusal, segments, start, state_hash};
use tempfile::TempDir;
use tokio::sync::oneshot;

const FIRST_FRAME: u64 = 128;

fn open_accounts(engine: &Engine) {
    let account = |id| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(203),
        code: Code(1),
        flags: if id == 1 {
            AccountFlags::NONE
        } else {
            AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS
        },
        ..AccountSpec::default()
    };
    let specs = (1..=3).map(account).collect();
    ask(engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
}

fn pay(engine: &Engine, payments: Vec<Payment>) -> Vec<PaymentReply> {
    ask(engine, |reply| Command::Payments { payments, contexts: Vec::new(), reply })
}

/// A journal of some segments: three accounts, then 40 payments, one per frame.
fn journal() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    for id in 1..=40 {
        pay(&engine, vec![payment(id)]);
    }
    engine.stop().expect("stops");
    directory
}

fn write_at(path: &Path, bytes: &[u8], offset: u64) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let directory = journal();
    assert!(segments(directory.path()).len() > 2, "the test needs several segments");
    let before = state_hash(directory.path());
    let (engine, report) = start(directory.path()).expect("starts");
    assert_eq!((report.last_seq, &report.torn_tail), (EventSeq(43), &None));
    let replies = pay(&engine, vec![payment(7), payment(41)]);
    assert_eq!((replies[0].seq, replies[0].replayed), (EventSeq(10), true));
    assert_eq!((replies[1].seq, replies[1].replayed), (EventSeq(44), false));
    engine.stop().expect("stops");
    assert_ne!(state_hash(directory.path()), before);
    let (engine, report) = start(directory.path()).expect("starts");
    assert_eq!(report.last_seq, EventSeq(44));
    engine.stop().expect("stops");
}

/// Power fails while the last frame is written: any part of it may be on disk. It was never
/// acknowledged, so the journal ends before it, and the payment can be sent again.
#[test]
fn a_last_frame_torn_at_any_byte_is_cut() {
    let whole = journal();
    let last = segments(whole.path()).pop().unwrap();
    let (offset, len) = *frames(&last).last().unwrap();
    let bytes = fs::read(&last).unwrap();
    for kept in 0..len {
        let at = (offset + kept) as usize;
        if bytes[at..(offset + len) as usize].iter().all(|byte| *byte == 0) {
            continue; // Only padding is lost: the frame is whole.
        }
        let torn = tempfile::tempdir().unwrap();
        for segment in segments(whole.path()) {
            fs::copy(&segment, torn.path().join(segment.file_name().unwrap())).unwrap();
        }
        let segment = torn.path().join(last.file_name().unwrap());
        write_at(&segment, &vec![0; (len - kept) as usize], offset + kept);
        let (engine, report) = start(torn.path()).expect("a torn tail is no damage");
        assert_eq!(report.last_seq, EventSeq(42), "kept {kept}");
        assert_eq!(report.torn_tail.is_some(), kept > 0, "kept {kept}");
        if kept % 16 == 1 {
            let replies = pay(&engine, vec![payment(40)]);
            assert_eq!((replies[0].seq, replies[0].replayed), (EventSeq(43), false));
        }
        engine.stop().expect("stops");
        let (engine, report) = start(torn.path()).expect("starts");
        assert_eq!(report.torn_tail, None, "the tail was blanked");
        engine.stop().expect("stops");
    }
}

#[test]
fn a_changed_byte_anywhere_else_is_named_and_nothing_is_changed() {
    let whole = journal();
    for (segment_number, frame_number) in [(0, 0), (0, 2), (1, 1), (1, 0)] {
        let directory = journal();
        let segment = &segments(directory.path())[segment_number];
        let (offset, _) = frames(segment)[frame_number];
        for within in [5_u64, 30, 60, 100, 140, 200] {
            let original = fs::read(segment).unwrap();
            write_at(segment, &[original[(offset + within) as usize] ^ 0x40], offset + within);
            let error = refusal(directory.path());
            assert!(error.contains(&format!("at offset {offset}")), "{error}");
            assert!(error.contains("Restore this segment from a copy"), "{error}");
            write_at(segment, &[original[(offset + within) as usize]], offset + within);
        }
        assert_eq!(state_hash(directory.path()), state_hash(whole.path()));
    }
}

#[test]
fn damage_in_the_last_segment_is_told_from_a_torn_tail() {
    let directory = journal();
    let last = segments(directory.path()).pop().unwrap();
    let frames = frames(&last);
    assert!(frames.len() >= 2, "the test needs two frames");
    let (offset, len) = frames[frames.len() - 2];
    write_at(&last, &vec![0; len as usize], offset);
    let error = refusal(directory.path());
    assert!(error.contains("a whole frame follows"), "{error}");
}

#[test]
fn segments_out_of_place_are_named() {
    let directory = journal();
    let paths = segments(directory.path());
    let (first, second, third) = (&paths[0], &paths[1], &paths[2]);
    let aside = directory.path().join("aside");

    fs::rename(second, &aside).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("a segment before it is missing"), "missing: {error}");

    fs::copy(third, second).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("its name and its header tell different"), "swapped: {error}");
    fs::rename(&aside, second).unwrap();

    let twice = directory.path().join("00000000000000000900.segment");
    fs::copy(second, &twice).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("its name and its header tell different"), "twice: {error}");
    fs::remove_file(twice).unwrap();

    let other = journal();
    fs::copy(second, &aside).unwrap();
    fs::copy(&segments(other.path())[1], second).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("it belongs to another journal"), "foreign: {error}");
    fs::rename(&aside, second).unwrap();

    fs::rename(first, &aside).unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("event 1 is needed"), "no beginning: {error}");
    fs::rename(&aside, first).unwrap();

    start(directory.path()).expect("all is in place again").0.stop().expect("stops");
}

#[test]
fn a_newer_version_is_refused_with_its_number() {
    let directory = journal();
    let first = &segments(directory.path())[0];
    let mut header = fs::read(first).unwrap()[..76].to_vec();
    header[8] = 9;
    let checksum = crc32c::crc32c(&header[..72]).to_le_bytes();
    header[72..76].copy_from_slice(&checksum);
    write_at(first, &header, 0);
    let error = refusal(directory.path());
    assert!(error.contains("version 9, and this millrace reads up to 1"), "{error}");
}

#[test]
fn one_directory_serves_one_engine() {
    let directory = journal();
    let (engine, _) = start(directory.path()).expect("starts");
    let second = start(directory.path()).map(|_| ());
    assert!(matches!(second, Err(JournalError::InUse { .. })), "{second:?}");
    // Nor after somebody took the lock for a dead one's.
    fs::remove_file(directory.path().join("LOCK")).unwrap();
    let third = start(directory.path()).map(|_| ());
    assert!(matches!(third, Err(JournalError::InUse { .. })), "{third:?}");
    engine.stop().expect("stops");
    start(directory.path()).expect("free again").0.stop().expect("stops");
}

#[test]
fn a_directory_that_can_not_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = start(&file.join("journal")).map(|_| ()).expect_err("no directory").to_string();
    assert!(error.contains("file/journal") && error.contains("data_dir"), "{error}");
}

#[test]
fn a_half_made_segment_is_removed() {
    let directory = journal();
    let unfinished = directory.path().join("next.unfinished");
    fs::write(&unfinished, "half").unwrap();
    let (engine, report) = start(directory.path()).expect("starts");
    assert_eq!(report.last_seq, EventSeq(43));
    engine.stop().expect("stops");
    assert_ne!(fs::read(&unfinished).ok().as_deref(), Some(&b"half"[..]));
}

/// A hold expires while nobody submits anything, and its expiry is an event like any other.
#[test]
fn a_hold_expires_on_time_and_stays_expired() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    let hold = Payment {
        debit: AccountId(1),
        credit: AccountId(2),
        operation: Operation::Authorize,
        timeout_s: 1,
        ..payment(1)
    };
    let before = Instant::now();
    assert_eq!(pay(&engine, vec![hold])[0].outcome.status, Status::Held);
    let mut reader = engine.feed().reader(EventSeq(5));
    let batch = reader.next(Duration::from_secs(120)).expect("reads").expect("in the end");
    assert!(before.elapsed() >= Duration::from_millis(990), "not before its time");
    assert_eq!(batch.events.len(), 1);
    let event = &batch.events[0].event;
    assert!(matches!(event, millrace_ledger::Event::HoldExpired(_)), "{event:?}");
    engine.stop().expect("stops");
    assert_eq!(start(directory.path()).expect("starts").1.last_seq, EventSeq(5));
}

/// The feed gives every event once, from wherever a reader starts, across segments.
#[test]
fn the_feed_gives_every_event_once_from_any_place() {
    let directory = journal();
    let (engine, _) = start(directory.path()).expect("starts");
    let read_all = |from: u64| {
        let mut reader = engine.feed().reader(EventSeq(from));
        let next = || reader.next(Duration::ZERO).expect("reads");
        let batches: Vec<FeedBatch> = std::iter::from_fn(next).collect();
        let events = batches.into_iter().flat_map(|batch| batch.events);
        events.map(|event| event.event.seq().0).collect::<Vec<_>>()
    };
    for from in 0..45 {
        assert_eq!(read_all(from), (from.max(1)..=43).collect::<Vec<_>>(), "from {from}");
    }
    engine.stop().expect("stops");
}

/// A client plants what looks like a frame in a context. If the power then fails while its payments
/// are written, what was planted must not be taken for an acknowledged frame after the torn one.
#[test]
fn a_frame_planted_in_a_context_is_no_frame() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    let mut planted = vec![0; 128];
    planted[0..4].copy_from_slice(b"MLRF");
    planted[4] = 1;
    planted[24] = 99;
    planted[72..104].copy_from_slice(blake3::hash(b"").as_bytes());
    let checksum = crc32c::crc32c(&planted[..104]);
    planted[104..108].copy_from_slice(&checksum.to_le_bytes());
    // One of 64 neighbours, each a byte longer than 192, stands at a multiple of 64.
    let context = [planted, vec![1; 65]].concat();
    let contexts = (0..64).map(|_| context.clone().into()).collect();
    let payments = (1..=64).map(|id| Payment { debit: AccountId(1), ..payment(id * 3) }).collect();
    ask(&engine, |reply| Command::Payments { payments, contexts, reply });
    engine.stop().expect("stops");

    let last = segments(directory.path()).pop().unwrap();
    let (offset, _) = *frames(&last).last().unwrap();
    let bytes = fs::read(&last).unwrap();
    let at_frame_starts = (offset as usize + 64..bytes.len()).step_by(64);
    let stands = at_frame_starts.filter(|at| bytes[*at..].starts_with(b"MLRF")).count();
    assert!(stands > 0, "the test plants where frames start");
    write_at(&last, &[0; 128], offset);
    // Power failed before the note was written.
    fs::remove_file(directory.path().join("durable")).unwrap();
    let (engine, report) = start(directory.path()).expect("a torn tail is no damage");
    assert!(report.torn_tail.is_some());
    engine.stop().expect("stops");
}

/// A frame that claims more events than its bytes can hold is damage, not a reason to ask the
/// system for terabytes.
#[test]
fn a_frame_with_an_absurd_count_is_refused() {
    let directory = journal();
    let first = &segments(directory.path())[0];
    let mut header = fs::read(first).unwrap()[FIRST_FRAME as usize..][..128].to_vec();
    header[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..104]);
    header[104..108].copy_from_slice(&checksum.to_le_bytes());
    write_at(first, &header, FIRST_FRAME);
    let error = refusal(directory.path());
    assert!(error.contains("holds no valid events"), "{error}");
}

/// Thousands of holds expire at once: they come in batches of the usual size, all of them, before
/// anything that is decided later.
#[test]
fn many_holds_that_expire_at_once_fill_several_batches() {
    let directory = tempfile::tempdir().unwrap();
    let limited = EngineConfig { batch_events_max: 100, ..config(directory.path()) };
    let (engine, _) = Engine::start(&limited, &ApproveAll).expect("starts");
    open_accounts(&engine);
    let hold = |id| Payment {
        debit: AccountId(1),
        credit: AccountId(2),
        operation: Operation::Authorize,
        timeout_s: 1,
        ..payment(id)
    };
    pay(&engine, (1..=950).map(hold).collect());
    let mut reader = engine.feed().reader(EventSeq(954));
    std::thread::sleep(Duration::from_millis(1_100));
    let capture = Payment {
        id: PaymentId(2_000),
        original: PaymentId(950),
        operation: Operation::Capture,
        amount: Amount::ALL,
        ..Payment::default()
    };
    let reply = &pay(&engine, vec![capture])[0];
    let expired = millrace_ledger::RejectReason::HoldExpired;
    assert_eq!(reply.outcome.status, Status::Rejected(expired));
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 951 {
        let batch = reader.next(Duration::ZERO).expect("reads").expect("is there");
        sizes.push(batch.events.len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 951);
    assert!(sizes.iter().all(|size| *size <= 101), "{sizes:?}");
    engine.stop().expect("stops");
}

/// After an outage, senders repeat known payments as fast as they can. A new payment among them
/// is answered all the same.
#[test]
fn a_storm_of_retries_does_not_hold_up_a_new_payment() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = start(directory.path()).expect("starts");
    open_accounts(&engine);
    let known: Vec<_> =
        (1..=512).map(|id| Payment { debit: AccountId(1), ..payment(id * 3) }).collect();
    pay(&engine, known.clone());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut unanswered = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let (reply, answer) = oneshot::channel();
                        let payments = known.clone();
                        let command = Command::Payments { payments, contexts: Vec::new(), reply };
                        let room = Instant::now() + Duration::from_secs(120);
                        engine.submitter().submit(command, None, room).await.expect("room");
                        unanswered.push(answer);
                    }
                });
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        let (answered, answer) = std::sync::mpsc::channel();
        let engine = &engine;
        scope.spawn(move || answered.send(pay(engine, vec![payment(2_000)])));
        let within = answer.recv_timeout(Duration::from_secs(120));
        over.store(true, Ordering::Relaxed);
        assert!(within.is_ok(), "the new payment waits for as long as the storm lasts");
    });
    engine.stop().expect("stops");
}
