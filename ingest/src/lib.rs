//! The gRPC front door: consumes requests, produces outcomes that are durable.
//!
//! A payment's way: [`server`] (the stack) → `payment_service` → `convert` (validate once) →
//! `admit` (deadline, bounded queue) → the engine → `convert` (outcome to wire). `status` is the
//! one place where refusals of whole requests become gRPC statuses. What analysts do takes the same
//! way, through `risk_service`, and what operators do to sinks through `operator_service`.

mod account_service;
mod admit;
mod caller;
mod connections;
mod context;
mod convert;
mod error_layer;
mod operator_service;
mod payment_service;
mod risk_service;
pub mod server;
mod status;

pub use risk_service::{CatalogueOf, CheckPolicy, ReviewDesk, RiskParts, check_signature};
pub use server::{IngestConfig, serve};
