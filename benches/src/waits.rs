//! Waits: consumes a scene in which much is to be done, produces how long payments wait beside it.
//!
//! A payer pays one payment after the other, with a rest between, and its waits are counted from submit to
//! durable answer. Guarantees that a scene that did not come about yields an error and no figures.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use millrace_engine::{Command, Engine, EngineConfig, PaymentReadError, PaymentReply, Submitter};
use millrace_ledger::{
    Amount, ApproveAll, Code, Operation, Payment, PaymentId, PaymentView, Status,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    LEDGER, Numbers, account_id,
    session::{JournalDirectory, ask, open_accounts, unix_ms},
};

/// What payments wait beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scene {
    /// Holds that all came due while the engine was stopped
    OverdueHolds,
    /// Holds for one second, made as fast as they can be, so that they come due as fast
    DueHolds,
    /// Readers of payments that are on disk only
    OldReads,
    /// Clients that refund payments that are on disk only, a hundred to a request
    OldRefunds,
}

/// How large the scene is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What payments wait beside.
    pub scene: Scene,
    /// Holds that are overdue, or payments on disk.
    pub count: u32,
    /// Readers, or clients that make holds.
    pub clients: u32,
    /// How long the scene lasts where it does not end by itself.
    pub duration: Duration,
    /// Payments after which a generation goes to disk.
    pub generation: u32,
}

const ACCOUNTS: u32 = 10_000;
/// Payments in a request that prepares the scene.
const REQUEST: u32 = 8_000;
/// Requests under way at once that prepare it.
const PREPARING: u32 = 8;
/// Between two payments of the payer.
const REST: Duration = Duration::from_millis(2);
/// How often it is looked how far the journal's time is behind.
const LOOK: Duration = Duration::from_millis(5);
/// In a request.
const REFUNDS: usize = 100;
/// Longer waits count as this: an hour.
const WAIT_MAX_US: u64 = 3_600_000_000;
/// Generations that stay in memory, at most: the payments that are read are older.
const GENERATIONS_IN_MEMORY: u32 = 4;

/// Runs a scene. One JSON object: its settings and what came of it.
///
/// # Errors
/// When the journal can't be written, or the scene did not come about.
pub fn run(settings: &Settings) -> Result<Value, String> {
    let directory = JournalDirectory::make(None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("can't start the clients: {error}"))?;
    let path = directory.path();
    match settings.scene {
        Scene::OverdueHolds => runtime.block_on(overdue_holds(path, settings)),
        Scene::DueHolds => runtime.block_on(due_holds(path, settings)),
        Scene::OldReads => runtime.block_on(old_reads(path, settings)),
        Scene::OldRefunds => runtime.block_on(old_refunds(path, settings)),
    }
}

fn start(directory: &Path, settings: &Settings) -> Result<Engine, String> {
    let generation_payments_max = settings.generation;
    let config = EngineConfig { generation_payments_max, ..EngineConfig::new(directory) };
    let (engine, _) = Engine::start(&config, &ApproveAll).map_err(|error| error.to_string())?;
    Ok(engine)
}

fn stop(engine: Engine) -> Result<(), String> {
    engine.stop().map_err(|error| error.to_string())
}

/// Makes payments whose ids are in time, each once.
#[derive(Clone, Debug)]
struct Payer {
    submitter: Submitter,
    made: Arc<AtomicU64>,
    /// Seconds that a hold is open; `None` pays.
    hold_s: Option<u32>,
}

impl Payer {
    fn new(engine: &Engine, hold_s: Option<u32>) -> Self {
        Self { submitter: engine.submitter(), made: Arc::default(), hold_s }
    }

    fn payment(&self) -> Payment {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let mut numbers = Numbers(made);
        let debit = numbers.draw_below(ACCOUNTS);
        let credit = (debit + 1 + numbers.draw_below(ACCOUNTS - 1)) % ACCOUNTS;
        let (operation, timeout_s) = match self.hold_s {
            Some(timeout_s) => (Operation::Authorize, timeout_s),
            None => (Operation::Pay, 0),
        };
        Payment {
            id: PaymentId(u128::from(unix_ms()) << 80 | 7 << 76 | 2 << 62 | u128::from(made)),
            debit: account_id(debit),
            credit: account_id(credit),
            amount: Amount(1),
            ledger: LEDGER,
            code: Code(1),
            operation,
            timeout_s,
            ..Payment::default()
        }
    }

