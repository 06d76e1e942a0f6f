//! Settings of the audit log.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    AuditError,
    index::{BLOCK_ENTRIES, BLOCKS_MAX},
    key::is_name,
};

/// Settings of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Whether the log is written. Default: true.
    pub enabled: bool,
    /// The log's name, which is in every checkpoint. Default: `millrace-audit`.
    pub origin: String,
    /// The private key that signs checkpoints; made when it is not there. Default (empty): the file
    /// `audit.key` beside the log's directory.
    pub key_file: PathBuf,
    /// Least time between two checkpoints, in milliseconds; 0 signs after every commit. Default 1000.
    pub checkpoint_interval_ms: u64,
    /// Size at which a segment is sealed and compressed, in mebibytes. Default 64.
    pub segment_mib: u64,
    /// Hours that a segment spans at most, by the time of its events; 0 sets no limit. Default 24.
    pub segment_hours: u64,
    /// Days after which sealed segments are removed; their hashes stay. 0 keeps them all. Default 0.
    pub retain_days: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            origin: "millrace-audit".to_owned(),
            key_file: PathBuf::new(),
            checkpoint_interval_ms: 1_000,
            segment_mib: 64,
            segment_hours: 24,
            retain_days: 0,
        }
    }
}

/// No entry is shorter than this, so a segment has no more blocks than its index can tell apart.
const ENTRY_BYTES_MIN: u64 = 256;
const SEGMENT_MIB_MAX: u64 = (BLOCKS_MAX * BLOCK_ENTRIES * ENTRY_BYTES_MIN) >> 20;
const INTERVAL_MS_MAX: u64 = 3_600_000;

impl AuditConfig {
    /// Checks what the types can't.
    ///
    /// # Errors
    /// The setting that does not make sense.
    pub fn check(&self) -> Result<(), AuditError> {
        let wrong = |key, value: String, must_be| Err(AuditError::Setting { key, value, must_be });
        if !is_name(&self.origin) {
            let must_be = "a name without blanks and without a plus sign";
            return wrong("origin", format!("{:?}", self.origin), must_be);
        }
        if self.checkpoint_interval_ms > INTERVAL_MS_MAX {
            let value = self.checkpoint_interval_ms.to_string();
            return wrong("checkpoint_interval_ms", value, "0 to 3600000");
        }
        const { assert!(SEGMENT_MIB_MAX == 4_096, "as the text below says") };
        if !(1..=SEGMENT_MIB_MAX).contains(&self.segment_mib) {
            return wrong("segment_mib", self.segment_mib.to_string(), "1 to 4096");
        }
        Ok(())
    }
}
