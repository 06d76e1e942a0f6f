//! A mail server: takes mails into a directory, or fails as it is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    python::installed_python,
    server::{Missing, Server, ServiceError, free_port, io, tools_dir},
};

const WHAT: &str = "the mail server";
const SCRIPT: &str = include_str!("smtp.py");

/// What a mail server does with the next mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpMode {
    /// It takes them.
    Accept,
    /// It says that it can't take them now.
    RefuseLater,
    /// It says that it will never take them.
    Refuse,
    /// It does not answer.
    Hang,
    /// It closes the connection.
    Drop,
}

/// What a mail server asks of who sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpSettings {
    /// Certificate and key, PEM: it insists on STARTTLS.
    pub tls_pem: Option<String>,
    /// With [`Self::tls_pem`]: it speaks TLS from the first byte instead.
    pub tls_at_once: bool,
    /// It insists on this password; any user name will do.
    pub password: Option<String>,
}

/// A mail server on a port of its own. What it took outlives [`Smtp::kill`] and goes with the handle.
#[derive(Debug)]
pub struct Smtp {
    python: PathBuf,
    directory: TempDir,
    port: u16,
    server: Option<Server>,
}

impl Smtp {
    /// Starts a server that takes every mail, without TLS.
    ///
    /// # Errors
    /// When there is no such program, or it does not start.
    pub fn start() -> Result<Self, ServiceError> {
        Self::start_with(&SmtpSettings::default())
    }

    /// Starts a server that asks for more.
    ///
    /// # Errors
    /// When there is no such program, or it does not start.
    pub fn start_with(settings: &SmtpSettings) -> Result<Self, ServiceError> {
        let python = python()?;
        let directory = tempfile::tempdir().map_err(io("a temporary directory"))?;
        let mut smtp = Self { python, directory, port: free_port(), server: None };
        smtp.set_mode(SmtpMode::Accept)?;
        for (name, text) in [
            ("smtp.py", Some(SCRIPT)),
            ("tls.pem", settings.tls_pem.as_deref()),
            ("tls_at_once", settings.tls_at_once.then_some("")),
            ("password", settings.password.as_deref()),
        ] {
            if let Some(text) = text {
                fs::write(smtp.path(name), text).map_err(io("a file of the mail server"))?;
            }
        }
        smtp.start_again()?;
        Ok(smtp)
    }

    /// Where clients connect, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, from the next mail on.
    ///
    /// # Errors
    /// When its directory can't be written.
    pub fn set_mode(&self, mode: SmtpMode) -> Result<(), ServiceError> {
        let name = match mode {
            SmtpMode::Accept => "accept",
            SmtpMode::RefuseLater => "refuse_later",
            SmtpMode::Refuse => "refuse",
            SmtpMode::Hang => "hang",
            SmtpMode::Drop => "drop",
        };
        let fresh = self.path("mode.new");
        fs::write(&fresh, name)
            .and_then(|()| fs::rename(&fresh, self.path("mode")))
            .map_err(io("the mode of the mail server"))
    }

    /// How many mails it was offered, taken or not.
    #[must_use]
    pub fn attempts(&self) -> usize {
        fs::read_to_string(self.path("attempts")).map_or(0, |text| text.lines().count())
    }

    /// The mails that it took, in order, as they came.
    #[must_use]
    pub fn mails(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        paths.sort_unstable();
        let read = |path: &PathBuf| fs::read(path).ok();
        let mails = paths.iter().filter_map(read);
        mails.map(|mail| String::from_utf8_lossy(&mail).into_owned()).collect()
    }

    /// Starts it again, on the same port, after [`Smtp::kill`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServiceError> {
        let log = fs::File::options().create(true).append(true).open(self.path("log"));
        let mut command = Command::new(&self.python);
        command
            .arg(self.path("smtp.py"))
            .arg(self.port.to_string())
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_err(io("the log of the mail server"))?);
        self.server = Some(Server::start(WHAT, &mut command, self.port, &self.path("log"))?);
        Ok(())
    }

    /// Kills it, as if its power went.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.end(Signal::KILL);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Python that has the mail server's package.
fn python() -> Result<PathBuf, Missing> {
    let package = |entry: &Path| entry.join("site-packages/aiosmtpd").is_dir();
    let libraries = fs::read_dir(tools_dir().join("python/lib")).into_iter().flatten().flatten();
    let has_package = libraries.map(|entry| entry.path()).any(|entry| package(&entry));
    installed_python()
        .filter(|_| has_package)
        .ok_or(Missing { what: "Python with aiosmtpd", variable: "MILLRACE_TOOLS" })
}
