//! `millrace risk lists`: consumes lists as CSV files, or those in force on a server, produces checked,
//! merged and current ones.

pub(super) mod difference;
pub(super) mod in_force;
pub(super) mod report;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use millrace_ledger::Timestamp;
use millrace_risk::{
    policy::TEXTS,
    rules::{List, ListEntry, ListKind, ListLimits, ListSpec},
};
use millrace_risk_lab::data::Day;
use serde_json::json;

use self::difference::{Difference, Touched};
use super::{
    output::{self, count},
    rule_source::{list_kind, read_list},
    source::{Source, SourceArgs},
    tested::hex,
};
use crate::{
    Failure,
    commands::{say, times::parse_time},
};

/// Check, import and export the lists that rules name
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk lists check cards.csv --name stolen --kind block
  millrace risk lists check cards.csv --name stolen --target http://127.0.0.1:7400 \\
      --data payments.csv.gz --days 30 --of payer --report stolen.html
  millrace risk lists import reported.csv --into cards.csv --added-by anna --reason \"case 4711\"
  millrace risk lists export cards.csv --active-at 2026-11-20T00:00:00Z --out now.csv
  millrace risk lists export --target http://127.0.0.1:7400
  millrace risk lists export stolen --target http://127.0.0.1:7400 --out stolen.csv

A list is a CSV file with the columns value, expires_at, reason and added_by; only value is needed.
An empty expires_at is never.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(Box<CheckArgs>),
    Import(ImportArgs),
    Export(ExportArgs),
}

/// Tell what is on a list, or what is wrong with it
#[derive(clap::Args)]
struct CheckArgs {
    /// The list
    #[arg(value_name = "CSV")]
    file: PathBuf,
    #[command(flatten)]
    what: What,
    /// Count what is listed at this time, as in RFC 3339 [default: whatever has expired]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    active_at: Option<Timestamp>,
    /// Compare with this list
    #[arg(long, value_name = "CSV", conflicts_with = "server")]
    before: Option<PathBuf>,
    /// Compare with the list of this name that is in force on the server at this URL
    #[arg(long = "target", visible_alias = "server", value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Tell the payments of the last days of --data or --journal that it would have touched
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: u32,
    /// Texts that it lists, such as payer,context.device; without it, any
    #[arg(long, value_name = "TEXT,..", value_delimiter = ',')]
    of: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write a report
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

/// Add the values of files to a list; what is on it already is replaced
#[derive(clap::Args)]
struct ImportArgs {
    /// What to add
    #[arg(value_name = "CSV", required = true)]
    files: Vec<PathBuf>,
    /// The list, which is made if it is not there
    #[arg(long, value_name = "CSV")]
    into: PathBuf,
    #[command(flatten)]
    what: What,
    /// Who adds them, where a file does not say
    #[arg(long, value_name = "NAME", default_value = "")]
    added_by: String,
    /// Why, where a file does not say
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write a report on what came, and on what is listed
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

/// Write a list, or what is on it at one time
#[derive(clap::Args)]
#[command(after_help = "\
With --target, the list is one of the policy in force, by the name that rules call it; what is written
can be checked, imported into and promoted like any other list. Without a list, those in force are
told; with --out, each is written into that folder as NAME.csv.")]
struct ExportArgs {
    /// The list: a file, or with --target the name of a list in force
    #[arg(value_name = "CSV", required_unless_present = "server")]
    list: Option<PathBuf>,
    /// URL of the gRPC server that the list is in force on
    #[arg(
        long = "target",
        visible_alias = "server",
        value_name = "URL",
        conflicts_with_all = ["name", "kind"]
    )]
    server: Option<String>,
    #[command(flatten)]
    what: What,
    /// Leave out what has expired at this time, as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    active_at: Option<Timestamp>,
    /// Write to this file (or folder, for all lists of a server); without it, to standard output
    #[arg(long, value_name = "CSV")]
    out: Option<PathBuf>,
    /// Print the entries as JSON, one object a line; with --out, one object that tells what was written
    #[arg(long)]
    json: bool,
    /// Write a report on the list
    #[arg(long, value_name = "HTML", conflicts_with = "json")]
    report: Option<PathBuf>,
}

