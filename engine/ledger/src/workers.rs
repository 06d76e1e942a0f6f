//! Who carries out what can be done side by side. The ledger starts no thread: it asks.

/// Carries out pieces of work, side by side where it can. What comes out never depends on it.
pub trait Workers: Sync {
    /// Whether work can be done side by side at all.
    fn side_by_side(&self) -> bool;

    /// Does something with each item.
    fn each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Send + Sync);

    /// Does `job` while this thread does `meanwhile`.
    fn beside(&self, job: impl FnOnce() + Send, meanwhile: impl FnOnce());
}

/// Does one thing after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Workers for Alone {
    fn side_by_side(&self) -> bool {
        false
    }

    fn each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Send + Sync) {
        items.iter_mut().for_each(work);
    }

    fn beside(&self, job: impl FnOnce() + Send, meanwhile: impl FnOnce()) {
        meanwhile();
        job();
    }
}
