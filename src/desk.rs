//! The review desk of this process: consumes the desk's store, the journal and the shelf, produces
//! what the risk service reads.

use std::sync::Arc;

use millrace_engine::Feed;
use millrace_ingest::{ReviewDesk, RiskParts};
use millrace_ledger::{EventSeq, PaymentId};
use millrace_risk::{
    desk::{Decided, OpenPage, OpenReviews, PolicySet, Report},
    policy::Library,
    shelf::Shelf,
};
use millrace_sinks::ReviewStore;

/// The desk that the sink keeps.
struct Desk(ReviewStore);

impl ReviewDesk for Desk {
    fn applied_seq(&self) -> EventSeq {
        self.0.applied_seq()
    }

    fn open_reviews(&self, page: &OpenPage) -> Result<OpenReviews, String> {
        self.0.open_reviews(page).map_err(told)
    }

    fn by_payment(&self, id: PaymentId) -> Result<Option<Decided>, String> {
        self.0.by_payment(id).map_err(told)
    }

    fn report(&self, id: PaymentId) -> Result<Option<Report>, String> {
        self.0.report(id).map_err(told)
    }

    fn policies(&self, before: Option<u32>, limit: usize) -> Result<Vec<PolicySet>, String> {
        self.0.policies(before, limit).map_err(told)
    }
}

fn told(error: impl std::error::Error) -> String {
    error.to_string()
}

/// What the risk service works with.
pub(crate) fn parts(
    reviews: Option<ReviewStore>,
    feed: Feed,
    shelf: Shelf,
    library: Option<Library>,
) -> RiskParts {
    let known = library.clone();
    RiskParts {
        desk: reviews.map(|store| Arc::new(Desk(store)) as Arc<dyn ReviewDesk>),
        feed,
        shelf,
        check: Arc::new(move |name| match &library {
            Some(library) => Ok(library.compile(name)?.on_demand.clone()),
            None => Err("no features are kept, so no policy can be set. Set \
                         risk.features.enabled, and start again"
                .to_owned()),
        }),
        catalogue_of: Arc::new(move |name| known.as_ref()?.catalogue_of(name)),
    }
}
