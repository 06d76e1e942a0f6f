//! The report: consumes answers and what the system counted, produces a table or one JSON object.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use clap::ValueEnum as _;
use hdrhistogram::Histogram;
use millrace_engine::{EngineConfig, PaymentReply, UpkeepStats};
use millrace_ledger::Status;
use serde_json::{Value, json};

use crate::{
    drive::Settings,
    usage::{Resident, Usage},
};

/// What is left to send, and what was answered.
#[derive(Debug)]
pub struct Tally {
    left: u64,
    payments: u64,
    requests: u64,
    settled: u64,
    held: u64,
    /// Payments that were not accepted as new ones, by the reason.
    refused: BTreeMap<&'static str, u64>,
    /// From submit to durable answer, per request.
    latency_us: Histogram<u64>,
    /// The longest of those that a snapshot was under way beside.
    beside_snapshot_max: Option<Duration>,
    progress: Option<Progress>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new(0, None)
    }
}

impl Tally {
    /// So many payments to send; the progress is told each time `every` of them are answered.
    #[must_use]
    pub fn new(payments: u64, every: Option<u64>) -> Self {
        Self {
            left: payments,
            payments: 0,
            requests: 0,
            settled: 0,
            held: 0,
            refused: BTreeMap::new(),
            latency_us: Histogram::new(3).expect("3 digits are allowed"),
            beside_snapshot_max: None,
            progress: every.map(Progress::new),
        }
    }

    /// How many payments the next request is to have: `batch`, or what is left.
    pub fn take(&mut self, batch: u32) -> u32 {
        let count = self.left.min(u64::from(batch));
        self.left -= count;
        count as u32
    }

    /// Nothing more is to be sent.
    pub fn end(&mut self) {
        self.left = 0;
    }

    /// Payments that were answered.
    #[must_use]
    pub fn payments(&self) -> u64 {
        self.payments
    }

    /// Adds the answer to a request, and whether a snapshot was under way meanwhile.
    pub fn add(&mut self, latency: Duration, beside_snapshot: bool, replies: &[PaymentReply]) {
        if beside_snapshot {
            self.beside_snapshot_max = self.beside_snapshot_max.max(Some(latency));
        }
        self.latency_us += latency.as_micros() as u64;
        self.requests += 1;
        self.payments += replies.len() as u64;
        for reply in replies {
            match reply.outcome.status {
                _ if reply.replayed => *self.refused.entry("its id was known").or_default() += 1,
                Status::Settled => self.settled += 1,
                Status::Held => self.held += 1,
                Status::Voided => *self.refused.entry("it was voided").or_default() += 1,
                Status::Rejected(reason) => *self.refused.entry(reason.name()).or_default() += 1,
            }
        }
        if let Some(progress) = &mut self.progress {
            progress.tell(self.payments);
        }
    }

