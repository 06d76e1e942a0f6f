//! Drive: consumes settings, runs a durable engine in this process under load, produces a report.
//!
//! Clients are tasks on the calling thread, each with one request under way: they send the next one
//! when they have the answer to the last. Guarantees that a run with a payment that was not
//! accepted, or with one that is not in the journal at the end, yields an error and no figures.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use millrace_engine::{Command, Engine, EngineConfig, PaymentReply, Submitter, UpkeepStats};
use millrace_ledger::ApproveAll;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    report::{Phase, Recovered, Report, Tally},
    session::{JournalDirectory, ask, open_accounts, unix_ms},
    usage::{Resident, Usage},
    workload::{Mix, Source, Workload},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who pays whom.
    pub workload: Workload,
    /// Accounts to open and pay between, at least two.
    pub accounts: u32,
    /// Payments in a request.
    pub batch: u32,
    /// Requests under way at once, at most [`crate::workload::CLIENTS_MAX`].
    pub clients: u32,
    /// Payments to measure.
    pub payments: u64,
    /// Payments before that, which are not measured.
    pub warmup: u64,
    /// Measure no longer than this, and warm up no longer than a tenth of it.
    pub time_max: Option<Duration>,
    /// The same seed makes the same payments, but for the times in their ids.
    pub seed: u64,
    /// A hold is captured so many payments of its client later, at the earliest.
    pub capture_after: u32,
    /// Tell the progress each time so many payments are measured.
    pub every: Option<u64>,
    /// Shards of the ledger; what the engine thinks fit if `None`.
    pub shards: Option<usize>,
    /// Mebibytes of journal between two snapshots; the engine's default if `None`.
    pub snapshot_mib: Option<u64>,
    /// Mebibytes of a snapshot written in a second, 0 for no limit; the engine's default if `None`.
    pub snapshot_mib_per_s: Option<u64>,
    /// Start the engine again on the journal of the run, and measure that.
    pub recover: bool,
    /// The journal's directory, new or empty, which is kept; a temporary one if `None`.
    pub dir: Option<PathBuf>,
}

/// How the engine under measurement is set up. THE ONE PLACE to hand settings of the engine
/// through.
fn engine_config(directory: &Path, settings: &Settings) -> EngineConfig {
    let defaults = EngineConfig::new(directory);
    let snapshot_pace = settings.snapshot_mib_per_s.map(|mib| mib << 20);
    EngineConfig {
        shards: settings.shards.unwrap_or(defaults.shards),
        snapshot_bytes_per_s: snapshot_pace.unwrap_or(defaults.snapshot_bytes_per_s),
        snapshot_bytes: settings.snapshot_mib.map_or(defaults.snapshot_bytes, |mib| mib << 20),
        ..defaults
    }
}

/// Runs the engine under load.
///
/// # Errors
/// When the journal can't be written, or a payment was not accepted; for whoever called the binary.
pub fn run(settings: &Settings) -> Result<Report, String> {
    let directory = JournalDirectory::make(settings.dir.as_deref())?;
    let config = engine_config(directory.path(), settings);
    let (engine, _) = Engine::start(&config, &ApproveAll).map_err(|error| error.to_string())?;
    // As cheap as one worker thread and, with small requests, cheaper than two; and the time of
    // this thread is the clients' share of the CPU.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("can't start the clients: {error}"))?;
    let driven = runtime.block_on(drive(settings, &engine));
    let feed = engine.feed();
    // An engine that stopped by itself knows why; its clients only know that it did.
    engine.stop().map_err(|error| error.to_string())?;
    let measured = driven?;
    let paid = measured.warmup + measured.tally.payments();
    let expected = u64::from(settings.accounts) + paid;
    let durable = feed.durable_seq().0;
    if durable != expected {
        return Err(format!("{durable} events are durable at the end, {expected} were answered"));
    }
    drop(feed);
    let recovered = settings.recover.then(|| recover(&config, expected)).transpose()?;
    Ok(Report { settings: settings.clone(), measured, recovered })
}

