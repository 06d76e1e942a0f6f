//! `millrace audit search` and `export`: consume the log's files and a question, produce entries as a
//! table, as lines of JSON or as CSV. Hold one block of entries at a time.

use std::{
    io::{self, Write as _},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
};

use millrace_ledger::{AccountId, PaymentId, Timestamp};
use millrace_sinks::audit::{AuditEntry, AuditQuery, Order, hex, leaf_hash};
use serde_json::Value;
use uuid::Uuid;

use super::{
    audit::reader,
    journal,
    journal_output::{Format, Target, unwritable},
    journal_row::time_text,
    say,
    times::parse_time,
};
use crate::{Failure, data_dir::is_within};

/// What entries have to have.
#[derive(clap::Args)]
struct Filter {
    /// Acts of this person or service
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Entries that name this account
    #[arg(long, value_name = "ID")]
    account: Option<Uuid>,
    /// Entries that name this payment, as their own or as the one that they refer to
    #[arg(long, value_name = "ID")]
    payment: Option<Uuid>,
    /// Only entries at or after this time, as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Only entries before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Timestamp>,
}

impl Filter {
    fn query(&self) -> Result<AuditQuery, Failure> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err("--from is not before --to: swap them".into());
        }
        Ok(AuditQuery {
            actor: self.actor.clone(),
            account: self.account.map(|id| AccountId(id.as_u128())),
            payment: self.payment.map(|id| PaymentId(id.as_u128())),
            from_time: self.from,
            to_time: self.to,
        })
    }
}

/// Find entries by actor, account, payment and time, newest first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace audit search --payment 0193f5b4-7c3a-7d10-8e2f-aabbccddeeff
  millrace audit search --actor ann --from 2026-11-01T00:00:00Z
  millrace audit search --account 0192f5b4-7c3a-7d10-8e2f-aabbccddeeff --limit 1000 --json")]
