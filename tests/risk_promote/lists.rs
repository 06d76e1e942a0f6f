//! Lists: consumes files of values, produces policies that have them, and the same files again when
//! they are exported. A wrong one changes nothing.

use std::fs;

use serde_json::Value;

use crate::{
    bench::Bench,
    explained,
    support::{
        bank::uuid,
        eventually,
        payments_file::{PaymentsFile, cell},
        process::millrace,
        text,
    },
};

/// A list comes into the policy in force, is replaced, and decides; a wrong one changes nothing.
pub(crate) fn lists(bench: &Bench) {
    // One payment more, of accounts that are open.
    let payments = bench.scratch.read("payments.csv");
    let mut lines = payments.lines();
    let (header, last) = (lines.next().expect("a header"), lines.next_back().expect("payments"));
    let file = bench.scratch.write("listed.csv", format!("{header}\nlisted-{last}\n"));
    let listed = PaymentsFile::read(&file);
    let row = listed.rows.last().expect("has payments");
    let payment = uuid(row.payment.payment_id);
    let device = cell(row, listed.column("device"));

    let rule = "[[rule]]\nname = \"known\"\nwhen = \"context.device in bad_devices\"\n\
                action = \"block\"\nreason = \"a known device\"\n";
    let rules = bench.scratch.write("listed.toml", rule);
    let none = bench.scratch.write("none.csv", "value\nnobody\n");
    let none = format!("bad_devices:block={none}");
    bench.refused(&["--rules", &rules], "bad_devices");
    let added = bench.promote(&["--rules", &rules, "--list", &none]);
    assert_eq!(Bench::parts(&added), ["rules", "list bad_devices", "kind of bad_devices"]);

    // A list that no rule names is told, and one of which nothing is listed any more.
    let unused = bench.scratch.write("unused.csv", "value,expires_at\nnobody,2020-01-01\n");
    let unused = format!("unused:block={unused}");
    let told = bench.promote(&["--list", &unused, "--dry-run"]);
    let warnings = told["warnings"].to_string();
    for said in ["no rule names the list unused, so it does nothing", "(1) have expired"] {
        assert!(warnings.contains(said), "{told}");
    }
    assert_eq!(added["warnings"], serde_json::json!([]), "{added}");

    let listed = bench.scratch.write("devices.csv", format!("value,reason\n{device},stolen\n"));
    let listed = format!("bad_devices:block={listed}");
    let replaced = bench.promote(&["--list", &listed]);
    assert_eq!(Bench::parts(&replaced), ["list bad_devices"], "{replaced}");
    assert_eq!(replaced["changes"][0]["before"], added["changes"][1]["after"], "{replaced}");
    let document = bench.document();
    assert_eq!(document.matches("[[list]]").count(), 1, "{document}");

    lists_come_back(bench, device);
    bench.promote(&["--list", &listed]);

    let wrong = bench.scratch.write("wrong.csv", "value,expires_at\na,tomorrow\n");
    let wrong = format!("bad_devices:block={wrong}");
    for (args, said) in [
        (&["--list", &wrong][..], "line 2, column 2 (expires_at)"),
        (&["--list", "bad_devices:block=nowhere.csv"], "nowhere.csv can't be read"),
    ] {
        bench.refused(args, said);
    }
    assert_eq!(bench.document(), document, "the policy in force stays");

    let url = bench.server().url();
    // It is refused, which the command tells by its exit code.
    let _ = millrace(["submit", "--target", &url, "--file", &file]);
    let found = eventually("the payment was judged", || {
        let finished = bench.risk(&["decision", &payment, "--json"]);
        (finished.code == Some(0)).then(|| finished.json())
    });
    assert_eq!((&found["decision"], &found["rule"]), (&"decline".into(), &"known".into()));
    explained::sentences(bench, &payment);
}

/// A list in force is exported, with when it ends and why, and is the same when it is promoted again.
fn lists_come_back(bench: &Bench, device: &str) {
    let url = bench.server().url();
    let ended = |args: &[&str]| {
        millrace([&["risk", "lists", "export", "--server", &url][..], args].concat())
    };
    let export = |args: &[&str]| ended(args).done();
    let whole = format!(
        "value,expires_at,reason,added_by\n{device},2099-01-31T12:30:00Z,\"stolen, twice\",ann\n\
         gone,2020-01-01,,\n\"quoted \"\"one\"\"\",,,ben\n"
    );
    let file = bench.scratch.write("whole.csv", &whole);
    let page = bench.scratch.file("promoted.html");
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
    let out = bench.scratch.file("exported.csv");
    export(&["bad_devices", "--out", &out]);
    let of = |file: &str| {
        let check = ["risk", "lists", "check", file, "--name", "bad_devices", "--json"];
        millrace(check).json()
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
    let next =
        bench.scratch.write("next.csv", format!("value,expires_at\n{device},\nnew,2099-01-01\n"));
    let page = bench.scratch.file("next.html");
    let data = bench.scratch.file("payments.csv");
    let check = ["risk", "lists", "check", &next, "--name", "bad_devices", "--server", &url];
    let more = ["--data", &data, "--days", "400", "--of", "context.device", "--json"];
    let checked = check.into_iter().chain(more).chain(["--report", &page]);
    let checked = millrace(checked).json();
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
    let day = millrace(day).json();
    assert!(day["touched"]["rows"].as_u64().is_some_and(|rows| rows < 300), "{day}");
    assert_eq!(day["added"], Value::Null, "there is nothing to compare with");

    // There and back again: the same list, and the same file.
    bench.promote(&["--list", &format!("bad_devices:block={out}")]);
    assert_eq!(export(&["bad_devices"]), exported);
    let told = ended(&["--json"]).json();
    assert_eq!((&told["name"], &told["values"]), (&"bad_devices".into(), &3.into()), "{told}");
    assert_eq!(told["blake3"], of(&file)["blake3"], "{told}");
    export(&["--out", text(bench.scratch.path())]);
    let path = bench.scratch.join("bad_devices.csv");
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
