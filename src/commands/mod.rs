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

use std::{
    io::{self, Write as _},
    process,
};

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
/// ends quietly then.
macro_rules! say {
    ($($text:tt)*) => { $crate::commands::print_line(format_args!($($text)*)) };
}
pub(crate) use say;

pub(crate) fn print_line(text: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        if error.kind() == io::ErrorKind::BrokenPipe {
            process::exit(0);
        }
        eprintln!("error: can't write to standard output: {error}");
        process::exit(1);
    }
}
