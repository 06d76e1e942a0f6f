//! `millrace risk promote`: consumes a model, rules, lists or thresholds, and the document of the
//! policy in force; produces the same policy with what is new, in force.
//!
//! Guarantees that whoever promoted something else meanwhile is not overwritten, and that what can't
//! be used leaves the policy in force as it is.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use millrace_client::Connection;
use millrace_protos::v1::{self, ArtefactKind};
use millrace_risk::{
    model::{Model, ModelError, import::import},
    policy::{ListDocument, PolicyDocument, Thresholds},
};
use millrace_risk_lab::model_file::looks_imported;
use prost::bytes::Bytes;

use super::{
    lists::{in_force::download, now},
    output, policy,
    promote_doubts::doubts,
    promote_report::Promotion,
    promote_shown::{Shown, changes},
    rule_source::{ListArg, ListArgs, kind_name, read_list},
    server::{ServerArgs, SignatureArgs},
    upload,
};
use crate::{Failure, commands::say};

/// Put a model or rules in force, in the policy that is; or go back to the one before
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace risk promote --model march.mrm --why 'trained on March, AP 0.74 in the backtest'
  millrace risk promote --rules rules.toml --review-at 0.08 --decline-at 0.6 --why 'March tuning'
  millrace risk promote --list stolen:block=cards.csv --why 'reported today'
  millrace risk promote --challenger april.mrm --why 'in shadow for a week' --dry-run
  millrace risk promote --rollback --why 'too many reviews'

What is not named stays as it is in the policy in force. A list replaces the one of its name, or is
added; texts that it may list stay as they are. The new one is compiled with all that it names
before it is taken; one that can't be used changes nothing. Models of LightGBM and XGBoost are
imported. With --dry-run, files are uploaded and checked, and the policy in force stays.")]
pub(crate) struct Args {
    /// The model whose score decides
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A model that is scored as well, and never acted on
    #[arg(long, value_name = "FILE")]
    challenger: Option<PathBuf>,
    /// The rules
    #[arg(long, value_name = "TOML")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    lists: ListArgs,
    /// Send payments to review from this score on, where no segment says otherwise
    #[arg(long, value_name = "SCORE")]
    review_at: Option<f32>,
    /// Challenge payments from this score on
    #[arg(long, value_name = "SCORE")]
    challenge_at: Option<f32>,
    /// Decline payments from this score on
    #[arg(long, value_name = "SCORE")]
    decline_at: Option<f32>,
    /// What people call the policy
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Leave out the challenger
    #[arg(long, conflicts_with = "challenger")]
    no_challenger: bool,
    /// Go back to the policy that was in force before
    #[arg(long, conflicts_with_all = [
        "model", "challenger", "no_challenger", "rules", "lists", "review_at", "challenge_at", "decline_at",
        "name", "dry_run",
    ])]
    rollback: bool,
    /// Check, and tell what would change
    #[arg(long)]
    dry_run: bool,
    /// Write a report on what is in force before and after
    #[arg(long, value_name = "HTML", conflicts_with = "rollback")]
    report: Option<PathBuf>,
    #[command(flatten)]
    signature: SignatureArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// The policy in force.
