//! Bad input, and what it gets: one test per line of the list, on the real binary. On the command
//! line that is one sentence that names the thing and the remedy; over gRPC it is a status with a
//! reason for machines, and no harm to anybody else.

#[path = "refusals/commands.rs"]
mod commands;
#[path = "refusals/requests.rs"]
mod requests;
mod support;
