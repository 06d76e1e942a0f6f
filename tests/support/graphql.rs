//! The read side over plain HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};

use super::{WAIT_MAX, eventually};

/// The answer to a query that has no error.
pub(crate) fn ask(address: SocketAddr, query: &str) -> Value {
    let answer = answer(address, query);
    assert_eq!(answer.get("errors"), None, "{query}");
    answer["data"].clone()
}

/// The code and the text of the first error of the answer to a query.
pub(crate) fn error_of(address: SocketAddr, query: &str) -> (String, String) {
    let error = &answer(address, query)["errors"][0];
    let text = |value: &Value| value.as_str().expect("there is an error").to_owned();
    (text(&error["extensions"]["code"]), text(&error["message"]))
}

fn answer(address: SocketAddr, query: &str) -> Value {
    let body = json!({ "query": query }).to_string();
    let mut connection = TcpStream::connect(address).expect("the read side listens");
    connection.set_read_timeout(Some(WAIT_MAX)).expect("a time-out");
    write!(
        connection,
        "POST /graphql HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("is answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serde_json::from_str(body).expect("is JSON")
}

/// The body of the answer to a plain request.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(WAIT_MAX)).expect("a time-out");
    write!(connection, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .expect("is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("is answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// The last event that queries see.
pub(crate) fn applied_seq(address: SocketAddr) -> u64 {
    let answer = ask(address, "{ status { appliedSeq } }");
    let text = answer["status"]["appliedSeq"].as_str().expect("is text");
    text.parse().expect("is a number")
}

/// Waits until queries see an event.
pub(crate) fn wait_for(address: SocketAddr, seq: u64) {
    eventually("the read side has caught up", || (applied_seq(address) >= seq).then_some(()));
}

/// All payments of an account, newest first, page by page.
pub(crate) fn payments_of(address: SocketAddr, account: uuid::Uuid) -> Vec<Value> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = ask(
            address,
            &format!(
                "{{ payments(account: \"{account}\", first: 200{after}) {{
                    edges {{ cursor node {{ id status amount {{ minor }} }} }}
                    pageInfo {{ hasNextPage }}
                }} }}"
            ),
        );
        let edges = page["payments"]["edges"].as_array().expect("a list").clone();
        let last = edges.last().map(|edge| edge["cursor"].clone());
        found.extend(edges.into_iter().map(|edge| edge["node"].clone()));
        match (page["payments"]["pageInfo"]["hasNextPage"].as_bool(), last) {
            (Some(true), Some(cursor)) => after = format!(", after: {cursor}"),
            _ => return found,
        }
    }
}
