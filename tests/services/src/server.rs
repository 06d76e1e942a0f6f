//! What every server has: a program that is found or missing, a process, a port.

use std::{
    collections::BTreeSet,
    env,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to answer, or to stop.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(240);
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// A program that a test needs is not on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{what} is missing: run scripts/get-services.sh, or set {variable}")]
pub struct Missing {
    /// The server.
    pub what: &'static str,
    /// The variable that tells where it is.
    pub variable: &'static str,
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Its program is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ended, or did not answer in time.
    #[error("{what} did not start; it wrote:\n{log}")]
    NotStarted {
        /// The server.
        what: &'static str,
        /// What it wrote.
        log: String,
    },
}

/// The server, or `None` where its program is missing and the test may be skipped.
///
/// # Panics
/// When the server does not start; and when it is missing although `MILLRACE_REQUIRE_SERVICES` is
/// set.
pub fn required<T>(server: Result<T, ServiceError>) -> Option<T> {
    match server {
        Ok(server) => Some(server),
        Err(ServiceError::Missing(missing))
            if env::var_os("MILLRACE_REQUIRE_SERVICES").is_none() =>
        {
            eprintln!("skipped: {missing}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Where `scripts/get-services.sh` puts what it gets.
#[must_use]
pub fn tools_dir() -> PathBuf {
    match env::var_os("MILLRACE_TOOLS") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"),
    }
}

/// A port of loopback for a server that is about to start, and that may be down for a while: nobody
/// uses it at this moment, this process is given it once, and it is below those that the system hands
/// out by itself, so that no connection takes it meanwhile.
///
/// # Panics
/// When the machine has none to spare.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let chance = RandomState::new();
    (0..10_000_u16)
        .map(|number| 10_000 + (chance.hash_one(number) % 20_000) as u16)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok() && given.insert(*port))
        .expect("one of so many ports is free")
}

pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> ServiceError {
    move |source| ServiceError::Io { what, source }
}

/// A running process that listens on a port.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts the program and waits until the port takes connections.
    pub(crate) fn start(
        what: &'static str,
        command: &mut Command,
        port: u16,
        log: &Path,
    ) -> Result<Self, ServiceError> {
        let child = command.spawn().map_err(io(what))?;
        let mut server = Self { child };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server.child.try_wait().map_err(io(what))?.is_some();
            if ended || started.elapsed() > WAIT_MAX {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                return Err(ServiceError::NotStarted { what, log });
            }
            thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Sends the signal to this process.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Sends the signal to this process and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(signal);
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if started.elapsed() > WAIT_MAX {
                let _ = self.child.kill();
            }
            thread::sleep(POLL);
        }
    }
}
