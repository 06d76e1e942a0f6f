//! A log that was built anew from the journal, and is to take the place of the one that is there:
//! consumes both, and guarantees that the new one goes on from every checkpoint that was signed for
//! the old one, with the same key.

use std::{fs, io, path::Path};

use super::{
    AuditConfig, AuditError, Checkpoint,
    chain::{chain_of, notes_of},
    key::{PublicKey, SigningKey},
    layout::{FORMAT, Layout},
    nodes::Nodes as _,
    reader::read_checkpoint,
    recover::key_path,
    tree::TreeReader,
};

/// Which checkpoints of the old log are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// All.
    All,
    /// Those that the new log has come to already.
    SoFar,
}

/// Whether the key that signs is that of the log in `dir`: to be asked before a log is built anew, which
/// would make a key where there is none.
///
/// # Errors
/// When it is another one, or is not there.
pub fn check_key(dir: &Path, config: &AuditConfig) -> Result<(), AuditError> {
    let Some(layout) = signed_log(dir)? else { return Ok(()) };
    let path = key_path(dir, config);
    let public = PublicKey::read(&layout.public_key().to_string_lossy())?;
    if !path.is_file() {
        let problem = format!(
            "is not there, and the log that is to be replaced was signed with {public}. Put the key \
             back from its backup; to begin with another one, move the log's directory aside"
        );
        return Err(AuditError::Key { path, problem });
    }
    let key = SigningKey::load_or_create(&path, &config.origin)?;
    if *key.public() == public {
        return Ok(());
    }
    let key = key.public();
    let problem = format!(
        "is {key}, and the log that is to be replaced was signed with {public}. Put back the key \
         (sinks.audit.key_file) and the origin that it was begun with; to begin with other ones, move \
         the log's directory aside"
    );
    Err(AuditError::Key { path, problem })
}

/// Compares the log in `fresh`, which was built anew, with the checkpoints of the one in `dir`.
///
/// # Errors
/// [`AuditError::Contradicts`] where the new one does not have what was signed, or that can't be told.
pub fn check_succession(dir: &Path, fresh: &Path, compared: Compared) -> Result<(), AuditError> {
    let Some(old) = signed_log(dir)? else { return Ok(()) };
    let new = Layout::of_log(fresh)?;
    let key = PublicKey::read(&old.public_key().to_string_lossy())?;
    let keys = chain_of(&old, &key)?.map_err(AuditError::Contradicts)?;
    // What is signed is in the files already.
    let entries = leaves(&new)?;
    let mut tree = TreeReader::new(&new);
    let mut compare = |name: &str, checkpoint: &Checkpoint| {
        let contradicts = |problem: String| {
            AuditError::Contradicts(format!("{name} of the log in {} {problem}", dir.display()))
        };
        keys.check(checkpoint).map_err(contradicts)?;
        let (size, time) = (checkpoint.tree_size, crate::text::rfc3339(checkpoint.time));
        match size > entries {
            true if compared == Compared::SoFar => Ok(()),
            true => Err(contradicts(format!(
                "was signed over {size} entries at {time}, and the journal has {entries} events"
            ))),
            false if tree.root(size)? == checkpoint.root_hash => Ok(()),
            false => Err(contradicts(format!(
                "was signed over {size} entries at {time}, and the journal comes to another root for \
                 them"
            ))),
        }
    };
    let (sizes, _) = old.list_checkpoints()?;
    for size in sizes {
        let path = old.checkpoint_of(size);
        compare(&old.short(&path), &readable(&path)?)?;
    }
    compare("checkpoint", &readable(&old.checkpoint())?)?;
    // Whoever trusts an earlier key goes on from there. Statements are of trees that were compared.
    if compared == Compared::All {
        hand_down_keys(&old, &new)?;
    }
    Ok(())
}

fn hand_down_keys(old: &Layout, new: &Layout) -> Result<(), AuditError> {
    for (number, (_, note)) in (1..).zip(notes_of(old)?) {
        fs::create_dir_all(new.keys()).map_err(AuditError::io("create", new.keys()))?;
        let path = new.key_statement(number);
        let written = fs::write(&path, note).and_then(|()| fs::File::open(&path)?.sync_all());
        written.map_err(AuditError::io("write", &path))?;
    }
    Ok(())
}

/// A checkpoint that can't be read leaves open what was signed.
fn readable(path: &Path) -> Result<Checkpoint, AuditError> {
    read_checkpoint(path).map_err(|error| AuditError::Contradicts(error.to_string()))
}

/// The log in the directory, if there is one that has checkpoints.
fn signed_log(dir: &Path) -> Result<Option<Layout>, AuditError> {
    let layout = Layout::new(dir);
    match fs::read_to_string(layout.format()) {
        Ok(found) if found == FORMAT => Ok(Some(layout)),
        Ok(found) => Err(layout.other_format(&found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AuditError::io("read", layout.format())(error)),
    }
}

/// Entries whose hashes are in the tree's file.
fn leaves(layout: &Layout) -> Result<u64, AuditError> {
    let path = layout.level(0);
    match fs::metadata(&path) {
        Ok(found) => Ok(found.len() / 32),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(AuditError::io("measure", path)(error)),
    }
}
