//! Publishing to a real server: the stream is the feed, and what contradicts it is refused.

mod common;

use std::{fs, path::Path, sync::Arc, time::Duration};

use async_nats::jetstream;
use common::{
    Bank, Keeper, Kept, assert_same, config, connect, events_of, eventually, flat, read_stream,
    refusal, until_published,
};
use millrace_engine::{Engine, EngineConfig, Feed};
use millrace_ledger::{ApproveAll, Event, EventSeq, Status};
use millrace_protos::v1;
use millrace_services::{Nats, required};
use millrace_sinks::{Source as _, spawn};
use millrace_stream::{Publisher, StreamConfig, StreamSource, wire};
use prost::Message as _;

fn nats() -> Option<Nats> {
    required(Nats::start())
}

/// What the stream holds was lost, and is published again while the sink, which has it, is connected: as
/// many messages as may be unacknowledged, and more, of which it commits none.
#[test]
fn a_sink_passes_over_what_it_has_already() {
    let Some(nats) = nats() else { return };
    let config = StreamConfig { consumer_messages: 4, ..config(nats.url()) };
    let mut bank = Bank::open(47);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    publisher.stop();
    publisher.join();
    bank.trade(200);
    let kept = Kept::default();
    kept.lock().expect("not poisoned").extend(bank.events());
    operate(&nats.url(), async |context| {
        let stream = context.get_stream(&config.stream).await.expect("is there");
        let wanted = stream.cached_info().config.clone();
        context.delete_stream(&config.stream).await.expect("is deleted");
        context.create_stream(wanted).await.expect("is made");
    });
    let source = StreamSource::new(&config, "keeper").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source);
    eventually("the sink waits for messages", || {
        operate(&nats.url(), async |context| {
            let stream = context.get_stream(&config.stream).await.expect("is there");
            stream.consumer_info("keeper").await.is_ok_and(|info| info.num_waiting > 0)
        })
    });
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    bank.trade(10);
    until_published(&publisher, &bank.feed());
    eventually("the sink has what is new", || sink.applied_seq() >= bank.feed().durable_seq());
    assert_eq!(sink.error(), None);
    assert_same(&kept.lock().expect("not poisoned").clone(), &bank.events());
}

/// Runs something against the server as an operator would.
fn operate<T, F: Future<Output = T>>(url: &str, act: impl FnOnce(jetstream::Context) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut context = jetstream::new(connect(url).await);
        context.set_timeout(Duration::from_secs(60));
        act(context).await
    })
}

#[test]
fn the_stream_is_the_feed_and_so_is_what_a_sink_gets() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(1);
    bank.trade(60);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    let kept = Kept::default();
    let source = StreamSource::new(&config, "keeper").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source);
    bank.trade(60);
    until_published(&publisher, &bank.feed());
    publisher.stop();
    publisher.join();
    bank.trade(30);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts again");
    until_published(&publisher, &bank.feed());
    let events = bank.events();
    assert!(events.len() > 1_000, "{} events are too few to show anything", events.len());
    assert_same(&events_of(read_stream(&nats.url(), &config.stream, "")), &events);
    eventually("the sink has all of it", || sink.applied_seq() >= bank.feed().durable_seq());
    assert_same(&kept.lock().expect("not poisoned").clone(), &events);
    assert_eq!(sink.error(), None);
    // All that was committed is acknowledged.
    eventually("all is acknowledged", || {
        operate(&nats.url(), async |context| {
            let stream = context.get_stream(&config.stream).await.expect("is there");
            let info = stream.consumer_info("keeper").await.expect("is there");
            info.num_ack_pending == 0 && info.num_pending == 0
        })
    });
}