    /// Pays back a payment.
    fn refund(&self, original: PaymentId) -> Payment {
        let Payment { id, amount, .. } = self.payment();
        Payment { id, original, amount, operation: Operation::Refund, ..Payment::default() }
    }

    /// Sends so many payments and returns their ids.
    async fn pay(&self, count: u32) -> Result<Vec<PaymentId>, String> {
        self.send((0..count).map(|_| self.payment()).collect()).await
    }

    /// Sends these payments and returns their ids.
    async fn send(&self, payments: Vec<Payment>) -> Result<Vec<PaymentId>, String> {
        let ids = payments.iter().map(|payment| payment.id).collect();
        let (reply, answer) = oneshot::channel();
        let command = Command::Payments { payments, contexts: Vec::new(), reply };
        let replies: Vec<PaymentReply> = ask(&self.submitter, command, answer).await?;
        let refused =
            |reply: &&PaymentReply| !matches!(reply.outcome.status, Status::Settled | Status::Held);
        match replies.iter().find(refused) {
            Some(refused) => Err(format!("{:?} was not accepted: {refused:?}", refused.id)),
            None => Ok(ids),
        }
    }

    /// Sends about so many payments, several requests at once. Returns the ids of all.
    async fn pay_many(&self, count: u32) -> Result<Vec<PaymentId>, String> {
        let requests_left = Arc::new(AtomicU64::new(u64::from(count.div_ceil(REQUEST))));
        let mut clients = JoinSet::new();
        for _ in 0..PREPARING {
            let (payer, requests_left) = (self.clone(), requests_left.clone());
            clients.spawn(async move {
                let mut ids = Vec::new();
                let less = |left: u64| left.checked_sub(1);
                let order = Ordering::Relaxed;
                while requests_left.fetch_update(order, order, less).is_ok() {
                    ids.extend(payer.pay(REQUEST).await?);
                }
                Ok::<_, String>(ids)
            });
        }
        let mut ids = Vec::new();
        while let Some(client) = clients.join_next().await {
            ids.extend(client.map_err(|error| format!("a client failed: {error}"))??);
        }
        Ok(ids)
    }
}

/// Waits, in microseconds.
struct Waits(Histogram<u64>);

impl Waits {
    fn new() -> Self {
        Self(Histogram::new_with_max(WAIT_MAX_US, 3).expect("three digits can be kept"))
    }

    async fn count<T>(
        &mut self,
        wait: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let started = Instant::now();
        let done = wait.await?;
        self.0.saturating_record(started.elapsed().as_micros() as u64);
        Ok(done)
    }

    fn to_json(&self) -> Value {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        json!({
            "count": self.0.len(),
            "mean_ms": (self.0.mean()).round() / 1_000.0,
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
            "max_ms": ms(self.0.max()),
        })
    }
}

/// Holds are made, the engine is stopped until all of them are overdue, and a payer begins as it starts
/// again.
async fn overdue_holds(directory: &Path, settings: &Settings) -> Result<Value, String> {
    let engine = start(directory, settings)?;
    open_accounts(&engine.submitter(), ACCOUNTS).await?;
    // Long enough that none expires before the last of them is made.
    let hold_s = 5 + settings.count / 200_000;
    let holder = Payer::new(&engine, Some(hold_s));
    let began = Instant::now();
    let made = holder.pay_many(settings.count).await?.len();
    if began.elapsed() > Duration::from_secs(hold_s.into()) {
        return Err(format!("{made} holds took longer to make than the {hold_s} s they are open"));
    }
    let before = engine.feed().durable_seq().0;
    stop(engine)?;
    tokio::time::sleep(Duration::from_secs(u64::from(hold_s) + 1)).await;
    let engine = start(directory, settings)?;
    let payer = Payer { made: holder.made, ..Payer::new(&engine, None) };
    let (mut waits, started) = (Waits::new(), Instant::now());
    let mut paid = 0;
    // Each hold that expires is an event, and so is each payment.
    while engine.feed().durable_seq().0 < before + made as u64 + paid {
        waits.count(payer.pay(1)).await?;
        paid += 1;
        tokio::time::sleep(REST).await;
    }
    let released_s = started.elapsed().as_secs_f64();
    stop(engine)?;
    Ok(
        json!({ "scene": "overdue-holds", "holds": made, "released_s": released_s, "waits": waits.to_json() }),
    )
}

