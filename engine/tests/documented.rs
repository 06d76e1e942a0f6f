//! The tables that stand both in the code and in `docs/JOURNAL.md` are the same, row by row.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::{fs, path::Path};

/// Modules, and the heading in the docs below which their first table stands.
const TABLES: [(&str, &str); 4] = [
    ("segment.rs", "## Segment"),
    ("frame.rs", "## Frame"),
    ("durable_note.rs", "## What is durable"),
    ("recover/mod.rs", "## Recovery"),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The first table among these lines.
fn table<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect()
}

#[test]
fn code_and_docs_have_the_same_tables() {
    let docs = read("../docs/JOURNAL.md");
    for (module, heading) in TABLES {
        let code = read(&format!("src/{module}"));
        let code = table(code.lines().filter_map(|line| line.strip_prefix("//! ")));
        let told = table(docs.lines().skip_while(|line| *line != heading).skip(1));
        assert!(code.len() > 5, "{module} has its table");
        assert_eq!(told, code, "{module}, and docs/JOURNAL.md below {heading:?}");
    }
}
