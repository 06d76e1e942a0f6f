//! Errors that clients see: a text for people and a code for programs. The codes are part of the
//! API: docs/graphql.md lists them.

use async_graphql::{Error, ErrorExtensionValues, ErrorExtensions as _, ServerError, Value};

use super::{acts::ActError, read::ReadError};
use crate::{SinkError, audit::AuditError};

/// An error with its code.
pub(super) fn coded(text: impl Into<String>, code: &'static str) -> Error {
    Error::new(text.into()).extend_with(|_, extensions| extensions.set("code", code))
}

/// The same, of a request that is not run.
pub(super) fn refusal(text: impl Into<String>, code: &'static str) -> ServerError {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    let mut error = ServerError::new(text, None);
    error.extensions = Some(extensions);
    error
}

/// Gives its code to an error that the GraphQL library found.
pub(super) fn complete(error: &mut ServerError) {
    let code = match error.message.as_str() {
        "Query is nested too deep." => "QUERY_TOO_DEEP",
        "Query is too complex." => "QUERY_TOO_COMPLEX",
        _ => "QUERY_INVALID",
    };
    let extensions = error.extensions.get_or_insert_default();
    if extensions.get("code").is_none() {
        extensions.set("code", Value::from(code));
    }
}

/// The read model could not answer.
pub(super) fn read_failed(error: &ReadError) -> Error {
    let code = match error {
        ReadError::TooSlow(_) => "QUERY_TOO_SLOW",
        ReadError::Unavailable(_) => "UNAVAILABLE",
        ReadError::Store(_) | ReadError::Damaged | ReadError::Failed(_) => "READ_FAILED",
    };
    if code == "READ_FAILED" {
        tracing::error!(%error, "a query failed");
    }
    coded(error.to_string(), code)
}

/// The notifications' store could not answer.
pub(super) fn sink_failed(error: &SinkError) -> Error {
    tracing::error!(%error, "a query failed");
    coded(error.to_string(), "READ_FAILED")
}

/// The audit log could not answer.
pub(super) fn audit_failed(error: &AuditError) -> Error {
    let code = match error {
        AuditError::NoLog { .. } => return no_audit_log(),
        AuditError::NoEntry { .. } => "NOT_FOUND",
        AuditError::Removed { .. } => "AUDIT_ENTRY_REMOVED",
        AuditError::NoProof { .. } => "AUDIT_NO_PROOF",
        _ => {
            tracing::error!(%error, "a query failed");
            "READ_FAILED"
        }
    };
    coded(error.to_string(), code)
}

/// What somebody wanted was not done.
pub(super) fn act_failed(error: &ActError) -> Error {
    coded(error.to_string(), error.code())
}

/// This process has not what is asked for. The remedy names who has, and the setting.
fn not_here(what: &str, remedy: &str) -> Error {
    coded(format!("this process has no {what}: {remedy}"), "SERVICE_OFF")
}

pub(super) fn no_audit_log() -> Error {
    not_here(
        "audit log, and there is none in its data directory",
        "ask one that has the role audit, or the data directory of one, with the setting \
         sinks.audit.enabled",
    )
}

pub(super) fn no_notifications() -> Error {
    not_here(
        "notifications, which are read and changed only where they are kept",
        "ask one that has the roles notify and graphql together, with the setting \
         sinks.notify.enabled and sinks.notify.transport = \"outbox\"",
    )
}

pub(super) fn no_reviews() -> Error {
    not_here("reviews", "ask one with the setting sinks.reviews.enabled")
}

pub(super) fn no_acts() -> Error {
    not_here(
        "way to the engine, which people's acts need",
        "ask one that has the role ingest, or name its front door in the setting \
         sinks.graphql.ingest_url",
    )
}

/// Text that an argument can't be.
pub(super) fn malformed(argument: &str, found: &str, must_be: &str) -> Error {
    coded(format!("{argument} is {found:?}, which is not {must_be}"), "ARGUMENT_MALFORMED")
}
