//! Snapshots: consumes the profiles of one moment, produces pieces that they are restored from.
//!
//! The first piece says what the rest was written with: format, digest of the catalogue, counts,
//! and of each kind of entity how many may be and are remembered, and whose turn it is to give
//! way. Where features on demand are or were kept, it goes on with the names that were demanded last,
//! those before, and the layers: names, digest of what they mean, and the same of each kind. Each
//! other piece is the place of a kind, those of layers behind the others (one byte), and profiles in
//! the order of their rows: the words of each, all little-endian, and its list. Rows keep their
//! numbers, so what is forgotten later is the same.

use millrace_ledger::GateStateError;

use super::{
    Kind, ProfileCounts, Profiles,
    exact::{List, take_word},
};

const FORMAT: u64 = 1;
/// With what is on demand.
const FORMAT_ON_DEMAND: u64 = 2;
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
    /// Layers that belong to it; there may be newer ones by now.
    layers: usize,
    is_under_way: bool,
}

impl Progress {
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }
}

impl Profiles {
    /// Begins a snapshot of what is known now. One that is under way is given up.
    pub fn begin_snapshot(&mut self) {
        self.forget_layers();
        let promised = self.snapshot.promised.take();
        let (heading, layers) = (Some(self.heading()), self.on_demand.layers.len());
        self.snapshot = Progress { heading, kind: 0, promised, layers, is_under_way: true };
        self.kinds.iter_mut().chain(self.on_demand.kinds_mut()).for_each(Kind::begin_sweep);
    }

    /// The kinds that belong to the snapshot, in their order.
    fn snapshot_kinds(&mut self) -> impl Iterator<Item = &mut Kind> {
        let layers = self.on_demand.layers.iter_mut().take(self.snapshot.layers);
        self.kinds.iter_mut().chain(layers.flat_map(|layer| &mut layer.kinds))
    }

    /// Appends the next piece of the snapshot: about `rows_max` profiles, as they were when it was
    /// begun. `false` when there are no more.
    pub fn snapshot_slice(&mut self, rows_max: usize, piece: &mut Vec<u8>) -> bool {
        if let Some(heading) = self.snapshot.heading.take() {
            piece.extend_from_slice(&heading);
            return !self.kinds.is_empty();
        }
        let place = self.snapshot.kind;
        let kinds = self.snapshot_kinds().count();
        let Some(kind) = self.snapshot_kinds().nth(place) else { return false };
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
        self.snapshot.is_under_way = self.snapshot.kind < kinds;
        self.snapshot.is_under_way
    }

    fn heading(&self) -> Vec<u8> {
        let mut piece = Vec::new();
        let on_demand = &self.on_demand;
        let is_plain = [&on_demand.newest, &on_demand.before].iter().all(|names| names.is_empty());
        let format = if is_plain { FORMAT } else { FORMAT_ON_DEMAND };
        piece.extend_from_slice(&format.to_le_bytes());
        piece.extend_from_slice(&self.catalogue.digest());
        let ProfileCounts { payments, amounts_refused, late, evicted, labels, labels_unknown } =
            self.counts;
        for count in [payments, amounts_refused, late, evicted, labels, labels_unknown] {
            piece.extend_from_slice(&count.to_le_bytes());
        }
        self.kinds.iter().for_each(|kind| put_kind(kind, &mut piece));
        if !is_plain {
            self.put_names(&on_demand.newest, &mut piece);
            self.put_names(&on_demand.before, &mut piece);
            piece.extend_from_slice(&(on_demand.layers.len() as u64).to_le_bytes());
            for layer in &on_demand.layers {
                self.put_names(&layer.columns, &mut piece);
                piece.extend_from_slice(&self.meaning(&layer.columns));
                layer.kinds.iter().for_each(|kind| put_kind(kind, &mut piece));
            }
        }
        piece
    }

    fn put_names(&self, columns: &[u16], piece: &mut Vec<u8>) {
        piece.extend_from_slice(&(columns.len() as u64).to_le_bytes());
        for column in columns {
            let name = &self.catalogue.features()[usize::from(*column)].name;
            piece.extend_from_slice(&(name.len() as u64).to_le_bytes());
            piece.extend_from_slice(name.as_bytes());
        }
    }

