//! A run of the real binary: consumes arguments, produces its exit code and output.

use std::{
    ffi::OsStr,
    fs::{self, File},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::WAIT_MAX;

/// A run that may still be under way; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    output: TempDir,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// What it printed, where it had to go well.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The one line of JSON that it printed, where it had to go well.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let printed = self.done();
        assert_eq!(printed.lines().count(), 1, "{printed}");
        serde_json::from_str(&printed).expect("is JSON")
    }
}

/// Runs a command to its end.
pub(crate) fn millrace<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Finished {
    Process::start(args).finish()
}

impl Process {
    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let output = tempfile::tempdir().expect("a temporary directory");
        let file = |name| Stdio::from(File::create(output.path().join(name)).expect("a file"));
        let child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(args)
            .env_remove("RUST_LOG")
            // A backtrace that should not be there shows.
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the binary starts");
        Self { child, output }
    }

    /// What was printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.printed("stdout")
    }

    /// What was logged so far.
    pub(crate) fn stderr(&self) -> String {
        self.printed("stderr")
    }

    fn printed(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("was created at the start");
        String::from_utf8(bytes).expect("prints UTF-8")
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("is our child").is_some()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("is our child");
    }

    /// SIGKILL: as if the power went, for this process.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// The same, where another run takes its place.
    pub(crate) fn kill_in_place(&mut self) {
        self.end();
    }

    /// Waits for the end, for at most so long.
    pub(crate) fn wait(&mut self, max: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("is our child") {
                return status;
            }
            assert!(started.elapsed() < max, "still running after {max:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn finish(mut self) -> Finished {
        let status = self.wait(WAIT_MAX);
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("a process of the failed test logged:\n{}", self.stderr());
        }
    }
}
