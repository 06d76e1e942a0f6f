//! Where the ids of a run lie. Consumes the first ids of its pages, and the few pages that may have
//! wide gaps; produces the gaps in which the run has no id, so that it need not be asked there.
//!
//! Nearly all ids lie close together, in time, and some far from them. A page that begins among
//! those and ends among these, or the other way round, is many times as wide as the one beside it:
//! such pages are read. Where ids are in no order, all pages are about as wide, and none is.

use std::{cmp::Reverse, ops::Range};

use millrace_ledger::{PaymentId, Span, Spans};

use super::{layout::Contents, page::id_of, row::MalformedRow, run::Run};
use crate::JournalError;

/// Spans of a run at most: looking for one among them costs about as much as asking a filter.
const RUN_SPANS_MAX: usize = 64;
/// Spans of all runs together, which are looked through before the runs are.
const ALL_SPANS_MAX: usize = 1_024;
/// A page that is more than so many times as wide as one beside it is read, as a power of two.
const WIDER_BITS: u32 = 8;
/// So many pages of a run are read at most.
const PAGES_READ_MAX: usize = 16;
/// All pages of a run that has no more are read: there, none lies within the ids in time.
const PAGES_OF_TINY: usize = 2;

/// Where the ids of this run lie. A page that can't be read counts as full of ids: whoever asks for
/// one of them is told.
pub(super) fn of_run(run: &Run, contents: &Contents) -> Spans {
    let Contents { rows, fences, id_max, .. } = contents;
    let ids_per_page = rows / fences.len().max(1) as u64;
    let read = pages_to_read(fences, *id_max);
    let mut spans = Vec::with_capacity(fences.len() + 512);
    for (part, pages) in (0..).map_while(|part| Some((part, run.pages_of(part)?))) {
        for page in pages {
            let whole = Span {
                first: fences[page],
                last: last_of(fences, *id_max, page),
                ids: ids_per_page,
            };
            match read.contains(&page).then(|| ids(run, part, page)) {
                Some(Ok(ids)) => {
                    spans.extend(ids.into_iter().map(|id| Span { first: id, last: id, ids: 1 }));
                }
                Some(Err(_)) | None => spans.push(whole),
            }
        }
    }
    Spans::of(spans, RUN_SPANS_MAX)
}

/// Where the ids of all these runs lie.
pub(super) fn of_runs<'a>(runs: impl Iterator<Item = &'a Spans>) -> Spans {
    Spans::of(runs.flat_map(Spans::iter).copied(), ALL_SPANS_MAX)
}

/// No id of a page is greater than this one.
fn last_of(fences: &[PaymentId], id_max: PaymentId, page: usize) -> PaymentId {
    fences.get(page + 1).map_or(id_max, |next| PaymentId(next.0 - 1))
}

/// The pages that are much wider than one beside them, the widest first.
fn pages_to_read(fences: &[PaymentId], id_max: PaymentId) -> Vec<usize> {
    if fences.len() <= PAGES_OF_TINY {
        return (0..fences.len()).collect();
    }
    let bits = |page: usize| {
        let width = last_of(fences, id_max, page).0 - fences[page].0;
        u128::BITS - width.leading_zeros()
    };
    let beside =
        |page: usize| -> Range<usize> { page.saturating_sub(1)..fences.len().min(page + 2) };
    let wider = |page: usize| {
        let narrowest = beside(page).map(bits).min().unwrap_or(u128::BITS);
        bits(page) - narrowest
    };
    let mut pages: Vec<_> = (0..fences.len()).filter(|page| wider(*page) > WIDER_BITS).collect();
    pages.sort_unstable_by_key(|page| (Reverse(bits(*page)), *page));
    pages.truncate(PAGES_READ_MAX);
    pages
}

/// The ids of a page.
fn ids(run: &Run, part: usize, number: usize) -> Result<Vec<PaymentId>, JournalError> {
    let mut page = run.page(part, number, Vec::new())?;
    let malformed = |MalformedRow| run.malformed(part, number);
    let mut ids = Vec::with_capacity(page.rows().into());
    while let Some(row) = page.row().map_err(malformed)? {
        ids.push(id_of(row));
        page.advance().map_err(malformed)?;
    }
    Ok(ids)
}
