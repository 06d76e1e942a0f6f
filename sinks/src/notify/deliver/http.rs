//! What webhooks and HTTP providers share: a client, and what an answer means.

use std::time::{Duration, SystemTime};

use reqwest::{Client, RequestBuilder, StatusCode, header::RETRY_AFTER, redirect::Policy};

use super::{Accepted, Class, Refused, wrong};
use crate::SinkError;

/// Of an answer's body, so much is kept.
const SAID_MAX: usize = 200;
/// A provider that asks for more gets this.
const AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A client that follows no redirect, so that a message goes nowhere but where it was sent.
pub(super) fn client(
    setting: &str,
    timeout_ms: u64,
    https_only: bool,
) -> Result<Client, SinkError> {
    if timeout_ms == 0 {
        return Err(wrong(format!("{setting}.timeout_ms"), "0 would send nothing"));
    }
    Client::builder()
        .timeout(Duration::from_millis(timeout_ms))
        .https_only(https_only)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| wrong(setting, format!("can't make an HTTP client: {}", full(&error))))
}

/// Sends, and tells what came of it. `refuses` says which answers are for good.
pub(super) async fn send(
    request: RequestBuilder,
    accepted: Accepted,
    refuses: fn(StatusCode) -> bool,
) -> Result<Accepted, Refused> {
    let response = request.send().await.map_err(|error| {
        let what = if error.is_timeout() { "no answer in time" } else { "not reached" };
        // The address may hold a key.
        Refused::transient(format!("{what}: {}", full(&error.without_url())))
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(accepted);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| retry_after(text, SystemTime::now()));
    let said = beginning(response).await;
    let text = format!("it answered {status}{said}");
    let class = match status {
        StatusCode::TOO_MANY_REQUESTS => Class::Throttled { after },
        status if refuses(status) => Class::Permanent,
        _ => Class::Transient { after },
    };
    Err(Refused { text, class })
}

/// The first of what a body says, on one line.
async fn beginning(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < SAID_MAX {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(SAID_MAX);
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<_> = text.split_whitespace().collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) }
}

/// Seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            // HTTP says GMT where mail says a number.
            let date = text.trim().replace("GMT", "+0000");
            let at = jiff::fmt::rfc2822::parse(&date).ok()?.timestamp();
            SystemTime::from(at).duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(AFTER_MAX))
}

/// An error with what led to it.
fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_says_when_to_come_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("999999999", Some(24 * 3_600)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
