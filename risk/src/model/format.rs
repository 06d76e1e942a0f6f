//! The model file, written: consumes a model, produces its bytes, always the same ones.
//!
//! The layout is in `docs/risk/model-format.md`. Reading is in [`super::read`].

use super::{Calibration, Link, Model, Scorer, column::number_of, forest::Forest, linear::Linear};

/// The format that this code writes, and reads.
pub const VERSION: u32 = 1;

pub(super) const MAGIC: [u8; 8] = *b"MLRMOD\r\n";
pub(super) const HEADER_LEN: usize = 112;
pub(super) const DIGEST_LEN: usize = 32;
/// In place of a leaf's column.
pub(super) const LEAF: u32 = u32::MAX;

impl Model {
    /// The model as a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put_header(&mut bytes);
        self.features.iter().for_each(|name| put_text(name, &mut bytes));
        match &self.scorer {
            Scorer::Forest(forest) => put_forest(forest, &mut bytes),
            Scorer::Linear(linear) => put_linear(linear, &mut bytes),
        }
        match &self.calibration {
            Calibration::None => {}
            Calibration::Platt { slope, intercept } => put_knot((*slope, *intercept), &mut bytes),
            Calibration::PiecewiseLinear(knots) => {
                knots.iter().for_each(|knot| put_knot(*knot, &mut bytes));
            }
        }
        self.put_facts(&mut bytes);
        let len = (bytes.len() + DIGEST_LEN) as u64;
        bytes[16..24].copy_from_slice(&len.to_le_bytes());
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    fn put_header(&self, bytes: &mut Vec<u8>) {
        let (link, parameter) = match self.link {
            Link::Identity => (0, 0.0),
            Link::Sigmoid { slope } => (1, slope),
            Link::Anomaly { path } => (2, path),
        };
        let (calibration, knots) = match &self.calibration {
            Calibration::None => (0, 0),
            Calibration::Platt { .. } => (1, 1),
            Calibration::PiecewiseLinear(knots) => (2, knots.len()),
        };
        let (columns, trees, base) = match &self.scorer {
            Scorer::Forest(forest) => (forest.columns.len(), forest.roots.len(), forest.base),
            Scorer::Linear(linear) => (0, 0, linear.intercept),
        };
        bytes.extend_from_slice(&MAGIC);
        put_u32s(&[VERSION, self.kind as u32, 0, 0], bytes); // the length comes last
        bytes.extend_from_slice(&self.catalogue);
        put_u32s(&[link, calibration], bytes);
        bytes.extend_from_slice(&f64::to_le_bytes(parameter));
        bytes.extend_from_slice(&f64::to_le_bytes(base));
        put_u32s(&[self.features.len(), columns, trees, knots].map(|len| len as u32), bytes);
        let (first, last) = self.facts.span.map_or((0, 0), |(first, last)| (first.0, last.0));
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
        debug_assert_eq!(bytes.len(), HEADER_LEN);
    }

    fn put_facts(&self, bytes: &mut Vec<u8>) {
        let facts = &self.facts;
        bytes.extend_from_slice(&facts.rows.to_le_bytes());
        bytes.extend_from_slice(&facts.frauds.to_le_bytes());
        put_text(&facts.trainer, bytes);
        put_text(&facts.source, bytes);
        put_u32s(&[facts.settings.len() as u32], bytes);
        for (name, value) in &facts.settings {
            put_text(name, bytes);
            put_text(value, bytes);
        }
    }
}

fn put_forest(forest: &Forest, bytes: &mut Vec<u8>) {
    for column in &forest.columns {
        put_u32s(&[column.feature, column.form as u32], bytes);
    }
    let ends = forest.roots.iter().skip(1).map(|(root, _)| *root as usize);
    for (&(root, _), end) in forest.roots.iter().zip(ends.chain([forest.nodes.len()])) {
        put_u32s(&[end as u32 - root], bytes);
        for (at, node) in (root..).zip(&forest.nodes[root as usize..end]) {
            let is_leaf = node.left == at;
            let column = if is_leaf { LEAF } else { node.column };
            let threshold = if is_leaf { 0.0 } else { number_of(node.threshold) };
            put_u32s(&[threshold.to_bits(), column, node.value.to_bits()], bytes);
        }
    }
}

fn put_linear(linear: &Linear, bytes: &mut Vec<u8>) {
    for term in &linear.terms {
        for number in [term.weight, term.mean, term.scale] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn put_knot((x, y): (f64, f64), bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&x.to_le_bytes());
    bytes.extend_from_slice(&y.to_le_bytes());
}

fn put_u32s(numbers: &[u32], bytes: &mut Vec<u8>) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

/// A text, preceded by its length; cut where that doesn't fit.
fn put_text(text: &str, bytes: &mut Vec<u8>) {
    let mut len = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    bytes.extend_from_slice(&(len as u16).to_le_bytes());
    bytes.extend_from_slice(&text.as_bytes()[..len]);
}
