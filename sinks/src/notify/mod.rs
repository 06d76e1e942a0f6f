//! Notifications: consumes every event, produces messages to the holders of the accounts that it
//! touches, and guarantees that each message is written once to the file.
//!
//! The first rule that fits an event (kind, currency, least amount) names the template. Who is
//! told:
//!
//! | kind | event | told |
//! |---|---|---|
//! | `settled` | a payment or capture moved money | payer, payee |
//! | `refunded` | a refund moved money back | payer (of the refund), payee |
//! | `held` | money was reserved | payer |
//! | `voided` | a hold was released on request | payer |
//! | `expired` | a hold's time-out passed | payer |
//! | `rejected` | a payment was refused | payer |
//!
//! The payer is the holder of the account that the event debits. Accounts that were not open at
//! the time of the event are told nothing.

mod channel;
mod config;
mod deliver;
mod dispatch;
mod inbox;
mod kind;
mod lines;
mod notification;
mod occasion;
mod outbox;
mod owners;
mod preferences;
mod recipients;
mod rules;
mod service;
mod status;
mod tell;
mod template;

pub use channel::Channel;
pub use config::{
    DeliveryConfig, EmailConfig, FileConfig, LowBalanceConfig, NotifyConfig, ProviderConfig,
    RuleConfig, SecretConfig, Tls, Transport, WebhookConfig,
};
pub use deliver::signature::is_signed;
pub use dispatch::{Dispatcher, DispatcherHandle};
pub use inbox::{Inbox, InboxQuery, SetPreferencesError};
pub use kind::{EventKind, Role};
pub use lines::NotifySink;
pub use notification::{DeliveryState, Notification, StateKind};
pub use preferences::{
    HourMinute, HourMinuteError, Mute, Preferences, PreferencesError, QuietHours, Threshold,
};
pub use service::NotifyService;
pub use tell::OutboxSink;

/// Name of the file that the `file` transport writes within the sink's directory.
pub const FILE_NAME: &str = "notifications.jsonl";