/// A sink that waits for its database receives nothing more, and what it has yet to do grows all the
/// same: the stream's end is told in events, by the journal where it is here, else by the server.
#[test]
fn a_sink_that_stands_still_knows_how_far_it_is_behind() {
    let Some(mut nats) = nats() else { return };
    let config = StreamConfig { consumer_messages: 2, ..config(nats.url()) };
    let mut bank = Bank::open(12);
    bank.trade(30);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    let elsewhere = StreamSource::new(&config, "elsewhere").expect("starts");
    let beside = StreamSource::new(&config, "beside").expect("starts").beside(&bank.feed());
    let heads = [elsewhere.head(), beside.head()];
    let last = || Some(bank.feed().durable_seq());
    assert_eq!([heads[0].now(), heads[1].now()], [None, last()], "nobody was asked yet");
    // They read nothing.
    let readers = [&elsewhere, &beside].map(|it| it.reader(EventSeq::FIRST).expect("opens"));
    eventually("the end is known", || heads.iter().all(|head| head.now() == last()));
    bank.trade(30);
    until_published(&publisher, &bank.feed());
    let last = bank.feed().durable_seq();
    eventually("the end moves on", || heads.iter().all(|head| head.now() == Some(last)));
    nats.kill();
    eventually("nobody knows the end", || heads[0].now().is_none());
    assert_eq!(heads[1].now(), Some(last));
    drop(readers);
}

/// Frames are as large as they may be when there is much to publish, and no larger.
#[test]
fn frames_are_filled_and_not_overfilled() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(2);
    bank.trade(200);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    let held = read_stream(&nats.url(), &config.stream, "");
    let bytes_max = config.frame_kib << 10;
    let (last, full) = held.split_last().expect("there are some");
    assert!(full.len() > 10 && last.payload.len() <= bytes_max);
    for frame in full {
        assert!(frame.payload.len() <= bytes_max);
        assert!(frame.payload.len() > bytes_max * 9 / 10, "{} bytes", frame.payload.len());
        assert_eq!(frame.header("Millrace-Schema"), "1");
        assert_eq!(frame.header("traceparent").len(), 55);
    }
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let Some(mut nats) = nats() else { return };
    nats.kill();
    let mut bank = Bank::open(3);
    let publisher = Publisher::spawn(&config(nats.url()), &bank.feed()).expect("starts");
    eventually("it says what it waits for", || publisher.waiting_for().is_some());
    let why = publisher.waiting_for().expect("is there");
    assert!(why.starts_with("NATS at 127.0.0.1:"), "{why}");
    bank.trade(20);
    nats.start_again().expect("starts");
    until_published(&publisher, &bank.feed());
    assert_eq!(publisher.waiting_for(), None);
    assert_same(&events_of(read_stream(&nats.url(), "MILLRACE_EVENTS", "")), &bank.events());
}

#[test]
fn a_stream_that_was_deleted_is_made_and_filled_again() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(4);
    bank.trade(30);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    let delete = async |context: jetstream::Context| {
        context.delete_stream(&config.stream).await.expect("is deleted");
    };
    operate(&nats.url(), delete);
    bank.trade(5);
    until_published(&publisher, &bank.feed());
    assert_same(&events_of(read_stream(&nats.url(), &config.stream, "")), &bank.events());
}

/// One that is empty when the publisher starts was emptied by time, or by an operator.
#[test]
fn a_stream_that_is_empty_is_filled_again() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(15);
    bank.trade(30);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    publisher.stop();
    publisher.join();
    operate(&nats.url(), async |context| {
        let stream = context.get_stream(&config.stream).await.expect("is there");
        stream.purge().await.expect("is emptied");
    });
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    bank.trade(5);
    until_published(&publisher, &bank.feed());
    assert_same(&events_of(read_stream(&nats.url(), &config.stream, "")), &bank.events());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().expect("has a name"))).expect("copied");
        }
    }
}

#[test]
fn a_stream_that_contradicts_the_journal_is_refused() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(5);
    bank.trade(10);
    bank.stop();
    let (older, changed) = (tempfile::tempdir(), tempfile::tempdir());
    let (older, changed) = (older.expect("a directory"), changed.expect("a directory"));
    copy(bank.journal(), older.path());
    copy(bank.journal(), changed.path());
    bank.start_again();
    bank.trade(10);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    drop(publisher);
    let before = read_stream(&nats.url(), &config.stream, "").len();

    let (engine, _) = Engine::start(&EngineConfig::new(older.path()), &ApproveAll).expect("starts");
    let publisher = Publisher::spawn(&config, &engine.feed()).expect("starts");
    let said = refusal(&publisher);
    let last = bank.feed().durable_seq();
    let ahead = format!("ends with event {last}, and the journal has no such event");
    assert!(said.contains(&ahead) && said.contains("millrace sinks rebuild"), "{said}");

    // The same journal up to a point, and other events after it.
    let mut other = Bank::at(changed, 6);
    other.trade(40);
    assert!(other.feed().durable_seq() > last);
    let said = refusal(&Publisher::spawn(&config, &other.feed()).expect("starts"));
    assert!(said.contains(&format!("and the journal differ at event {last} or before")), "{said}");

    let stranger = Bank::open(7);
    let said = refusal(&Publisher::spawn(&config, &stranger.feed()).expect("starts"));
    assert!(said.contains("holds the events of journal"), "{said}");
    assert!(said.contains("stream.subject"), "{said}");
    assert_eq!(read_stream(&nats.url(), &config.stream, "").len(), before, "nothing was published");
}

