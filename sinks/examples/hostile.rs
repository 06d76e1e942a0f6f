//! Measures how long hostile queries take to refuse: consumes the worst queries that are known,
//! produces a table. Each is sent over HTTP to a server with an empty store.
//!
//! `cargo run --release -p millrace-sinks --example hostile`

use std::{error::Error, net::SocketAddr, sync::Arc, time::Instant};

use millrace_sinks::{
    GraphqlConfig, GraphqlSink,
    graphql::{LimitsConfig, Services, serve},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const ROUNDS: usize = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = env_dir();
    // What the limit on bytes would refuse at once is let through to those behind it.
    let limits = LimitsConfig { request_bytes: 4 << 20, ..LimitsConfig::default() };
    let config = GraphqlConfig { limits, ..GraphqlConfig::default() };
    let (_sink, store) = GraphqlSink::open(&dir, &config)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let services = Services::new(Arc::new(store));
    tokio::spawn(async move { serve(listener, services, &config, std::future::pending()).await });
    println!("{:<44} {:>9} {:>9} {:>9}  code", "query", "KiB", "p50 ms", "most ms");
    for (name, query) in hostile() {
        let body = json!({ "query": query }).to_string();
        let (mut took, mut code) = (Vec::new(), Value::Null);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let answer = post(address, &body).await?;
            took.push(started.elapsed().as_secs_f64() * 1e3);
            code = answer["errors"][0]["extensions"]["code"].clone();
        }
        took.sort_by(f64::total_cmp);
        let (kib, most) = (body.len() / 1_024, took[ROUNDS - 1]);
        println!("{name:<44} {kib:>9} {:>9.2} {most:>9.2}  {code}", took[ROUNDS / 2]);
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn env_dir() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("millrace-hostile-{}", std::process::id()))
}

fn hostile() -> Vec<(&'static str, String)> {
    let id = "00000000-0000-0000-0000-000000000077";
    let of_payment = |inner: &str| format!("{{ payment(id: \"{id}\") {{ {inner} }} }}");
    let deep = "original { ".repeat(1_000) + "id" + &"}".repeat(1_000);
    let aliases = |count: usize, field: &str| -> String {
        (0..count).map(|number| format!("a{number}: {field} ")).collect()
    };
    let doubled: String = (0..90)
        .map(|n| format!("fragment F{n} on Payment {{ ...F{0} ...F{0} }} ", n + 1))
        .collect();
    let cycle: String =
        (0..90).map(|n| format!("fragment F{n} on Payment {{ ...F{} }} ", (n + 1) % 90)).collect();
    let list = vec!["1"; 100_000].join(",");
    let pages = "payments(first: 200) { nodes { debitAccount { ".repeat(3) + "id" + &"} ".repeat(9);
    let variables: String = (0..100_000).map(|number| format!("$a{number}: Int ")).collect();
    let by_id = format!("payment(id: \"{id}\") {{ id }}");
    let lists = "[".repeat(1_000) + &"]".repeat(1_000);
    let directives = "@a ".repeat(1 << 18);
    let last = "fragment F90 on Payment { id }";
    vec![
        ("depth 1,000", of_payment(&deep)),
        ("depth 1,000 of lists", format!("{{ a(b: {lists}) }}")),
        ("10,000 aliases of a field", of_payment(&aliases(10_000, "id"))),
        ("10,000 aliases of a look-up", format!("{{ {} }}", aliases(10_000, &by_id))),
        ("10,000 fields, the same", of_payment(&"id ".repeat(10_000))),
        ("a cycle of 90 fragments", of_payment("...F0") + &cycle),
        ("90 fragments, each twice in the one before", of_payment("...F0") + &doubled + last),
        ("a list of 100,000", format!("{{ payments(first: [{list}]) {{ nodes {{ id }} }} }}")),
        ("pages of pages of pages", format!("{{ {pages} }}")),
        ("a name of 1 MiB", format!("{{ {} }}", "x".repeat(1 << 20))),
        ("1 MiB of opening brackets", "{".repeat(1 << 20)),
        ("256 Ki directives", format!("{{ payments {directives} {{ nodes {{ id }} }} }}")),
        ("100,000 variables", format!("query({variables}) {{ status {{ appliedSeq }} }}")),
    ]
}

async fn post(address: SocketAddr, body: &str) -> Result<Value, Box<dyn Error>> {
    let mut connection = TcpStream::connect(address).await?;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok(serde_json::from_str(body)?)
}
