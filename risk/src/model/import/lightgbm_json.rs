//! LightGBM's JSON format, that of `dump_model`: each tree is nested as it branches.

use serde::Deserialize;

use super::{
    ImportError, Imported,
    lightgbm::{Head, malformed, missing, no_categories, no_linear_leaves, unsupported},
};
use crate::model::{Node, Tree, threshold};

#[derive(Deserialize)]
struct File {
    version: String,
    objective: Option<String>,
    num_class: usize,
    num_tree_per_iteration: usize,
    #[serde(default)]
    average_output: bool,
    feature_names: Vec<String>,
    tree_info: Vec<TreeInfo>,
}

#[derive(Deserialize)]
struct TreeInfo {
    tree_structure: Branch,
}

/// A split or a leaf.
#[derive(Deserialize)]
struct Branch {
    split_feature: Option<usize>,
    threshold: Option<serde_json::Value>,
    decision_type: Option<String>,
    default_left: Option<bool>,
    missing_type: Option<String>,
    left_child: Option<Box<Branch>>,
    right_child: Option<Box<Branch>>,
    leaf_value: Option<f64>,
    leaf_count: Option<f32>,
    leaf_coeff: Option<Vec<f64>>,
}

pub(super) fn read(text: &str) -> Result<Imported, ImportError> {
    let file: File = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let mut trees = Vec::new();
    for (number, tree) in file.tree_info.iter().enumerate() {
        let mut nodes = Vec::new();
        add(&tree.tree_structure, &mut nodes).map_err(|error| {
            error.unwrap_or_else(|| malformed(format!("tree {number} lacks a field")))
        })?;
        trees.push(Tree { nodes });
    }
    let objective = file.objective.as_deref();
    let head = Head {
        version: &file.version,
        objective: objective.ok_or_else(|| {
            unsupported("an objective of its own", "train it with objective=binary")
        })?,
        class_count: file.num_class,
        trees_per_iteration: file.num_tree_per_iteration,
        averages: file.average_output,
        features: file.feature_names,
    };
    head.with(trees)
}

/// Appends a branch and what is below it. No error by name means that a field is missing. The JSON
/// reader lets nothing nest deeper than 128 times.
fn add(branch: &Branch, nodes: &mut Vec<Node>) -> Result<usize, Option<ImportError>> {
    let at = nodes.len();
    if branch.leaf_coeff.is_some() {
        return Err(Some(no_linear_leaves()));
    }
    let Some(feature) = branch.split_feature else {
        let value = branch.leaf_value.ok_or(None)? as f32;
        nodes.push(Node::Leaf { value, cover: branch.leaf_count.unwrap_or(1.0) });
        return Ok(at);
    };
    if branch.decision_type.as_deref() != Some("<=") {
        return Err(Some(no_categories()));
    }
    let wide = branch.threshold.as_ref().and_then(serde_json::Value::as_f64).ok_or(None)?;
    let missing_type = branch.missing_type.as_deref().ok_or(None)?;
    let missing = missing(missing_type, branch.default_left.ok_or(None)?);
    let missing =
        missing.ok_or(Some(malformed(format!("missing type {missing_type:?} is not known"))))?;
    nodes.push(Node::Leaf { value: 0.0, cover: 0.0 });
    let left = add(branch.left_child.as_deref().ok_or(None)?, nodes)?;
    let right = add(branch.right_child.as_deref().ok_or(None)?, nodes)?;
    nodes[at] = Node::Split { feature, threshold: threshold(wide), missing, left, right };
    Ok(at)
}