#[test]
fn a_stream_that_is_not_as_configured_is_refused() {
    let Some(nats) = nats() else { return };
    let bank = Bank::open(8);
    let config = config(nats.url());
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    drop(publisher);
    type Change = fn(&mut StreamConfig);
    let table: &[(Change, &str)] = &[
        (
            |it| it.max_age_hours = 5,
            "max_age 0 s, and 18000 s is configured (stream.max_age_hours)",
        ),
        (|it| it.max_bytes_mib = 1, "max_bytes 268435456, and 1048576 is configured"),
        (|it| it.subject = "events.v2".into(), "subjects events.v1, and events.v2 is configured"),
        (|it| (it.frame_kib, it.in_flight_mib) = (16_384, 64), "takes messages of 8388608 bytes"),
    ];
    for (change, said) in table {
        let mut config = config.clone();
        change(&mut config);
        let error = refusal(&Publisher::spawn(&config, &bank.feed()).expect("starts"));
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_stranger_in_the_stream_is_named() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(9);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    operate(&nats.url(), async |context| {
        let ack = context.publish("events.v1", "hello".into()).await.expect("sent");
        ack.await.expect("taken");
    });
    bank.trade(1);
    let said = refusal(&publisher);
    assert!(said.contains("can't be read as one of Millrace's"), "{said}");
    let source = StreamSource::new(&config, "reader").expect("starts");
    let error = source.reader(EventSeq(1)).map(drop).expect_err("can't tell its place");
    assert!(
        !error.transient && error.text.contains("can't be read as one of Millrace's"),
        "{error}"
    );
}

/// The stream keeps a mebibyte; a sink that has read nothing needs more.
#[test]
fn a_sink_that_the_stream_has_left_behind_is_told_to_rebuild() {
    let Some(nats) = nats() else { return };
    let config = StreamConfig { max_bytes_mib: 1, ..config(nats.url()) };
    let mut bank = Bank::open(10);
    bank.trade(400);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    let source = StreamSource::new(&config, "late").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Kept::default() }), source);
    eventually("it is told", || sink.error().is_some());
    let said = sink.error().expect("is there");
    assert!(said.starts_with("late: a gap: event 1 is due"), "{said}");
    assert!(said.contains("millrace sinks rebuild"), "{said}");
    // One that was read elsewhere up to what is there goes on.
    let events = bank.events();
    let kept = Kept::default();
    kept.lock().expect("not poisoned").extend_from_slice(&events[..events.len() - 50]);
    let source = StreamSource::new(&config, "late").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source);
    eventually("it is there", || {
        assert_eq!(sink.error(), None);
        sink.applied_seq() >= bank.feed().durable_seq()
    });
    assert_same(&kept.lock().expect("not poisoned").clone(), &events);
}

/// A single event is read beside whoever follows the stream, who goes on undisturbed.
#[test]
fn one_event_is_read_wherever_the_reader_stands() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(13);
    bank.trade(60);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    let events = bank.events();
    let last = events.len() as u64;
    let source = StreamSource::new(&config, "looker").expect("starts");
    let mut reader = source.reader(EventSeq::FIRST).expect("finds its place");
    let mut read = Vec::new();
    while (read.len() as u64) < last {
        let batch = StreamSource::next(&mut reader, Duration::from_secs(120)).expect("reads");
        read.extend(flat([batch.expect("there is more")]));
        for seq in [1, last / 2, last] {
            let found = source.event(EventSeq(seq)).expect("reads").expect("is there");
            assert_eq!(found, events[seq as usize - 1].1);
        }
        assert_eq!(source.event(EventSeq(last + 1)).expect("reads"), None, "not yet");
    }
    assert_same(&read, &events);
}

