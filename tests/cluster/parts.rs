//! The parts: consumes a directory and two servers, produces five processes, each with a role of its
//! own, any of which may be killed and started again.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use millrace_services::{Nats, Postgres, free_port};
use serde_json::Value;

use crate::support::{
    WAIT_MAX, config::Settings, dice::Dice, eventually, graphql, process::Process, text,
};

/// What dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Victim {
    Publisher,
    Projection,
    AuditLog,
    Notifications,
    Nats,
    Postgres,
}

pub(crate) const VICTIMS: [Victim; 6] = [
    Victim::Publisher,
    Victim::Projection,
    Victim::AuditLog,
    Victim::Notifications,
    Victim::Nats,
    Victim::Postgres,
];

/// A process with a role, and its directory.
struct Part {
    role: &'static str,
    data_dir: PathBuf,
    process: Process,
}

impl Part {
    fn start(config: &Path, role: &'static str, data_dir: &Path) -> Self {
        let process = serve(config, role, data_dir);
        Self { role, data_dir: data_dir.to_owned(), process }
    }
}

/// Processes that each have a role, and what they talk to.
pub(crate) struct Cluster {
    config: PathBuf,
    nats: Nats,
    pub(crate) postgres: Postgres,
    ingest: Part,
    publisher: Part,
    projection: Part,
    audit: Part,
    notify: Part,
}

impl Cluster {
    /// `segment_mib`: of the journal.
    pub(crate) fn start(scratch: &Path, segment_mib: i64, nats: Nats, postgres: Postgres) -> Self {
        let grpc = format!("127.0.0.1:{}", free_port());
        let config = Settings::unlimited()
            .with("ingest.listen", grpc.as_str())
            .with("engine.segment_mib", segment_mib)
            .with("stream.url", nats.url().as_str())
            .with("stream.frame_kib", 16)
            .with("postgres.url", postgres.url().as_str())
            .write(scratch);
        let part = |role, name: &str| Part::start(&config, role, &scratch.join(name));
        let ingest = part("ingest", "journal");
        eventually("the front door is open", || is_ready(&ingest.process).then_some(()));
        Self {
            // It reads the files of the front door.
            publisher: part("publish", "journal"),
            projection: part("graphql", "reads"),
            audit: part("audit", "audit"),
            notify: part("notify", "notices"),
            ingest,
            nats,
            postgres,
            config,
        }
    }

    /// Kills it and starts it again, a while later and when what has to happen meanwhile has.
    pub(crate) fn strike(&mut self, victim: Victim, dice: &mut Dice, meanwhile: impl FnOnce()) {
        let pause = dice.duration_below(Duration::from_millis(300));
        let meanwhile = || {
            thread::sleep(pause);
            meanwhile();
        };
        let part = match victim {
            Victim::Publisher => &mut self.publisher,
            Victim::Projection => &mut self.projection,
            Victim::AuditLog => &mut self.audit,
            Victim::Notifications => &mut self.notify,
            Victim::Nats => {
                self.nats.kill();
                meanwhile();
                return self.nats.start_again().expect("NATS starts again");
            }
            Victim::Postgres => {
                self.postgres.kill();
                meanwhile();
                return self.postgres.start_again().expect("PostgreSQL starts again");
            }
        };
        part.process.kill_in_place();
        meanwhile();
        part.process = serve(&self.config, part.role, &part.data_dir);
    }

    /// Where payments are taken.
    pub(crate) fn grpc(&self) -> SocketAddr {
        value(&self.ingest.process.stderr(), " grpc=").expect("is ready")
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.ingest.data_dir.clone()
    }

    pub(crate) fn audit_dir(&self) -> PathBuf {
        self.audit.data_dir.clone()
    }

    pub(crate) fn notices_dir(&self) -> PathBuf {
        self.notify.data_dir.join("notify")
    }

    /// Where queries are answered, once they are.
    pub(crate) fn graphql(&self) -> SocketAddr {
        let log = || self.projection.process.stderr();
        eventually("queries are answered", || value(&log(), "graphql=\"http://"))
    }

    /// The last event of which owners were told, as its process says, once it does.
    pub(crate) fn notified(&self) -> u64 {
        let log = || self.notify.process.stderr();
        let metrics = eventually("metrics are shown", || value(&log(), "metrics=\"http://"));
        let status: Value =
            serde_json::from_str(&graphql::get(metrics, "/status")).expect("is JSON");
        let mut sinks = status["sinks"].as_array().expect("a list").iter();
        let notify = sinks.find(|sink| sink["sink"] == "notify");
        notify.map_or(0, |sink| sink["applied_seq"].as_u64().expect("a number"))
    }

    /// Ends everything; each process without complaint. The servers are gone afterwards.
    pub(crate) fn stop(self) {
        for part in [self.notify, self.audit, self.projection, self.publisher, self.ingest] {
            let mut process = part.process;
            process.terminate();
            let status = process.wait(WAIT_MAX);
            assert_eq!(status.code(), Some(0), "{}: {}", part.role, process.stderr());
        }
    }
}

fn serve(config: &Path, role: &str, data_dir: &Path) -> Process {
    Process::start([
        "serve",
        "--config",
        text(config),
        "--role",
        role,
        "--data-dir",
        text(data_dir),
    ])
}

fn is_ready(process: &Process) -> bool {
    process.stderr().lines().any(|line| line.contains(" ready "))
}

/// An address from the line that says that a process is ready.
fn value(log: &str, key: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(" ready "))?;
    line.split_once(key)?.1.split([' ', '"', '/']).next()?.parse().ok()
}
