//! `configs/compose.yaml`, without Docker: the file is read, and what it says is given to the servers
//! that are installed here. The images and the volumes that it names are used by `compose_docker.rs`.

mod support;

use std::fs;

use millrace_services::{Nats, Postgres, required};
use serde_json::{Map, Value};
use support::{
    config::Settings,
    graphql,
    payments::{open, pay, submit, word},
    repository,
    server::Server,
};

/// A line without its indentation, and how much that was.
type Line<'a> = (usize, &'a str);

/// Reads the part of YAML that the file keeps to: mappings, lists, texts of several lines, and lists in
/// one line as JSON has them. Panics at anything else.
fn read_yaml(text: &str) -> Value {
    let lines = text.lines().map(|line| (line.len() - line.trim_start().len(), line.trim()));
    let lines: Vec<Line<'_>> = lines.collect();
    let mut at = 0;
    let read = read_block(&lines, &mut at, 0);
    assert_eq!(
        at,
        lines.len(),
        "line {} is out of place: {:?}",
        at + 1,
        lines[at.min(lines.len() - 1)]
    );
    read
}

fn skip_what_says_nothing(lines: &[Line<'_>], at: &mut usize) {
    while lines.get(*at).is_some_and(|(_, line)| line.is_empty() || line.starts_with('#')) {
        *at += 1;
    }
}

fn read_block(lines: &[Line<'_>], at: &mut usize, indent: usize) -> Value {
    let (mut fields, mut items) = (Map::new(), Vec::new());
    loop {
        skip_what_says_nothing(lines, at);
        let Some((_, line)) = lines.get(*at).filter(|(found, _)| *found == indent) else { break };
        *at += 1;
        if let Some(item) = line.strip_prefix("- ") {
            // A mapping within a list goes on behind the dash.
            items.push(match item.split_once(": ") {
                Some((name, value)) => {
                    let more = read_block(lines, at, indent + 2);
                    let mut fields = more.as_object().cloned().unwrap_or_default();
                    fields.insert(name.to_owned(), scalar(value));
                    Value::Object(fields)
                }
                None => scalar(item),
            });
            continue;
        }
        let (name, value) = line.split_once(':').expect("a field has a colon");
        let value = match value.trim() {
            "" => {
                skip_what_says_nothing(lines, at);
                let deeper = lines.get(*at).map(|(found, _)| *found).filter(|it| *it > indent);
                deeper.map_or(Value::Null, |deeper| read_block(lines, at, deeper))
            }
            "|" => Value::String(read_text(lines, at, indent)),
            value => scalar(value),
        };
        assert!(fields.insert(name.to_owned(), value).is_none(), "{name} stands twice");
    }
    assert!(fields.is_empty() || items.is_empty(), "a list or a mapping, at {indent}");
    match fields.is_empty() {
        true => Value::Array(items),
        false => Value::Object(fields),
    }
}

fn read_text(lines: &[Line<'_>], at: &mut usize, indent: usize) -> String {
    let mut text = String::new();
    while let Some((_, line)) = lines.get(*at).filter(|(found, _)| *found > indent) {
        text.push_str(line);
        text.push('\n');
        *at += 1;
    }
    text
}

/// A list in one line, a text in quotes, or a word.
fn scalar(text: &str) -> Value {
    match text.starts_with(['[', '"']) {
        true => serde_json::from_str(text).expect("is as in JSON"),
        false => text.into(),
    }
}

fn compose() -> Value {
    read_yaml(&fs::read_to_string(repository("configs/compose.yaml")).expect("ships"))
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|text| text.as_str().expect("is text").to_owned()).collect()
}

#[test]
fn its_services_are_on_loopback_and_name_what_is_there() {
    let compose = compose();
    let services = compose["services"].as_object().expect("a mapping");
    let mut names: Vec<_> = services.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["mail", "nats", "postgres"]);
    for (name, service) in services {
        let image = service["image"].as_str().expect("is text");
        assert!(image.contains(':') && !image.ends_with(":latest"), "{name}: {image}");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} listens on {port}");
        }
        for volume in service.get("volumes").map(texts).unwrap_or_default() {
            let volume = volume.split(':').next().expect("has a name").to_owned();
            assert!(compose["volumes"].get(&volume).is_some(), "{name}: no volume {volume}");
        }
        for config in service.get("configs").and_then(Value::as_array).into_iter().flatten() {
            let source = config["source"].as_str().expect("is text");
            assert!(compose["configs"][source]["content"].is_string(), "{name}: {source}");
            let target = config["target"].as_str().expect("is text");
            assert!(texts(&service["command"]).iter().any(|word| word == target), "{target}");
        }
    }
}

#[test]
fn nats_takes_the_configuration_that_is_mounted() {
    let compose = compose();
    let config = compose["configs"]["nats"]["content"].as_str().expect("is text");
    let Some(()) = required(Nats::check_config(config)) else { return };
    let odd = config.replace("max_payload", "max_payloads");
    assert!(Nats::check_config(&odd).is_err(), "it checks what it is given");
}

/// PostgreSQL with the file's settings, NATS as in the tests, and Millrace over both.
#[tokio::test(flavor = "multi_thread")]
async fn millrace_runs_over_servers_with_these_settings() {
    let compose = compose();
    let command = texts(&compose["services"]["postgres"]["command"]);
    let (program, arguments) = command.split_first().expect("a command");
    assert_eq!(program, "postgres");
    let postgres = required(Postgres::start_with_arguments(arguments.to_vec()));
    let (Some(postgres), Some(nats)) = (postgres, required(Nats::start())) else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let config = Settings::unlimited()
        .with("stream.url", nats.url())
        .with("postgres.url", postgres.url())
        .write(scratch.path());
    let server = Server::start(&config, &scratch.path().join("data"));
    let connection = server.connect().await;
    open(&connection, [1, 2]).await;
    let outcomes = submit(&connection, vec![pay(100, 1, 2, 7)]).await.expect("is taken");
    assert_eq!(word(&outcomes[0]), "SETTLED");
    graphql::wait_for(server.graphql, 3);
    server.stop();
}
