//! Where the readers of this process get their events: from the journal where it is here, from NATS
//! where a server is named.

use millrace_engine::Feed;
use millrace_sinks::{Quarantine, Sink, SinkHandle, spawn_with};
use millrace_stream::{Publisher, PublisherHandle, StreamConfig, StreamSource};

use super::PipelineError;
use crate::{
    config::Config,
    role::{Role, Roles},
};

/// The journal, and the stream that sinks read in its place.
pub(super) struct Events {
    journal: Option<Feed>,
    stream: Option<StreamConfig>,
}

impl Events {
    /// `journal` is that of the engine in this process, if there is one. Another process follows its
    /// files, if it has its disk.
    pub(super) fn choose(
        config: &Config,
        roles: &Roles,
        journal: Option<Feed>,
    ) -> Result<Self, PipelineError> {
        let directory = config.journal_dir();
        let journal = match journal {
            Some(feed) => Some(feed),
            None if directory.is_dir() => Some(Feed::follow(&directory)?),
            None => None,
        };
        let stream = config.stream.url.is_some().then(|| config.stream.clone());
        let nothing_to_publish = roles.has(Role::Publish) && journal.is_none();
        if nothing_to_publish || journal.is_none() && stream.is_none() {
            let roles = roles.names();
            return Err(PipelineError::NoEvents { roles, journal: directory });
        }
        if stream.is_none() && *roles == Roles::new(&[Role::Publish]) {
            return Err(PipelineError::NoStream);
        }
        Ok(Self { journal, stream })
    }

    /// The journal, where this process sees it.
    pub(super) fn journal(&self) -> Option<&Feed> {
        self.journal.as_ref()
    }

    /// Publishes the journal, where a server is named.
    pub(super) fn publish(&self) -> Result<Option<PublisherHandle>, PipelineError> {
        let both = self.stream.as_ref().zip(self.journal.as_ref());
        Ok(both.map(|(stream, journal)| Publisher::spawn(stream, journal)).transpose()?)
    }

    /// Runs a sink from its cursor on: from the stream, or else from the journal.
    pub(super) fn spawn(
        &self,
        sink: Box<dyn Sink>,
        quarantine: Quarantine,
    ) -> Result<SinkHandle, PipelineError> {
        let Some(stream) = &self.stream else {
            return self.spawn_on_journal(sink, quarantine);
        };
        let source = StreamSource::new(stream, &format!("millrace-{}", sink.name()))?;
        Ok(spawn_with(sink, source, quarantine))
    }

    /// Runs a sink that must not depend on anything but the journal, where that is here.
    pub(super) fn spawn_on_journal(
        &self,
        sink: Box<dyn Sink>,
        quarantine: Quarantine,
    ) -> Result<SinkHandle, PipelineError> {
        match &self.journal {
            Some(journal) => Ok(spawn_with(sink, journal.clone(), quarantine)),
            None => self.spawn(sink, quarantine),
        }
    }
}
