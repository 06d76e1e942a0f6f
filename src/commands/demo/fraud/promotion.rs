//! The model of the demo: consumes what the journal says by now, produces a model, and a policy in
//! force that names it.

use std::path::Path;

use indicatif::ProgressBar;
use millrace_client::Connection;
use millrace_protos::v1::{
    ArtefactKind, ListPoliciesRequest, PolicyInForce, SetPolicyRequest, UploadArtefactRequest,
};
use millrace_risk::{
    features::Catalogue,
    model::Model,
    policy::{BudgetDocument, Fallback, PolicyDocument, Thresholds},
};
use millrace_risk_lab::{
    data::{DaySpan, LabelDelay, training_rows},
    dataset::Replay,
    train::Settings,
};

use super::super::super::risk::{journal_source, source::Source, train::fit, upload};
use crate::Failure;

/// The features: those of devices tell most about frauds of this kind.
pub(crate) const CATALOGUE: &str = "devices";
const ACTOR: &str = "demo";
/// What an analyst would add to a model.
const RULES: &str = include_str!("rules.toml");
/// A score is a probability: at one in three a payment is refused, at one in five the payer confirms, at
/// one in twelve somebody looks.
pub(super) const THRESHOLDS: Thresholds =
    Thresholds { review: Some(0.08), challenge: Some(0.2), decline: Some(0.35) };

/// A model, and what it was trained on.
pub(super) struct Trained {
    pub(super) model: Model,
    pub(super) seconds: f64,
}

/// The policy that was set last, if one was.
pub(super) async fn in_force(connection: &Connection) -> Result<Option<PolicyInForce>, Failure> {
    let request = ListPoliciesRequest { page_size: 1, page_token: String::new() };
    let response = connection.risk().list_policies(request).await;
    let response = response.map_err(|status| connection.explain(&status))?;
    Ok(response.into_inner().policies.into_iter().next())
}

/// Payments and labels, as an analyst would read them off the journal.
pub(super) fn history(data_dir: &Path) -> Result<Source, Failure> {
    journal_source::read_quietly(data_dir)
}

/// Trains with the defaults. `bar` tells how far it is.
pub(super) fn train(source: &Source, span: DaySpan, bar: &ProgressBar) -> Result<Trained, Failure> {
    let started = std::time::Instant::now();
    let (catalogue, text) = Catalogue::shipped(CATALOGUE).ok_or("the catalogue does not ship")?;
    let payments = &source.payments;
    let rows: Vec<u32> = training_rows(payments, &span)?.map(|row| row as u32).collect();
    let label_delay = LabelDelay::days(7);
    let for_models = catalogue.for_models();
    let replay = Replay { payments, catalogue: &for_models, label_delay };
    let (model, _) = fit(&replay, text, &rows, &Settings::default(), &mut |at| {
        bar.set_message(format!("{} {} %", at.stage, 100 * at.done / at.all.max(1)));
    })?;
    Ok(Trained { model, seconds: started.elapsed().as_secs_f64() })
}

/// Uploads the model and the rules, and puts a policy of both in force.
pub(super) async fn promote(
    connection: &Connection,
    model: &Model,
) -> Result<PolicyInForce, Failure> {
    let upload = async |kind: ArtefactKind, title: &str, bytes: Vec<u8>| {
        let head = UploadArtefactRequest {
            kind: kind as i32,
            actor: ACTOR.to_owned(),
            why: "for the demo's policy".to_owned(),
            title: title.to_owned(),
            ..UploadArtefactRequest::default()
        };
        upload::send_bytes(connection, bytes.into(), head).await.map(|kept| kept.name)
    };
    let document = PolicyDocument {
        name: "demo".to_owned(),
        model: Some(upload(ArtefactKind::Model, "demo.mrm", model.to_bytes()).await?),
        rules: Some(upload(ArtefactKind::Rules, "rules.toml", RULES.into()).await?),
        thresholds: THRESHOLDS,
        // However busy the machine is, every run decides the same.
        budget: BudgetDocument { request_ms: 0, then: Fallback::Approve },
        ..PolicyDocument::default()
    };
    let name = upload(ArtefactKind::Policy, "policy.toml", document.to_toml().into()).await?;
    let why = "trained on what was reported so far".to_owned();
    let request = SetPolicyRequest { name, actor: ACTOR.to_owned(), why, ..Default::default() };
    let response = connection.risk().set_policy(request).await;
    let response = response.map_err(|status| connection.explain(&status))?;
    Ok(response.into_inner().policy.ok_or("the server did not say which policy is in force")?)
}
