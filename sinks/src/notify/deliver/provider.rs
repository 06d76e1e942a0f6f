//! Short and push messages: consumes messages, produces the HTTP request that the configuration
//! describes for the provider.

use std::{collections::BTreeMap, sync::Arc};

use millrace_ledger::Timestamp;
use reqwest::{
    Client, Method, StatusCode, Url,
    header::{HeaderName, HeaderValue},
};
use serde::Serialize;

use super::{
    super::{Channel, ProviderConfig, template::TemplateSet},
    Accepted, Delivering, Envelope, Provider, Refused, Secret, http, wrong,
};
use crate::SinkError;

const BODY: &str = "body";
const VARIABLES: [&str; 9] =
    ["to", "subject", "text", "kind", "id", "key", "name", "locale", "secret"];

/// Sends what the configuration describes.
#[derive(Debug)]
pub(super) struct HttpProvider {
    client: Client,
    url: Url,
    method: Method,
    templates: TemplateSet,
    /// Header, and the name of its template.
    headers: Vec<(HeaderName, String)>,
    secret: Option<Secret>,
}

#[derive(Debug, Default, Serialize)]
struct Facts<'a> {
    to: &'a str,
    subject: &'a str,
    text: &'a str,
    kind: &'a str,
    id: u64,
    key: &'a str,
    name: &'a str,
    locale: &'a str,
    secret: &'a str,
}

impl HttpProvider {
    pub(super) fn open(channel: Channel, config: &ProviderConfig) -> Result<Self, SinkError> {
        let setting = format!("notify.{}", channel.name());
        let key = |key: &str| format!("{setting}.{key}");
        let url = Url::parse(&config.url).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| {
            wrong(key("url"), format!("{:?} is no http or https address", config.url))
        })?;
        let method = Method::from_bytes(config.method.as_bytes())
            .ok()
            .filter(|method| [Method::POST, Method::PUT, Method::PATCH].contains(method))
            .ok_or_else(|| {
                wrong(key("method"), format!("{:?} is not POST, PUT or PATCH", config.method))
            })?;
        let mut templates = TemplateSet::new();
        templates.add_quoting();
        let mut provider = Self {
            client: http::client(&setting, config.timeout_ms, false)?,
            url,
            method,
            secret: Secret::read(&key("secret"), &config.secret)?,
            headers: Vec::new(),
            templates: TemplateSet::new(),
        };
        provider.headers = add_headers(&mut templates, &setting, &config.headers)?;
        templates
            .add(BODY, &config.body, &VARIABLES)
            .map_err(|error| in_setting(error, &key("body")))?;
        provider.templates = templates;
        // Each is rendered once, so that what can't be is found now.
        let sample = Facts { to: "+420123456789", text: "a \"b\"", ..Facts::default() };
        provider.render(&sample).map_err(|error| in_setting(error, &setting))?;
        Ok(provider)
    }

    /// Headers and body.
    fn render(
        &self,
        facts: &Facts<'_>,
    ) -> Result<(Vec<(HeaderName, HeaderValue)>, String), SinkError> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, template) in &self.headers {
            let text = self.templates.render(template, facts)?;
            let value = HeaderValue::from_str(text.trim()).map_err(|_| SinkError::Template {
                template: template.clone(),
                line: 1,
                problem: "it makes characters that no header can have".into(),
            })?;
            headers.push((name.clone(), value));
        }
        Ok((headers, self.templates.render(BODY, facts)?))
    }
}

fn add_headers(
    templates: &mut TemplateSet,
    setting: &str,
    headers: &BTreeMap<String, String>,
) -> Result<Vec<(HeaderName, String)>, SinkError> {
    let mut named = Vec::with_capacity(headers.len());
    for (name, source) in headers {
        let key = format!("{setting}.headers.{name}");
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(&key, "no header can be called that"))?;
        let template = format!("headers.{name}");
        templates.add(&template, source, &VARIABLES).map_err(|error| in_setting(error, &key))?;
        named.push((header, template));
    }
    Ok(named)
}

/// Names the setting instead of the template.
fn in_setting(error: SinkError, setting: &str) -> SinkError {
    match error {
        SinkError::Template { line, problem, .. } => {
            wrong(setting, format!("line {line}: {problem}"))
        }
        other => other,
    }
}

impl Provider for HttpProvider {
    fn deliver(&self, envelope: Arc<Envelope>, _: Timestamp) -> Delivering {
        let facts = Facts {
            to: &envelope.to,
            subject: &envelope.subject,
            text: &envelope.text,
            kind: envelope.items.first().map(|item| item.kind.name()).unwrap_or_default(),
            id: envelope.id,
            key: &envelope.key,
            name: &envelope.name,
            locale: &envelope.locale,
            secret: self.secret.as_ref().map(Secret::reveal).unwrap_or_default(),
        };
        let (headers, body) = match self.render(&facts) {
            Ok(rendered) => rendered,
            Err(error) => {
                let text = error.to_string();
                return Box::pin(async { Err(Refused::permanent(text)) });
            }
        };
        let mut request = self
            .client
            .request(self.method.clone(), self.url.clone())
            .header("Idempotency-Key", &envelope.key)
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Box::pin(http::send(request, Accepted::Sent, is_of_the_message))
    }
}

/// Whether the answer is about this message, and not about who sends it.
fn is_of_the_message(status: StatusCode) -> bool {
    [
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::GONE,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ]
    .contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ProviderConfig {
        ProviderConfig { url: "https://sms.example/send".into(), ..ProviderConfig::default() }
    }

    #[test]
    fn a_request_is_what_the_configuration_describes() {
        let config = ProviderConfig {
            headers: BTreeMap::from([("X-For".into(), "{{ name }}/{{ key }}".into())]),
            body: "to={{ to|urlencode }}&j={{ text|json }}".into(),
            ..config()
        };
        let provider = HttpProvider::open(Channel::Sms, &config).expect("opens");
        let facts =
            Facts { to: "+420 1", text: "a \"b\"\n", name: "Ann", key: "k", ..<_>::default() };
        let (headers, body) = provider.render(&facts).expect("renders");
        assert_eq!(body, "to=%2B420%201&j=\"a \\\"b\\\"\\n\"");
        assert_eq!(headers[0].1, "Ann/k");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let header = |name: &str, value: &str| BTreeMap::from([(name.into(), value.into())]);
        for (config, said) in [
            (ProviderConfig { url: "sms.example".into(), ..config() }, "notify.sms.url: "),
            (ProviderConfig { url: "ftp://a/".into(), ..config() }, "notify.sms.url: "),
            (ProviderConfig { method: "GET".into(), ..config() }, "notify.sms.method: \"GET\""),
            (
                ProviderConfig { body: "ok\n{{ txt }}".into(), ..config() },
                "notify.sms.body: line 2: \"txt\" is unknown",
            ),
            (
                ProviderConfig { headers: header("a b", "x"), ..config() },
                "notify.sms.headers.a b: no header",
            ),
            (
                ProviderConfig { headers: header("x-a", "{{ secrt }}"), ..config() },
                "notify.sms.headers.x-a: line 1: \"secrt\" is unknown",
            ),
            (ProviderConfig { timeout_ms: 0, ..config() }, "notify.sms.timeout_ms: 0"),
        ] {
            let error = HttpProvider::open(Channel::Sms, &config).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
