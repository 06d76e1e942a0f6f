//! The directory of a backup: consumes the bytes of files, keeps each once under a name that tells
//! its content, and produces a backup once the manifest names them.
//!
//! Guarantees that the backup that was whole before stays whole until another one is:
//!
//! | step | what is there if it ends here |
//! |---|---|
//! | the mark `INCOMPLETE` is made | the old backup, if there was one |
//! | files are copied, under names that no other content can have, and synced | the same, and files that nobody names; the next backup removes them |
//! | the manifest is written under a temporary name, and synced | the same |
//! | the manifest gets its name, and the directory is synced | the new backup |
//! | files that it does not name are removed | the same |
//! | the mark is removed | nothing is left over |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    BackupError,
    manifest::{self, DIRECTORIES, Entry, Hex, Manifest},
    shelf,
};
use crate::{JournalError, lock::DirectoryLock, segment::JournalId};

/// There while files may be left over that no manifest names.
const MARK: &str = "INCOMPLETE";
const MARK_TEXT: &str = "A backup is being made here, or one was interrupted. What backup.manifest \
                         names is whole all the same; the next backup removes the rest.\n";
const LOCK: &str = "LOCK";
/// What a file is called while it is copied.
const UNFINISHED: &str = "copying.unfinished";
const MANIFEST_UNFINISHED: &str = "backup.manifest.unfinished";
const PIECE: usize = 1 << 20;

/// A backup that is being made. One at a time.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) directory: PathBuf,
    /// The backup that is there already.
    pub(super) old: Option<Manifest>,
    /// Files that are there, by name: those of the old backup, and what was copied by now.
    known: BTreeMap<String, Entry>,
    /// Names of files that were copied by this backup.
    copied: BTreeSet<String>,
    pub(super) bytes_copied: u64,
    /// Whether what is there is read again.
    recheck: bool,
    _lock: DirectoryLock,
}

impl Store {
    /// Opens a directory for a backup of this journal. With `recheck`, what is there already is read
    /// again, and what is damaged is forgotten.
    pub(super) fn open(
        directory: &Path,
        journal: JournalId,
        recheck: bool,
    ) -> Result<Self, BackupError> {
        let is_of_another = |old: &Manifest| old.journal != journal;
        if directory.exists() {
            check_is_ours(directory)?;
            if Manifest::read(directory)?.as_ref().is_some_and(is_of_another) {
                let (path, what) = (directory.to_owned(), "it is of another journal".to_owned());
                return Err(BackupError::Occupied { path, what });
            }
        }
        let made = |path: PathBuf| {
            fs::create_dir_all(&path).map_err(BackupError::io("can't create", &path))
        };
        made(directory.to_owned())?;
        let lock = DirectoryLock::take(directory).map_err(|error| match error {
            JournalError::InUse { path } => BackupError::InUse { path },
            other => other.into(),
        })?;
        let old = Manifest::read(directory)?;
        write_durably(&directory.join(MARK), MARK_TEXT.as_bytes())?;
        for below in DIRECTORIES {
            made(directory.join(below))?;
        }
        // The directory itself is durable when the one above it is.
        let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
        sync_directory(above.unwrap_or(Path::new(".")))?;
        sync_directory(directory)?;
        let known = old.as_ref().map(|old| old.files.clone()).unwrap_or_default();
        let mut store = Self {
            directory: directory.to_owned(),
            old,
            known,
            copied: BTreeSet::new(),
            bytes_copied: 0,
            recheck,
            _lock: lock,
        };
        store.forget_what_is_gone(recheck)?;
        Ok(store)
    }

    fn forget_what_is_gone(&mut self, recheck: bool) -> Result<(), BackupError> {
        let mut there = BTreeMap::new();
        for (name, entry) in std::mem::take(&mut self.known) {
            let path = self.directory.join(entry.stored_name(&name));
            let Ok(found) = fs::metadata(&path) else { continue };
            if found.len() != entry.len || (recheck && hash_file(&path)? != entry.hash) {
                continue;
            }
            there.insert(name, entry);
        }
        self.known = there;
        Ok(())
    }

    /// What is there under this name.
    pub(super) fn known(&self, name: &str) -> Option<&Entry> {
        self.known.get(name)
    }

    /// Where a file is kept.
    pub(super) fn path(&self, name: &str, entry: &Entry) -> PathBuf {
        self.directory.join(entry.stored_name(name))
    }

