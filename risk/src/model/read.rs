//! The model file, read: consumes bytes of anybody's making, produces a model or a sentence.
//!
//! Guarantees that no bytes make it panic, or allocate more than a small multiple of their number.

use millrace_ledger::Timestamp;

use super::{
    Calibration, Kind, Link, Model, ModelError, Scorer, Term, TrainingFacts, Tree, check_names,
    column::{Column, Form, key},
    fit::Rows,
    forest::{COLUMNS_MAX, FlatNode, Forest},
    format::{DIGEST_LEN, HEADER_LEN, LEAF, MAGIC, VERSION},
    linear::Linear,
};

/// What the header says of the rest.
struct Header {
    kind: Kind,
    catalogue: [u8; 32],
    link: Link,
    calibration: u32,
    base: f64,
    features: u32,
    columns: u32,
    trees: u32,
    knots: u32,
    span: (u64, u64),
}

impl Model {
    /// The model of a file.
    ///
    /// # Errors
    /// When the bytes are no model, one of a later release, cut short, altered, or wrong in content.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut reader = Reader { bytes, offset: 0 };
        check_whole(bytes)?;
        reader.bytes = &bytes[..bytes.len() - DIGEST_LEN];
        let header = reader.header()?;
        let features = reader.list(header.features, 2, Reader::text)?;
        check_names(&features)?;
        let scorer = match header.kind {
            Kind::Logistic => Scorer::Linear(reader.linear(&header)?),
            _ => Scorer::Forest(reader.forest(&header)?),
        };
        let knots = reader.list(header.knots, 16, |reader| Ok((reader.f64()?, reader.f64()?)))?;
        let calibration = match (header.calibration, knots.as_slice()) {
            (0, []) => Calibration::None,
            (1, &[(slope, intercept)]) => Calibration::Platt { slope, intercept },
            (2, _) => Calibration::PiecewiseLinear(knots),
            _ => return Err(reader.wrong("this calibration is not known, or has other knots")),
        };
        calibration.check()?;
        let facts = reader.facts(header.span)?;
        if reader.offset != reader.bytes.len() {
            return Err(reader.wrong("the model should end here"));
        }
        let Header { kind, catalogue, .. } = header;
        let (link, rows) = (header.link.check()?, Rows::own(features.len()));
        Self { kind, features, catalogue, rows, scorer, link, calibration, facts }.checked()
    }
}

