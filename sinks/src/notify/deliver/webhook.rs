//! Webhooks: consumes messages for the owners' own addresses, produces signed HTTP requests. The
//! address's host is what fails by itself: one receiver that is down holds up no other.

use std::sync::Arc;

use millrace_ledger::Timestamp;
use millrace_protos::trace;
use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE};
use serde_json::json;

use super::{
    super::WebhookConfig,
    Accepted, Delivering, Envelope, Item, Provider, Refused, Secret, http,
    signature::{HEADER, sign},
    wrong,
};
use crate::SinkError;

const SETTING: &str = "notify.webhook";
const NS_PER_S: u64 = 1_000_000_000;

/// Sends signed requests.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client,
    secrets: Vec<Secret>,
}

impl Webhook {
    pub(super) fn open(config: &WebhookConfig) -> Result<Self, SinkError> {
        let secret = Secret::read_strong(&format!("{SETTING}.secret"), &config.secret)?;
        let Some(secret) = secret else {
            let problem = "webhooks are signed; name the secret by env or file";
            return Err(wrong(format!("{SETTING}.secret"), problem));
        };
        let setting = format!("{SETTING}.previous_secret");
        let previous = Secret::read_strong(&setting, &config.previous_secret)?;
        Ok(Self {
            client: http::client(SETTING, config.timeout_ms, config.https_only)?,
            secrets: [secret].into_iter().chain(previous).collect(),
        })
    }
}

impl Provider for Webhook {
    fn deliver(&self, envelope: Arc<Envelope>, now: Timestamp) -> Delivering {
        let body = body(&envelope).to_string();
        let unix_s = now.0 / NS_PER_S;
        let signature = sign(self.secrets.iter().map(Secret::reveal), unix_s, body.as_bytes());
        let request = match Url::parse(&envelope.to) {
            Ok(url) => self.client.post(url),
            Err(error) => {
                let text = format!("the owner's webhook is no address: {error}");
                return Box::pin(async { Err(Refused::permanent(text)) });
            }
        };
        let request = match envelope.traceparent() {
            Some(trace) => request.header(trace::HEADER, trace),
            None => request,
        };
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &envelope.key)
            .header(HEADER, signature)
            .body(body);
        // Anything but 410 may be a receiver that is being set up: as payment companies do, it is
        // tried again.
        Box::pin(http::send(request, Accepted::Delivered, |status| status == StatusCode::GONE))
    }

    fn circuit(&self, to: &str) -> String {
        Url::parse(to).map(|url| url.authority().to_owned()).unwrap_or_default()
    }

    fn has_one_circuit(&self) -> bool {
        false
    }
}

/// What receivers read.
fn body(envelope: &Envelope) -> serde_json::Value {
    let kind = match envelope.items.as_slice() {
        [one] => one.kind.name(),
        _ => "digest",
    };
    let items: Vec<_> = envelope.items.iter().map(Item::json).collect();
    json!({
        "id": envelope.key,
        "version": 1,
        "type": kind,
        "subject": envelope.subject,
        "text": envelope.text,
        "locale": envelope.locale,
        "notifications": items,
    })
}
