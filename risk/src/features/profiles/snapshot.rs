//! Snapshots: consumes the profiles of one moment, produces pieces that they are restored from.
//!
//! The first piece says what the rest was written with: format, digest of the catalogue, counts,
//! and of each kind of entity how many may be and are remembered, and whose turn it is to give
//! way. Each other piece is the place of a kind (one byte) and profiles in the order of their
//! rows: the words of each, all little-endian, and its list. Rows keep their numbers, so what is
//! forgotten later is the same.

use millrace_ledger::GateStateError;

use super::{
    Kind, ProfileCounts, Profiles,
    exact::{List, take_word},
};

const FORMAT: u64 = 1;
const MALFORMED: GateStateError = GateStateError("its feature profiles can't be read");
const OTHER: GateStateError =
    GateStateError("its feature profiles were written with another catalogue or other limits");
const CUT_SHORT: GateStateError = GateStateError("some of its feature profiles are missing");

/// How far a snapshot is written or read.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The first piece, until it is handed out.
    heading: Option<Vec<u8>>,
    /// The kind whose profiles are handed out.
    kind: usize,
    /// Profiles of each kind that the heading promised.
    promised: Option<Vec<u32>>,
}

impl Profiles {
    /// Begins a snapshot of what is known now. One that is under way is given up.
    pub fn begin_snapshot(&mut self) {
        let promised = self.snapshot.promised.take();
        let heading = Some(self.heading());
        self.snapshot = Progress { heading, kind: 0, promised };
        self.kinds.iter_mut().for_each(Kind::begin_sweep);
    }

    /// Appends the next piece of the snapshot: about `rows_max` profiles, as they were when it was
    /// begun. `false` when there are no more.
    pub fn snapshot_slice(&mut self, rows_max: usize, piece: &mut Vec<u8>) -> bool {
        if let Some(heading) = self.snapshot.heading.take() {
            piece.extend_from_slice(&heading);
            return !self.kinds.is_empty();
        }
        let place = self.snapshot.kind;
        let Some(kind) = self.kinds.get_mut(place) else { return false };
        let (words_len, has_lists) = (kind.plan.words, kind.plan.exact.is_used());
        let rows_max = rows_max.clamp(1, u32::MAX as usize) as u32;
        piece.push(place as u8);
        let more = kind.sweep(rows_max, |_, words, list| {
            for word in &words[..words_len] {
                piece.extend_from_slice(&word.to_le_bytes());
            }
            if has_lists {
                list.put(piece);
            }
        });
        if !more {
            self.snapshot.kind += 1;
        }
        self.snapshot.kind < self.kinds.len()
    }

    fn heading(&self) -> Vec<u8> {
        let mut piece = Vec::new();
        piece.extend_from_slice(&FORMAT.to_le_bytes());
        piece.extend_from_slice(&self.catalogue.digest());
        let ProfileCounts { payments, amounts_refused, late, evicted, labels, labels_unknown } =
            self.counts;
        for count in [payments, amounts_refused, late, evicted, labels, labels_unknown] {
            piece.extend_from_slice(&count.to_le_bytes());
        }
        for kind in &self.kinds {
            let limits = [u64::from(kind.entities_max), kind.payments_max as u64];
            for number in limits.into_iter().chain([kind.rows.len().into(), kind.hand.into()]) {
                piece.extend_from_slice(&number.to_le_bytes());
            }
        }
        piece
    }

    /// Takes over a piece of a snapshot, in the order in which they were written, before anything
    /// is observed.
    ///
    /// # Errors
    /// When the piece can't be read, or was written with another catalogue or other limits. The
    /// profiles must be rebuilt from the journal then.
    pub fn restore(&mut self, piece: &[u8]) -> Result<(), GateStateError> {
        let Some(promised) = &self.snapshot.promised else { return self.restore_heading(piece) };
        let Some((place, mut rest)) = piece.split_first() else { return Ok(()) };
        let kind = self.kinds.get_mut(usize::from(*place)).ok_or(MALFORMED)?;
        let promised = promised[usize::from(*place)];
        while !rest.is_empty() {
            if kind.rows.len() == promised {
                return Err(MALFORMED);
            }
            let words = (0..kind.plan.words).map(|_| take_word(&mut rest));
            let words: Vec<_> = words.collect::<Option<_>>().ok_or(MALFORMED)?;
            let list = match kind.plan.exact.is_used() {
                true => List::read(&mut rest, kind.plan.exact.counted.len()).ok_or(MALFORMED)?,
                false => List::default(),
            };
            kind.restore(&words, list);
        }
        Ok(())
    }

    fn restore_heading(&mut self, mut piece: &[u8]) -> Result<(), GateStateError> {
        let mut next = || take_word(&mut piece).ok_or(MALFORMED);
        if next()? != FORMAT {
            return Err(GateStateError("its feature profiles are of another version"));
        }
        for part in self.catalogue.digest().as_chunks::<8>().0 {
            if next()? != u64::from_le_bytes(*part) {
                return Err(OTHER);
            }
        }
        self.counts = ProfileCounts {
            payments: next()?,
            amounts_refused: next()?,
            late: next()?,
            evicted: next()?,
            labels: next()?,
            labels_unknown: next()?,
        };
        let mut promised = Vec::new();
        for kind in &mut self.kinds {
            let (entities_max, payments_max, len) = (next()?, next()?, next()?);
            if (entities_max, payments_max) != (kind.entities_max.into(), kind.payments_max as u64)
            {
                return Err(OTHER);
            }
            let len = u32::try_from(len).map_err(|_| MALFORMED)?;
            if len > kind.entities_max {
                return Err(MALFORMED);
            }
            kind.hand = u32::try_from(next()?).map_err(|_| MALFORMED)?;
            promised.push(len);
        }
        self.snapshot.promised = Some(promised);
        if piece.is_empty() { Ok(()) } else { Err(MALFORMED) }
    }

    /// Whether all of the snapshot is restored.
    ///
    /// # Errors
    /// When pieces are missing.
    pub fn end_restore(&mut self) -> Result<(), GateStateError> {
        let promised = self.snapshot.promised.take().ok_or(CUT_SHORT)?;
        let whole = self.kinds.iter().map(|kind| kind.rows.len()).eq(promised);
        if whole { Ok(()) } else { Err(CUT_SHORT) }
    }
}
