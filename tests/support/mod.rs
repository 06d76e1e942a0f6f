//! What the end-to-end tests share: runs the real binary, talks to it, and cleans up after it.
//!
//! Guarantees that every process dies with its guard and that every wait ends.

#![allow(dead_code)] // every test file uses a part of it

pub(crate) mod auditor;
pub(crate) mod bank;
pub(crate) mod config;
pub(crate) mod data_dir;
pub(crate) mod dice;
pub(crate) mod graphql;
pub(crate) mod metrics;
pub(crate) mod orders;
pub(crate) mod payments;
pub(crate) mod payments_file;
pub(crate) mod process;
pub(crate) mod raw_grpc;
pub(crate) mod risk;
pub(crate) mod roles;
pub(crate) mod scratch;
pub(crate) mod server;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Longer than anything takes on a slow machine that does other things as well.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(240);

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Text of a path for a command line.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of these tests is UTF-8")
}

/// Asks again and again until there is something, or panics.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(started.elapsed() < WAIT_MAX, "{what}: not after {WAIT_MAX:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Awaits something that must come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_MAX, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not after {WAIT_MAX:?}"),
    }
}
