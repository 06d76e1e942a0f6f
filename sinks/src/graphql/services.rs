//! What the GraphQL service answers from. Only the read model is a must; what is not there answers
//! with the code `SERVICE_OFF`.

use std::sync::Arc;

use async_graphql::{Context, Result};
use millrace_risk::policy::Library;

use super::{acts::Acts, model::ReadModel};
use crate::{ReviewStore, audit::AuditReader, notify::Inbox};

/// What the GraphQL service answers from. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Payments and accounts.
    pub model: Arc<dyn ReadModel>,
    /// Reviews, and the names of policies.
    pub reviews: Option<ReviewStore>,
    /// Notifications, and what owners want.
    pub inbox: Option<Inbox>,
    /// The audit log.
    pub audit: Option<AuditReader>,
    /// The way to the engine.
    pub acts: Option<Arc<dyn Acts>>,
    /// Policies, whose models' features are what reasons speak of.
    pub policies: Option<Library>,
}

impl Services {
    /// A read model, and nothing else yet.
    #[must_use]
    pub fn new(model: Arc<dyn ReadModel>) -> Self {
        Self { model, reviews: None, inbox: None, audit: None, acts: None, policies: None }
    }

    pub(super) fn of<'a>(ctx: &Context<'a>) -> Result<&'a Self> {
        ctx.data::<Self>()
    }
}
