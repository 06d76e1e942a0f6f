//! Status reports: consumes what providers say became of a message, produces its new state. Each is
//! authenticated by the secret of the message's channel.
//!
//! `POST /notifications/{id}/status` with `{"status": "delivered"}` or `{"status": "bounced",
//! "reason": "…"}`. The id is the notification's number or the key that the provider was given. The
//! secret comes as a bearer token, or signs the body as webhooks are signed.

use std::{net::TcpListener, sync::Arc, time::SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::post,
};
use serde::Deserialize;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Channel, DeliveryState, NotifyConfig,
    deliver::{Secret, signature},
    outbox::Outbox,
};
use crate::SinkError;

/// Longest report.
const BODY_MAX: usize = 16 << 10;
/// Of a reason, so much is kept.
const REASON_MAX: usize = 300;

/// Takes status reports. Cheap to clone.
#[derive(Clone)]
pub(super) struct StatusDesk {
    outbox: Outbox,
    /// By channel.
    secrets: Arc<[Option<Secret>; Channel::ALL.len()]>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Report {
    Delivered,
    Bounced {
        #[serde(default)]
        reason: String,
    },
}

impl StatusDesk {
    pub(super) fn open(outbox: Outbox, config: &NotifyConfig) -> Result<Self, SinkError> {
        let mut secrets = [const { None }; Channel::ALL.len()];
        for (channel, secret) in [
            (Channel::Email, &config.email.status_secret),
            (Channel::Webhook, &config.webhook.status_secret),
            (Channel::Sms, &config.sms.status_secret),
            (Channel::Push, &config.push.status_secret),
        ] {
            let setting = format!("notify.{}.status_secret", channel.name());
            secrets[channel.index()] = Secret::read_strong(&setting, secret)?;
        }
        Ok(Self { outbox, secrets: Arc::new(secrets) })
    }

    /// Whether the sender has the channel's secret.
    fn knows(&self, channel: Channel, headers: &HeaderMap, body: &[u8]) -> bool {
        let Some(secret) = &self.secrets[channel.index()] else { return false };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header(AUTHORIZATION.as_str()).and_then(|text| text.strip_prefix("Bearer "));
        if let Some(token) = bearer {
            let equal = verify_slices_are_equal(token.as_bytes(), secret.reveal().as_bytes());
            return equal.is_ok();
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        header(signature::HEADER).is_some_and(|signed| {
            signature::is_signed(secret.reveal(), signed, body, now.as_secs())
        })
    }

    /// Takes a report. Who has no secret learns nothing of what there is.
    fn take(&self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Answer> {
        let found = self.find(id)?;
        let channel = match found {
            Some(id) => self.outbox.row(id)?.map(|row| row.channel),
            None => None,
        };
        let Some((id, channel)) = found.zip(channel) else {
            let known = Channel::ALL.iter().any(|channel| self.knows(*channel, headers, body));
            let status = if known { StatusCode::NOT_FOUND } else { StatusCode::UNAUTHORIZED };
            return Err(Answer(status, "there is no such notification".into()));
        };
        if !self.knows(channel, headers, body) {
            let text = "the secret is not that of the notification's channel";
            return Err(Answer(StatusCode::UNAUTHORIZED, text.into()));
        }
        let report: Report = serde_json::from_slice(body).map_err(|error| {
            let text = format!("{error}; say {{\"status\": \"delivered\"}} or \"bounced\"");
            Answer(StatusCode::BAD_REQUEST, text)
        })?;
        self.note(id, &report)?;
        Ok(())
    }

    fn find(&self, id: &str) -> Result<Option<u64>, SinkError> {
        if let Ok(number) = id.parse::<u64>() {
            return Ok(Some(number));
        }
        // A key may say more behind the identity.
        let identity = id.get(..36).and_then(|text| text.parse::<Uuid>().ok());
        Ok(identity.map(|identity| self.outbox.id_of(identity)).transpose()?.flatten())
    }

    fn note(&self, id: u64, report: &Report) -> Result<(), SinkError> {
        let mut change = self.outbox.change();
        let Some(head) = change.row(id)? else { return Ok(()) };
        let mut ids = head.bundle;
        if ids.is_empty() {
            ids.push(id);
        }
        for id in ids {
            let Some(mut row) = change.row(id)? else { continue };
            row.state = match (report, &row.state) {
                // What bounced does not arrive later, and what was not to be sent was not sent.
                (_, DeliveryState::Suppressed { .. }) => continue,
                (Report::Delivered, DeliveryState::Dead { .. }) => continue,
                (Report::Delivered, _) => DeliveryState::Delivered,
                (Report::Bounced { reason }, _) => {
                    let reason: String = reason.chars().take(REASON_MAX).collect();
                    DeliveryState::Dead { reason: format!("bounced: {reason}") }
                }
            };
            change.put(id, Some(row))?;
        }
        change.commit()
    }
}

/// A refusal.
struct Answer(StatusCode, String);

impl From<SinkError> for Answer {
    fn from(error: SinkError) -> Self {
        tracing::error!(%error, "a status report could not be kept");
        Self(StatusCode::SERVICE_UNAVAILABLE, "try again later".into())
    }
}

async fn report(
    State(desk): State<StatusDesk>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    match desk.take(&id, &headers, &body) {
        Ok(()) => (StatusCode::NO_CONTENT, String::new()),
        Err(Answer(status, text)) => (status, format!("{text}\n")),
    }
}

/// Serves reports until it is stopped.
pub(super) async fn serve(
    listener: TcpListener,
    desk: StatusDesk,
    mut stopped: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route("/notifications/{id}/status", post(report))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(desk);
    let stop = async move {
        // A sender that is gone means that the dispatcher is, too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let served = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router).with_graceful_shutdown(stop).await
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "status reports are not taken any more");
    }
}