/// Magic, version, length, checksum: in this order, so that the first that is wrong is named.
fn check_whole(bytes: &[u8]) -> Result<(), ModelError> {
    let is_prefix = bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes);
    if bytes.first_chunk() != Some(&MAGIC) && !is_prefix {
        return Err(ModelError::Foreign);
    }
    let found = bytes.len() as u64;
    let Some(header) = bytes.first_chunk::<24>() else {
        return Err(ModelError::Length { expected: (HEADER_LEN + DIGEST_LEN) as u64, found });
    };
    let mut reader = Reader { bytes: header, offset: 8 };
    match reader.u32()? {
        VERSION => {}
        0 => return Err(ModelError::Malformed { offset: 8, reason: "there is no version 0" }),
        found => return Err(ModelError::Newer { found, known: VERSION }),
    }
    reader.offset = 16;
    let expected = reader.u64()?;
    if expected != found || bytes.len() < HEADER_LEN + DIGEST_LEN {
        return Err(ModelError::Length { expected, found });
    }
    let (content, digest) = bytes.split_at(bytes.len() - DIGEST_LEN);
    if blake3::hash(content).as_bytes() != digest {
        return Err(ModelError::Altered);
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Reader<'_> {
    fn wrong(&self, reason: &'static str) -> ModelError {
        ModelError::Malformed { offset: self.offset, reason }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let rest = self.bytes.get(self.offset..).and_then(|rest| rest.first_chunk());
        let chunk = *rest.ok_or(self.wrong("the model ends too early"))?;
        self.offset += N;
        Ok(chunk)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ModelError> {
        self.take().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, ModelError> {
        self.take().map(f32::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64, ModelError> {
        self.take().map(f64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, ModelError> {
        let len = usize::from(self.take().map(u16::from_le_bytes)?);
        let bytes = self.bytes.get(self.offset..self.offset + len);
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or(self.wrong("there should be a text in UTF-8"))?.to_owned();
        self.offset += len;
        Ok(text)
    }

    /// So many entries of at least so many bytes each: nothing is reserved for more than there are.
    fn list<T>(
        &mut self,
        len: u32,
        entry_len_min: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T, ModelError>,
    ) -> Result<Vec<T>, ModelError> {
        let room = self.bytes.len().saturating_sub(self.offset) / entry_len_min;
        if len as usize > room {
            return Err(self.wrong("there are fewer entries than were announced"));
        }
        (0..len).map(|_| entry(self)).collect()
    }

    fn header(&mut self) -> Result<Header, ModelError> {
        self.offset = 12;
        let kind = match self.u32()? {
            1 => Kind::Boosting,
            2 => Kind::Forest,
            3 => Kind::IsolationForest,
            4 => Kind::Logistic,
            _ => return Err(self.wrong("this kind of model is not known")),
        };
        self.offset = 24;
        let catalogue = self.take()?;
        let [link, calibration] = [self.u32()?, self.u32()?];
        let parameter = self.f64()?;
        let link = match link {
            0 => Link::Identity,
            1 => Link::Sigmoid { slope: parameter },
            2 => Link::Anomaly { path: parameter },
            _ => return Err(self.wrong("this link is not known")),
        };
        let base = self.f64()?;
        let [features, columns, trees, knots] =
            [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        let span = (self.u64()?, self.u64()?);
        Ok(Header {
            kind,
            catalogue,
            link,
            calibration,
            base,
            features,
            columns,
            trees,
            knots,
            span,
        })
    }

    fn linear(&mut self, header: &Header) -> Result<Linear, ModelError> {
        if (header.columns, header.trees) != (0, 0) {
            return Err(self.wrong("a logistic regression has no trees"));
        }
        let term = |reader: &mut Self| {
            Ok(Term { weight: reader.f64()?, mean: reader.f64()?, scale: reader.f64()? })
        };
        Linear::new(self.list(header.features, 24, term)?, header.base)
    }

    fn forest(&mut self, header: &Header) -> Result<Forest, ModelError> {
        let columns = self.list(header.columns, 8, |reader| {
            let (feature, form) = (reader.u32()?, Form::of_number(reader.u32()?));
            match form {
                Some(form) if feature < header.features => Ok(Column { feature, form }),
                _ => Err(reader.wrong("this column is of no known feature or form")),
            }
        })?;
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        if header.columns as usize > COLUMNS_MAX {
            return Err(self.wrong("there are more than 4,096 columns"));
        }
        if header.trees == 0 || !header.base.is_finite() {
            return Err(self.wrong("there must be a tree, and a base that is a number"));
        }
        for _ in 0..header.trees {
            let root = nodes.len() as u32;
            let depth = self.tree(header.columns, &mut nodes)?;
            roots.push((root, depth));
        }
        Ok(Forest::assembled(columns, nodes, roots, header.base))
    }

    /// One tree, breadth first: each split's children are the next two that have no parent yet, so
    /// that whatever the bytes are, it is a tree. Returns its depth.
    fn tree(&mut self, columns: u32, nodes: &mut Vec<FlatNode>) -> Result<u32, ModelError> {
        let len = self.u32()?;
        let root = nodes.len();
        if len as usize > Tree::NODES_MAX || u32::try_from(root + len as usize).is_err() {
            return Err(self.wrong("there are too many nodes"));
        }
        let mut depths = vec![0];
        let read = self.list(len, 12, |reader| {
            let place = reader.offset;
            let (threshold, column, value) = (reader.f32()?, reader.u32()?, reader.f32()?);
            Ok((place, threshold, column, value))
        })?;
        for (at, &(offset, threshold, column, value)) in read.iter().enumerate() {
            let wrong = |reason| ModelError::Malformed { offset, reason };
            let depth = *depths.get(at).ok_or(wrong("nothing leads to this node"))?;
            if !value.is_finite() {
                return Err(wrong("the node's value is no number"));
            }
            nodes.push(if column == LEAF {
                FlatNode::leaf((root + at) as u32, value)
            } else {
                if column >= columns || threshold.is_nan() || threshold == f32::INFINITY {
                    return Err(wrong("the split's column or threshold makes no sense"));
                }
                if depth == Tree::DEPTH_MAX {
                    return Err(wrong("the tree is deeper than 128"));
                }
                let left = (root + depths.len()) as u32;
                depths.extend([depth + 1; 2]);
                FlatNode { threshold: key(threshold), column, left, value }
            });
        }
        if depths.len() != read.len() {
            return Err(self.wrong("a split lacks its children"));
        }
        Ok(depths.last().copied().unwrap_or(0))
    }

    fn facts(&mut self, span: (u64, u64)) -> Result<TrainingFacts, ModelError> {
        let (rows, frauds) = (self.u64()?, self.u64()?);
        let (trainer, source) = (self.text()?, self.text()?);
        let len = self.u32()?;
        let settings = self.list(len, 4, |reader| Ok((reader.text()?, reader.text()?)))?;
        let span = (span != (0, 0)).then_some((Timestamp(span.0), Timestamp(span.1)));
        Ok(TrainingFacts { trainer, source, span, rows, frauds, settings })
    }
}
