//! The read model: the new one answers where it was built, because the old one is still open; the next
//! start moves it to its place.

use std::{path::Path, sync::Arc};

use millrace_risk::acts::RebuildAct;
use millrace_sinks::{
    GraphqlConfig, GraphqlSink, ReadStore, Sink, SinkError, Switch, Switched,
    rebuild::{self, Old},
};

use super::{Rebuilding, SwitchReaders, Told};

/// How the read model is built, and readers are switched.
pub(crate) struct Projection {
    settings: GraphqlConfig,
    switch: SwitchReaders,
    store: Option<ReadStore>,
}

impl Projection {
    pub(crate) fn new(settings: &GraphqlConfig, switch: SwitchReaders) -> Self {
        Self { settings: settings.clone(), switch, store: None }
    }
}

impl Rebuilding for Projection {
    fn name(&self) -> &'static str {
        "graphql"
    }

    fn open(&mut self, dir: &Path) -> Result<Box<dyn Sink>, SinkError> {
        let (sink, reads) = GraphqlSink::open(dir, &self.settings)?;
        self.store = Some(reads);
        Ok(Box::new(sink))
    }

    fn switch(&mut self, dir: &Path, _: &RebuildAct, told: Told) -> Switch {
        let (dir, switch, store) = (dir.to_owned(), Arc::clone(&self.switch), self.store.take());
        Box::new(move |sink| {
            rebuild::mark_whole(&dir, &Old::Removed)?;
            if let Some(store) = store {
                switch(Arc::new(store));
            }
            // Whoever waits may have stopped.
            let _ = told.send(Ok(None));
            Ok(Switched::Taken(sink))
        })
    }
}
