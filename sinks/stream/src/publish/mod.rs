//! The publisher: consumes the feed, produces streams. Guarantees that a stream holds each event once
//! and in sequence, and that payments never wait for it.

mod in_flight;
mod lane;
mod pack;
mod place;
mod progress;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use millrace_engine::Feed;
use millrace_ledger::EventSeq;
use millrace_sinks::{SinkWatch, yield_to_payments};

use self::{
    lane::Lane,
    pack::{FramePacker, Packer},
    progress::Progress,
};
use crate::{StreamConfig, StreamError, connection, setup::Which, watched::Watched};

/// Publishes events to NATS.
#[derive(Debug)]
pub struct Publisher;

/// A running publisher. Dropping it stops it.
#[derive(Debug)]
pub struct PublisherHandle {
    lanes: Vec<(Arc<Progress>, Option<JoinHandle<()>>)>,
}

impl Publisher {
    /// Publishes on threads of its own: all events, and single payments where that is configured. A
    /// server that is away is waited for; see [`PublisherHandle::waiting_for`].
    ///
    /// # Errors
    /// When the settings are not right. What is wrong with the server or the streams is in
    /// [`PublisherHandle::error`], later.
    pub fn spawn(config: &StreamConfig, feed: &Feed) -> Result<PublisherHandle, StreamError> {
        config.check()?;
        if config.url.is_none() {
            return Err(StreamError::NoUrl);
        }
        connection::check_files(config)?;
        let frames = FramePacker::new(&config.subject, config.frame_kib << 10);
        let mut handle = PublisherHandle { lanes: Vec::new() };
        handle.start("publish", config, Which::Events, feed, Packer::Frames(frames))?;
        if config.per_payment {
            let packer = Packer::Payments { subject: config.payments_subject.clone() };
            handle.start("publish-payments", config, Which::Payments, feed, packer)?;
        }
        Ok(handle)
    }
}

impl PublisherHandle {
    /// What it is called in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        "publish"
    }

    /// The last event that all streams have acknowledged; 0 while none has. It goes back when a stream
    /// lost what it had acknowledged, which is then published again.
    #[must_use]
    pub fn applied_seq(&self) -> EventSeq {
        let published = self.lanes.iter().map(|(progress, _)| progress.published_seq());
        published.min().unwrap_or_default()
    }

    /// Why it stopped by itself, if it did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.lanes.iter().find_map(|(progress, _)| progress.shown.error())
    }

    /// What it waits for before it can go on, if it does.
    #[must_use]
    pub fn waiting_for(&self) -> Option<String> {
        self.lanes.iter().find_map(|(progress, _)| progress.shown.retried())
    }

    /// For whoever shows how it gets on, one per stream: like sinks, under the names `publish` and
    /// `publish-payments`. They may outlive it.
    #[must_use]
    pub fn watches(&self) -> Vec<SinkWatch> {
        self.lanes.iter().map(|(progress, _)| progress.watch()).collect()
    }

    /// Lets it end. What is not published is published after the next start.
    pub fn stop(&self) {
        self.lanes.iter().for_each(|(progress, _)| progress.stop());
    }

    /// Waits until it has ended.
    pub fn join(mut self) {
        for (_, thread) in &mut self.lanes {
            if let Some(thread) = thread.take() {
                // A panic was logged and is in `error` already.
                let _ = thread.join();
            }
        }
    }

    fn start(
        &mut self,
        name: &'static str,
        config: &StreamConfig,
        which: Which,
        feed: &Feed,
        packer: Packer,
    ) -> Result<(), StreamError> {
        let progress = Arc::new(Progress::new(name, feed));
        let lane = Lane {
            config: config.clone(),
            which,
            feed: feed.clone(),
            packer,
            progress: Arc::clone(&progress),
            watched: Watched::publisher(name),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StreamError::Thread)?;
        let shared = Arc::clone(&progress);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            yield_to_payments();
            let _guard = PanicNote(&shared);
            let ended = runtime.block_on(lane.run());
            if let Err(error) = &ended {
                tracing::error!(%error, "the publisher stopped");
            }
            shared.shown.note_end(ended.err().map(|error| error.to_string()));
        });
        self.lanes.push((progress, Some(thread.map_err(StreamError::Thread)?)));
        Ok(())
    }
}

impl Drop for PublisherHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells of a panic, which would else be a thread that silently is no more.
struct PanicNote<'a>(&'a Progress);

impl Drop for PanicNote<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = "the publisher panicked; its log says where".to_owned();
            self.0.shown.note_end(Some(error));
        }
    }
}
