//! `millrace journal export`: consumes a journal, produces its events, one line each.

use std::{io, path::PathBuf, process::ExitCode};

use indicatif::{ProgressBar, ProgressStyle};
use millrace_engine::scan::{self, JournalScan, ScannedFrame, Start};
use millrace_ledger::{EventSeq, Timestamp};

use super::{
    journal::{self, segments_in},
    journal_output::{Format, RowWriter, Target, unwritable},
    journal_row::Row,
    times::parse_time,
};
use crate::Failure;

/// Write events to a file or to standard output, one line each
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace journal export --data-dir millrace-data > events.jsonl
  millrace journal export --format csv --output events.csv --with-context
  millrace journal export --from 1000 --to 1999 | jq 'select(.status == \"REJECTED\")'
  millrace journal export --from-time 2026-01-01T00:00:00Z --to-time 2026-02-01T00:00:00Z \\
      --format csv --output january.csv

Reads only; safe beside a running millrace, and ends with what was durable when it started or a
little later. A file has its name once it is complete; until then it is FILE.unfinished. Ids are
UUIDs, amounts come as decimal text and in minor units, names are those of the API. A time is that
of the batch in which the event happened.")]
pub(crate) struct Args {
    /// Data directory of the millrace that wrote it
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// First event; without it, the oldest that is there
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// Last event
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// Only events at or after this time, as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from_time: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to_time: Option<Timestamp>,
    /// How lines look
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Add what surrounds a payment: channel, device, address, reference, trace, the reason of the
    /// rule that kept it from being approved; and acts as they were journaled. Personal, so only on demand
    #[arg(long)]
    with_context: bool,
    /// Write to this file outside of the data directory, in place of one of that name; without it, to
    /// standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why an export ended early.
enum Stop {
    /// The journal can't be read.
    Unreadable(Failure),
    /// The output can't be written.
    Unwritable(io::Error),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (directory, oldest) = segments_in(&args.data_dir)?;
    let last = scan::last_seq(&directory)?;
    let range = Range::new(args, oldest, last)?;
    let scan = JournalScan::open_at(&directory, range.start)?;
    let (target, bar) = match &args.output {
        None => (Target::stdout(), ProgressBar::hidden()),
        Some(path) => (Target::file(path, "--output")?, bar(range.first.0, range.last.min(last).0)),
    };
    let exported = RowWriter::new(target, args.format, args.with_context)
        .map_err(Stop::Unwritable)
        .and_then(|writer| export(scan, &range, writer, args.with_context, &bar));
    bar.finish_and_clear();
    match (exported, &args.output) {
        (Ok(events), Some(path)) => {
            crate::commands::tell!("{events} events in {}", path.display());
            Ok(ExitCode::SUCCESS)
        }
        (Ok(_), None) => Ok(ExitCode::SUCCESS),
        (Err(Stop::Unreadable(failure)), _) => Err(failure),
        (Err(Stop::Unwritable(error)), Some(path)) => {
            Err(unwritable(path, &error, "--output").into())
        }
        (Err(Stop::Unwritable(error)), None) => journal::end_of_stdout(Err(error)),
    }
}

/// Which events are asked for.
struct Range {
    first: EventSeq,
    last: EventSeq,
    first_time: Timestamp,
    /// The first time that is too late.
    end_time: Timestamp,
    start: Start,
}

impl Range {
    fn new(args: &Args, oldest: EventSeq, end: EventSeq) -> Result<Self, Failure> {
        for (name, seq) in [("--from", args.from), ("--to", args.to)] {
            if let Some(seq) = seq {
                journal::check_seq(name, seq, end)?;
            }
        }
        if let (Some(from), Some(to)) = (args.from, args.to)
            && from > to
        {
            return Err(format!("--from {from} comes after --to {to}: swap them").into());
        }
        if let (Some(from), Some(to)) = (args.from_time, args.to_time)
            && from >= to
        {
            return Err("--from-time is not before --to-time: swap them".into());
        }
        if let Some(to) = args.to.filter(|to| *to < oldest.0) {
            return Err(format!(
                "--to {to}: the journal begins with event {oldest}, so there is nothing to export. What \
                 was before was deleted by archive_retention_days or archive_keep_mib, or is missing: a \
                 backup may have it"
            )
            .into());
        }
        let start = match (args.from, args.from_time) {
            (Some(seq), _) => Start::Seq(EventSeq(seq)),
            (None, Some(time)) => Start::Time(time),
            (None, None) => Start::Oldest,
        };
        Ok(Self {
            first: EventSeq(args.from.unwrap_or(1)),
            last: EventSeq(args.to.unwrap_or(u64::MAX)),
            first_time: args.from_time.unwrap_or_default(),
            end_time: args.to_time.unwrap_or(Timestamp(u64::MAX)),
            start,
        })
    }

    fn is_over(&self, frame: &ScannedFrame) -> bool {
        frame.first_seq > self.last || frame.time >= self.end_time
    }
}

/// Writes the events of a range. Returns how many. Holds a frame at a time, and a segment where that
/// is archived.
fn export(
    scan: JournalScan,
    range: &Range,
    mut writer: RowWriter,
    with_context: bool,
    bar: &ProgressBar,
) -> Result<u64, Stop> {
    let mut exported = 0;
    for frame in scan {
        let frame = frame.map_err(|error| Stop::Unreadable(error.into()))?;
        if range.is_over(&frame) {
            break;
        }
        if frame.time < range.first_time {
            continue;
        }
        for event in frame.events().map_err(|error| Stop::Unreadable(error.into()))? {
            let seq = event.event.seq();
            if seq < range.first || seq > range.last {
                continue;
            }
            let mut row = Row::of_event(frame.time, &event);
            if with_context {
                row.cells.extend(Row::of_context(&event).cells);
            }
            writer.write(&row).map_err(Stop::Unwritable)?;
            exported += 1;
        }
        bar.set_position(frame.last_seq().0.saturating_sub(range.first.0) + 1);
    }
    writer.finish().map_err(Stop::Unwritable)?;
    Ok(exported)
}

/// A bar on standard error; hidden where that is no terminal.
pub(crate) fn bar(first: u64, last: u64) -> ProgressBar {
    let template = "{bar:40} {human_pos}/{human_len} events  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("a constant template");
    ProgressBar::new((last + 1).saturating_sub(first)).with_style(style)
}
