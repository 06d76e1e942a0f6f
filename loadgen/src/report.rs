//! The report: consumes what the clients measured, produces a table or one JSON object.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use millrace_protos::{
    PaymentOutcome,
    v1::{PaymentStatus, RejectReason},
};
use serde_json::{Value, json};

use crate::{Rate, RunArgs};

/// What was measured; of one client, then of all.
#[derive(Debug)]
pub(crate) struct Measured {
    payments: u64,
    requests: u64,
    settled: u64,
    held: u64,
    rejected: BTreeMap<&'static str, u64>,
    errors: BTreeMap<String, u64>,
    /// Per request, in microseconds.
    latency_us: Histogram<u64>,
}

impl Measured {
    pub(crate) fn new() -> Self {
        Self {
            payments: 0,
            requests: 0,
            settled: 0,
            held: 0,
            rejected: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency_us: Histogram::new(3).expect("3 digits are allowed"),
        }
    }

    pub(crate) fn add_latency(&mut self, latency: Duration) {
        self.latency_us += latency.as_micros() as u64;
    }

    pub(crate) fn add_answer(&mut self, outcomes: &[PaymentOutcome]) {
        self.payments += outcomes.len() as u64;
        self.requests += 1;
        outcomes.iter().for_each(|outcome| self.add_outcome(outcome));
    }

    fn add_outcome(&mut self, outcome: &PaymentOutcome) {
        match PaymentStatus::try_from(outcome.status) {
            Ok(PaymentStatus::Settled) => self.settled += 1,
            Ok(PaymentStatus::Held) => self.held += 1,
            _ => {
                let reason = RejectReason::try_from(outcome.reject_reason).unwrap_or_default();
                *self.rejected.entry(reason.as_str_name()).or_default() += 1;
            }
        }
    }

    pub(crate) fn add_error(&mut self, status: &tonic::Status) {
        let error = format!("{:?}: {}", status.code(), status.message());
        *self.errors.entry(error).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.payments += other.payments;
        self.requests += other.requests;
        self.settled += other.settled;
        self.held += other.held;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.latency_us += &other.latency_us;
    }
}

/// What was asked for, and what came of it.
#[derive(Debug)]
pub(crate) struct Report {
    args: RunArgs,
    measured: Measured,
    unsent: u64,
}

impl Report {
    pub(crate) fn new(args: &RunArgs, measured: Measured, unsent: u64) -> Self {
        Self { args: args.clone(), measured, unsent }
    }

    fn payments_per_s(&self) -> f64 {
        self.measured.payments as f64 / self.args.duration.as_secs_f64()
    }

    fn latency_ms(&self, quantile: f64) -> f64 {
        self.measured.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// Why the figures are not to be used, if they are not.
    pub(crate) fn complaint(&self) -> Option<String> {
        let errors: u64 = self.measured.errors.values().sum();
        if errors > 0 {
            return Some(format!("{errors} requests failed: these figures are of a broken run"));
        }
        let none = self.measured.requests == 0;
        none.then(|| "no request was answered within the run: make --duration longer".to_owned())
    }

    /// One JSON object; latencies are per request, in milliseconds, from when it was due.
    pub(crate) fn to_json(&self) -> Value {
        let (args, measured) = (&self.args, &self.measured);
        let rate = match args.rate {
            Rate::Max => json!("max"),
            Rate::PerSecond(rate) => json!(rate),
        };
        json!({
            "target": args.target,
            "rate": rate,
            "duration_s": args.duration.as_secs_f64(),
            "warmup_s": args.warmup.as_secs_f64(),
            "batch": args.batch,
            "clients": args.clients,
            "connections": args.connections,
            "accounts": args.accounts,
            "random_ids": args.random_ids,
            "context": args.context,
            "payments": measured.payments,
            "requests": measured.requests,
            "requests_due_but_unsent": self.unsent,
            "payments_per_s": self.payments_per_s().round(),
            "settled": measured.settled,
            "held": measured.held,
            "rejected": measured.rejected,
            "errors": measured.errors,
            "latency_ms": {
                "mean": measured.latency_us.mean() / 1_000.0,
                "p50": self.latency_ms(0.5),
                "p90": self.latency_ms(0.9),
                "p99": self.latency_ms(0.99),
                "p999": self.latency_ms(0.999),
                "max": measured.latency_us.max() as f64 / 1_000.0,
            },
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = &self.measured;
        writeln!(f, "payments      {:>12}", measured.payments)?;
        writeln!(f, "payments/s    {:>12.0}", self.payments_per_s())?;
        writeln!(f, "settled       {:>12}", measured.settled)?;
        writeln!(f, "held          {:>12}", measured.held)?;
        for (reason, count) in &measured.rejected {
            writeln!(f, "rejected      {count:>12}  {reason}")?;
        }
        for (error, count) in &measured.errors {
            writeln!(f, "errors        {count:>12}  {error}")?;
        }
        if self.unsent > 0 {
            writeln!(
                f,
                "never sent    {:>12}  requests: the server can't keep this rate",
                self.unsent
            )?;
        }
        writeln!(f, "latency of a request of {} payments, from when it was due:", self.args.batch)?;
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            writeln!(f, "  {name:<6}      {:>12.3} ms", self.latency_ms(quantile))?;
        }
        write!(f, "  max         {:>12.3} ms", measured.latency_us.max() as f64 / 1_000.0)
    }
}
