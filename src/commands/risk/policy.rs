//! `millrace risk policy`: shows, sets and takes back the policy of a running millrace.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use millrace_client::Connection;
use millrace_protos::v1;
use serde_json::{Value, json};

use super::{
    server::{ServerArgs, SignatureArgs, deed_json, deed_text, when},
    upload,
};
use crate::{Failure, commands::say};

/// Show, set and take back the policy that decides
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the policy in force
    Show(ServerArgs),
    /// List the policies that were set, newest first
    History {
        #[command(flatten)]
        server: ServerArgs,
        /// Show so many at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Put a policy in force; no restart, no payment waits
    #[command(after_help = "\
Examples:
  millrace risk policy set policy.toml --why 'threshold from the March backtest'
  millrace risk policy set 4fd1… --why 'the one that Ann checked'

The policy is compiled with all that it names before it is taken. One that can't be used changes
nothing.")]
    Set {
        /// A file, which is uploaded, or the name of a policy that was (64 hexadecimal digits)
        policy: String,
        #[command(flatten)]
        signature: SignatureArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Put the policy in force that was before, or an earlier one
    Rollback {
        /// Number of the policy; without it, the one before
        #[arg(long, value_name = "NUMBER")]
        to: Option<u32>,
        #[command(flatten)]
        signature: SignatureArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Show(server) => show(&server).await,
        Command::History { server, limit } => history(&server, limit).await,
        Command::Set { policy, signature, server } => {
            let connection = server.connect().await?;
            let is_file = Path::new(&policy).is_file();
            let name = match is_file {
                true => {
                    let kind = v1::ArtefactKind::Policy;
                    upload::send_file(&connection, kind, Path::new(&policy), &signature).await?.name
                }
                false if policy.len() == 64 => policy.clone(),
                false => {
                    let problem = format!(
                        "`{policy}` is neither a file nor the name of a policy (64 hexadecimal \
                         digits)"
                    );
                    return Err(problem.into());
                }
            };
            // The server knows it by its BLAKE3 alone.
            let done = set(&connection, name, &signature, server.json).await;
            done.map_err(|error| match is_file {
                true => format!("{policy}: {error}").into(),
                false => error,
            })
        }
        Command::Rollback { to, signature, server } => {
            let connection = server.connect().await?;
            let name = earlier(&connection, to).await?;
            set(&connection, name, &signature, server.json).await
        }
    }
}

async fn show(server: &ServerArgs) -> Result<ExitCode, Failure> {
    let connection = server.connect().await?;
    let response = connection.risk().get_policy(v1::GetPolicyRequest {}).await;
    let found = response.map_err(|status| connection.explain(&status))?.into_inner();
    let policy = found.policy.unwrap_or_default();
    if server.json {
        let mut shown = to_json(&policy);
        shown["document"] = json!(found.document);
        say!("{shown}");
        return Ok(ExitCode::SUCCESS);
    }
    say!("policy {}  {}", policy.number, policy.name);
    say!("  in force since  {}", policy.deed.as_ref().map_or_else(String::new, deed_text));
    say!("\n{}", found.document.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn to_json(policy: &v1::PolicyInForce) -> Value {
    json!({
        "number": policy.number,
        "name": policy.name,
        "deed": deed_json(policy.deed.as_ref()),
    })
}

pub(super) async fn page(
    connection: &Connection,
    wanted: usize,
    page_token: String,
) -> Result<v1::ListPoliciesResponse, Failure> {
    let request = v1::ListPoliciesRequest { page_size: wanted.clamp(1, 200) as u32, page_token };
    let response = connection.risk().list_policies(request).await;
    Ok(response.map_err(|status| connection.explain(&status))?.into_inner())
}

async fn history(server: &ServerArgs, limit: usize) -> Result<ExitCode, Failure> {
    let connection = server.connect().await?;
    let mut shown = 0;
    let mut page_token = String::new();
    while shown < limit {
        let page = page(&connection, limit - shown, page_token).await?;
        for policy in &page.policies {
            let deed = policy.deed.clone().unwrap_or_default();
            match server.json {
                true => say!("{}", to_json(policy)),
                false => say!(
                    "{:>6}  {}  {}  {}: {}",
                    policy.number,
                    &policy.name.get(..12).unwrap_or(&policy.name),
                    when(deed.time.as_ref()),
                    deed.actor,
                    deed.why
                ),
            }
            shown += 1;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if shown == 0 && !server.json {
        say!("no policy was set yet: the limits of the configuration decide");
    }
    Ok(ExitCode::SUCCESS)
}

/// Name of the policy with this number, or of the one that was in force before.
pub(super) async fn earlier(connection: &Connection, to: Option<u32>) -> Result<String, Failure> {
    let mut in_force: Option<String> = None;
    let mut page_token = String::new();
    loop {
        let page = page(connection, 200, page_token).await?;
        for policy in page.policies {
            let in_force = in_force.get_or_insert_with(|| policy.name.clone());
            let found = match to {
                Some(number) => policy.number == number,
                None => policy.name != *in_force,
            };
            if found {
                return Ok(policy.name);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Err(match to {
                Some(number) => format!(
                    "no policy {number} was set: `millrace risk policy history` lists those that \
                     were"
                ),
                None => "there is no earlier policy to go back to".to_owned(),
            }
            .into());
        }
    }
}

pub(super) async fn set(
    connection: &Connection,
    name: String,
    signature: &SignatureArgs,
    json: bool,
) -> Result<ExitCode, Failure> {
    let (actor, why) = (signature.actor()?, signature.why.clone());
    let request = v1::SetPolicyRequest { name, actor, why, ..Default::default() };
    let response = connection.risk().set_policy(request).await;
    let done = response.map_err(|status| connection.explain(&status))?.into_inner();
    let policy = done.policy.ok_or("the server did not say which policy is in force")?;
    if json {
        let mut shown = to_json(&policy);
        shown["replayed"] = json!(done.replayed);
        say!("{shown}");
    } else {
        let before = if done.replayed { ", as before" } else { "" };
        say!("policy {}  {}  is in force{before}", policy.number, policy.name);
    }
    Ok(ExitCode::SUCCESS)
}
