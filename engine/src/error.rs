//! What can be wrong with a journal, in words that an operator can act on.

use std::{
    io,
    path::{Path, PathBuf},
};

use millrace_ledger::{Divergence, EventSeq, GateActError, HistoryError};

use crate::open_files::is_out_of_files;

/// Why the journal can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused something.
    #[error("{what} {}: {source}. {}", path.display(), remedy(what, source))]
    Io {
        /// What was tried, as in "can't write".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The risk policy that the journal says is in force can't be used.
    #[error("{0}")]
    Policy(GateActError),
    /// Another process uses the directory.
    #[error(
        "the data directory {} is in use by another millrace process. Stop that process, or give \
         this one a directory of its own (data_dir). Deleting its file LOCK does not help: the lock \
         ends with the process that holds it",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The journal was written by a later version.
    #[error(
        "{} has journal format version {found}, and this millrace reads up to {supported}. Start \
         the millrace that wrote it, or a later one",
        path.display()
    )]
    NewerVersion {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version that is understood here.
        supported: u32,
    },
    /// The system has no thread left.
    #[error(
        "could not start the thread {name}: {source}. Raise the limit of threads (ulimit -u, TasksMax= \
         in a systemd unit, pids.max of a container), then start again: nothing acknowledged is lost"
    )]
    NoThread {
        /// What it is called.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// Bytes inside the journal are not what was written.
    #[error(
        "the journal is damaged: {} at offset {offset}: {what}. Nothing was changed. Restore this \
         segment from a copy; acknowledged payments after this point would be lost without it",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in the segment.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment is not the one that follows.
    #[error(
        "{} does not continue the journal: {what}. Nothing was changed. Put the segment that \
         starts with event {expected} back in its place",
        path.display()
    )]
    WrongSegment {
        /// The segment.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
        /// The first event of the segment that belongs here.
        expected: EventSeq,
    },
    /// The journal does not reach back to an event that is needed.
    #[error(
        "the journal in {} begins with event {first}, and event {wanted} is needed{}. The segments \
         before were deleted by archive_retention_days or archive_keep_mib, or are missing. Nothing \
         was changed. Put the segments back, from the one that has event {wanted} on: a backup may \
         have them",
        path.display(),
        no_snapshot(snapshots)
    )]
    BeginningGone {
        /// The journal's directory.
        path: PathBuf,
        /// The first event that is there.
        first: EventSeq,
        /// The event that is needed.
        wanted: EventSeq,
        /// Why snapshots can't stand in for it.
        snapshots: Vec<String>,
    },
    /// The journal begins later than it should.
    #[error(
        "the journal in {} begins with event {first}, and nothing deleted events {kept} to {}: their \
         segments are missing. Nothing was changed. Put them back: a backup may have them (don't back \
         up over it meanwhile). If they are lost for good, back up to a new directory and restore \
         that: the journal that is restored may begin where this one does",
        path.display(),
        first.0 - 1
    )]
    BeginningLost {
        /// The journal's directory.
        path: PathBuf,
        /// The first event that is there.
        first: EventSeq,
        /// The first event that was not deleted.
        kept: EventSeq,
    },
    /// A run, which holds older payments, is not what was written, or not of this journal.
    #[error(
        "{} can't be used: at offset {offset}: {what}. Nothing was changed. Stop, move this file away \
         and start: what it holds is taken from the journal again. If the journal no longer begins with \
         event 1, put it back from a copy, or restore a backup",
        path.display()
    )]
    WrongRun {
        /// The run.
        path: PathBuf,
        /// Where in the run.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A snapshot can't be used.
    #[error("the snapshot {} can't be used: {what}", path.display())]
    Snapshot {
        /// The snapshot.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A snapshot knows events that the journal has not.
    #[error(
        "the journal ends with event {last}, but the snapshot {} knows event {known}: acknowledged \
         payments are missing from the journal{}. Nothing was changed. Put the missing segments back. \
         If they are lost, restore a backup; to go on without the missing payments, move that \
         snapshot away",
        path.display(),
        broken_at(broken)
    )]
    SnapshotAhead {
        /// The snapshot.
        path: PathBuf,
        /// Its last event.
        known: EventSeq,
        /// The journal's last event.
        last: EventSeq,
        /// The segment and the offset of what follows and is no whole frame.
        broken: Option<(PathBuf, u64)>,
    },
    /// The durable note knows events that the journal has not.
    #[error(
        "the journal ends with event {last}, but {} says that event {durable} was durable: \
         acknowledged payments are missing from the journal{}. Nothing was changed. Put the newest \
         segment back. If it is lost, restore a backup; to go on without the missing payments, move \
         that file away",
        path.display(),
        broken_at(broken)
    )]
    EndGone {
        /// The note.
        path: PathBuf,
        /// The last event that was durable, as it says.
        durable: EventSeq,
        /// The journal's last event.
        last: EventSeq,
        /// The segment and the offset of what follows and is no whole frame.
        broken: Option<(PathBuf, u64)>,
    },
    /// What is known of older payments can't be read.
    #[error("{0}. Nothing acknowledged is lost. Start again: the runs are checked then")]
    History(#[from] HistoryError),
    /// Events are well-formed but don't follow from each other: a defect of this program.
    #[error("{}: {divergence}. Nothing was changed. Please report this as a defect", path.display())]
    Diverged {
        /// The segment.
        path: PathBuf,
        /// What does not fit.
        divergence: Divergence,
    },
}

