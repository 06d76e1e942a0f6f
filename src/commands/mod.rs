//! Subcommands, one file each: arguments in, a table or JSON out.

pub(crate) mod account;
pub(crate) mod audit;
mod audit_prove;
mod audit_rotate;
mod audit_search;
mod audit_verify;
pub(crate) mod backup;
pub(crate) mod demo;
pub(crate) mod journal;
mod journal_cell;
mod journal_export;
mod journal_inspect;
mod journal_output;
mod journal_risk_row;
mod journal_row;
mod journal_verify;
mod money;
pub(crate) mod payment;
mod report_trial_balance;
pub(crate) mod reports;
pub(crate) mod restore;
pub(crate) mod risk;
mod send;
pub(crate) mod serve;
pub(crate) mod sinks;
pub(crate) mod submit;
mod submitted;
mod times;

use std::io::{self, Write as _};

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT; tells which one came.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Prints a line to standard output. Whoever reads it may leave at any time (`| head`): the command
/// goes on to its end then, quietly.
macro_rules! say {
    ($($text:tt)*) => { $crate::commands::print_line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints a line to standard error. Nobody may be left to read it (`2>&1 | head`): that ends nothing.
macro_rules! tell {
    ($($text:tt)*) => { $crate::commands::print_error_line(format_args!($($text)*)) };
}
pub(crate) use tell;

pub(crate) fn print_error_line(text: std::fmt::Arguments<'_>) {
    // Where a line to standard error could be complained of, is standard error.
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn print_line(text: std::fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tracing::error!(%error, "can't write to standard output");
        }
        Ok(()) | Err(_) => {}
    }
}
