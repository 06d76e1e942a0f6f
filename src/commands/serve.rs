//! `millrace serve`: runs the pipeline until it is told to stop.

use std::{path::PathBuf, process::ExitCode};

use super::stop_signal;
use crate::{Failure, config::Config, pipeline::Pipeline};

/// Run the pipeline: gRPC front door, ledger, journal, audit log, notifications, GraphQL
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace serve
  millrace serve --config configs/dev.toml --data-dir /var/lib/millrace

SIGTERM and SIGINT drain: requests under way are answered, then everything stops in order.")]
pub(crate) struct Args {
    /// Configuration file; without one, the defaults (see configs/dev.toml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    let pipeline = Pipeline::start(&config).await?;
    if let Some((segment, offset)) = &pipeline.recovered.torn_tail {
        tracing::warn!(segment, offset, "cut a torn frame that was never acknowledged");
    }
    tracing::info!(
        grpc = %pipeline.grpc,
        graphql = pipeline.graphql.map(|address| format!("http://{address}")),
        metrics = pipeline.metrics.map(|address| format!("http://{address}/metrics")),
        data_dir = %config.data_dir.display(),
        events = pipeline.recovered.last_seq.0,
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
