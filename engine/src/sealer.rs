//! The sealer: consumes closed generations in order, produces runs, and merges them.
//!
//! Guarantees that whoever waits for it is answered or let go, also when a run can't be written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use millrace_ledger::Generation;

use crate::{
    JournalError,
    past::{Run, Runs},
    threads,
};

/// Writes closed generations to runs, and merges runs, on a thread for each: a merge of many runs
/// takes longer than the next generation takes to fill.
#[derive(Debug)]
pub(crate) struct Sealer {
    tasks: Option<Sender<Task>>,
    sealed: Receiver<Result<u128, JournalError>>,
    threads: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    /// A generation could not be written: nothing more is taken.
    broken: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Task {
    Seal(Arc<Generation>),
    /// Tell the runs that are there once all generations before are sealed.
    Runs(Sender<Vec<Arc<Run>>>),
}

impl Sealer {
    pub(crate) fn start(runs: Runs) -> Result<Self, JournalError> {
        // Two generations may wait to be written: their memory is what a slow disk costs.
        let (tasks, incoming) = bounded(2);
        let (done, sealed) = crossbeam_channel::unbounded();
        let (grown, growth) = bounded(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let broken = Arc::new(AtomicBool::new(false));
        let (all_runs, stop, breaks) = (runs.clone(), stopping.clone(), broken.clone());
        let mut sealer = Self { tasks: Some(tasks), sealed, threads: Vec::new(), stopping, broken };
        let seal = move || seal_all(&runs, &incoming, &done, &grown, &breaks);
        sealer.threads.push(threads::spawn("sealer", seal)?);
        let merge = move || {
            // Payments don't wait for merges: behind a busy engine they take a quarter of a
            // processor. Where the system does not allow it, they compete like any other thread.
            let _ = rustix::process::nice(5);
            let stop = || stop.load(Ordering::Relaxed);
            merge_after(growth.iter(), || all_runs.merge_beside_payments(&stop));
        };
        sealer.threads.push(threads::spawn("merger", merge)?);
        Ok(sealer)
    }

    pub(crate) fn seal(&self, generation: Arc<Generation>) -> Result<(), JournalError> {
        self.give(Task::Seal(generation))
    }

    /// The runs, when all generations so far are written.
    pub(crate) fn runs(&self) -> Result<Receiver<Vec<Arc<Run>>>, JournalError> {
        let (reply, runs) = bounded(1);
        self.give(Task::Runs(reply))?;
        Ok(runs)
    }

    fn give(&self, task: Task) -> Result<(), JournalError> {
        let broken = self.broken.load(Ordering::Acquire);
        let take = |tasks: &Sender<Task>| !broken && tasks.send(task).is_ok();
        match self.tasks.as_ref().is_some_and(take) {
            true => Ok(()),
            // It has ended, so it has told why.
            false => Err(self.sealed.try_iter().find_map(Result::err).unwrap_or_else(Self::gone)),
        }
    }

    /// Waits until the next generation is written. Its digest.
    pub(crate) fn wait_sealed(&self) -> Result<u128, JournalError> {
        self.sealed.recv().unwrap_or_else(|_| Err(Self::gone()))
    }

    fn gone() -> JournalError {
        JournalError::snapshot("runs", "the thread that writes runs is gone".to_owned())
    }

    /// Digest of the next generation that was written.
    pub(crate) fn next_sealed(&self) -> Result<Option<u128>, JournalError> {
        self.sealed.try_recv().ok().transpose()
    }
}

impl Drop for Sealer {
    /// Waits for the threads: they must not touch the directory when another engine may hold it.
    fn drop(&mut self) {
        self.tasks = None;
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // They have no way to panic but by a defect, and nothing depends on them any more.
            let _ = thread.join();
        }
    }
}

/// Carries out tasks until there are no more. A failure ends it: it is the last that is told.
fn seal_all(
    runs: &Runs,
    tasks: &Receiver<Task>,
    done: &Sender<Result<u128, JournalError>>,
    grown: &Sender<()>,
    broken: &AtomicBool,
) {
    for task in tasks {
        match task {
            Task::Seal(generation) => {
                let result = runs.seal(&generation).map(|_| generation.digest());
                let failed = result.is_err();
                // The ledger uses the memory again, unless it is held here.
                drop(generation);
                if done.send(result).is_err() {
                    return;
                }
                if failed {
                    // What is still queued would wait in the queue for ever, and so would a
                    // snapshot for the runs that it asked for: whoever asks is let go instead.
                    broken.store(true, Ordering::Release);
                    tasks.iter().for_each(drop);
                    return;
                }
                // One that is there already will do.
                let _ = grown.try_send(());
            }
            Task::Runs(reply) => drop(reply.send(runs.list())),
        }
    }
}

/// Merges what is due whenever there is another run. After a failure, which is told, it lets more and
/// more of them go by: a merge that fails late has read and written for nothing.
fn merge_after(
    growth: impl Iterator<Item = ()>,
    mut merge_if_due: impl FnMut() -> Result<bool, JournalError>,
) {
    let mut pause = Pause::default();
    for () in growth {
        if !pause.is_over() {
            continue;
        }
        loop {
            match merge_if_due() {
                Ok(merged) => {
                    pause = Pause::default();
                    if !merged {
                        break;
                    }
                }
                Err(error) => {
                    let runs = pause.begin();
                    tracing::warn!(
                        %error, runs,
                        "could not merge runs; they are used as they are, and it is tried again \
                         after so many more"
                    );
                    break;
                }
            }
        }
    }
}

/// How many new runs go by before the next merge is tried.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    left: u32,
}

