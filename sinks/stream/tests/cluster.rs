//! Three servers that keep a stream together: whichever leads it is killed, again and again, while
//! payments go on; nothing is lost and nothing comes twice. And a consumer that can't be asked any more,
//! because nobody leads it, does not stop its sink; nor do messages at the wrong place stop the stream.

mod common;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream::ClusterInfo,
};
use common::{
    Bank, Keeper, Kept, assert_same, config, connect, events_of, eventually, read_stream,
    until_published,
};
use millrace_ledger::{Event, EventSeq};
use millrace_services::{Nats, required};
use millrace_sinks::{SinkHandle, spawn};
use millrace_stream::{Publisher, PublisherHandle, StreamConfig, StreamSource};

const SERVERS: usize = 3;
const KILLS: usize = 2;

/// Nine servers at once would be too many for a small machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a server says of the stream's cluster; `None` while it can't.
fn cluster_of(nats: &Nats, stream: &str) -> Option<ClusterInfo> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut context = jetstream::new(async_nats::connect(nats.url()).await.ok()?);
        context.set_timeout(Duration::from_secs(10));
        context.get_stream(stream).await.ok()?.cached_info().cluster.clone()
    })
}

/// The number of the server that leads the stream, once all others follow it.
fn leader_with_all_in_sync(servers: &[Nats], stream: &str) -> usize {
    let mut leader = None;
    eventually("a leader has all others behind it", || {
        leader = servers.iter().find_map(|nats| {
            let cluster = cluster_of(nats, stream)?;
            let follows = cluster.replicas.iter().filter(|it| it.current && !it.offline).count();
            let name = cluster.leader.filter(|_| follows == SERVERS - 1)?;
            name.strip_prefix('n')?.parse().ok()
        });
        leader.is_some()
    });
    leader.expect("is there")
}

/// The number of the server with the only copy of a consumer, which is made here.
fn server_of_new_consumer(nats: &Nats, stream: &str, name: &str) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut context = jetstream::new(connect(&nats.url()).await);
        context.set_timeout(Duration::from_secs(60));
        let stream = context.get_stream(stream).await.expect("is there");
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 2 },
            ack_policy: AckPolicy::Explicit,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.expect("a consumer");
        let leader = consumer.cached_info().cluster.as_ref().and_then(|it| it.leader.clone());
        leader.expect("a leader").strip_prefix('n').expect("a name").parse().expect("a number")
    })
}

fn until_applied(sink: &SinkHandle, last: EventSeq) {
    let mut waits_for = None;
    let applied = || {
        assert_eq!(sink.error(), None);
        let status = sink.watch().status();
        if status.error != waits_for {
            eprintln!("the sink is at {} of {last}: {:?}", status.applied_seq, status.error);
            waits_for = status.error;
        }
        sink.applied_seq() >= last
    };
    eventually("the sink goes on with two servers", applied);
}

#[test]
fn a_consumer_that_nobody_leads_is_made_anew() {
    let _alone = alone();
    let Some(mut servers) = required(Nats::start_cluster(SERVERS)) else { return };
    let urls: Vec<_> = servers.iter().map(Nats::url).collect();
    let config = StreamConfig { replicas: SERVERS, ..config(urls.join(",")) };
    let mut bank = Bank::open(37);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    bank.trade(20);
    until_published(&publisher, &bank.feed());
    let leader = leader_with_all_in_sync(&servers, &config.stream);
    let alone = server_of_new_consumer(&servers[leader], &config.stream, "keeper");
    servers[alone].kill();
    let kept = Kept::default();
    let source = StreamSource::new(&config, "keeper").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source);
    until_applied(&sink, bank.feed().durable_seq());
    assert_same(&kept.lock().expect("not poisoned").clone(), &bank.events());
}

/// Three publishers that all find the stream empty, and then one whose message waits in a server that
/// hangs while another one goes on: most of what they send comes at the wrong place.
#[test]
fn messages_at_the_wrong_place_do_no_harm() {
    let _alone = alone();
    let Some(servers) = required(Nats::start_cluster(SERVERS)) else { return };
    let urls: Vec<_> = servers.iter().map(Nats::url).collect();
    let config = StreamConfig { replicas: SERVERS, per_payment: true, ..config(urls.join(",")) };
    let mut bank = Bank::open(41);
    bank.trade(400);
    let publishers = [(); 3].map(|()| Publisher::spawn(&config, &bank.feed()).expect("starts"));
    bank.trade(400);
    until_published(&publishers[0], &bank.feed());
    publishers.iter().for_each(PublisherHandle::stop);
    publishers.into_iter().for_each(PublisherHandle::join);

    let leader = leader_with_all_in_sync(&servers, &config.stream);
    let hangs = &servers[(leader + 1) % SERVERS];
    let only = |url| StreamConfig { url: Some(url), ..config.clone() };
    let first = Publisher::spawn(&only(hangs.url()), &bank.feed()).expect("starts");
    bank.trade(2);
    until_published(&first, &bank.feed());
    hangs.pause();
    bank.trade(2);
    thread::sleep(Duration::from_secs(1));
    let second = Publisher::spawn(&only(servers[leader].url()), &bank.feed()).expect("starts");
    until_published(&second, &bank.feed());
    bank.trade(2);
    until_published(&second, &bank.feed());
    hangs.go_on();
    thread::sleep(Duration::from_secs(2));
    bank.trade(2);
    until_published(&second, &bank.feed());

    let leader = leader_with_all_in_sync(&servers, &config.stream);
    let events = bank.events();
    assert_same(&events_of(read_stream(&urls[leader], &config.stream, "")), &events);
    let single = read_stream(&urls[leader], &config.payments_stream, "");
    let published: Vec<u64> =
        single.iter().map(|held| held.header("Nats-Msg-Id").parse().expect("a number")).collect();
    let payments = events.iter().map(|(_, event)| &event.event);
    let payments = payments.filter(|it| matches!(it, Event::Payment(_) | Event::HoldExpired(_)));
    assert_eq!(published, payments.map(|it| it.seq().0).collect::<Vec<_>>());
}

#[test]
fn the_stream_goes_on_when_its_leader_is_killed() {
    let _alone = alone();
    let Some(mut servers) = required(Nats::start_cluster(SERVERS)) else { return };
    let urls: Vec<_> = servers.iter().map(Nats::url).collect();
    let config = StreamConfig { replicas: SERVERS, ..config(urls.join(",")) };
    let mut bank = Bank::open(31);
    let publisher = Publisher::spawn(&config, &bank.feed()).expect("starts");
    bank.trade(20);
    until_published(&publisher, &bank.feed());
    let kept = Kept::default();
    let source = StreamSource::new(&config, "keeper").expect("starts");
    let sink = spawn(Box::new(Keeper { kept: Arc::clone(&kept) }), source);
    for _ in 0..KILLS {
        let leader = leader_with_all_in_sync(&servers, &config.stream);
        // In the middle of it: some are sent, some acknowledged, some committed.
        bank.trade(20);
        servers[leader].kill();
        bank.trade(20);
        until_published(&publisher, &bank.feed());
        until_applied(&sink, bank.feed().durable_seq());
        servers[leader].start_again().expect("starts");
    }
    let events = bank.events();
    assert_same(&kept.lock().expect("not poisoned").clone(), &events);
    // What the one that was killed last has caught up with counts, too.
    leader_with_all_in_sync(&servers, &config.stream);
    for url in &urls {
        assert_same(&events_of(read_stream(url, &config.stream, "")), &events);
    }
}
