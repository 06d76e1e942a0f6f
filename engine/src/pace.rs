//! Pace: consumes how much was written to a large file beside the journal, produces small syncs and
//! pauses between them.
//!
//! Guarantees that a sync of the journal, which waits for the same disk, finds at most a piece of
//! that file before it, and the disk idle for at least as long as it was busy with such pieces. How
//! long a piece took to sync says how busy the disk is: the journal's own syncs are part of that.

use std::{
    fs::File,
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Written between two syncs. Smaller ones leave less for the journal to wait for, and cost more.
const PIECE_BYTES: u64 = 1 << 20;
/// A disk that takes longer is not spared any more, or the file would never be done.
const REST_MAX: Duration = Duration::from_millis(200);
/// How soon a pause ends when there is nothing to spare the disk for any more.
const LOOK: Duration = Duration::from_millis(10);

/// Ends all pauses, for good. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hurry(Arc<AtomicBool>);

impl Hurry {
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps the pace of one file.
#[derive(Debug)]
pub(crate) struct Pace {
    /// 0 for as fast as it gets.
    bytes_per_s: u64,
    hurry: Hurry,
    unsynced: u64,
    /// When the last pause ended.
    began: Instant,
}

impl Pace {
    pub(crate) fn new(bytes_per_s: u64, hurry: Hurry) -> Self {
        Self { bytes_per_s, hurry, unsynced: 0, began: Instant::now() }
    }

    /// So many bytes more were written. `true` when [`Self::keep`] is to be called.
    pub(crate) fn wrote(&mut self, bytes: u64) -> bool {
        self.unsynced += bytes;
        self.bytes_per_s > 0 && self.unsynced >= PIECE_BYTES && !self.hurry.is_on()
    }

    /// Has what was written to the file so far on disk, and rests.
    pub(crate) fn keep(&mut self, file: &File) -> io::Result<()> {
        let syncing = Instant::now();
        file.sync_data()?;
        let synced_in = syncing.elapsed();
        let bytes = mem::take(&mut self.unsynced);
        let until = Instant::now() + rest(bytes, self.bytes_per_s, self.began.elapsed(), synced_in);
        while let Some(left) = until.checked_duration_since(Instant::now())
            && !self.hurry.is_on()
        {
            thread::sleep(left.min(LOOK));
        }
        self.began = Instant::now();
        Ok(())
    }
}

/// How long to rest after a piece that took so long, of which the sync took so long.
fn rest(bytes: u64, bytes_per_s: u64, took: Duration, synced_in: Duration) -> Duration {
    let due = Duration::from_secs_f64(bytes as f64 / bytes_per_s as f64);
    due.saturating_sub(took).max(synced_in.min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_keep_the_budget_and_spare_a_busy_disk() {
        let ms = Duration::from_millis;
        for (bytes, bytes_per_s, took, synced_in, expected) in [
            // A quick disk: the budget decides.
            (1_000_000, 10_000_000, ms(0), ms(0), ms(100)),
            (1_000_000, 10_000_000, ms(30), ms(20), ms(70)),
            // The piece took longer than the budget allows it to: as long a rest as the sync.
            (1_000_000, 10_000_000, ms(100), ms(20), ms(20)),
            (1_000_000, 10_000_000, ms(300), ms(150), ms(150)),
            // A disk that is hardly there.
            (1_000_000, 10_000_000, ms(3_000), ms(2_000), ms(200)),
        ] {
            assert_eq!(rest(bytes, bytes_per_s, took, synced_in), expected, "{took:?}");
        }
    }

    #[test]
    fn pieces_are_due_by_size_and_never_in_a_hurry() {
        let hurry = Hurry::default();
        let mut pace = Pace::new(1 << 30, hurry.clone());
        assert!(!pace.wrote(PIECE_BYTES - 1));
        assert!(pace.wrote(1));
        pace.keep(&tempfile::tempfile().expect("a file")).expect("syncs");
        assert!(!pace.wrote(PIECE_BYTES - 1), "counted anew");
        hurry.begin();
        assert!(!pace.wrote(PIECE_BYTES));
        assert!(!Pace::new(0, Hurry::default()).wrote(u64::MAX), "as fast as it gets");
    }
}
