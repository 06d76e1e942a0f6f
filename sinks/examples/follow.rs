//! Follows the payments of a running server over a WebSocket: consumes messages, produces how long
//! after its decision each one came. Arguments: the server (default `127.0.0.1:8080`), messages to
//! count (5,000), and messages before them that do not count (500).
//!
//! `cargo run --release -p millrace-sinks --example follow -- 127.0.0.1:8080 5000 500`
//!
//! A payment's time is that of its decision, before it is written to the journal and answered. So what
//! is told here is longer than the way from the commit by what the commit takes. Server and client
//! read one clock: run both on one machine. `benches/subscription.sh` does it all.

use std::{
    env,
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

const DAY_NS: u64 = 86_400_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let counted: usize = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let before: usize = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let query = "subscription { payments { seq time status } }";
    for message in [
        json!({ "type": "connection_init" }),
        json!({ "id": "1", "type": "subscribe", "payload": { "query": query } }),
    ] {
        socket.send(Message::text(message.to_string())).await?;
    }
    let (mut took, mut last_seq, mut seen, mut first_ns) = (Vec::new(), 0, 0, 0);
    while took.len() < counted {
        let message = socket.next().await.ok_or("the server closed the connection")??;
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text)?;
        let payment = &message["payload"]["data"]["payments"];
        let (Some(seq), Some(time)) = (payment["seq"].as_str(), payment["time"].as_str()) else {
            continue;
        };
        let (seq, now_ns) = (seq.parse::<u64>()?, now_of_day_ns()?);
        if seq <= last_seq {
            return Err(format!("{seq} came after {last_seq}").into());
        }
        (last_seq, seen) = (seq, seen + 1);
        if seen <= before {
            first_ns = now_ns;
            continue;
        }
        let decided_ns = of_day_ns(time).ok_or_else(|| format!("{time:?} is no time"))?;
        took.push(Duration::from_nanos((now_ns + DAY_NS - decided_ns) % DAY_NS));
    }
    let span_ns = (now_of_day_ns()? + DAY_NS - first_ns) % DAY_NS;
    let rate = counted as f64 / Duration::from_nanos(span_ns).as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| took[((counted - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{counted} messages, {rate:.0} a second");
    println!(
        "from the decision to the message: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, most {:.1} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}

fn now_of_day_ns() -> Result<u64, Box<dyn Error>> {
    Ok((SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() % u128::from(DAY_NS)) as u64)
}

/// The time of day of an RFC 3339 time in UTC.
fn of_day_ns(text: &str) -> Option<u64> {
    let clock = text.split_once('T')?.1.strip_suffix('Z')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    let nanoseconds = format!("{fraction:0<9}").parse::<u64>().ok()?;
    Some(seconds * 1_000_000_000 + nanoseconds)
}
