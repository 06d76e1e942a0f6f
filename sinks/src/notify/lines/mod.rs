//! Notifications as lines of a file or of standard output: consumes every event, produces a line per
//! message, and guarantees for the file that each message is written once.
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

mod cursor;
mod directory;
mod outlet;
mod sink;

pub use sink::NotifySink;
