//! Notifications that queries see: turns what the inbox keeps into GraphQL objects, and what owners
//! want back into preferences.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use millrace_ledger::{AccountId, LedgerId, PaymentId};
use uuid::Uuid;

use super::{
    connection::{Connection, connection},
    enums::{NotificationChannel, NotificationKind, NotificationState},
    error::{malformed, no_notifications, sink_failed},
    model::Order,
    money::Money,
    paging::{Of, Paging},
    payment_object::{self, Payment, uuid},
    services::Services,
};
use crate::{
    SinkError,
    notify::{self, DeliveryState, Inbox, InboxQuery},
    text::rfc3339,
};

/// Which notifications: those that pass all that is set.
#[derive(InputObject, Default)]
pub(super) struct NotificationFilter {
    /// For this owner.
    owner: Option<Uuid>,
    /// About this account.
    account: Option<Uuid>,
    /// About this payment.
    payment: Option<Uuid>,
    /// In this state: DEAD are those that nobody will try again.
    state: Option<NotificationState>,
    /// Only those that nobody has marked as read.
    unread_only: Option<bool>,
}

impl NotificationFilter {
    fn query(self) -> InboxQuery {
        InboxQuery {
            owner: self.owner.map(|id| id.as_u128()),
            account: self.account.map(|id| AccountId(id.as_u128())),
            payment: self.payment.map(|id| PaymentId(id.as_u128())),
            state: self.state.map(Into::into),
            unread_only: self.unread_only.unwrap_or_default(),
        }
    }
}

pub(super) struct Notification(pub(super) notify::Notification);

/// Something that an owner is told, and how far it got.
#[Object]
impl Notification {
    /// Its number, as decimal text.
    async fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// Position of the event that it tells of, as decimal text.
    async fn seq(&self) -> String {
        self.0.seq.to_string()
    }

    /// What it is about.
    async fn kind(&self) -> NotificationKind {
        self.0.kind.into()
    }

    /// Who is told; null where the account names no owner.
    async fn owner_id(&self) -> Option<Uuid> {
        uuid(self.0.owner)
    }

    /// The account that it is about.
    async fn account_id(&self) -> Option<Uuid> {
        uuid(self.0.account.0)
    }

    /// Id of the payment that it is about.
    async fn payment_id(&self) -> Option<Uuid> {
        self.0.payment.and_then(|id| uuid(id.0))
    }

    /// The payment that it is about, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        match self.0.payment {
            Some(id) => payment_object::payment(ctx, id).await,
            None => Ok(None),
        }
    }

    /// How it goes.
    async fn channel(&self) -> NotificationChannel {
        self.0.channel.into()
    }

    /// Where it goes: an address, a number, a name.
    async fn recipient(&self) -> &str {
        &self.0.recipient
    }

    /// Its subject.
    async fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Its text.
    async fn body(&self) -> &str {
        &self.0.body
    }

    /// Where it stands.
    async fn state(&self) -> NotificationState {
        self.0.state.kind().into()
    }

    /// Why it failed, is dead, or was not to be sent.
    async fn state_reason(&self) -> Option<&str> {
        match &self.0.state {
            DeliveryState::Failed { reason }
            | DeliveryState::Dead { reason }
            | DeliveryState::Suppressed { reason } => Some(reason),
            DeliveryState::Pending | DeliveryState::Sent | DeliveryState::Delivered => None,
        }
    }

    /// How often it was tried to send it.
    async fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// When it was made. RFC 3339, UTC.
    async fn created(&self) -> String {
        rfc3339(self.0.created)
    }

    /// When its channel took it. RFC 3339, UTC.
    async fn sent(&self) -> Option<String> {
        self.0.sent.map(rfc3339)
    }

    /// When somebody marked it as read. RFC 3339, UTC.
    async fn read(&self) -> Option<String> {
        self.0.read.map(rfc3339)
    }
}

/// What an owner does not want.
#[derive(SimpleObject, InputObject)]
#[graphql(input_name = "NotificationMuteInput")]
struct NotificationMute {
    /// What it is about; null for everything but security.
    kind: Option<NotificationKind>,
    /// How it would go; null for every way.
    channel: Option<NotificationChannel>,
}

/// When an owner wants quiet, by the owner's clock.
#[derive(SimpleObject, InputObject)]
#[graphql(input_name = "QuietHoursInput")]
struct QuietHours {
    /// Hours and minutes, such as 22:00.
    from: String,
    /// Hours and minutes, such as 07:00.
    to: String,
}

/// An amount of a ledger.
#[derive(InputObject)]
struct ThresholdInput {
    /// The currency's ISO 4217 number.
    ledger: u32,
    /// Minor units, as decimal text.
    minor: String,
}

/// An amount of a ledger.
#[derive(SimpleObject)]
struct Threshold {
    /// The currency's ISO 4217 number.
    ledger: u32,
    /// How much.
    amount: Money,
}

/// What an owner wants to be told, and how.
#[derive(SimpleObject)]
pub(super) struct NotificationPreferences {
    /// Language and, if need be, region, such as cs or en-GB.
    locale: Option<String>,
    /// A name of the IANA database, such as Europe/Prague.
    time_zone: Option<String>,
    /// What is not sent.
    muted: Vec<NotificationMute>,
    /// When nothing is sent.
    quiet_hours: Option<QuietHours>,
    /// Seconds over which messages are gathered into one.
    digest_seconds: Option<u32>,
    /// Payments of less are not told.
    minimum: Vec<Threshold>,
    /// Below this a balance is low.
    low_balance: Vec<Threshold>,
}