/// What a list is called and for.
#[derive(clap::Args)]
struct What {
    /// As rules call it
    #[arg(long, value_name = "NAME", default_value = "list")]
    name: String,
    /// What it is for: allow, block or watch
    #[arg(long, value_name = "KIND", default_value = "block", value_parser = list_kind)]
    kind: ListKind,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Check(args) => check(args).await,
        Command::Import(args) => import(args),
        Command::Export(args) => match (&args.server, &args.list) {
            (Some(url), _) => in_force::export(args, url).await,
            (None, Some(file)) => {
                let list = read_list(&args.what.name, args.what.kind, file)?;
                export(args, &list, args.out.as_deref())
            }
            (None, None) => Err("there is no list to export: name its file, or --target".into()),
        },
    }
    .map(|()| ExitCode::SUCCESS)
}

fn active(list: &List, at: Option<Timestamp>) -> impl Iterator<Item = ListEntry<'_>> {
    list.entries()
        .filter(move |entry| at.is_none_or(|at| entry.expires_at.is_none_or(|end| at < end)))
}

/// Now, where nobody says at which time a list is looked at.
pub(super) fn now() -> Timestamp {
    let now = jiff::Timestamp::now().as_nanosecond();
    Timestamp(u64::try_from(now).unwrap_or_default())
}

async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let What { name, kind } = &args.what;
    let list = read_list(name, *kind, &args.file)?;
    let before = match (&args.before, &args.server) {
        (Some(file), _) => Some((file.display().to_string(), read_list(name, *kind, file)?)),
        (None, Some(url)) => {
            Some(("the list in force".to_owned(), in_force::one(url, name).await?))
        }
        (None, None) => None,
    };
    let before = before.as_ref().map(|(name, list)| (name.as_str(), list));
    let touched = touched(args, &list)?;
    let listed = active(&list, args.active_at).count();
    let (_, _, expired) = report::by_time(&list, args.active_at.unwrap_or_else(now));
    let expiring = list.entries().filter(|entry| entry.expires_at.is_some()).count();
    let (values, bytes) = (list.len(), list.memory_bytes());
    let difference = before.map(|(_, before)| Difference::between(Some(before), &list));
    let difference = difference.map(|it| [it.added.len(), it.removed.len(), it.changed.len()]);
    let over =
        |source: &Source| format!("payments of the last {} days of {}", args.days, source.name);
    output::report(args.report.as_deref(), || {
        let touched =
            touched.as_ref().map(|(touched, source)| (touched, &source.payments, over(source)));
        let at = args.active_at.unwrap_or_else(now);
        report::report("List", &report::Shown { list: &list, before, at, touched })
    })?;
    if args.json {
        let [added, removed, changed] = difference.map_or([None; 3], |it| it.map(Some));
        say!(
            "{}",
            json!({
                "file": args.file,
                "name": name,
                "kind": kind,
                "values": values,
                "active": listed,
                "with_expiry": expiring,
                "expired": expired,
                "memory_bytes": bytes,
                "blake3": hex(&list.digest()),
                "added": added,
                "removed": removed,
                "changed": changed,
                "touched": touched.as_ref().map(|(touched, _)| touched),
            })
        );
        return Ok(());
    }
    say!("{}: {} values, all right", args.file.display(), count(values));
    say!("  {} of them expire; about {} KiB in memory", count(expiring), count(bytes / 1_024));
    match expired {
        0 => {}
        _ if expired == values => say!("  all of them have expired: nothing is listed any more"),
        1 => say!("  1 has expired: it is not listed any more"),
        _ => say!("  {} have expired: they are not listed any more", count(expired)),
    }
    if args.active_at.is_some() {
        say!("  {} are listed at that time", count(listed));
    }
    if let Some(([added, removed, changed], (name, _))) = difference.zip(before) {
        let [added, removed, changed] = [added, removed, changed].map(count);
        say!("  against {name}: {added} added, {removed} removed, {changed} changed");
    }
    if let Some((it, source)) = &touched {
        let [payments, rows, frauds] =
            [it.payments, it.rows, it.frauds].map(|it| count(it as usize));
        say!(
            "  {payments} of {rows} {} have a listed value; {frauds} of them are fraud",
            over(source)
        );
    }
    Ok(())
}

