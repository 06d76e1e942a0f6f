//! Decisions in words: consumes a payment that was judged, produces the names and sentences of what
//! moved its score, by the catalogue and the policy that judged it, whatever the catalogue is by
//! now.

use serde_json::Value;

use crate::{
    bench::{Bench, TRAIN},
    support::{
        WAIT_MAX, bank::uuid, eventually, process::millrace, risk::settings, server::Server,
    },
};

/// What is asked of no payment, and what is not known yet.
pub(crate) fn sentences(bench: &Bench, payment: &str) {
    let unknown = uuid(77);
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
pub(crate) fn decisions_have_words(bench: &Bench) -> String {
    bench.promote(&["--review-at", "0"]);
    // A file like the one before, of other payments.
    let file = bench.scratch.file("more.csv");
    let generate = ["risk", "generate", "--payments", "50", "--days", "24", "--out", &file];
    millrace(generate.into_iter().chain(["--seed", "6", "--fraud-share", "0.1"])).done();
    let url = bench.server().url();
    let submit = ["submit", "--open-accounts", "--json", "--target", &url, "--file", &file];
    // Opening balances are payments, too: they are held, and so nothing is paid. That is enough here.
    let _ = millrace(submit);
    let listed = eventually("reviews are listed", || {
        let printed = bench.risk(&["reviews", "list", "--json", "--limit", "5"]).done();
        printed.lines().next().map(str::to_owned)
    });
    let listed: Value = serde_json::from_str(&listed).expect("is JSON");
    let payment = listed["payment_id"].as_str().expect("an id").to_owned();
    let found = bench.risk(&["decision", &payment, "--json"]).json();
    let contributions = found["contributions"].as_array().expect("a list");
    assert!(!contributions.is_empty(), "{found}");
    for contribution in contributions {
        let (words, feature) = (&contribution["words"], &contribution["feature"]);
        assert!(words.as_str().is_some_and(|words| words.contains(' ')), "{contribution}");
        assert!(feature.as_str().is_some_and(|name| !name.contains(' ')), "{contribution}");
    }
    let shown = bench.risk(&["decision", &payment]).done();
    let words = contributions[0]["words"].as_str().expect("is text");
    assert!(shown.contains(words), "no {words:?} in {shown}");
    payment
}

/// A feature is added before all others. The policy in force stays, what it says of new payments and
/// what it said of old ones has the right names, and a model with the new feature can be trained.
pub(crate) fn the_catalogue_grows(bench: &mut Bench, payment: &str) {
    let (before, document) = (bench.decision(payment), bench.document());
    let added = "[[feature]]\nname = \"payer.count_3h\"\nentity = \"payer\"\nstatistic = \"count\"\n\
                 window = \"3h\"\nform = \"ring\"\n\n[[feature]]\n";
    let standard = millrace_risk::features::Catalogue::STANDARD;
    let grown = bench.scratch.write("grown.toml", standard.replacen("[[feature]]\n", added, 1));
    bench.restart_with(&grown);
    let contributions = |of: &Value| of["contributions"].clone();
    assert_eq!(contributions(&bench.decision(payment)), contributions(&before));
    assert_eq!(bench.document(), document);

    let file = bench.scratch.file("grown.csv");
    let generate = ["risk", "generate", "--payments", "50", "--days", "24", "--out", &file];
    millrace(generate.into_iter().chain(["--seed", "7", "--fraud-share", "0.1"])).done();
    let url = bench.server().url();
    let submit = ["submit", "--open-accounts", "--json", "--target", &url, "--file", &file];
    let _ = millrace(submit);
    let newest = eventually("a review of now is listed", || {
        let printed = bench.risk(&["reviews", "list", "--json", "--limit", "1000"]).done();
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

    let (data, model) = (bench.data_dir(), bench.scratch.file("grown.mrm"));
    let train = ["risk", "train", "--journal", &data, "--train", TRAIN, "--out", &model];
    millrace(train.into_iter().chain(["--catalogue", &grown, "--algorithm", "logistic"])).done();
    bench.promote(&["--model", &model, "--dry-run"]);
    let rules = "[[rule]]\nname = \"often\"\nwhen = \"payer.count_3h > 20\"\naction = \"review\"\n\
                 reason = \"{payer.count_3h} payments\"\n";
    bench.promote(&["--rules", &bench.scratch.write("often.toml", rules), "--dry-run"]);

    // What means something else is refused at the start, with what differs.
    let other = standard.replacen("window = \"14d\"", "window = \"21d\"", 1);
    let config =
        settings().with("risk.features.catalogue", bench.scratch.write("other.toml", other));
    bench.server.take().expect("it runs").stop();
    let config = config.write(bench.scratch.path());
    let mut process = Server::launch(&config, &bench.scratch.join("data"));
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
