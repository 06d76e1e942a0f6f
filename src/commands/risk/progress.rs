//! Progress: bars on standard error; hidden where that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use millrace_risk_lab::dataset::{FeatureTable, Replay};

/// A bar of so many of something.
pub(crate) fn bar(len: usize, what: &'static str, unit: &str) -> ProgressBar {
    let template =
        format!("{{msg:12}} {{bar:40}} {{human_pos}}/{{human_len}} {unit}  {{eta}} left");
    styled(ProgressBar::new(len as u64), &template, what)
}

/// A bar of bytes, whose number is told later.
pub(crate) fn bytes(what: &'static str) -> ProgressBar {
    let template = "{msg:12} {bar:40} {bytes}/{total_bytes}  {eta} left";
    styled(ProgressBar::new(0), template, what)
}

fn styled(bar: ProgressBar, template: &str, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("a constant template");
    bar.with_style(style).with_message(what)
}

/// The features of these rows, under a bar.
pub(crate) fn table(replay: &Replay<'_>, rows: &[u32]) -> FeatureTable {
    let bar = bar(rows.last().map_or(0, |last| *last as usize + 1), "features", "payments");
    let table = replay.table(rows, &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    table
}
