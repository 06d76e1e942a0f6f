//! `millrace demo`: the main job, end to end, on loopback. Without a file, fraud is stopped as well.

mod components;
mod fraud;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use millrace_client::{Connection, Mapping, Namespace, SubmitOptions, Summary};
use millrace_ledger::Currency;
use millrace_risk::{Action, FeaturesConfig, LimitConfig, Measure, RiskConfig};
use millrace_sinks::{
    audit::{self, AuditReport, VerifyOptions},
    graphql::LedgerConservation,
};
use serde_json::{Value, json};
use uuid::Uuid;

use self::components::ComponentArgs;
use super::{say, send, send::Outgoing, stop_signal, submitted};
use crate::{
    Failure,
    config::Config,
    pipeline::{Pipeline, PipelineError},
    role::Roles,
};

/// Payments of the second act: with them, the whole demo takes some ten seconds.
const FRAUD_PAYMENTS: u64 = 60_000;
/// Smaller than usual: a demo should not take hundreds of megabytes for a few payments.
const SEGMENT_MIB: u64 = 16;
/// A hold that expires within so many seconds is waited for.
const EXPIRY_WAIT_MAX_S: u32 = 5;

/// Run the whole pipeline on a file of payments, show what became of them, keep serving
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace demo
  millrace demo --once --json --file orders.csv
  millrace demo --data-dir ./demo --file payments.csv.gz --mapping my-bank.toml
  millrace demo --once --fraud-payments 200000
  millrace demo --nats nats://127.0.0.1:4222 --postgres postgres://me@127.0.0.1:5432/postgres

Everything listens on loopback only. Without --data-dir the data are gone afterwards; with it, a
second run continues where the first one was, and pays nothing twice. The demo's risk limits hold
payments above 50000.00 CZK for review and decline those above 500000.00 CZK.")]
pub(crate) struct Args {
    /// File of payments, gzipped or not; without it, a sample that shows every kind of outcome
    #[arg(long, value_name = "CSV")]
    file: Option<PathBuf>,
    /// Maps columns to payment fields; without it, the shipped one with the file's header
    #[arg(long, value_name = "TOML")]
    mapping: Option<PathBuf>,
    /// Keep the data here
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Made-up payments of the second act, in which fraud is stopped; 0 leaves it out. With --file,
    /// there is none
    #[arg(long, value_name = "N", default_value_t = FRAUD_PAYMENTS, value_parser = fraud_payments)]
    fraud_payments: u64,
    #[command(flatten)]
    components: ComponentArgs,
    /// Stop when the summary is printed
    #[arg(long)]
    once: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let is_sample = args.file.is_none();
    let outgoing = Outgoing::open(send::source(args.file), args.mapping.as_deref())?;
    let scratch = match &args.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("millrace-demo-").tempdir()?),
    };
    let fraud_payments = if is_sample { args.fraud_payments } else { 0 };
    let mut config = Config { risk: risk(&outgoing.mapping, fraud_payments)?, ..Config::default() };
    config.engine.segment_mib = SEGMENT_MIB;
    if let Some(data_dir) = args.data_dir.or(scratch.as_ref().map(|dir| dir.path().to_owned())) {
        config.data_dir = data_dir;
    }
    args.components.prepare(&mut config, scratch.is_none()).await?;
    let mut stop = std::pin::pin!(stop_signal()?);
    let data_dir = config.data_dir.clone();
    let pipeline = start(config).await?;
    args.components.mark().await?;
    let acts = Acts {
        outgoing: &outgoing,
        fraud_payments,
        data_dir: &data_dir,
        components: &args.components,
    };
    // Whatever goes wrong from here on, the pipeline is stopped in order.
    let outcome = tokio::select! {
        outcome = acts.show(&pipeline, args.json) => outcome,
        signal = &mut stop => Err(format!("stopped by {signal} before all was submitted").into()),
        () = pipeline.failed() => Err("a part of the pipeline stopped".into()),
    };
    if outcome.is_ok() && args.once && !args.json {
        let data = if scratch.is_some() {
            ", and the data go with it (--data-dir keeps them)"
        } else {
            ""
        };
        say!("It ends now{data}. Leave out --once to look around.");
    }
    if outcome.is_ok() && !args.once {
        if !args.json {
            say!("\nServing until Ctrl-C.");
        }
        tokio::select! {
            _ = &mut stop => {}
            () = pipeline.failed() => {}
        }
    }
    pipeline.stop().await?;
    outcome
}

/// What is played.
struct Acts<'a> {
    outgoing: &'a Outgoing,
    fraud_payments: u64,
    data_dir: &'a Path,
    components: &'a ComponentArgs,
}

