//! The streams as they should be: consumes the settings, creates a stream that is missing, and
//! guarantees that the one that is there is as configured, by comparing what the server echoes.

use std::time::Duration;

use async_nats::jetstream::{
    Context,
    context::GetStreamErrorKind,
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream},
};

use crate::{StreamConfig, StreamError, connection::Connection};

/// Within it the server knows a message by its id. Nothing depends on it, because each message names
/// the one before it; and what was purged can be published again only after it.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Events,
    Payments,
}

impl Which {
    pub(crate) fn stream(self, config: &StreamConfig) -> &str {
        match self {
            Self::Events => &config.stream,
            Self::Payments => &config.payments_stream,
        }
    }

    fn subject(self, config: &StreamConfig) -> String {
        match self {
            Self::Events => config.subject.clone(),
            Self::Payments => format!("{}.>", config.payments_subject),
        }
    }
}

/// The stream, made if it is not there, and as configured.
pub(crate) async fn ensure(
    context: &Context,
    config: &StreamConfig,
    which: Which,
) -> Result<Stream<Info>, StreamError> {
    let name = which.stream(config);
    let wanted = wanted(config, which);
    let stream = match open(context, name).await? {
        Some(stream) => stream,
        None => context.create_stream(wanted.clone()).await.map_err(|error| {
            let reserved = config.max_bytes_mib;
            let hint = format!("the server reserves {reserved} MiB (stream.max_bytes_mib) for it");
            request("create", name, format!("{error}; {hint}"))
        })?,
    };
    compare(name, &wanted, &stream.cached_info().config)?;
    Ok(stream)
}

/// Deletes the stream of events, with all that it holds. Returns whether it was there.
///
/// # Errors
/// When the server can't be reached, or refuses.
pub async fn delete(config: &StreamConfig) -> Result<bool, StreamError> {
    let connection = Connection::open(config, "millrace-delete").await?;
    let context = async_nats::jetstream::new(connection.client.clone());
    let name = Which::Events.stream(config);
    let delete = async {
        if open(&context, name).await?.is_none() {
            return Ok(false);
        }
        let deleted = context.delete_stream(name).await;
        deleted.map(|it| it.success).map_err(|error| request("delete", name, error))
    };
    connection.during(delete).await
}

/// The stream, if it is there.
pub(crate) async fn open(context: &Context, name: &str) -> Result<Option<Stream>, StreamError> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(answer) if answer.code() == 404 => Ok(None),
            _ => Err(request("look at", name, error)),
        },
    }
}

pub(crate) fn request(
    action: &'static str,
    stream: &str,
    error: impl std::fmt::Display,
) -> StreamError {
    StreamError::Request { action, stream: stream.to_owned(), problem: error.to_string() }
}

fn wanted(config: &StreamConfig, which: Which) -> Config {
    let limit = |number: u64| match number {
        0 => -1,
        number => number.min(i64::MAX as u64) as i64,
    };
    Config {
        name: which.stream(config).to_owned(),
        description: Some("Events of Millrace; docs/streams.md".to_owned()),
        subjects: vec![which.subject(config)],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        // What is dropped is in the journal.
        discard: DiscardPolicy::Old,
        num_replicas: config.replicas,
        max_age: Duration::from_secs(config.max_age_hours * 3_600),
        max_bytes: limit(config.max_bytes_mib << 20),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        // Events never change, so nobody has to delete one; whole streams can be.
        deny_delete: true,
        ..Config::default()
    }
}

