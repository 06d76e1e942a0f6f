//! What happens behind the writer's back, on a thread of its own that runs when nothing else does:
//! consumes what the writer committed and sealed, signs checkpoints, compresses sealed segments and
//! removes those that are too old.

use std::{
    collections::VecDeque,
    fs, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use millrace_ledger::Timestamp;

use super::{
    AuditError,
    index::Index,
    layout::{Layout, Span},
    merkle::Hash,
    segment::{Blocks, compress},
    signer::{self, Signer},
    view::View,
};
use crate::runner::run_when_idle;

/// How long a failed step waits before it is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often old segments are looked for, beside whenever one was sealed.
const RETIRE_EVERY: Duration = Duration::from_secs(3_600);
const DAY_NS: u64 = 86_400_000_000_000;

/// When the keeper does what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) checkpoint_interval: Duration,
    /// 0 keeps everything.
    pub(super) retain_days: u32,
}

/// The keeper's thread. Stops when it is dropped, behind a last checkpoint.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    layout: Layout,
    rhythm: Rhythm,
    signer: Mutex<Signer>,
    view: Arc<RwLock<View>>,
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// The newest committed tree.
    tree: Option<(u64, Hash)>,
    /// Sealed segments that are not compressed yet.
    raw: VecDeque<Span>,
    /// Under the lock like the rest: told without it, a stop could fall between the last look and the sleep,
    /// and be slept over for ever.
    stop: bool,
}

impl Keeper {
    pub(super) fn start(
        layout: &Layout,
        rhythm: Rhythm,
        signer: Signer,
        view: Arc<RwLock<View>>,
        raw: Vec<Span>,
    ) -> Self {
        let work = Mutex::new(Work { tree: None, raw: raw.into(), stop: false });
        let (layout, signer) = (layout.clone(), Mutex::new(signer));
        let wake = Condvar::new();
        let shared = Arc::new(Shared { layout, rhythm, signer, view, work, wake });
        let keeper = Arc::clone(&shared);
        let thread = thread::Builder::new().name("audit-keeper".to_owned()).spawn(move || {
            run_when_idle();
            keeper.run();
        });
        let thread = thread.expect("the operating system has a thread to spare");
        Self { shared, thread: Some(thread) }
    }

    /// Everything up to this tree is durable now.
    pub(super) fn committed(&self, size: u64, root: Hash) {
        lock(&self.shared.work).tree = Some((size, root));
        self.shared.wake.notify_one();
    }

    /// Signs the tree of a segment that is to be sealed, now, and keeps that checkpoint.
    pub(super) fn sign_seal(&self, size: u64, root: Hash) -> Result<(), AuditError> {
        self.shared.sign(size, root, true)
    }

    /// The segment is sealed.
    pub(super) fn sealed(&self, span: Span) {
        lock(&self.shared.work).raw.push_back(span);
        self.shared.wake.notify_one();
    }

