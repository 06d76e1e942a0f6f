//! What can be wrong with a stream, in words that an operator can act on.

use std::path::PathBuf;

use millrace_engine::JournalError;
use millrace_ledger::EventSeq;

/// Why events can't be streamed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A setting is out of its bounds.
    #[error("the configuration is not right: {key} is {value}, and must be {must_be}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        must_be: &'static str,
    },
    /// There is no URL to stream to.
    #[error("stream.url is not set: set it to the NATS server to stream to, as nats://HOST:PORT")]
    NoUrl,
    /// A file of the settings can't be read, or does not hold what it should.
    #[error("{key} {} can't be used: {problem}", path.display())]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The server does not answer, or does not let us in.
    #[error(
        "NATS at {server} can't be used: {problem}. Start a NATS server with JetStream there \
         (nats-server -js), or name the address of one that runs (stream.url, or --nats of the demo)"
    )]
    Connect {
        /// The server, without credentials.
        server: String,
        /// What happened.
        problem: String,
    },
    /// The server does not know who we say that we are.
    #[error(
        "NATS at {server} does not let this process in, which shows {shown}. Put the user and \
         password, the token, the seed of the nkey or the credentials file of a user that it knows \
         into the file that stream.credentials names"
    )]
    NotLetIn {
        /// The server, without credentials.
        server: String,
        /// What we showed it, without secrets.
        shown: &'static str,
    },
    /// The server and we don't agree on TLS.
    #[error("NATS at {server} can't be used over TLS: {problem}. {remedy}")]
    Tls {
        /// The server, without credentials.
        server: String,
        /// What happened.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The server lets us in, but not do what we have to.
    #[error(
        "NATS at {server} does not permit what this process has to do ({problem}). Give its user \
         the permissions that docs/streams.md lists"
    )]
    NotPermitted {
        /// The server, without credentials.
        server: String,
        /// What the server said.
        problem: String,
    },
    /// The connection broke.
    #[error("the connection to NATS at {server} broke")]
    Disconnected {
        /// The server, without credentials.
        server: String,
    },
    /// The server is too old to keep the promises that are made here.
    #[error(
        "NATS at {server} is version {found}: 2.10 or later is needed, because earlier ones drop \
         settings without a word. Upgrade the server"
    )]
    ServerTooOld {
        /// The server, without credentials.
        server: String,
        /// Its version.
        found: String,
    },
    /// The server takes no messages as large as ours.
    #[error(
        "NATS at {server} takes messages of {max_payload} bytes at most: raise max_payload there, or \
         lower stream.frame_kib, which is {frame_kib}"
    )]
    PayloadTooSmall {
        /// The server, without credentials.
        server: String,
        /// Its limit.
        max_payload: usize,
        /// Our setting.
        frame_kib: usize,
    },
    /// A stream is not as configured.
    #[error(
        "the stream {stream} has {setting} {found}, and {wanted} is configured ({key}). Change the \
         configuration, or the stream with `nats stream edit {stream}`"
    )]
    WrongSetting {
        /// The stream.
        stream: String,
        /// Its setting, as NATS calls it.
        setting: &'static str,
        /// What it is there.
        found: String,
        /// What it should be.
        wanted: String,
        /// Our setting, or what it comes from.
        key: &'static str,
    },
    /// The stream has events that the journal has not.
    #[error(
        "the stream {stream} ends with event {published}, and the journal has no such event: the \
         journal lost events that were published, or it is an older copy. Nothing was published. \
         Bring the newer journal back; or, if the journal is right, delete the stream \
         (`nats stream rm {stream}`): it is filled from the journal again, and consumers have to be \
         rebuilt (`millrace sinks rebuild`)"
    )]
    StreamAhead {
        /// The stream.
        stream: String,
        /// The last event in it.
        published: EventSeq,
    },
    /// The stream and the journal have one past, and then different events.
    #[error(
        "the stream {stream} and the journal differ at event {published} or before: the journal was \
         brought back from a backup, and went on differently. Nothing was published. Delete the \
         stream (`nats stream rm {stream}`): it is filled from the journal again, and consumers have \
         to be rebuilt (`millrace sinks rebuild`)"
    )]
    Diverged {
        /// The stream.
        stream: String,
        /// The last event in it.
        published: EventSeq,
    },
    /// The stream belongs to another journal.
    #[error(
        "the stream {stream} holds the events of journal {found}, and this is journal {ours}. \
         Nothing was published. Give this one streams and subjects of its own (stream.stream, \
         stream.subject, stream.payments_stream, stream.payments_subject)"
    )]
    OtherJournal {
        /// The stream.
        stream: String,
        /// The journal that it holds events of.
        found: String,
        /// This journal.
        ours: String,
    },
    /// A message in the stream is none of ours.
    #[error(
        "message {sequence} of the stream {stream} can't be read as one of Millrace's: {problem}. If \
         somebody else publishes to its subjects, stop that, and delete the stream \
         (`nats stream rm {stream}`): it is filled from the journal again"
    )]
    ForeignMessage {
        /// The stream.
        stream: String,
        /// Its sequence in the stream.
        sequence: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Events that a consumer needs are not in the stream any more.
    #[error(
        "{consumer}: a gap: event {needed} is due, and the oldest one in the stream {stream} is \
         {oldest}. The stream dropped what this consumer had not read (stream.max_age_hours, \
         stream.max_bytes_mib). Run `millrace sinks rebuild` for it, which reads the journal"
    )]
    Gap {
        /// The consumer.
        consumer: String,
        /// The stream.
        stream: String,
        /// The event that is due.
        needed: EventSeq,
        /// The oldest event that is there.
        oldest: EventSeq,
    },
    /// Events are missing between two messages.
    #[error(
        "{consumer}: event {found} came where {needed} was due; looking for it in the stream {stream}"
    )]
    Skipped {
        /// The consumer.
        consumer: String,
        /// The stream.
        stream: String,
        /// The event that is due.
        needed: EventSeq,
        /// The event that came.
        found: EventSeq,
    },
    /// The server did not do what it was asked.
    #[error("could not {action} the stream {stream}: {problem}")]
    Request {
        /// What was asked.
        action: &'static str,
        /// The stream.
        stream: String,
        /// What happened.
        problem: String,
    },
    /// There is no journal yet.
    #[error("there is no journal yet: waiting for the engine to start one")]
    NoJournal,
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operating system has no thread to spare.
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
}

impl StreamError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::NotLetIn { .. }
            | Self::Tls { .. }
            | Self::NotPermitted { .. }
            | Self::Disconnected { .. }
            | Self::Skipped { .. }
            | Self::Request { .. }
            | Self::NoJournal => true,
            Self::Journal(error) => matches!(error, JournalError::Io { .. }),
            _ => false,
        }
    }
}
