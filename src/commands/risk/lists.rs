//! `millrace risk lists`: consumes lists as CSV files, produces checked, merged and current ones.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use millrace_ledger::Timestamp;
use millrace_risk::rules::{List, ListEntry, ListKind, ListLimits, ListSpec};
use serde_json::json;

use super::{
    output::{self, count},
    rule_source::{list_kind, read_list},
    tested::hex,
};
use crate::{
    Failure,
    commands::{journal_export::parse_time, say},
};

/// Check, import and export the lists that rules name
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk lists check cards.csv --name stolen --kind block
  millrace risk lists import reported.csv --into cards.csv --added-by anna --reason \"case 4711\"
  millrace risk lists export cards.csv --active-at 2026-11-20T00:00:00Z --out now.csv

A list is a CSV file with the columns value, expires_at, reason and added_by; only value is needed.
An empty expires_at is never.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(CheckArgs),
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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
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
}

/// Write a list, or what is on it at one time
#[derive(clap::Args)]
struct ExportArgs {
    /// The list
    #[arg(value_name = "CSV")]
    file: PathBuf,
    #[command(flatten)]
    what: What,
    /// Leave out what has expired at this time, as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    active_at: Option<Timestamp>,
    /// Write to this file; without it, to standard output
    #[arg(long, value_name = "CSV")]
    out: Option<PathBuf>,
    /// Print the entries as JSON, one object a line; with --out, one object that tells what was written
    #[arg(long)]
    json: bool,
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

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Check(args) => check(args),
        Command::Import(args) => import(args),
        Command::Export(args) => export(args),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn active(list: &List, at: Option<Timestamp>) -> impl Iterator<Item = ListEntry<'_>> {
    list.entries()
        .filter(move |entry| at.is_none_or(|at| entry.expires_at.is_none_or(|end| at < end)))
}

fn check(args: &CheckArgs) -> Result<(), Failure> {
    let list = read_list(&args.what.name, args.what.kind, &args.file)?;
    let listed = active(&list, args.active_at).count();
    let expiring = list.entries().filter(|entry| entry.expires_at.is_some()).count();
    let (values, bytes) = (list.len(), list.memory_bytes());
    if args.json {
        let digest = hex(&list.digest());
        say!(
            "{}",
            json!({
                "file": args.file,
                "name": args.what.name,
                "kind": args.what.kind,
                "values": values,
                "active": listed,
                "with_expiry": expiring,
                "memory_bytes": bytes,
                "blake3": digest,
            })
        );
        return Ok(());
    }
    say!("{}: {} values, all right", args.file.display(), count(values));
    say!("  {} of them expire; about {} KiB in memory", count(expiring), count(bytes / 1_024));
    if args.active_at.is_some() {
        say!("  {} are listed at that time", count(listed));
    }
    Ok(())
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

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let What { name, kind } = &args.what;
    let list = read_list(name, *kind, &args.file)?;
    let spec = ListSpec { name: name.clone(), kind: *kind, of: Vec::new() };
    let mut kept = List::new(spec, ListLimits::default())?;
    for entry in active(&list, args.active_at) {
        kept.add(&entry)?;
    }
    let mut bytes = Vec::new();
    kept.to_csv(&mut bytes)?;
    match &args.out {
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
            eprintln!("{} of {} values in {}", kept.len(), list.len(), path.display());
        }
        None => say!("{}", String::from_utf8_lossy(&bytes).trim_end()),
    }
    Ok(())
}