    /// Keeps an open file, unless the same is there already. Returns what it is, and whether it was
    /// copied.
    pub(super) fn put_file(
        &mut self,
        name: &str,
        file: &File,
    ) -> Result<(Entry, bool), BackupError> {
        let path = Path::new(name);
        let len = file.metadata().map_err(BackupError::io("can't read", path))?.len();
        if let Some(known) = self.known.get(name).filter(|known| known.len == len) {
            let mut hasher = blake3::Hasher::new();
            for piece in pieces(file, path) {
                hasher.update(&piece?);
            }
            if *hasher.finalize().as_bytes() == known.hash {
                return Ok((known.clone(), false));
            }
        }
        self.put(name, pieces(file, path)).map(|entry| (entry, true))
    }

    /// Keeps these bytes under this name.
    pub(super) fn put<E: Into<BackupError>>(
        &mut self,
        name: &str,
        pieces: impl Iterator<Item = Result<Vec<u8>, E>>,
    ) -> Result<Entry, BackupError> {
        let unfinished = self.directory.join(UNFINISHED);
        let (len, hash) = write_pieces(&unfinished, pieces)?;
        let entry = Entry { len, hash, segment: None };
        let path = self.path(name, &entry);
        fs::rename(&unfinished, &path).map_err(BackupError::io("can't create", &path))?;
        self.bytes_copied += len;
        self.copied.insert(name.to_owned());
        self.known.insert(name.to_owned(), entry.clone());
        Ok(entry)
    }

    /// Length of an artefact that is there already, as it should be.
    pub(super) fn artefact_len(&self, name: &str) -> Result<Option<u64>, BackupError> {
        let Some(len) = self.old.as_ref().and_then(|old| old.shelf.get(name)) else {
            return Ok(None);
        };
        let path = shelf::stored_path(&self.directory, name);
        let there = fs::metadata(&path).is_ok_and(|found| found.len() == *len);
        let whole = there && (!self.recheck || Hex(&hash_file(&path)?).to_string() == name);
        Ok(whole.then_some(*len))
    }

    /// Keeps an artefact, if its bytes are those of its name. Returns its length.
    pub(super) fn put_artefact(
        &mut self,
        name: &str,
        pieces: impl Iterator<Item = Result<Vec<u8>, BackupError>>,
    ) -> Result<Option<u64>, BackupError> {
        let unfinished = self.directory.join(UNFINISHED);
        let (len, hash) = write_pieces(&unfinished, pieces)?;
        if Hex(&hash).to_string() != name {
            return Ok(None);
        }
        let path = shelf::stored_path(&self.directory, name);
        let above = self.directory.join(shelf::DIRECTORY);
        fs::create_dir_all(&above).map_err(BackupError::io("can't create", &above))?;
        fs::rename(&unfinished, &path).map_err(BackupError::io("can't create", &path))?;
        self.bytes_copied += len;
        self.copied.insert(format!("{}/{name}", shelf::DIRECTORY));
        Ok(Some(len))
    }

    /// Remembers where a segment stands, so that another attempt need not read it again.
    pub(super) fn remember(&mut self, name: &str, entry: &Entry) {
        self.known.insert(name.to_owned(), entry.clone());
    }

