//! The documentation shows rules that compile, and errors as they are.

use millrace_risk::{
    features::Catalogue,
    policy,
    rules::{RuleSet, Vocabulary},
};

use crate::lists;

const TEXT: &str = include_str!("../../../docs/risk/rules.md");

/// The blocks of the documentation in a language, such as `toml`.
fn blocks(language: &str) -> Vec<String> {
    let opened = format!("\n```{language}\n");
    let block = |text: &str| text.split("\n```").next().map(|block| format!("{block}\n"));
    TEXT.split(&opened).skip(1).filter_map(block).collect()
}

/// What rules may name on a server with the default settings.
fn vocabulary() -> Vocabulary {
    policy::vocabulary(&Catalogue::standard())
}

/// Right, and with something to say.
fn check(file: &str) {
    let rules = RuleSet::compile(file, &vocabulary(), &lists());
    let rules = rules.unwrap_or_else(|errors| panic!("{file}\n{}", errors[0]));
    assert!(rules.warnings().is_empty(), "{file}\n{:?}", rules.warnings());
}

#[test]
fn the_rule_file_of_the_documentation_compiles() {
    let files: Vec<String> =
        blocks("toml").into_iter().filter(|block| !block.starts_with("# Wrong")).collect();
    assert!(!files.is_empty());
    for file in files {
        check(&file);
    }
}

#[test]
fn the_expressions_of_the_documentation_compile() {
    let expressions: Vec<String> = blocks("rules");
    assert!(!expressions.is_empty());
    let lines = expressions.iter().flat_map(|block| block.lines());
    for line in lines.filter(|line| !line.is_empty()) {
        check(&crate::rule(line));
    }
}

#[test]
fn the_errors_of_the_documentation_are_what_is_said() {
    let wrong: Vec<String> =
        blocks("toml").into_iter().filter(|block| block.starts_with("# Wrong")).collect();
    let [file] = wrong.as_slice() else { panic!("one wrong file") };
    let errors = RuleSet::compile(file, &vocabulary(), &lists()).expect_err("it is wrong");
    let said: Vec<String> = errors.iter().map(|error| format!("{error}\n")).collect();
    let said = said.join("\n");
    assert!(blocks("text").contains(&said), "the documentation should have\n{said}");
}
