//! Three servers that keep a stream together: whichever leads it is killed, again and again, while
//! payments go on; nothing is lost and nothing comes twice.

mod common;

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{self, stream::ClusterInfo};
use common::{
    Bank, Keeper, Kept, assert_same, config, events_of, eventually, read_stream, until_published,
};
use millrace_services::{Nats, required};
use millrace_sinks::spawn;
use millrace_stream::{Publisher, StreamConfig, StreamSource};

const SERVERS: usize = 3;
const KILLS: usize = 2;

/// What a server says of the stream's cluster; `None` while it can't.
fn cluster_of(nats: &Nats, stream: &str) -> Option<ClusterInfo> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut context = jetstream::new(async_nats::connect(nats.url()).await.ok()?);
        context.set_timeout(Duration::from_secs(1));
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

#[test]
fn the_stream_goes_on_when_its_leader_is_killed() {
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
        let last = bank.feed().durable_seq();
        eventually("the sink goes on with two servers", || {
            assert_eq!(sink.error(), None);
            sink.applied_seq() >= last
        });
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
