//! Who opened, changed and looked after accounts and notifications, on the real binary: the audit log
//! names them, finds what they did, and has it right before what came of it.

mod support;

use millrace_protos::v1::{
    AccountStatus, CreateAccountsRequest, UpdateAccountRequest,
    update_account_request::{Change, Close, Freeze},
};
use serde_json::{Value, json};
use support::{
    bank::{Bank, uuid},
    config::Settings,
    graphql,
    metrics::wait_for_audit,
    payments::{account, error_info, id_bytes, open},
    process::{Finished, millrace},
    within,
};
use tonic::{Code, Status};

impl Bank {
    /// `millrace account …`.
    fn account(&self, args: &[&str]) -> Finished {
        let url = self.server.url();
        millrace(["account", "--target", &url].iter().chain(args))
    }

    async fn open(&self, ids: &[u128], actor: &str, why: &str) -> Result<(), Status> {
        let accounts = ids.iter().map(|id| account(*id, &[])).collect();
        let (actor, why) = (actor.to_owned(), why.to_owned());
        let request = CreateAccountsRequest { accounts, actor, why };
        let answer = within("accounts", self.connection.accounts().create_accounts(request)).await;
        let outcomes = answer?.into_inner().outcomes;
        assert!(outcomes.iter().all(|it| it.status() == AccountStatus::Created), "{outcomes:?}");
        Ok(())
    }

    async fn change(
        &self,
        id: u128,
        change: Change,
        actor: &str,
        why: &str,
    ) -> Result<AccountStatus, Status> {
        let request = UpdateAccountRequest {
            account_id: id_bytes(id),
            change: Some(change),
            actor: actor.to_owned(),
            why: why.to_owned(),
        };
        let answer = within("change", self.connection.accounts().update_account(request)).await?;
        Ok(answer.into_inner().outcome.expect("has one").status())
    }

    /// `millrace audit search`, oldest first: what each line says, without what it always says.
    fn found(&self, args: &[&str]) -> Vec<Value> {
        let data_dir = self.scratch.file("data");
        let start = ["audit", "search", "--json", "--data-dir", &data_dir];
        let printed = millrace(start.iter().chain(args)).done();
        let line = |line: &str| serde_json::from_str(line).expect("is JSON");
        let mut found: Vec<Value> = printed.lines().map(line).collect();
        found.reverse();
        found
    }
}

/// The line of the log itself, whatever surrounds it.
fn said(entry: &Value) -> Value {
    let line = entry.get("line").and_then(Value::as_str);
    let line = line.map_or(entry.clone(), |line| serde_json::from_str(line).expect("is JSON"));
    match line["event"].as_str() {
        Some("ACT") => json!([line["act"]["actor"], line["act"]["why"], line["act"]["act"]]),
        _ => json!([line["change"], line["account"]]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_changed_which_account_and_why() {
    let bank = Bank::start(&Settings::unlimited()).await;
    // Programs of before say nothing, and so nothing is said of them.
    open(&bank.connection, [1, 2]).await;
    bank.open(&[3, 4], "ann", "two new shops").await.expect("is taken");
    let freeze = || Change::Freeze(Freeze {});
    let changed = bank.change(3, freeze(), "bob", "police request 7").await;
    assert_eq!(changed.expect("is taken"), AccountStatus::Updated);
    let again = bank.change(3, freeze(), "bob", "once more").await;
    assert_eq!(again.expect("is taken"), AccountStatus::Unchanged);
    let unsigned = bank.change(4, Change::Close(Close {}), "", "").await;
    assert_eq!(unsigned.expect("is taken"), AccountStatus::Updated);
    for (actor, why) in [("bob", ""), ("", "because")] {
        let half = bank.change(3, Change::Close(Close {}), actor, why).await.expect_err("is half");
        assert_eq!(half.code(), Code::InvalidArgument, "{half:?}");
        assert_eq!(error_info(&half).expect("has one").1, "FIELD_MISSING");
    }
    // People have the command line.
    let (three, five) = (uuid(3), uuid(5));
    let signed = ["--actor", "ann", "--why", "it was a mistake"];
    for args in [["reopen", &three].as_slice(), &["create", &five, "--currency", "CZK"]] {
        let finished = bank.account(&[args, &signed].concat());
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    let lone = bank.account(&["freeze", &three, "--actor", "ann"]);
    assert_eq!(lone.code, Some(2), "who without why: {lone:?}");

    wait_for_audit(&bank.server);
    let opened =
        json!(["ann", "two new shops", { "open_accounts": { "accounts": [three, uuid(4)] } }]);
    let frozen = json!(["bob", "police request 7", { "change_account": { "account": three, "change": "freeze" } }]);
    let reopened = json!(["ann", "it was a mistake", { "change_account": { "account": three, "change": "reopen" } }]);
    let created = json!(["ann", "it was a mistake", { "open_accounts": { "accounts": [five] } }]);
    let told = |args: &[&str]| bank.found(args).iter().map(said).collect::<Vec<_>>();
    assert_eq!(told(&["--actor", "ann"]), [opened.clone(), reopened.clone(), created]);
    assert_eq!(
        told(&["--actor", "bob"]),
        std::slice::from_ref(&frozen),
        "nothing came of the second"
    );
    let of_three = [
        opened,
        json!(["OPENED", three]),
        frozen,
        json!(["FROZEN", three]),
        reopened,
        json!(["REOPENED", three]),
    ];
    assert_eq!(told(&["--account", &three]), of_three, "in order, each with who and why");
    let four = uuid(4);
    assert_eq!(told(&["--account", &four]).last(), Some(&json!(["CLOSED", four])));
    bank.server.stop();
}

/// Who sets preferences for an owner comes to the journal through GraphQL; owners set their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_set_preferences_for_somebody_else() {
    let bank = Bank::start(&Settings::unlimited()).await;
    let owner = uuid(0xabc);
    for signed in ["", ", actor: \"ann\", why: \"asked by telephone\""] {
        let set = format!(
            "mutation {{ setNotificationPreferences(ownerId: \"{owner}\", \
               preferences: {{ locale: \"cs\" }}{signed}) {{ locale }} }}"
        );
        let kept = graphql::ask(bank.server.graphql, &set);
        assert_eq!(kept["setNotificationPreferences"]["locale"], "cs");
    }
    wait_for_audit(&bank.server);
    let told: Vec<_> = bank.found(&[]).iter().map(said).collect();
    let act = json!(["ann", "asked by telephone", { "set_preferences": { "owner": owner } }]);
    assert_eq!(told, [act]);
    bank.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_insist_on_who_and_why() {
    let settings = Settings::unlimited().with("ingest.account_signature_required", true);
    let bank = Bank::start(&settings).await;
    let refused = bank.open(&[1], "", "").await.expect_err("nobody asked");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("actor is not set"), "{refused:?}");
    bank.open(&[1], "ann", "a new shop").await.expect("is taken");
    bank.server.stop();
}
