//! The dispatcher: gives the scheduler the time, runs deliveries, and serves status reports, on a
//! thread of its own at the lowest ordinary priority.

use std::{
    net::{SocketAddr, TcpListener},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt as _;
use millrace_ledger::Timestamp;
use tokio::{sync::watch, task::JoinSet};

use super::{
    super::{
        deliver::{Class, Refused},
        status::{self, StatusDesk},
    },
    scheduler::{Delivered, Scheduler},
};
use crate::{SinkError, yield_to_payments};

/// How often what is beside deliveries is done.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Wait after the outbox failed.
const FAILED_WAIT: Duration = Duration::from_secs(1);
/// How long a stop waits for deliveries that are under way. Those that take longer are repeated
/// after the next start.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Delivers what is in the outbox, once it is started.
pub struct Dispatcher {
    scheduler: Scheduler,
    desk: StatusDesk,
    status_listen: Option<SocketAddr>,
}

/// A running dispatcher. Stops when it is dropped.
#[derive(Debug)]
pub struct DispatcherHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    status_address: Option<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    error: Mutex<Option<String>>,
    ended: AtomicBool,
}

impl Shared {
    fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl Dispatcher {
    pub(in super::super) fn new(
        scheduler: Scheduler,
        desk: StatusDesk,
        status_listen: Option<SocketAddr>,
    ) -> Self {
        Self { scheduler, desk, status_listen }
    }

    /// Starts delivering.
    ///
    /// # Errors
    /// When the address for status reports is taken, or there is no thread to be had.
    pub fn start(self) -> Result<DispatcherHandle, SinkError> {
        let Self { scheduler, desk, status_listen } = self;
        let listener = status_listen.map(listen).transpose()?;
        let status_address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SinkError::io("start a runtime for", "notifications"))?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared::default());
        let within = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("notify-dispatch".into())
            .spawn(move || {
                yield_to_payments();
                let _guard = EndNote(&within);
                runtime.block_on(async {
                    if let Some(listener) = listener {
                        let stopped = stopped.clone();
                        tokio::spawn(status::serve(listener, desk, stopped));
                    }
                    run(scheduler, &within, stopped).await;
                });
                runtime.shutdown_background();
            })
            .map_err(SinkError::io("start a thread for", "notifications"))?;
        Ok(DispatcherHandle { shared, stop, status_address, thread: Some(thread) })
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, SinkError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error: std::io::Error| SinkError::Setting {
        setting: "notify.status_listen".into(),
        problem: format!("can't listen on {address}: {error}; choose another address"),
    })
}

impl DispatcherHandle {
    /// Why nothing is delivered at the moment, when the outbox fails. It is tried again.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it ended, be it that it was stopped.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Where status reports are taken.
    #[must_use]
    pub fn status_address(&self) -> Option<SocketAddr> {
        self.status_address
    }

    /// Starts nothing more, and gives deliveries that are under way a few seconds.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended.
    pub fn join(mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic is in `error` already.
            let _ = thread.join();
        }
    }
}

impl Drop for DispatcherHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells of the end, and of a panic.
struct EndNote<'a>(&'a Shared);

impl Drop for EndNote<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set_error(Some("the dispatcher panicked; its log says where".into()));
        }
        self.0.ended.store(true, Ordering::Release);
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

async fn run(mut scheduler: Scheduler, shared: &Shared, mut stopped: watch::Receiver<bool>) {
    let outbox = scheduler.outbox();
    let mut deliveries: JoinSet<Delivered> = JoinSet::new();
    let mut unsettled: Vec<Delivered> = Vec::new();
    let mut next_housekeeping = Instant::now();
    while !*stopped.borrow() {
        let wait =
            match round(&mut scheduler, &mut unsettled, &mut deliveries, &mut next_housekeeping) {
                Ok(wait) => {
                    shared.set_error(None);
                    wait
                }
                Err(error) => {
                    tracing::error!(%error, "notifications are not delivered; trying again");
                    shared.set_error(Some(error.to_string()));
                    FAILED_WAIT
                }
            };
        tokio::select! {
            Some(result) = deliveries.join_next() => unsettled.extend(finished(result)),
            () = outbox.work() => {}
            () = tokio::time::sleep(wait) => {}
            _ = stopped.changed() => {}
        }
        while let Some(result) = deliveries.try_join_next() {
            unsettled.extend(finished(result));
        }
    }
    let drain = async {
        while let Some(result) = deliveries.join_next().await {
            unsettled.extend(finished(result));
        }
    };
    // What has no result by then is repeated after the next start.
    let _ = tokio::time::timeout(STOP_MAX, drain).await;
    if let Err(error) = scheduler.settle(&unsettled, now()) {
        tracing::error!(%error, "results of deliveries were lost; they are repeated");
    }
}

/// A delivery's result. There is none only where the runtime ends.
fn finished(result: Result<Delivered, tokio::task::JoinError>) -> Option<Delivered> {
    result.inspect_err(|error| tracing::error!(%error, "a delivery has no result")).ok()
}

fn panicked() -> Refused {
    Refused { text: "the channel panicked; its log says where".into(), class: Class::Permanent }
}

/// Settles what came back, starts what may go, and says for how long nothing else is to be done.
fn round(
    scheduler: &mut Scheduler,
    unsettled: &mut Vec<Delivered>,
    deliveries: &mut JoinSet<Delivered>,
    next_housekeeping: &mut Instant,
) -> Result<Duration, SinkError> {
    scheduler.settle(unsettled, now())?;
    unsettled.clear();
    if Instant::now() >= *next_housekeeping {
        *next_housekeeping = Instant::now() + HOUSEKEEPING;
        scheduler.keep_house(now())?;
    }
    let plan = scheduler.plan(now())?;
    for job in plan.jobs {
        let delivering = scheduler.deliver(&job, now());
        deliveries.spawn(async move {
            let result = AssertUnwindSafe(delivering).catch_unwind().await;
            Delivered { result: result.unwrap_or_else(|_| Err(panicked())), job }
        });
    }
    let until_wake = plan.wake.map(|wake| Duration::from_nanos(wake.0.saturating_sub(now().0)));
    let until_housekeeping = next_housekeeping.saturating_duration_since(Instant::now());
    Ok(until_wake.map_or(until_housekeeping, |wait| wait.min(until_housekeeping)))
}
