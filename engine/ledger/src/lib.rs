//! The double-entry ledger: consumes validated commands in sequence, produces outcomes and events.
//!
//! Guarantees: outcomes are a function of the ordered input alone; per currency, debits equal
//! credits after every batch; a known payment id never moves money twice. This crate does no I/O,
//! reads no clock, draws no random number, iterates no hash map, uses no float and no unsafe.
//!
//! A payment's way through it: [`Payment`] → [`Ledger::decide`] (resolve, judge, post) →
//! [`Decision`], which carries the [`PaymentEvent`] that the journal records and that
//! [`Ledger::apply`] replays. [`naive`] is the same semantics as a short, slow specification.

#![deny(clippy::float_arithmetic, reason = "money is a whole number of minor units")]

mod account;
mod account_index;
mod admin;
mod apply;
mod book;
mod books;
mod context;
mod currency;
mod decide;
mod event;
mod findings;
mod funds;
mod gate;
mod generation;
mod handover;
mod history;
mod index;
mod look_up;
mod movement;
pub mod naive;
mod outcome;
mod payment;
mod place_index;
mod post;
mod recent;
mod resolve;
mod shard;
mod snapshot;
mod spans;
mod state;
mod store;
mod stored;
mod sum;
mod swept;
mod units;
mod words;
mod workers;

pub use account::{
    Account, AccountChange, AccountFlags, AccountOutcome, AccountRejectReason, AccountSpec,
    AccountState, Balances,
};
pub use apply::Divergence;
pub use context::context_digest;
pub use currency::{AmountError, Currency};
pub use decide::{Decision, Requested};
pub use event::{AccountEvent, ActEvent, Event, HoldExpired, PaymentEvent};
pub use gate::{
    ApproveAll, Block, Contexts, Gate, GateActError, GateStateError, Judged, NoContexts,
    RiskDecision, RuleName, Verdict,
};
pub use generation::Generation;
pub use history::{History, HistoryError, NoHistory};
pub use look_up::LookUp;
pub use outcome::{Outcome, RejectReason, Status};
pub use payment::{Operation, Payment, PaymentFlags};
pub use recent::HoldMemory;
pub use snapshot::{SnapshotBegun, SnapshotHead};
pub use spans::{Gap, Span, Spans};
pub use state::{HoldState, Ledger, LedgerConfig, PaymentView};
pub use stored::{NO_ACCOUNT, Stage, StoredPayment};
pub use sum::{BalanceSums, Sum};
pub use swept::Swept;
pub use units::{AccountId, Amount, Code, EventSeq, LedgerId, OwnerId, PaymentId, Timestamp};
pub use workers::{Alone, Workers};