/// Clients make holds for a second; how far the journal's time falls behind is looked at meanwhile.
async fn due_holds(directory: &Path, settings: &Settings) -> Result<Value, String> {
    let engine = start(directory, settings)?;
    open_accounts(&engine.submitter(), ACCOUNTS).await?;
    let (holder, end) = (Payer::new(&engine, Some(1)), Instant::now() + settings.duration);
    let mut clients = JoinSet::new();
    for _ in 0..settings.clients {
        let holder = holder.clone();
        clients.spawn(async move {
            let (mut waits, mut made) = (Waits::new(), 0);
            while Instant::now() < end {
                made += waits.count(holder.pay(REQUEST)).await?.len();
            }
            Ok::<_, String>((waits, made))
        });
    }
    let mut behind_max = Duration::ZERO;
    while Instant::now() < end {
        behind_max = behind_max.max(engine.counted().time_behind());
        tokio::time::sleep(LOOK).await;
    }
    let (mut waits, mut made) = (Waits::new(), 0);
    while let Some(client) = clients.join_next().await {
        let (of_client, made_by_client) =
            client.map_err(|error| format!("a client failed: {error}"))??;
        waits.0 += &of_client.0;
        made += made_by_client;
    }
    stop(engine)?;
    Ok(json!({
        "scene": "due-holds",
        "holds": made,
        "request": REQUEST,
        "clients": settings.clients,
        "seconds": settings.duration.as_secs_f64(),
        "time_behind_max_ms": behind_max.as_secs_f64() * 1_000.0,
        "requests": waits.to_json(),
    }))
}

/// Readers ask for payments that left memory, and a payer pays beside them; before that, it pays alone.
async fn old_reads(directory: &Path, settings: &Settings) -> Result<Value, String> {
    let engine = start(directory, settings)?;
    open_accounts(&engine.submitter(), ACCOUNTS).await?;
    let payer = Payer::new(&engine, None);
    let ids: Arc<Vec<PaymentId>> = Arc::new(payer.pay_many(settings.count).await?);
    payer.pay_many(GENERATIONS_IN_MEMORY * settings.generation).await?;
    let alone = pay_for(&payer, settings.duration).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for number in 0..settings.clients {
        let (submitter, ids, is_over) = (engine.submitter(), ids.clone(), is_over.clone());
        readers.spawn(async move {
            let (mut waits, mut numbers) = (Waits::new(), Numbers(number.into()));
            while !is_over.load(Ordering::Relaxed) {
                let id = ids[numbers.draw_below(ids.len() as u32) as usize];
                let view = waits.count(read(&submitter, id)).await?;
                if view.is_none_or(|view| view.payment.id != id) {
                    return Err(format!("{id:?} was paid and is not found"));
                }
            }
            Ok(waits)
        });
    }
    let beside = pay_for(&payer, settings.duration).await?;
    is_over.store(true, Ordering::Relaxed);
    let reads = all_of(readers).await?;
    stop(engine)?;
    Ok(json!({
        "scene": "old-reads",
        "payments_on_disk": ids.len(),
        "readers": settings.clients,
        "seconds": settings.duration.as_secs_f64(),
        "reads": reads.to_json(),
        "waits": beside.to_json(),
        "waits_alone": alone.to_json(),
    }))
}

