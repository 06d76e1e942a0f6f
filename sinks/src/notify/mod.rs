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
//!
//! # Files
//!
//! | file | content | role |
//! |---|---|---|
//! | `notifications.jsonl` | a line per message, `n` of `of` per event | effect, cursor of `file` |
//! | `accounts.jsonl` | a line per account: opening, ledger, owner | what events do not repeat |
//! | `cursor` | next event, lengths of the other files | a hint; the cursor of `stdout` |
//!
//! The `file` transport is exactly once: on start, an incomplete group of lines is cut, and the
//! event after the last line is the next; the cursor only saves reading events again that told
//! nobody anything. To rotate, stop, move `notifications.jsonl` away, start. The `stdout`
//! transport is at least once: after a crash, the messages since the last cursor come again.

mod channel;
mod config;
mod cursor;
mod directory;
mod inbox;
mod kind;
mod notification;
mod occasion;
mod outbox;
mod outlet;
mod preferences;
mod recipients;
mod rules;
mod sink;
mod template;

pub use channel::Channel;
pub use config::{NotifyConfig, RuleConfig, Transport};
pub use inbox::{Inbox, InboxQuery, SetPreferencesError};
pub use kind::EventKind;
pub use notification::{DeliveryState, Notification, StateKind};
pub use preferences::{
    HourMinute, HourMinuteError, Mute, Preferences, PreferencesError, QuietHours, Threshold,
};
pub use sink::NotifySink;

/// Name of the file that the `file` transport writes within the sink's directory.
pub const FILE_NAME: &str = "notifications.jsonl";
