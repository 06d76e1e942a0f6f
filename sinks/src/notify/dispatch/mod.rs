//! From the outbox to the providers: consumes what is due, produces deliveries, and guarantees that
//! each notification is handed over at least once, or is a dead letter, or is suppressed with its
//! reason.
//!
//! What may go when is decided without a clock of its own: [`Scheduler`] takes the time, plans
//! deliveries, and settles their results; quiet hours ([`quiet`]), limits ([`limits`]), waits
//! ([`backoff`]) and breakers ([`breaker`]) are functions of it. [`Dispatcher`] gives it the time,
//! and runs the deliveries at low priority.
//!
//! A crash between a delivery and its result leaves the notification where it was: it is handed
//! over again, with the same key. What goes as one message is fixed before the first attempt.

mod backoff;
mod breaker;
mod circuits;
mod gauges;
mod housekeeping;
mod limits;
mod plan;
mod quiet;
mod run;
pub(super) mod scheduler;
mod settle;

#[cfg(test)]
mod simulation;

pub use run::{Dispatcher, DispatcherHandle};
