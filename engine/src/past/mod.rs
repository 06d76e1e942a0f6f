//! Payments that the ledger has let go: consumes closed generations, produces what is known of an
//! id. Every payment that was ever handed over is found, as the newest generation had it, in
//! memory that hardly grows.
//!
//! A generation becomes a [`run`], a sorted file. Adjacent runs are merged into larger ones, so
//! that there are few. Reading order: `row` → `pack` → `page` → `layout` → `run` → `spans` → `write` →
//! `listed` →
//! `merge` → `room` → `pace`.

mod filter;
mod layout;
mod listed;
mod merge;
mod pace;
mod pack;
mod page;
mod room;
pub(crate) mod row;
mod rows;
mod run;
mod spans;
#[cfg(test)]
mod tests;
mod write;

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use millrace_ledger::{Generation, History, HistoryError, PaymentId, Spans, StoredPayment};

pub(crate) use room::Room;
pub(crate) use run::Run;

use crate::{JournalError, directory::sync_directory, page_cache, segment::JournalId};
use filter::{FilterMemory, Fold};
use layout::Layout;
use listed::{Listed, ListedThen};
use merge::Due;
use pace::Pace;
use pack::Packed;
use run::Shelf;
use write::{RunWriter, SUFFIX, UNFINISHED};

/// So many of the newest runs stay in the system's page cache: refunds and questions are mostly about
/// payments of late.
const RUNS_CACHED: usize = 16;

/// The runs of a journal. Clones are the same runs.
///
/// Runs that were merged away are deleted when nobody holds them any more: whoever names runs in a
/// file must hold them for as long as that file may be read.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shelf: Arc<Shelf>,
    /// Locked for as long as it takes to read or to replace the pointer.
    listed: RwLock<Arc<Listed>>,
    /// Held while another list is made, which takes longer.
    replacing: Mutex<()>,
    /// Held while runs are merged.
    merging: Mutex<()>,
    room: Room,
    /// Memory for sealing.
    packed: Mutex<Packed>,
}

impl Drop for Shared {
    /// A run that outlives its list may be named by what is on disk: it stays.
    fn drop(&mut self) {
        self.shelf.deletes.store(false, Ordering::Release);
    }
}

impl Runs {
    /// Opens these runs, oldest first. Makes the directory.
    ///
    /// `filter_memory_max` is in bytes: about 9 bits per payment make a look-up of an id that is
    /// in no run cheap. Without, it is exact all the same. Runs are merged while there is `room`.
    ///
    /// # Errors
    /// When a run can't be read, is damaged, or is of another journal.
    pub(crate) fn open(
        directory: &Path,
        journal: JournalId,
        names: &[String],
        filter_memory_max: u64,
        room: Room,
    ) -> Result<Self, JournalError> {
        Self::open_with(directory, journal, names, filter_memory_max, room, Layout::default())
    }

    fn open_with(
        directory: &Path,
        journal: JournalId,
        names: &[String],
        filter_memory_max: u64,
        room: Room,
        layout: Layout,
    ) -> Result<Self, JournalError> {
        make_directory(directory)?;
        let shelf = Arc::new(Shelf {
            directory: directory.to_owned(),
            journal,
            fold: Fold::new(&journal),
            layout,
            filter_memory: Arc::new(FilterMemory::new(filter_memory_max)),
            deletes: AtomicBool::new(true),
        });
        let mut runs: Vec<Arc<Run>> = Vec::with_capacity(names.len());
        for name in names {
            let run = Run::open(&shelf, name)?;
            let newest = runs.last().map_or(0, |run| *run.generations().end());
            if newest >= *run.generations().start() {
                let what = "it is not newer than the run that is named before it";
                return Err(JournalError::wrong_run(run.path(), 0, what));
            }
            runs.push(Arc::new(run));
        }
        let shared = Shared {
            shelf,
            listed: RwLock::new(Arc::new(Listed::new(runs))),
            replacing: Mutex::new(()),
            merging: Mutex::new(()),
            room,
            packed: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens one run on its own, for whoever copies or checks it. Makes and deletes nothing.
    ///
    /// # Errors
    /// When it can't be read, is damaged, or is of another journal.
    pub(crate) fn open_one(
        directory: &Path,
        journal: JournalId,
        name: &str,
    ) -> Result<Arc<Run>, JournalError> {
        let shelf = Arc::new(Shelf {
            directory: directory.to_owned(),
            journal,
            fold: Fold::new(&journal),
            layout: Layout::default(),
            filter_memory: Arc::new(FilterMemory::new(0)),
            deletes: AtomicBool::new(false),
        });
        Run::open(&shelf, name).map(Arc::new)
    }

    /// Opens the runs that another snapshot names, oldest first. Those that are listed here are not
    /// opened again; the others are not listed, and not asked for any id.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn open_beside(&self, names: &[String]) -> Result<Vec<Arc<Run>>, JournalError> {
        let listed = self.list();
        let run = |name: &String| match listed.iter().find(|run| run.name() == name) {
            Some(run) => Ok(run.clone()),
            None => Run::open(&self.shared.shelf, name).map(Arc::new),
        };
        names.iter().map(run).collect()
    }

    /// Those of these runs that are not listed were merged away: they are deleted when nobody holds
    /// them any more.
    pub(crate) fn delete_after_use<'a>(&self, runs: impl Iterator<Item = &'a Arc<Run>>) {
        let listed = self.list();
        let is_listed = |run: &Arc<Run>| listed.iter().any(|listed| Arc::ptr_eq(listed, run));
        runs.filter(|run| !is_listed(run)).for_each(|run| run.set_replaced());
    }

