//! `millrace serve`: runs the pipeline until it is told to stop.

use std::{path::PathBuf, process::ExitCode};

use super::stop_signal;
use crate::{
    Failure,
    config::Config,
    pipeline::Pipeline,
    role::{Role, Roles},
};

/// Run the pipeline: gRPC front door, ledger, journal, audit log, notifications, GraphQL
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace serve
  millrace serve --config configs/dev.toml --data-dir /var/lib/millrace
  millrace serve --config cluster.toml --role ingest,publish
  millrace serve --config cluster.toml --role graphql --data-dir /var/lib/millrace-reads

Parts in processes of their own read the events from NATS (stream.url), or follow the journal where
they have its data directory.

SIGTERM and SIGINT drain: requests under way are answered, then everything stops in order.")]
pub(crate) struct Args {
    /// Configuration file; without one, the defaults (see configs/dev.toml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run these parts only; without it, all of them in one process
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<Role>,
    /// Directory of journal and read side, in place of the configured one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(data_dir) = args.data_dir {
        config.data_dir = data_dir;
    }
    let stop = stop_signal()?;
    let roles = Roles::new(&args.role);
    let pipeline = Pipeline::start(&config, &roles).await?;
    let recovered = pipeline.recovered.as_ref();
    if let Some((segment, offset)) = recovered.and_then(|recovered| recovered.torn_tail.as_ref()) {
        tracing::warn!(segment, offset, "cut a torn frame that was never acknowledged");
    }
    tracing::info!(
        grpc = pipeline.grpc.map(tracing::field::display),
        graphql = pipeline.graphql.map(|address| format!("http://{address}")),
        metrics = pipeline.metrics.map(|address| format!("http://{address}/metrics")),
        stream = config.stream.url.as_ref().map(|_| &config.stream.stream),
        roles = roles.names(),
        data_dir = %config.data_dir.display(),
        events = recovered.map(|recovered| recovered.last_seq.0),
        "ready"
    );
    tokio::select! {
        signal = stop => tracing::info!("draining after {signal}"),
        () = pipeline.failed() => tracing::error!("a part of the pipeline stopped; stopping the rest"),
    }
    pipeline.stop().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
