//! What can be wrong with a backup, in words that an operator can act on.

use std::{
    io,
    path::{Path, PathBuf},
};

use millrace_ledger::{EventSeq, Timestamp};

use crate::{JournalError, open_files::is_out_of_files};

/// Why a backup can't be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The journal can't be read, or what was restored of it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operating system refused something.
    #[error("{what} {}: {source}. {}", path.display(), remedy(source))]
    Io {
        /// What was tried, as in "can't write".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal has no segment.
    #[error(
        "{} holds no journal that could be backed up: name the directory of a journal that a \
         millrace has written",
        path.display()
    )]
    NoJournal {
        /// The journal's directory.
        path: PathBuf,
    },
    /// Files vanished again and again while they were copied.
    #[error(
        "the journal changes faster than it can be copied: after {attempts} attempts, {last}. The \
         backup in {} is as it was. Try again when there is less to do",
        path.display()
    )]
    KeepsChanging {
        /// The backup's directory.
        path: PathBuf,
        /// How often it was tried.
        attempts: u32,
        /// What vanished last.
        last: Box<JournalError>,
    },
    /// The beginning of the journal is gone, and no snapshot reaches to what is left.
    #[error(
        "the journal in {} begins with event {first}, and no usable snapshot knows all events before \
         it: nobody could recover from a copy. {}",
        path.display(),
        passed_over.join("; ")
    )]
    NoBeginning {
        /// The journal's directory.
        path: PathBuf,
        /// The first event that is there.
        first: EventSeq,
        /// Why snapshots can't be used.
        passed_over: Vec<String>,
    },
    /// The backup has events from before the journal's beginning, which nothing deleted.
    #[error(
        "the backup in {} begins with event {had}, and the journal in {} with event {first}, although \
         nothing deleted what was before it: its segments are missing. Nothing was changed. Bring the \
         journal back (`millrace restore`) or put the segments back; to go on without them, back up to \
         a new directory",
        path.display(),
        journal.display()
    )]
    HasMore {
        /// The backup's directory.
        path: PathBuf,
        /// The journal's directory.
        journal: PathBuf,
        /// The first event in the backup.
        had: EventSeq,
        /// The first event in the journal.
        first: EventSeq,
    },
    /// The target holds something else.
    #[error(
        "{} is not empty and holds no backup of this journal: {what}. Nothing was changed. Name an \
         empty directory or a new one",
        path.display()
    )]
    Occupied {
        /// The target.
        path: PathBuf,
        /// What it holds.
        what: String,
    },
    /// The backup knows events that the journal does not have.
    #[error(
        "the backup in {} ends with event {last}, and the journal has another event there, or none: \
         it lost its end, or was restored to an earlier point. Nothing was changed, so that what the \
         backup has is not lost. Back up into another directory",
        path.display()
    )]
    OtherFuture {
        /// The backup's directory.
        path: PathBuf,
        /// The last event of the backup.
        last: EventSeq,
    },
    /// Another process uses the directory.
    #[error(
        "another millrace process works on {}. Wait until it has ended, or name another directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// There is no backup.
    #[error(
        "there is no backup in {}: {what}. Name the directory that `millrace backup --to` was given",
        path.display()
    )]
    NoBackup {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The backup was made by a later version.
    #[error(
        "{} has backup format {found}, and this millrace reads up to {supported}. Use the millrace \
         that wrote it, or a later one",
        path.display()
    )]
    NewerFormat {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that is understood here.
        supported: u32,
    },
    /// A file of the backup is not what was written.
    #[error(
        "the backup is damaged: {}: {what}. Nothing was changed. Put this file back from another \
         copy of the backup, or restore another backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file that the backup does not name.
    #[error(
        "{} does not belong to the backup: its manifest does not name it. Nothing was changed. Move \
         it out of the backup, then try again",
        path.display()
    )]
    Stray {
        /// The file.
        path: PathBuf,
    },
    /// The place to restore to is taken.
    #[error(
        "{} is not empty, and nothing is restored over anything. Name an empty directory or a new \
         one, or move away what is there",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The point in time is behind the end of the backup.
    #[error("event {asked} is beyond the backup's end: its last event is {last}")]
    BeyondEnd {
        /// What was asked for.
        asked: EventSeq,
        /// The backup's last event.
        last: EventSeq,
    },
    /// The backup can't know yet what happened until then.
    #[error(
        "the time asked for is after the backup was taken, and nobody knows from it what happened in \
         between: its last event is {last}. Leave the time out to restore all of it"
    )]
    NotYet {
        /// The backup's last event.
        last: EventSeq,
        /// Until when it knows: when it was taken, or the time of its last event if that is later.
        taken: Timestamp,
    },
    /// The time is before the first event.
    #[error(
        "the time asked for is before the first event that the backup has, which is event {first}: \
         there is nothing to restore"
    )]
    BeforeBeginning {
        /// The backup's first event.
        first: EventSeq,
        /// Its time; `None` where there is no event.
        time: Option<Timestamp>,
    },
    /// The backup no longer has the journal up to there.
    #[error(
        "the journal can't be brought back to event {asked}: the backup has its events from {first} \
         on, and no snapshot of before. {}",
        match earliest {
            Some(earliest) => format!("The earliest event that it can be brought back to is {earliest}"),
            None => "Restore all of it".to_owned(),
        }
    )]
    TooEarly {
        /// What was asked for.
        asked: EventSeq,
        /// The backup's first event.
        first: EventSeq,
        /// The earliest event that will do.
        earliest: Option<EventSeq>,
    },
    /// What was restored does not come to what was backed up: a defect.
    #[error(
        "what was restored ends with event {found} and not with event {expected}. Nothing was left \
         in place. Please report this as a defect"
    )]
    WrongEnd {
        /// The last event that should be there.
        expected: EventSeq,
        /// The last event that is there.
        found: EventSeq,
    },
}

impl BackupError {
    /// Wraps an I/O error with what was tried and where.
    pub(super) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    pub(super) fn damaged(path: &Path, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), what }
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        _ if is_out_of_files(source) => {
            "Raise the limit of open files (ulimit -n), then run the command again"
        }
        io::ErrorKind::PermissionDenied => {
            "Give the user that runs this command access to it, or name another directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free space on that file system, then run the command again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "Mount it writable, or name another directory",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "Name another directory, or move that file away"
        }
        _ => "Check the disk and the path, then run the command again",
    }
}
