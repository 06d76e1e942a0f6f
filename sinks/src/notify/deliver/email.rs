//! E-mail: consumes messages, hands them to a mail server by SMTP. The message id is made of the
//! idempotency key, so that a repeat is the same mail.

use std::{
    fs,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, MultiPart, header},
    transport::smtp::{
        AsyncSmtpTransportBuilder, Error,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls as TlsMode, TlsParameters},
    },
};
use millrace_ledger::Timestamp;

use super::{
    super::{EmailConfig, Tls},
    Accepted, Delivering, Envelope, Provider, Refused, Secret, wrong,
};
use crate::SinkError;

const SETTING: &str = "notify.email";
/// Refusals that are about the server's relation to us, and not about the message.
const OF_THE_SERVER: [u16; 6] = [521, 530, 534, 535, 538, 554];

/// Sends mails.
pub(super) struct Email {
    connections: Arc<Connections>,
    from: Mailbox,
    /// For all of a delivery; the transport's own is for each answer.
    timeout: Duration,
}

/// The mail server's connections. They belong to the runtime that they are made on, so they are made
/// when the first mail goes.
struct Connections {
    builder: AsyncSmtpTransportBuilder,
    transport: OnceLock<AsyncSmtpTransport<Tokio1Executor>>,
}

impl Connections {
    async fn send(&self, message: Message) -> Result<(), Error> {
        let transport = self.transport.get_or_init(|| self.builder.clone().build());
        transport.send(message).await.map(drop)
    }
}

impl Email {
    pub(super) fn open(config: &EmailConfig) -> Result<Self, SinkError> {
        let key = |key: &str| format!("{SETTING}.{key}");
        let from: Mailbox = config.from.parse().map_err(|error| {
            wrong(key("from"), format!("{:?} is no address: {error}", config.from))
        })?;
        if config.host.is_empty() {
            return Err(wrong(key("host"), "it is empty; name the mail server"));
        }
        if config.timeout_ms == 0 {
            return Err(wrong(key("timeout_ms"), "0 would send nothing"));
        }
        let timeout = Duration::from_millis(config.timeout_ms);
        let tls = match config.tls {
            Tls::None => TlsMode::None,
            Tls::Starttls => TlsMode::Required(tls_parameters(config)?),
            Tls::Implicit => TlsMode::Wrapper(tls_parameters(config)?),
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.as_str())
                .port(config.port)
                .tls(tls)
                .timeout(Some(timeout));
        let password = Secret::read(&key("password"), &config.password)?;
        match (config.username.is_empty(), password) {
            (true, None) => {}
            (false, Some(password)) => {
                if config.tls == Tls::None {
                    let problem = "it sends the password in the clear; take starttls or tls";
                    return Err(wrong(key("tls"), problem));
                }
                let credentials =
                    Credentials::new(config.username.clone(), password.reveal().to_owned());
                builder = builder.credentials(credentials);
            }
            (false, None) => {
                let problem = "username needs a password; name it by env or file";
                return Err(wrong(key("password"), problem));
            }
            (true, Some(_)) => {
                return Err(wrong(key("username"), "a password is named, but no username"));
            }
        }
        let connections = Arc::new(Connections { builder, transport: OnceLock::new() });
        Ok(Self { connections, from, timeout: 3 * timeout })
    }

    fn message(&self, envelope: &Envelope) -> Result<Message, String> {
        let address = envelope.to.parse().map_err(|error| {
            format!("the owner's e-mail {:?} is no address: {error}", envelope.to)
        })?;
        let name = Some(envelope.name.clone()).filter(|name| !name.is_empty());
        let id = format!("<{}@{}>", envelope.key, self.from.email.domain());
        let key = header::HeaderValue::new(
            header::HeaderName::new_from_ascii_str("Idempotency-Key"),
            envelope.key.clone(),
        );
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .subject(envelope.subject.clone())
            .message_id(Some(id))
            .raw_header(key);
        let built = match &envelope.html {
            Some(html) => message
                .multipart(MultiPart::alternative_plain_html(envelope.text.clone(), html.clone())),
            None => message.header(header::ContentType::TEXT_PLAIN).body(envelope.text.clone()),
        };
        built.map_err(|error| format!("no mail could be made of it: {error}"))
    }
}

fn tls_parameters(config: &EmailConfig) -> Result<TlsParameters, SinkError> {
    let mut parameters = TlsParameters::builder(config.host.clone())
        .certificate_store(CertificateStore::WebpkiRoots);
    if !config.ca_file.as_os_str().is_empty() {
        let pem = fs::read(&config.ca_file).map_err(SinkError::io("read", &config.ca_file))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| {
            let problem = format!("{} is no PEM certificate: {error}", config.ca_file.display());
            wrong(format!("{SETTING}.ca_file"), problem)
        })?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| {
        wrong(format!("{SETTING}.host"), format!("TLS to {:?}: {error}", config.host))
    })
}

impl Provider for Email {
    fn deliver(&self, envelope: Arc<Envelope>, _: Timestamp) -> Delivering {
        let message = match self.message(&envelope) {
            Ok(message) => message,
            Err(text) => return Box::pin(async { Err(Refused::permanent(text)) }),
        };
        let (connections, timeout) = (Arc::clone(&self.connections), self.timeout);
        Box::pin(async move {
            match tokio::time::timeout(timeout, connections.send(message)).await {
                Ok(Ok(())) => Ok(Accepted::Sent),
                Ok(Err(error)) => Err(refused(&error)),
                Err(_) => Err(Refused::transient("the mail server did not answer in time")),
            }
        })
    }
}

fn refused(error: &Error) -> Refused {
    let code = error.status().map(u16::from);
    let text = format!("the mail server: {error}");
    match code {
        Some(code) if error.is_permanent() && !OF_THE_SERVER.contains(&code) => {
            Refused::permanent(text)
        }
        _ => Refused::transient(text),
    }
}
