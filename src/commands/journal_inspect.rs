//! `millrace journal inspect`: consumes a journal, produces a table of its segments or frames, or one
//! event in full.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use millrace_engine::{
    scan::{self, JournalScan, Start, TornTail},
    segment_summary::{SegmentSummaries, SegmentSummary},
};
use millrace_ledger::{EventSeq, Timestamp};

use super::{
    journal::{check_seq, end_of_stdout, segments_in},
    journal_row::{Cell, Row, hex, time_text},
};
use crate::Failure;

/// Look at segments, frames, or one event
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace journal inspect --data-dir millrace-data
  millrace journal inspect --frames --from 1000 --limit 20
  millrace journal inspect --event 1234
  millrace journal inspect --event 1234 --json

Reads only; safe beside a running millrace. A segment is `ok` when its frames are whole and continue
the hash chain; whether balances follow from the events is for `millrace journal verify` to say. An
archived segment shows the size of its file under ARCHIVED.")]
pub(crate) struct Args {
    /// Data directory of the millrace that wrote it
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// List segments; this is the default
    #[arg(long, conflicts_with_all = ["frames", "event"])]
    segments: bool,
    /// List frames: batches of events that became durable at once
    #[arg(long, conflicts_with = "event")]
    frames: bool,
    /// Show this event in full, with its frame and its context
    #[arg(
        long,
        value_name = "SEQ",
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with_all = ["from", "limit"],
    )]
    event: Option<u64>,
    /// Start with the segment or frame of this event; without it, with the oldest
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// Show so many segments or frames at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON, one object a line, instead of a table
    #[arg(long)]
    json: bool,
}

