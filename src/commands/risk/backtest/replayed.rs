//! The policy that is replayed: consumes a policy's document and files that replace parts of it,
//! produces the policy as a server would have it, compiled by the same code.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use millrace_risk::{
    policy::{Compiled, ListDocument, PolicyDocument, Thresholds},
    rules::RuleSet,
    shelf::{Shelf, name_of},
};
use millrace_risk_lab::{data::LabelDelay, model_file::ModelFile, train::scores_are_ranks};
use serde_json::{Value, json};

use super::{Args, REVIEW_AT, REVIEW_RANK_AT};
use crate::{
    Failure,
    commands::risk::{
        catalogue, policy_named,
        promote::{read_list_file, read_model},
        rule_source::{self, ListArg, kind_name},
        tested::{hex, of_model},
        upload,
    },
};

/// A policy over payments of the past.
pub(super) struct Replayed {
    pub(super) policy: Compiled,
    pub(super) catalogue: millrace_risk::features::Catalogue,
    pub(super) label_delay: Option<LabelDelay>,
    /// The document and the model, for scripts.
    pub(super) settings: Value,
    /// Whether a document was named: segments and the fallback are told.
    pub(super) is_document: bool,
}

/// Bytes by their BLAKE3: files that were named, then the shelf.
struct Artefacts {
    named: HashMap<String, Arc<[u8]>>,
    shelf: Option<PathBuf>,
}

impl Artefacts {
    fn put(&mut self, bytes: &[u8]) -> String {
        let name = name_of(bytes);
        self.named.insert(name.clone(), bytes.into());
        name
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, String> {
        let name = name.to_ascii_lowercase();
        if let Some(bytes) = self.named.get(&name) {
            return Ok(bytes.to_vec());
        }
        let Some(directory) = &self.shelf else {
            return Err(format!(
                "{name} is named by its BLAKE3, and nothing tells where it is. Name the data directory \
                 of the server, or a folder with the files, with --shelf; or name the file itself \
                 with --model, --rules or --list"
            ));
        };
        let kept = directory.join("shelf");
        if kept.is_dir() {
            return Shelf::new(&kept).get(&name).map_err(|error| error.to_string());
        }
        in_folder(directory, &name)
    }
}

/// The file of this BLAKE3 in a folder, whatever it is called.
fn in_folder(directory: &Path, name: &str) -> Result<Vec<u8>, String> {
    let shown = directory.display();
    let unreadable = |error| format!("the folder {shown} can't be read: {error}; check --shelf");
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path)
            .map_err(|error| format!("{} can't be read: {error}", path.display()))?;
        if name_of(&bytes) == name {
            return Ok(bytes);
        }
    }
    Err(format!("no file in {shown} has the BLAKE3 {name}; copy it there, or check --shelf"))
}

impl Replayed {
    pub(super) fn load(args: &Args) -> Result<Self, Failure> {
        let shelf = args.shelf.clone().or_else(|| args.source.journal().map(Path::to_owned));
        let mut artefacts = Artefacts { named: HashMap::new(), shelf };
        let mut document = match &args.policy {
            None => PolicyDocument::default(),
            Some(policy) => document(policy, &artefacts)?,
        };
        // A challenger is never acted on, so it has no part in what would have been.
        document.challenger = None;
        if let Some(path) = &args.model {
            document.model = Some(artefacts.put(&read_model(path)?.0));
        }
        let model = args.model(&document, &artefacts)?;
        let catalogue = match &model {
            Some(file) => file.catalogue.clone(),
            None => catalogue::load(args.catalogue.as_deref().unwrap_or("standard"))?.0,
        };
        for list in args.lists.iter() {
            let (list, bytes) = read_list_file(list)?;
            replace(&mut document, &list, artefacts.put(&bytes));
        }
        if let Some(path) = &args.rules {
            document.rules = Some(artefacts.put(&upload::read(path)?));
        }
        args.put_thresholds(&mut document, model.as_ref())?;
        // Mistakes of rule files are told with their places there.
        let compiled = match (&args.policy, &args.rules) {
            (None, Some(path)) => {
                rule_source::load(path, &catalogue, &args.lists.load()?)?;
                compile(&document, &catalogue, &artefacts)?
            }
            _ => compile(&document, &catalogue, &artefacts)?,
        };
        let label_delay = model.as_ref().and_then(|file| file.label_delay);
        let settings = args.told(&compiled, model.as_ref());
        let is_document = args.policy.is_some();
        Ok(Self { policy: compiled, catalogue, label_delay, settings, is_document })
    }
}

