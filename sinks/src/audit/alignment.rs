//! What happened to a segment that is not what its tree says: consumes the lines that are there and
//! the leaf hashes that should be, produces which entries were changed, dropped, moved, doubled or
//! put in. Pure.

use std::collections::{BTreeMap, HashMap};

use super::merkle::Hash;

/// A line that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundLine {
    pub(super) leaf: Hash,
    /// The entry that it says it is; `None` where it is no entry at all.
    pub(super) claims: Option<u64>,
    /// Whether its own hash fits its content.
    pub(super) whole: bool,
}

/// What happened to one entry or line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The entry's line has another content. The line's place among the lines that were given.
    Changed { index: u64, line: usize },
    /// The entry is not there.
    Missing { index: u64 },
    /// The entry stands behind a later one.
    Moved { index: u64 },
    /// The entry stands there once more.
    Doubled { index: u64 },
    /// A line that is not of the log stands behind this many lines of those that were given.
    Inserted { claims: Option<u64>, line: usize },
    /// A line behind the last entry whose hash is known.
    Beyond { line: usize },
}

/// Aligns lines with the entries from `first` on, whose leaf hashes are `expected`. `earlier` tells
/// whether this is the leaf of an entry before `first`.
pub(super) fn align(
    first: u64,
    expected: &[Hash],
    lines: &[FoundLine],
    mut earlier: impl FnMut(u64, &Hash) -> bool,
) -> Vec<Finding> {
    let end = first + expected.len() as u64;
    // Two entries are never the same: each has its own sequence.
    let places: HashMap<&Hash, u64> = expected.iter().zip(first..).collect();
    let mut findings = Vec::new();
    let mut seen = vec![false; expected.len()];
    let mut order = Vec::new();
    let mut claimed: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut unreadable = Vec::new();
    let mut beyond = end;
    for (number, line) in lines.iter().enumerate() {
        match (places.get(&line.leaf), line.claims) {
            (Some(&index), _) => {
                if std::mem::replace(&mut seen[(index - first) as usize], true) {
                    findings.push(Finding::Doubled { index });
                } else {
                    order.push(index);
                }
            }
            (None, Some(index)) if (first..end).contains(&index) => {
                claimed.entry(index).or_default().push(number);
            }
            (None, Some(index)) if index == beyond => {
                beyond += 1;
                findings.push(Finding::Beyond { line: number });
            }
            (None, Some(index)) if index < first && earlier(index, &line.leaf) => {
                findings.push(Finding::Doubled { index });
            }
            (None, Some(_)) => {
                findings.push(Finding::Inserted { claims: line.claims, line: number });
            }
            (None, None) => unreadable.push(number),
        }
    }
    findings.extend(moved(&order).into_iter().map(|index| Finding::Moved { index }));
    let mut unreadable = unreadable.into_iter();
    for (index, seen) in (first..).zip(seen) {
        let mut lines = claimed.remove(&index).unwrap_or_default().into_iter();
        if !seen {
            // A line that can't be read is taken for the first entry that is not there.
            findings.push(match lines.next().or_else(|| unreadable.next()) {
                Some(line) => Finding::Changed { index, line },
                None => Finding::Missing { index },
            });
        }
        let inserted = lines.map(|line| Finding::Inserted { claims: Some(index), line });
        findings.extend(inserted);
    }
    findings.extend(unreadable.map(|line| Finding::Inserted { claims: None, line }));
    findings
}

/// The fewest entries that have to be taken out for the rest to be in order.
fn moved(order: &[u64]) -> Vec<u64> {
    // The longest ascending row: `tails[n]` is the place of the smallest end of a row of n + 1.
    let mut tails: Vec<usize> = Vec::new();
    let mut before = vec![None; order.len()];
    for (place, index) in order.iter().enumerate() {
        let length = tails.partition_point(|&tail| order[tail] < *index);
        before[place] = length.checked_sub(1).map(|shorter| tails[shorter]);
        match tails.get_mut(length) {
            Some(tail) => *tail = place,
            None => tails.push(place),
        }
    }
    let mut stays = vec![false; order.len()];
    let mut place = tails.last().copied();
    while let Some(at) = place {
        stays[at] = true;
        place = before[at];
    }
    order.iter().zip(stays).filter(|(_, stays)| !stays).map(|(index, _)| *index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: u64) -> Hash {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&index.to_le_bytes());
        hash
    }

    fn line(index: u64) -> FoundLine {
        FoundLine { leaf: leaf(index), claims: Some(index), whole: true }
    }

    /// A line that says that it is this entry, and is another one.
    fn other(index: u64) -> FoundLine {
        FoundLine { leaf: leaf(1_000 + index), ..line(index) }
    }

    #[test]
    fn what_was_done_to_a_segment_is_told() {
        use Finding::*;
        let unreadable = FoundLine { leaf: leaf(99), claims: None, whole: false };
        let l = |indexes: &[u64]| indexes.iter().map(|&index| line(index)).collect::<Vec<_>>();
        let with = |lines: &[FoundLine]| lines.to_vec();
        for (lines, findings) in [
            (l(&[10, 11, 12, 13, 14]), vec![]),
            (l(&[10, 11, 13, 14]), vec![Missing { index: 12 }]),
            (
                l(&[10, 11]),
                vec![Missing { index: 12 }, Missing { index: 13 }, Missing { index: 14 }],
            ),
            (l(&[11, 10, 12, 13, 14]), vec![Moved { index: 11 }]),
            (l(&[14, 10, 11, 12, 13]), vec![Moved { index: 14 }]),
            (l(&[11, 12, 13, 14, 10]), vec![Moved { index: 10 }]),
            (l(&[10, 11, 11, 12, 13, 14]), vec![Doubled { index: 11 }]),
            (l(&[10, 11, 12, 5, 13, 14]), vec![Doubled { index: 5 }]),
            (l(&[10, 11, 12, 13, 14, 15, 16]), vec![Beyond { line: 5 }, Beyond { line: 6 }]),
            (l(&[10, 11, 12, 13, 14, 17]), vec![Inserted { claims: Some(17), line: 5 }]),
            (
                with(&[line(10), other(11), line(12), line(13), line(14)]),
                vec![Changed { index: 11, line: 1 }],
            ),
            (
                with(&[line(10), line(11), other(11), line(12), line(13), line(14)]),
                vec![Inserted { claims: Some(11), line: 2 }],
            ),
            (
                with(&[line(10), unreadable, line(12), line(13), line(14)]),
                vec![Changed { index: 11, line: 1 }],
            ),
            (
                with(&[line(10), line(11), line(12), line(13), line(14), unreadable]),
                vec![Inserted { claims: None, line: 5 }],
            ),
        ] {
            let expected: Vec<_> = (10..15).map(leaf).collect();
            let found = align(10, &expected, &lines, |index, hash| *hash == leaf(index));
            let told = lines.iter().map(|line| line.claims).collect::<Vec<_>>();
            assert_eq!(found, findings, "{told:?}");
        }
    }
}
