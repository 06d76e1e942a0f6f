//! Real servers for tests: starts NATS, PostgreSQL and a mail server on free ports of loopback, in temporary
//! directories, and guarantees that each is stopped when its handle goes.
//!
//! It also has what tests of several crates do with files.
//!
//! `scripts/get-services.sh` installs what is started here. A test asks with [`required`], which
//! says what is missing and lets the test be skipped; where `MILLRACE_REQUIRE_SERVICES` is set, as
//! in CI, it fails instead.

mod files;
mod nats;
mod postgres;
mod python;
mod server;
mod smtp;

pub use files::copy_dir;
pub use nats::{Nats, NatsSettings};
pub use postgres::{Postgres, PostgresTls};
pub use python::python;
pub use server::{Missing, ServiceError, free_port, required, tools_dir};
pub use smtp::{Smtp, SmtpMode, SmtpSettings};
