//! `millrace sinks quarantine`: events that a sink can't process. Works beside a running millrace,
//! through the files of the quarantine.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use millrace_sinks::{Ask, Done, Entry, QuarantineDesk};
use serde_json::{Value, json};

use super::{Which, order::OrderArgs};
use crate::{Failure, commands::say};

/// How long a running sink may take to do what it is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// The table shows the beginning of a reason.
const REASON_CHARS: usize = 60;

/// List, show, replay or drop events that a sink could not process
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace sinks quarantine list
  millrace sinks quarantine show notify 4711
  millrace sinks quarantine replay notify 4711 --why 'template mended'
  millrace sinks quarantine replay notify --all --actor ann --why 'template mended'
  millrace sinks quarantine drop notify 4711 --why 'told by telephone'

An event comes here after five tries, and the rest flows on. Mend what the reason names, then replay it:
the sink produces its effect now, after those of later events. A sink whose effects build on each other
says that it has to be rebuilt instead (millrace sinks rebuild). Who replays or drops an event, and why, is
journaled before it happens, and so in the audit log: millrace has to run.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List what is in quarantine
    List {
        #[command(flatten)]
        which: Which,
        /// Of this sink only
        #[arg(long)]
        sink: Option<String>,
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show an event and why it is there
    Show {
        #[command(flatten)]
        which: Which,
        /// The sink
        sink: String,
        /// The event's place in the journal
        seq: u64,
        /// Print a JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Have the sink process events now, and remove those that it can
    Replay(Chosen),
    /// Remove events; their effect will never be
    Drop(Chosen),
}

/// Entries of one sink.
#[derive(clap::Args)]
struct Chosen {
    #[command(flatten)]
    which: Which,
    /// The sink
    sink: String,
    /// Places of the events in the journal
    #[arg(required_unless_present = "all")]
    seqs: Vec<u64>,
    /// All events of the sink
    #[arg(long, conflicts_with = "seqs")]
    all: bool,
    #[command(flatten)]
    order: OrderArgs,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::List { which, sink, json } => {
            let entries = desk(which)?.list(sink.as_deref())?;
            if *json {
                say!("{:#}", entries.iter().map(object).collect::<Value>());
            } else {
                table(&entries);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { which, sink, seq, json } => {
            let entry = desk(which)?.entry(sink, *seq)?.ok_or_else(|| missing(sink, *seq))?;
            if *json {
                say!("{:#}", object(&entry));
            } else {
                show(&entry);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay(chosen) => ask(chosen, Ask::Replay).await,
        Command::Drop(chosen) => ask(chosen, Ask::Drop).await,
    }
}

fn desk(which: &Which) -> Result<QuarantineDesk, Failure> {
    Ok(QuarantineDesk::new(&which.existing()?.quarantine_dir()))
}

fn missing(sink: &str, seq: u64) -> Failure {
    format!(
        "event {seq} is not in the quarantine of {sink} (millrace sinks quarantine list shows what is)"
    )
    .into()
}

/// The entry with the event in words, where its bytes are whole.
fn object(entry: &Entry) -> Value {
    let mut object = json!(entry);
    object["event_text"] = match entry.batch() {
        Ok(batch) => format!("{:?}", batch.events[0].event).into(),
        Err(_) => Value::Null,
    };
    object
}

fn table(entries: &[Entry]) {
    if entries.is_empty() {
        say!("nothing is in quarantine");
        return;
    }
    let (sink, seq, kind) = ("SINK", "EVENT", "KIND");
    say!("{sink:<10} {seq:>14} {kind:<12} {:<30} {:>5}  REASON", "QUARANTINED", "TRIES");
    for entry in entries {
        let Entry { sink, seq, kind, quarantined, tries, reason, .. } = entry;
        let mut short: String = reason.chars().take(REASON_CHARS).collect();
        if short.len() < reason.len() {
            short.push_str("...");
        }
        say!("{sink:<10} {seq:>14} {kind:<12} {quarantined:<30} {tries:>5}  {short}");
    }
}

fn show(entry: &Entry) {
    let subject = entry.subject.map(|id| format!(" {id}")).unwrap_or_default();
    say!("sink          {}", entry.sink);
    say!("event         {} ({}{subject})", entry.seq, entry.kind);
    say!("happened      {}", entry.happened);
    say!("quarantined   {}, after {} tries", entry.quarantined, entry.tries);
    say!("reason        {}", entry.reason);
    if let Some(error) = &entry.replay_error {
        say!("last replay   failed: {error}");
    }
    match entry.batch() {
        Ok(batch) => say!("\n{:#?}", batch.events[0].event),
        Err(error) => say!("\nits event can't be read: {error}"),
    }
}

async fn ask(chosen: &Chosen, ask: Ask) -> Result<ExitCode, Failure> {
    let Chosen { which, sink, seqs, all, order } = chosen;
    let desk = desk(which)?;
    let seqs = match all {
        true => desk.list(Some(sink))?.iter().map(|entry| entry.seq).collect(),
        false => seqs.clone(),
    };
    if seqs.is_empty() {
        say!("nothing of {sink} is in quarantine");
        return Ok(ExitCode::SUCCESS);
    }
    let door = order.door(&which.config()?).await?;
    let mut failed = false;
    for seq in seqs {
        desk.entry(sink, seq)?.ok_or_else(|| missing(sink, seq))?;
        let act = door.resolve(ask, sink, seq).await?;
        let done = desk.ask(sink, seq, ask, act, PATIENCE)?;
        failed |= matches!(done, Done::FailedAgain(_));
        say!("{sink} {seq}: {}", told(&done));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn told(done: &Done) -> String {
    match done {
        Done::Replayed => "replayed".to_owned(),
        Done::Dropped => "dropped".to_owned(),
        Done::FailedAgain(reason) => format!("not done: {reason}"),
        Done::AtNextStart => "the sink does not run now; it is done at its next start".to_owned(),
        Done::Pending => {
            "the sink has not come to it yet: has it stopped? (millrace sinks status)".to_owned()
        }
    }
}
