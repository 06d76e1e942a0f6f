//! What readers see of the notifications, and what owners may do: consumes questions and marks,
//! produces notifications, each call as of one commit. The calls block for as long as a disk does.

use fjall::{Keyspace, Readable as _, Snapshot};
use millrace_ledger::{AccountId, PaymentId, Timestamp};
use tokio::sync::watch;

use super::{
    DeliveryState, Notification, Preferences, PreferencesError, StateKind,
    outbox::{Outbox, Row, tables::last_id},
    recipients::Recipients,
};
use crate::{
    SinkError,
    graphql::model::Order,
    span::{Looked, Span},
};

/// Notifications that one page looks at: filters that fit few of very many give short pages.
const PAGE_LOOKS: usize = 10_000;

/// Reads notifications, and takes what owners want. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    outbox: Outbox,
    recipients: Recipients,
}

/// Which notifications to list. What is left out is any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxQuery {
    /// For this owner.
    pub owner: Option<u128>,
    /// About this account.
    pub account: Option<AccountId>,
    /// About this payment.
    pub payment: Option<PaymentId>,
    /// In this state: [`StateKind::Dead`] lists the dead letters.
    pub state: Option<StateKind>,
    /// Only those that nobody has marked as read.
    pub unread_only: bool,
}

/// What to look for in an index, and how far.
#[derive(Clone, Copy)]
struct Walk {
    query: InboxQuery,
    span: Span,
    limit: usize,
    looks_max: usize,
}

/// Why preferences were not taken.
#[derive(Debug, thiserror::Error)]
pub enum SetPreferencesError {
    /// They can't be followed.
    #[error(transparent)]
    Unfit(#[from] PreferencesError),
    /// They could not be kept.
    #[error(transparent)]
    Store(#[from] SinkError),
}

impl Inbox {
    pub(super) fn new(outbox: Outbox, recipients: Recipients) -> Self {
        Self { outbox, recipients }
    }

    /// Notifications that fit, newest first. `before` leaves out that number and what is newer.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn list(
        &self,
        query: InboxQuery,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Notification>, SinkError> {
        let newest_first = Span::between(None, before, Order::OldestFirst, true);
        Ok(self.look(query, newest_first, limit, usize::MAX)?.found)
    }

    /// Notifications that fit and whose numbers are within bounds, in their direction. Looks at so
    /// many at most that it never takes long.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn page(
        &self,
        query: InboxQuery,
        span: Span,
        limit: usize,
    ) -> Result<Looked<Notification>, SinkError> {
        self.look(query, span, limit, PAGE_LOOKS)
    }

    fn look(
        &self,
        query: InboxQuery,
        span: Span,
        limit: usize,
        looks_max: usize,
    ) -> Result<Looked<Notification>, SinkError> {
        let tables = &self.outbox.tables;
        let snapshot = tables.store.snapshot();
        let walk = |table: &Keyspace, prefix: &[u8]| {
            let within = Walk { query, span, limit, looks_max };
            self.walk(&snapshot, table, prefix, within)
        };
        // The index that fits fewest.
        if let Some(payment) = query.payment {
            walk(&tables.by_payment, &payment.0.to_be_bytes())
        } else if let Some(account) = query.account {
            walk(&tables.by_account, &account.0.to_be_bytes())
        } else if let Some(owner) = query.owner {
            walk(&tables.by_owner, &owner.to_be_bytes())
        } else if let Some(state) = query.state {
            walk(&tables.by_state, &[state as u8])
        } else {
            walk(&tables.notifications, &[])
        }
    }

    fn walk(
        &self,
        snapshot: &Snapshot,
        table: &Keyspace,
        prefix: &[u8],
        walk: Walk,
    ) -> Result<Looked<Notification>, SinkError> {
        let failed = || self.outbox.tables.store.failed("list notifications");
        let mut looked = Looked { found: Vec::new(), stopped_at: None };
        if walk.span.is_empty() {
            return Ok(looked);
        }
        let key = |id: u64| [prefix, &id.to_be_bytes()].concat();
        let mut rows = snapshot.range(table, key(walk.span.low)..=key(walk.span.high));
        let (mut looked_at, mut last) = (0, None);
        while looked.found.len() < walk.limit
            && let Some(row) = walk.span.next(&mut rows)
        {
            if looked_at >= walk.looks_max {
                looked.stopped_at = last;
                break;
            }
            let key = row.key().map_err(failed())?;
            looked_at += 1;
            let Some(id) = last_id(&key) else { continue };
            last = Some(id);
            let Some(row) = self.outbox.row_in(snapshot, id)? else { continue };
            if walk.query.fits(&row) {
                looked.found.push(row.into_notification(id));
            }
        }
        Ok(looked)
    }

    /// One notification.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn get(&self, id: u64) -> Result<Option<Notification>, SinkError> {
        Ok(self.outbox.row(id)?.map(|row| row.into_notification(id)))
    }

