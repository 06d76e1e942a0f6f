//! The loop of an analyst on the real binary: payments come in, frauds are reported, a model learns
//! from the journal, and is promoted, explained, backed up and taken back.

mod support;

use std::{fs, path::Path};

use millrace_client::{CsvFile, Mapping, header_of};
use serde_json::Value;
use support::{
    WAIT_MAX,
    config::Settings,
    eventually,
    process::{Finished, millrace},
    server::Server,
    text,
};
use tempfile::TempDir;
use uuid::Uuid;

const TRAIN: &str = "2026-01-05..2026-01-24";

/// A server that took generated payments, and whose frauds were reported.
struct Bench {
    server: Option<Server>,
    scratch: TempDir,
    /// Of the frauds that were reported: payment, and whether it was paid in the days of training.
    reported: Vec<(Uuid, bool)>,
}

#[track_caller]
fn done(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[track_caller]
fn json(printed: &str) -> Value {
    assert_eq!(printed.lines().count(), 1, "{printed}");
    serde_json::from_str(printed).expect("is JSON")
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let file = scratch.path().join("payments.csv");
        let generate = ["risk", "generate", "--payments", "3000", "--days", "24", "--out"];
        let more = ["--fraud-share", "0.02", "--seed", "5"];
        done(millrace(generate.into_iter().chain([text(&file)]).chain(more)));
        let settings = Settings::unlimited().with("risk.features.enabled", true);
        let config = settings.write(scratch.path());
        let server = Server::start(&config, &scratch.path().join("data"));
        let url = server.url();
        let submit = ["submit", "--open-accounts", "--target", &url, "--file", text(&file)];
        done(millrace(submit));
        let mut bench = Self { server: Some(server), scratch, reported: Vec::new() };
        bench.report(&file);
        bench
    }

    /// Reports every fraud, when the file says that it became known.
    fn report(&mut self, file: &Path) {
        let header = header_of(&file.into()).expect("has a header");
        let place = |name: &str| header.iter().position(|column| column == name).expect("is there");
        let (time, is_fraud, known) = (place("time"), place("is_fraud"), place("reported_at"));
        let mapping = Mapping::for_header(&header).expect("ships");
        let rows = CsvFile::open(file, &mapping).expect("opens").rows().expect("opens");
        for row in rows {
            let row = row.expect("is right");
            let cell = |place: usize| std::str::from_utf8(&row.record[place]).expect("is UTF-8");
            if cell(is_fraud) == "0" {
                continue;
            }
            let payment = Uuid::from_u128(row.payment.payment_id);
            let id = payment.to_string();
            let report = ["report-fraud", &id, "--known-at", cell(known), "--json"];
            let printed = done(self.signed(&report));
            assert_eq!(json(&printed)["replayed"], Value::Bool(false), "{printed}");
            let trained_on = ("2026-01-05".."2026-01-25").contains(&cell(time));
            self.reported.push((payment, trained_on));
        }
    }

    fn url(&self) -> String {
        self.server.as_ref().expect("it runs").url()
    }

    /// Stops the server if it runs, and starts it again on the same journal with this catalogue.
    fn restart_with(&mut self, catalogue: &str) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        let settings = Settings::unlimited().with("risk.features.enabled", true);
        let config = settings.with("risk.features.catalogue", catalogue);
        let config = config.write(self.scratch.path());
        self.server = Some(Server::start(&config, &self.scratch.path().join("data")));
        eventually("the desk has read the journal", || {
            (self.risk(&["policy", "show"]).code == Some(0)).then_some(())
        });
    }

    /// Why a payment was decided as it was, once the server has read its journal.
    fn decision(&self, payment: &str) -> Value {
        let printed = eventually("the decision is explained", || {
            let finished = self.risk(&["decision", payment, "--json"]);
            (finished.code == Some(0)).then_some(finished.stdout)
        });
        json(&printed)
    }

    fn data_dir(&self) -> String {
        self.path("data")
    }

    fn path(&self, name: &str) -> String {
        text(&self.scratch.path().join(name)).to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.scratch.path().join(name), bytes).expect("is written");
        self.path(name)
    }

    fn risk(&self, args: &[&str]) -> Finished {
        let url = self.url();
        millrace(["risk"].iter().chain(args).chain(&["--target", &url]))
    }

    fn signed(&self, args: &[&str]) -> Finished {
        self.risk(&[args, &["--actor", "ann", "--why", "it had to be"]].concat())
    }

    #[track_caller]
    fn promote(&self, args: &[&str]) -> Value {
        json(&done(self.signed(&[&["promote", "--json"], args].concat())))
    }

    #[track_caller]
    fn refused(&self, args: &[&str], said: &str) {
        let finished = self.signed(&[&["promote"], args].concat());
        assert_eq!(finished.code, Some(1), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(said), "{args:?}: no {said:?} in {}", finished.stderr);
    }

    /// The document in force.
    fn document(&self) -> String {
        let shown = json(&done(self.risk(&["policy", "show", "--json"])));
        shown["document"].as_str().expect("is text").to_owned()
    }

    /// Names of the parts that a promotion changed.
    fn parts(promoted: &Value) -> Vec<&str> {
        let changes = promoted["changes"].as_array().expect("a list");
        changes.iter().map(|change| change["part"].as_str().expect("is text")).collect()
    }
}

