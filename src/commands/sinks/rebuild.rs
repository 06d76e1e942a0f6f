//! `millrace sinks rebuild`: builds a sink's directory anew from the journal, and swaps.

use std::{
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use millrace_engine::{
    FeedBatch, JournalError,
    scan::{self, JournalScan},
};
use millrace_ledger::EventSeq;
use millrace_postgres::{PostgresRebuild, Runs};
use millrace_risk::acts::{ActKind, RebuildAct};
use millrace_sinks::{
    AuditSink, GraphqlSink, Quarantine, QuarantineDesk, ReviewsSink, Sink, SinkError, SinksConfig,
    audit::{Compared, check_key, check_succession},
    rebuild::{self, Old, RebuildError, Rebuilt},
};

use super::{Which, order::OrderArgs};
use crate::{
    Failure,
    commands::{journal_export::bar, say},
    config::Config,
    live_rebuild::{LiveFiles, LiveProgress, kept_path},
};

/// How long a running millrace may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Build a sink anew from the journal
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace sinks rebuild graphql --why 'amounts of May are wrong'
  millrace sinks rebuild audit --data-dir millrace-data --actor ann --why 'a disk lost a segment'

The sink is built beside the one that is there, which is replaced when the new one is whole; a stop at
any moment leaves the one or the other. While millrace runs, it rebuilds graphql and audit by itself: the one that
is there answers until the new one has caught up. In PostgreSQL it is
built in the schema millrace_rebuild. It must not run while reviews is rebuilt. An audit log takes the
place of the one that is there only if it goes on from what was signed; the old one is evidence, and is kept. Events in quarantine are
processed in their place; those that still can't be stay there. Who rebuilds a sink, and why, is journaled before
it begins; while millrace is stopped, it is noted, and journaled first at the next start.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Which one
    sink: Rebuildable,
    /// Replace an audit log that was signed with another root than the journal comes to
    #[arg(long)]
    accept_other_root: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// Sinks that follow from the journal alone.
#[derive(Clone, Copy, ValueEnum)]
enum Rebuildable {
    Graphql,
    Reviews,
    Audit,
}

impl Rebuildable {
    fn name(self) -> &'static str {
        match self {
            Self::Graphql => "graphql",
            Self::Reviews => "reviews",
            Self::Audit => "audit",
        }
    }

    fn open(self, dir: &Path, settings: &SinksConfig) -> Result<Box<dyn Sink>, SinkError> {
        Ok(match self {
            Self::Graphql => Box::new(GraphqlSink::open(dir, &settings.graphql)?.0),
            Self::Reviews => Box::new(ReviewsSink::open(dir, &settings.reviews)?.0),
            Self::Audit => Box::new(AuditSink::open(dir, &settings.audit)?),
        })
    }
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = args.which.existing()?;
    let (sink, journal) = (args.sink, config.journal_dir());
    let name = sink.name();
    let started = Instant::now();
    let accept_other_root = args.accept_other_root;
    let act = RebuildAct { sink: name.to_owned(), accept_other_root, done_at_ns: None };
    let mut quarantine = match Quarantine::open(&config.quarantine_dir(), name) {
        Err(SinkError::InUse { .. }) if !matches!(sink, Rebuildable::Reviews) => {
            return rebuild_live(&config, &args.order, &act, started).await;
        }
        Err(SinkError::InUse { .. }) => {
            return Err(format!(
                "millrace runs and keeps {name} up to date: stop it, rebuild {name}, and start it \
                 again"
            )
            .into());
        }
        opened => opened?,
    };
    if matches!(sink, Rebuildable::Audit) {
        check_key(&config.audit_dir(), &config.sinks.audit)?;
    }
    if millrace_engine::is_in_use(&journal)? {
        args.order.door(&config).await?.rebuild(&config, &act).await?;
    } else {
        args.order.leave(&config, ActKind::RebuildSink(act))?;
    }
    let last = scan::last_seq(&journal)?;
    let bar = bar(1, last.0);
    let old = match sink {
        Rebuildable::Audit => Old::KeptAs(kept_path(&config.audit_dir())),
        Rebuildable::Graphql | Rebuildable::Reviews => Old::Removed,
    };
    let (journal, each) = (batches(&journal)?, |next: EventSeq| bar.set_position(next.0));
    let in_postgres = matches!(sink, Rebuildable::Graphql) && config.postgres.is_set();
    let rebuilt = match in_postgres {
        true => rebuild_tables(&config, &mut quarantine, journal, each),
        false => {
            let open = |dir: &Path| sink.open(dir, &config.sinks);
            let check = |fresh: &Path| match sink {
                Rebuildable::Audit if !accept_other_root => {
                    Ok(check_succession(&config.audit_dir(), fresh, Compared::All)?)
                }
                _ => Ok(()),
            };
            let dir = config.sink_dir(name);
            rebuild::rebuild(&dir, &old, &mut quarantine, open, journal, each, check)
        }
    };
    bar.finish_and_clear();
    tell(name, &rebuilt?, started);
    if let Old::KeptAs(path) = old
        && path.exists()
    {
        say!("  the old one is kept as evidence: {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the tables anew beside those that are there.
fn rebuild_tables(
    config: &Config,
    quarantine: &mut Quarantine,
    journal: impl Iterator<Item = Result<FeedBatch, JournalError>>,
    each: impl FnMut(EventSeq),
) -> Result<Rebuilt, RebuildError> {
    let (tables, sink) = PostgresRebuild::begin(&config.postgres, Runs::Nowhere)?;
    let swap = || tables.swap();
    let rebuilt = rebuild::rebuild_with(Box::new(sink), quarantine, journal, each, swap)?;
    tables.remove_old()?;
    Ok(rebuilt)
}

/// Has the running millrace do it, and waits.
async fn rebuild_live(
    config: &Config,
    order: &OrderArgs,
    act: &RebuildAct,
    started: Instant,
) -> Result<ExitCode, Failure> {
    let name = act.sink.as_str();
    let files = LiveFiles::new(config, name);
    files.ask(order.door(config).await?.rebuild(config, act).await?)?;
    let started_live = Instant::now();
    let bar = bar(1, 0);
    let mut heard = None;
    loop {
        let silent = heard.unwrap_or(started_live).elapsed();
        match files.answer() {
            None if heard.is_none() && silent > PATIENCE => {
                return Err(format!(
                    "the running millrace does not answer: does it have the journal, and {name}? \
                     Stop it, rebuild, and start it again"
                )
                .into());
            }
            None => {}
            Some(LiveProgress::Building { seq, last }) => {
                heard = Some(Instant::now());
                bar.set_length(last);
                bar.set_position(seq);
            }
            Some(LiveProgress::Done { seq, skipped, kept }) => {
                bar.finish_and_clear();
                let seconds = started.elapsed().as_secs_f64();
                say!("{name} is rebuilt and answers: {seq} events in {seconds:.1} s");
                if skipped > 0 {
                    say!("  {skipped} events stay in quarantine");
                }
                match kept {
                    Some(path) => say!("  the old one is kept as evidence: {}", path.display()),
                    None if config.postgres.is_set() => {}
                    None => say!("  the old one is removed at the next start"),
                }
                return Ok(ExitCode::SUCCESS);
            }
            Some(LiveProgress::Failed { error }) => return Err(error.into()),
        }
        if !QuarantineDesk::new(&config.quarantine_dir()).is_running(name)? {
            return Err(format!("millrace stopped meanwhile; {name} is as it was").into());
        }
        thread::sleep(POLL);
    }
}

/// The journal as the feed would hand it out.
fn batches(
    journal: &Path,
) -> Result<impl Iterator<Item = Result<FeedBatch, JournalError>>, JournalError> {
    let frames = JournalScan::open(journal)?;
    Ok(frames.map(|frame| {
        let frame = frame?;
        Ok(FeedBatch { time: frame.time, events: frame.events()? })
    }))
}

fn tell(name: &str, rebuilt: &Rebuilt, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let events = rebuilt.last_seq.0;
    let rate = events as f64 / seconds.max(0.001);
    say!("{name} is rebuilt: {events} events in {seconds:.1} s ({rate:.0} events/s)");
    if !rebuilt.recovered.is_empty() {
        say!("  {} events left the quarantine: they are processed now", rebuilt.recovered.len());
    }
    if !rebuilt.skipped.is_empty() {
        say!("  {} events stay in quarantine", rebuilt.skipped.len());
    }
}
