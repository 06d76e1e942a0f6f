//! The library: consumes names of policies on the shelf, produces compiled ones.
//!
//! Guarantees that a policy that was compiled once is not compiled again while it is needed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    compiled::{Compiled, as_text, vocabulary},
    document::PolicyDocument,
};
use crate::{features::Catalogue, model::Model, rules::Vocabulary, shelf::Shelf};

/// Compiles policies, and keeps the ones that were compiled. Shared with whoever checks a policy
/// before it is promoted, so that the engine finds it ready.
#[derive(Clone, Debug)]
pub struct Library {
    shelf: Shelf,
    catalogue: Arc<Catalogue>,
    compiled: Arc<Mutex<HashMap<String, Arc<Compiled>>>>,
    /// Of policies whose decisions were explained.
    explained: Arc<Mutex<HashMap<String, Arc<Catalogue>>>>,
}

/// Policies that are kept compiled.
const KEPT_MAX: usize = 8;

impl Library {
    /// Policies over this shelf, for rows of this catalogue.
    #[must_use]
    pub fn new(shelf: Shelf, catalogue: Arc<Catalogue>) -> Self {
        Self { shelf, catalogue, compiled: Arc::default(), explained: Arc::default() }
    }

    /// The shelf.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The names that rules may use.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary {
        vocabulary(&self.catalogue)
    }

    /// The policy of this name, compiled now unless it was before.
    ///
    /// # Errors
    /// What is wrong with it: one sentence per line.
    pub fn compile(&self, name: &str) -> Result<Arc<Compiled>, String> {
        let name = name.to_ascii_lowercase();
        // Whoever panicked with the lock left a whole map.
        let kept = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = kept().get(&name) {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(self.compile_anew(&name)?);
        let mut kept = kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(name, compiled.clone());
        Ok(compiled)
    }

    fn compile_anew(&self, name: &str) -> Result<Compiled, String> {
        let text = self.text(name, "policy")?;
        let document = PolicyDocument::parse(&text).map_err(|it| format!("policy {name}: {it}"))?;
        let artefact = |name: &str| self.shelf.get(name).map_err(|error| error.to_string());
        Compiled::of(name, document, &self.catalogue, &artefact)
    }

    fn text(&self, name: &str, what: &str) -> Result<String, String> {
        let bytes = self.shelf.get(name).map_err(|error| format!("{what}: {error}"))?;
        as_text(bytes, name, what)
    }

    /// The features that reasons of this policy are numbered by: those of its model, in the model's
    /// order, as they were when it was trained. So a number in the journal keeps its name, whatever
    /// becomes of the catalogue that is running. `None` where the policy has no model, or is not
    /// whole on the shelf any more.
    #[must_use]
    pub fn catalogue_of(&self, policy: &str) -> Option<Arc<Catalogue>> {
        let policy = policy.to_ascii_lowercase();
        // Whoever panicked with the lock left a whole map.
        let kept = || self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(catalogue) = kept().get(&policy) {
            return Some(catalogue.clone());
        }
        let document = PolicyDocument::parse(&self.text(&policy, "policy").ok()?).ok()?;
        let model = Model::from_bytes(&self.shelf.get(&document.model?).ok()?).ok()?;
        let own = model.own_catalogue().ok()?;
        let catalogue = own.as_ref().unwrap_or(&self.catalogue).selected(model.features())?;
        let catalogue = Arc::new(catalogue);
        let mut kept = kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(policy, catalogue.clone());
        Some(catalogue)
    }
}
