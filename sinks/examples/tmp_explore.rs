//! tmp
#[path = "../tests/common/mod.rs"]
mod common;
use millrace_sinks::{GraphqlConfig, GraphqlSink, Sink as _, graphql::serve};
#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().expect("dir");
    let (mut sink, store) =
        GraphqlSink::open(dir.path(), &GraphqlConfig::default()).expect("opens");
    sink.apply(&common::bank().batches(4)).expect("applies");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8099").await.expect("binds");
    serve(listener, store, async { tokio::time::sleep(std::time::Duration::from_secs(120)).await })
        .await
        .expect("ok");
}
