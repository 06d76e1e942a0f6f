//! Replacing the key of a log: consumes the log, which nobody writes meanwhile, produces a statement
//! that both keys sign, and guarantees that a stop at any moment leaves the old key or the new one.
//!
//! | step | a stop behind it |
//! |---|---|
//! | the old key signs a last checkpoint | the old key goes on |
//! | the new key is made, as `<key file>.next` | the same; the next rotation takes that one |
//! | both sign the statement, `keys/<number>` | the next start does the rest |
//! | the old key is kept as `<key file>.retired-<id>`, the new one takes its place | the same |
//! | `key.pub` and `checkpoint` are those of the new key | nothing is left to do |

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{
    AuditConfig, AuditError, AuditSink, Checkpoint,
    chain::{KeyChain, Statement, chain_of, notes_of},
    key::{PublicKey, SigningKey},
    layout::Layout,
    reader::read_checkpoint,
    recover::{key_path, take_lock},
    signer,
};
use crate::{
    SinkError,
    held_file::HeldFile,
    line_file::{create_dir, replace, sync_dir_of},
};

/// A key that is about to be replaced.
#[derive(Debug)]
pub struct KeyRotation {
    layout: Layout,
    key_path: PathBuf,
    origin: String,
    last: Checkpoint,
    old: SigningKey,
    new: SigningKey,
    _lock: HeldFile,
}

impl KeyRotation {
    /// Has the old key sign a last checkpoint, and makes the new key beside it. Nothing has changed
    /// yet.
    ///
    /// # Errors
    /// When there is no log, a process writes it, or it does not hold what was signed.
    pub fn prepare(dir: &Path, config: &AuditConfig) -> Result<Self, SinkError> {
        let layout = Layout::of_log(dir)?;
        // Puts right what a crash left, and signs what is not signed yet.
        drop(AuditSink::open(dir, config)?);
        let lock = take_lock(&layout)?;
        let key_path = key_path(dir, config);
        let old = SigningKey::load_or_create(&key_path, &config.origin)?;
        let last = read_checkpoint(&layout.checkpoint())?;
        let chain = chain_of(&layout, old.public())?.map_err(AuditError::KeyChain)?;
        chain.check(&last).map_err(AuditError::KeyChain)?;
        let new = SigningKey::load_or_create(&beside(&key_path, "next"), &config.origin)?;
        let origin = config.origin.clone();
        Ok(Self { layout, key_path, origin, last, old, new, _lock: lock })
    }

    /// The key that is replaced.
    #[must_use]
    pub fn old_key(&self) -> &PublicKey {
        self.old.public()
    }

    /// The key that takes its place.
    #[must_use]
    pub fn new_key(&self) -> &PublicKey {
        self.new.public()
    }

    /// Entries that the old key has signed.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.last.tree_size
    }

    /// Signs the statement with both keys, and puts the new one in the old one's place. Returns where
    /// the old one is kept.
    ///
    /// # Errors
    /// When a file can't be written. The next start goes on where this ended.
    pub fn commit(self) -> Result<PathBuf, SinkError> {
        let statement = Statement::sign(&self.old, &self.new, &self.last);
        create_dir(&self.layout.keys())?;
        let number = self.layout.list_keys()?.last().map_or(1, |last| last + 1);
        replace(&self.layout.key_statement(number), statement.to_note().as_bytes())?;
        finish(&self.layout, &self.key_path, &self.origin)?;
        Ok(retired(&self.key_path, self.old.public()))
    }
}

/// Does what is left of a rotation, if anything is: the newest statement says which key signs.
pub(super) fn finish(layout: &Layout, key_path: &Path, origin: &str) -> Result<(), SinkError> {
    let Some((name, note)) = notes_of(layout)?.pop() else { return Ok(()) };
    let Some(statement) = Statement::parse(&note) else {
        return Err(AuditError::KeyChain(format!("{name}: is no statement of a new key")).into());
    };
    let next = beside(key_path, "next");
    if next.is_file() && key_path.is_file() {
        let [old, new] = [key_path, &next].map(|path| SigningKey::load_or_create(path, origin));
        let (old, new) = (old?, new?);
        if (old.public(), new.public()) == (&statement.old, &statement.new) {
            let kept = retired(key_path, &statement.old);
            if !kept.exists() {
                fs::hard_link(key_path, &kept).map_err(SinkError::io("link", &kept))?;
            }
            fs::rename(&next, key_path).map_err(SinkError::io("rename", &next))?;
            sync_dir_of(key_path)?;
        }
    }
    let public = PublicKey::read(&layout.public_key().to_string_lossy())?;
    if public != statement.old || !key_path.is_file() {
        return Ok(());
    }
    let key = SigningKey::load_or_create(key_path, origin)?;
    if *key.public() != statement.new {
        return Ok(());
    }
    let Checkpoint { tree_size, root_hash, oldest, .. } =
        KeyChain::checked_last(layout, &statement)?;
    let signed = Checkpoint::sign(&key, tree_size, root_hash, oldest, signer::now());
    replace(&layout.checkpoint(), signed.to_note().as_bytes())?;
    // Last: as long as it names the old key, all of this is done again.
    replace(&layout.public_key(), format!("{}\n", key.public()).as_bytes())
}

impl KeyChain {
    /// The newest checkpoint, if it is of the statement's tree: whichever of the two keys signed it.
    fn checked_last(layout: &Layout, statement: &Statement) -> Result<Checkpoint, AuditError> {
        let last = read_checkpoint(&layout.checkpoint())?;
        let at = &statement.checkpoint;
        let by_one = [&statement.old, &statement.new].iter().any(|key| last.check(key).is_ok());
        if by_one && (last.tree_size, last.root_hash) == (at.tree_size, at.root_hash) {
            return Ok(last);
        }
        Err(AuditError::KeyChain(
            "checkpoint: is not the one at which the key was replaced".to_owned(),
        ))
    }
}

/// Where a key that was replaced is kept.
fn retired(key_path: &Path, key: &PublicKey) -> PathBuf {
    beside(key_path, &format!("retired-{:08x}", u32::from_be_bytes(key.id())))
}

/// `audit.key.next`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".");
    name.push(suffix);
    name.into()
}
