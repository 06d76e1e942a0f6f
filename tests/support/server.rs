//! A `millrace serve`: started, ready, killed or stopped.

use std::{net::SocketAddr, path::Path, process::ExitStatus, time::Duration};

use millrace_client::Connection;

use super::{WAIT_MAX, eventually, process::Process, text, within};

/// A server that is ready.
pub(crate) struct Server {
    process: Process,
    pub(crate) grpc: SocketAddr,
    pub(crate) graphql: SocketAddr,
    /// Where metrics are shown, if they are.
    pub(crate) metrics: Option<SocketAddr>,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(config: &Path, data_dir: &Path) -> Self {
        Self::ready(Self::launch(config, data_dir))
    }

    /// Starts a server and doesn't wait.
    pub(crate) fn launch(config: &Path, data_dir: &Path) -> Process {
        Process::start(["serve", "--config", text(config), "--data-dir", text(data_dir)])
    }

    fn ready(mut process: Process) -> Self {
        let (grpc, graphql, metrics) = eventually("the server is ready", || {
            let log = process.stderr();
            let found = addresses(&log);
            assert!(found.is_some() || !process.has_ended(), "it did not start: {log}");
            found
        });
        Self { process, grpc, graphql, metrics }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Connection {
        let url = self.url();
        within("the connection", Connection::open(&url)).await.expect("it listens")
    }

    pub(crate) fn terminate(&self) {
        self.process.terminate();
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Waits for its end after [`Self::terminate`]; also tells its log.
    pub(crate) fn wait(mut self, max: Duration) -> (ExitStatus, String) {
        let status = self.process.wait(max);
        (status, self.process.stderr())
    }

    /// SIGTERM, and an end without complaint.
    pub(crate) fn stop(self) {
        self.terminate();
        let (status, log) = self.wait(WAIT_MAX);
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

/// Where it listens, once its log says that it is ready.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr, Option<SocketAddr>)> {
    let line = log.lines().find(|line| line.contains(" ready "))?;
    let value = |key| {
        let (_, after) = line.split_once(key)?;
        after.split([' ', '"', '/']).next()?.parse().ok()
    };
    Some((value(" grpc=")?, value(" graphql=\"http://")?, value(" metrics=\"http://")))
}