#[derive(Default)]
pub(super) struct InForce {
    pub(super) number: u32,
    /// Empty where there is none.
    pub(super) name: String,
    document: PolicyDocument,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let connection = args.server.connect().await?;
    if args.rollback {
        let name = policy::earlier(&connection, None).await?;
        return policy::set(&connection, name, &args.signature, args.server.json).await;
    }
    if args.changes_nothing() {
        let options = "--model, --challenger, --rules, --list, --review-at, --challenge-at, --decline-at, \
                       --name or --rollback";
        return Err(format!("nothing is to be promoted: name it with {options}").into());
    }
    // What can't be read is told before anything is uploaded.
    let files = Files::read(&args)?;
    let before = in_force(&connection).await?;
    let document =
        args.promoted(&before.document, files.upload(&connection, &args.signature).await?);
    let text = document.to_toml();
    PolicyDocument::parse(&text).map_err(|error| refused(&error))?;
    let changes = changes(&before.document, &document);
    let title = "promoted.toml";
    let name = put(&connection, ArtefactKind::Policy, title, text.into(), &args.signature).await?;
    let request = v1::SetPolicyRequest {
        name: name.clone(),
        actor: args.signature.actor()?,
        why: args.signature.why.clone(),
        replaces: Some(before.name.clone()),
        check_only: args.dry_run,
    };
    let response = connection.risk().set_policy(request).await;
    let done = response.map_err(|status| connection.explain(&status))?.into_inner();
    let number = match args.dry_run {
        true => before.number + u32::from(before.name != name),
        false => done.policy.map_or(0, |policy| policy.number),
    };
    let rules = match &document.rules {
        None => None,
        Some(rules) => String::from_utf8(download(&connection, rules).await?).ok(),
    };
    let lists = args.lists.iter().map(|it| read_list(&it.name, it.kind, &it.path));
    let lists = lists.collect::<Result<Vec<_>, _>>()?;
    let warnings = doubts(&document, rules.as_deref(), &lists, now());
    warnings.iter().for_each(|warning| crate::commands::tell!("warning: {warning}"));
    let shown =
        Shown { before: &before, name: &name, number, changes: &changes, warnings: &warnings };
    match args.server.json {
        true => shown.print_json(args.dry_run, done.replayed),
        false => shown.print(args.dry_run, done.replayed),
    }
    if let Some(path) = &args.report {
        let promotion = Promotion {
            connection: &connection,
            before: (before.number > 0).then_some((before.number, &before.document)),
            after: (number, &document),
            changes: &changes,
            dry_run: args.dry_run,
            why: &args.signature.why,
        };
        let report = promotion.report().await?;
        output::warned(Some(path), &warnings, || report)?;
    }
    if !document.acts_on_scores() && document.model.is_some() && !args.server.json {
        say!(
            "The model decides nothing yet: name thresholds with --review-at, --challenge-at or \
             --decline-at."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be uploaded: its bytes and its name for people.
struct Files {
    model: Option<(Bytes, String)>,
    challenger: Option<(Bytes, String)>,
    rules: Option<(Bytes, String)>,
    lists: Vec<(ListArg, Bytes)>,
}

/// What was uploaded: names on the shelf.
struct Uploaded {
    model: Option<String>,
    challenger: Option<String>,
    rules: Option<String>,
    /// Each with its name on the shelf.
    lists: Vec<(ListArg, String)>,
}

impl Files {
    fn read(args: &Args) -> Result<Self, Failure> {
        let model = |path: &Option<PathBuf>| path.as_deref().map(read_model).transpose();
        let rules =
            args.rules.as_deref().map(|path| Ok::<_, Failure>((upload::read(path)?, title(path))));
        Ok(Self {
            model: model(&args.model)?,
            challenger: model(&args.challenger)?,
            rules: rules.transpose()?,
            lists: args.lists.iter().map(read_list_file).collect::<Result<_, _>>()?,
        })
    }

    async fn upload(
        self,
        connection: &Connection,
        signature: &SignatureArgs,
    ) -> Result<Uploaded, Failure> {
        let put = async |kind, file: Option<(Bytes, String)>| match file {
            None => Ok::<_, Failure>(None),
            Some((bytes, title)) => put(connection, kind, &title, bytes, signature).await.map(Some),
        };
        let mut lists = Vec::new();
        for (list, bytes) in self.lists {
            let title = title(&list.path);
            lists.push((list, put(ArtefactKind::List, Some((bytes, title))).await?));
        }
        let named = |(list, name): (ListArg, Option<String>)| name.map(|name| (list, name));
        Ok(Uploaded {
            model: put(ArtefactKind::Model, self.model).await?,
            challenger: put(ArtefactKind::Model, self.challenger).await?,
            rules: put(ArtefactKind::Rules, self.rules).await?,
            lists: lists.into_iter().filter_map(named).collect(),
        })
    }
}

fn title(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The bytes of a list whose file has no mistakes.
pub(super) fn read_list_file(list: &ListArg) -> Result<(ListArg, Bytes), Failure> {
    read_list(&list.name, list.kind, &list.path)?;
    Ok((list.clone(), upload::read(&list.path)?))
}

/// The bytes of a model; one of another library in our format.
pub(super) fn read_model(path: &Path) -> Result<(Bytes, String), Failure> {
    let shown = path.display();
    let bytes = upload::read(path)?;
    let imported = match Model::from_bytes(&bytes) {
        Ok(_) => None,
        Err(ModelError::Foreign) if looks_imported(&bytes) => {
            let model = import(&bytes, &shown.to_string());
            let model = model.map_err(|error| format!("{shown}: {error}"))?;
            Some(Bytes::from(model.to_bytes()))
        }
        Err(error) => return Err(format!("{shown}: {error}").into()),
    };
    Ok((imported.unwrap_or(bytes), title(path)))
}

async fn put(
    connection: &Connection,
    kind: ArtefactKind,
    title: &str,
    bytes: Bytes,
    signature: &SignatureArgs,
) -> Result<String, Failure> {
    let head = v1::UploadArtefactRequest {
        kind: kind as i32,
        actor: signature.actor()?,
        why: signature.why.clone(),
        title: title.to_owned(),
        ..v1::UploadArtefactRequest::default()
    };
    Ok(upload::send_told(connection, bytes, head).await?.name)
}

/// The policy in force; an empty one where none was set.
async fn in_force(connection: &Connection) -> Result<InForce, Failure> {
    if policy::page(connection, 1, String::new()).await?.policies.is_empty() {
        return Ok(InForce::default());
    }
    let found = connection.risk().get_policy(v1::GetPolicyRequest {}).await;
    let found = found.map_err(|status| connection.explain(&status))?.into_inner();
    let policy = found.policy.ok_or("the server did not say which policy is in force")?;
    let document = PolicyDocument::parse(&found.document).map_err(|error| {
        format!(
            "the policy in force was written by another release and can't be read here: {error}. Set \
             a policy as a whole: millrace risk policy set"
        )
    })?;
    Ok(InForce { number: policy.number, name: policy.name, document })
}

fn refused(error: &str) -> Failure {
    format!("that would be no policy, and the one in force stays: {error}").into()
}

impl Args {
    fn changes_nothing(&self) -> bool {
        let files = [&self.model, &self.challenger, &self.rules];
        let scores = [self.review_at, self.challenge_at, self.decline_at];
        files.iter().all(|it| it.is_none())
            && scores.iter().all(Option::is_none)
            && self.lists.iter().next().is_none()
            && self.name.is_none()
            && !self.no_challenger
    }

    /// The document with what is new.
    fn promoted(&self, before: &PolicyDocument, new: Uploaded) -> PolicyDocument {
        let mut lists = before.lists.clone();
        for (ListArg { name, kind, .. }, artefact) in new.lists {
            let kind = kind_name(kind).to_owned();
            match lists.iter_mut().find(|list| list.name == name) {
                // What may be looked up in it stays.
                Some(list) => (list.kind, list.artefact) = (kind, artefact),
                None => lists.push(ListDocument { name, kind, of: Vec::new(), artefact }),
            }
        }
        let Thresholds { review, challenge, decline } = before.thresholds;
        PolicyDocument {
            name: self.name.clone().unwrap_or_else(|| before.name.clone()),
            model: new.model.or_else(|| before.model.clone()),
            challenger: match self.no_challenger {
                true => None,
                false => new.challenger.or_else(|| before.challenger.clone()),
            },
            rules: new.rules.or_else(|| before.rules.clone()),
            lists,
            thresholds: Thresholds {
                review: self.review_at.or(review),
                challenge: self.challenge_at.or(challenge),
                decline: self.decline_at.or(decline),
            },
            ..before.clone()
        }
    }
}
