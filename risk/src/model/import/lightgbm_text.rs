//! LightGBM's text format, that of `save_model`: lines of `key=value`, a blank line between trees.

use std::{collections::BTreeMap, str::FromStr};

use super::{
    ImportError, Imported,
    lightgbm::{Head, malformed, missing, no_categories, no_linear_leaves},
};
use crate::model::{Node, Tree, threshold};

pub(super) fn read(text: &str) -> Result<Imported, ImportError> {
    let (trees, _) = text.split_once("end of trees").ok_or(malformed("its trees have no end"))?;
    let mut sections = trees.split("\nTree=");
    let head = Section::new("its head", sections.next().unwrap_or_default());
    let head = Head {
        version: head.get("version")?,
        objective: head.get("objective")?,
        class_count: head.number("num_class")?,
        trees_per_iteration: head.number("num_tree_per_iteration")?,
        averages: head.lines.contains_key("average_output"),
        features: head.get("feature_names")?.split(' ').map(str::to_owned).collect(),
    };
    let trees = sections.enumerate().map(|(number, lines)| {
        let name = format!("tree {number}");
        tree(&Section::new(&name, lines))
    });
    head.with(trees.collect::<Result<_, _>>()?)
}

struct Section<'a> {
    name: &'a str,
    lines: BTreeMap<&'a str, &'a str>,
}

impl<'a> Section<'a> {
    fn new(name: &'a str, lines: &'a str) -> Self {
        let lines = lines.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
        Self { name, lines: lines.collect() }
    }

    fn get(&self, key: &str) -> Result<&'a str, ImportError> {
        let value = self.lines.get(key).copied();
        value.ok_or_else(|| malformed(format!("{} lacks {key}", self.name)))
    }

    fn number(&self, key: &str) -> Result<usize, ImportError> {
        let number = self.get(key)?.parse();
        number.map_err(|_| malformed(format!("{key} of {} is no whole number", self.name)))
    }

    /// So many numbers, separated by blanks.
    fn list<T: FromStr>(&self, key: &str, len: usize) -> Result<Vec<T>, ImportError> {
        let words = self.get(key)?.split_ascii_whitespace();
        let list: Result<Vec<_>, _> = words.map(str::parse).collect();
        let list = list.ok().filter(|list| list.len() == len);
        list.ok_or_else(|| malformed(format!("{key} of {} has not {len} numbers", self.name)))
    }
}

/// Splits come first, leaves after them. A child below zero is a leaf, from -1 on.
fn tree(section: &Section<'_>) -> Result<Tree, ImportError> {
    let leaves = section.number("num_leaves")?;
    if section.number("num_cat")? != 0 {
        return Err(no_categories());
    }
    if section.lines.get("is_linear").is_some_and(|linear| *linear != "0") {
        return Err(no_linear_leaves());
    }
    let values: Vec<f64> = section.list("leaf_value", leaves)?;
    if leaves <= 1 {
        let values = values.iter().map(|value| Node::Leaf { value: *value as f32, cover: 1.0 });
        return Ok(Tree { nodes: values.collect() });
    }
    let splits = leaves - 1;
    let features: Vec<usize> = section.list("split_feature", splits)?;
    let thresholds: Vec<f64> = section.list("threshold", splits)?;
    let decisions: Vec<u32> = section.list("decision_type", splits)?;
    let lefts: Vec<i64> = section.list("left_child", splits)?;
    let rights: Vec<i64> = section.list("right_child", splits)?;
    let covers: Vec<f32> = section.list("leaf_count", leaves)?;
    let place = |child: i64| if child < 0 { splits + !child as usize } else { child as usize };
    let mut nodes = Vec::with_capacity(splits + leaves);
    for at in 0..splits {
        // Bit 0: categorical; bit 1: missing values go left; from bit 2 on: what is missing.
        let decision = decisions[at];
        let missing_type = ["None", "Zero", "NaN"].get((decision >> 2) as usize);
        let missing = missing_type.and_then(|name| missing(name, decision & 2 != 0));
        if decision & 1 != 0 {
            return Err(no_categories());
        }
        nodes.push(Node::Split {
            feature: features[at],
            threshold: threshold(thresholds[at]),
            missing: missing.ok_or(malformed(format!("decision type {decision} is not known")))?,
            left: place(lefts[at]),
            right: place(rights[at]),
        });
    }
    for (value, cover) in values.into_iter().zip(covers) {
        nodes.push(Node::Leaf { value: value as f32, cover });
    }
    Ok(Tree { nodes })
}
