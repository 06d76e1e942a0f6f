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
        let only_answers = *roles == Roles::new(&[Role::Graphql])
            && config.sinks.graphql.read_only
            && !config.sinks.reviews.enabled;
        let nothing_to_publish = roles.has(Role::Publish) && journal.is_none();
        let nothing_to_read = journal.is_none() && stream.is_none() && !only_answers;
        if nothing_to_publish || nothing_to_read {
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
        let consumer = format!("millrace-{}", sink.name());
        let Some(stream) = &self.stream else {
            return self.spawn_on_journal(&consumer, sink, quarantine);
        };
        self.spawn_on_stream(stream, &consumer, sink, quarantine)
    }

    /// Runs a sink that must not depend on anything but the journal, where that is here. Elsewhere it
    /// reads the stream, as the consumer of this name.
    pub(super) fn spawn_on_journal(
        &self,
        consumer: &str,
        sink: Box<dyn Sink>,
        quarantine: Quarantine,
    ) -> Result<SinkHandle, PipelineError> {
        match (&self.journal, &self.stream) {
            (Some(journal), _) => Ok(spawn_with(sink, journal.clone(), quarantine)),
            (None, Some(stream)) => self.spawn_on_stream(stream, consumer, sink, quarantine),
            (None, None) => unreachable!("there is a journal or a stream where a sink is run"),
        }
    }

    fn spawn_on_stream(
        &self,
        stream: &StreamConfig,
        consumer: &str,
        sink: Box<dyn Sink>,
        quarantine: Quarantine,
    ) -> Result<SinkHandle, PipelineError> {
        let source = StreamSource::new(stream, consumer)?;
        let source = match &self.journal {
            Some(journal) => source.beside(journal),
            None => source,
        };
        Ok(spawn_with(sink, source, quarantine))
    }
}
