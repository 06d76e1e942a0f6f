//! Sends a file: consumes a CSV and its mapping, shows progress, produces the client's summary.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};
use millrace_client::{
    AccountPlan, Connection, CsvFile, Mapping, Opened, RefusedFile, Source, Submission,
    SubmitOptions, Summary, header_of, open_accounts,
};

use crate::Failure;

/// A file, ready to be sent.
pub(crate) struct Outgoing {
    pub(crate) mapping: Mapping,
    pub(crate) file: CsvFile,
}

impl Outgoing {
    /// Opens a file with the mapping that was named, or the shipped one that its header asks for.
    pub(crate) fn open(source: Source, mapping: Option<&Path>) -> Result<Self, Failure> {
        let mapping = match mapping {
            Some(path) => Mapping::open(path)?,
            None => Mapping::for_header(&header_of(&source)?)?,
        };
        let file = CsvFile::open(source, &mapping)?;
        Ok(Self { mapping, file })
    }

    /// Works out the accounts that the file needs.
    pub(crate) fn plan(&self) -> Result<AccountPlan, Failure> {
        Ok(AccountPlan::of_file(&self.file, &self.mapping)?)
    }

    /// Opens and funds them.
    pub(crate) async fn open_accounts(
        plan: &AccountPlan,
        connection: &Connection,
    ) -> Result<Opened, Failure> {
        let patience = SubmitOptions::default().give_up_after;
        Ok(open_accounts(connection, plan, patience).await?)
    }

    /// Sends every row. Also tells the longest time-out of a hold among them that is at most
    /// `timeout_max_s`, in seconds.
    pub(crate) async fn send(
        &self,
        connection: Connection,
        options: SubmitOptions,
        bar: ProgressBar,
        timeout_max_s: u32,
    ) -> Result<(Summary, u32), Failure> {
        let longest_timeout_s = Arc::new(AtomicU32::new(0));
        let longest = Arc::clone(&longest_timeout_s);
        let rows = self.file.rows()?.inspect(move |row| {
            if let Ok(row) = row
                && row.payment.timeout_seconds <= timeout_max_s
            {
                longest.fetch_max(row.payment.timeout_seconds, Ordering::Relaxed);
            }
        });
        let shown = bar.clone();
        let submission = Submission::new(connection, options, move |progress| {
            shown.set_position(progress.answered);
        });
        let summary = submission.run(rows, RefusedFile::beside(&self.file)).await?;
        bar.finish_and_clear();
        Ok((summary, longest_timeout_s.load(Ordering::Relaxed)))
    }
}

/// Where rows come from: a file, or the sample that is built in.
pub(crate) fn source(file: Option<PathBuf>) -> Source {
    file.map_or(Source::SAMPLE, Source::Path)
}

/// A bar on standard error; hidden where that is no terminal.
pub(crate) fn bar(rows: Option<u64>) -> ProgressBar {
    let template = match rows {
        Some(_) => "{bar:40} {human_pos}/{human_len} rows  {per_sec}  {eta} left",
        None => "{spinner} {human_pos} rows  {per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("a constant template");
    rows.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style)
}
