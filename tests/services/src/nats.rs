//! A NATS server with JetStream.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{Missing, Server, ServiceError, free_port, io, tools_dir};

const WHAT: &str = "nats-server";

/// A NATS server with JetStream on a port of its own. Its data outlive [`Nats::kill`] and go with
/// the handle.
#[derive(Debug)]
pub struct Nats {
    program: PathBuf,
    directory: TempDir,
    port: u16,
    server: Option<Server>,
}

impl Nats {
    /// Starts a server.
    ///
    /// # Errors
    /// When there is no such program, or it does not start.
    pub fn start() -> Result<Self, ServiceError> {
        let program = program()?;
        let directory = tempfile::tempdir().map_err(io("a temporary directory"))?;
        let mut nats = Self { program, directory, port: free_port(), server: None };
        nats.start_again()?;
        Ok(nats)
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again, on the same port and data, after [`Nats::kill`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServiceError> {
        let path = |name: &str| self.directory.path().join(name);
        let config = format!(
            "listen: \"127.0.0.1:{}\"\nmax_payload: 8MB\njetstream {{ store_dir: {:?} }}\n",
            self.port,
            path("data")
        );
        fs::write(path("nats.conf"), config).map_err(io("the configuration of nats-server"))?;
        let log = fs::File::options().create(true).append(true).open(path("log"));
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(path("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_err(io("the log of nats-server"))?);
        self.server = Some(Server::start(WHAT, &mut command, self.port, &path("log"))?);
        Ok(())
    }

    /// Kills it, as if its power went.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.end(Signal::KILL);
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> Result<PathBuf, Missing> {
    const VARIABLE: &str = "MILLRACE_NATS_SERVER";
    let installed = tools_dir().join(WHAT);
    let there = |path: &PathBuf| path.is_file();
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    named
        .filter(there)
        .or_else(|| Some(installed).filter(there))
        .ok_or(Missing { what: "nats-server 2.10 or later", variable: VARIABLE })
}
