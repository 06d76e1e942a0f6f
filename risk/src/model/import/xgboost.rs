//! XGBoost's JSON format, that of `save_model("model.json")`: each tree is a set of arrays.

use serde::Deserialize;

use super::{ImportError, Imported};
use crate::model::{Kind, Link, Missing, Node, Side, Tree};

#[derive(Deserialize)]
struct File {
    learner: Learner,
    #[serde(default)]
    version: Vec<u32>,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: Params,
    objective: Objective,
}

/// Of dart, the trees are one level further down.
#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<Trees>,
    gbtree: Option<Box<Booster>>,
    weight_drop: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct Trees {
    trees: Vec<Arrays>,
}

/// Numbers in quotes, as XGBoost writes them.
#[derive(Deserialize)]
struct Params {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Arrays {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    sum_hessian: Vec<f32>,
    #[serde(default)]
    split_type: Vec<u32>,
    tree_param: TreeParams,
}

#[derive(Deserialize)]
struct TreeParams {
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// 0 and 1 in newer files, false and true in older ones.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u32),
}

fn malformed(reason: impl Into<String>) -> ImportError {
    ImportError::Malformed { library: "XGBoost", reason: reason.into() }
}

fn unsupported(what: impl Into<String>, advice: &'static str) -> ImportError {
    ImportError::Unsupported { library: "XGBoost", what: what.into(), advice }
}

pub(super) fn read(text: &str) -> Result<Imported, ImportError> {
    let file: File = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let Learner { feature_names, gradient_booster, learner_model_param: params, objective } =
        file.learner;
    let many = |number: &Option<String>| number.as_deref().is_some_and(|n| n != "0" && n != "1");
    if many(&Some(params.num_class.clone())) || many(&params.num_target) {
        return Err(unsupported("several classes", "train it with objective binary:logistic"));
    }
    if !["binary:logistic", "reg:logistic"].contains(&objective.name.as_str()) {
        let what = format!("the objective {:?}", objective.name);
        return Err(unsupported(what, "train it with objective binary:logistic"));
    }
    let features = match params.num_feature.parse::<usize>() {
        Ok(count) if feature_names.is_empty() => {
            (0..count.min(1 << 20)).map(|n| format!("f{n}")).collect()
        }
        Ok(count) if feature_names.len() == count => feature_names,
        _ => return Err(malformed("it has other than num_feature feature names")),
    };
    let version: Vec<_> = file.version.iter().map(u32::to_string).collect();
    Ok(Imported {
        trainer: format!("XGBoost {}", version.join(".")).trim_end().to_owned(),
        kind: Kind::Boosting,
        features,
        trees: trees(gradient_booster)?,
        base: base(&params.base_score)?,
        link: Link::Sigmoid { slope: 1.0 },
    })
}

/// The base score is a probability, since release 3.1 in brackets.
fn base(text: &str) -> Result<f64, ImportError> {
    let number = text.trim_matches(['[', ']']).parse::<f64>().ok();
    let probability = number.filter(|p| *p > 0.0 && *p < 1.0);
    let p = probability.ok_or_else(|| malformed(format!("its base score {text:?} is none")))?;
    Ok((p / (1.0 - p)).ln())
}

fn trees(booster: Booster) -> Result<Vec<Tree>, ImportError> {
    let (booster, weights) = match booster {
        Booster { name, gbtree: Some(gbtree), weight_drop: Some(weights), .. }
            if name == "dart" =>
        {
            (*gbtree, Some(weights))
        }
        booster => (booster, None),
    };
    let Booster { name, model, .. } = booster;
    if name != "gbtree" {
        return Err(unsupported(format!("the booster {name:?}"), "train it with booster gbtree"));
    }
    let arrays = model.ok_or(malformed("it has no trees"))?.trees;
    let weights = weights.unwrap_or_else(|| vec![1.0; arrays.len()]);
    if weights.len() != arrays.len() {
        return Err(malformed("it has other than one weight per tree"));
    }
    let numbered = arrays.iter().zip(weights).enumerate();
    numbered.map(|(number, (arrays, weight))| tree(number, arrays, weight)).collect()
}

/// Nodes that were pruned stay in the arrays: only what the root leads to is taken.
fn tree(number: usize, arrays: &Arrays, weight: f32) -> Result<Tree, ImportError> {
    if arrays.split_type.iter().any(|split| *split != 0) {
        let advice = "train on numbers, such as the share of fraud per category";
        return Err(unsupported("a categorical split", advice));
    }
    if arrays.tree_param.size_leaf_vector.as_deref().is_some_and(|size| size != "0" && size != "1")
    {
        return Err(unsupported("several values per leaf", "train it with one target"));
    }
    let cut = || malformed(format!("tree {number} has nodes that are not all there"));
    let mut nodes = Vec::new();
    let mut queue = vec![0_usize];
    while let Some(&at) = queue.get(nodes.len()) {
        let entry = (|| {
            let children = (*arrays.left_children.get(at)?, *arrays.right_children.get(at)?);
            Some((children, *arrays.split_conditions.get(at)?, *arrays.sum_hessian.get(at)?))
        })();
        let ((left, right), condition, cover) = entry.ok_or_else(cut)?;
        nodes.push(if left < 0 {
            Node::Leaf { value: condition * weight, cover }
        } else {
            let place = queue.len();
            queue.extend([left as usize, usize::try_from(right).map_err(|_| cut())?]);
            if queue.len() > arrays.left_children.len() {
                return Err(malformed(format!("tree {number} leads to a node twice")));
            }
            let left_is_default = match arrays.default_left.get(at).copied().ok_or_else(cut)? {
                Flag::Bool(left) => left,
                Flag::Number(number) => number != 0,
            };
            let side = if left_is_default { Side::Left } else { Side::Right };
            Node::Split {
                feature: *arrays.split_indices.get(at).ok_or_else(cut)?,
                // Left is below the condition: at most the float before it.
                threshold: condition.next_down(),
                missing: Missing::NanGoes(side),
                left: place,
                right: place + 1,
            }
        });
    }
    Ok(Tree { nodes })
}
