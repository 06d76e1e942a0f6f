//! The settings of all sinks, as they stand in the configuration file.

use serde::Deserialize;

use crate::{AuditConfig, GraphqlConfig, NotifyConfig, ReviewsConfig};

/// Settings of the sinks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinksConfig {
    /// The audit log. Default: on.
    pub audit: AuditConfig,
    /// Notifications. Default: on, all kinds, to a file.
    pub notify: NotifyConfig,
    /// The GraphQL read model. Default: on, at 127.0.0.1:8080.
    pub graphql: GraphqlConfig,
    /// The review desk. Default: on.
    pub reviews: ReviewsConfig,
}
