//! The main job, as people first see it: `millrace demo`, and what broken rows get.

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use millrace_client::{CsvFile, Mapping, Row, Source, header_of};
use millrace_protos::v1::{GetPaymentRequest, GetPaymentResponse, RejectReason, RiskDecision};
use serde_json::{Value, json};
use support::{
    config::Settings,
    orders::{self, Orders},
    payments::{error_info, id_bytes, word},
    process::{Finished, millrace},
    repository,
    server::Server,
    text, within,
};
use tonic::{Code, Status};

/// The sample's rows, each with the words of its column `expect`.
fn sample() -> (Mapping, Vec<(Row, Vec<String>)>) {
    let header = header_of(&Source::SAMPLE).expect("has a header");
    let mapping = Mapping::for_header(&header).expect("ships");
    let file = CsvFile::open(Source::SAMPLE, &mapping).expect("opens");
    let rows = file.rows().expect("opens").map(|row| {
        let row = row.expect("every row is right");
        let expect = row.record.get(header.len() - 1).expect("the last column");
        let words = std::str::from_utf8(expect).expect("is UTF-8").split(' ');
        let words = words.map(str::to_owned).collect();
        (row, words)
    });
    let rows = rows.collect();
    (mapping, rows)
}

fn json_of(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("prints one JSON object and nothing else")
}

/// Guards against a demonstration that shows other outcomes than its own sample announces, or that
/// counts them wrong.
#[test]
fn the_sample_comes_to_what_its_column_expect_says() {
    let shown = json_of(&millrace(["demo", "--once", "--json", "--fraud-payments", "0"]));
    assert!(shown.get("fraud").is_none(), "0 leaves the second act out: {shown}");
    let (_, rows) = sample();
    let count = |words: &[&str]| {
        let rows = rows.iter().filter(|(_, expect)| *expect == words);
        rows.count() as u64
    };
    let mut rejected: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, expect) in &rows {
        if let [status, reason] = expect.as_slice()
            && status == "REJECTED"
        {
            *rejected.entry(reason).or_default() += 1;
        }
    }
    let duplicates = count(&["SETTLED", "REPLAYED"]);
    let for_review = count(&["HELD", "REVIEW"]);
    assert!(rejected.len() > 10 && duplicates > 0 && for_review > 0, "the sample shows them");
    for (field, expected) in [
        ("submitted", json!(rows.len())),
        ("settled", json!(count(&["SETTLED"]))),
        ("held", json!(count(&["HELD"]) + for_review)),
        ("held_for_review", json!(for_review)),
        ("voided", json!(count(&["VOIDED"]))),
        ("rejected", json!(rejected)),
        ("duplicates", json!(duplicates)),
        ("replayed", json!(duplicates)),
        ("refused_rows", json!(0)),
        // 245.50 + 14500 + 32000 + 1500 (fuel) + 40 + 60 (what dora had left) + 800 + 909 (dinner).
        ("settled_minor", json!({"CZK": 5_005_450, "EUR": 35_280, "JPY": 1_200})),
        ("refunded_minor", json!({"EUR": 1_500})),
        ("expired_holds", json!(1)),
        ("conserved", json!(true)),
        ("audit_chain_ok", json!(true)),
        ("recovered_events", json!(0)),
    ] {
        assert_eq!(shown[field], expected, "{field} of {shown}");
    }
}