    /// Takes a file for not copied: it turned out to be damaged.
    pub(super) fn forget(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// Bytes of this manifest's files that need not be copied.
    pub(super) fn bytes_present(&self, manifest: &Manifest) -> u64 {
        let present = manifest.files.iter().filter(|(name, _)| !self.copied.contains(*name));
        let on_shelf = |name: &String| format!("{}/{name}", shelf::DIRECTORY);
        let shelf =
            manifest.shelf.iter().filter(|(name, _)| !self.copied.contains(&on_shelf(name)));
        present.map(|(_, entry)| entry.len).chain(shelf.map(|(_, len)| *len)).sum()
    }

    /// Makes this the backup, and removes what it does not name.
    pub(super) fn finish(self, manifest: &Manifest) -> Result<(), BackupError> {
        let directory = &self.directory;
        for below in DIRECTORIES {
            sync_directory(&directory.join(below))?;
        }
        if !manifest.shelf.is_empty() {
            sync_directory(&directory.join(shelf::DIRECTORY))?;
        }
        let unfinished = directory.join(MANIFEST_UNFINISHED);
        write_durably(&unfinished, manifest.text().as_bytes())?;
        let path = directory.join(manifest::FILE_NAME);
        fs::rename(&unfinished, &path).map_err(BackupError::io("can't create", &path))?;
        sync_directory(directory)?;
        for path in left_over(directory, manifest)? {
            fs::remove_file(&path).map_err(BackupError::io("can't remove", &path))?;
        }
        let mark = directory.join(MARK);
        fs::remove_file(&mark).map_err(BackupError::io("can't remove", &mark))?;
        for below in DIRECTORIES {
            sync_directory(&directory.join(below))?;
        }
        Ok(())
    }
}

/// Refuses a directory that holds something else than a backup, or than what is left of one.
fn check_is_ours(directory: &Path) -> Result<(), BackupError> {
    let files = list(directory)?;
    let marked = [manifest::FILE_NAME, MARK];
    let is_backup = files.iter().any(|name| marked.contains(&name.as_str()));
    let foreign = files.iter().find(|name| match is_backup {
        true => !is_ours(name),
        // One that got no further than to take the lock.
        false => *name != LOCK,
    });
    match foreign {
        None => Ok(()),
        Some(foreign) => {
            let what = format!("it holds {foreign}");
            Err(BackupError::Occupied { path: directory.to_owned(), what })
        }
    }
}

/// Whether a backup may have a file of this name, named by its manifest or not.
fn is_ours(name: &str) -> bool {
    let own = [manifest::FILE_NAME, MARK, LOCK, UNFINISHED, MANIFEST_UNFINISHED];
    let artefact = name.strip_prefix("shelf/").is_some_and(manifest::is_artefact_name);
    own.contains(&name) || manifest::is_name(name) || artefact
}

/// Files of a backup that its manifest does not name.
fn left_over(directory: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>, BackupError> {
    let files = manifest.files.iter().map(|(name, entry)| entry.stored_name(name));
    let artefacts = manifest.shelf.keys().map(|name| format!("{}/{name}", shelf::DIRECTORY));
    let named: BTreeSet<_> = files.chain(artefacts).collect();
    let own = [manifest::FILE_NAME, MARK, LOCK];
    let files = list(directory)?.into_iter();
    let left = files.filter(|name| !named.contains(name) && !own.contains(&name.as_str()));
    Ok(left.map(|name| directory.join(name)).collect())
}

/// Refuses a backup in which there is something that nobody put there. An interrupted backup left
/// files of its own: they do no harm.
pub(super) fn check_no_strays(directory: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let interrupted = directory.join(MARK).exists();
    for path in left_over(directory, manifest)? {
        let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy();
        if !(interrupted && is_ours(&name)) {
            return Err(BackupError::Stray { path });
        }
    }
    Ok(())
}

/// Names of what is in a backup's directory and in those that belong to it.
fn list(directory: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    let directories = || DIRECTORIES.into_iter().chain([shelf::DIRECTORY]);
    for below in directories() {
        let path = directory.join(below);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(BackupError::io("can't list", &path))?,
        };
        for entry in entries {
            let entry = entry.map_err(BackupError::io("can't list", &path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_known = below.is_empty() && directories().any(|known| known == name);
            if !(is_known && entry.path().is_dir()) {
                names.push(if below.is_empty() { name } else { format!("{below}/{name}") });
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Writes bytes to a new file, durably. Returns how many, and their BLAKE3.
pub(super) fn write_pieces<E: Into<BackupError>>(
    path: &Path,
    pieces: impl Iterator<Item = Result<Vec<u8>, E>>,
) -> Result<(u64, [u8; 32]), BackupError> {
    let mut file = File::create(path).map_err(BackupError::io("can't create", path))?;
    let mut hasher = blake3::Hasher::new();
    let mut len = 0;
    for piece in pieces {
        let piece = piece.map_err(Into::into)?;
        hasher.update(&piece);
        file.write_all(&piece).map_err(BackupError::io("can't write", path))?;
        len += piece.len() as u64;
    }
    file.sync_all().map_err(BackupError::io("can't sync", path))?;
    Ok((len, *hasher.finalize().as_bytes()))
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let whole = std::iter::once(Ok::<_, BackupError>(bytes.to_vec()));
    write_pieces(path, whole).map(|_| ())
}

/// All bytes of an open file, a mebibyte at a time. `path` is for messages only.
pub(super) fn pieces<'a>(
    file: &'a File,
    path: &'a Path,
) -> impl Iterator<Item = Result<Vec<u8>, BackupError>> + 'a {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let mut piece = vec![0; PIECE];
        match file.read_at(&mut piece, offset) {
            Ok(0) => None,
            Ok(count) => {
                offset += count as u64;
                piece.truncate(count);
                Some(Ok(piece))
            }
            Err(error) => Some(Err(BackupError::io("can't read", path)(error))),
        }
    })
}

fn hash_file(path: &Path) -> Result<[u8; 32], BackupError> {
    let file = File::open(path).map_err(BackupError::io("can't open", path))?;
    let mut hasher = blake3::Hasher::new();
    for piece in pieces(&file, path) {
        hasher.update(&piece?);
    }
    Ok(*hasher.finalize().as_bytes())
}

pub(super) fn sync_directory(directory: &Path) -> Result<(), BackupError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(BackupError::io("can't sync", directory))
}
