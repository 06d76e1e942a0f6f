//! Measures how many events a second each sink takes: consumes made-up payments, produces a table. The
//! embedded ones on one core, or the read model in PostgreSQL.
//!
//! ```text
//! rates embedded [PAYMENTS [ACCOUNTS [DIRECTORY]]]
//! rates postgres [PAYMENTS [ACCOUNTS [EVENTS PER APPLY [EVENTS PER TRANSACTION [URL]]]]]
//! ```
//!
//! By default a million payments, 10,000 accounts, the system's directory for temporary files; events
//! as the runner and the settings have it; and a server of its own on a free port. The database that a
//! URL names must be empty.
//!
//! `cargo run --release -p millrace-postgres --example rates -- postgres 1000000 1000000`

mod bank;
mod embedded;
mod postgres;

use std::{env, error::Error, path::PathBuf, time::Duration};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let which = arguments.next();
    let payments = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let accounts = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let third = arguments.next();
    match which.as_deref() {
        Some("embedded") => {
            let dir = third.map_or_else(env::temp_dir, PathBuf::from);
            embedded::run(payments, accounts, &dir)
        }
        Some("postgres") => {
            let apply_events = third.map(|text| text.parse()).transpose()?;
            let transaction_events = arguments.next().map(|text| text.parse()).transpose()?;
            let url = arguments.next();
            postgres::run(payments, accounts, apply_events, transaction_events, url)
        }
        _ => Err("say which: embedded or postgres".into()),
    }
}

/// Processor time of all threads of this process; a server is another one.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