    /// Names of features on demand, as their columns.
    fn take_names(&self, piece: &mut &[u8]) -> Result<Vec<u16>, GateStateError> {
        let count = take_word(piece).ok_or(MALFORMED)?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let len = take_word(piece).ok_or(MALFORMED)?;
            let len = usize::try_from(len).map_err(|_| MALFORMED)?;
            let (name, rest) = piece.split_at_checked(len).ok_or(MALFORMED)?;
            *piece = rest;
            let name = std::str::from_utf8(name).map_err(|_| MALFORMED)?;
            columns.push(self.column(name).ok_or(OTHER)?);
        }
        Ok(columns)
    }

    /// Digest of what the features in these columns mean.
    fn meaning(&self, columns: &[u16]) -> [u8; 32] {
        let name = |column: &u16| self.catalogue.features()[usize::from(*column)].name.clone();
        let names: Vec<_> = columns.iter().map(name).collect();
        self.catalogue.selected(&names).map_or([0; 32], |selected| selected.digest())
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
        let promised = *promised.get(usize::from(*place)).ok_or(MALFORMED)?;
        let kind = self.snapshot_kinds().nth(usize::from(*place)).ok_or(MALFORMED)?;
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
        let format = next()?;
        if ![FORMAT, FORMAT_ON_DEMAND].contains(&format) {
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
            promised.push(take_kind(kind, &mut piece)?);
        }
        if format == FORMAT_ON_DEMAND {
            self.restore_layers(&mut piece, &mut promised)?;
        }
        self.snapshot.layers = self.on_demand.layers.len();
        self.snapshot.promised = Some(promised);
        if piece.is_empty() { Ok(()) } else { Err(MALFORMED) }
    }

    fn restore_layers(
        &mut self,
        piece: &mut &[u8],
        promised: &mut Vec<u32>,
    ) -> Result<(), GateStateError> {
        self.on_demand.newest = self.take_names(piece)?;
        self.on_demand.before = self.take_names(piece)?;
        for _ in 0..take_word(piece).ok_or(MALFORMED)? {
            let columns = self.take_names(piece)?;
            let meaning;
            (meaning, *piece) = piece.split_first_chunk().ok_or(MALFORMED)?;
            if *meaning != self.meaning(&columns) {
                return Err(OTHER);
            }
            self.add_layer(columns);
            let layer = self.on_demand.layers.last_mut().ok_or(MALFORMED)?;
            for kind in &mut layer.kinds {
                promised.push(take_kind(kind, piece)?);
            }
        }
        self.read_kept();
        Ok(())
    }

    /// Whether all of the snapshot is restored.
    ///
    /// # Errors
    /// When pieces are missing.
    pub fn end_restore(&mut self) -> Result<(), GateStateError> {
        let promised = self.snapshot.promised.take().ok_or(CUT_SHORT)?;
        let whole = self.snapshot_kinds().map(|kind| kind.rows.len()).eq(promised);
        if whole { Ok(()) } else { Err(CUT_SHORT) }
    }
}

/// How many profiles a kind may have and has, and whose turn it is.
fn put_kind(kind: &Kind, piece: &mut Vec<u8>) {
    let limits = [u64::from(kind.entities_max), kind.payments_max as u64];
    for number in limits.into_iter().chain([kind.rows.len().into(), kind.hand.into()]) {
        piece.extend_from_slice(&number.to_le_bytes());
    }
}

/// How many profiles the kind will have.
fn take_kind(kind: &mut Kind, piece: &mut &[u8]) -> Result<u32, GateStateError> {
    let mut next = || take_word(piece).ok_or(MALFORMED);
    let (entities_max, payments_max, len) = (next()?, next()?, next()?);
    if (entities_max, payments_max) != (kind.entities_max.into(), kind.payments_max as u64) {
        return Err(OTHER);
    }
    let len = u32::try_from(len).map_err(|_| MALFORMED)?;
    if len > kind.entities_max {
        return Err(MALFORMED);
    }
    kind.hand = u32::try_from(next()?).map_err(|_| MALFORMED)?;
    Ok(len)
}