/// The whole loop, in the order in which it is gone through: each step needs what those before made.
#[test]
fn what_analysts_report_is_trained_on_promoted_explained_and_backed_up() {
    let mut bench = Bench::new();
    let (data, model) = (bench.data_dir(), bench.path("model.mrm"));
    let train = ["risk", "train", "--journal", &data, "--train", TRAIN, "--json", "--out", &model];
    let trained = json(&done(millrace(train)));
    let known = bench.reported.iter().filter(|(_, trained_on)| *trained_on).count();
    assert!(known > 20, "the payments have frauds");
    assert_eq!(trained["frauds"], known, "as many as were reported: {trained}");

    promotions(&bench, &model);
    lists(&bench);
    let payment = decisions_have_words(&bench);
    the_catalogue_grows(&mut bench, &payment);
    backups_have_the_shelf(&bench);
    rollback(&bench);
    let audit = Path::new(&data).join("audit/audit.jsonl");
    eventually("the audit log tells of the uploads", || {
        let log = fs::read_to_string(&audit).expect("is there");
        let uploads =
            [r#""upload":{"kind":"model""#, r#""title":"model.mrm""#, r#""kind":"rules""#];
        uploads.iter().all(|part| log.contains(part)).then_some(())
    });
    bench.server.take().expect("it runs").stop();
}

fn promotions(bench: &Bench, model: &str) {
    // Nothing is in force yet, and a dry run leaves it so.
    let dry = bench.promote(&["--model", model, "--review-at", "0.05", "--dry-run"]);
    assert_eq!((&dry["before"], &dry["dry_run"]), (&Value::Null, &Value::Bool(true)), "{dry}");
    assert!(bench.risk(&["policy", "show"]).stderr.contains("no policy was set yet"));
    let first = bench.promote(&["--model", model, "--review-at", "0.05", "--name", "march"]);
    assert_eq!(first["after"]["number"], 1, "{first}");
    assert_eq!(Bench::parts(&first), ["name", "model", "review from"]);
    let digest = first["changes"][1]["after"].as_str().expect("a digest").to_owned();
    assert_eq!(
        digest,
        blake3::hash(&fs::read(model).expect("is there")).to_hex().to_string(),
        "the model that was named"
    );

    // Rules come into the same policy; the rest stays.
    let rule = "[[rule]]\nname = \"huge\"\nwhen = \"amount > 100000\"\naction = \"block\"\n\
                reason = \"{amount}\"\n";
    let rules = bench.write("rules.toml", rule);
    let second = bench.promote(&["--rules", &rules]);
    assert_eq!((Bench::parts(&second), &second["before"]), (vec!["rules"], &first["after"]));
    let document = bench.document();
    for part in ["name = \"march\"", &digest, "review = 0.05"] {
        assert!(document.contains(part), "no {part} in {document}");
    }
    let again = bench.promote(&["--rules", &rules]);
    assert_eq!((&again["replayed"], &again["after"]), (&Value::Bool(true), &second["after"]));

    // What can't be used changes nothing.
    let whole = fs::read(model).expect("is there");
    let cut = bench.write("cut.mrm", &whole[..whole.len() - 10]);
    let wrong = bench.write("wrong.toml", rule.replace("amount >", "amuont >"));
    let other = bench.path("book.mrm");
    let train =
        ["risk", "train", "--journal", &bench.data_dir(), "--train", TRAIN, "--out", &other];
    let book = ["--catalogue", "book", "--algorithm", "logistic"];
    done(millrace(train.into_iter().chain(book)));
    for (args, said) in [
        (&["--model", &cut][..], "it was cut short"),
        (&["--model", &other], "or train the model again on this catalogue"),
        (&["--model", &other], "the one in force stays"),
        (&["--rules", &wrong], "did you mean"),
        (&["--model", "nowhere.mrm"], "nowhere.mrm can't be read"),
        (&["--model", &wrong], "no model"),
        (&["--decline-at", "0.01"], "decline (0.01) is below review (0.05)"),
        (&[], "nothing is to be promoted"),
    ] {
        bench.refused(args, said);
    }
    assert_eq!(bench.document(), document, "the policy in force stays");
}

/// A list comes into the policy in force, is replaced, and decides; a wrong one changes nothing.
fn lists(bench: &Bench) {
    // One payment more, of accounts that are open.
    let payments = fs::read_to_string(bench.path("payments.csv")).expect("is there");
    let mut lines = payments.lines();
    let (header, last) = (lines.next().expect("a header"), lines.next_back().expect("payments"));
    let file = bench.write("listed.csv", format!("{header}\nlisted-{last}\n"));
    let header = header_of(&Path::new(&file).into()).expect("has a header");
    let device = header.iter().position(|column| column == "device").expect("is there");
    let mapping = Mapping::for_header(&header).expect("ships");
    let rows = CsvFile::open(Path::new(&file), &mapping).expect("opens").rows().expect("opens");
    let row = rows.last().expect("has payments").expect("is right");
    let payment = Uuid::from_u128(row.payment.payment_id).to_string();
    let device = std::str::from_utf8(&row.record[device]).expect("is UTF-8");

    let rule = "[[rule]]\nname = \"known\"\nwhen = \"context.device in bad_devices\"\n\
                action = \"block\"\nreason = \"a known device\"\n";
    let rules = bench.write("listed.toml", rule);
    let none = bench.write("none.csv", "value\nnobody\n");
    let none = format!("bad_devices:block={none}");
    bench.refused(&["--rules", &rules], "bad_devices");
    let added = bench.promote(&["--rules", &rules, "--list", &none]);
    assert_eq!(Bench::parts(&added), ["rules", "list bad_devices", "kind of bad_devices"]);

    // A list that no rule names is told, and one of which nothing is listed any more.
    let unused = bench.write("unused.csv", "value,expires_at\nnobody,2020-01-01\n");
    let unused = format!("unused:block={unused}");
    let told = bench.promote(&["--list", &unused, "--dry-run"]);
    let warnings = told["warnings"].to_string();
    for said in ["no rule names the list unused, so it does nothing", "(1) have expired"] {
        assert!(warnings.contains(said), "{told}");
    }
    assert_eq!(added["warnings"], serde_json::json!([]), "{added}");

    let listed = bench.write("devices.csv", format!("value,reason\n{device},stolen\n"));
    let listed = format!("bad_devices:block={listed}");
    let replaced = bench.promote(&["--list", &listed]);
    assert_eq!(Bench::parts(&replaced), ["list bad_devices"], "{replaced}");
    assert_eq!(replaced["changes"][0]["before"], added["changes"][1]["after"], "{replaced}");
    let document = bench.document();
    assert_eq!(document.matches("[[list]]").count(), 1, "{document}");

    lists_come_back(bench, device);
    bench.promote(&["--list", &listed]);

    let wrong = bench.write("wrong.csv", "value,expires_at\na,tomorrow\n");
    let wrong = format!("bad_devices:block={wrong}");
    for (args, said) in [
        (&["--list", &wrong][..], "line 2, column 2 (expires_at)"),
        (&["--list", "bad_devices:block=nowhere.csv"], "nowhere.csv can't be read"),
    ] {
        bench.refused(args, said);
    }
    assert_eq!(bench.document(), document, "the policy in force stays");

    let url = bench.url();
    // It is refused, which the command tells by its exit code.
    let _ = millrace(["submit", "--target", &url, "--file", &file]);
    let found = eventually("the payment was judged", || {
        let finished = bench.risk(&["decision", &payment, "--json"]);
        (finished.code == Some(0)).then(|| json(&finished.stdout))
    });
    assert_eq!((&found["decision"], &found["rule"]), (&"decline".into(), &"known".into()));
    sentences(bench, &payment);
}

/// A list in force is exported, with when it ends and why, and is the same when it is promoted again.
fn lists_come_back(bench: &Bench, device: &str) {
    let url = bench.url();
    let export = |args: &[&str]| {
        let finished =
            millrace([&["risk", "lists", "export", "--server", &url][..], args].concat());
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let whole = format!(
        "value,expires_at,reason,added_by\n{device},2099-01-31T12:30:00Z,\"stolen, twice\",ann\n\
         gone,2020-01-01,,\n\"quoted \"\"one\"\"\",,,ben\n"
    );
    let file = bench.write("whole.csv", &whole);
    let page = bench.path("promoted.html");
    let listed = format!("bad_devices:block={file}");
    let promoted = bench.promote(&["--list", &listed, "--report", &page]);
    let page = fs::read_to_string(page).expect("was written");
    for part in [
        "<h1>Promotion</h1><p>it had to be</p>",
        "What changes",
        "<td>list bad_devices</td>",
        // Devices that came, and one whose reason is another.
        "Added (bad_devices)",
        "<td>gone</td><td>2020-01-01T00:00:00Z</td>",
        "Changed (bad_devices)",
        "</html>",
    ] {
        assert!(page.contains(part), "no {part} in the report");
    }
    let out = bench.path("exported.csv");
    export(&["bad_devices", "--out", &out]);
    let of = |file: &str| {
        let check = ["risk", "lists", "check", file, "--name", "bad_devices", "--json"];
        json(&done(millrace(check)))
    };
    assert_eq!(of(&out)["blake3"], of(&file)["blake3"], "the same entries");
    let exported = fs::read_to_string(&out).expect("was written");
    assert_eq!(export(&["bad_devices"]), exported);
    for line in [
        format!("{device},2099-01-31T12:30:00Z,\"stolen, twice\",ann"),
        "gone,2020-01-01T00:00:00Z,,".to_owned(),
        "\"quoted \"\"one\"\"\",,,ben".to_owned(),
    ] {
        assert!(exported.lines().any(|it| it == line), "no {line} in {exported}");
    }
    let now = export(&["bad_devices", "--active-at", "2026-01-01T00:00:00Z"]);
    assert!(!now.contains("gone") && now.contains(device), "{now}");

    // What another list would change, and which payments it would have touched.
    let next = bench.write("next.csv", format!("value,expires_at\n{device},\nnew,2099-01-01\n"));
    let page = bench.path("next.html");
    let data = bench.path("payments.csv");
    let check = ["risk", "lists", "check", &next, "--name", "bad_devices", "--server", &url];
    let more = ["--data", &data, "--days", "400", "--of", "context.device", "--json"];
    let checked = check.into_iter().chain(more).chain(["--report", &page]);
    let checked = json(&done(millrace(checked)));
    let differs = ["added", "removed", "changed"].map(|what| checked[what].as_u64());
    assert_eq!(differs, [Some(1), Some(2), Some(1)], "{checked}");
    let payments = fs::read_to_string(&data).expect("is there");
    let of_device = payments.lines().filter(|line| line.contains(device)).count();
    assert_eq!(checked["touched"]["payments"], of_device, "{checked}");
    assert_eq!(checked["touched"]["rows"], 3_000, "{checked}");
    assert_eq!(checked["touched"]["texts"][0]["text"], "context.device", "{checked}");
    let page = fs::read_to_string(page).expect("was written");
    for part in ["Payments that it would have touched", "Removed", "<td>new</td>", "</html>"] {
        assert!(page.contains(part), "no {part} in the report");
    }
    let day = ["risk", "lists", "check", &next, "--data", &data, "--days", "1", "--json"];
    let day = json(&done(millrace(day)));
    assert!(day["touched"]["rows"].as_u64().is_some_and(|rows| rows < 300), "{day}");
    assert_eq!(day["added"], Value::Null, "there is nothing to compare with");

    // There and back again: the same list, and the same file.
    bench.promote(&["--list", &format!("bad_devices:block={out}")]);
    assert_eq!(export(&["bad_devices"]), exported);
    let told = json(&export(&["--json"]));
    assert_eq!((&told["name"], &told["values"]), (&"bad_devices".into(), &3.into()), "{told}");
    assert_eq!(told["blake3"], of(&file)["blake3"], "{told}");
    export(&["--out", text(bench.scratch.path())]);
    let path = bench.scratch.path().join("bad_devices.csv");
    assert_eq!(fs::read_to_string(path).expect("was written"), exported);
    let (before, after) = (&promoted["before"]["number"], &promoted["after"]["number"]);
    assert_ne!(before, after, "an export changes nothing, a promotion does");

    for (args, said) in [
        (&["export", "nobody", "--server", &url][..], "its lists are bad_devices"),
        (&["export", "--server", &url, "--out", "no/such/folder"], "is not a folder"),
        (&["check", &file, "--of", "card", "--data", &data], "--of card: no list is of that"),
        (&["export"], "CSV"),
    ] {
        let finished = millrace([&["risk", "lists"][..], args].concat());
        assert_ne!(finished.code, Some(0), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(said), "{args:?}: no {said:?} in {}", finished.stderr);
    }
}

/// What is asked of no payment, and what is not known yet.
fn sentences(bench: &Bench, payment: &str) {
    let unknown = Uuid::from_u128(77).to_string();
    for args in [&["decision", &unknown][..], &["report-fraud", &unknown]] {
        let finished = match args[0] {
            "decision" => bench.risk(args),
            _ => bench.signed(args),
        };
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let said = format!("the server has no payment {unknown}: check the id");
        assert!(finished.stderr.contains(&said), "{args:?}: {}", finished.stderr);
    }
    let finished = bench.signed(&["report-fraud", payment, "--known-at", "2299-01-01T00:00:00Z"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let said = "--known-at 2299-01-01T00:00:00Z is in the future";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
}

/// Everything is reviewed; the reasons are sentences. Returns one of the payments.
fn decisions_have_words(bench: &Bench) -> String {
    bench.promote(&["--review-at", "0"]);
    // A file like the one before, of other payments.
    let file = bench.path("more.csv");
    let generate = ["risk", "generate", "--payments", "50", "--days", "24", "--out", &file];
    done(millrace(generate.into_iter().chain(["--seed", "6", "--fraud-share", "0.1"])));
    let url = bench.url();
    let submit = ["submit", "--open-accounts", "--json", "--target", &url, "--file", &file];
    // Opening balances are payments, too: they are held, and so nothing is paid. That is enough here.
    let _ = millrace(submit);
    let listed = eventually("reviews are listed", || {
        let printed = done(bench.risk(&["reviews", "list", "--json", "--limit", "5"]));
        printed.lines().next().map(str::to_owned)
    });
    let listed: Value = serde_json::from_str(&listed).expect("is JSON");
    let payment = listed["payment_id"].as_str().expect("an id").to_owned();
    let found = json(&done(bench.risk(&["decision", &payment, "--json"])));
    let contributions = found["contributions"].as_array().expect("a list");
    assert!(!contributions.is_empty(), "{found}");
    for contribution in contributions {
        let (words, feature) = (&contribution["words"], &contribution["feature"]);
        assert!(words.as_str().is_some_and(|words| words.contains(' ')), "{contribution}");
        assert!(feature.as_str().is_some_and(|name| !name.contains(' ')), "{contribution}");
    }
    let shown = done(bench.risk(&["decision", &payment]));
    let words = contributions[0]["words"].as_str().expect("is text");
    assert!(shown.contains(words), "no {words:?} in {shown}");
    payment
}

/// A feature is added before all others. The policy in force stays, what it says of new payments and
/// what it said of old ones has the right names, and a model with the new feature can be trained.
fn the_catalogue_grows(bench: &mut Bench, payment: &str) {
    let (before, document) = (bench.decision(payment), bench.document());
    let added = "[[feature]]\nname = \"payer.count_3h\"\nentity = \"payer\"\nstatistic = \"count\"\n\
                 window = \"3h\"\nform = \"ring\"\n\n[[feature]]\n";
    let standard = millrace_risk::features::Catalogue::STANDARD;
    let grown = bench.write("grown.toml", standard.replacen("[[feature]]\n", added, 1));
    bench.restart_with(&grown);
    let contributions = |of: &Value| of["contributions"].clone();
    assert_eq!(contributions(&bench.decision(payment)), contributions(&before));
    assert_eq!(bench.document(), document);

    let file = bench.path("grown.csv");
    let generate = ["risk", "generate", "--payments", "50", "--days", "24", "--out", &file];
    done(millrace(generate.into_iter().chain(["--seed", "7", "--fraud-share", "0.1"])));
    let url = bench.url();
    let submit = ["submit", "--open-accounts", "--json", "--target", &url, "--file", &file];
    let _ = millrace(submit);
    let newest = eventually("a review of now is listed", || {
        let printed = done(bench.risk(&["reviews", "list", "--json", "--limit", "1000"]));
        let last: Value = serde_json::from_str(printed.lines().last()?).expect("is JSON");
        let found = bench.decision(last["payment_id"].as_str()?);
        let number = |found: &Value| found["event_sequence"].as_u64();
        (number(&found) > number(&before)).then_some(found)
    });
    let own = contributions(&newest);
    let own = own.as_array().expect("a list");
    assert!(!own.is_empty() && newest["score"].is_number(), "{newest}");
    for contribution in own {
        let name = contribution["feature"].as_str().expect("a name");
        assert!(standard.contains(&format!("name = \"{name}\"")), "{contribution}");
        assert_ne!(name, "payer.count_3h", "the model does not know it");
    }

    let (data, model) = (bench.data_dir(), bench.path("grown.mrm"));
    let train = ["risk", "train", "--journal", &data, "--train", TRAIN, "--out", &model];
    done(millrace(train.into_iter().chain(["--catalogue", &grown, "--algorithm", "logistic"])));
    bench.promote(&["--model", &model, "--dry-run"]);
    let rules = "[[rule]]\nname = \"often\"\nwhen = \"payer.count_3h > 20\"\naction = \"review\"\n\
                 reason = \"{payer.count_3h} payments\"\n";
    bench.promote(&["--rules", &bench.write("often.toml", rules), "--dry-run"]);

    // What means something else is refused at the start, with what differs.
    let other = standard.replacen("window = \"14d\"", "window = \"21d\"", 1);
    let config = Settings::unlimited().with("risk.features.enabled", true);
    let config = config.with("risk.features.catalogue", bench.write("other.toml", other));
    bench.server.take().expect("it runs").stop();
    let config = config.write(bench.scratch.path());
    let mut process = Server::launch(&config, &bench.scratch.path().join("data"));
    let status = process.wait(WAIT_MAX);
    let said = process.stderr();
    assert!(!status.success(), "{said}");
    for part in ["the risk policy in force", "window is 14d in the model and 21d in the catalogue"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    bench.restart_with("standard");
    assert_eq!(contributions(&bench.decision(payment)), contributions(&before));
}

/// A policy that is in force comes back with the backup, and without its shelf it would not.
fn backups_have_the_shelf(bench: &Bench) {
    let (backup, restored) = (bench.path("backup"), bench.path("restored"));
    let data = bench.data_dir();
    let report = json(&done(millrace(["backup", "--json", "--data-dir", &data, "--to", &backup])));
    let artefacts = report["artefacts"].as_u64().expect("is a number");
    assert!(artefacts >= 5, "a model, rules, policies: {report}");
    let restore = ["restore", "--json", "--from", &backup, "--to", &restored];
    assert_eq!(json(&done(millrace(restore)))["artefacts"], artefacts);
    let config = bench.scratch.path().join("millrace.toml");
    let server = Server::start(&config, Path::new(&restored));
    let url = server.url();
    let show = || millrace(["risk", "policy", "show", "--json", "--target", &url]);
    let there = eventually("the desk has read the journal", || {
        let shown = show();
        (shown.code == Some(0)).then(|| json(&shown.stdout))
    });
    assert_eq!(there["document"], bench.document());
    server.stop();
}

fn rollback(bench: &Bench) {
    let before = bench.document();
    assert!(before.contains("review = 0.0"), "{before}");
    done(bench.signed(&["promote", "--rollback"]));
    assert!(bench.document().contains("review = 0.05"), "{}", bench.document());
    let finished = bench.signed(&["promote", "--rollback", "--review-at", "0.5"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
}
