//! Downloads: consumes the name of an artefact, produces its bytes in pieces. Guarantees that they are
//! those that were uploaded, and that memory is bounded.

use std::{sync::Arc, time::Duration};

use millrace_protos::v1;
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{RiskRefusal, Risks, blocking};

/// Bytes that travel at once.
const PIECE_LEN: usize = 1 << 20;
/// Pieces that wait for their reader.
const PIECES_WAITING: usize = 2;
/// How long a piece waits. A reader that takes longer keeps others out, and is broken off.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The pieces of an artefact.
pub(super) type Pieces = ReceiverStream<Result<v1::DownloadArtefactResponse, Status>>;

impl Risks {
    pub(super) async fn download(
        &self,
        request: v1::DownloadArtefactRequest,
    ) -> Result<Pieces, Status> {
        let name = request.name.trim().to_ascii_lowercase();
        if name.is_empty() {
            return Err(RiskRefusal::FieldMissing { field: "name" }.into());
        }
        let slot = Arc::clone(&self.downloads).try_acquire_owned();
        let slot = slot.map_err(|_| RiskRefusal::DownloadsBusy)?;
        let shelf = self.parts.shelf.clone();
        let bytes = blocking(move || shelf.get(&name)).await?.map_err(RiskRefusal::Shelf)?;
        let (pieces, reader) = mpsc::channel(PIECES_WAITING);
        tokio::spawn(async move {
            // Whoever reads slowly keeps the slot, and nobody for ever.
            let _slot = slot;
            for piece in pieces_of(bytes.into()) {
                let sent = tokio::time::timeout(PIECE_WAIT_MAX, pieces.send(Ok(piece))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(reader))
    }
}

fn pieces_of(bytes: Bytes) -> impl Iterator<Item = v1::DownloadArtefactResponse> {
    (0..bytes.len()).step_by(PIECE_LEN).map(move |from| v1::DownloadArtefactResponse {
        chunk: bytes.slice(from..bytes.len().min(from + PIECE_LEN)),
        size_bytes: if from == 0 { bytes.len() as u64 } else { 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole() {
        for len in [1, PIECE_LEN - 1, PIECE_LEN, PIECE_LEN + 1, 3 * PIECE_LEN] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let pieces: Vec<_> = pieces_of(bytes.clone().into()).collect();
            assert_eq!(pieces[0].size_bytes, len as u64);
            assert!(pieces.iter().skip(1).all(|piece| piece.size_bytes == 0));
            assert!(pieces.iter().all(|piece| (1..=PIECE_LEN).contains(&piece.chunk.len())));
            let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.chunk.to_vec()).collect();
            assert!(whole == bytes, "{len}");
        }
    }
}