/// Guards against a demonstration that is right in its sums and wrong in its rows: each row is
/// fetched by its id from a server under the same limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_row_of_the_sample_can_be_read_back() {
    let (mapping, rows) = sample();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let config = Settings::dev().exempting_funding_of(&mapping).write(scratch.path());
    let server = Server::start(&config, &scratch.path().join("data"));
    let sample_file = repository("configs/sample/payments.csv");
    let submitted = millrace([
        "submit",
        "--file",
        text(&sample_file),
        "--open-accounts",
        "--json",
        "--target",
        &server.url(),
    ]);
    assert_eq!(json_of(&submitted)["submitted"], json!(rows.len()));
    let connection = server.connect().await;
    let mut first_outcome_of = BTreeMap::new();
    for (row, expect) in &rows {
        let id = row.payment.payment_id;
        // An id that came again stays what it first was.
        let expect = first_outcome_of.entry(id).or_insert_with(|| expect.join(" "));
        let request = GetPaymentRequest { payment_id: id_bytes(id) };
        let found = within("a payment", connection.payments().get_payment(request)).await;
        let found = found.map(tonic::Response::into_inner);
        assert_eq!(read_back(&found), expected_back(expect), "line {}", row.line);
    }
    server.stop();
}

/// What a payment is when it is read back.
fn read_back(found: &Result<GetPaymentResponse, Status>) -> String {
    match found {
        Ok(found) => {
            let outcome = found.outcome.as_ref().expect("has an outcome");
            match RiskDecision::try_from(outcome.risk_decision) {
                Ok(RiskDecision::Review) => format!("{} REVIEW", word(outcome)),
                _ => word(outcome),
            }
        }
        Err(status) if status.code() == Code::NotFound => {
            let reason = ("millrace.v1".to_owned(), "PAYMENT_UNKNOWN".to_owned());
            assert_eq!(error_info(status), Some(reason));
            "unknown".to_owned()
        }
        Err(status) => panic!("{status}"),
    }
}

/// Refusals that depend on the request alone leave the id free for a corrected one.
fn expected_back(expect: &str) -> String {
    let leaves_id_free = expect.strip_prefix("REJECTED ").is_some_and(|reason| {
        let reason = RejectReason::from_str_name(&format!("REJECT_REASON_{reason}"));
        reason.expect("a known reason") < RejectReason::DebitAccountUnknown
    });
    if leaves_id_free { "unknown".to_owned() } else { expect.to_owned() }
}

/// Guards the promise on the issue's first line: every real order settles, to the last haler.
#[test]
fn all_real_orders_settle() {
    let file = match orders::real_file() {
        Ok(file) => file,
        Err(missing) => {
            return println!("SKIPPED: there are no real orders, {}", missing.display());
        }
    };
    let shown = json_of(&millrace(["demo", "--once", "--json", "--file", text(&file)]));
    for (field, expected) in [
        ("mapping", json!("standing-orders")),
        ("submitted", json!(6_471)),
        ("settled", json!(6_471)),
        ("settled_minor", json!({"CZK": 2_122_899_360_u64})),
        ("held", json!(0)),
        ("rejected", json!({})),
        ("conserved", json!(true)),
        ("audit_chain_ok", json!(true)),
    ] {
        assert_eq!(shown[field], expected, "{field} of {shown}");
    }
}

