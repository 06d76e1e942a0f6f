//! The read model in PostgreSQL: the new tables are built in a schema beside the one that serves, and
//! put in its place in one transaction; then what was replaced is removed.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use millrace_postgres::{PostgresConfig, PostgresRebuild, PostgresStore, Runs};
use millrace_risk::acts::RebuildAct;
use millrace_sinks::{Sink, SinkError, Switch, Switched};
use tokio::runtime::Handle;

use super::{Rebuilding, SwitchReaders, Told};

/// How long a database that went away may hold up the swap, and the sink with it.
const SWAP_WAIT_MAX: Duration = Duration::from_secs(60);
const SWAP_AGAIN: Duration = Duration::from_millis(250);

/// How the tables are built, and readers are switched.
pub(crate) struct Tables {
    settings: PostgresConfig,
    switch: SwitchReaders,
    /// On which a store looks after its connections.
    runtime: Handle,
    built: Option<(PostgresRebuild, PostgresStore)>,
}

impl Tables {
    /// To be called on a runtime.
    pub(crate) fn new(settings: &PostgresConfig, switch: SwitchReaders) -> Self {
        Self { settings: settings.clone(), switch, runtime: Handle::current(), built: None }
    }
}

impl Rebuilding for Tables {
    fn name(&self) -> &'static str {
        "graphql"
    }

    fn open(&mut self, _: &Path) -> Result<Box<dyn Sink>, SinkError> {
        let (rebuild, sink) = PostgresRebuild::begin(&self.settings, Runs::Here)?;
        let _on_runtime = self.runtime.enter();
        let store = PostgresStore::open(&self.settings, Some(&sink))?;
        self.built = Some((rebuild, store));
        Ok(Box::new(sink))
    }

    fn switch(&mut self, _: &Path, _: &RebuildAct, told: Told) -> Switch {
        let (switch, built) = (Arc::clone(&self.switch), self.built.take());
        Box::new(move |sink| {
            if let Some((rebuild, store)) = built {
                swap(&rebuild)?;
                switch(Arc::new(store));
                // Queries that run hold the old tables for a while: the sink does not wait for them.
                thread::Builder::new()
                    .name("rebuild".to_owned())
                    .spawn(move || remove_old(&rebuild, &told))
                    .map_err(|error| SinkError::Service {
                        service: "the operating system".to_owned(),
                        problem: format!("could not start a thread: {error}"),
                        transient: false,
                    })?;
            }
            Ok(Switched::Taken(sink))
        })
    }
}

fn swap(rebuild: &PostgresRebuild) -> Result<(), SinkError> {
    let started = Instant::now();
    loop {
        match rebuild.swap() {
            Err(error) if error.is_transient() && started.elapsed() < SWAP_WAIT_MAX => {
                tracing::warn!(%error, "the rebuilt read model waits to be put in place");
                thread::sleep(SWAP_AGAIN);
            }
            done => return done,
        }
    }
}

fn remove_old(rebuild: &PostgresRebuild, told: &Told) {
    if let Err(error) = rebuild.remove_old() {
        tracing::warn!(%error, "what was replaced stays until the next start or rebuild");
    }
    // Whoever waits may have stopped.
    let _ = told.send(Ok(None));
}
