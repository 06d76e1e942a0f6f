//! Settings of how messages are sent.

use serde::Deserialize;

/// How messages are sent, the same for every channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// Messages under way at one time, per channel. Default: 16.
    pub in_flight_max: u32,
    /// Attempts after which a message is a dead letter. Default: 16.
    pub attempts_max: u32,
    /// Wait after the first failed attempt, in milliseconds; each further one waits twice as long.
    /// Default: 1000.
    pub backoff_first_ms: u64,
    /// Longest wait between attempts, in milliseconds. Default: 3600000.
    pub backoff_max_ms: u64,
    /// Messages that one owner gets by one channel within `recipient_window_s`. What is more waits.
    /// Security alerts do not wait. Default: 60.
    pub recipient_max: u32,
    /// Seconds over which `recipient_max` counts. Default: 3600.
    pub recipient_window_s: u32,
    /// Seconds over which messages are collected into one, for owners that do not say. Default: 0,
    /// each by itself.
    pub digest_s: u32,
    /// Most messages in one digest. Default: 50.
    pub digest_max: u32,
    /// Failures in a row after which a provider is left alone. Default: 5.
    pub breaker_failures: u32,
    /// How long it is left alone before it is tried with one message, in milliseconds. Default:
    /// 30000.
    pub breaker_open_ms: u64,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            in_flight_max: 16,
            attempts_max: 16,
            backoff_first_ms: 1_000,
            backoff_max_ms: 3_600_000,
            recipient_max: 60,
            recipient_window_s: 3_600,
            digest_s: 0,
            digest_max: 50,
            breaker_failures: 5,
            breaker_open_ms: 30_000,
        }
    }
}

impl DeliveryConfig {
    /// Whether the limits make sense.
    pub(in super::super) fn check(&self) -> Result<(), (&'static str, String)> {
        for (setting, value) in [
            ("in_flight_max", u64::from(self.in_flight_max)),
            ("attempts_max", u64::from(self.attempts_max)),
            ("backoff_first_ms", self.backoff_first_ms),
            ("recipient_max", u64::from(self.recipient_max)),
            ("recipient_window_s", u64::from(self.recipient_window_s)),
            ("digest_max", u64::from(self.digest_max)),
            ("breaker_failures", u64::from(self.breaker_failures)),
            ("breaker_open_ms", self.breaker_open_ms),
        ] {
            if value == 0 {
                return Err((setting, "0 would send nothing; give at least 1".into()));
            }
        }
        if self.backoff_max_ms < self.backoff_first_ms {
            let (first, most) = (self.backoff_first_ms, self.backoff_max_ms);
            return Err((
                "backoff_max_ms",
                format!("{most} is less than backoff_first_ms ({first}); give at least as much"),
            ));
        }
        let longest = super::super::preferences::DIGEST_S_MAX;
        if self.digest_s > longest {
            return Err(("digest_s", format!("{} is over a week ({longest})", self.digest_s)));
        }
        Ok(())
    }
}
