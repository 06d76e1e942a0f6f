//! Replacing a sink while it runs: consumes one that was built anew beside it, lets it catch up
//! with the one that runs, and has readers switched. Guarantees that readers never see less than
//! before.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use millrace_ledger::EventSeq;

use crate::{Sink, SinkError};

/// A sink that is to take the place of the one that runs.
pub struct Replacement {
    /// It may be somewhat behind.
    pub sink: Box<dyn Sink>,
    /// Events that it left out, because they are in quarantine and still can't be processed.
    pub skipped: Vec<EventSeq>,
    /// Called once it has processed all that the other one had. What fails here stops the sink.
    pub switch: Switch,
}

/// Has readers switched to a sink that has caught up, which it is given, and says which one goes on.
pub type Switch = Box<dyn FnOnce(Box<dyn Sink>) -> Result<Switched, SinkError> + Send>;

/// The sink that goes on.
pub enum Switched {
    /// The new one.
    Taken(Box<dyn Sink>),
    /// The one that was to be replaced, opened again: the new one was refused.
    Refused(Box<dyn Sink>),
}

/// Hands a replacement to a sink that runs. Cheap to clone.
#[derive(Clone, Default)]
pub struct Replacer {
    slot: Arc<Mutex<Option<Replacement>>>,
}

impl fmt::Debug for Replacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacer").finish_non_exhaustive()
    }
}

impl Replacer {
    /// The sink takes it between two batches. One that it has not taken yet is dropped.
    pub fn offer(&self, replacement: Replacement) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(replacement);
    }

    pub(super) fn take(&self) -> Option<Replacement> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
