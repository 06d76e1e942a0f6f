//! Refuses queries that would cost much to understand, before anybody tries: consumes the text of a
//! query, produces the parsed document. Guarantees that the time it takes is proportional to the
//! text, whatever the text says.
//!
//! First the bare text is looked at: nesting, names, aliases. Only what is small is parsed. Then
//! the document is measured with its fragments unfolded, each measured once, so that fragments that
//! use each other many times over are as cheap to refuse as they are to write.

use std::{collections::HashMap, convert::Infallible};

use async_graphql::{
    Name, Positioned, Request, ServerError, Value,
    parser::{
        parse_query,
        types::{ExecutableDocument, FragmentDefinition, Selection, SelectionSet},
    },
};

use super::{
    config::{LimitsConfig, Profile},
    error::refusal,
    paging::FIRST_MAX,
};

/// Brackets within brackets of any kind: more than any depth that a setting allows needs.
const NESTING_MAX: usize = 64;
/// Bytes of a name: the longest of the schema has a quarter of that.
const NAME_MAX: usize = 200;
/// Fragments of a document.
const FRAGMENTS_MAX: usize = 100;
/// Items of a list that a query gives.
const ITEMS_MAX: usize = FIRST_MAX as usize;

/// What queries may look like.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    limits: LimitsConfig,
    introspection: bool,
}

impl Guard {
    pub(super) fn new(limits: &LimitsConfig, profile: Profile) -> Self {
        Self { limits: limits.clone(), introspection: profile == Profile::Dev }
    }

    /// Parses a query that is within the limits.
    pub(super) fn parse(&self, text: &str) -> Result<ExecutableDocument, ServerError> {
        self.check_text(text)?;
        let document = parse_query(text).map_err(ServerError::from)?;
        self.check_document(&document)?;
        Ok(document)
    }

    /// Checks what comes beside the query.
    pub(super) fn check_variables(&self, request: &Request) -> Result<(), ServerError> {
        request.variables.iter().try_for_each(|(_, value)| check_value(value))
    }

    fn check_text(&self, text: &str) -> Result<(), ServerError> {
        if text.len() > self.limits.request_bytes {
            return Err(too_large(text.len(), self.limits.request_bytes));
        }
        let measure = measure_text(text.as_bytes());
        if measure.nesting > NESTING_MAX {
            return Err(too_deep());
        }
        if measure.aliases > self.limits.aliases {
            return Err(too_many("aliases", measure.aliases, self.limits.aliases));
        }
        // Names that are no fields are types and directives: as many again, at most.
        if measure.names > 2 * self.limits.fields {
            return Err(too_many("fields", measure.names, self.limits.fields));
        }
        let words_max = 4 * self.limits.fields;
        if measure.words > words_max {
            return Err(too_many("names and values", measure.words, words_max));
        }
        if measure.longest_name > NAME_MAX {
            return Err(too_many("bytes in a name", measure.longest_name, NAME_MAX));
        }
        Ok(())
    }

    fn check_document(&self, document: &ExecutableDocument) -> Result<(), ServerError> {
        if document.fragments.len() > FRAGMENTS_MAX {
            return Err(too_many("fragments", document.fragments.len(), FRAGMENTS_MAX));
        }
        let mut unfolding = Unfolding::of(document, self);
        for name in document.fragments.keys() {
            unfolding.fragment(name)?;
        }
        for (_, operation) in document.operations.iter() {
            let shape = unfolding.set(&operation.node.selection_set.node)?;
            let limits = &self.limits;
            if shape.depth > limits.depth {
                return Err(too_deep());
            }
            for (what, found, most) in [
                ("fields", shape.fields, limits.fields),
                ("aliases", shape.aliases, limits.aliases),
                ("root fields", shape.top, limits.root_fields),
            ] {
                if found > most {
                    return Err(too_many(what, found, most));
                }
            }
        }
        Ok(())
    }
}

/// What the bare text tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct TextMeasure {
    nesting: usize,
    /// Names and values, of everything.
    words: usize,
    longest_name: usize,
    /// Of what is outside of arguments.
    names: usize,
    aliases: usize,
}

/// Looks at brackets and names, and over strings and comments. Text that is no query gives some
/// measure; the parser refuses it.
fn measure_text(text: &[u8]) -> TextMeasure {
    let mut measure = TextMeasure::default();
    let (mut nesting, mut arguments) = (0_usize, 0_usize);
    let mut place = 0;
    let mut after_name = false;
    while let Some(&byte) = text.get(place) {
        let mut is_name = false;
        match byte {
            b'#' => place = end_of_line(text, place),
            b'"' => {
                measure.words += 1;
                place = end_of_string(text, place);
            }
            b'0'..=b'9' => {
                measure.words += 1;
                let is_digit = |byte: &u8| byte.is_ascii_alphanumeric();
                place += text[place..].iter().take_while(|byte| is_digit(byte)).count();
            }
            b'{' | b'(' | b'[' => {
                nesting += 1;
                measure.nesting = measure.nesting.max(nesting);
                arguments += usize::from(byte == b'(');
                place += 1;
            }
            b'}' | b')' | b']' => {
                nesting = nesting.saturating_sub(1);
                arguments = arguments.saturating_sub(usize::from(byte == b')'));
                place += 1;
            }
            b':' => {
                measure.aliases += usize::from(after_name && arguments == 0);
                place += 1;
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                is_name = true;
                measure.words += 1;
                measure.names += usize::from(arguments == 0);
                let is_part = |byte: &u8| *byte == b'_' || byte.is_ascii_alphanumeric();
                let len = text[place..].iter().take_while(|byte| is_part(byte)).count();
                measure.longest_name = measure.longest_name.max(len);
                place += len;
            }
            // White space and commas may stand between a name and its colon.
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                place += 1;
                is_name = after_name;
            }
            _ => place += 1,
        }
        after_name = is_name;
    }
    measure
}

