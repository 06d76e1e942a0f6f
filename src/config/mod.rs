//! The configuration: consumes a TOML file, produces typed settings, checked against each other.
//!
//! Every key has a default; `configs/dev.toml` lists them all. An unknown key is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use millrace_engine::{EngineConfig, Retention};
use millrace_ingest::IngestConfig;
use millrace_postgres::PostgresConfig;
use millrace_protos::context::is_other_key;
use millrace_risk::{
    FeaturesConfig, Policy, RiskConfig,
    features::{Catalogue, ProfileLimits},
    policy::{Library, ScoringConfig, own_context_keys},
    shelf::Shelf,
};
use millrace_sinks::SinksConfig;
use millrace_stream::StreamConfig;
use serde::Deserialize;

pub(crate) use self::error::ConfigError;
use crate::metrics::MetricsConfig;

mod error;
#[cfg(test)]
mod tests;

/// All settings of `millrace serve`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Directory of journal, audit log, notifications and read store. Default `millrace-data`.
    pub(crate) data_dir: PathBuf,
    /// The gRPC front door.
    pub(crate) ingest: IngestConfig,
    /// The ledger and its journal.
    pub(crate) engine: EngineSettings,
    /// The risk policy.
    pub(crate) risk: RiskConfig,
    /// Audit log, notifications, GraphQL, review desk.
    pub(crate) sinks: SinksConfig,
    /// The feed over NATS.
    pub(crate) stream: StreamConfig,
    /// The read model in PostgreSQL, in place of the embedded one.
    pub(crate) postgres: PostgresConfig,
    /// Where metrics are shown.
    pub(crate) metrics: MetricsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("millrace-data"),
            ingest: IngestConfig::default(),
            engine: EngineSettings::default(),
            risk: RiskConfig::default(),
            sinks: SinksConfig::default(),
            stream: StreamConfig::default(),
            postgres: PostgresConfig::default(),
            metrics: MetricsConfig::default(),
        }
    }
}

/// How the engine works.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineSettings {
    /// Size of a new journal segment, in mebibytes. Default 128.
    pub(crate) segment_mib: u64,
    /// Events after which a batch is full. Default 16384.
    pub(crate) batch_events_max: u32,
    /// Payments, accounts and 128-byte pieces of context that may wait. Default 65536.
    pub(crate) queue_weight_max: u32,
    /// Shards that ids are split over; 0 is 2 on 8 processors or more, else 1. Default 0.
    pub(crate) shards: usize,
    /// Payments after which recent ones are written to a run. Default 524288, 150 bytes each; two
    /// to five times as many are in memory.
    pub(crate) recent_payments: u32,
    /// Memory for the filters of runs, in mebibytes. Default 256.
    pub(crate) filters_mib: u64,
    /// Journal that is written between two snapshots, in mebibytes; 0 takes none, whatever the
    /// interval says. Default 1024.
    pub(crate) snapshot_mib: u64,
    /// Seconds after which a snapshot is taken, if anything happened since the last one; also while
    /// nobody asks for anything. Default 600.
    pub(crate) snapshot_interval_s: u64,
    /// Mebibytes of a snapshot that are written in a second, at most, so that payments don't wait
    /// for the disk; 0 for as fast as it gets. Default 64.
    pub(crate) snapshot_mib_per_s: u64,
    /// Compress journal segments that both kept snapshots cover. Default true.
    pub(crate) archive: bool,
    /// Days after which archived segments are deleted, once no sink needs them; 0 keeps them for
    /// ever. Default 0.
    pub(crate) archive_retention_days: u64,
    /// Mebibytes of archived segments that are kept: beyond, the oldest are deleted, once no sink
    /// needs them; 0 keeps all. Default 0.
    pub(crate) archive_keep_mib: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            segment_mib: 128,
            batch_events_max: 16_384,
            queue_weight_max: 65_536,
            shards: 0,
            recent_payments: 1 << 19,
            filters_mib: 256,
            snapshot_mib: 1_024,
            snapshot_interval_s: 600,
            snapshot_mib_per_s: 64,
            archive: true,
            archive_retention_days: 0,
            archive_keep_mib: 0,
        }
    }
}

