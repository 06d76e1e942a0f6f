//! A NATS server with JetStream, alone or one of a cluster.

use std::{
    env, fs,
    path::{Path, PathBuf},
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
    settings: NatsSettings,
    server: Option<Server>,
}

/// What a server is given beside its port, its data and the size of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsSettings {
    /// Text of its configuration, in the server's own syntax.
    pub config: String,
    /// Files in the directory that it runs in, by name: certificates and the like.
    pub files: Vec<(&'static str, String)>,
}

impl Nats {
    /// Starts a server that lets everybody in, without TLS.
    ///
    /// # Errors
    /// When there is no such program, or it does not start.
    pub fn start() -> Result<Self, ServiceError> {
        Self::start_with(NatsSettings::default())
    }

    /// Starts a server with settings.
    ///
    /// # Errors
    /// When there is no such program, or it does not start.
    pub fn start_with(settings: NatsSettings) -> Result<Self, ServiceError> {
        let program = program()?;
        let directory = tempfile::tempdir().map_err(io("a temporary directory"))?;
        for (name, text) in &settings.files {
            fs::write(directory.path().join(name), text).map_err(io("a file of nats-server"))?;
        }
        let mut nats = Self { program, directory, port: free_port(), settings, server: None };
        nats.start_again()?;
        Ok(nats)
    }

    /// Starts a cluster of so many servers, named `n0` and so on, each with data of its own. It may
    /// take them seconds to find each other and to agree on a leader.
    ///
    /// # Errors
    /// When there is no such program, or one does not start.
    pub fn start_cluster(servers: usize) -> Result<Vec<Self>, ServiceError> {
        let ports: Vec<_> = (0..servers).map(|_| free_port()).collect();
        let routes: Vec<_> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let routes = routes.join(", ");
        let config = |(number, port): (usize, &u16)| NatsSettings {
            config: format!(
                "server_name: n{number}\n\
                 cluster {{ name: millrace, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n"
            ),
            files: Vec::new(),
        };
        ports.iter().enumerate().map(config).map(Self::start_with).collect()
    }

    /// Has the server read a configuration, and nothing else.
    ///
    /// # Errors
    /// When there is no such program, or it refuses the configuration: in its words.
    pub fn check_config(text: &str) -> Result<(), ServiceError> {
        let directory = tempfile::tempdir().map_err(io("a temporary directory"))?;
        let path = directory.path().join("nats.conf");
        fs::write(&path, text).map_err(io("the configuration of nats-server"))?;
        let output = Command::new(program()?).arg("-t").arg("-c").arg(path).output();
        let output = output.map_err(io(WHAT))?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let log = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(ServiceError::NotStarted { what: WHAT, log })
            }
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The directory that it runs in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it again, on the same port and data, after [`Nats::kill`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServiceError> {
        let path = |name: &str| self.directory.path().join(name);
        // Else three quarters of what the disk has left, and streams that reserve more are refused.
        let config = format!(
            "listen: \"127.0.0.1:{}\"\nmax_payload: 8MB\n\
             jetstream {{ store_dir: {:?}, max_file_store: 64GB }}\n{}",
            self.port,
            path("data"),
            self.settings.config
        );
        fs::write(path("nats.conf"), config).map_err(io("the configuration of nats-server"))?;
        let log = fs::File::options().create(true).append(true).open(path("log"));
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.directory.path())
            .arg("-c")
            .arg(path("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_err(io("the log of nats-server"))?);
        self.server = Some(Server::start(WHAT, &mut command, self.port, &path("log"))?);
        Ok(())
    }

    /// Stops it, with all that it has open, as if its machine hung; [`Nats::go_on`] lets it go on.
    pub fn pause(&self) {
        self.server.iter().for_each(|server| server.signal(Signal::STOP));
    }

    /// Lets it go on after [`Nats::pause`].
    pub fn go_on(&self) {
        self.server.iter().for_each(|server| server.signal(Signal::CONT));
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