impl JournalError {
    /// A snapshot that can't be used, and why.
    pub(crate) fn snapshot(path: impl Into<PathBuf>, what: String) -> Self {
        Self::Snapshot { path: path.into(), what }
    }

    /// Wraps an I/O error with what was tried and where.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// Whether the system could not do now what it may do another time: no open file was left, no memory, or no
    /// permission, for instance. Nothing is known to be wrong with the file then. All else is damage.
    pub(crate) fn may_pass(&self) -> bool {
        use io::ErrorKind as Kind;
        let source = match self {
            Self::NoThread { .. } => return true,
            Self::Io { source, .. } => source,
            _ => return false,
        };
        let passes = matches!(
            source.kind(),
            Kind::PermissionDenied
                | Kind::OutOfMemory
                | Kind::Interrupted
                | Kind::WouldBlock
                | Kind::TimedOut
                | Kind::StorageFull
                | Kind::QuotaExceeded
                | Kind::ReadOnlyFilesystem
                | Kind::StaleNetworkFileHandle
        );
        passes || is_out_of_files(source)
    }

    pub(crate) fn wrong_run(path: &Path, offset: u64, what: &'static str) -> Self {
        Self::WrongRun { path: path.to_owned(), offset, what }
    }
}

fn no_snapshot(passed_over: &[String]) -> String {
    match passed_over {
        [] => String::new(),
        passed_over => format!(
            ", because no snapshot can be used (what they need is as it was): {}",
            passed_over.join("; ")
        ),
    }
}

fn broken_at(broken: &Option<(PathBuf, u64)>) -> String {
    match broken {
        Some((segment, offset)) => {
            format!(" ({} is damaged at offset {offset})", segment.display())
        }
        None => String::new(),
    }
}

fn remedy(what: &str, source: &io::Error) -> &'static str {
    let reads = ["can't open", "can't read", "can't list", "can't look for"]
        .iter()
        .any(|it| what.starts_with(it));
    match source.kind() {
        _ if is_out_of_files(source) => {
            "Raise the limit of open files (ulimit -n, LimitNOFILE= in a systemd unit), then start \
             again: nothing acknowledged is lost"
        }
        io::ErrorKind::PermissionDenied if reads => {
            "Give the user that runs millrace read access to it, or choose another data_dir"
        }
        io::ErrorKind::PermissionDenied => {
            "Give the user that runs millrace write access to it, or choose another data_dir"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free space on the file system, then start again: nothing acknowledged is lost"
        }
        io::ErrorKind::ReadOnlyFilesystem => "Mount it writable, or choose another data_dir",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "Choose another data_dir, or move that file away"
        }
        _ => "Check the disk and the path, then start again: nothing acknowledged is lost",
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// What the system says, and what the operator is told to do about it.
    #[test]
    fn a_refusal_of_the_system_names_its_remedy() {
        let create = "can't create";
        for (what, errno, want) in [
            (create, Errno::MFILE, "Raise the limit of open files (ulimit -n, LimitNOFILE="),
            (create, Errno::NFILE, "Raise the limit of open files (ulimit -n, LimitNOFILE="),
            (create, Errno::NOSPC, "Free space on the file system"),
            (create, Errno::ROFS, "Mount it writable"),
            (create, Errno::IO, "Check the disk and the path"),
            (create, Errno::ACCESS, "Give the user that runs millrace write access to it"),
            ("can't write", Errno::PERM, "Give the user that runs millrace write access to it"),
            ("can't open", Errno::ACCESS, "Give the user that runs millrace read access to it"),
            ("can't read", Errno::ACCESS, "Give the user that runs millrace read access to it"),
            (
                "can't read the note in",
                Errno::ACCESS,
                "Give the user that runs millrace read access",
            ),
            ("can't list", Errno::ACCESS, "Give the user that runs millrace read access to it"),
        ] {
            let error = JournalError::io(what, "journal/1.segment")(errno.into());
            let text = error.to_string();
            assert!(text.starts_with(&format!("{what} journal/1.segment: ")), "{text}");
            assert!(text.contains(&format!(". {want}")), "{errno}: {text}");
        }
    }
}
