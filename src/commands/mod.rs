//! Subcommands, one file each: arguments in, a table or JSON out.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod journal;
mod money;
pub(crate) mod payment;
mod report;
mod send;
pub(crate) mod serve;
pub(crate) mod submit;