/// What an owner wants to be told, and how. It takes the place of all that was set before.
#[derive(InputObject)]
pub(super) struct NotificationPreferencesInput {
    /// Language and, if need be, region, such as cs or en-GB.
    locale: Option<String>,
    /// A name of the IANA database, such as Europe/Prague.
    time_zone: Option<String>,
    /// What is not sent.
    #[graphql(default)]
    muted: Vec<NotificationMute>,
    /// When nothing is sent.
    quiet_hours: Option<QuietHours>,
    /// Seconds over which messages are gathered into one.
    digest_seconds: Option<u32>,
    /// Payments of less are not told.
    #[graphql(default)]
    minimum: Vec<ThresholdInput>,
    /// Below this a balance is low.
    #[graphql(default)]
    low_balance: Vec<ThresholdInput>,
}

impl From<notify::Preferences> for NotificationPreferences {
    fn from(wanted: notify::Preferences) -> Self {
        let thresholds = |list: Vec<notify::Threshold>| {
            let amount =
                |entry: &notify::Threshold| Money::new(LedgerId(entry.ledger), entry.minor);
            list.iter().map(|it| Threshold { ledger: it.ledger, amount: amount(it) }).collect()
        };
        let mute = |mute: notify::Mute| NotificationMute {
            kind: mute.kind.map(Into::into),
            channel: mute.channel.map(Into::into),
        };
        Self {
            locale: wanted.locale,
            time_zone: wanted.time_zone,
            muted: wanted.muted.into_iter().map(mute).collect(),
            quiet_hours: wanted
                .quiet_hours
                .map(|quiet| QuietHours { from: quiet.from.to_string(), to: quiet.to.to_string() }),
            digest_seconds: wanted.digest_s,
            minimum: thresholds(wanted.minimum),
            low_balance: thresholds(wanted.low_balance),
        }
    }
}

impl NotificationPreferencesInput {
    pub(super) fn preferences(self) -> Result<notify::Preferences> {
        let time = |text: String| {
            text.parse().map_err(|_| malformed("quietHours", &text, "a time such as 22:00"))
        };
        let quiet = self.quiet_hours.map(|quiet| -> Result<_> {
            Ok(notify::QuietHours { from: time(quiet.from)?, to: time(quiet.to)? })
        });
        let mute = |mute: NotificationMute| notify::Mute {
            kind: mute.kind.map(Into::into),
            channel: mute.channel.map(Into::into),
        };
        Ok(notify::Preferences {
            locale: self.locale,
            time_zone: self.time_zone,
            muted: self.muted.into_iter().map(mute).collect(),
            quiet_hours: quiet.transpose()?,
            digest_s: self.digest_seconds,
            minimum: thresholds(self.minimum)?,
            low_balance: thresholds(self.low_balance)?,
        })
    }
}

fn thresholds(list: Vec<ThresholdInput>) -> Result<Vec<notify::Threshold>> {
    let threshold = |entry: ThresholdInput| {
        let minor = entry.minor.parse();
        let minor =
            minor.map_err(|_| malformed("minor", &entry.minor, "a count of minor units"))?;
        Ok(notify::Threshold { ledger: entry.ledger, minor })
    };
    list.into_iter().map(threshold).collect()
}

/// The inbox, where notifications are switched on.
pub(super) fn inbox(ctx: &Context<'_>) -> Result<Inbox> {
    let inbox = Services::of(ctx)?.inbox.clone();
    inbox.ok_or_else(no_notifications)
}

/// Asks the inbox, on a thread that may block.
pub(super) async fn ask<T: Send + 'static>(
    ctx: &Context<'_>,
    question: impl FnOnce(&Inbox) -> Result<T, SinkError> + Send + 'static,
) -> Result<T> {
    let inbox = inbox(ctx)?;
    let answer = tokio::task::spawn_blocking(move || question(&inbox)).await?;
    answer.map_err(|error| sink_failed(&error))
}

/// The number that an argument names.
pub(super) fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| malformed("id", text, "the number of a notification"))
}

/// Notifications, newest first.
pub(super) async fn notifications(
    ctx: &Context<'_>,
    filter: NotificationFilter,
    page: Paging,
) -> Result<Connection<Notification>> {
    page_of(ctx, filter.query(), page).await
}

/// What owners were told of a payment, newest first.
pub(super) async fn of_payment(
    ctx: &Context<'_>,
    payment: PaymentId,
    page: Paging,
) -> Result<Connection<Notification>> {
    page_of(ctx, InboxQuery { payment: Some(payment), ..InboxQuery::default() }, page).await
}

async fn page_of(
    ctx: &Context<'_>,
    query: InboxQuery,
    page: Paging,
) -> Result<Connection<Notification>> {
    let page = page.numbered(Of::Notifications)?;
    let read = move |inbox: &Inbox| {
        page.read(Order::NewestFirst, |span, limit| inbox.page(query, span, limit))
    };
    let place = |told: &notify::Notification| u128::from(told.id);
    Ok(connection(ask(ctx, read).await?, Of::Notifications, place, Notification))
}