pub(crate) struct Search {
    /// Data directory of the millrace that wrote it, or the log's directory
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// Most entries that are shown
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Print entries as they stand in the log, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn search(args: &Search) -> Result<ExitCode, Failure> {
    let query = args.filter.query()?;
    let found = reader(&args.data_dir)?.entries(&query, None, args.limit)?;
    for entry in &found {
        match args.json {
            true => say!("{}", entry.line),
            false => say!("{}", row(entry)),
        }
    }
    if found.is_empty() {
        crate::commands::tell!("no entry that is kept fits");
    } else if found.len() == args.limit {
        crate::commands::tell!("the newest {} are shown; --limit shows more", args.limit);
    }
    Ok(ExitCode::SUCCESS)
}

/// Accounts that one line names; those of an act may be a thousand.
const ACCOUNTS_SHOWN: usize = 4;

/// One line for people.
fn row(entry: &AuditEntry) -> String {
    let fields: Value = serde_json::from_str(&entry.line).unwrap_or_default();
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    let mut words = vec![
        format!("{:>10}", entry.index),
        time_text(entry.time),
        format!("{:<12}", entry.kind.name()),
    ];
    for name in ["operation", "change", "status", "reason"] {
        words.push(text(name));
    }
    // {"act": {"drop_event": {"sink": "notify", "event": 39, …}}}, whatever the act is called.
    for (name, act) in fields["act"]["act"].as_object().into_iter().flatten() {
        words.push(name.to_uppercase());
        words.push(act["sink"].as_str().map(|sink| format!("sink {sink}")).unwrap_or_default());
        words.push(act["event"].as_u64().map(|seq| format!("event {seq}")).unwrap_or_default());
        words.extend(
            ["change", "credit_limit_minor"]
                .map(|name| act[name].as_str().unwrap_or_default().to_owned()),
        );
    }
    if let Some(minor) = fields["amount_minor"].as_str() {
        words.push(format!("{minor} {}", text("currency")).trim_end().to_owned());
    }
    words.extend(entry.payment.map(|id| format!("payment {id}")));
    words.extend(entry.accounts.iter().take(ACCOUNTS_SHOWN).map(|id| format!("account {id}")));
    if let more @ 1.. = entry.accounts.len().saturating_sub(ACCOUNTS_SHOWN) {
        words.push(format!("and {more} accounts more"));
    }
    words.extend(entry.actor.iter().map(|actor| format!("by {actor}")));
    words.extend(entry.why.iter().map(|why| format!("because {why:?}")));
    words.retain(|word| !word.is_empty());
    words.join("  ")
}

/// Write entries to a file or to standard output, oldest first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace audit export --data-dir millrace-data > entries.jsonl
  millrace audit export --actor ann --format csv --output ann.csv
  millrace audit export --first 120000 --last 129999

Lines of JSON are the entries exactly as they stand in the log: their hashes are the tree's leaves. CSV
has the fields that most entries have, and the leaf hash.")]
pub(crate) struct Export {
    /// Data directory of the millrace that wrote it, or the log's directory
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// First entry, from 0; without it, the oldest that is kept
    #[arg(long, value_name = "INDEX")]
    first: Option<u64>,
    /// Last entry
    #[arg(long, value_name = "INDEX")]
    last: Option<u64>,
    /// How lines look
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write to this file outside of the data directory, in place of one of that name; without it, to
    /// standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Fields of the entry that a line of CSV has, between index and leaf hash.
const COLUMNS: [&str; 22] = [
    "seq",
    "time",
    "event",
    "payment",
    "original",
    "operation",
    "status",
    "reason",
    "ledger",
    "currency",
    "code",
    "requested_minor",
    "amount_minor",
    "debit",
    "credit",
    "risk",
    "rule",
    "change",
    "account",
    "state",
    "act",
    "why",
];

pub(crate) fn export(args: &Export) -> Result<ExitCode, Failure> {
    if let (Some(first), Some(last)) = (args.first, args.last)
        && first > last
    {
        return Err(format!("--first {first} comes after --last {last}: swap them").into());
    }
    let query = args.filter.query()?;
    let reader = reader(&args.data_dir)?;
    if let Some(path) = args.output.as_deref().filter(|path| is_within(path, &args.data_dir)) {
        let (path, data_dir) = (path.display(), args.data_dir.display());
        return Err(format!(
            "{path} lies in {data_dir}, whose files only millrace writes: name a file elsewhere with \
             --output"
        )
        .into());
    }
    let target = match &args.output {
        None => Target::stdout(),
        Some(path) => Target::file(path, "--output")?,
    };
    let failed = |error: io::Error| match &args.output {
        None => journal::end_of_stdout(Err(error)),
        Some(path) => Err(unwritable(path, &error, "--output").into()),
    };
    let mut writer = match Writer::new(target, args.format) {
        Ok(writer) => writer,
        Err(error) => return failed(error),
    };
    let (mut count, mut problem) = (0_u64, None);
    let (first, end) = (args.first.unwrap_or(0), args.last.map(|last| last.saturating_add(1)));
    reader.visit(
        &query,
        first,
        end,
        Order::OldestFirst,
        &mut |entry| match writer.write(&entry) {
            Ok(()) => {
                count += 1;
                ControlFlow::Continue(())
            }
            Err(error) => {
                problem = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    let finished = match problem {
        Some(error) => Err(error),
        None => writer.finish(),
    };
    match (finished, &args.output) {
        (Err(error), _) => failed(error),
        (Ok(()), Some(path)) => {
            crate::commands::tell!("{count} entries in {}", path.display());
            Ok(ExitCode::SUCCESS)
        }
        (Ok(()), None) => Ok(ExitCode::SUCCESS),
    }
}

enum Writer {
    Jsonl(Target),
    Csv(Box<csv::Writer<Target>>),
}

impl Writer {
    fn new(target: Target, format: Format) -> io::Result<Self> {
        match format {
            Format::Jsonl => Ok(Self::Jsonl(target)),
            Format::Csv => {
                let mut writer = Box::new(csv::Writer::from_writer(target));
                let columns = ["index"].into_iter().chain(COLUMNS).chain(["actor", "leaf_hash"]);
                writer.write_record(columns).map_err(io::Error::from)?;
                Ok(Self::Csv(writer))
            }
        }
    }

    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        match self {
            Self::Jsonl(target) => {
                target.write_all(entry.line.as_bytes())?;
                target.write_all(b"\n")
            }
            Self::Csv(writer) => {
                let fields: Value = serde_json::from_str(&entry.line)?;
                let mut record = vec![entry.index.to_string()];
                record.extend(COLUMNS.iter().map(|name| match &fields[*name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                }));
                record.push(entry.actor.clone().unwrap_or_default());
                record.push(hex(&leaf_hash(entry.line.as_bytes())));
                writer.write_record(&record).map_err(io::Error::from)
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Jsonl(target) => target.finish(),
            Self::Csv(writer) => {
                writer.into_inner().map_err(csv::IntoInnerError::into_error)?.finish()
            }
        }
    }
}