    /// Marks a notification as read; the first time counts. `None` when there is no such one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn mark_read(&self, id: u64, at: Timestamp) -> Result<Option<Notification>, SinkError> {
        let mut change = self.outbox.change();
        let Some(mut row) = change.row(id)? else { return Ok(None) };
        if row.read_ns.is_none() {
            row.read_ns = Some(at.0);
            change.put(id, Some(row.clone()))?;
            change.commit()?;
        }
        Ok(Some(row.into_notification(id)))
    }

    /// Sends a notification once more, as soon as may be, with a key of its own, whatever became of
    /// it. One that waits goes on waiting. `None` when there is no such one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn resend(&self, id: u64) -> Result<Option<Notification>, SinkError> {
        let mut change = self.outbox.change();
        let Some(mut row) = change.row(id)? else { return Ok(None) };
        let waits = row.state.is_open();
        if !waits && row.channel.is_sending() {
            row.state = DeliveryState::Pending;
            row.attempts = 0;
            row.resends += 1;
            row.bundle.clear();
            row.bundled_by = None;
            row.sent_ns = None;
            row.due_ns = 0;
            change.put(id, Some(row.clone()))?;
            change.commit()?;
        }
        Ok(Some(row.into_notification(id)))
    }

    /// What the owner wants: as the owner has set it, or as the directory of owners says.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn preferences(&self, owner: u128) -> Result<Preferences, SinkError> {
        self.recipients.preferences(&self.outbox, owner)
    }

    /// Keeps what the owner wants, in the place of all that was set before.
    ///
    /// # Errors
    /// [`SetPreferencesError::Unfit`] when it can't be followed, or the store fails.
    pub fn set_preferences(
        &self,
        owner: u128,
        preferences: &Preferences,
    ) -> Result<(), SetPreferencesError> {
        preferences.check()?;
        let value = serde_json::to_vec(preferences).expect("text and numbers become JSON");
        let mut change = self.outbox.change();
        change.batch.insert(&self.outbox.tables.preferences, owner.to_be_bytes(), value);
        change.commit()?;
        self.recipients.forget();
        Ok(())
    }

    /// The number of the newest notification; 0 when there is none.
    #[must_use]
    pub fn latest_id(&self) -> u64 {
        self.outbox.latest_id()
    }

    /// Follows [`Inbox::latest_id`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }
}

impl InboxQuery {
    fn fits(&self, row: &Row) -> bool {
        self.owner.is_none_or(|owner| row.owner.as_u128() == owner)
            && self.account.is_none_or(|account| row.account.as_u128() == account.0)
            && self
                .payment
                .is_none_or(|wanted| row.payment.is_some_and(|id| id.as_u128() == wanted.0))
            && self.state.is_none_or(|state| row.state.kind() == state)
            && !(self.unread_only && row.read_ns.is_some())
    }
}