/// Names the first setting that differs.
fn compare(stream: &str, wanted: &Config, found: &Config) -> Result<(), StreamError> {
    let unlimited = |number: i64| if number <= 0 { -1 } else { number };
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    let table: [(&'static str, String, String, &'static str); 14] = [
        ("subjects", wanted.subjects.join(", "), found.subjects.join(", "), "its subject setting"),
        (
            "replicas",
            wanted.num_replicas.to_string(),
            found.num_replicas.to_string(),
            "stream.replicas",
        ),
        ("max_age", seconds(wanted.max_age), seconds(found.max_age), "stream.max_age_hours"),
        (
            "max_bytes",
            unlimited(wanted.max_bytes).to_string(),
            unlimited(found.max_bytes).to_string(),
            "stream.max_bytes_mib",
        ),
        ("retention", text(&wanted.retention), text(&found.retention), "always"),
        ("storage", text(&wanted.storage), text(&found.storage), "always"),
        ("discard", text(&wanted.discard), text(&found.discard), "always"),
        (
            "max_msgs",
            unlimited(wanted.max_messages).to_string(),
            unlimited(found.max_messages).to_string(),
            "always",
        ),
        (
            "max_msgs_per_subject",
            unlimited(wanted.max_messages_per_subject).to_string(),
            unlimited(found.max_messages_per_subject).to_string(),
            "always",
        ),
        (
            "duplicate_window",
            seconds(wanted.duplicate_window),
            seconds(found.duplicate_window),
            "always",
        ),
        ("allow_direct", text(&wanted.allow_direct), text(&found.allow_direct), "always"),
        ("deny_delete", text(&wanted.deny_delete), text(&found.deny_delete), "always"),
        ("sealed or no_ack", text(&false), text(&(found.sealed || found.no_ack)), "always"),
        (
            "mirror, sources or subject_transform",
            text(&false),
            text(
                &(found.mirror.is_some()
                    || found.sources.is_some()
                    || found.subject_transform.is_some()),
            ),
            "always",
        ),
    ];
    for (setting, wanted, found, key) in table {
        if wanted != found {
            let stream = stream.to_owned();
            return Err(StreamError::WrongSetting { stream, setting, found, wanted, key });
        }
    }
    Ok(())
}

fn text(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_differs_is_named() {
        type Change = fn(&mut Config);
        let table: &[(Change, &str)] = &[
            (|it| it.subjects.push("more".into()), "subjects events.v1, more, and events.v1 is"),
            (|it| it.num_replicas = 3, "replicas 3, and 1 is configured (stream.replicas)"),
            (|it| it.max_age = Duration::from_secs(60), "max_age 60 s, and 0 s is configured"),
            (|it| it.max_bytes = 1, "max_bytes 1, and 4294967296 is configured"),
            (|it| it.retention = RetentionPolicy::WorkQueue, "retention workqueue"),
            (|it| it.storage = StorageType::Memory, "storage memory, and file"),
            (|it| it.discard = DiscardPolicy::New, "discard new, and old"),
            (|it| it.max_messages = 5, "max_msgs 5, and -1"),
            (|it| it.max_messages_per_subject = 5, "max_msgs_per_subject 5"),
            (|it| it.duplicate_window = Duration::ZERO, "duplicate_window 0 s"),
            (|it| it.allow_direct = false, "allow_direct false, and true"),
            (|it| it.deny_delete = false, "deny_delete false, and true"),
            (|it| it.no_ack = true, "sealed or no_ack true"),
            (|it| it.sources = Some(Vec::new()), "mirror, sources or subject_transform true"),
        ];
        let wanted = wanted(&StreamConfig::default(), Which::Events);
        assert!(compare("S", &wanted, &wanted).is_ok());
        for (change, said) in table {
            let mut found = wanted.clone();
            change(&mut found);
            let error = compare("S", &wanted, &found).expect_err(said).to_string();
            assert!(error.starts_with("the stream S has ") && error.contains(said), "{error}");
        }
    }

    /// Servers say "no limit" in two ways.
    #[test]
    fn no_limit_is_no_limit() {
        let mut config = StreamConfig { max_bytes_mib: 0, ..StreamConfig::default() };
        config.max_age_hours = 2;
        let wanted = wanted(&config, Which::Payments);
        assert_eq!((wanted.max_bytes, wanted.max_age.as_secs()), (-1, 7_200));
        assert_eq!(wanted.subjects, ["payments.v1.>"]);
        let found = Config { max_bytes: 0, max_messages: 0, ..wanted.clone() };
        assert!(compare("S", &wanted, &found).is_ok());
    }
}
