//! Uploads: consumes an artefact in pieces, keeps it on the shelf, produces its name and
//! one journaled act. Guarantees that nothing is kept of an artefact that is not whole, and that memory is bounded.

use std::time::{Duration, Instant};

use millrace_protos::v1::{self, ArtefactKind};
use millrace_risk::{
    acts::{ActKind, UploadKind},
    shelf::ARTEFACT_LEN_MAX,
};
use tonic::{Status, Streaming};

use super::{RiskRefusal, Risks, acts::Signature, blocking};
use crate::error_layer::with_info;

/// Longest policy or rules, in bytes: people write and read them.
const DOCUMENT_LEN_MAX: usize = 1 << 20;
/// Longest title, in bytes.
const TITLE_LEN_MAX: usize = 200;
/// How long an upload may pause.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(60);

fn len_max(kind: ArtefactKind) -> usize {
    match kind {
        ArtefactKind::Policy | ArtefactKind::Rules => DOCUMENT_LEN_MAX,
        ArtefactKind::Unspecified | ArtefactKind::List | ArtefactKind::Model => ARTEFACT_LEN_MAX,
    }
}

impl Risks {
    pub(super) async fn upload(
        &self,
        pieces: Streaming<v1::UploadArtefactRequest>,
        deadline: Option<Instant>,
    ) -> Result<v1::UploadArtefactResponse, Status> {
        let desk = self.current_desk().await?;
        let _slot = self.uploads.try_acquire().map_err(|_| RiskRefusal::UploadsBusy)?;
        let Upload { kind, signature, title, bytes } = receive(pieces).await?;
        if bytes.is_empty() {
            return Err(RiskRefusal::FieldMissing { field: "chunk" }.into());
        }
        if kind != ArtefactKind::Model && str::from_utf8(&bytes).is_err() {
            return Err(RiskRefusal::ArtefactNotText.into());
        }
        let size_bytes = bytes.len() as u64;
        let shelf = self.parts.shelf.clone();
        // One at a time: two uploads of the same bytes write the same file.
        let _shelving = self.ledgered.shelving.lock().await;
        let name = blocking(move || shelf.put(&bytes)).await?.map_err(RiskRefusal::Shelf)?;
        tracing::info!(kind = kind.as_str_name(), name, size_bytes, "kept an artefact");
        // Journaled when it is there: a journal never names what was not kept.
        let artefact = name.clone();
        let act = ActKind::Upload { kind: journaled(kind), artefact, title, size_bytes };
        let deed = self.act(desk.as_ref(), &signature, act, deadline).await?;
        Ok(v1::UploadArtefactResponse { name, size_bytes, event_sequence: deed.seq })
    }
}

/// An artefact that is whole.
struct Upload {
    kind: ArtefactKind,
    signature: Signature,
    title: String,
    bytes: Vec<u8>,
}

fn journaled(kind: ArtefactKind) -> UploadKind {
    match kind {
        ArtefactKind::Unspecified | ArtefactKind::Policy => UploadKind::Policy,
        ArtefactKind::Rules => UploadKind::Rules,
        ArtefactKind::List => UploadKind::List,
        ArtefactKind::Model => UploadKind::Model,
    }
}

fn check_title(title: &str) -> Result<(), RiskRefusal> {
    if title.len() > TITLE_LEN_MAX {
        return Err(RiskRefusal::FieldTooLong { field: "title", bytes_max: TITLE_LEN_MAX });
    }
    if title.chars().any(char::is_control) {
        let what = "has control characters; write it on one line";
        return Err(RiskRefusal::FieldMalformed { field: "title", what });
    }
    Ok(())
}

async fn receive(mut pieces: Streaming<v1::UploadArtefactRequest>) -> Result<Upload, Status> {
    let mut kind = ArtefactKind::Unspecified;
    let mut bytes = Vec::new();
    let mut said: Option<(Signature, String)> = None;
    loop {
        let piece = tokio::time::timeout(PIECE_WAIT_MAX, pieces.message()).await;
        let piece = piece.map_err(|_| RiskRefusal::UploadStalled)?;
        let Some(piece) = piece.map_err(|status| with_info(&status))? else { break };
        let told = match ArtefactKind::try_from(piece.kind) {
            Ok(ArtefactKind::Unspecified) => kind,
            Ok(told) if kind == ArtefactKind::Unspecified && bytes.is_empty() => told,
            Ok(told) if told == kind => told,
            Ok(_) | Err(_) => ArtefactKind::Unspecified,
        };
        if told == ArtefactKind::Unspecified {
            let what = "must be POLICY, RULES, LIST or MODEL in the first message, and the same \
                        in all";
            return Err(RiskRefusal::FieldMalformed { field: "kind", what }.into());
        }
        kind = told;
        if said.is_none() {
            check_title(&piece.title)?;
            said = Some((Signature::check(piece.actor, piece.why)?, piece.title));
        }
        let bytes_max = len_max(kind);
        if bytes.len() + piece.chunk.len() > bytes_max {
            return Err(RiskRefusal::ArtefactTooLarge { bytes_max }.into());
        }
        bytes.extend_from_slice(&piece.chunk);
    }
    let (signature, title) = said.ok_or(RiskRefusal::FieldMissing { field: "kind" })?;
    Ok(Upload { kind, signature, title, bytes })
}
