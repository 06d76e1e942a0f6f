//! The crew: consumes work on shards, has it done beside the sequencer, which posts. As many
//! threads as there are shards, the sequencer's among them; with one shard it works alone.
//!
//! Guarantees that a thread that has nothing to do is asleep, but for a moment after each request:
//! the next one often follows at once, and waking up takes longer than resolving a thousand payments.

use std::{
    hint, io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use millrace_ledger::Workers;

use crate::{JournalError, threads::none_left};

/// How long a thread stays awake for the next request. It gives way to all that wants to run.
const AWAKE: Duration = Duration::from_micros(500);
/// Looks at the turn before a thread gives way: a microsecond or two.
const SPINS: u32 = 64;

/// Carries out the ledger's work on the threads of a pool, or alone.
#[derive(Debug)]
pub struct Crew {
    pool: Option<Pool>,
}

#[derive(Debug)]
struct Pool {
    threads: rayon::ThreadPool,
    turn: Arc<Turn>,
}

/// What threads that stay awake look at.
#[derive(Debug, Default)]
struct Turn {
    /// Counts requests.
    number: AtomicU64,
    /// Threads that are looking.
    awake: AtomicUsize,
}

impl Crew {
    /// So many threads, the calling one included.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn new(threads: usize) -> Result<Self, JournalError> {
        if threads <= 1 {
            return Ok(Self { pool: None });
        }
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|number| format!("shard-{number}"))
            .build()
            .map_err(|error| none_left("shard")(io::Error::other(error)))?;
        Ok(Self { pool: Some(Pool { threads, turn: Arc::default() }) })
    }
}

impl Pool {
    /// Has all threads look out for the next request, once they have nothing else to do.
    fn look_out(&self) {
        let turn = self.turn.clone();
        let number = turn.number.load(Ordering::Relaxed);
        self.threads.spawn_broadcast(move |_| turn.look_out(number));
    }
}

impl Turn {
    /// Waits for the request after this one, for a while. The pool then gives its work to whoever
    /// waited here.
    fn look_out(&self, number: u64) {
        self.awake.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + AWAKE;
        while self.number.load(Ordering::Relaxed) == number && Instant::now() < until {
            (0..SPINS).for_each(|_| hint::spin_loop());
            thread::yield_now();
        }
        self.awake.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers for Crew {
    fn threads_beside(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.threads.current_num_threads())
    }

    fn rouse(&self) -> bool {
        let Some(pool) = &self.pool else { return true };
        let awake = pool.turn.awake.load(Ordering::Relaxed) > 0;
        if !awake {
            pool.look_out();
        }
        awake
    }

    fn beside<J: Send>(
        &self,
        jobs: &mut [J],
        work: impl Fn(&mut J) + Send + Sync,
        meanwhile: impl FnOnce(),
    ) {
        let Some(pool) = &self.pool else {
            jobs.iter_mut().for_each(work);
            return meanwhile();
        };
        pool.threads.in_place_scope(|scope| {
            let work = &work;
            for job in jobs {
                scope.spawn(move |_| work(job));
            }
            pool.turn.number.fetch_add(1, Ordering::Relaxed);
            meanwhile();
        });
        pool.look_out();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// Each job is done once, while the caller waits for what comes of them; threads that stayed
    /// awake and threads that fell asleep take work alike.
    #[test]
    fn every_job_is_done_beside() {
        for threads in [1, 2, 4] {
            let crew = Crew::new(threads).expect("starts");
            assert_eq!(crew.threads_beside(), threads - 1);
            for round in 0..200 {
                if round % 20 == 0 {
                    thread::sleep(2 * AWAKE);
                }
                crew.rouse();
                let cells: Vec<OnceLock<usize>> = (0..5).map(|_| OnceLock::new()).collect();
                let mut jobs: Vec<_> = cells.iter().enumerate().collect();
                let mut sum = 0;
                crew.beside(
                    &mut jobs,
                    |(number, cell)| cell.set(*number + round).expect("each job is done once"),
                    || sum = cells.iter().map(|cell| *cell.wait()).sum(),
                );
                assert_eq!(sum, 10 + 5 * round);
            }
        }
    }

    /// A panic of a job is the caller's.
    #[test]
    #[should_panic(expected = "a job that fails")]
    fn a_panic_comes_through() {
        Crew::new(2).expect("starts").beside(&mut [()], |()| panic!("a job that fails"), || {});
    }
}
