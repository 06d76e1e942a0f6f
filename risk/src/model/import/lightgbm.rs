//! What LightGBM's two formats have in common.

use super::{ImportError, Imported};
use crate::model::{Kind, Link, Missing, Node, Side, Tree};

pub(super) fn malformed(reason: impl Into<String>) -> ImportError {
    ImportError::Malformed { library: "LightGBM", reason: reason.into() }
}

pub(super) fn unsupported(what: impl Into<String>, advice: &'static str) -> ImportError {
    ImportError::Unsupported { library: "LightGBM", what: what.into(), advice }
}

/// What the head of either says.
pub(super) struct Head<'a> {
    pub(super) version: &'a str,
    pub(super) objective: &'a str,
    pub(super) class_count: usize,
    pub(super) trees_per_iteration: usize,
    pub(super) averages: bool,
    pub(super) features: Vec<String>,
}

pub(super) fn no_categories() -> ImportError {
    unsupported("a categorical split", "train on numbers, such as the share of fraud per category")
}

pub(super) fn no_linear_leaves() -> ImportError {
    unsupported("linear models in its leaves", "train it with linear_tree=false")
}

/// Missing values by name, as in JSON.
pub(super) fn missing(missing_type: &str, default_left: bool) -> Option<Missing> {
    let side = if default_left { Side::Left } else { Side::Right };
    match missing_type {
        "None" => Some(Missing::NanIsZero),
        "Zero" => Some(Missing::ZeroGoes(side)),
        "NaN" => Some(Missing::NanGoes(side)),
        _ => None,
    }
}

impl Head<'_> {
    pub(super) fn with(self, mut trees: Vec<Tree>) -> Result<Imported, ImportError> {
        if self.class_count != 1 || self.trees_per_iteration != 1 {
            let what = format!("{} classes", self.class_count.max(self.trees_per_iteration));
            return Err(unsupported(what, "train it with objective=binary"));
        }
        let mut words = self.objective.split(' ');
        let slope = match words.next() {
            Some("binary") => {
                let slope = words.find_map(|word| word.strip_prefix("sigmoid:"));
                let slope = slope.map_or(Ok(1.0), str::parse);
                slope.map_err(|_| malformed("the slope of its sigmoid is no number"))?
            }
            Some("cross_entropy") => 1.0,
            _ => {
                let what = format!("the objective {:?}", self.objective);
                return Err(unsupported(what, "train it with objective=binary"));
            }
        };
        let kind = if self.averages { Kind::Forest } else { Kind::Boosting };
        if self.averages {
            let count = trees.len() as f32;
            for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
                if let Node::Leaf { value, .. } = node {
                    *value /= count;
                }
            }
        }
        Ok(Imported {
            trainer: format!("LightGBM {}", self.version),
            kind,
            features: self.features,
            trees,
            base: 0.0,
            link: Link::Sigmoid { slope },
        })
    }
}