/// Guards against a first impression that leads nowhere: people are told where to look.
#[test]
fn the_demo_tells_people_where_to_look() {
    let finished = millrace(["demo", "--once", "--fraud-payments", "0"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let line_with = |what: &str| {
        let line = finished.stdout.lines().find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("no line has {what}: {}", finished.stdout)).to_owned()
    };
    assert!(line_with("GraphiQL").contains("http://127.0.0.1:"));
    assert!(line_with("grpcurl").contains("grpcurl -plaintext 127.0.0.1:"));
    assert!(line_with("audit chain").ends_with("ok"));
    assert!(line_with("(CZK)").ends_with("ok"));
    assert!(line_with("INSUFFICIENT_FUNDS").contains("line 19, 22"));
}

/// Guards against a second act that stops no fraud, stops everything, or tells what it did not count;
/// and against one that is another one in a second run.
#[test]
fn fraud_is_stopped_and_most_people_notice_nothing() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data_dir = scratch.path().join("data");
    let demo = ["demo", "--once", "--json", "--fraud-payments", "8000", "--data-dir"];
    let shown = json_of(&millrace(demo.into_iter().chain([text(&data_dir)])));
    let of = |pointer: &str| shown.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let fraud = |what: &str| of(&format!("/fraud/fraud/{what}"));
    let honest = |what: &str| of(&format!("/fraud/honest/{what}"));
    assert_eq!(of("/fraud/payments"), 8_000.0, "{shown}");
    assert!(fraud("stopped") > 0.3 * fraud("payments"), "{shown}");
    assert!(honest("stopped") < 0.1 * honest("payments"), "{shown}");
    assert!(of("/fraud/average_precision") > 0.2, "{shown}");
    let decided = fraud("declined") + fraud("challenged") + fraud("held_for_review");
    assert_eq!(decided, fraud("stopped"), "{shown}");
    let patterns = shown.pointer("/fraud/patterns").and_then(Value::as_object).expect("a table");
    let by_pattern = |what: &str| -> f64 {
        patterns.values().filter_map(|pattern| pattern[what].as_f64()).sum()
    };
    assert_eq!(by_pattern("stopped_minor"), fraud("stopped_minor"), "{shown}");
    assert_eq!(shown.pointer("/fraud/policy/number"), Some(&json!(1)), "{shown}");
    for field in ["conserved", "audit_chain_ok"] {
        assert_eq!(shown[field], json!(true), "{field} of {shown}");
    }

    let printed = millrace(demo[..2].iter().chain(&demo[3..]).chain(&[text(&data_dir)]));
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let again = json_of(&millrace(demo.into_iter().chain([text(&data_dir)])));
    for what in ["fraud", "honest", "patterns", "average_precision", "policy", "examples"] {
        assert_eq!(again["fraud"][what], shown["fraud"][what], "{what}: paid and decided once");
    }
    for part in ["Fraud, stopped", "all fraud", "honest", "were stopped", "an earlier run"] {
        assert!(printed.stdout.contains(part), "no {part:?} in {}", printed.stdout);
    }
    let refused = millrace(["demo", "--once", "--fraud-payments", "12"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("must be 0, or 5000 to"), "{refused:?}");
}

/// Guards against a demonstration that fails where another one runs already: it takes other ports.
#[test]
fn two_demos_run_side_by_side() {
    let demo = || millrace(["demo", "--once", "--json", "--fraud-payments", "0"]);
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(demo), scope.spawn(demo));
        (one.join().expect("ends"), other.join().expect("ends"))
    });
    let (one, other) = (json_of(&one), json_of(&other));
    assert_ne!(one["grpc"], other["grpc"]);
    assert_ne!(one["graphql"], other["graphql"]);
}

/// Line of the file, what stands there instead, and what is said of it.
struct Broken {
    line: usize,
    text: &'static str,
    said: &'static str,
}

const BROKEN_ORDERS: [Broken; 3] = [
    Broken { line: 3, text: "2,2,ST,222,33.7x,loan", said: "column amount_czk: `33.7x`" },
    Broken { line: 5, text: "4,4,ST,444,40.00", said: "the row has 5 columns" },
    Broken { line: 6, text: "5,,ST,555,50.00,", said: "column payer_account is empty" },
];

/// Guards against one broken row that stops a file, is lost silently, or is paid twice when the
/// file comes again: it is named, set aside, and accepted once when it is corrected.
#[test]
fn broken_rows_are_named_and_can_be_corrected() {
    let header = "order_id,payer_account,payee_bank,payee_account,amount_czk,purpose";
    let right: Vec<String> =
        (1..=6).map(|n| format!("{n},{n},ST,{n}{n}{n},{n}0.00,loan")).collect();
    check_correction(header, &right, &BROKEN_ORDERS, None, json!({"CZK": 21_000}));
}

