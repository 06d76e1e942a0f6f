//! smartcore's trees, read: consumes a trained forest or boosting, produces plain trees.
//!
//! smartcore keeps its nodes to itself and shows them through serde only.

use millrace_risk::model::{Missing, Node, Side, Tree, threshold};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::TrainError;

/// Missing values were shown to the trainer as below all others.
const MISSING: Missing = Missing::NanGoes(Side::Left);

#[derive(Deserialize)]
struct Boosted {
    regressors: Vec<BoostedNode>,
    parameters: BoostedParameters,
}

#[derive(Deserialize)]
struct BoostedParameters {
    learning_rate: f64,
    base_score: f64,
}

#[derive(Deserialize)]
struct BoostedNode {
    left: Option<Box<BoostedNode>>,
    right: Option<Box<BoostedNode>>,
    value: f64,
    threshold: f64,
    /// That of a leaf is the greatest whole number.
    split_feature_idx: usize,
}

#[derive(Deserialize)]
struct Forest {
    forest_regressor: Trees,
}

#[derive(Deserialize)]
struct Trees {
    trees: Vec<ForestTree>,
}

#[derive(Deserialize)]
struct ForestTree {
    nodes: Vec<ForestNode>,
}

#[derive(Deserialize)]
struct ForestNode {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

/// The trees of an `XGRegressor`, and what their sum starts from.
pub(super) fn boosted_trees(trained: &impl Serialize) -> Result<(Vec<Tree>, f64), TrainError> {
    let Boosted { regressors, parameters } = shown(trained)?;
    let tree = |root: &BoostedNode| {
        let mut nodes = Vec::new();
        add(root, parameters.learning_rate, &mut nodes);
        Tree { nodes }
    };
    Ok((regressors.iter().map(tree).collect(), parameters.base_score))
}

fn add(node: &BoostedNode, rate: f64, nodes: &mut Vec<Node>) -> usize {
    let at = nodes.len();
    nodes.push(Node::Leaf { value: (node.value * rate) as f32, cover: 0.0 });
    if let (Some(left), Some(right)) = (&node.left, &node.right) {
        let (left, right) = (add(left, rate, nodes), add(right, rate, nodes));
        let (feature, threshold) = (node.split_feature_idx, threshold(node.threshold));
        nodes[at] = Node::Split { feature, threshold, missing: MISSING, left, right };
    }
    at
}

/// The trees of a `RandomForestRegressor` that is one part of a mean of so many trees.
pub(super) fn forest_trees(
    trained: &impl Serialize,
    trees_in_all: usize,
) -> Result<Vec<Tree>, TrainError> {
    let forest: Forest = shown(trained)?;
    let node = |node: &ForestNode| match (node.split_value, node.true_child, node.false_child) {
        (Some(value), Some(left), Some(right)) => {
            let (feature, threshold) = (node.split_feature, threshold(value));
            Node::Split { feature, threshold, missing: MISSING, left, right }
        }
        _ => Node::Leaf { value: (node.output / trees_in_all as f64) as f32, cover: 0.0 },
    };
    let tree = |tree: &ForestTree| Tree { nodes: tree.nodes.iter().map(node).collect() };
    Ok(forest.forest_regressor.trees.iter().map(tree).collect())
}

fn shown<T: DeserializeOwned>(trained: &impl Serialize) -> Result<T, TrainError> {
    let value = serde_json::to_value(trained);
    let shown = value.and_then(serde_json::from_value);
    shown.map_err(|error| TrainError::Smartcore(format!("its trees have another form: {error}")))
}
