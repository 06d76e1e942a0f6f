//! Lines of a file: consumes messages, produces a line of JSON each, durable before it counts as
//! delivered. At least once, as every channel; `key` tells repeats.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use millrace_ledger::Timestamp;
use serde_json::json;

use super::{super::FileConfig, Accepted, Delivering, Envelope, Item, Provider, Refused};
use crate::{SinkError, line_file::LineFile, text::rfc3339};

const FILE_NAME: &str = "deliveries.jsonl";

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Mutex<LineFile>,
}

impl Lines {
    pub(super) fn open(config: &FileConfig, dir: &Path) -> Result<Self, SinkError> {
        let path = match config.path.as_os_str().is_empty() {
            true => dir.join(FILE_NAME),
            false => config.path.clone(),
        };
        Ok(Self { lines: Mutex::new(LineFile::open(&path)?) })
    }

    fn write(&self, line: &[u8]) -> Result<(), SinkError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.begin()?;
        lines.append(line)?;
        lines.commit()
    }
}

impl Provider for Lines {
    fn deliver(&self, envelope: Arc<Envelope>, now: Timestamp) -> Delivering {
        let items: Vec<_> = envelope.items.iter().map(Item::json).collect();
        let line = json!({
            "key": envelope.key,
            "time": rfc3339(now),
            "subject": envelope.subject,
            "body": envelope.text,
            "notifications": items,
        });
        let written = self.write(format!("{line}\n").as_bytes());
        Box::pin(async move {
            match written {
                Ok(()) => Ok(Accepted::Delivered),
                Err(error) => Err(Refused::transient(error.to_string())),
            }
        })
    }
}
