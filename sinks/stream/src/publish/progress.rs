//! What a publisher's thread tells the rest of the process.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use millrace_ledger::EventSeq;
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Progress {
    published_seq: AtomicU64,
    stop: watch::Sender<bool>,
    error: Mutex<Option<String>>,
    waiting: Mutex<Option<String>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            published_seq: AtomicU64::new(0),
            stop: watch::Sender::new(false),
            error: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The last event that the stream has acknowledged.
    pub(crate) fn published_seq(&self) -> EventSeq {
        EventSeq(self.published_seq.load(Ordering::Acquire))
    }

    pub(crate) fn note_published(&self, seq: EventSeq) {
        self.published_seq.store(seq.0, Ordering::Release);
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

    pub(crate) fn error(&self) -> Option<String> {
        lock(&self.error).clone()
    }

    pub(crate) fn note_error(&self, error: String) {
        *lock(&self.error) = Some(error);
    }

    pub(crate) fn waiting(&self) -> Option<String> {
        lock(&self.waiting).clone()
    }

    pub(crate) fn note_waiting(&self, why: Option<String>) {
        *lock(&self.waiting) = why;
    }
}

fn lock(text: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}