impl Acts<'_> {
    /// Plays the acts, and prints what came of them.
    async fn show(&self, pipeline: &Pipeline, json: bool) -> Result<ExitCode, Failure> {
        let mut shown = submit(self.outgoing, pipeline).await?;
        if !json {
            shown.print().await?;
        }
        let mut fraud = None;
        if self.fraud_payments > 0 {
            let connection = Connection::open(&pipeline.grpc_url()).await?;
            let told = fraud::play(self.fraud_payments, connection, self.data_dir).await?;
            catch_up(pipeline).await?;
            shown.audited = audited(pipeline).await?;
            if !json {
                told.print();
                shown.print_ledger().await?;
            }
            fraud = Some(told);
        }
        match json {
            true => say!("{}", shown.to_json(fraud.as_ref()).await?),
            false => shown.print_places(self.components),
        }
        if let Some(refused) = submitted::refused(&shown.summary) {
            crate::commands::tell!("{refused}");
        }
        Ok(submitted::exit_code(&shown.summary))
    }
}

/// Submits the file, and tells what became of it.
async fn submit<'a>(outgoing: &'a Outgoing, pipeline: &'a Pipeline) -> Result<Shown<'a>, Failure> {
    let connection = Connection::open(&pipeline.grpc_url()).await?;
    let plan = outgoing.plan()?;
    let opened = Outgoing::open_accounts(&plan, &connection).await?;
    for fault in &opened.first_faults {
        crate::commands::tell!("{fault}");
    }
    let bar = send::bar(None);
    let sending = outgoing.send(connection, SubmitOptions::default(), bar, EXPIRY_WAIT_MAX_S);
    let (summary, longest_timeout_s) = sending.await?;
    if longest_timeout_s > 0 {
        let seconds = u64::from(longest_timeout_s);
        tokio::time::sleep(Duration::from_millis(seconds * 1_000 + 100)).await;
    }
    let caught_up_after = catch_up(pipeline).await?;
    let audited = audited(pipeline).await?;
    Ok(Shown { outgoing, pipeline, summary, caught_up_after, audited })
}

/// Verifies the audit log. What is wrong with it is told.
async fn audited(pipeline: &Pipeline) -> Result<Option<AuditReport>, Failure> {
    let log = pipeline.audit_dir.clone();
    let verify = move || audit::verify(&log, &VerifyOptions::default());
    let audited = tokio::task::spawn_blocking(verify).await?;
    if let Err(error) = &audited {
        crate::commands::tell!("{error}");
    }
    Ok(audited.ok())
}

/// Waits until every sink has processed what is durable.
async fn catch_up(pipeline: &Pipeline) -> Result<Duration, Failure> {
    let started = Instant::now();
    let durable = pipeline.durable_seq();
    let bar = indicatif::ProgressBar::new_spinner();
    loop {
        let Some((name, applied)) =
            pipeline.slowest_reader().filter(|(_, applied)| *applied < durable)
        else {
            bar.finish_and_clear();
            return Ok(started.elapsed());
        };
        if let Some(error) = pipeline.reader_error() {
            return Err(error.into());
        }
        bar.set_message(format!("{name} is at event {applied} of {durable}"));
        bar.tick();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the demo shows.
struct Shown<'a> {
    outgoing: &'a Outgoing,
    pipeline: &'a Pipeline,
    summary: Summary,
    caught_up_after: Duration,
    audited: Option<AuditReport>,
}

impl Shown<'_> {
    async fn conserved(&self) -> Result<bool, Failure> {
        Ok(self.conservation().await?.iter().all(|ledger| ledger.holds()))
    }

    async fn conservation(&self) -> Result<Vec<LedgerConservation>, Failure> {
        match &self.pipeline.model {
            Some(model) => Ok(model.conservation().await?),
            None => Ok(Vec::new()),
        }
    }

    fn graphql(&self) -> String {
        self.pipeline.graphql.map_or_else(String::new, |address| format!("http://{address}"))
    }

    /// Whether the chain is whole and has a line for every event.
    fn audit_chain_ok(&self) -> bool {
        let lines = self.audited.as_ref().map(|audited| audited.lines);
        lines == Some(self.pipeline.durable_seq().0)
    }

    fn expired_holds(&self) -> u64 {
        self.audited.as_ref().map_or(0, |audited| audited.expired)
    }

    async fn to_json(&self, fraud: Option<&fraud::Told>) -> Result<Value, Failure> {
        let mut fields = submitted::fields(&self.summary);
        for (name, value) in [
            ("mapping", json!(self.outgoing.mapping.name)),
            ("expired_holds", json!(self.expired_holds())),
            ("conserved", json!(self.conserved().await?)),
            ("audit_chain_ok", json!(self.audit_chain_ok())),
            ("events", json!(self.pipeline.durable_seq().0)),
            (
                "recovered_events",
                json!(self.pipeline.recovered.as_ref().map_or(0, |it| it.last_seq.0)),
            ),
            ("read_side_caught_up_after_s", json!(self.caught_up_after.as_secs_f64())),
            ("peak_memory_mib", json!(peak_memory_mib())),
            ("grpc", json!(self.pipeline.grpc_address())),
            ("graphql", json!(self.graphql())),
        ] {
            fields.insert(name.to_owned(), value);
        }
        if let Some(told) = fraud {
            fields.insert("fraud".to_owned(), told.to_json());
        }
        Ok(Value::Object(fields))
    }

    async fn print(&self) -> Result<(), Failure> {
        say!(
            "{} payments, mapping {}",
            self.outgoing.file.source().name(),
            self.outgoing.mapping.name
        );
        say!("{}", submitted::table(&self.summary).trim_end());
        say!("  {:<14}{:>14}", "expired holds", self.expired_holds());
        say!(
            "  read side caught up {:.2} s after the last answer",
            self.caught_up_after.as_secs_f64()
        );
        self.print_ledger().await
    }

    async fn print_ledger(&self) -> Result<(), Failure> {
        let ok = |good: bool| if good { "ok" } else { "FAILED" };
        for ledger in self.conservation().await? {
            let code = Currency::of_ledger(ledger.ledger).map_or("?", |currency| currency.code);
            let good = ok(ledger.holds());
            say!("  money conserved ({code}): debits equal credits over all accounts: {good}");
        }
        say!(
            "  audit chain over {} events: {}",
            self.pipeline.durable_seq(),
            ok(self.audit_chain_ok())
        );
        Ok(())
    }

    fn print_places(&self, components: &ComponentArgs) {
        say!("\nWhere to look while it runs:");
        say!("  GraphiQL    {}", self.graphql());
        say!(
            "  gRPC        grpcurl -plaintext {} list millrace.v1.PaymentService",
            self.pipeline.grpc_address()
        );
        say!("  audit log   {}", self.pipeline.audit_dir.display());
        for (what, place) in components.places() {
            say!("  {what:<11} {place}");
        }
    }
}

