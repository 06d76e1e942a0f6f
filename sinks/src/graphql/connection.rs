//! Relay connections: consumes slices, produces pages with cursors. Guarantees that every page that is
//! not the last one has a cursor to go on from, also one that found nothing before its work was done.

use std::borrow::Cow;

use async_graphql::{
    Object, ObjectType, OutputType, TypeName,
    connection::{Edge, EmptyFields, PageInfo},
};

use super::{
    model::{Slice, Stop},
    paging::{Of, cursor},
};

/// A page of a list.
pub(super) struct Connection<Node: OutputType> {
    edges: Vec<Edge<String, Node, EmptyFields>>,
    has_previous_page: bool,
    has_next_page: bool,
    start_cursor: Option<String>,
    end_cursor: Option<String>,
}

/// A page of a list. It may be shorter than asked for, and even empty, while there is more: finding
/// what passes a filter is work, and a page does so much of it at most.
#[Object(name_type, shareable)]
impl<Node: ObjectType> Connection<Node> {
    /// Information to aid in pagination.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: self.start_cursor.clone(),
            end_cursor: self.end_cursor.clone(),
        }
    }

    /// A list of edges.
    async fn edges(&self) -> &[Edge<String, Node, EmptyFields>] {
        &self.edges
    }

    /// A list of nodes.
    async fn nodes(&self) -> Vec<&Node> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }
}

impl<Node: OutputType> TypeName for Connection<Node> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", Node::type_name()).into()
    }
}

/// A connection out of a slice of a list whose cursors name these places.
pub(super) fn connection<View, Node: OutputType>(
    slice: Slice<View>,
    of: Of,
    place: impl Fn(&View) -> u128,
    node: impl Fn(View) -> Node,
) -> Connection<Node> {
    let Slice { items, more_before, more_after, stopped_at } = slice;
    let edge = |view: View| Edge::new(cursor(of, place(&view)), node(view));
    let edges: Vec<Edge<String, Node, EmptyFields>> = items.into_iter().map(edge).collect();
    let mut page = Connection {
        has_previous_page: more_before,
        has_next_page: more_after,
        start_cursor: edges.first().map(|edge| edge.cursor.clone()),
        end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        edges,
    };
    match stopped_at {
        Some(Stop::After(place)) => page.end_cursor = Some(cursor(of, u128::from(place))),
        Some(Stop::Before(place)) => page.start_cursor = Some(cursor(of, u128::from(place))),
        None => {}
    }
    page
}
