//! Signed checkpoints: consume a tree's size and root, produce a note that a person can read and any
//! C2SP program can check.
//!
//! ```text
//! millrace-audit                                   the log's name
//! 77                                               entries of the tree
//! qqPkuVjHXL25R3TLDmVvAa2xC4RyNGCzTdqJ0Gn5Fq0=     its root
//! time 2026-11-20T08:30:00.000000000Z              when it was signed
//! oldest 0                                         the oldest entry that is kept
//!
//! — millrace-audit Lq0Vh…                          key id and Ed25519 signature over the lines above
//! ```

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use millrace_ledger::Timestamp;

use super::{
    AuditError,
    key::{PublicKey, SigningKey, is_name},
    merkle::Hash,
};
use crate::text::{parse_rfc3339, rfc3339};

/// A tree head with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Entries of the tree.
    pub tree_size: u64,
    /// Root of the tree.
    pub root_hash: Hash,
    /// When it was signed, by the clock of the process that writes the log.
    pub time: Timestamp,
    /// The oldest entry that was kept at that time, from 0.
    pub oldest: u64,
    /// Which key signed: the first four bytes of SHA-256 over the key's name and bytes.
    pub key_id: [u8; 4],
    /// Ed25519, over the text.
    pub signature: [u8; 64],
}

impl Checkpoint {
    pub(super) fn sign(
        key: &SigningKey,
        tree_size: u64,
        root_hash: Hash,
        oldest: u64,
        time: Timestamp,
    ) -> Self {
        let mut checkpoint = Self {
            origin: key.public().name().to_owned(),
            tree_size,
            root_hash,
            time,
            oldest,
            key_id: key.public().id(),
            signature: [0; 64],
        };
        checkpoint.signature = key.sign(checkpoint.text().as_bytes());
        checkpoint
    }

    /// What the signature covers.
    pub(super) fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\ntime {}\noldest {}\n",
            self.origin,
            self.tree_size,
            BASE64.encode(self.root_hash),
            rfc3339(self.time),
            self.oldest
        )
    }

    /// The signed note, as it stands in the file.
    #[must_use]
    pub fn to_note(&self) -> String {
        let signature = BASE64.encode([&self.key_id[..], &self.signature].concat());
        format!("{}\n\u{2014} {} {signature}\n", self.text(), self.origin)
    }

    /// Reads a note. `source` is where it is from, for the error.
    ///
    /// # Errors
    /// When it is not exactly what [`Self::to_note`] writes. The signature is not checked.
    pub fn parse(note: &str, source: &Path) -> Result<Self, AuditError> {
        parse(note).map_err(|problem| AuditError::Checkpoint {
            path: source.to_owned(),
            problem: problem.to_owned(),
        })
    }

    /// Checks that the key signed it.
    ///
    /// # Errors
    /// What is wrong, in words that go on after "the checkpoint".
    pub fn check(&self, key: &PublicKey) -> Result<(), String> {
        if self.origin != key.name() {
            return Err(format!("is of the log {}, and the key is of {}", self.origin, key.name()));
        }
        if self.key_id != key.id() {
            let [signed, given] = [self.key_id, key.id()].map(u32::from_be_bytes);
            return Err(format!(
                "was signed with the key {signed:08x}, and the key given is {given:08x}"
            ));
        }
        match key.has_signed(self.text().as_bytes(), &self.signature) {
            true => Ok(()),
            false => Err("was changed: its signature does not fit its text".to_owned()),
        }
    }
}

fn parse(note: &str) -> Result<Checkpoint, &'static str> {
    let lines: Vec<&str> = note.split('\n').collect();
    let [origin, size, root, time, oldest, "", signature, ""] = lines.as_slice() else {
        return Err("it does not have eight lines, the sixth and the last one empty");
    };
    let root_hash = BASE64.decode(root).ok().and_then(|root| root.try_into().ok());
    let time = time.strip_prefix("time ").and_then(parse_rfc3339);
    let oldest = oldest.strip_prefix("oldest ").and_then(|oldest| oldest.parse().ok());
    let signature = signature.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
    let signed = signature.and_then(|(_, text)| BASE64.decode(text).ok());
    let (key_id, signature) = signed
        .as_deref()
        .and_then(|signed| signed.split_first_chunk())
        .ok_or("its last line is no signature")?;
    let checkpoint = Checkpoint {
        origin: (*origin).to_owned(),
        tree_size: size.parse().map_err(|_| "its second line is no number of entries")?,
        root_hash: root_hash.ok_or("its third line is no hash in base64")?,
        time: time.ok_or("its fourth line is no time")?,
        oldest: oldest.ok_or("its fifth line does not tell the oldest entry")?,
        key_id: *key_id,
        signature: signature.try_into().map_err(|_| "its signature is not of 64 bytes")?,
    };
    // One way to write it only: what is signed is what was read.
    match is_name(origin) && checkpoint.to_note() == note {
        true => Ok(checkpoint),
        false => Err("it is not written as this program writes it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::merkle::empty_root;

    fn signed() -> (SigningKey, Checkpoint) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = SigningKey::load_or_create(&dir.path().join("key"), "test/log").expect("a key");
        let time = Timestamp(1_795_163_400_000_000_001);
        let checkpoint = Checkpoint::sign(&key, 77, empty_root(), 5, time);
        (key, checkpoint)
    }

    #[test]
    fn a_note_reads_back_and_its_signature_holds() {
        let (key, checkpoint) = signed();
        let note = checkpoint.to_note();
        let start = "test/log\n77\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\
                     time 2026-11-20T08:30:00.000000001Z\noldest 5\n\n\u{2014} test/log ";
        assert!(note.starts_with(start), "{note}");
        let read = Checkpoint::parse(&note, Path::new("checkpoint")).expect("reads");
        assert_eq!(read, checkpoint);
        assert_eq!(read.check(key.public()), Ok(()));
    }

    /// Every single changed bit either makes it unreadable or breaks the signature.
    #[test]
    fn any_changed_bit_is_found() {
        let (key, checkpoint) = signed();
        let note = checkpoint.to_note().into_bytes();
        for bit in 0..note.len() * 8 {
            let mut changed = note.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(text) = String::from_utf8(changed) else { continue };
            if let Ok(read) = Checkpoint::parse(&text, Path::new("checkpoint")) {
                assert!(read.check(key.public()).is_err(), "bit {bit}: {text}");
            }
        }
        let (other, _) = signed();
        let said = checkpoint.check(other.public()).expect_err("another key");
        assert!(said.contains("was signed with the key"), "{said}");
    }
}
