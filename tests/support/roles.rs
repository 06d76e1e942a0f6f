//! A `millrace serve` that has some of the roles.

use std::{net::SocketAddr, path::Path};

use super::{WAIT_MAX, eventually, process::Process, text};

/// A process with some of the roles.
pub(crate) struct RoleProcess(Process);

impl RoleProcess {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(config: &Path, roles: &str, data_dir: &Path) -> Self {
        let mut process = Self::launch(config, roles, data_dir);
        eventually(&format!("{roles} is ready"), || {
            let ready = process.stderr().lines().any(|line| line.contains(" ready "));
            assert!(ready || !process.has_ended(), "it did not start: {}", process.stderr());
            ready.then_some(())
        });
        Self(process)
    }

    /// Starts it and doesn't wait.
    pub(crate) fn launch(config: &Path, roles: &str, data_dir: &Path) -> Process {
        Process::start([
            "serve",
            "--config",
            text(config),
            "--role",
            roles,
            "--data-dir",
            text(data_dir),
        ])
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.address(" grpc=")
    }

    pub(crate) fn graphql(&self) -> SocketAddr {
        self.address(" graphql=\"http://")
    }

    pub(crate) fn metrics(&self) -> SocketAddr {
        self.address(" metrics=\"http://")
    }

    fn address(&self, key: &str) -> SocketAddr {
        let log = self.0.stderr();
        let line = log.lines().find(|line| line.contains(" ready ")).expect("it is ready");
        let value = line.split_once(key).and_then(|(_, rest)| rest.split([' ', '"', '/']).next());
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no{key} in {line}"))
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        self.0.kill();
    }

    /// SIGTERM, and an end without complaint.
    pub(crate) fn stop(mut self) {
        self.0.terminate();
        let status = self.0.wait(WAIT_MAX);
        assert_eq!(status.code(), Some(0), "{}", self.0.stderr());
    }
}
