//! Drive: consumes a schedule, sends each request when it is due, produces the measurements.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use millrace_protos::v1::{SubmitPaymentsRequest, payment_service_client::PaymentServiceClient};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};
use tonic::transport::{Channel, Endpoint};

use crate::{
    Rate, RunArgs, accounts,
    payments::{PaymentSource, unix_ms},
    report::{Measured, Report},
};

/// Message size that the largest response needs.
const RESPONSE_MAX: usize = 16 << 20;
/// How long after its end a run that fell behind its schedule still sends what was due.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// A client that got an error waits so long, or a server that is gone would be called in vain as
/// fast as the machine can.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// The span that is measured.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    to: Instant,
}

/// One request at a time, and what came of all of them.
struct Client {
    service: PaymentServiceClient<Channel>,
    source: PaymentSource,
    batch: u32,
    measured: Measured,
}

impl Client {
    fn new(args: &RunArgs, channel: Channel, run: u64, number: u32) -> Self {
        Self {
            service: PaymentServiceClient::new(channel).max_decoding_message_size(RESPONSE_MAX),
            source: PaymentSource::new(args, run, number),
            batch: args.batch,
            measured: Measured::new(),
        }
    }

    /// Sends the request that was due at `due`, and waits for its answer.
    async fn send(&mut self, due: Instant, span: Span) {
        let request = SubmitPaymentsRequest { payments: self.source.batch(self.batch) };
        let response = self.service.submit_payments(request).await;
        let now = Instant::now();
        match response {
            Ok(response) if due >= span.from => {
                self.measured.add_latency(now - due);
                if now <= span.to {
                    self.measured.add_answer(&response.into_inner().outcomes);
                }
            }
            Ok(_) => {}
            Err(status) => {
                self.measured.add_error(&status);
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// Opens accounts, runs the load, and reports.
pub(crate) async fn run(args: &RunArgs) -> Result<Report, String> {
    let channels = connect(args).await?;
    eprintln!("opening and funding {} accounts", args.accounts);
    accounts::open(&channels[0], args.accounts).await.map_err(|status| say(&status))?;
    eprintln!("sending for {:?} after a warm-up of {:?}", args.duration, args.warmup);
    let run = unix_ms();
    let clients = (0..args.clients).map(|number| {
        let channel = channels[number as usize % channels.len()].clone();
        Client::new(args, channel, run, number)
    });
    let clients: Vec<Client> = clients.collect();
    let from = Instant::now() + args.warmup;
    let span = Span { from, to: from + args.duration };
    let (clients, unsent) = match args.rate {
        Rate::Max => (closed_loop(clients, span).await?, 0),
        Rate::PerSecond(rate) => {
            let interval = Duration::from_secs_f64(f64::from(args.batch) / rate);
            open_loop(clients, span, args.warmup, interval).await?
        }
    };
    let mut total = Measured::new();
    clients.iter().for_each(|client| total.add(&client.measured));
    Ok(Report::new(args, total, unsent))
}

/// Each client sends its next request when it has the answer to the last one.
async fn closed_loop(clients: Vec<Client>, span: Span) -> Result<Vec<Client>, String> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            loop {
                let now = Instant::now();
                if now >= span.to {
                    return client;
                }
                client.send(now, span).await;
            }
        });
    }
    let mut done = Vec::new();
    while let Some(client) = tasks.join_next().await {
        done.push(client.map_err(|error| format!("a client failed: {error}"))?);
    }
    Ok(done)
}

/// Requests come when they are due. One that finds all clients busy waits for one, and its waiting
/// counts. Returns the requests that were due and never sent, too.
async fn open_loop(
    clients: Vec<Client>,
    span: Span,
    warmup: Duration,
    interval: Duration,
) -> Result<(Vec<Client>, u64), String> {
    let count = clients.len();
    let free = Arc::new(Semaphore::new(count));
    let pool = Arc::new(Mutex::new(clients));
    let start = span.from - warmup;
    let (paced_free, paced_pool, runtime) = (free.clone(), pool.clone(), Handle::current());
    // The runtime's timers tick once a millisecond; a thread's sleep is finer.
    let pacing = thread::spawn(move || {
        for place in 0_u32.. {
            let due = start + interval.mul_f64(f64::from(place));
            let now = Instant::now();
            if due >= span.to {
                return 0;
            }
            if now > span.to + CATCH_UP_MAX {
                let left = (span.to - due).as_secs_f64() / interval.as_secs_f64();
                return left.ceil() as u64;
            }
            thread::sleep(due.saturating_duration_since(now));
            runtime.spawn(send_when_free(paced_free.clone(), paced_pool.clone(), due, span));
        }
        0
    });
    let unsent = tokio::task::spawn_blocking(move || pacing.join());
    let unsent = unsent.await.map_err(|error| error.to_string())?;
    let unsent = unsent.map_err(|_| "the pacing thread failed".to_owned())?;
    // Whoever holds a permit has a client; with all permits back, all clients are.
    let all = tokio::time::timeout(CATCH_UP_MAX * 2, free.acquire_many(count as u32)).await;
    let queued = if all.is_err() { free.available_permits() as u64 } else { 0 };
    let clients = std::mem::take(&mut *pool.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((clients, unsent + queued))
}

async fn send_when_free(
    free: Arc<Semaphore>,
    pool: Arc<Mutex<Vec<Client>>>,
    due: Instant,
    span: Span,
) {
    let Ok(_permit) = free.acquire().await else { return };
    let taken = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let Some(mut client) = taken else { return };
    client.send(due, span).await;
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(client);
}

async fn connect(args: &RunArgs) -> Result<Vec<Channel>, String> {
    let endpoint = Endpoint::from_shared(args.target.clone())
        .map_err(|error| format!("--target {:?} is no URL: {error}", args.target))?
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    let mut channels = Vec::new();
    for _ in 0..args.connections {
        channels.push(endpoint.connect().await.map_err(|error| {
            format!(
                "nothing answers at {} ({error}); start `millrace serve` first, or name its \
                 address with --target",
                args.target
            )
        })?);
    }
    Ok(channels)
}

fn say(status: &tonic::Status) -> String {
    format!("the server refused: {:?}: {}", status.code(), status.message())
}