/// Clients refund payments that left memory, each once, and a payer pays beside them; before that, it pays
/// alone.
async fn old_refunds(directory: &Path, settings: &Settings) -> Result<Value, String> {
    let engine = start(directory, settings)?;
    open_accounts(&engine.submitter(), ACCOUNTS).await?;
    let payer = Payer::new(&engine, None);
    let mut ids = payer.pay_many(settings.count).await?;
    payer.pay_many(GENERATIONS_IN_MEMORY * settings.generation).await?;
    let mut numbers = Numbers(1);
    for place in (1..ids.len()).rev() {
        ids.swap(place, numbers.draw_below(place as u32 + 1) as usize);
    }
    let alone = pay_for(&payer, settings.duration).await?;
    let (ids, next) = (Arc::new(ids), Arc::new(AtomicUsize::new(0)));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..settings.clients {
        let (payer, ids, next) = (payer.clone(), ids.clone(), next.clone());
        let is_over = is_over.clone();
        clients.spawn(async move {
            let mut waits = Waits::new();
            while !is_over.load(Ordering::Relaxed) {
                let first = next.fetch_add(REFUNDS, Ordering::Relaxed);
                let Some(originals) = ids.get(first..first + REFUNDS) else { break };
                let refunds = originals.iter().map(|original| payer.refund(*original)).collect();
                waits.count(payer.send(refunds)).await?;
            }
            Ok::<_, String>(waits)
        });
    }
    let beside = pay_for(&payer, settings.duration).await?;
    is_over.store(true, Ordering::Relaxed);
    let refunds = all_of(clients).await?;
    stop(engine)?;
    Ok(json!({
        "scene": "old-refunds",
        "payments_on_disk": ids.len(),
        "clients": settings.clients,
        "refunds_per_request": REFUNDS,
        "seconds": settings.duration.as_secs_f64(),
        "requests": refunds.to_json(),
        "waits": beside.to_json(),
        "waits_alone": alone.to_json(),
    }))
}

/// The waits of all of them, when they have ended.
async fn all_of(mut clients: JoinSet<Result<Waits, String>>) -> Result<Waits, String> {
    let mut all = Waits::new();
    while let Some(client) = clients.join_next().await {
        let of_client = client.map_err(|error| format!("a client failed: {error}"))??;
        all.0 += &of_client.0;
    }
    Ok(all)
}

async fn read(submitter: &Submitter, id: PaymentId) -> Result<Option<PaymentView>, String> {
    let (reply, answer) = oneshot::channel();
    let command = Command::GetPayment { id, reply };
    let view: Result<_, PaymentReadError> = ask(submitter, command, answer).await?;
    view.map_err(|error| error.to_string())
}

/// Pays one by one.
async fn pay_for(payer: &Payer, duration: Duration) -> Result<Waits, String> {
    let (mut waits, end) = (Waits::new(), Instant::now() + duration);
    while Instant::now() < end {
        waits.count(payer.pay(1)).await?;
        tokio::time::sleep(REST).await;
    }
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scene: Scene, count: u32) -> Value {
        let duration = Duration::from_millis(1_500);
        run(&Settings { scene, count, clients: 2, duration, generation: 10_000 })
            .expect("the scene comes about")
    }

    #[test]
    fn every_scene_comes_about() {
        let overdue = told(Scene::OverdueHolds, 16_000);
        assert_eq!(overdue["holds"], 16_000);
        assert!(overdue["waits"]["count"].as_u64() > Some(0), "{overdue}");
        let due = told(Scene::DueHolds, 0);
        assert!(due["holds"].as_u64() > Some(0), "{due}");
        assert!(due["requests"]["max_ms"].as_f64() > Some(0.0), "{due}");
        let refunds = told(Scene::OldRefunds, 8_000);
        assert!(refunds["requests"]["count"].as_u64() > Some(0), "{refunds}");
        let reads = told(Scene::OldReads, 8_000);
        assert!(reads["reads"]["count"].as_u64() > Some(0), "{reads}");
        assert!(reads["waits"]["count"].as_u64() > Some(0), "{reads}");
    }
}
