//! `millrace audit prove`, `check-proof`, `consistency` and `key`: consume the log's files, produce
//! proofs that others check, and check those.

use std::{fs, io::Read as _, ops::ControlFlow, path::PathBuf, process::ExitCode};

use millrace_ledger::PaymentId;
use millrace_sinks::audit::{AuditKind, AuditQuery, AuditReader, Order, ProofFile, PublicKey, hex};
use serde_json::json;
use uuid::Uuid;

use super::{audit::reader, journal_row::time_text, say};
use crate::Failure;

/// Print a proof that an entry is in the log, which others check with the public key alone
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace audit prove --payment 0193f5b4-7c3a-7d10-8e2f-aabbccddeeff > proof.json
  millrace audit prove --seq 120001
  millrace audit prove --index 120000 --size 500000

The proof is one JSON object: the entry, its audit path and the signed checkpoint. With --size, the path
leads to the root of the log when it had that many entries, and from there to a signed one. An entry is
the one behind its event's sequence: index = seq - 1.")]
pub(crate) struct Prove {
    /// Data directory of the millrace that wrote it, or the log's directory
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Prove it in the tree of this many entries; without it, in the newest signed one
    #[arg(long, value_name = "SIZE")]
    size: Option<u64>,
}

/// Which entry.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The entry, from 0
    #[arg(long, value_name = "INDEX")]
    index: Option<u64>,
    /// The event, from 1
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    seq: Option<u64>,
    /// The payment
    #[arg(long, value_name = "ID")]
    payment: Option<Uuid>,
}

pub(crate) fn prove(args: &Prove) -> Result<ExitCode, Failure> {
    let reader = reader(&args.data_dir)?;
    let index = match (args.which.index, args.which.seq, args.which.payment) {
        (Some(index), _, _) => index,
        (_, Some(seq), _) => seq - 1,
        (_, _, Some(payment)) => index_of(&reader, payment)?,
        (None, None, None) => return Err("name an entry: --index, --seq or --payment".into()),
    };
    let proof = reader.prove(index, args.size)?;
    say!("{}", serde_json::to_string_pretty(&proof)?);
    Ok(ExitCode::SUCCESS)
}

/// The entry of the payment's decision.
fn index_of(reader: &AuditReader, payment: Uuid) -> Result<u64, Failure> {
    let payment = PaymentId(payment.as_u128());
    let query = AuditQuery { payment: Some(payment), ..AuditQuery::default() };
    let mut index = None;
    reader.visit(&query, 0, None, Order::OldestFirst, &mut |entry| {
        if entry.kind != AuditKind::Payment || entry.payment != Some(payment) {
            return ControlFlow::Continue(());
        }
        index = Some(entry.index);
        ControlFlow::Break(())
    })?;
    index.ok_or_else(|| format!("the audit log keeps no payment {payment}").into())
}

/// Check a proof with the public key, and nothing else
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace audit check-proof proof.json --key millrace-audit+3a5b…
  millrace audit prove --seq 7 | millrace audit check-proof - --key key.pub

Needs no log, no millrace and no network.")]
pub(crate) struct CheckProof {
    /// The proof; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The public key, or a file that has it
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn check_proof(args: &CheckProof) -> Result<ExitCode, Failure> {
    let key = PublicKey::read(&args.key)?;
    let mut text = String::new();
    let read = match args.file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(&args.file).map(|found| text = found),
    };
    read.map_err(|error| format!("the proof {} can't be read: {error}", args.file.display()))?;
    let proven = ProofFile::parse(&text)?.check(&key)?;
    let checkpoint = &proven.checkpoint;
    if args.json {
        let object = json!({
            "holds": true,
            "index": proven.index,
            "seq": proven.index + 1,
            "entry": serde_json::from_str::<serde_json::Value>(&proven.entry)?,
            "origin": checkpoint.origin,
            "tree_size": checkpoint.tree_size,
            "signed_at": time_text(checkpoint.time),
        });
        say!("{object}");
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", proven.entry);
    say!(
        "is entry {} (seq {}) of the log {}, which had {} entries when its key signed it at {}",
        proven.index,
        proven.index + 1,
        checkpoint.origin,
        checkpoint.tree_size,
        time_text(checkpoint.time)
    );
    Ok(ExitCode::SUCCESS)
}

/// Print the proof that the log of one size is the beginning of the log of another
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  millrace audit consistency --from 100000 --to 250000

Prints one JSON object with the nodes of RFC 6962, section 2.1.2, and both roots.")]
pub(crate) struct Consistency {
    /// Data directory of the millrace that wrote it, or the log's directory
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// Entries of the smaller log
    #[arg(long, value_name = "SIZE")]
    from: u64,
    /// Entries of the larger log; without it, of the newest signed one
    #[arg(long, value_name = "SIZE")]
    to: Option<u64>,
}

pub(crate) fn consistency(args: &Consistency) -> Result<ExitCode, Failure> {
    let reader = reader(&args.data_dir)?;
    let to = match args.to {
        Some(to) => to,
        None => reader.checkpoint()?.tree_size,
    };
    let proof = reader.consistency_proof(args.from, to)?;
    if !proof.holds() {
        return Err(
            "the files of the tree contradict each other: see `millrace audit verify`".into()
        );
    }
    let note = |size| Ok::<_, Failure>(reader.checkpoint_of(size)?.map(|found| found.to_note()));
    let object = json!({
        "from": proof.from,
        "to": proof.to,
        "from_root": hex(&proof.from_root),
        "to_root": hex(&proof.to_root),
        "nodes": proof.hashes.iter().map(hex).collect::<Vec<_>>(),
        "from_checkpoint": note(proof.from)?,
        "to_checkpoint": note(proof.to)?,
        // From each key of the log to the next; whoever trusts one of them goes on from there.
        "keys": reader.key_statements()?,
    });
    say!("{}", serde_json::to_string_pretty(&object)?);
    Ok(ExitCode::SUCCESS)
}

/// Print the public key that checkpoints are signed with
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace audit key --data-dir millrace-data
  millrace audit key --pem > audit-key.pem")]
pub(crate) struct Key {
    /// Data directory of the millrace that wrote it, or the log's directory
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// In PEM form, as OpenSSL reads it
    #[arg(long)]
    pem: bool,
}

pub(crate) fn key(args: &Key) -> Result<ExitCode, Failure> {
    let key = reader(&args.data_dir)?.public_key()?;
    match args.pem {
        true => say!("{}", key.to_pem().trim_end()),
        false => say!("{key}"),
    }
    Ok(ExitCode::SUCCESS)
}
