//! A PostgreSQL server.

use std::{
    env, fs,
    io::Write as _,
    os::unix::{
        fs::{OpenOptionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{Missing, POLL, Server, ServiceError, WAIT_MAX, free_port, io};

const WHAT: &str = "postgres";
/// PostgreSQL refuses to run as root; on Debian, nobody has this number.
const NOBODY: u32 = 65_534;

/// What a server speaks TLS with, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresTls {
    /// Its certificate.
    pub certificate: String,
    /// The key of that.
    pub key: String,
    /// It insists on a client's certificate that this one has signed.
    pub client_ca: Option<String>,
}

/// A PostgreSQL server with an empty database `millrace`. Its data outlive [`Postgres::kill`] and
/// go with the handle.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    tls: Option<PostgresTls>,
    /// Arguments behind its own, such as `-cwork_mem=8MB`.
    arguments: Vec<String>,
    server: Option<Server>,
}

impl Postgres {
    /// Creates a database and starts a server.
    ///
    /// # Errors
    /// When there are no such programs, or one of them fails.
    pub fn start() -> Result<Self, ServiceError> {
        Self::start_with(None)
    }

    /// The same, with TLS (`ssl = on`): it takes connections with and without.
    ///
    /// # Errors
    /// As for [`Postgres::start`].
    pub fn start_with_tls(tls: PostgresTls) -> Result<Self, ServiceError> {
        Self::start_with(Some(tls))
    }

    /// The same, with arguments behind those that it has from here: the last of a setting counts.
    ///
    /// # Errors
    /// As for [`Postgres::start`].
    pub fn start_with_arguments(arguments: Vec<String>) -> Result<Self, ServiceError> {
        let mut postgres = Self::empty(None)?;
        postgres.arguments = arguments;
        postgres.create()?;
        postgres.start_again()?;
        Ok(postgres)
    }

    fn start_with(tls: Option<PostgresTls>) -> Result<Self, ServiceError> {
        let mut postgres = Self::empty(tls)?;
        postgres.create()?;
        postgres.write_tls()?;
        postgres.start_again()?;
        Ok(postgres)
    }

    /// A place for a server.
    fn empty(tls: Option<PostgresTls>) -> Result<Self, ServiceError> {
        let programs = programs()?;
        let directory = tempfile::tempdir().map_err(io("a temporary directory"))?;
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).map_err(io("chown"))?;
        }
        Ok(Self {
            programs,
            directory,
            port: free_port(),
            tls,
            arguments: Vec::new(),
            server: None,
        })
    }

    /// Copies this server while it runs, and starts the copy: a standby that follows it.
    ///
    /// # Errors
    /// When a program is missing or fails.
    pub fn standby(&self) -> Result<Self, ServiceError> {
        let mut standby = Self::empty(None)?;
        let mut copy = self.command("pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "millrace"]);
        copy.args(["--wal-method=stream", "--write-recovery-conf", "--checkpoint=fast"]);
        copy.arg("--no-sync").arg("-D").arg(standby.path("data"));
        run("pg_basebackup", &mut copy)?;
        standby.start_again()?;
        Ok(standby)
    }

    fn write_tls(&self) -> Result<(), ServiceError> {
        let Some(tls) = &self.tls else { return Ok(()) };
        self.write("server.crt", &tls.certificate)?;
        self.write("server.key", &tls.key)?;
        if let Some(client_ca) = &tls.client_ca {
            self.write("client-ca.crt", client_ca)?;
            let rule = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n";
            self.write("data/pg_hba.conf", rule)?;
        }
        Ok(())
    }

    /// A file that the server alone may read, as it demands of its key.
    fn write(&self, name: &str, text: &str) -> Result<(), ServiceError> {
        let path = self.path(name);
        let mut options = fs::File::options();
        let file = options.create(true).write(true).truncate(true).mode(0o600).open(&path);
        let mut file = file.map_err(io("a file of postgres"))?;
        file.write_all(text.as_bytes()).map_err(io("a file of postgres"))?;
        match is_root() {
            true => chown(path, Some(NOBODY), Some(NOBODY)).map_err(io("chown")),
            false => Ok(()),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://millrace@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again, on the same port and data, after [`Postgres::kill`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServiceError> {
        let log_path = self.path("log");
        let log = fs::File::options().create(true).append(true).open(&log_path);
        let data = self.path("data");
        // Killed processes leave it behind, with a number that another process may have by now.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(data)
            .args(["-p", &self.port.to_string(), "-k", ""])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=50"])
            .args(["-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"])
            .stderr(log.map_err(io("the log of postgres"))?);
        if let Some(tls) = &self.tls {
            let file = |name: &str| self.path(name).display().to_string();
            command.args(["-c", "ssl=on"]);
            command.args(["-c", &format!("ssl_cert_file={}", file("server.crt"))]);
            command.args(["-c", &format!("ssl_key_file={}", file("server.key"))]);
            if tls.client_ca.is_some() {
                command.args(["-c", &format!("ssl_ca_file={}", file("client-ca.crt"))]);
            }
        }
        command.args(&self.arguments);
        self.server = Some(Server::start(WHAT, &mut command, self.port, &log_path)?);
        self.await_recovery(&log_path)
    }

    /// The port takes connections while the server still recovers, and refuses them.
    fn await_recovery(&self, log: &Path) -> Result<(), ServiceError> {
        const NO_ANSWER: i32 = 2;
        let started = Instant::now();
        loop {
            let mut command = self.command("pg_isready");
            command.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            match command.status().map_err(io("pg_isready"))?.code() {
                Some(0) => return Ok(()),
                Some(..=NO_ANSWER) if started.elapsed() < WAIT_MAX => thread::sleep(POLL),
                _ => {
                    let log = fs::read_to_string(log).unwrap_or_default();
                    return Err(ServiceError::NotStarted { what: WHAT, log });
                }
            }
        }
    }

    /// Ends it at once without a checkpoint, so that it has to recover: its own way to crash, which
    /// takes its helper processes with it.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.end(Signal::QUIT);
        }
    }

    fn create(&self) -> Result<(), ServiceError> {
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.path("data")).args([
            "-U",
            "millrace",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        run("initdb", &mut command)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end.
fn run(what: &'static str, command: &mut Command) -> Result<(), ServiceError> {
    let output = command.output().map_err(io(what))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(ServiceError::NotStarted {
            what,
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The directory with `initdb` and `postgres`: the one named, or Debian's newest.
fn programs() -> Result<PathBuf, Missing> {
    const VARIABLE: &str = "MILLRACE_POSTGRES_BIN";
    let there = |path: &Path| path.join("postgres").is_file();
    if let Some(named) = env::var_os(VARIABLE).map(PathBuf::from).filter(|path| there(path)) {
        return Ok(named);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, path)| there(path))
        .collect();
    found.sort_unstable();
    let newest = found.pop().map(|(_, path)| path);
    newest.ok_or(Missing { what: "PostgreSQL 15 or later", variable: VARIABLE })
}
