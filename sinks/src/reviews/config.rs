//! Settings of the review desk.

use serde::Deserialize;

/// Settings of the review desk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewsConfig {
    /// Whether the desk is kept. Without it, nothing can be listed, claimed or resolved. Default:
    /// true.
    pub enabled: bool,
}

impl Default for ReviewsConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}
