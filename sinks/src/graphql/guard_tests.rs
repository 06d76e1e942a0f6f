//! What the guard lets through, and what it refuses and how it calls it.

use super::*;

fn guard(profile: Profile) -> Guard {
    let limits = LimitsConfig { request_bytes: 1 << 20, ..LimitsConfig::default() };
    Guard::new(&limits, profile)
}

/// The code of the refusal, or "" where the text is parsed.
fn refused(guard: &Guard, text: &str) -> String {
    match guard.parse(text) {
        Ok(_) => String::new(),
        Err(error) => {
            let code = error.extensions.as_ref().and_then(|values| values.get("code").cloned());
            code.map_or_else(|| "SYNTAX".to_owned(), |code| code.to_string().replace('"', ""))
        }
    }
}

/// Each fragment uses the next one twice.
fn doubling(levels: usize) -> String {
    let fragments: String = (0..levels)
        .map(|level| format!("fragment F{level} on Q {{ ...F{0} ...F{0} }}\n", level + 1))
        .collect();
    format!("{{ ...F0 }}\n{fragments}fragment F{levels} on Q {{ x }}")
}

#[test]
fn hostile_queries_are_refused_by_name() {
    let nested = |open: &str, close: &str, depth| open.repeat(depth) + "x" + &close.repeat(depth);
    let aliases = |count| (0..count).map(|n| format!("a{n}:x ")).collect::<String>();
    let fields = "x ".repeat(2_001);
    let list = vec!["1"; 201].join(",");
    for (text, code) in [
        ("{ a { b(c: 1) { d } } }".to_owned(), ""),
        ("query Q($a: Int = 1) { a: b(a: $a, c: {d: [1]}) }".to_owned(), ""),
        (format!("{{ {} }}", aliases(10_000)), "QUERY_TOO_LARGE"),
        (format!("{{ a {{ {} }} }}", aliases(101)), "QUERY_TOO_LARGE"),
        (format!("{{ a {{ {} }} }}", aliases(100)), ""),
        (nested("{ a ", "}", 1_000), "QUERY_TOO_DEEP"),
        (nested("{ a ", "}", 17), "QUERY_TOO_DEEP"),
        (format!("{{ a(b: {}) }}", nested("[", "]", 1_000)), "QUERY_TOO_DEEP"),
        (format!("{{ a {{ {fields} }} }}"), "QUERY_TOO_LARGE"),
        (format!("{{ {} }}", "x ".repeat(21)), "QUERY_TOO_LARGE"),
        (format!("{{ a(b: [{list}]) }}"), "LIST_TOO_LONG"),
        (format!("{{ a(b: {{c: [{list}]}}) }}"), "LIST_TOO_LONG"),
        ("{ ...A } fragment A on Q { ...A }".to_owned(), "FRAGMENT_CYCLE"),
        (
            "{ ...A } fragment A on Q { x { ...B } } fragment B on Q { ...A }".to_owned(),
            "FRAGMENT_CYCLE",
        ),
        (doubling(50), "QUERY_TOO_LARGE"),
        (doubling(3), ""),
        ("{ a ".repeat(300_000), "REQUEST_TOO_LARGE"),
        (format!("query({}) {{ a }}", "$a: A ".repeat(5_000)), "QUERY_TOO_LARGE"),
        (format!("{{ a(b: [{}]) }}", "1 ".repeat(10_000)), "QUERY_TOO_LARGE"),
        (format!("{{ a(b: [{}]) }}", "\"\" ".repeat(10_000)), "QUERY_TOO_LARGE"),
        (format!("{{ {} }}", "x".repeat(201)), "QUERY_TOO_LARGE"),
        (format!("{{ {} }}", "x".repeat(200)), ""),
        ("{ ...Missing }".to_owned(), ""),
        ("{ a".to_owned(), "SYNTAX"),
    ] {
        let start: String = text.chars().take(60).collect();
        assert_eq!(refused(&guard(Profile::Dev), &text), code, "{start}");
    }
}

#[test]
fn the_schema_is_described_to_people_only() {
    for text in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"Query\") { name } }",
        "{ _service { sdl } }",
        "{ ...A } fragment A on Query { ... { __schema { types { name } } } }",
    ] {
        assert_eq!(refused(&guard(Profile::Dev), text), "");
        assert_eq!(refused(&guard(Profile::Prod), text), "INTROSPECTION_OFF", "{text}");
    }
    assert_eq!(refused(&guard(Profile::Prod), "{ a { __typename } }"), "");
}

#[test]
fn variables_are_short() {
    let guard = guard(Profile::Dev);
    for (items, fits) in [(200, true), (201, false)] {
        let list = serde_json::json!({ "a": { "b": vec![1; items] } });
        let request = Request::new("{ a }").variables(async_graphql::Variables::from_json(list));
        assert_eq!(guard.check_variables(&request).is_ok(), fits, "{items} items");
    }
}

#[test]
fn text_is_measured_without_strings_comments_and_arguments() {
    for (text, nesting, names, aliases) in [
        ("{ a }", 1, 1, 0),
        ("{ a:b }", 1, 2, 1),
        ("{ a : b , c\n:d }", 1, 4, 2),
        ("{ b(c: 1, d: {e: 2}) }", 3, 1, 0),
        ("query($a: Int = 1) { b }", 1, 2, 0),
        ("{ a # b: c {{{\n d }", 1, 2, 0),
        ("{ a(b: \"c: { \\\" d\") e }", 2, 2, 0),
        ("{ a(b: \"\"\"c: \\\"\"\" { \" d\"\"\") e }", 2, 2, 0),
        ("{ a(b: \"\"\"never ends", 2, 1, 0),
        ("}}}} { a", 1, 1, 0),
        ("\"", 0, 0, 0),
        ("", 0, 0, 0),
    ] {
        let found = measure_text(text.as_bytes());
        let found = (found.nesting, found.names, found.aliases);
        assert_eq!(found, (nesting, names, aliases), "{text}");
    }
}

/// What it takes to refuse is counted, not timed: each selection of the text is looked at once, however
/// many a query that was run would come to.
#[test]
fn measuring_looks_at_each_selection_once() {
    for levels in [1, 10, 90] {
        let text = doubling(levels);
        let document = parse_query(&text).expect("is a query");
        let guard = guard(Profile::Dev);
        let mut unfolding = Unfolding::of(&document, &guard);
        for (_, operation) in document.operations.iter() {
            let shape = unfolding.set(&operation.node.selection_set.node).expect("has no cycle");
            let unfolded = 1_usize.checked_shl(levels as u32).unwrap_or(usize::MAX);
            assert_eq!(shape.fields, unfolded, "as often as the fragments are used");
        }
        // One in the operation, two in each fragment, and the field.
        assert_eq!(unfolding.looks, 1 + 2 * levels + 1);
    }
}
