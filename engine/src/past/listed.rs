//! The runs that there are: consumes an id, produces the payment with it, out of the newest run that
//! has it.

use std::{iter, sync::Arc};

use millrace_ledger::{History, HistoryError, PaymentId, Spans, StoredPayment};

use super::{
    filter::Fold,
    run::{Run, Sought},
    spans,
};
use crate::JournalError;

/// So many runs are asked for an id at once.
const RUNS_ASKED: usize = 16;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Listed {
    /// Oldest first.
    pub(super) runs: Vec<Arc<Run>>,
    /// The least and the greatest id of each run, side by side: most of many runs are told by them
    /// not to have an id.
    bounds: Vec<(PaymentId, PaymentId)>,
    /// Where the ids of all of them lie.
    spans: Arc<Spans>,
}

/// A run, and where in it an id would be.
type Asked<'a> = (&'a Run, Sought);

impl Listed {
    pub(super) fn new(runs: Vec<Arc<Run>>) -> Self {
        let spans = Arc::new(spans::of_runs(runs.iter().map(|run| run.spans())));
        let bounds = runs.iter().map(|run| run.bounds()).collect();
        Self { runs, bounds, spans }
    }

    pub(super) fn spans(&self) -> &Arc<Spans> {
        &self.spans
    }

    /// The payment with this id, as the newest run has it that knows it.
    pub(super) fn find(
        &self,
        id: PaymentId,
        fold: Fold,
    ) -> Result<Option<StoredPayment>, HistoryError> {
        let found = self.look_through(id, fold, |(run, sought)| run.find_sought(id, &sought));
        found.map_err(|error| HistoryError { id, why: error.to_string() })
    }

    /// Has pages read that these ids are on, as far as filters tell.
    pub(super) fn expect(&self, ids: &[PaymentId], fold: Fold) {
        for id in ids {
            let expect = |(run, sought): Asked<'_>| Ok(run.expect(*id, &sought).then_some(()));
            // What can't be read is told to whoever looks for the payment.
            let _ = self.look_through(*id, fold, expect);
        }
    }

    /// Asks the runs that may have an id, newest first, until one of them has an answer.
    fn look_through<T>(
        &self,
        id: PaymentId,
        fold: Fold,
        mut ask: impl FnMut(Asked<'_>) -> Result<Option<T>, JournalError>,
    ) -> Result<Option<T>, JournalError> {
        if self.spans.gap(id).is_some() {
            return Ok(None);
        }
        let key = fold.key(id);
        let newest_first = self.bounds.iter().zip(&self.runs).rev();
        let around = newest_first.filter(|((id_min, id_max), _)| (*id_min..=*id_max).contains(&id));
        let mut runs = around.map(|(_, run)| run);
        // Some at once: their filters come from memory at the same time.
        while let Some(newest) = runs.next() {
            let mut asked = [const { None }; RUNS_ASKED];
            for (asked, run) in asked.iter_mut().zip(iter::once(newest).chain(&mut runs)) {
                *asked = run.seek(id, key)?.map(|sought| (&**run, sought));
            }
            for asked in asked.into_iter().flatten() {
                let answer = ask(asked)?;
                if answer.is_some() {
                    return Ok(answer);
                }
            }
        }
        Ok(None)
    }
}

/// The runs that there were at some moment. A run never changes; one that was merged away since is not
/// deleted before whoever holds this lets it go.
#[derive(Clone, Debug)]
pub(super) struct ListedThen {
    listed: Arc<Listed>,
    fold: Fold,
}

impl ListedThen {
    pub(super) fn new(listed: Arc<Listed>, fold: Fold) -> Self {
        Self { listed, fold }
    }
}

impl History for ListedThen {
    fn spans(&self) -> Arc<Spans> {
        self.listed.spans().clone()
    }

    fn find(&self, id: PaymentId) -> Result<Option<StoredPayment>, HistoryError> {
        self.listed.find(id, self.fold)
    }

    fn expect(&self, ids: &[PaymentId]) {
        self.listed.expect(ids, self.fold);
    }

    fn as_of_now(&self) -> Arc<dyn History> {
        Arc::new(self.clone())
    }
}
