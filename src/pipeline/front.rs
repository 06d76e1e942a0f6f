//! The part that takes payments: the engine and the front door before it. Guarantees that the door
//! opens last and closes first.

use millrace_engine::{Engine, Feed, RecoveryReport};
use millrace_ledger::EventSeq;
use millrace_risk::{Policy, shelf::Shelf};
use millrace_sinks::ReviewStore;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{PipelineError, flatten, turned_true};
use crate::{config::Config, desk, metrics::EngineWatch, pending_acts};

/// An engine that decides, and what lets payments in to it once it is opened.
pub(super) struct Front {
    engine: Engine,
    pub(super) recovered: RecoveryReport,
    door: Option<Door>,
}

/// The gRPC server.
struct Door {
    stop: watch::Sender<bool>,
    server: JoinHandle<Result<(), String>>,
}

impl Front {
    /// Recovers ledger and risk profiles from the journal.
    pub(super) fn recover(config: &Config, policy: &Policy) -> Result<Self, PipelineError> {
        let (engine, recovered) = Engine::start(&config.engine(), policy)?;
        Ok(Self { engine, recovered, door: None })
    }

    /// Journals what was done while nothing could be journaled.
    pub(super) async fn journal_pending(&self, config: &Config) {
        pending_acts::journal(&config.pending_acts_dir(), &self.engine.submitter()).await;
    }

    /// What metrics tell of the engine.
    pub(super) fn watch(&self) -> EngineWatch {
        EngineWatch {
            feed: self.engine.feed(),
            submitter: self.engine.submitter(),
            counted: self.engine.counted(),
            upkeep: self.engine.stats(),
        }
    }

    /// Readers need the journal from this event on.
    pub(super) fn retain_from(&self, seq: EventSeq) {
        self.engine.retain_from(seq);
    }

    pub(super) fn feed(&self) -> Feed {
        self.engine.feed()
    }

    /// Lets payments in.
    pub(super) fn open(
        &mut self,
        config: &Config,
        policy: &Policy,
        reviews: Option<ReviewStore>,
        listener: TcpListener,
    ) {
        let (stop, stopped) = watch::channel(false);
        let (ingest, submitter) = (config.ingest.clone(), self.engine.submitter());
        let shelf = Shelf::new(&config.shelf_dir());
        let risk = desk::parts(reviews, self.feed(), shelf, policy.library().cloned());
        let server = tokio::spawn(async move {
            let stopped = turned_true(stopped);
            let served = millrace_ingest::serve(&ingest, listener, submitter, risk, stopped);
            served.await.map_err(|error| error.to_string())
        });
        self.door = Some(Door { stop, server });
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.engine.has_stopped()
            || self.door.as_ref().is_some_and(|door| door.server.is_finished())
    }

    /// Answers the requests under way and refuses new ones, then decides what is queued, makes it
    /// durable, and stops. What stopped by itself before is told.
    pub(super) async fn stop(self) -> Result<(), PipelineError> {
        let closed = match self.door {
            Some(door) => {
                door.stop.send_replace(true);
                flatten(door.server.await).and_then(|served| served)
            }
            None => Ok(()),
        };
        let stopped = tokio::task::spawn_blocking(move || self.engine.stop()).await;
        stopped.map_err(|_| PipelineError::EngineStopped)??;
        closed.map_err(|reason| PipelineError::Server { what: "gRPC", reason })
    }
}