/// The same for a currency that a column tells: `EURO` is none.
#[test]
fn an_unknown_currency_is_named_and_can_be_corrected() {
    let header = "ref,from,to,amount,currency";
    let right: Vec<String> = (1..=3).map(|n| format!("r{n},ann,ben,{n}.00,EUR")).collect();
    let broken =
        [Broken { line: 3, text: "r2,ann,ben,2.00,EURO", said: "column currency: `EURO`" }];
    let mapping = r#"
        name = "wallet"
        header = ["ref", "from", "to", "amount", "currency"]
        namespace = "millrace/tests/wallet"
        [payment]
        id = "{ref}"
        debit = "{from}"
        credit = "{to}"
        amount = "{amount}"
        currency = "{currency}"
        code = 1
        [accounts]
        payer_flags = []
        fund = "0"
    "#;
    check_correction(header, &right, &broken, Some(mapping), json!({"EUR": 600}));
}

fn check_correction(
    header: &str,
    right: &[String],
    broken: &[Broken],
    mapping: Option<&str>,
    settled_minor: Value,
) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| scratch.path().join(name);
    let write = |path: &Path, rows: &[String]| {
        fs::write(path, format!("{header}\n{}\n", rows.join("\n"))).expect("is written");
    };
    let (file, refused, data_dir) = (at("in.csv"), at("in.refused.csv"), at("data"));
    let mapping = mapping.map(|mapping| {
        let path = at("mapping.toml");
        fs::write(&path, mapping).expect("is written");
        path
    });
    let run = |file: &Path| {
        let mut args = vec!["demo", "--once", "--json", "--data-dir", text(&data_dir)];
        args.extend(["--file", text(file)]);
        args.extend(mapping.iter().flat_map(|path| ["--mapping", text(path)]));
        millrace(args)
    };

    let mut rows = right.to_vec();
    for Broken { line, text, .. } in broken {
        rows[line - 2] = (*text).to_owned();
    }
    write(&file, &rows);
    let first = run(&file);
    assert_eq!(first.code, Some(2), "{first:?}");
    for Broken { line, said, .. } in broken {
        let place = format!("{} line {line}", file.display());
        let told = first.stderr.lines().any(|told| told.contains(&place) && told.contains(said));
        assert!(told, "{place} {said}: {}", first.stderr);
    }
    assert!(first.stderr.contains(&format!(
        "{} row{} could not be sent",
        broken.len(),
        if broken.len() == 1 { "" } else { "s" }
    )));
    assert!(first.stderr.contains(text(&refused)), "{}", first.stderr);
    let set_aside = fs::read_to_string(&refused).expect("is beside the file");
    let expected: Vec<&str> =
        std::iter::once(header).chain(broken.iter().map(|b| b.text)).collect();
    assert_eq!(set_aside.lines().collect::<Vec<_>>(), expected);

    let corrected: Vec<String> = broken.iter().map(|b| right[b.line - 2].clone()).collect();
    write(&refused, &corrected);
    let second = json_of(&run(&refused));
    assert_eq!(second["settled"], json!(broken.len()));
    assert_eq!(second["replayed"], json!(0));

    // All of it again, right from the start: every row is known, and nothing moves twice.
    write(&file, right);
    let third = json_of(&run(&file));
    for (field, expected) in [
        ("settled", json!(right.len())),
        ("replayed", json!(right.len())),
        ("settled_minor", settled_minor),
        ("audit_chain_ok", json!(true)),
        ("conserved", json!(true)),
    ] {
        assert_eq!(third[field], expected, "{field} of {third}");
    }
}

/// Guards the generator: the crash test's stand-in for the real file has to read like it.
#[test]
fn generated_orders_read_like_real_ones() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("orders.csv");
    let mut dice = support::dice::Dice::seeded("generated orders");
    fs::write(&path, orders::generated(50, &mut dice)).expect("is written");
    let orders = Orders::read(&path);
    assert_eq!(orders.payments.len(), 50);
    assert!(orders.sum_minor > 50 * 100);
    let debits: u128 = orders.expected.values().map(|account| account.debits_minor).sum();
    assert_eq!(debits, orders.sum_minor);
}
