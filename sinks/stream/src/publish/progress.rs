//! What a lane's thread tells the rest of the process, as every reader of events does, and how it is
//! told to stop.

use std::sync::Arc;

use millrace_engine::Feed;
use millrace_ledger::EventSeq;
use millrace_sinks::{self as sinks, SinkWatch, Source as _};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) shown: Arc<sinks::Progress>,
    stop: watch::Sender<bool>,
}

impl Progress {
    /// Of a lane that has published nothing yet. What it has to publish is looked up in the feed by
    /// whoever watches, whatever became of the lane.
    pub(crate) fn new(name: &'static str, feed: &Feed) -> Self {
        let shown = sinks::Progress::new(name, EventSeq::FIRST, feed.head());
        Self { shown: Arc::new(shown), stop: watch::Sender::new(false) }
    }

    pub(crate) fn watch(&self) -> SinkWatch {
        self.shown.watch()
    }

    /// The last event that the stream has acknowledged.
    pub(crate) fn published_seq(&self) -> EventSeq {
        self.shown.applied_seq()
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns when it is to stop.
    pub(crate) async fn until_stopped(&self) {
        // The sender is in `self`.
        let _ = self.stop.subscribe().wait_for(|stopped| *stopped).await;
    }
}
