//! `millrace sinks status`: how the sinks of a running millrace, and its publisher, get on.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use millrace_sinks::{SinkState, SinkStatus};
use serde_json::Value;

use super::Which;
use crate::{Failure, commands::say};

const TIMEOUT: Duration = Duration::from_secs(5);

/// How far each sink of a running millrace is, and the publisher
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace sinks status
  millrace sinks status --metrics 127.0.0.1:9464 --json

Asks the address at which the running millrace shows its metrics (metrics.listen). LAG is the number of
events yet to be processed, AGE how old the oldest of them is. The rows publish and publish-payments
are the streams that the journal is published to. The exit code is 1 if one of all these stopped.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Where it shows its metrics, in place of the configured address
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let address = match args.metrics {
        Some(address) => address,
        None => args.which.config()?.metrics.listen,
    };
    let answer = ask(address).map_err(|error| {
        format!(
            "nobody tells of sinks at {address}: {error}. Is millrace running, and is this its \
             metrics.listen? Name another address with --metrics"
        )
    })?;
    let sinks: Vec<SinkStatus> = serde_json::from_value(answer["sinks"].clone())?;
    if args.json {
        say!("{answer:#}");
    } else {
        table(&answer, &sinks);
    }
    let stopped = sinks.iter().any(|sink| sink.state == SinkState::Stopped);
    Ok(if stopped { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One request over a connection of its own.
fn ask(address: SocketAddr) -> Result<Value, Failure> {
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    write!(connection, "GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it does not speak HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(format!("it answers {status}").into());
    }
    Ok(serde_json::from_str(body)?)
}

fn table(answer: &Value, sinks: &[SinkStatus]) {
    if let Some(durable) = answer["engine"]["durable_seq"].as_u64() {
        say!("the journal ends with event {durable}\n");
    }
    say!(
        "{:<12} {:<10} {:>14} {:>12} {:>9} {:>10} {:>11}",
        "SINK",
        "STATE",
        "APPLIED",
        "LAG",
        "AGE",
        "EVENTS/S",
        "QUARANTINED"
    );
    for sink in sinks {
        let state = match sink.state {
            SinkState::Following => "following",
            SinkState::Retrying => "retrying",
            SinkState::Stopped => "stopped",
        };
        let lag = sink.lag_events.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
        say!(
            "{:<12} {:<10} {:>14} {:>12} {:>8.1}s {:>10.0} {:>11}",
            sink.sink,
            state,
            sink.applied_seq,
            lag,
            sink.age_s,
            sink.rate_per_s,
            sink.quarantined
        );
    }
    for sink in sinks {
        if let Some(error) = &sink.error {
            say!("\n{}: {error}", sink.sink);
        }
    }
}