/// Starts an engine on the journal that another one left, and stops it.
fn recover(config: &EngineConfig, last_seq: u64) -> Result<Recovered, String> {
    let start = Instant::now();
    let (engine, recovery) =
        Engine::start(config, &ApproveAll).map_err(|error| error.to_string())?;
    let took = start.elapsed();
    engine.stop().map_err(|error| error.to_string())?;
    if recovery.last_seq.0 != last_seq {
        let found = recovery.last_seq.0;
        return Err(format!("{found} events are there after a restart, {last_seq} were before"));
    }
    let in_snapshot = recovery.snapshot.map_or(0, |seq| seq.0);
    Ok(Recovered { took, in_snapshot, after_it: last_seq - in_snapshot })
}

/// Opens the accounts, warms up, measures.
async fn drive(settings: &Settings, engine: &Engine) -> Result<Phase, String> {
    let submitter = &engine.submitter();
    open_accounts(submitter, settings.accounts).await?;
    let Settings { workload, accounts, capture_after, seed, .. } = *settings;
    let mix = Arc::new(Mix::new(workload, accounts, capture_after, seed));
    let new_client = |number| Client {
        source: Source::new(mix.clone(), number),
        submitter: submitter.clone(),
        upkeep: engine.stats(),
        batch: settings.batch,
    };
    let clients = (0..settings.clients).map(new_client).collect();
    let tally = Tally::new(settings.warmup, None);
    let (clients, warm) = send_all(clients, tally, settings.time_max.map(|it| it / 10)).await?;
    let batches_before = engine.counted().batches();
    let (before, start) = (Usage::now(), Instant::now());
    let tally = Tally::new(settings.payments, settings.every);
    let (_, tally) = send_all(clients, tally, settings.time_max).await?;
    let (elapsed, usage) = (start.elapsed(), Usage::now().since(&before));
    let batches = engine.counted().batches() - batches_before;
    let (warmup, upkeep) = (warm.payments(), engine.stats());
    Ok(Phase { warmup, batches, tally, elapsed, usage, resident: Resident::now(), upkeep })
}

/// Lets the clients send until nothing is left or the time is over, and returns when all is answered.
async fn send_all(
    clients: Vec<Client>,
    tally: Tally,
    time_max: Option<Duration>,
) -> Result<(Vec<Client>, Tally), String> {
    let tally = Arc::new(Mutex::new(tally));
    let end = time_max.map(|time_max| Instant::now() + time_max);
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(client.send(tally.clone(), end));
    }
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client.map_err(|error| format!("a client failed: {error}"))??);
    }
    let tally = std::mem::take(&mut *lock(&tally));
    tally.complaint().map_or(Ok((clients, tally)), Err)
}

/// One request at a time.
struct Client {
    source: Source,
    submitter: Submitter,
    upkeep: UpkeepStats,
    batch: u32,
}

impl Client {
    /// How many snapshots were taken so far, and whether one is under way.
    fn snapshots_seen(&self) -> (u64, bool) {
        (self.upkeep.snapshots(), self.upkeep.snapshot_is_under_way())
    }

    /// Sends requests until nothing is left to send.
    async fn send(
        mut self,
        tally: Arc<Mutex<Tally>>,
        end: Option<Instant>,
    ) -> Result<Self, String> {
        loop {
            if end.is_some_and(|end| end <= Instant::now()) {
                lock(&tally).end();
            }
            let count = lock(&tally).take(self.batch);
            if count == 0 {
                return Ok(self);
            }
            let payments = self.source.request(count, unix_ms());
            let (reply, answer) = oneshot::channel();
            let command = Command::Payments { payments, contexts: Vec::new(), reply };
            let (submitted, snapshots) = (Instant::now(), self.snapshots_seen());
            let replies: Vec<PaymentReply> = ask(&self.submitter, command, answer).await?;
            let (latency, snapshots_then) = (submitted.elapsed(), self.snapshots_seen());
            // A short one may have been begun and finished in between.
            let beside_snapshot = snapshots.1 || snapshots != snapshots_then;
            lock(&tally).add(latency, beside_snapshot, &replies);
        }
    }
}

/// Nothing is left half done in a tally, so one whose holder panicked is as good as any.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