/// What the list would have touched, where payments are named.
fn touched(args: &CheckArgs, list: &List) -> Result<Option<(Touched, Source)>, Failure> {
    if let Some(wrong) = args.of.iter().find(|it| !TEXTS.contains(&it.as_str())) {
        let texts = TEXTS.join(", ");
        return Err(format!("--of {wrong}: no list is of that; texts are {texts}").into());
    }
    if !args.source.is_named() {
        return Ok(None);
    }
    let source = args.source.load(false)?;
    let last = source.payments.at().last().map_or(Day(0), |at| Day::of(*at));
    let since = last.back(args.days.saturating_sub(1)).start();
    let touched = Touched::of(list, &source.payments, &args.of, since);
    Ok(Some((touched, source)))
}

/// An entry with texts of its own.
struct Owned {
    expires_at: Option<Timestamp>,
    reason: String,
    added_by: String,
}

fn import(args: &ImportArgs) -> Result<(), Failure> {
    let What { name, kind } = &args.what;
    let mut all: BTreeMap<String, Owned> = BTreeMap::new();
    let mut order = Vec::new();
    let into = match args.into.exists() {
        true => Some(read_list(name, *kind, &args.into)?),
        false => None,
    };
    let before = into.as_ref().map_or(0, List::len);
    let files = args.files.iter().map(|file| read_list(name, *kind, file));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    for (list, is_new) in
        into.iter().map(|list| (list, false)).chain(files.iter().map(|it| (it, true)))
    {
        for entry in list.entries() {
            let or = |own: &str, other: &str| match own {
                "" if is_new => other.to_owned(),
                own => own.to_owned(),
            };
            let owned = Owned {
                expires_at: entry.expires_at,
                reason: or(entry.reason, &args.reason),
                added_by: or(entry.added_by, &args.added_by),
            };
            if all.insert(entry.value.to_owned(), owned).is_none() {
                order.push(entry.value.to_owned());
            }
        }
    }
    let spec = ListSpec { name: name.clone(), kind: *kind, of: Vec::new() };
    let mut merged = List::new(spec, ListLimits::default())?;
    for value in &order {
        let Owned { expires_at, reason, added_by } = &all[value];
        merged.add(&ListEntry { value, expires_at: *expires_at, reason, added_by })?;
    }
    let mut bytes = Vec::new();
    merged.to_csv(&mut bytes)?;
    output::file(&args.into, "--into", &bytes)?;
    output::report(args.report.as_deref(), || {
        let name = args.into.display().to_string();
        let before = into.as_ref().map(|before| (name.as_str(), before));
        report::report("List", &report::Shown { list: &merged, before, at: now(), touched: None })
    })?;
    let read: usize = files.iter().map(List::len).sum();
    let (values, added) = (merged.len(), merged.len() - before);
    let replaced = read - added;
    match args.json {
        true => say!(
            "{}",
            json!({ "file": args.into, "values": values, "added": added, "replaced": replaced })
        ),
        false => say!(
            "{}: {} values, {added} of them new, {replaced} replaced",
            args.into.display(),
            count(values)
        ),
    }
    Ok(())
}

/// Writes what is on a list to a file, or to standard output.
fn export(args: &ExportArgs, list: &List, out: Option<&Path>) -> Result<(), Failure> {
    let mut kept = List::new(list.spec().clone(), ListLimits::default())?;
    for entry in active(list, args.active_at) {
        kept.add(&entry)?;
    }
    output::report(args.report.as_deref(), || {
        let at = args.active_at.unwrap_or_else(now);
        report::report("List", &report::Shown { list, before: None, at, touched: None })
    })?;
    let mut bytes = Vec::new();
    kept.to_csv(&mut bytes)?;
    match out {
        Some(path) if args.json => {
            output::file(path, "--out", &bytes)?;
            say!("{}", json!({ "file": path, "values": kept.len(), "of": list.len() }));
        }
        None if args.json => {
            for ListEntry { value, expires_at, reason, added_by } in kept.entries() {
                let expires_at = expires_at.and_then(|at| {
                    jiff::Timestamp::from_nanosecond(i128::from(at.0)).ok().map(|at| at.to_string())
                });
                say!(
                    "{}",
                    json!({
                        "value": value,
                        "expires_at": expires_at,
                        "reason": reason,
                        "added_by": added_by,
                    })
                );
            }
        }
        Some(path) => {
            output::file(path, "--out", &bytes)?;
            crate::commands::tell!("{} of {} values in {}", kept.len(), list.len(), path.display());
        }
        None => say!("{}", String::from_utf8_lossy(&bytes).trim_end()),
    }
    Ok(())
}