impl Config {
    /// Reads a file, or takes the defaults without one.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let path = path.to_owned();
        match fs::read_to_string(&path) {
            Err(source) => Err(ConfigError::Unreadable { path, source }),
            Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::Syntax {
                path,
                complaint: millrace_client::toml_complaint(&error),
            }),
        }
    }

    /// Checks what the types can't, and compiles the risk policy.
    pub(crate) fn check(&self) -> Result<Policy, ConfigError> {
        let bounds = |key, value, within: bool, must_be| match within {
            true => Ok(()),
            false => Err(ConfigError::OutOfBounds { key, value, must_be }),
        };
        let EngineSettings {
            segment_mib,
            batch_events_max,
            queue_weight_max,
            shards,
            recent_payments,
            snapshot_mib,
            snapshot_mib_per_s,
            archive,
            archive_retention_days,
            archive_keep_mib,
            ..
        } = self.engine;
        let message_mib = self.ingest.message_max_mib as u64;
        bounds(
            "engine.segment_mib",
            segment_mib,
            (1..=65_536).contains(&segment_mib),
            "1 to 65536",
        )?;
        bounds(
            "engine.batch_events_max",
            batch_events_max.into(),
            (1..=1 << 20).contains(&batch_events_max),
            "1 to 1048576",
        )?;
        bounds(
            "engine.queue_weight_max",
            queue_weight_max.into(),
            (8_192..=1 << 28).contains(&queue_weight_max),
            "8192 (one full request) to 268435456",
        )?;
        bounds("engine.shards", shards as u64, shards <= 64, "0 (automatic) to 64")?;
        bounds(
            "engine.recent_payments",
            recent_payments.into(),
            (1_024..=1 << 26).contains(&recent_payments),
            "1024 to 67108864",
        )?;
        bounds(
            "engine.snapshot_mib_per_s",
            snapshot_mib_per_s,
            snapshot_mib_per_s <= 1 << 20,
            "0 (as fast as it gets) to 1048576",
        )?;
        // Only what snapshots cover is archived, and only what is archived is deleted.
        let deletes = archive && snapshot_mib > 0;
        for (key, value, most, must_be) in [
            ("engine.archive_retention_days", archive_retention_days, 36_500, "0 to 36500"),
            ("engine.archive_keep_mib", archive_keep_mib, 1 << 40, "0 to 1099511627776"),
        ] {
            bounds(key, value, value <= most, must_be)?;
            bounds(
                key,
                value,
                value == 0 || deletes,
                "0 where engine.archive is false or engine.snapshot_mib is 0: then no segment is \
                 archived, and only archived ones are deleted",
            )?;
        }
        bounds(
            "ingest.message_max_mib",
            message_mib,
            (1..=256).contains(&message_mib),
            "1 to 256",
        )?;
        bounds(
            "ingest.connections_max",
            self.ingest.connections_max.into(),
            self.ingest.connections_max <= 1 << 20,
            "0 (as many as the limit of open files lets in) to 1048576",
        )?;
        let listens = [
            ("ingest.listen", true, self.ingest.listen),
            ("sinks.graphql.listen", true, self.sinks.graphql.listen),
            ("metrics.listen", self.metrics.enabled, self.metrics.listen),
        ];
        for (at, &(second, enabled, address)) in listens.iter().enumerate() {
            let taken = listens[..at].iter().find(|(_, _, other)| *other == address);
            if let (true, Some((first, ..))) = (enabled && address.port() != 0, taken) {
                return Err(ConfigError::SameAddress { first, second, address });
            }
        }
        if self.sinks.graphql.read_only && !self.postgres.is_set() {
            return Err(ConfigError::NothingToRead);
        }
        self.stream.check()?;
        Ok(Policy::new(&self.risk, self.scoring()?)?)
    }

    /// How features are kept, if they are.
    fn scoring(&self) -> Result<Option<ScoringConfig>, ConfigError> {
        let FeaturesConfig { enabled, catalogue, entities_max, context_keys, threads, shards } =
            &self.risk.features;
        if !enabled {
            return Ok(None);
        }
        if !(1..=64).contains(shards) {
            return Err(ConfigError::OutOfBounds {
                key: "risk.features.shards",
                value: *shards as u64,
                must_be: "1 (the engine's own thread) to 64",
            });
        }
        if !(1..=1 << 28).contains(entities_max) {
            return Err(ConfigError::OutOfBounds {
                key: "risk.features.entities_max",
                value: (*entities_max).into(),
                must_be: "1 to 268435456",
            });
        }
        let catalogue = match Catalogue::shipped(catalogue) {
            Some((catalogue, _)) => catalogue,
            None => {
                let file = catalogue;
                let path = PathBuf::from(file);
                let text = fs::read_to_string(&path).map_err(|source| ConfigError::Catalogue {
                    path: path.clone(),
                    complaint: source.to_string(),
                })?;
                Catalogue::parse(&text).map_err(|error| ConfigError::Catalogue {
                    path,
                    complaint: error.to_string(),
                })?
            }
        };
        check_context_keys(&catalogue, context_keys)?;
        let library = Library::new(Shelf::new(&self.shelf_dir()), Arc::new(catalogue));
        let limits = ProfileLimits { entities_max: *entities_max, ..ProfileLimits::default() };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if *threads == 0 { (processors / 2).max(1) } else { *threads };
        Ok(Some(ScoringConfig { library, limits, threads }))
    }

    /// Where policies, models, rules and lists are kept.
    pub(crate) fn shelf_dir(&self) -> PathBuf {
        self.data_dir.join("shelf")
    }

    pub(crate) fn engine(&self) -> EngineConfig {
        let defaults = EngineConfig::new(self.journal_dir());
        let settings = &self.engine;
        EngineConfig {
            segment_bytes: settings.segment_mib << 20,
            batch_events_max: settings.batch_events_max,
            queue_weight_max: settings.queue_weight_max,
            shards: if settings.shards == 0 { defaults.shards } else { settings.shards },
            generation_payments_max: settings.recent_payments,
            filter_memory_max: settings.filters_mib << 20,
            snapshot_bytes: settings.snapshot_mib << 20,
            snapshot_interval: Duration::from_secs(settings.snapshot_interval_s),
            snapshot_bytes_per_s: settings.snapshot_mib_per_s << 20,
            archive: settings.archive,
            retention: Retention {
                age_max: limit(settings.archive_retention_days)
                    .map(|days| Duration::from_secs(days * 86_400)),
                bytes_max: limit(settings.archive_keep_mib).map(|mib| mib << 20),
            },
            ..defaults
        }
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    /// Where events wait that a sink can't process.
    pub(crate) fn quarantine_dir(&self) -> PathBuf {
        self.data_dir.join("quarantine")
    }

    /// Where acts of a stopped millrace wait to be journaled.
    pub(crate) fn pending_acts_dir(&self) -> PathBuf {
        self.data_dir.join("pending-acts")
    }

    /// The directory of a sink.
    pub(crate) fn sink_dir(&self, sink: &str) -> PathBuf {
        self.data_dir.join(sink)
    }

    pub(crate) fn audit_dir(&self) -> PathBuf {
        self.data_dir.join("audit")
    }
}

/// A limit that a setting says, of which 0 is none.
fn limit(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}

/// Context keys that no payment can have are mistakes: features of them would always be missing.
fn check_context_keys(catalogue: &Catalogue, declared: &[String]) -> Result<(), ConfigError> {
    if let Some(key) = declared.iter().find(|key| !is_other_key(key)) {
        return Err(ConfigError::ContextKey { key: key.clone() });
    }
    for key in own_context_keys(catalogue) {
        if !is_other_key(&key) {
            return Err(ConfigError::CatalogueKey { key });
        }
        if !declared.is_empty() && !declared.contains(&key) {
            return Err(ConfigError::UndeclaredKey { key, declared: declared.join(", ") });
        }
    }
    Ok(())
}