fn compile(
    document: &PolicyDocument,
    catalogue: &millrace_risk::features::Catalogue,
    artefacts: &Artefacts,
) -> Result<Compiled, Failure> {
    let text = document.to_toml();
    let document = PolicyDocument::parse(&text).map_err(|error| refused(&error))?;
    let name = name_of(text.as_bytes());
    let compiled = Compiled::of(&name, document, catalogue, &|name| artefacts.get(name));
    compiled.map_err(|error| refused(&error))
}

fn refused(error: &str) -> Failure {
    format!("the policy can't be replayed: {error}").into()
}

/// The document in a file, or the one on the shelf by its number, its name or its BLAKE3.
fn document(policy: &str, artefacts: &Artefacts) -> Result<PolicyDocument, Failure> {
    let data_dir = artefacts.shelf.as_deref().filter(|it| it.join("shelf").is_dir());
    let name = match data_dir {
        _ if Path::new(policy).is_file() => None,
        Some(data_dir) => Some(policy_named::find(policy, data_dir)?),
        None => policy_named::is_whole(policy).then(|| policy.to_owned()),
    };
    let text = match name {
        Some(name) => String::from_utf8(artefacts.get(&name)?)
            .map_err(|_| format!("{policy} is no policy: it is no text"))?,
        None => fs::read_to_string(policy).map_err(|error| {
            format!(
                "the policy {policy} can't be read: {error}; name a file, or with --journal or \
                 --shelf the number, the name or the BLAKE3 of a policy that was set"
            )
        })?,
    };
    Ok(PolicyDocument::parse(&text).map_err(|error| format!("policy {policy}: {error}"))?)
}

/// Puts a list in the place of the one of its name, or behind the others.
fn replace(document: &mut PolicyDocument, list: &ListArg, artefact: String) {
    let kind = kind_name(list.kind).to_owned();
    match document.lists.iter_mut().find(|it| it.name == list.name) {
        Some(it) => (it.kind, it.artefact) = (kind, artefact),
        None => {
            let (name, of) = (list.name.clone(), Vec::new());
            document.lists.push(ListDocument { name, kind, of, artefact });
        }
    }
}

impl Args {
    /// The document's model, with the catalogue that its rows are made by.
    fn model(
        &self,
        document: &PolicyDocument,
        artefacts: &Artefacts,
    ) -> Result<Option<ModelFile>, Failure> {
        let Some(name) = &document.model else { return Ok(None) };
        let named = self.catalogue.as_deref().map(catalogue::load).transpose()?;
        let named = named.map(|(catalogue, _)| catalogue);
        let file = match &self.model {
            Some(path) => ModelFile::load(path, named)?,
            None => ModelFile::read(name.clone(), &artefacts.get(name)?, named)?,
        };
        Ok(Some(file))
    }

    /// Thresholds that were named go before those of the document.
    fn put_thresholds(
        &self,
        document: &mut PolicyDocument,
        model: Option<&ModelFile>,
    ) -> Result<(), Failure> {
        let Self { review_at, challenge_at, decline_at, .. } = *self;
        for (name, at) in
            [("review", review_at), ("challenge", challenge_at), ("decline", decline_at)]
        {
            if let Some(at) = at
                && !(0.0..=1.0).contains(&at)
            {
                let what = "a score is a probability of 0 to 1";
                return Err(format!("--{name}-at {at}: {what}; take one in between").into());
            }
        }
        let own = &mut document.thresholds;
        own.review = review_at.or(own.review);
        own.challenge = challenge_at.or(own.challenge);
        own.decline = decline_at.or(own.decline);
        let is_bare = self.policy.is_none() && self.model.is_some();
        if is_bare && *own == Thresholds::default() {
            let ranks = model.is_some_and(|file| scores_are_ranks(&file.model));
            own.review = Some(if ranks { REVIEW_RANK_AT } else { REVIEW_AT });
        }
        Ok(())
    }

    fn told(&self, compiled: &Compiled, model: Option<&ModelFile>) -> Value {
        let document = &compiled.document;
        let Thresholds { review, challenge, decline } = document.thresholds;
        let thresholds =
            json!({ "review_at": review, "challenge_at": challenge, "decline_at": decline });
        let of_model = model.map(|file| match &self.model {
            Some(path) => of_model(path, file),
            None => of_model(Path::new(document.model.as_deref().unwrap_or_default()), file),
        });
        json!({
            "policy": self.policy,
            "document": self.policy.is_some().then_some(document),
            "thresholds": model.map(|_| thresholds),
            "model": of_model,
            "rules": self.rules,
            "rules_blake3": compiled.rules().map(RuleSet::digest).map(|it| hex(&it)),
        })
    }
}