/// A number of payments that the second act can be played with.
fn fraud_payments(text: &str) -> Result<u64, String> {
    let number: u64 = text.parse().map_err(|_| "is no number".to_owned())?;
    let (least, most) = (fraud::PAYMENTS_MIN, fraud::PAYMENTS_MAX);
    match number == 0 || (least..=most).contains(&number) {
        true => Ok(number),
        false => Err(format!("must be 0, or {least} to {most}")),
    }
}

/// The demo's settings of risk: its limits, and features if fraud is to be stopped.
fn risk(mapping: &Mapping, fraud_payments: u64) -> Result<RiskConfig, Failure> {
    if fraud_payments == 0 {
        return Ok(limits(&[mapping.namespace()]));
    }
    let made_up = fraud::mapping()?;
    let features = FeaturesConfig {
        enabled: true,
        catalogue: fraud::CATALOGUE.to_owned(),
        ..FeaturesConfig::default()
    };
    Ok(RiskConfig { features, ..limits(&[mapping.namespace(), made_up.namespace()]) })
}

/// The demo's limits. Its funding accounts are exempt: opening balances are no payer's behaviour.
fn limits(namespaces: &[Namespace]) -> RiskConfig {
    let limit = |name: &str, measure, currency: Option<&str>, above: &str, action| LimitConfig {
        name: name.to_owned(),
        measure,
        currency: currency.map(str::to_owned),
        above: above.to_owned(),
        action,
    };
    let of = |namespace: &Namespace| {
        let accounts = iso_currencies().map(|currency| namespace.funding_account(currency));
        accounts.collect::<Vec<_>>()
    };
    let funding = namespaces.iter().flat_map(of);
    RiskConfig {
        exempt_payers: funding.map(|account| Uuid::from_u128(account.0)).collect(),
        limits: vec![
            limit("large-payment", Measure::PaymentAmount, Some("CZK"), "50000.00", Action::Review),
            limit(
                "huge-payment",
                Measure::PaymentAmount,
                Some("CZK"),
                "500000.00",
                Action::Decline,
            ),
            limit("many-payments", Measure::PayerCountPerHour, None, "60", Action::Review),
            limit(
                "much-money",
                Measure::PayerSumPerHour,
                Some("CZK"),
                "1000000.00",
                Action::Review,
            ),
        ],
        ..RiskConfig::default()
    }
}

fn iso_currencies() -> impl Iterator<Item = Currency> {
    (1..1_000).filter_map(|numeric| Currency::of_ledger(millrace_ledger::LedgerId(numeric)))
}

/// On the usual ports, or on any where those are taken. A port can't be tried beforehand: another
/// process may take it in between.
async fn start(mut config: Config) -> Result<Pipeline, PipelineError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    loop {
        match Pipeline::start(&config, &Roles::all()).await {
            Err(PipelineError::Listen { address, .. }) if address.port() != 0 => {
                for listen in [
                    &mut config.ingest.listen,
                    &mut config.sinks.graphql.listen,
                    &mut config.metrics.listen,
                ] {
                    *listen = if *listen == address { any } else { *listen };
                }
            }
            started => return started,
        }
    }
}

/// Peak resident memory of this process, where the system tells (Linux).
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024)
}