fn end_of_line(text: &[u8], start: usize) -> usize {
    let rest = &text[start..];
    start + rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len())
}

/// Behind the string that begins here, or behind the text if it does not end.
fn end_of_string(text: &[u8], start: usize) -> usize {
    const BLOCK: &[u8] = b"\"\"\"";
    let is_block = text[start..].starts_with(BLOCK);
    let mut place = start + if is_block { 3 } else { 1 };
    while place < text.len() {
        let rest = &text[place..];
        if is_block && rest.starts_with(b"\\\"\"\"") {
            place += 4;
        } else if is_block && rest.starts_with(BLOCK) {
            return place + 3;
        } else if !is_block && rest[0] == b'\\' {
            place += 2;
        } else if !is_block && matches!(rest[0], b'"' | b'\n' | b'\r') {
            return place + 1;
        } else {
            place += 1;
        }
    }
    text.len()
}

/// A selection with its fragments unfolded.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    depth: usize,
    fields: usize,
    aliases: usize,
    /// Fields of the selection itself.
    top: usize,
}

impl Shape {
    fn add(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.top = self.top.saturating_add(other.top);
    }
}

struct Unfolding<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// `None` while it is being measured: a fragment that needs itself comes back to that.
    measured: HashMap<&'a str, Option<Shape>>,
    guard: &'a Guard,
    /// Selections that were looked at: each of the text once, however often it is used.
    looks: usize,
}

impl<'a> Unfolding<'a> {
    fn of(document: &'a ExecutableDocument, guard: &'a Guard) -> Self {
        Self { fragments: &document.fragments, measured: HashMap::new(), guard, looks: 0 }
    }

    fn fragment(&mut self, name: &'a str) -> Result<Shape, ServerError> {
        match self.measured.get(name) {
            Some(Some(shape)) => return Ok(*shape),
            Some(None) => {
                let text = format!("the fragment {name} needs itself");
                return Err(refusal(text, "FRAGMENT_CYCLE"));
            }
            None => {}
        }
        // One that is not there is found by the validation that follows.
        let Some(fragment) = self.fragments.get(name) else { return Ok(Shape::default()) };
        self.measured.insert(name, None);
        let shape = self.set(&fragment.node.selection_set.node)?;
        self.measured.insert(name, Some(shape));
        Ok(shape)
    }

    fn set(&mut self, set: &'a SelectionSet) -> Result<Shape, ServerError> {
        let mut shape = Shape::default();
        for selection in &set.items {
            self.looks += 1;
            shape.add(match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let name = field.name.node.as_str();
                    if !self.guard.introspection
                        && matches!(name, "__schema" | "__type" | "_service")
                    {
                        let text = "the schema does not describe itself here: profile prod";
                        return Err(refusal(text, "INTROSPECTION_OFF"));
                    }
                    for (_, argument) in &field.arguments {
                        // Variables are checked where they come from.
                        let value = argument.node.clone();
                        let given = value.into_const_with(|_| Ok::<_, Infallible>(Value::Null));
                        let Ok(given) = given;
                        check_value(&given)?;
                    }
                    let below = self.set(&field.selection_set.node)?;
                    Shape {
                        depth: below.depth + 1,
                        fields: below.fields.saturating_add(1),
                        aliases: below.aliases.saturating_add(usize::from(field.alias.is_some())),
                        top: 1,
                    }
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(spread.node.fragment_name.node.as_str())?
                }
                Selection::InlineFragment(fragment) => {
                    self.set(&fragment.node.selection_set.node)?
                }
            });
        }
        Ok(shape)
    }
}

fn check_value(value: &Value) -> Result<(), ServerError> {
    match value {
        Value::List(items) if items.len() > ITEMS_MAX => Err(list_too_long(items.len())),
        Value::List(items) => items.iter().try_for_each(check_value),
        Value::Object(fields) => fields.values().try_for_each(check_value),
        _ => Ok(()),
    }
}

fn too_deep() -> ServerError {
    refusal("Query is nested too deep.", "QUERY_TOO_DEEP")
}

/// The request has too many bytes.
pub(super) fn too_large(found: usize, most: usize) -> ServerError {
    refusal(format!("the request has {found} bytes; at most {most} are read"), "REQUEST_TOO_LARGE")
}

fn too_many(what: &str, found: usize, most: usize) -> ServerError {
    let text = format!("the query has {found} {what} or more; at most {most} are answered");
    refusal(text, "QUERY_TOO_LARGE")
}

fn list_too_long(found: usize) -> ServerError {
    let text = format!("the request has a list of {found} items; at most {ITEMS_MAX} are read");
    refusal(text, "LIST_TOO_LONG")
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
