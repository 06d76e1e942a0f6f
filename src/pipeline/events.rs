//! Where the readers of this process get their events: from the journal where it is here, from NATS
//! where a server is named.

use millrace_engine::Feed;
use millrace_sinks::{Sink, SinkHandle};

use super::PipelineError;
use crate::{
    config::Config,
    role::{Role, Roles},
};

/// The journal, and the stream that sinks read in its place.
pub(super) struct Events {
    feed: Option<Feed>,
}

impl Events {
    /// `feed` is that of the engine in this process, if there is one. Another process follows the
    /// files of the journal, if it has its disk.
    pub(super) fn choose(
        config: &Config,
        roles: &Roles,
        feed: Option<Feed>,
    ) -> Result<Self, PipelineError> {
        let journal = config.journal_dir();
        let feed = match feed {
            Some(feed) => Some(feed),
            None if journal.is_dir() => Some(Feed::follow(&journal)?),
            None => None,
        };
        if feed.is_none() {
            return Err(PipelineError::NoEvents { roles: roles.names(), journal });
        }
        let _ = Role::Publish;
        Ok(Self { feed })
    }

    /// The journal, where this process sees it.
    pub(super) fn feed(&self) -> Option<&Feed> {
        self.feed.as_ref()
    }

    /// Runs a sink from its cursor on.
    pub(super) fn spawn(&self, sink: Box<dyn Sink>) -> SinkHandle {
        todo(sink)
    }
}
