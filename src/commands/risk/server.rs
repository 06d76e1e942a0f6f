//! What the commands that talk to a running millrace share: where it is, who asks and why, and how
//! times and scores read.

use millrace_client::Connection;
use millrace_protos::v1;
use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use crate::Failure;

/// Where the server is.
#[derive(clap::Args)]
pub(super) struct ServerArgs {
    /// URL of the gRPC server
    #[arg(long, default_value = "http://127.0.0.1:7400")]
    target: String,
    /// Print JSON, one object a line, instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl ServerArgs {
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(&self.target).await?)
    }
}

/// Who makes a change, and why: both are journaled.
#[derive(clap::Args)]
pub(crate) struct SignatureArgs {
    /// Who you are; without it, the user who is logged in ($USER)
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Why, for the journal and the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

impl SignatureArgs {
    pub(crate) fn actor(&self) -> Result<String, Failure> {
        let known = self.actor.clone().or_else(|| std::env::var("USER").ok());
        known.filter(|actor| !actor.is_empty()).ok_or_else(|| {
            "nobody is logged in as far as $USER says: tell who you are with --actor".into()
        })
    }
}

/// As [`SignatureArgs`], for changes that may go without.
#[derive(clap::Args)]
pub(crate) struct MaybeSignedArgs {
    /// Who you are, together with --why; without it, the user who is logged in ($USER)
    #[arg(long, value_name = "NAME", requires = "why", global = true)]
    actor: Option<String>,
    /// Why: with it, who you are and why are in the journal and the audit log
    #[arg(long, value_name = "TEXT", global = true)]
    why: Option<String>,
}

impl MaybeSignedArgs {
    /// Who and why; both empty where nothing is said.
    pub(crate) fn signature(self) -> Result<(String, String), Failure> {
        let Some(why) = self.why else { return Ok(Default::default()) };
        let signature = SignatureArgs { actor: self.actor, why };
        Ok((signature.actor()?, signature.why))
    }
}

/// The sentence of a refusal; a payment that nobody knows is named.
pub(super) fn unknown(connection: &Connection, status: &Status, payment: Uuid) -> Failure {
    let error = connection.explain(status);
    match error.sentence.contains("PAYMENT_UNKNOWN") {
        true => format!(
            "the server has no payment {payment}: check the id, and that --target is the server \
             that took it; `millrace journal export` and `millrace risk reviews list` tell the ids \
             of payments"
        )
        .into(),
        false => error.into(),
    }
}

/// A time for the wire.
pub(crate) fn to_wire(time: millrace_ledger::Timestamp) -> Timestamp {
    const NANOS: u64 = 1_000_000_000;
    Timestamp { seconds: (time.0 / NANOS) as i64, nanos: (time.0 % NANOS) as i32 }
}

/// RFC 3339 in UTC, to the second; empty where there is no time.
pub(super) fn when(time: Option<&Timestamp>) -> String {
    instant(time).map_or_else(String::new, |time| format!("{time:.0}"))
}

/// RFC 3339 in UTC with nanoseconds; null where there is no time.
pub(super) fn when_json(time: Option<&Timestamp>) -> Value {
    instant(time).map_or(Value::Null, |time| json!(format!("{time:.9}")))
}

fn instant(time: Option<&Timestamp>) -> Option<jiff::Timestamp> {
    time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
}

pub(super) fn deed_json(deed: Option<&v1::Deed>) -> Value {
    deed.map_or(Value::Null, |deed| {
        json!({
            "actor": deed.actor,
            "why": deed.why,
            "time": when_json(deed.time.as_ref()),
            "event_sequence": deed.event_sequence,
        })
    })
}

/// `ann, 2026-11-20T08:30:00Z: looks right`
pub(super) fn deed_text(deed: &v1::Deed) -> String {
    format!("{}, {}: {}", deed.actor, when(deed.time.as_ref()), deed.why)
}

/// An enum's name without its prefix, in lower case.
pub(super) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

pub(super) fn score_text(score: Option<f32>) -> String {
    score.map_or_else(String::new, |score| format!("{score:.4}"))
}
