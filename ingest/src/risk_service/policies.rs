//! Policies: consumes the name of an uploaded one, produces an act that puts it in force. A policy
//! that can't be used is refused before it is journaled, and the one in force stays.

use std::{cmp::Reverse, sync::Arc, time::Instant};

use millrace_protos::v1;
use millrace_risk::{acts::ActKind, desk::PolicySet};
use tonic::Status;

use super::{
    RiskRefusal, Risks, acts::Signature, blocking, desk::ReviewDesk, page_size, page_token, wire,
};

impl Risks {
    /// Policies that were set, newest first: those of the desk, and those that it has not read yet.
    pub(super) async fn set_before(
        &self,
        desk: &Arc<dyn ReviewDesk>,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<PolicySet>, RiskRefusal> {
        let unread = self.ledgered.unread(desk.as_ref(), |act| match act {
            ActKind::SetPolicy { policy, .. } => Some(policy.clone()),
            _ => None,
        });
        let read = move |desk: &dyn ReviewDesk| {
            Ok((desk.policies(None, 1)?.pop(), desk.policies(before, limit)?))
        };
        let (newest, mut read) = self.ask(desk, read).await?;
        let (mut number, seq) = newest.map_or((0, 0), |newest| (newest.number, newest.deed.seq));
        let mut found = Vec::new();
        // The desk may have read some of them in between.
        for (name, deed) in unread.into_iter().filter(|(_, deed)| deed.seq > seq) {
            number += 1;
            found.push(PolicySet { number, name, deed });
        }
        found.retain(|policy| before.is_none_or(|before| policy.number < before));
        found.retain(|policy| !read.iter().any(|read| read.number == policy.number));
        found.append(&mut read);
        found.sort_by_key(|policy| Reverse(policy.number));
        found.truncate(limit);
        Ok(found)
    }

    /// The policy that was set last.
    async fn in_force(&self, desk: &Arc<dyn ReviewDesk>) -> Result<Option<PolicySet>, RiskRefusal> {
        Ok(self.set_before(desk, None, 1).await?.pop())
    }

    pub(super) async fn set(
        &self,
        request: v1::SetPolicyRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::SetPolicyResponse, Status> {
        let signature = Signature::check(request.actor, request.why)?;
        let name = request.name.trim().to_ascii_lowercase();
        if name.is_empty() {
            return Err(RiskRefusal::FieldMissing { field: "name" }.into());
        }
        let desk = self.current_desk().await?;
        let _lock = self.ledgered.policy.lock().await;
        let before = self.in_force(&desk).await?;
        let in_force = before.as_ref().map_or("", |policy| policy.name.as_str());
        if let Some(replaces) = request.replaces.filter(|it| !it.eq_ignore_ascii_case(in_force)) {
            let in_force = in_force.to_owned();
            return Err(RiskRefusal::PolicyChanged { replaces, in_force }.into());
        }
        if let Some(policy) = before.as_ref().filter(|policy| policy.name == name) {
            let policy = Some(wire::policy(policy));
            return Ok(v1::SetPolicyResponse { policy, replayed: true });
        }
        let (check, checked) = (Arc::clone(&self.parts.check), name.clone());
        let usable = blocking(move || check(&checked)).await?;
        let features = usable.map_err(|what| RiskRefusal::PolicyRefused { what })?;
        if request.check_only {
            let policy = before.as_ref().map(wire::policy);
            return Ok(v1::SetPolicyResponse { policy, replayed: false });
        }
        let act = ActKind::SetPolicy { policy: name.clone(), features };
        let deed = self.act(desk.as_ref(), &signature, act, deadline).await?;
        let number = before.map_or(0, |before| before.number) + 1;
        let policy = Some(wire::policy(&PolicySet { number, name, deed }));
        Ok(v1::SetPolicyResponse { policy, replayed: false })
    }

    pub(super) async fn policy(&self) -> Result<v1::GetPolicyResponse, Status> {
        let desk = self.current_desk().await?;
        let policy = self.in_force(&desk).await?.ok_or(RiskRefusal::NoPolicy)?;
        let (shelf, name) = (self.parts.shelf.clone(), policy.name.clone());
        let document = blocking(move || shelf.get(&name)).await?.map_err(RiskRefusal::Shelf)?;
        Ok(v1::GetPolicyResponse {
            policy: Some(wire::policy(&policy)),
            document: String::from_utf8_lossy(&document).into_owned(),
        })
    }

    pub(super) async fn policies(
        &self,
        request: v1::ListPoliciesRequest,
    ) -> Result<v1::ListPoliciesResponse, Status> {
        let desk = self.current_desk().await?;
        let before = page_token(&request.page_token)?;
        let limit = page_size(request.page_size);
        let mut found = self.set_before(&desk, before, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more).map(|last| last.number.to_string());
        Ok(v1::ListPoliciesResponse {
            policies: found.iter().map(wire::policy).collect(),
            next_page_token: last.unwrap_or_default(),
        })
    }
}
