//! The notification service, put together: consumes settings, produces the sink, what readers read,
//! and what delivers.

use std::{path::Path, sync::Arc};

use super::{
    Inbox, NotifyConfig, NotifySink, OutboxSink, Transport,
    deliver::Providers,
    dispatch::{Dispatcher, scheduler::Scheduler},
    outbox::Outbox,
    owners::Owners,
    status::StatusDesk,
    tell::teller::Teller,
};
use crate::{Sink, SinkError, line_file::create_dir};

/// The parts of the notification service.
pub struct NotifyService {
    /// Takes events.
    pub sink: Box<dyn Sink>,
    /// Answers readers; `None` where messages are lines.
    pub inbox: Option<Inbox>,
    /// Delivers, once it is started; `None` where messages are lines.
    pub dispatcher: Option<Dispatcher>,
}

impl NotifyService {
    /// Checks every setting, template and secret, and opens what is in `dir`.
    ///
    /// # Errors
    /// When a setting makes no sense, names what is not there, or a file or store can't be used.
    pub fn open(dir: &Path, config: &NotifyConfig) -> Result<Self, SinkError> {
        if config.transport != Transport::Outbox {
            let sink = Box::new(NotifySink::open(dir, config)?);
            return Ok(Self { sink, inbox: None, dispatcher: None });
        }
        create_dir(dir)?;
        let providers = Providers::open(config, dir)?;
        Self::with_providers(dir, config, providers)
    }

    pub(super) fn with_providers(
        dir: &Path,
        config: &NotifyConfig,
        providers: Providers,
    ) -> Result<Self, SinkError> {
        let (sink, inbox, scheduler, desk) = parts(dir, config, providers)?;
        Ok(Self {
            sink: Box::new(sink),
            inbox: Some(inbox),
            dispatcher: Some(Dispatcher::new(scheduler, desk, config.status_listen)),
        })
    }
}

/// What works together over one outbox.
pub(super) fn parts(
    dir: &Path,
    config: &NotifyConfig,
    providers: Providers,
) -> Result<(OutboxSink, Inbox, Scheduler, StatusDesk), SinkError> {
    config.delivery.check().map_err(|(setting, problem)| SinkError::Setting {
        setting: format!("notify.delivery.{setting}"),
        problem,
    })?;
    let outbox = Outbox::open(dir)?;
    let owners = Owners::open(config, &outbox)?;
    let recipients = owners.recipients.clone();
    let teller = Teller::open(config, |channel| providers.is_on(channel), owners)?;
    let teller = Arc::new(teller);
    let sink = OutboxSink::new(outbox.clone(), Arc::clone(&teller), config.hold_expiring_s);
    let inbox = Inbox::new(outbox.clone(), recipients);
    let desk = StatusDesk::open(outbox.clone(), config)?;
    let scheduler = Scheduler::new(outbox, teller, providers, config);
    Ok((sink, inbox, scheduler, desk))
}
