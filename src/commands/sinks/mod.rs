//! `millrace sinks`: how the sinks get on, what is in quarantine, and rebuilding one.

pub(crate) mod order;
mod quarantine;
mod rebuild;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use crate::{
    Failure,
    config::{Config, ConfigError},
};

/// See how the sinks get on, replay events in quarantine, rebuild a sink from the journal
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Status(status::Args),
    Quarantine(quarantine::Args),
    Rebuild(rebuild::Args),
}

/// Which millrace is meant.
#[derive(clap::Args)]
pub(crate) struct Which {
    /// Its configuration file; without one, the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its data directory, in place of the configured one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Which {
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }

    /// Like [`Self::config`], where there has to be a data directory already.
    fn existing(&self) -> Result<Config, Failure> {
        let config = self.config()?;
        if !config.journal_dir().is_dir() && !config.quarantine_dir().is_dir() {
            let data_dir = config.data_dir.display();
            return Err(format!(
                "there are no data of a millrace in {data_dir}: name its data directory with \
                 --data-dir"
            )
            .into());
        }
        Ok(config)
    }
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Status(args) => status::run(args),
        Command::Quarantine(args) => quarantine::run(args).await,
        Command::Rebuild(args) => rebuild::run(args).await,
    }
}
