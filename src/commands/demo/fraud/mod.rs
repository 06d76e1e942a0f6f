//! The demo's second act: fraud is stopped. Made-up payments go through the pipeline as a bank's
//! would, their frauds are reported when they become known, a model learns from the journal while
//! payments go on, and decides about what comes then.
//!
//! Reading order: `made` (the payments) → `stream` (submitted, reported) → `promotion` (trained, in
//! force) → `told` (what came of it).

mod made;
mod promotion;
mod stream;
mod told;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use millrace_client::{Connection, Mapping};
use millrace_protos::v1::PolicyInForce;
use millrace_risk_lab::generate::COLUMNS;

use self::{made::Made, promotion::Trained, stream::Stream};
pub(super) use self::{promotion::CATALOGUE, told::Told};
use super::super::send::Outgoing;
use crate::Failure;

/// Fewest payments that a model can be trained on.
pub(super) const PAYMENTS_MIN: u64 = 5_000;
pub(super) const PAYMENTS_MAX: u64 = 2_000_000;
/// Payments of a request while the model is trained, and the pause after it.
const TRICKLE: usize = 20;
const TRICKLE_PAUSE: Duration = Duration::from_millis(20);

/// The mapping by which the payments are submitted.
pub(super) fn mapping() -> Result<Mapping, Failure> {
    let header: Vec<&str> = COLUMNS.split(',').collect();
    Ok(Mapping::for_header(&header)?)
}

/// Plays the act on a pipeline whose journal is in `data_dir`.
pub(super) async fn play(
    payments: u64,
    connection: Connection,
    data_dir: &Path,
) -> Result<Told, Failure> {
    let bar = bar(payments);
    bar.set_message("making payments");
    let made = tokio::task::spawn_blocking(move || Made::new(payments)).await??;
    bar.set_message("opening accounts");
    let opened = Outgoing::open_accounts(&made.plan, &connection).await?;
    if let Some(fault) = opened.first_faults.first() {
        return Err(format!("the made-up payments have no accounts: {fault}").into());
    }
    let began = Instant::now();
    let mut stream = Stream::new(&made, connection.clone(), bar.clone());
    bar.set_message("history");
    stream.up_to(made.trained_at).await?;
    let known = stream.reported;
    let promotion = promote(&made, &mut stream, &connection, data_dir, &bar).await?;
    bar.set_message("stopping fraud");
    stream.up_to(millrace_ledger::Timestamp(u64::MAX)).await?;
    let seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let Stream { outcomes, reported, .. } = stream;
    let facts = told::Facts { known, reported, seconds, promotion };
    Told::new(made, outcomes, facts, &connection, data_dir).await
}

/// How the policy came into force.
pub(super) struct Promotion {
    policy: PolicyInForce,
    /// None where an earlier run has promoted it.
    trained: Option<Trained>,
    /// Payments that were decided meanwhile.
    meanwhile: usize,
}

/// Has a model trained and promoted, while the payments of a day go on.
async fn promote(
    made: &Made,
    stream: &mut Stream<'_>,
    connection: &Connection,
    data_dir: &Path,
    bar: &ProgressBar,
) -> Result<Promotion, Failure> {
    let (from, upto) = (made.first_from(made.trained_at), made.first_from(made.promoted_at));
    let meanwhile = upto - from;
    if let Some(policy) = promotion::in_force(connection).await? {
        stream.up_to(made.promoted_at).await?;
        return Ok(Promotion { policy, trained: None, meanwhile });
    }
    let (data_dir, span, shown) = (data_dir.to_owned(), made.training, bar.clone());
    // The journal is read before more is written, so that the model knows what was known then.
    let history = tokio::task::spawn_blocking(move || promotion::history(&data_dir)).await??;
    let training = tokio::task::spawn_blocking(move || promotion::train(&history, span, &shown));
    while !training.is_finished() && stream.outcomes.len() + TRICKLE < upto {
        stream.slice(stream.outcomes.len() + TRICKLE).await?;
        tokio::time::sleep(TRICKLE_PAUSE).await;
    }
    let trained = training.await??;
    // The policy comes into force beside the last payments of the day.
    let (policy, sent) = tokio::join!(
        promotion::promote(connection, &trained.model),
        stream.up_to(made.promoted_at)
    );
    sent?;
    Ok(Promotion { policy: policy?, trained: Some(trained), meanwhile })
}

fn bar(payments: u64) -> ProgressBar {
    let template = "{msg:20} {bar:40} {human_pos}/{human_len} payments  {elapsed}";
    let style = ProgressStyle::with_template(template).expect("a constant template");
    ProgressBar::new(payments).with_style(style)
}