    /// Removes sealed segments whose entries are all before `time`, but for the newest one.
    pub(super) fn retire(&self, time: Timestamp) -> Result<u64, AuditError> {
        self.shared.retire(time)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.shared.work).stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was printed where it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        lock(&self.work).stop
    }

    fn run(&self) {
        let (mut next_sign, mut next_compress) = (Instant::now(), Instant::now());
        let mut next_retire = Instant::now();
        let mut signed = 0;
        loop {
            let (stopping, tree, raw) = {
                let work = lock(&self.work);
                (work.stop, work.tree, work.raw.front().copied())
            };
            let unsigned = tree.filter(|(size, _)| *size > signed);
            let now = Instant::now();
            if let Some((size, root)) = unsigned
                && (stopping || now >= next_sign)
            {
                next_sign = now + self.rhythm.checkpoint_interval;
                match self.sign(size, root, false) {
                    Ok(()) => signed = size,
                    Err(error) => {
                        tracing::warn!(%error, "could not sign a checkpoint of the audit log");
                        next_sign = now + RETRY;
                    }
                }
                if !stopping {
                    continue;
                }
            }
            if stopping {
                return;
            }
            if let Some(span) = raw
                && now >= next_compress
            {
                match compress(&self.layout, span, || self.stopped()) {
                    Ok(false) => {}
                    Ok(true) => {
                        lock(&self.work).raw.pop_front();
                        next_retire = now;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "could not compress a segment of the audit log");
                        next_compress = now + RETRY;
                    }
                }
                continue;
            }
            if self.rhythm.retain_days > 0 && now >= next_retire {
                next_retire = now + RETIRE_EVERY;
                let days = u64::from(self.rhythm.retain_days);
                let before = signer::now().0.saturating_sub(days * DAY_NS);
                if let Err(error) = self.retire(Timestamp(before)) {
                    tracing::warn!(%error, "could not remove old segments of the audit log");
                }
                continue;
            }
            let deadlines = [
                unsigned.map(|_| next_sign),
                raw.map(|_| next_compress),
                (self.rhythm.retain_days > 0).then_some(next_retire),
            ];
            self.sleep(deadlines.into_iter().flatten().min(), tree, raw);
        }
    }

    /// Sleeps until then, or until there is other work than this.
    fn sleep(&self, until: Option<Instant>, tree: Option<(u64, Hash)>, raw: Option<Span>) {
        let work = lock(&self.work);
        // Work that came between is not slept over; a new tree only matters if it starts the clock.
        let others = work.raw.front().copied() != raw || work.tree.is_some() != tree.is_some();
        let newer = work.tree != tree;
        if others || newer && until.is_none() || work.stop {
            return;
        }
        match until {
            None => drop(self.wake.wait(work)),
            Some(until) => {
                let wait = until.saturating_duration_since(Instant::now());
                drop(self.wake.wait_timeout(work, wait));
            }
        }
    }

    fn oldest(&self) -> u64 {
        self.view.read().unwrap_or_else(PoisonError::into_inner).oldest()
    }

    fn sign(&self, size: u64, root: Hash, keep: bool) -> Result<(), AuditError> {
        let oldest = self.oldest();
        lock(&self.signer).sign(size, root, oldest, keep)
    }

    fn retire(&self, time: Timestamp) -> Result<u64, AuditError> {
        let sealed = {
            let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&view.sealed)
        };
        let mut retired = Vec::new();
        // The newest one stays: the chain goes on from its last entry.
        for span in &sealed[..sealed.len().saturating_sub(1)] {
            let index = match Index::open(&self.layout.index(*span), *span)? {
                Some(index) => index,
                None => match Blocks::open(&self.layout, *span)?.index {
                    Some(index) => index,
                    None => break,
                },
            };
            if index.max_time() >= time {
                break;
            }
            retired.push(*span);
        }
        let Some(last) = retired.last() else { return Ok(0) };
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            let kept = view.sealed.iter().filter(|span| span.first >= last.end);
            view.sealed = Arc::new(kept.copied().collect());
        }
        // Signed before anything is removed: what is missing below is missing with leave.
        {
            let mut signer = lock(&self.signer);
            let (size, root) = (signer.last().tree_size, signer.last().root_hash);
            signer.sign(size, root, last.end, false)?;
        }
        for span in &retired {
            remove_segment(&self.layout, *span)?;
        }
        let segments = retired.len() as u64;
        tracing::info!(segments, oldest = last.end, "removed old segments of the audit log");
        metrics::counter!("millrace_audit_removed_segments_total", "sink" => "audit")
            .increment(segments);
        Ok(segments)
    }
}

/// Removes a segment's files, whichever there are.
pub(super) fn remove_segment(layout: &Layout, span: Span) -> Result<(), AuditError> {
    for path in [layout.compressed(span), layout.raw(span), layout.index(span)] {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(AuditError::io("remove", path)(error)),
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
