//! What the risk service is given: where it reads, and what else it needs to do its work.

use std::{fmt, sync::Arc};

use millrace_engine::Feed;
use millrace_ledger::{EventSeq, PaymentId};
use millrace_risk::{
    desk::{Decided, OpenPage, OpenReviews, PolicySet, Report},
    features::Catalogue,
    shelf::Shelf,
};

/// Reads what a sink keeps of reviews, reports and policies. Calls may block.
///
/// # Errors
/// All of them fail when the store can't be read, with a sentence for whoever operates it.
pub trait ReviewDesk: Send + Sync + 'static {
    /// The last event that readers see.
    fn applied_seq(&self) -> EventSeq;

    /// Open reviews, oldest first.
    fn open_reviews(&self, page: &OpenPage) -> Result<OpenReviews, String>;

    /// What is known of a payment that risk did not approve.
    fn by_payment(&self, id: PaymentId) -> Result<Option<Decided>, String>;

    /// Whether a payment was fraud, as reported last.
    fn report(&self, id: PaymentId) -> Result<Option<Report>, String>;

    /// Policies that were set, newest first; only those with numbers below `before`.
    fn policies(&self, before: Option<u32>, limit: usize) -> Result<Vec<PolicySet>, String>;
}

/// Says whether a policy can be used: compiles it with all that it names, and tells the features on
/// demand that it needs. May block.
pub type CheckPolicy = Arc<dyn Fn(&str) -> Result<Vec<String>, String> + Send + Sync>;

/// The catalogue that a policy's features are numbered by; `None` where that is not known any more.
/// The argument is the policy's name. May block.
pub type CatalogueOf = Arc<dyn Fn(&str) -> Option<Arc<Catalogue>> + Send + Sync>;

/// What the risk service works with.
#[derive(Clone)]
pub struct RiskParts {
    /// Where reviews and policies are read; `None` where the sink is off.
    pub desk: Option<Arc<dyn ReviewDesk>>,
    /// Where payments are read as the journal has them.
    pub feed: Feed,
    /// Where artefacts are kept.
    pub shelf: Shelf,
    /// Checks a policy before it is taken.
    pub check: CheckPolicy,
    /// Gives features their names and words in explanations.
    pub catalogue_of: CatalogueOf,
}

impl fmt::Debug for RiskParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RiskParts").field("shelf", &self.shelf).finish_non_exhaustive()
    }
}
