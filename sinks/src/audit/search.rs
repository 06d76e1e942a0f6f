//! Search: consumes a question and a view, produces the entries that fit. Holds one block of entries at
//! a time. Sealed segments are asked through their indexes; the open one is read.

use std::ops::ControlFlow;

use super::{
    AuditEntry, AuditError, AuditQuery,
    index::{BLOCK_ENTRIES, Index, Term},
    layout::{Layout, Span},
    parts::Summary,
    segment::Blocks,
    view::View,
};

/// In which order entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they were written.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// Hands `visit` the entries that fit, from index `begin` to `end`, which is not in it, until it breaks.
pub(super) fn search(
    layout: &Layout,
    view: &View,
    query: &AuditQuery,
    range: Span,
    order: Order,
    visit: &mut dyn FnMut(AuditEntry) -> ControlFlow<()>,
) -> Result<(), AuditError> {
    let terms = Term::of_query(query);
    let sealed = view.sealed.iter().map(|span| (*span, false));
    let mut segments: Vec<_> = sealed.chain([(view.open_span(), true)]).collect();
    if order == Order::NewestFirst {
        segments.reverse();
    }
    for (span, is_open) in segments {
        if span.end <= range.first || span.first >= range.end || span.count() == 0 {
            continue;
        }
        let segment = match is_open {
            true => Some(open_blocks(layout, view)),
            false => Blocks::open_kept(layout, span)?,
        };
        let Some(segment) = segment else { continue };
        let mut blocks = candidates(&segment, &terms, query)?;
        if order == Order::NewestFirst {
            blocks.reverse();
        }
        for block in blocks {
            let first = span.first + block * BLOCK_ENTRIES;
            if first >= range.end || first + BLOCK_ENTRIES <= range.first {
                continue;
            }
            let text = segment.read(block)?;
            let mut lines = Blocks::lines(block, span, &text);
            if order == Order::NewestFirst {
                lines.reverse();
            }
            for (index, line) in lines {
                if index < range.first || index >= range.end {
                    continue;
                }
                if !fits(query, line) {
                    continue;
                }
                if visit(entry_of(index, line)?).is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The open segment of the view.
pub(super) fn open_blocks(layout: &Layout, view: &View) -> Blocks {
    let (file, offsets) = (view.open.file.clone(), view.open.offsets.clone());
    Blocks::of_lines(layout.open_segment(), file, view.open_span(), offsets)
}

/// The entry with this index, from its line.
pub(super) fn entry_of(index: u64, line: &[u8]) -> Result<AuditEntry, AuditError> {
    let entry = AuditEntry::parse(index, line).filter(|entry| entry.seq.0 == index + 1);
    entry.ok_or_else(|| {
        let place = format!("entry {index}");
        AuditError::damaged("the audit log".as_ref(), place, "the line there is not this entry")
    })
}

/// The blocks that may have entries that fit, in order.
fn candidates(
    segment: &Blocks,
    terms: &[Term],
    query: &AuditQuery,
) -> Result<Vec<u64>, AuditError> {
    let Some(index) = &segment.index else { return Ok((0..segment.len()).collect()) };
    let mut blocks = match terms.split_first() {
        None => (0..segment.len()).collect(),
        Some((first, others)) => {
            let read = |term: Term| segment.blocks_with(index, term);
            let mut blocks = read(*first)?;
            for term in others {
                let also = read(*term)?;
                blocks.retain(|block| also.binary_search(block).is_ok());
            }
            blocks
        }
    };
    blocks.retain(|&block| in_time(index, block, query));
    Ok(blocks)
}

fn in_time(index: &Index, block: u64, query: &AuditQuery) -> bool {
    let Some(block) = index.blocks.get(block as usize) else { return false };
    query.from_time.is_none_or(|from| block.max_time >= from)
        && query.to_time.is_none_or(|to| block.min_time < to)
}

/// Whether the line is one of an entry that fits.
pub(super) fn fits(query: &AuditQuery, line: &[u8]) -> bool {
    if *query == AuditQuery::default() {
        return true;
    }
    let Some(summary) = Summary::of(line) else { return false };
    let AuditQuery { actor, account, payment, from_time, to_time } = query;
    if from_time.is_some_and(|from| summary.time < from)
        || to_time.is_some_and(|to| summary.time >= to)
    {
        return false;
    }
    let act = if summary.act.is_empty() { None } else { summary.act() };
    let act = act.unwrap_or_default();
    payment.is_none_or(|payment| {
        [summary.payment, summary.original, act.payment].contains(&Some(payment))
    }) && account.is_none_or(|account| {
        summary.accounts.contains(&Some(account)) || act.accounts.contains(&account)
    }) && actor.as_ref().is_none_or(|actor| act.actor.as_ref() == Some(actor))
}