/// Whatever the server's consumer thinks, the sink's own cursor counts.
#[test]
fn the_sinks_cursor_wins_over_the_consumers_position() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(11);
    bank.trade(60);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    let events = bank.events();
    let last = events.len() as u64;
    let source = StreamSource::new(&config, "jumper").expect("starts");
    // From everywhere, in any order, acknowledged or not.
    for (from, acknowledges) in [
        (1, true),
        (last / 2, false),
        (3, true),
        (last, true),
        (last - 1, false),
        (last + 1, true),
        (7, true),
    ] {
        let mut reader = source.reader(EventSeq(from)).expect("finds its place");
        let mut read = Vec::new();
        while (read.len() as u64) < last + 1 - from {
            let batch = StreamSource::next(&mut reader, Duration::from_secs(120)).expect("reads");
            read.extend(flat([batch.expect("there is more")]));
        }
        assert_same(&read, &events[from as usize - 1..]);
        let wait = Duration::from_millis(50);
        assert_eq!(StreamSource::next(&mut reader, wait).expect("reads"), None, "from {from}");
        if acknowledges {
            StreamSource::committed(&mut reader, EventSeq(last + 1)).expect("acknowledges");
        }
    }
}

#[test]
fn payments_are_published_one_by_one_on_subjects_that_can_be_filtered() {
    let Some(nats) = nats() else { return };
    let config = StreamConfig { per_payment: true, ..config(nats.url()) };
    let mut bank = Bank::open(12);
    bank.holds_expire = true;
    bank.trade(60);
    bank.until_holds_expired();
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    until_published(&publisher, &bank.feed());
    publisher.stop();
    publisher.join();
    bank.holds_expire = false;
    bank.trade(20);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts again");
    until_published(&publisher, &bank.feed());

    let events = bank.events();
    let read = |filter: &str| {
        let held = read_stream(&nats.url(), &config.payments_stream, filter);
        let event = |payload| v1::Event::decode(payload).expect("an event");
        held.into_iter()
            .map(|held| {
                let (event, time) = wire::read_event(event(held.payload.clone())).expect("reads");
                assert_eq!(held.header("Nats-Msg-Id"), event.event.seq().to_string());
                (time, event)
            })
            .collect::<Vec<_>>()
    };
    let chosen = |fits: &dyn Fn(&Event) -> bool| {
        let chosen: Vec<_> = events.iter().filter(|(_, it)| fits(&it.event)).cloned().collect();
        assert!(!chosen.is_empty(), "the test needs some");
        chosen
    };
    let all = chosen(&|it| matches!(it, Event::Payment(_) | Event::HoldExpired(_)));
    assert_same(&read(""), &all);
    let rejected = |it: &Event| {
        matches!(it, Event::Payment(it)
            if it.payment.ledger.0 == 203 && matches!(it.outcome.status, Status::Rejected(_)))
    };
    assert_same(&read("payments.v1.203.rejected.>"), &chosen(&rejected));
    let held_euros = |it: &Event| {
        matches!(it, Event::Payment(it)
            if it.payment.ledger.0 == 978 && it.outcome.status == Status::Held)
    };
    assert_same(&read("payments.v1.978.held.authorize"), &chosen(&held_euros));
    let expired = |it: &Event| matches!(it, Event::HoldExpired(_));
    assert_same(&read("payments.v1.*.expired.*"), &chosen(&expired));
}

/// The publisher may run in another process: it needs no more than the directory.
#[test]
fn a_publisher_follows_a_journal_that_starts_later() {
    let Some(nats) = nats() else { return };
    let config = config(nats.url());
    let mut bank = Bank::open(13);
    let directory = tempfile::tempdir().expect("a directory");
    let publisher_of_none = Feed::follow(&directory.path().join("journal")).expect("waits");
    let waiting = Publisher::spawn(&config, &publisher_of_none).expect("starts");
    eventually("it waits for a journal", || {
        waiting.waiting_for().is_some_and(|why| why.starts_with("there is no journal yet"))
    });
    drop(waiting);
    let publisher =
        Publisher::spawn(&config, &Feed::follow(bank.journal()).expect("follows")).expect("starts");
    bank.trade(20);
    until_published(&publisher, &bank.feed());
    bank.start_again();
    bank.trade(20);
    until_published(&publisher, &bank.feed());
    assert_same(&events_of(read_stream(&nats.url(), &config.stream, "")), &bank.events());
}
