//! Drive: consumes a schedule, sends each request when it is due, produces the measurements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use millrace_protos::v1::{SubmitPaymentsRequest, payment_service_client::PaymentServiceClient};
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

/// When requests are due.
#[derive(Debug)]
struct Schedule {
    start: Instant,
    measure_from: Instant,
    end: Instant,
    /// Time between requests; `None` sends the next one when a client is free.
    interval: Option<Duration>,
    taken: AtomicU64,
}

impl Schedule {
    fn new(args: &RunArgs) -> Self {
        let start = Instant::now();
        let measure_from = start + args.warmup;
        let interval = match args.rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(Duration::from_secs_f64(f64::from(args.batch) / rate)),
        };
        let end = measure_from + args.duration;
        Self { start, measure_from, end, interval, taken: AtomicU64::new(0) }
    }

    /// When the next request is due; `None` when the run is over.
    fn take_due(&self) -> Option<Instant> {
        let due = match self.interval {
            None => Instant::now(),
            Some(interval) => {
                let place = self.taken.fetch_add(1, Ordering::Relaxed);
                self.start + Duration::from_secs_f64(interval.as_secs_f64() * place as f64)
            }
        };
        let given_up = Instant::now() > self.end + CATCH_UP_MAX;
        (due < self.end && !given_up).then_some(due)
    }

    /// Requests that were due and never sent.
    fn unsent(&self) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let due = ((self.end - self.start).as_secs_f64() / interval.as_secs_f64()).ceil() as u64;
        due.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

/// Opens accounts, runs the load, and reports.
pub(crate) async fn run(args: &RunArgs) -> Result<Report, String> {
    let channels = connect(args).await?;
    eprintln!("opening and funding {} accounts", args.accounts);
    accounts::open(&channels[0], args.accounts).await.map_err(|status| say(&status))?;
    eprintln!("sending for {:?} after a warm-up of {:?}", args.duration, args.warmup);
    let schedule = Arc::new(Schedule::new(args));
    let run = unix_ms();
    let clients: Vec<_> = (0..args.clients)
        .map(|client| {
            let channel = channels[client as usize % channels.len()].clone();
            let source = PaymentSource::new(args, run, client);
            tokio::spawn(drive_client(channel, source, args.batch, schedule.clone()))
        })
        .collect();
    let mut total = Measured::new();
    for client in clients {
        total.add(&client.await.map_err(|error| format!("a client failed: {error}"))?);
    }
    Ok(Report::new(args, total, schedule.unsent()))
}

async fn drive_client(
    channel: Channel,
    mut source: PaymentSource,
    batch: u32,
    schedule: Arc<Schedule>,
) -> Measured {
    let mut client = PaymentServiceClient::new(channel).max_decoding_message_size(RESPONSE_MAX);
    let mut measured = Measured::new();
    while let Some(due) = schedule.take_due() {
        tokio::time::sleep_until(due.into()).await;
        let request = SubmitPaymentsRequest { payments: source.batch(batch) };
        let response = client.submit_payments(request).await;
        let now = Instant::now();
        match response {
            Ok(response) if due >= schedule.measure_from => {
                measured.add_latency(now - due);
                if now <= schedule.end {
                    measured.add_answer(&response.into_inner().outcomes);
                }
            }
            Ok(_) => {}
            Err(status) => measured.add_error(&status),
        }
    }
    measured
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
