//! Who carries out what can be done side by side. The ledger starts no thread: it asks.

/// Carries out pieces of work, side by side where it can. What comes out never depends on it.
pub trait Workers: Sync {
    /// Threads that can work beside the calling one.
    fn threads_beside(&self) -> usize;

    /// Work is about to come: threads that are asleep had better wake up. Returns whether they are
    /// awake already.
    fn rouse(&self) -> bool {
        true
    }

    /// Does `work` with each of `jobs`, while this thread does `meanwhile`, which may wait for what
    /// comes of the jobs. No job waits for anything but its turn.
    fn beside<J: Send>(
        &self,
        jobs: &mut [J],
        work: impl Fn(&mut J) + Send + Sync,
        meanwhile: impl FnOnce(),
    );
}

/// Does one thing after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Workers for Alone {
    fn threads_beside(&self) -> usize {
        0
    }

    fn beside<J: Send>(
        &self,
        jobs: &mut [J],
        work: impl Fn(&mut J) + Send + Sync,
        meanwhile: impl FnOnce(),
    ) {
        jobs.iter_mut().for_each(work);
        meanwhile();
    }
}
