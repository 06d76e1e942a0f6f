//! Queries by their hash: consumes requests, produces the documents that they mean. Knows trusted
//! documents, which are files that an operator puts there, and remembers those that clients have
//! sent before (Apollo's automatic persisted queries). Guarantees that what is remembered is
//! bounded, and that where only trusted documents are allowed, nothing else is run.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_graphql::{Request, ServerError, Value, parser::types::ExecutableDocument};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::{config::GraphqlConfig, error::refusal, guard::Guard};

type Hash = [u8; 32];

/// Why the trusted documents can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PersistedError {
    /// A file can't be read.
    #[error("sinks.graphql.persisted_dir: {} can't be read: {source}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file holds no query that would be answered.
    #[error("sinks.graphql.persisted_dir: {} is refused: {problem}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// There is nothing that may be asked.
    #[error(
        "sinks.graphql.persisted_only is true, but persisted_dir names no directory with a file \
         *.graphql: nothing could be asked"
    )]
    NoneTrusted,
}

/// The documents that are known by their hash.
#[derive(Clone)]
pub(super) struct Persisted {
    trusted: Arc<HashMap<Hash, ExecutableDocument>>,
    trusted_only: bool,
    remembered: Cache<Hash, Arc<ExecutableDocument>>,
}

impl Persisted {
    /// Reads the trusted documents.
    ///
    /// # Errors
    /// When a file can't be read or would be refused, and when only trusted documents are allowed
    /// and there are none.
    pub(super) fn open(config: &GraphqlConfig, guard: &Guard) -> Result<Self, PersistedError> {
        let trusted = match &config.persisted_dir {
            Some(dir) => read_dir(dir, guard)?,
            None => HashMap::new(),
        };
        if config.persisted_only && trusted.is_empty() {
            return Err(PersistedError::NoneTrusted);
        }
        Ok(Self {
            trusted: Arc::new(trusted),
            trusted_only: config.persisted_only,
            remembered: Cache::new(config.limits.persisted_entries),
        })
    }

    /// The document that the request means.
    pub(super) fn document(
        &self,
        request: &mut Request,
        guard: &Guard,
    ) -> Result<ExecutableDocument, ServerError> {
        let named = request.extensions.remove("persistedQuery");
        let named = named.map(|value| hash_of(&value)).transpose()?;
        if let Some(hash) = named
            && request.query.is_empty()
        {
            return self
                .known(&hash)
                .ok_or_else(|| refusal("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND"));
        }
        if named.is_none() && !self.trusted_only {
            return guard.parse(&request.query);
        }
        let hash: Hash = Sha256::digest(request.query.as_bytes()).into();
        if named.is_some_and(|named| named != hash) {
            let text = "the hash is not that of the query: SHA-256 of its text, in hexadecimal";
            return Err(refusal(text, "PERSISTED_QUERY_MISMATCH"));
        }
        if let Some(known) = self.known(&hash) {
            return Ok(known);
        }
        if self.trusted_only {
            let text = "only trusted documents are answered here, and this is none of them";
            return Err(refusal(text, "PERSISTED_QUERY_REQUIRED"));
        }
        let document = guard.parse(&request.query)?;
        self.remembered.insert(hash, Arc::new(document.clone()));
        Ok(document)
    }

    fn known(&self, hash: &Hash) -> Option<ExecutableDocument> {
        if let Some(trusted) = self.trusted.get(hash) {
            return Some(trusted.clone());
        }
        self.remembered.get(hash).map(|document| document.as_ref().clone())
    }
}

/// The hash of an extension `persistedQuery`.
fn hash_of(value: &Value) -> Result<Hash, ServerError> {
    let malformed = || {
        let text = "extensions.persistedQuery is not as it should be: version 1 and sha256Hash, \
                    64 hexadecimal digits";
        refusal(text, "PERSISTED_QUERY_MALFORMED")
    };
    let Value::Object(fields) = value else { return Err(malformed()) };
    if fields.get("version") != Some(&Value::Number(1.into())) {
        return Err(malformed());
    }
    match fields.get("sha256Hash") {
        Some(Value::String(text)) => {
            crate::text::parse_hash(text.to_ascii_lowercase().as_bytes()).ok_or_else(malformed)
        }
        _ => Err(malformed()),
    }
}

fn read_dir(
    dir: &Path,
    guard: &Guard,
) -> Result<HashMap<Hash, ExecutableDocument>, PersistedError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| PersistedError::Unreadable { path, source }
    };
    let mut trusted = HashMap::new();
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let path = entry.map_err(unreadable(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "graphql") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        let document = guard.parse(&text);
        let document = document.map_err(|error| PersistedError::Refused {
            path: path.clone(),
            problem: error.message,
        })?;
        trusted.insert(Sha256::digest(text.as_bytes()).into(), document);
    }
    Ok(trusted)
}
