//! The crew: threads that resolve shards side by side, beside the sequencer, which posts. As many as
//! there are shards, the sequencer's among them; with one shard it works alone.

use millrace_ledger::Workers;
use rayon::prelude::*;

/// Carries out the ledger's work on the threads of a pool, or alone.
#[derive(Debug)]
pub struct Crew {
    pool: Option<rayon::ThreadPool>,
}

impl Crew {
    /// So many threads, the calling one included.
    ///
    /// # Panics
    /// If the system has no threads left.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let pool = (threads > 1).then(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads - 1)
                .thread_name(|number| format!("shard-{number}"))
                .build()
                .expect("the system has threads for us")
        });
        Self { pool }
    }
}

impl Workers for Crew {
    fn side_by_side(&self) -> bool {
        self.pool.is_some()
    }

    fn each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Send + Sync) {
        match &self.pool {
            Some(_) => items.par_iter_mut().for_each(work),
            None => items.iter_mut().for_each(work),
        }
    }

    fn beside(&self, job: impl FnOnce() + Send, meanwhile: impl FnOnce()) {
        match &self.pool {
            Some(pool) => pool.in_place_scope(|scope| {
                scope.spawn(|_| job());
                meanwhile();
            }),
            None => {
                job();
                meanwhile();
            }
        }
    }
}
