//! The sinks of this process: opens those that its roles and the settings ask for, and runs each from
//! where its cursor stands.

use std::{fs, io, sync::Arc};

use millrace_ledger::EventSeq;
use millrace_postgres::{PostgresSink, PostgresStore};
use millrace_sinks::{
    AuditSink, GraphqlSink, NotifyService, Quarantine, ReviewStore, ReviewsSink, Sink, SinkError,
    SinkHandle,
    audit::AuditReader,
    graphql::ReadModel,
    notify::{Dispatcher, DispatcherHandle, Inbox},
    rebuild,
};
use uuid::Uuid;

use super::{PipelineError, events::Events};
use crate::{
    config::Config,
    role::{Role, Roles},
};

/// The sinks, what some of them keep for readers, and what delivers notifications.
#[derive(Default)]
pub(super) struct Sinks {
    pub(super) handles: Vec<SinkHandle>,
    pub(super) model: Option<Arc<dyn ReadModel>>,
    pub(super) audit: Option<AuditReader>,
    pub(super) inbox: Option<Inbox>,
    pub(super) reviews: Option<ReviewStore>,
    pub(super) dispatcher: Option<DispatcherHandle>,
}

impl Sinks {
    /// Opens and runs them.
    pub(super) fn start(
        config: &Config,
        roles: &Roles,
        events: &Events,
    ) -> Result<Self, PipelineError> {
        let mut sinks = Self::default();
        let settings = &config.sinks;
        if settings.audit.enabled && roles.has(Role::Audit) {
            let quarantine = quarantine(config, "audit")?;
            let log = AuditSink::open(&config.audit_dir(), &settings.audit)?;
            let reader = AuditReader::open(&config.audit_dir()).map_err(SinkError::from)?;
            sinks.run(Box::new(log), quarantine, events)?;
            sinks.audit = Some(reader);
        }
        if settings.notify.enabled && roles.has(Role::Notify) {
            let quarantine = quarantine(config, "notify")?;
            let notify = NotifyService::open(&config.sink_dir("notify"), &settings.notify)?;
            sinks.run(notify.sink, quarantine, events)?;
            sinks.inbox = notify.inbox;
            sinks.dispatcher = notify.dispatcher.map(Dispatcher::start).transpose()?;
        }
        if settings.graphql.enabled && roles.has(Role::Graphql) {
            match settings.graphql.read_only {
                true => sinks.read_only(config)?,
                false => sinks.keep_read_model(config, events)?,
            }
            if sinks.audit.is_none() && settings.audit.enabled {
                // Another process may write it, now or later, on this disk.
                sinks.audit = Some(AuditReader::beside(&config.audit_dir()));
            }
        }
        if settings.reviews.enabled && (roles.has(Role::Ingest) || roles.has(Role::Graphql)) {
            sinks.keep_reviews(config, roles, events)?;
        }
        Ok(sinks)
    }

    /// In PostgreSQL where that is named, and else in a directory.
    fn keep_read_model(&mut self, config: &Config, events: &Events) -> Result<(), PipelineError> {
        let quarantine = quarantine(config, "graphql")?;
        if config.postgres.is_set() {
            let projection = PostgresSink::open(&config.postgres)?;
            let reads = PostgresStore::open(&config.postgres, Some(&projection))?;
            self.run(Box::new(projection), quarantine, events)?;
            self.model = Some(Arc::new(reads));
        } else {
            let directory = config.sink_dir("graphql");
            let (projection, reads) = GraphqlSink::open(&directory, &config.sinks.graphql)?;
            self.run(Box::new(projection), quarantine, events)?;
            self.model = Some(Arc::new(reads));
        }
        Ok(())
    }

    /// Another process keeps the read model.
    fn read_only(&mut self, config: &Config) -> Result<(), PipelineError> {
        self.model = Some(Arc::new(PostgresStore::open(&config.postgres, None)?));
        Ok(())
    }

    /// The desk of the front door reads the journal, whatever the other sinks read: analysts go on
    /// while NATS is away. Queries that are answered in a process of their own have a desk of their
    /// own.
    fn keep_reviews(
        &mut self,
        config: &Config,
        roles: &Roles,
        events: &Events,
    ) -> Result<(), PipelineError> {
        let name = if roles.has(Role::Ingest) { "reviews" } else { "graphql-reviews" };
        let consumer = match config.sinks.graphql.read_only {
            true => own_consumer(config)?,
            false => "millrace-reviews".to_owned(),
        };
        let quarantine = quarantine(config, name)?;
        let directory = config.sink_dir(name);
        let (projection, reads) = ReviewsSink::open(&directory, &config.sinks.reviews)?;
        check_place(&projection, events)?;
        self.handles.push(events.spawn_on_journal(&consumer, Box::new(projection), quarantine)?);
        self.reviews = Some(reads);
        Ok(())
    }

    fn run(
        &mut self,
        sink: Box<dyn Sink>,
        quarantine: Quarantine,
        events: &Events,
    ) -> Result<(), PipelineError> {
        check_place(sink.as_ref(), events)?;
        self.handles.push(events.spawn(sink, quarantine)?);
        Ok(())
    }

    /// Stops all of them at their cursors.
    pub(super) async fn stop(self) {
        self.handles.iter().for_each(SinkHandle::stop);
        self.handles.into_iter().for_each(SinkHandle::join);
        if let Some(dispatcher) = self.dispatcher {
            let ended = tokio::task::spawn_blocking(move || dispatcher.join()).await;
            // A panic was logged where it happened.
            drop(ended);
        }
    }
}

/// The name of this data directory's consumer. Any number of processes only answer, each with a desk of
/// its own, and no two may be one consumer to the server.
fn own_consumer(config: &Config) -> Result<String, PipelineError> {
    let path = config.data_dir.join("consumer-id");
    let failed = |error: io::Error| {
        let reason = format!("{}: {error}", path.display());
        PipelineError::Server { what: "GraphQL", reason }
    };
    let known = match fs::read_to_string(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        found => found.ok().and_then(|text| text.trim().parse::<Uuid>().ok()),
    };
    let id = match known {
        Some(id) => id,
        None => {
            let id = Uuid::now_v7();
            fs::create_dir_all(&config.data_dir).map_err(failed)?;
            fs::write(&path, format!("{id}\n")).map_err(failed)?;
            id
        }
    };
    Ok(format!("millrace-reviews-{}", id.simple()))
}

/// Whoever rebuilds a sink holds its quarantine, so that comes first.
fn quarantine(config: &Config, sink: &str) -> Result<Quarantine, SinkError> {
    let quarantine = Quarantine::open(&config.quarantine_dir(), sink)?;
    rebuild::settle(&config.sink_dir(sink))?;
    Ok(quarantine)
}

/// A journal that is behind its readers lost its end, or is another one.
fn check_place(sink: &dyn Sink, events: &Events) -> Result<(), PipelineError> {
    let Some(journal) = events.journal() else { return Ok(()) };
    let (durable, next) = (journal.durable_seq(), sink.next_seq());
    match next > EventSeq(durable.0 + 1) {
        true => Err(PipelineError::SinkAhead { sink: sink.name(), next, durable }),
        false => Ok(()),
    }
}