    /// Why the figures are not to be used, if they are not.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let refused: u64 = self.refused.values().sum();
        let reasons = self.refused.iter().map(|(reason, count)| format!("{count} {reason}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let payments = self.payments;
        (refused > 0).then(|| {
            format!("{refused} of {payments} payments were not accepted ({reasons}): no figures")
        })
    }

    fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// Tells on standard error how a long run goes.
#[derive(Debug)]
struct Progress {
    every: u64,
    next: u64,
    told: u64,
    told_at: Instant,
    /// CPU time of the process then.
    told_cpu: Duration,
}

impl Progress {
    fn new(every: u64) -> Self {
        let (told_at, told_cpu) = (Instant::now(), Usage::now().cpu);
        Self { every, next: every, told: 0, told_at, told_cpu }
    }

    /// One line, however many steps a request passed.
    fn tell(&mut self, payments: u64) {
        if payments < self.next {
            return;
        }
        let (now, cpu) = (Instant::now(), Usage::now().cpu);
        let count = (payments - self.told) as f64;
        let rate = count / (now - self.told_at).as_secs_f64();
        let cpu_us = (cpu - self.told_cpu).as_secs_f64() * 1e6 / count;
        let line = json!({
            "payments": payments,
            "payments_per_s": rate.round(),
            "cpu_us_per_payment": (cpu_us * 1_000.0).round() / 1_000.0,
            "rss_mb": Resident::now().map(|it| rounded(it.now_mib)),
        });
        eprintln!("{line}");
        self.next = (payments / self.every + 1) * self.every;
        (self.told, self.told_at, self.told_cpu) = (payments, now, cpu);
    }
}

/// The measured part of a run.
#[derive(Debug)]
pub struct Phase {
    /// Payments answered before.
    pub warmup: u64,
    /// Batches that the engine made.
    pub batches: u64,
    /// What was answered.
    pub tally: Tally,
    /// From the first submit to the last answer.
    pub elapsed: Duration,
    /// What the process used, and the clients' thread of it.
    pub usage: Usage,
    /// Memory at the end.
    pub resident: Option<Resident>,
    /// What the engine did between batches.
    pub upkeep: UpkeepStats,
}

/// A start on the journal of a run that ended.
#[derive(Debug)]
pub struct Recovered {
    /// Until the engine took commands.
    pub took: Duration,
    /// Events that the snapshot knew.
    pub in_snapshot: u64,
    /// Events after it, read from the journal and applied.
    pub after_it: u64,
}

/// What was asked for, and what came of it.
#[derive(Debug)]
pub struct Report {
    /// What was run.
    pub settings: Settings,
    /// What was measured.
    pub measured: Phase,
    /// The start after it, if it was asked for.
    pub recovered: Option<Recovered>,
}

impl Report {
    /// One JSON object. `rss_mb` and `rss_peak_mb` are MiB; `bytes_written` is `write_bytes` of
    /// `/proc/self/io`, whole pages sent to storage, blank segments included; `cpu_clients_s` is
    /// the part of `cpu_s` that made payments and looked at answers; `recovery_s` is how long the
    /// engine took to start on the journal, from a snapshot that knew `recovery_snapshot_events`,
    /// with `recovery_tail_events` after it. `batch_mean_ms` is the time from one of the engine's batches,
    /// which are several requests where these are small, to the next. `snapshot_max_ms` is the longest that a request took
    /// beside which a snapshot was under way. `null` is unknown, was not asked for, or did not occur.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (settings, Phase { tally, usage, resident, .. }) = (&self.settings, &self.measured);
        json!({
            "workload": self.workload(),
            "accounts": settings.accounts,
            "batch": settings.batch,
            "clients": settings.clients,
            "payments": tally.payments,
            "warmup": self.measured.warmup,
            "seed": settings.seed,
            "capture_after": settings.capture_after,
            "shards": settings.shards.unwrap_or_else(|| EngineConfig::new("").shards),
            "requests": tally.requests,
            "batches": self.measured.batches,
            "batch_mean_ms": self.batch_mean_ms(),
            "settled": tally.settled,
            "held": tally.held,
            "elapsed_s": self.measured.elapsed.as_secs_f64(),
            "payments_per_s": self.payments_per_s().round(),
            "p50_ms": tally.latency_ms(0.5),
            "p99_ms": tally.latency_ms(0.99),
            "p999_ms": tally.latency_ms(0.999),
            "max_ms": tally.latency_us.max() as f64 / 1_000.0,
            "snapshot_max_ms": tally.beside_snapshot_max.map(|it| it.as_micros() as f64 / 1_000.0),
            "snapshots": self.measured.upkeep.snapshots(),
            "generations": self.measured.upkeep.generations(),
            "pause_max_ms": self.measured.upkeep.pause_max().as_secs_f64() * 1_000.0,
            "waited_s": self.measured.upkeep.waited().as_secs_f64(),
            "cpu_s": usage.cpu.as_secs_f64(),
            "cpu_clients_s": usage.cpu_of_thread.as_secs_f64(),
            "rss_mb": resident.map(|it| rounded(it.now_mib)),
            "rss_peak_mb": resident.map(|it| rounded(it.peak_mib)),
            "bytes_written": usage.written.map(|it| it.to_storage),
            "bytes_written_counter": "write_bytes",
            "bytes_wchar": usage.written.map(|it| it.to_system_calls),
            "recovery_s": self.recovered.as_ref().map(|it| it.took.as_secs_f64()),
            "recovery_snapshot_events": self.recovered.as_ref().map(|it| it.in_snapshot),
            "recovery_tail_events": self.recovered.as_ref().map(|it| it.after_it),
        })
    }

    /// How long the engine takes for a batch of its own, if it is busy all the time.
    fn batch_mean_ms(&self) -> f64 {
        self.measured.elapsed.as_secs_f64() * 1_000.0 / self.measured.batches.max(1) as f64
    }

    fn payments_per_s(&self) -> f64 {
        self.measured.tally.payments as f64 / self.measured.elapsed.as_secs_f64()
    }

    fn workload(&self) -> String {
        let value = self.settings.workload.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (settings, Phase { tally, usage, resident, .. }) = (&self.settings, &self.measured);
        writeln!(
            f,
            "{}: {} accounts, {} clients, {} payments a request",
            self.workload(),
            settings.accounts,
            settings.clients,
            settings.batch
        )?;
        let per_payment = |total: f64| total / tally.payments as f64;
        writeln!(f, "payments        {:>14}", tally.payments)?;
        writeln!(f, "payments/s      {:>14.0}", self.payments_per_s())?;
        writeln!(f, "settled         {:>14}", tally.settled)?;
        writeln!(f, "held            {:>14}", tally.held)?;
        writeln!(f, "p50             {:>14.3} ms", tally.latency_ms(0.5))?;
        writeln!(f, "p99             {:>14.3} ms", tally.latency_ms(0.99))?;
        writeln!(f, "at most         {:>14.3} ms", tally.latency_us.max() as f64 / 1_000.0)?;
        writeln!(f, "engine's batch  {:>14.3} ms", self.batch_mean_ms())?;
        let pause_ms = self.measured.upkeep.pause_max().as_secs_f64() * 1_000.0;
        writeln!(f, "  worst pause   {pause_ms:>14.3} ms")?;
        if let Some(longest) = tally.beside_snapshot_max {
            let ms = longest.as_secs_f64() * 1_000.0;
            writeln!(f, "  in snapshots  {ms:>14.3} ms")?;
        }
        let (cpu, clients) = (usage.cpu.as_nanos() as f64, usage.cpu_of_thread.as_nanos() as f64);
        writeln!(f, "CPU             {:>14.0} ns a payment", per_payment(cpu))?;
        writeln!(f, "  of clients    {:>14.0} ns a payment", per_payment(clients))?;
        if let Some(resident) = resident {
            writeln!(f, "resident        {:>14.1} MiB at the end", resident.now_mib)?;
            writeln!(f, "  at most       {:>14.1} MiB", resident.peak_mib)?;
        }
        if let Some(written) = usage.written {
            let bytes = per_payment(written.to_storage as f64);
            writeln!(f, "written         {bytes:>14.0} bytes a payment (write_bytes)")?;
        }
        if let Some(Recovered { took, in_snapshot, after_it }) = &self.recovered {
            writeln!(f, "recovered in    {:>14.3} s", took.as_secs_f64())?;
            writeln!(f, "  of a snapshot {in_snapshot:>14} events")?;
            writeln!(f, "  after it      {after_it:>14} events")?;
        }
        write!(f, "measured for    {:>14.3} s", self.measured.elapsed.as_secs_f64())
    }
}

fn rounded(mib: f64) -> f64 {
    (mib * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{Amount, EventSeq, Outcome, PaymentId, RejectReason, Verdict};

    use super::*;

    fn reply(status: Status, replayed: bool) -> PaymentReply {
        PaymentReply {
            id: PaymentId(1),
            seq: EventSeq(1),
            outcome: Outcome { status, amount: Amount(5) },
            verdict: Verdict::default(),
            replayed,
        }
    }

    #[test]
    fn whatever_is_not_a_new_accepted_payment_is_complained_of() {
        let dry = Status::Rejected(RejectReason::InsufficientFunds);
        for (status, replayed, expected) in [
            (Status::Settled, false, None),
            (Status::Held, false, None),
            (Status::Settled, true, Some("1 its id was known")),
            (Status::Voided, false, Some("1 it was voided")),
            (dry, false, Some("1 InsufficientFunds")),
        ] {
            let mut tally = Tally::new(2, None);
            let replies = [reply(Status::Settled, false), reply(status, replayed)];
            tally.add(Duration::ZERO, false, &replies);
            let expected = expected
                .map(|reason| format!("1 of 2 payments were not accepted ({reason}): no figures"));
            assert_eq!(tally.complaint(), expected, "{status:?}");
        }
    }

    #[test]
    fn requests_take_what_is_left_and_no_more() {
        let mut tally = Tally::new(20, None);
        assert_eq!([8, 8, 8, 8].map(|batch| tally.take(batch)), [8, 8, 4, 0]);
        let mut tally = Tally::new(20, None);
        assert_eq!(tally.take(8), 8);
        tally.end();
        assert_eq!(tally.take(8), 0);
    }

    #[test]
    fn the_slowest_request_beside_a_snapshot_is_kept_apart() {
        let mut tally = Tally::new(20, None);
        let replies = [reply(Status::Settled, false)];
        // Milliseconds, whether a snapshot was under way, the slowest of those so far.
        for (ms, beside_snapshot, expected) in [
            (9, false, None),
            (3, true, Some(3)),
            (5, true, Some(5)),
            (4, true, Some(5)),
            (8, false, Some(5)),
        ] {
            tally.add(Duration::from_millis(ms), beside_snapshot, &replies);
            assert_eq!(tally.beside_snapshot_max, expected.map(Duration::from_millis), "{ms}");
        }
    }
}
