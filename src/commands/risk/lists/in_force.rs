//! Lists in force: consumes the policy of a running millrace, produces its lists as files.

use std::path::Path;

use millrace_client::Connection;
use millrace_protos::v1;
use millrace_risk::{
    policy::{ListDocument, PolicyDocument},
    rules::{List, ListLimits, ListSpec},
    shelf::name_of,
};
use millrace_risk_lab::report::{Align, Table};
use serde_json::json;

use super::{ExportArgs, active, export as export_one};
use crate::{
    Failure,
    commands::{
        risk::{output::count, progress, rule_source::list_kind, tested::hex},
        say,
    },
};

/// A list of the policy in force.
pub(super) struct InForce {
    document: ListDocument,
    list: List,
}

/// Writes one list, or all; without a place to write all to, tells what there is.
pub(super) async fn export(args: &ExportArgs, url: &str) -> Result<(), Failure> {
    let connection = Connection::open(url).await?;
    let wanted = args.list.as_deref().map(|name| name.to_string_lossy().into_owned());
    let lists = in_force(&connection, wanted.as_deref()).await?;
    match (&wanted, &args.out) {
        (Some(_), out) => {
            lists.iter().try_for_each(|it| export_one(args, &it.list, out.as_deref()))
        }
        (None, Some(folder)) => lists.iter().try_for_each(|it| into_folder(args, it, folder)),
        (None, None) => {
            tell(args, &lists);
            Ok(())
        }
    }
}

/// One list of the policy in force on the server at this URL.
pub(super) async fn one(url: &str, name: &str) -> Result<List, Failure> {
    let connection = Connection::open(url).await?;
    let mut lists = in_force(&connection, Some(name)).await?;
    let list = lists.pop().map(|it| it.list);
    list.ok_or_else(|| format!("the policy in force has no list {name}").into())
}

/// The lists of the policy in force; only this one where it is named.
async fn in_force(connection: &Connection, wanted: Option<&str>) -> Result<Vec<InForce>, Failure> {
    let response = connection.risk().get_policy(v1::GetPolicyRequest {}).await;
    let found = response.map_err(|status| connection.explain(&status))?.into_inner();
    let policy = PolicyDocument::parse(&found.document).map_err(|error| {
        format!(
            "the policy in force was written by another release and can't be read here: {error}"
        )
    })?;
    let names: Vec<_> = policy.lists.iter().map(|list| list.name.clone()).collect();
    let mut lists = Vec::new();
    for document in policy.lists {
        if wanted.is_some_and(|wanted| wanted != document.name) {
            continue;
        }
        let list = fetch(connection, &document).await?;
        lists.push(InForce { document, list });
    }
    match wanted {
        Some(wanted) if lists.is_empty() => {
            let there = match names.is_empty() {
                true => "it has no lists".to_owned(),
                false => format!("its lists are {}", names.join(", ")),
            };
            Err(format!("the policy in force has no list {wanted}: {there}").into())
        }
        _ => Ok(lists),
    }
}

/// A list of a policy.
pub(crate) async fn fetch(
    connection: &Connection,
    document: &ListDocument,
) -> Result<List, Failure> {
    let bytes = download(connection, &document.artefact).await?;
    let kind = list_kind(&document.kind)?;
    let spec = ListSpec { name: document.name.clone(), kind, of: document.of.clone() };
    let list = List::from_csv(spec, ListLimits::default(), &bytes[..]);
    Ok(list.map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("\n  {error}")).collect();
        format!("the list {} can't be read here:{}", document.name, told.concat())
    })?)
}

/// The bytes of an artefact: whole, and those of its name.
pub(crate) async fn download(connection: &Connection, name: &str) -> Result<Vec<u8>, Failure> {
    let request = v1::DownloadArtefactRequest { name: name.to_owned() };
    let response = connection.risk().download_artefact(request).await;
    let mut pieces = response.map_err(|status| connection.explain(&status))?.into_inner();
    let (bar, mut bytes) = (progress::bytes("downloading"), Vec::new());
    while let Some(piece) = pieces.message().await.map_err(|it| connection.explain(&it))? {
        bar.set_length(bar.length().unwrap_or_default().max(piece.size_bytes));
        bar.inc(piece.chunk.len() as u64);
        bytes.extend_from_slice(&piece.chunk);
    }
    bar.finish_and_clear();
    match name_of(&bytes).eq_ignore_ascii_case(name) {
        true => Ok(bytes),
        false => Err(format!("{name} did not arrive whole; try again").into()),
    }
}

fn into_folder(args: &ExportArgs, it: &InForce, folder: &Path) -> Result<(), Failure> {
    let name = &it.document.name;
    // Names come from a server; a file must not end up anywhere else.
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !folder.is_dir() {
        let shown = folder.display();
        return Err(format!(
            "{shown} is not a folder, and lists are written each to a file of its own: make it, or \
             name one list"
        )
        .into());
    }
    if !is_plain {
        return Err(format!("the list {name:?} can't be a file's name: export it by itself").into());
    }
    export_one(args, &it.list, Some(&folder.join(format!("{name}.csv"))))
}

fn tell(args: &ExportArgs, lists: &[InForce]) {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("list", left),
        ("kind", left),
        ("of", left),
        ("values", right),
        ("expiring", right),
        ("file", left),
    ]);
    for InForce { document, list } in lists {
        let expiring = list.entries().filter(|entry| entry.expires_at.is_some()).count();
        let listed = active(list, args.active_at).count();
        let ListDocument { name, kind, of, artefact } = document;
        if args.json {
            say!(
                "{}",
                json!({
                    "name": name,
                    "kind": kind,
                    "of": of,
                    "values": list.len(),
                    "active": listed,
                    "with_expiry": expiring,
                    "artefact": artefact,
                    "blake3": hex(&list.digest()),
                })
            );
        }
        let of = if of.is_empty() { "any text".to_owned() } else { of.join(", ") };
        let artefact = artefact.get(..12).unwrap_or(artefact);
        let name = name.clone();
        table.row([
            name,
            kind.clone(),
            of,
            count(list.len()),
            count(expiring),
            format!("{artefact}…"),
        ]);
    }
    match (args.json, lists.is_empty()) {
        (true, _) => {}
        (false, true) => say!("the policy in force has no lists"),
        (false, false) => say!("{}", table.to_text().trim_end()),
    }
}
