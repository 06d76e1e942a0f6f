//! Features on demand: consumes the names that each policy in force needs, keeps these features and no
//! others.
//!
//! What is demanded together is a layer, with profiles of its own: it begins empty, at the demand. A
//! layer is forgotten when neither the newest demand nor the one before it needs any of it, so that
//! who goes back to the policy before loses no count.

use std::ops::Range;

use super::{Kind, Plan, Profiles, kinds_of};
use crate::features::Catalogue;

/// What is kept on demand.
#[derive(Clone, Debug, Default)]
pub(super) struct OnDemand {
    /// Columns of the features that the newest demand named, and the one before it.
    pub(super) newest: Vec<u16>,
    pub(super) before: Vec<u16>,
    /// In the order of their demands.
    pub(super) layers: Vec<Layer>,
    /// Columns of features that are not kept.
    missing: Vec<Range<usize>>,
}

/// What is kept for features that were demanded together.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) columns: Vec<u16>,
    pub(super) kinds: Vec<Kind>,
    /// Not needed any more; a snapshot that is under way still has to hand it out.
    pub(super) is_over: bool,
}

impl OnDemand {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        let mut on_demand = Self::default();
        on_demand.missing = on_demand.missing_of(catalogue);
        on_demand
    }

    /// What is observed.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.layers.iter().filter(|layer| !layer.is_over).flat_map(|layer| &layer.kinds)
    }

    pub(super) fn kinds_mut(&mut self) -> impl Iterator<Item = &mut Kind> {
        self.layers.iter_mut().filter(|layer| !layer.is_over).flat_map(|layer| &mut layer.kinds)
    }

    /// Columns that have nothing in them.
    pub(super) fn missing(&self) -> &[Range<usize>] {
        &self.missing
    }

    fn keeps(&self, column: u16) -> bool {
        self.layers.iter().any(|layer| !layer.is_over && layer.columns.contains(&column))
    }

    fn missing_of(&self, catalogue: &Catalogue) -> Vec<Range<usize>> {
        let mut missing: Vec<Range<usize>> = Vec::new();
        for (column, feature) in catalogue.features().iter().enumerate() {
            match missing.last_mut() {
                _ if !feature.on_demand || self.keeps(column as u16) => {}
                Some(last) if last.end == column => last.end += 1,
                _ => missing.push(column..column + 1),
            }
        }
        missing
    }
}

impl Profiles {
    /// From here on, of the features on demand these are kept, and those that were demanded the time
    /// before; the others are missing. What was not kept until now begins with the next payment. Names
    /// of other features don't matter.
    pub fn demand<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) {
        let names = self.catalogue.on_demand(names);
        let newest: Vec<_> = names.iter().filter_map(|name| self.column(name)).collect();
        let on_demand = &mut self.on_demand;
        on_demand.before = std::mem::replace(&mut on_demand.newest, newest);
        let OnDemand { newest, before, layers, .. } = on_demand;
        for layer in layers {
            let is_needed = |column: &u16| newest.contains(column) || before.contains(column);
            layer.is_over |= !layer.columns.iter().any(is_needed);
        }
        let newest = self.on_demand.newest.iter().copied();
        let new: Vec<_> = newest.filter(|column| !self.on_demand.keeps(*column)).collect();
        if !new.is_empty() {
            self.add_layer(new);
        }
        if !self.snapshot.is_under_way() {
            self.forget_layers();
        }
        self.read_kept();
    }

    /// The features on demand that are kept, in the order of the catalogue.
    #[must_use]
    pub fn demanded(&self) -> Vec<&str> {
        let features = self.catalogue.features().iter().enumerate();
        let kept = features.filter(|(column, _)| self.on_demand.keeps(*column as u16));
        kept.map(|(_, feature)| feature.name.as_str()).collect()
    }

    pub(super) fn column(&self, name: &str) -> Option<u16> {
        let on_demand = |column: &usize| self.catalogue.features()[*column].on_demand;
        self.catalogue.index_of(name).filter(on_demand).map(|column| column as u16)
    }

    /// Kinds of which nothing is kept are left out.
    pub(super) fn add_layer(&mut self, columns: Vec<u16>) {
        let is_kept = |column: usize| columns.contains(&(column as u16));
        let (_, mut kinds) = kinds_of(&self.catalogue, self.limits, is_kept);
        kinds.retain(|kind| !kind.is_idle());
        self.on_demand.layers.push(Layer { columns, kinds, is_over: false });
    }

    pub(super) fn forget_layers(&mut self) {
        self.on_demand.layers.retain(|layer| !layer.is_over);
    }

    /// Has rows made of what is kept.
    pub(super) fn read_kept(&mut self) {
        let features = self.catalogue.features();
        self.on_demand.missing = self.on_demand.missing_of(&self.catalogue);
        let keeps =
            |column: usize| !features[column].on_demand || self.on_demand.keeps(column as u16);
        self.plan.row = Plan::row_reads(features, keeps);
    }
}
