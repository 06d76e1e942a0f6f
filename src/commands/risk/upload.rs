//! `millrace risk upload`: consumes a file, produces the name by which a policy can refer to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;
use indicatif::ProgressBar;
use millrace_client::Connection;
use millrace_protos::v1::{self, ArtefactKind};
use millrace_risk::shelf::ARTEFACT_LEN_MAX;
use prost::bytes::Bytes;
use serde_json::json;

use super::{
    progress,
    server::{ServerArgs, SignatureArgs},
};
use crate::{Failure, commands::say};

/// Bytes that travel at once.
const PIECE_LEN: usize = 1 << 20;

/// Upload a policy, or what a policy names: rules, a list, a model
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  millrace risk upload model champion.mrm --why 'trained on March'

Who uploads what, and why, is journaled. Nothing else changes until a policy that names it is set (`millrace risk policy set`).")]
pub(crate) struct Args {
    /// What it is
    kind: Kind,
    /// The file
    file: PathBuf,
    #[command(flatten)]
    signature: SignatureArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Policy,
    Rules,
    List,
    Model,
}

impl From<Kind> for ArtefactKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Policy => Self::Policy,
            Kind::Rules => Self::Rules,
            Kind::List => Self::List,
            Kind::Model => Self::Model,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    let kept = send_file(&connection, args.kind.into(), &args.file, &args.signature).await?;
    match args.server.json {
        true => say!(
            "{}",
            json!({
                "name": kept.name,
                "size_bytes": kept.size_bytes,
                "event_sequence": kept.event_sequence,
            })
        ),
        false => say!("{}  {} bytes", kept.name, kept.size_bytes),
    }
    Ok(ExitCode::SUCCESS)
}

/// Uploads a file.
pub(super) async fn send_file(
    connection: &Connection,
    kind: ArtefactKind,
    file: &Path,
    signature: &SignatureArgs,
) -> Result<v1::UploadArtefactResponse, Failure> {
    let bytes = read(file)?;
    let title = file.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
    let (actor, why) = (signature.actor()?, signature.why.clone());
    send_told(
        connection,
        bytes,
        v1::UploadArtefactRequest { kind: kind as i32, title, actor, why, ..Default::default() },
    )
    .await
}

/// Reads a file that is to be uploaded.
pub(super) fn read(file: &Path) -> Result<Bytes, Failure> {
    let shown = file.display();
    let unreadable = |error| format!("{shown} can't be read: {error}");
    let len = fs::metadata(file).map_err(unreadable)?.len();
    if len > ARTEFACT_LEN_MAX as u64 {
        return Err(format!("{shown} has {len} bytes, of {ARTEFACT_LEN_MAX} at most").into());
    }
    if len == 0 {
        return Err(format!("{shown} is empty").into());
    }
    Ok(Bytes::from(fs::read(file).map_err(unreadable)?))
}

/// Uploads bytes under a bar; `head` says what they are, who uploads them and why.
pub(super) async fn send_told(
    connection: &Connection,
    bytes: Bytes,
    head: v1::UploadArtefactRequest,
) -> Result<v1::UploadArtefactResponse, Failure> {
    let bar = progress::bytes("uploading");
    bar.set_length(bytes.len() as u64);
    let sent = send(connection, bytes, head, &bar).await;
    bar.finish_and_clear();
    sent
}

/// The same without a bar.
pub(crate) async fn send_bytes(
    connection: &Connection,
    bytes: Bytes,
    head: v1::UploadArtefactRequest,
) -> Result<v1::UploadArtefactResponse, Failure> {
    send(connection, bytes, head, &ProgressBar::hidden()).await
}

async fn send(
    connection: &Connection,
    bytes: Bytes,
    head: v1::UploadArtefactRequest,
    bar: &ProgressBar,
) -> Result<v1::UploadArtefactResponse, Failure> {
    let bar = bar.clone();
    let pieces = (0..bytes.len()).step_by(PIECE_LEN).map(move |from| {
        let chunk = bytes.slice(from..bytes.len().min(from + PIECE_LEN));
        bar.inc(chunk.len() as u64);
        // Who and why is said once.
        let said = if from == 0 { head.clone() } else { v1::UploadArtefactRequest::default() };
        v1::UploadArtefactRequest { kind: head.kind, chunk, ..said }
    });
    let response = connection.risk().upload_artefact(tokio_stream::iter(pieces)).await;
    Ok(response.map_err(|status| connection.explain(&status))?.into_inner())
}