impl Pause {
    /// 1, 2, 4 and so on up to 64, by how many failures came one after the other.
    fn begin(&mut self) -> u32 {
        self.left = 1 << self.failures.min(6);
        self.failures += 1;
        self.left
    }

    /// Asked once for every new run.
    fn is_over(&mut self) -> bool {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_over
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{ApproveAll, LedgerConfig};

    use super::*;
    use crate::{
        past::Room,
        two_accounts::{ledger_of_two, payment},
    };

    fn generation() -> Arc<Generation> {
        let mut ledger = ledger_of_two(LedgerConfig::default());
        ledger.decide(&[payment(1)], &mut ApproveAll, |_| {}).expect("there is no history");
        ledger.close_generation().expect("it has a payment")
    }

    /// A snapshot asks for its runs while a generation before it is being written, and that finds no
    /// space. An engine that stopped then waited for that snapshot, which waited for its runs, for
    /// ever.
    #[test]
    fn whoever_waits_for_runs_that_can_not_be_written_is_let_go() {
        for _ in 0..50 {
            let directory = tempfile::tempdir().expect("a directory");
            let runs = Runs::open(directory.path(), [0; 16], &[], 1 << 20, Room::reserving(0))
                .expect("opens");
            drop(directory);
            let sealer = Sealer::start(runs).expect("starts");
            let asked = sealer.seal(generation()).and_then(|()| sealer.runs());
            let error = match asked {
                Ok(runs) => {
                    assert!(runs.recv().is_err(), "there are none");
                    // Nothing more is taken, and the reason is told once.
                    sealer.seal(generation()).expect_err("it is broken")
                }
                Err(error) => error,
            };
            assert!(error.to_string().contains("can't"), "{error}");
        }
    }

    /// Which of so many new runs a merge is tried after, if these tries fail.
    fn tried_after(growths: usize, fails: impl Fn(usize) -> bool) -> Vec<usize> {
        let (at, mut tried) = (std::cell::Cell::new(0), Vec::new());
        let growth = (1..=growths).map(|growth| at.set(growth));
        merge_after(growth, || {
            tried.push(at.get());
            match fails(tried.len()) {
                true => Err(JournalError::snapshot("runs", "no space".to_owned())),
                false => Ok(false),
            }
        });
        tried
    }

    #[test]
    fn a_merge_that_fails_is_tried_again_later_and_later() {
        assert_eq!(tried_after(4, |_| false), [1, 2, 3, 4]);
        let after_each_failure = [1, 3, 6, 11, 20, 37, 70, 135, 200, 265];
        assert_eq!(tried_after(300, |_| true), after_each_failure);
        // One that succeeds ends it: the next failure is a first one.
        assert_eq!(tried_after(12, |attempt| attempt != 4), [1, 3, 6, 11, 12]);
        assert_eq!(tried_after(9, |attempt| attempt == 2), [1, 2, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn merges_go_on_until_none_is_due() {
        let mut left = 3;
        merge_after([(), ()].into_iter(), || {
            left -= 1;
            Ok(left > 0)
        });
        assert_eq!(left, -1, "three after the first run, one after the second");
    }
}
