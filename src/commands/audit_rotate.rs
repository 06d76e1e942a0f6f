//! `millrace audit rotate-key`: consumes the log of a stopped millrace, produces a new key that the old
//! one vouches for, and one act that says who replaced it and why.

use std::process::ExitCode;

use millrace_risk::acts::{ActKind, RotateKeyAct};
use millrace_sinks::audit::KeyRotation;

use super::{
    say,
    sinks::{Which, order::OrderArgs},
};
use crate::Failure;

/// Give the log another key, which the old one vouches for
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  millrace audit rotate-key --config millrace.toml --actor ann --why 'yearly'

The log must not be written meanwhile: stop millrace, or the process with the role audit. The old key signs a
last checkpoint; then both keys sign a statement that names the new one, which is kept with the log and goes with
every proof. Whoever trusts the old key goes on from there. The old private key is kept beside the new one: put
it away or destroy it, nothing needs it any more. Who rotates the key, and why, is journaled.")]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    order: OrderArgs,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = args.which.config()?;
    let rotation = KeyRotation::prepare(&config.audit_dir(), &config.sinks.audit)?;
    let (old, new) = (rotation.old_key().to_string(), rotation.new_key().to_string());
    let size = rotation.tree_size();
    let act = RotateKeyAct {
        old_key: old.clone(),
        new_key: new.clone(),
        tree_size: size,
        done_at_ns: None,
    };
    let journal = config.journal_dir();
    // A log without a journal beside it belongs to a millrace elsewhere, which is asked.
    if journal.is_dir() && !millrace_engine::is_in_use(&journal)? {
        args.order.leave(&config, ActKind::RotateAuditKey(act))?;
    } else {
        args.order.door(&config).await?.rotate(act).await?;
    }
    let kept = rotation.commit()?;
    say!("the log has another key from entry {size} on");
    say!("  old  {old}");
    say!("  new  {new}");
    say!("  the old private key is kept as {}: put it away, or destroy it", kept.display());
    Ok(ExitCode::SUCCESS)
}