    /// Writes a generation as the newest run.
    ///
    /// # Errors
    /// When it can't be written. The list of runs is as it was then.
    ///
    /// # Panics
    /// If the generation is not newer than all that is in runs.
    pub(crate) fn seal(&self, generation: &Generation) -> Result<Arc<Run>, JournalError> {
        self.seal_payments(generation.number(), generation.payments())
    }

    /// Writes these payments as the run of the generation with this number.
    pub(crate) fn seal_payments<'a>(
        &self,
        number: u64,
        payments: impl Iterator<Item = &'a StoredPayment>,
    ) -> Result<Arc<Run>, JournalError> {
        let newest = self.newest_generation();
        assert!(number > newest, "generation {number} comes after {newest}, which is in a run");
        let mut packed = self.shared.packed.lock().unwrap_or_else(PoisonError::into_inner);
        packed.pack(payments);
        let mut writer = RunWriter::create(&self.shared.shelf, number..=number)?;
        for (id, row) in packed.rows() {
            writer.push(id, row)?;
        }
        let run = Arc::new(writer.finish()?);
        self.replace(|runs| runs.push(run.clone()));
        self.release_older();
        Ok(run)
    }

    /// Releases the pages of a run that is no longer one of the newest. Not where ids are in no
    /// order: there, a page is read whenever a filter can't deny a new id.
    fn release_older(&self) {
        let listed = &self.listed().runs;
        let Some(at) = listed.len().checked_sub(RUNS_CACHED + 1) else { return };
        // A merged one was released as it was written.
        let is_merged = listed[at].generations().count() > 1;
        if !is_merged && merge::in_order(&listed[at..at + 2]) {
            page_cache::release(listed[at].file());
        }
    }

    /// Merges some adjacent runs into one, if there are many of a kind. `false` when nothing was
    /// due, when another merge is running, when there is no room for one, or when `stop` said so.
    ///
    /// # Errors
    /// When a run can't be read or written. The list of runs is as it was then.
    pub(crate) fn merge_if_due(&self, stop: &dyn Fn() -> bool) -> Result<bool, JournalError> {
        self.merge_due(&|_: &Pace, _| stop())
    }

    /// The same beside payments: runs in order are merged at the [`pace`] of payments.
    ///
    /// # Errors
    /// As [`Self::merge_if_due`].
    pub(crate) fn merge_beside_payments(
        &self,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, JournalError> {
        self.merge_due(&|pace, rows| pace.wait(rows, || self.generation_for(pace), stop))
    }

    /// The newest generation, to keep pace with. As if there were no end of them where those that came since lie
    /// among each other: look-ups wait for a merge of these, which is next.
    fn generation_for(&self, pace: &Pace) -> u64 {
        self.read_listed(|listed| {
            let since =
                listed.runs.partition_point(|run| *run.generations().end() <= pace.generation());
            match merge::in_order(&listed.runs[since.saturating_sub(1)..]) {
                true => listed.runs.last().map_or(0, |run| *run.generations().end()),
                false => u64::MAX,
            }
        })
    }

    fn newest_generation(&self) -> u64 {
        self.read_listed(|listed| listed.runs.last().map_or(0, |run| *run.generations().end()))
    }

    fn merge_due(&self, stop: &dyn Fn(&Pace, u64) -> bool) -> Result<bool, JournalError> {
        let _alone = match self.shared.merging.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        let (room, directory) = (&self.shared.room, &self.shared.shelf.directory);
        let runs = &self.listed().runs;
        match merge::due(runs, &self.shared.shelf.layout) {
            Some(Due { range, in_order }) if room.is_there(directory, &runs[range.clone()]) => {
                let rows = runs[range.clone()].iter().map(|run| run.rows()).sum();
                let pace = Pace::of(in_order.then_some(rows), self.newest_generation());
                let stop = |rows: u64| stop(&pace, rows) || room.runs_out(directory);
                let merged = self.merge(range, &stop)?;
                if merged {
                    room.merged();
                }
                Ok(merged)
            }
            _ => Ok(false),
        }
    }

    /// Only one merge at a time: the places of the runs must not change meanwhile.
    pub(crate) fn merge(
        &self,
        due: Range<usize>,
        stop: &dyn Fn(u64) -> bool,
    ) -> Result<bool, JournalError> {
        assert!(due.len() > 1, "a run merged with nothing would have its own name again");
        let runs = &self.listed().runs;
        let Some(merged) = merge::merge(&self.shared.shelf, &runs[due.clone()], stop)? else {
            return Ok(false);
        };
        let merged = Arc::new(merged);
        // Runs that were sealed meanwhile are newer: those that were merged are where they were.
        self.replace(|runs| drop(runs.splice(due.clone(), [merged])));
        for run in &runs[due] {
            run.set_replaced();
        }
        Ok(true)
    }

    /// The runs, oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<Run>> {
        self.listed().runs.clone()
    }

    /// Bytes of memory that filters take.
    #[allow(dead_code, reason = "for reports on a data directory")]
    pub(crate) fn filter_memory(&self) -> u64 {
        self.shared.shelf.filter_memory.used()
    }

    /// From now on no file is deleted. For the way out: a snapshot on disk may name runs that
    /// nobody in memory holds any more.
    pub(crate) fn keep_files(&self) {
        self.shared.shelf.deletes.store(false, Ordering::Release);
    }

    /// Deletes run files, whole and unfinished, that are not among `keep`. For the way in, before
    /// anything is sealed or merged.
    ///
    /// # Errors
    /// When the directory can't be listed, or a file can't be deleted.
    pub(crate) fn remove_unlisted(directory: &Path, keep: &[String]) -> Result<(), JournalError> {
        for name in Self::names_in(directory)? {
            if !keep.contains(&name) {
                let path = directory.join(name);
                fs::remove_file(&path).map_err(JournalError::io("can't delete", &path))?;
            }
        }
        Ok(())
    }

    /// Names of the run files of a directory, whole and unfinished.
    ///
    /// # Errors
    /// When it can't be listed.
    pub(crate) fn names_in(directory: &Path) -> Result<Vec<String>, JournalError> {
        let mut names = Vec::new();
        let entries = fs::read_dir(directory).map_err(JournalError::io("can't list", directory))?;
        for entry in entries {
            let entry = entry.map_err(JournalError::io("can't list", directory))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.strip_suffix(UNFINISHED).unwrap_or(&name).ends_with(SUFFIX) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn listed(&self) -> Arc<Listed> {
        self.read_listed(Arc::clone)
    }

    fn read_listed<R>(&self, read: impl FnOnce(&Arc<Listed>) -> R) -> R {
        read(&self.shared.listed.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Run>>)) {
        let _alone = self.shared.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs = self.listed().runs.clone();
        change(&mut runs);
        let next = Arc::new(Listed::new(runs));
        let mut listed = self.shared.listed.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *listed, next);
        drop(listed);
        drop(before);
    }
}

impl History for Runs {
    fn spans(&self) -> Arc<Spans> {
        self.read_listed(|listed| listed.spans().clone())
    }

    fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        self.listed().find(id, self.shared.shelf.fold)
    }

    fn expect(&self, ids: &[PaymentId]) {
        self.listed().expect(ids, self.shared.shelf.fold);
    }

    fn as_of_now(&self) -> Arc<dyn History> {
        Arc::new(ListedThen::new(self.listed(), self.shared.shelf.fold))
    }
}

/// Makes the directory, durably: files in it are relied on.
fn make_directory(directory: &Path) -> Result<(), JournalError> {
    fs::create_dir_all(directory).map_err(JournalError::io("can't create", directory))?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))
}
