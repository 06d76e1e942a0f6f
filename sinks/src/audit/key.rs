//! The log's key: Ed25519, its private half in a file of its own, its public half as one line of text
//! (the verifier key of C2SP signed notes).

use std::{
    fmt, fs,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha256};

use super::AuditError;
use crate::line_file::sync_dir_of;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// What C2SP calls Ed25519.
const ALGORITHM: u8 = 1;
/// An Ed25519 key's `SubjectPublicKeyInfo` before the key (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const MODE: u32 = 0o600;

/// Signs checkpoints.
#[derive(Debug)]
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// Checks the signatures of a log's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    bytes: [u8; 32],
}

impl SigningKey {
    /// Reads the key, or makes one where there is none.
    pub(super) fn load_or_create(path: &Path, name: &str) -> Result<Self, AuditError> {
        match fs::read_to_string(path) {
            Ok(pem) => {
                warn_if_open(path);
                Self::of_pem(&pem, name).ok_or_else(|| AuditError::Key {
                    path: path.to_owned(),
                    problem:
                        "is not an Ed25519 private key in PEM form (PKCS #8). Put the key back \
                              from its backup"
                            .to_owned(),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path, name),
            Err(error) => Err(AuditError::io("read", path)(error)),
        }
    }

    fn create(path: &Path, name: &str) -> Result<Self, AuditError> {
        let failed = |_| AuditError::Key {
            path: path.to_owned(),
            problem: "could not be made: the system has no random numbers".to_owned(),
        };
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let document = pair.to_pkcs8v1().map_err(failed)?;
        let pem = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", BASE64.encode(document.as_ref()));
        let fresh = path.with_extension("new");
        let write = || -> io::Result<()> {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            dir.map_or(Ok(()), fs::create_dir_all)?;
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(MODE).open(&fresh)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, path)
        };
        write().map_err(AuditError::io("write", path))?;
        sync_dir_of(path).map_err(|_| AuditError::Key {
            path: path.to_owned(),
            problem: "could not be made durable".to_owned(),
        })?;
        tracing::info!(key = %path.display(), "made a key that signs the audit log");
        Ok(Self::new(pair, name))
    }

    fn of_pem(pem: &str, name: &str) -> Option<Self> {
        let (_, rest) = pem.split_once(PEM_BEGIN)?;
        let (text, _) = rest.split_once(PEM_END)?;
        let text: String = text.split_whitespace().collect();
        let document = BASE64.decode(text).ok()?;
        Some(Self::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).ok()?, name))
    }

    fn new(pair: Ed25519KeyPair, name: &str) -> Self {
        let bytes = pair.public_key().as_ref().try_into().expect("Ed25519 keys have 32 bytes");
        Self { pair, public: PublicKey { name: name.to_owned(), bytes } }
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.pair.sign(text).as_ref().try_into().expect("Ed25519 signatures have 64 bytes")
    }
}

/// A key that others can read signs nothing that they could not.
fn warn_if_open(path: &Path) {
    let mode = fs::metadata(path).map_or(MODE, |found| found.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(
            key = %path.display(), mode = format!("{mode:o}"),
            "others can read the key of the audit log: chmod 600",
        );
    }
}

impl PublicKey {
    /// The log's name, which is in every checkpoint.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name, line feed, algorithm and key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ALGORITHM])
            .chain_update(self.bytes)
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// PEM, as OpenSSL reads it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let text = BASE64.encode([&SPKI[..], &self.bytes].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// Whether the signature is this key's, over this text.
    pub(super) fn has_signed(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(text, signature).is_ok()
    }

    /// Reads a key that is given as text, or the file that has it.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(text_or_path: &str) -> Result<Self, AuditError> {
        if let Ok(key) = text_or_path.parse() {
            return Ok(key);
        }
        let path = PathBuf::from(text_or_path);
        let wrong = |problem: String| AuditError::Key { path: path.clone(), problem };
        let text = fs::read_to_string(&path).map_err(|error| {
            wrong(format!(
                "is neither a public key (NAME+ID+BASE64, as `millrace audit key` prints it) nor a \
                 file that can be read: {error}"
            ))
        })?;
        text.trim().parse().map_err(|KeyError| {
            wrong("holds no public key (NAME+ID+BASE64, as `millrace audit key` prints it)".into())
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let bytes = BASE64.encode([&[ALGORITHM][..], &self.bytes].concat());
        write!(f, "{}+{id:08x}+{bytes}", self.name)
    }
}

/// The text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key of the form NAME+ID+BASE64")]
pub struct KeyError;

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError);
        };
        let bytes = BASE64.decode(bytes).map_err(|_| KeyError)?;
        let Some((&ALGORITHM, bytes)) = bytes.split_first() else { return Err(KeyError) };
        let bytes = bytes.try_into().map_err(|_| KeyError)?;
        let key = Self { name: name.to_owned(), bytes };
        // The id in the text is that of the name and the key, or one of them was changed.
        if is_name(name) && key.to_string() == text { Ok(key) } else { Err(KeyError) }
    }
}

/// Whether the name can stand in a checkpoint.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_read_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("keys").join("audit.key");
        let made = SigningKey::load_or_create(&path, "test").expect("makes one");
        let mode = fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let read = SigningKey::load_or_create(&path, "test").expect("reads it");
        assert_eq!(made.public(), read.public());
        let signature = made.sign(b"text");
        assert!(read.public().has_signed(b"text", &signature));
        assert!(!read.public().has_signed(b"texts", &signature));
        fs::write(&path, "no key\n").expect("written");
        let error = SigningKey::load_or_create(&path, "test").expect_err("is none");
        assert!(error.to_string().contains("Put the key back"), "{error}");
    }

    /// The key of the C2SP specification of signed notes.
    #[test]
    fn a_public_key_is_text_that_any_change_spoils() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: PublicKey = text.parse().expect("is one");
        assert_eq!((key.name(), key.id()), ("PeterNeumann", [0xc7, 0x4f, 0x20, 0xa3]));
        assert_eq!(key.to_string(), text);
        let spoilt = ["QeterNeumann", "c74f20a4", "BRpc2QcUPDhMQegwxbzhKqiBfsVkmqq"];
        for (part, other) in
            ["PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq"].into_iter().zip(spoilt)
        {
            assert_eq!(text.replace(part, other).parse::<PublicKey>(), Err(KeyError), "{other}");
        }
        for text in ["", "name", "name+00000000", "name+00000000+AQ=="] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError), "{text}");
        }
    }
}