/// Why a listing ended early.
enum Stop {
    /// The journal is not right.
    Journal(Failure),
    /// Nobody reads on, or the output can't be written.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (directory, _) = segments_in(&args.data_dir)?;
    let last = scan::last_seq(&directory);
    for (name, seq) in [("--from", args.from), ("--event", args.event)] {
        match (&last, seq) {
            (Ok(last), Some(seq)) => check_seq(name, seq, *last)?,
            // The listing of segments tells what is wrong with the newest one.
            (Err(_), _) | (_, None) => {}
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = match args.event {
        Some(seq) => show_event(&directory, EventSeq(seq), args.json, &mut out),
        None if args.frames => list_frames(&directory, args, &mut out),
        None => list_segments(&directory, args, &mut out),
    };
    let flushed = out.flush();
    match shown {
        Ok(()) => end_of_stdout(flushed),
        Err(Stop::Output(error)) => end_of_stdout(Err(error)),
        Err(Stop::Journal(failure)) => Err(failure),
    }
}

fn list_segments(directory: &Path, args: &Args, out: &mut impl Write) -> Result<(), Stop> {
    let from = EventSeq(args.from.unwrap_or(1));
    let mut summaries = SegmentSummaries::open(directory, from).map_err(journal)?;
    if !args.json {
        writeln!(
            out,
            "{:<33}{:>12}{:>12}{:>10}  {:<25}{:<25}{:>14}{:>14}  OK",
            "SEGMENT", "FIRST", "LAST", "FRAMES", "FIRST TIME", "LAST TIME", "BYTES", "ARCHIVED"
        )?;
    }
    let mut wrong = 0;
    for summary in summaries.by_ref().take(args.limit.unwrap_or(usize::MAX)) {
        wrong += u64::from(summary.damage.is_some());
        match args.json {
            true => put_line(&segment_row(&summary), out)?,
            false => put_segment(&summary, out)?,
        }
        // One may take a second to read; what is known of it is of use now.
        out.flush()?;
    }
    match wrong {
        0 => summaries.check_ends().map_err(journal),
        1 => Err(Stop::Journal("a segment is not right, as told beside it".into())),
        _ => Err(Stop::Journal(
            format!("{wrong} segments are not right, as told beside them").into(),
        )),
    }
}

fn put_segment(summary: &SegmentSummary, out: &mut impl Write) -> io::Result<()> {
    let (first_time, last_time) = match summary.times {
        Some((first, last)) => (short_time(first), short_time(last)),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let archived = summary.archived_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    let last = if summary.frames > 0 { summary.last_seq.to_string() } else { "-".to_owned() };
    writeln!(
        out,
        "{:<33}{:>12}{:>12}{:>10}  {:<25}{:<25}{:>14}{:>14}  {}",
        file_name(&summary.path),
        summary.first_seq,
        last,
        summary.frames,
        first_time,
        last_time,
        summary.bytes,
        archived,
        if summary.damage.is_some() { "no" } else { "ok" },
    )?;
    if let Some(damage) = &summary.damage {
        writeln!(out, "  {damage}")?;
    }
    match &summary.torn_tail {
        Some(torn) => put_torn_tail(torn, out),
        None => Ok(()),
    }
}

fn segment_row(summary: &SegmentSummary) -> Row {
    let mut row = Row::default();
    row.put("segment", summary.path.display().to_string());
    row.put("first_event", summary.first_seq.0);
    row.put("last_event", summary.last_seq.0);
    row.put("frames", summary.frames);
    if let Some((first, last)) = summary.times {
        row.put("first_time", time_text(first));
        row.put("last_time", time_text(last));
    }
    row.put("bytes", summary.bytes);
    if let Some(bytes) = summary.archived_bytes {
        row.put("archived_bytes", bytes);
    }
    if let Some(torn) = &summary.torn_tail {
        row.put("torn_tail_offset", torn.offset);
    }
    row.put("ok", Cell::Bool(summary.damage.is_none()));
    if let Some(damage) = &summary.damage {
        row.put("damage", damage.to_string());
    }
    row
}

fn list_frames(directory: &Path, args: &Args, out: &mut impl Write) -> Result<(), Stop> {
    let start = args.from.map_or(Start::Oldest, |seq| Start::Seq(EventSeq(seq)));
    let mut scan = JournalScan::open_at(directory, start).map_err(journal)?;
    if !args.json {
        writeln!(
            out,
            "{:>12}{:>12}{:>8}  {:<25}{:>11}{:>11}  {:<33}{:>12}  HASH",
            "FIRST", "LAST", "EVENTS", "TIME", "BYTES", "CONTEXT", "SEGMENT", "OFFSET"
        )?;
    }
    for frame in scan.by_ref().take(args.limit.unwrap_or(usize::MAX)) {
        let frame = frame.map_err(journal)?;
        if args.json {
            put_line(&Row::of_frame(&frame), out)?;
            continue;
        }
        writeln!(
            out,
            "{:>12}{:>12}{:>8}  {:<25}{:>11}{:>11}  {:<33}{:>12}  {}",
            frame.first_seq,
            frame.last_seq(),
            frame.event_count,
            short_time(frame.time),
            frame.events_len,
            frame.context_len,
            file_name(&frame.segment),
            frame.offset,
            hex(&frame.hash.0[..8]),
        )?;
    }
    match scan.torn_tail() {
        Some(torn) if !args.json => Ok(put_torn_tail(torn, out)?),
        _ => Ok(()),
    }
}

fn show_event(
    directory: &Path,
    seq: EventSeq,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let mut scan = JournalScan::open_at(directory, Start::Seq(seq)).map_err(journal)?;
    let gone = || Stop::Journal(format!("event {seq} is not there any more").into());
    let frame = scan.next().ok_or_else(gone)?.map_err(journal)?;
    let events = frame.events().map_err(journal)?;
    let event = events.iter().find(|event| event.event.seq() == seq).ok_or_else(gone)?;
    let parts = [
        ("event", Row::of_event(frame.time, event)),
        ("context", Row::of_context(event)),
        ("frame", Row::of_frame(&frame)),
    ];
    if json {
        for (position, (name, row)) in parts.iter().enumerate() {
            write!(out, "{}\"{name}\":", if position == 0 { '{' } else { ',' })?;
            row.put_json(out)?;
        }
        writeln!(out, "}}")?;
        return Ok(());
    }
    for (name, row) in parts.iter().filter(|(_, row)| !row.cells.is_empty()) {
        writeln!(out, "{name}")?;
        for (name, cell) in &row.cells {
            writeln!(out, "  {name:<38}{}", cell.text())?;
        }
    }
    Ok(())
}

fn put_line(row: &Row, out: &mut impl Write) -> io::Result<()> {
    row.put_json(out)?;
    writeln!(out)
}

fn put_torn_tail(torn: &TornTail, out: &mut impl Write) -> io::Result<()> {
    let TornTail { segment, offset } = torn;
    let segment = segment.display();
    writeln!(out, "  torn tail in {segment} at {offset}: never acknowledged, or written just now")
}

fn journal(error: impl Into<Failure>) -> Stop {
    Stop::Journal(error.into())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// To the millisecond, for tables.
fn short_time(time: Timestamp) -> String {
    let since_epoch = jiff::Timestamp::from_nanosecond(i128::from(time.0))
        .expect("64 bits of nanoseconds end in the year 2554");
    format!("{since_epoch:.3}")
}
