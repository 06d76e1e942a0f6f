//! Submission to a server that loses streams: every payment arrives, in order, and counts once.

mod fake;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use fake::{Fault, Loss, Shared};
use millrace_client::{
    AccountPlan, Connection, CsvFile, Mapping, Progress, RefusedFile, Source, Submission,
    SubmitError, SubmitOptions, Summary, open_accounts,
};
use millrace_protos::v1::update_account_request::Change;
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const HEADER: &str = "payment,operation,payer,payee,amount,currency,original,linked,\
                      timeout_seconds,up_to_balance,purpose,channel,country,expect";

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

fn options() -> SubmitOptions {
    SubmitOptions {
        batch_rows: 10,
        in_flight: 4,
        answer_timeout: PATIENCE,
        give_up_after: PATIENCE,
    }
}

fn sample_mapping() -> Mapping {
    let header: Vec<&str> = HEADER.split(',').collect();
    Mapping::for_header(&header).expect("the sample's header")
}

/// A file of the sample's columns with these rows after the header.
fn file(folder: &Path, rows: &str) -> CsvFile {
    let path = folder.join("in.csv");
    fs::write(&path, format!("{HEADER}\n{rows}")).expect("writes");
    CsvFile::open(Source::Path(path), &sample_mapping()).expect("opens")
}

fn pay_rows(count: u32) -> String {
    (0..count).map(|n| format!("p{n},pay,alice,bob,{}.00,EUR,,,,,,,,\n", n + 100)).collect()
}

async fn submit(
    connection: &Connection,
    file: &CsvFile,
    options: SubmitOptions,
) -> Result<Summary, SubmitError> {
    let submission = Submission::new(connection.clone(), options, |_| ());
    submission.run(file.rows().expect("opens"), RefusedFile::beside(file)).await
}

/// Each line: what goes wrong on the first streams.
#[tokio::test]
async fn whatever_stream_is_lost_each_payment_arrives_once_and_in_order() {
    let fault =
        |after_answers, decides_one_more, loss| Fault { after_answers, decides_one_more, loss };
    let status = |code| Loss::Status(Status::new(code, "try later"));
    for (case, faults) in [
        ("nothing", vec![]),
        ("unavailable at once", vec![fault(0, false, status(Code::Unavailable))]),
        ("unavailable midway", vec![fault(7, false, status(Code::Unavailable))]),
        ("exhausted, decided", vec![fault(7, true, status(Code::ResourceExhausted))]),
        ("ends midway", vec![fault(3, true, Loss::Ends)]),
        ("silent midway", vec![fault(5, true, Loss::Silence)]),
        ("silent at once", vec![fault(0, true, Loss::Silence)]),
        (
            "again and again",
            vec![
                fault(2, true, Loss::Ends),
                fault(0, true, status(Code::Unavailable)),
                fault(1, false, Loss::Silence),
                fault(4, true, status(Code::DeadlineExceeded)),
            ],
        ),
    ] {
        let folder = TempDir::new().expect("a folder");
        let (fake, file) = (Shared::default(), file(folder.path(), &pay_rows(503)));
        let streams = faults.len() + 1;
        // Who is told nothing gives a stream up by the clock, and on a busy machine some that would
        // have answered.
        let silent = faults.iter().any(|fault| matches!(fault.loss, Loss::Silence));
        let options = match silent {
            true => SubmitOptions { answer_timeout: Duration::from_millis(300), ..options() },
            false => options(),
        };
        let decided_twice = faults.iter().any(|fault| fault.decides_one_more);
        fake.lock().faults = faults.into();
        let connection = fake.serve().await;
        let summary = submit(&connection, &file, options).await.expect(case);

        let ids: Vec<u128> =
            (0..503).map(|n| sample_mapping().payment_id(&format!("p{n}")).0).collect();
        assert_eq!(fake.lock().first_arrivals, ids, "{case}: all, in order");
        let opened = fake.lock().streams;
        assert!(opened == streams || silent && opened > streams, "{case}: {opened} streams");
        assert_eq!((summary.submitted, summary.settled), (503, 503), "{case}");
        assert_eq!((summary.rejected_total(), summary.duplicates), (0, 0), "{case}");
        assert_eq!(summary.replayed > 0, decided_twice, "{case}");
        let sum: u128 = (0..503).map(|n| (n + 100) * 100).sum();
        assert_eq!(summary.settled_minor.get("EUR"), Some(&sum.into()), "{case}");
        assert_eq!(summary.latency_us.len(), 51, "{case}: one per request");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_is_found() {
    let folder = TempDir::new().expect("a folder");
    let (fake, file) = (Shared::default(), file(folder.path(), &pay_rows(500)));
    // Answers stop, so that the kill comes while requests are unanswered.
    let silence = Fault { after_answers: 9, decides_one_more: true, loss: Loss::Silence };
    fake.lock().faults = [silence].into();
    let (address, server) = {
        let fake = fake.clone();
        let any_port = "127.0.0.1:0".parse().expect("an address");
        tokio::task::spawn_blocking(move || fake.serve_apart(any_port)).await.expect("serves")
    };
    let connection = fake::connect(address).await;
    let run = tokio::spawn(async move { submit(&connection, &file, options()).await });
    while fake.lock().request_lengths.len() < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.shutdown_background();
    let again = fake.clone();
    let restart = tokio::task::spawn_blocking(move || again.serve_apart(address));
    let (_, server) = restart.await.expect("serves");
    let summary = run.await.expect("no panic").expect("continues");
    assert_eq!((summary.submitted, summary.settled), (500, 500));
    assert_eq!(summary.replayed, 10, "the request that was decided and not answered");
    server.shutdown_background();
}

#[tokio::test]
async fn each_payment_counts_once_by_its_first_outcome() {
    let rows = "\
hold,authorize,bob,hotel,300.00,EUR,,,,,,,,
stay,capture,,,180.00,EUR,hold,,,,,,,
rest,capture,,,,,hold,,,,,,,
release,void,,,,,hold,,,,,,,
one,pay,alice,bob,5.00,CZK,,,,,,,,
one,pay,alice,bob,5.00,CZK,,,,,,,,
one,pay,alice,bob,6.00,CZK,,,,,,,,
back,refund,,,2.00,CZK,one,,,,,,,
poor,pay,alice,bob,13.00,CZK,,,,,,,,
poor,pay,alice,bob,13.00,CZK,,,,,,,,
bad,pay,alice,bob,x,CZK,,,,,,,,
";
    let folder = TempDir::new().expect("a folder");
    let (fake, file) = (Shared::default(), file(folder.path(), rows));
    let connection = fake.serve().await;
    for (run, replayed) in [("first", 2), ("resumed", 9)] {
        let summary = submit(&connection, &file, options()).await.expect(run);
        assert_eq!(summary.submitted, 10, "{run}");
        assert_eq!((summary.settled, summary.held, summary.voided), (4, 1, 1), "{run}");
        let rejected: Vec<_> = summary.rejected.iter().map(|(r, n)| (r.as_str(), *n)).collect();
        let expected = [("ID_REUSED_AMOUNT_DIFFERS", 1), ("INSUFFICIENT_FUNDS", 1)];
        assert_eq!(rejected, expected, "{run}");
        assert_eq!(summary.rejected_rows["ID_REUSED_AMOUNT_DIFFERS"][0].line, 8, "{run}");
        assert_eq!((summary.duplicates, summary.replayed), (2, replayed), "{run}");
        // The capture without a currency is in that of its hold; the fake says it moved 77.
        let settled: Vec<_> =
            summary.settled_minor.iter().map(|(c, sum)| (*c, sum.to_string())).collect();
        assert_eq!(settled, [("CZK", "500".to_owned()), ("EUR", "18077".to_owned())], "{run}");
        assert_eq!(summary.refunded_minor.get("CZK"), Some(&200.into()), "{run}");
        let refused = &summary.refused_rows;
        assert_eq!((refused.count, refused.first[0].line), (1, 12), "{run}");
        let written = fs::read_to_string(refused.file.as_ref().expect("is written"));
        let expected = format!("{HEADER}\nbad,pay,alice,bob,x,CZK,,,,,,,,\n");
        assert_eq!(written.expect("is there"), expected, "{run}");
    }
}

#[tokio::test]
async fn progress_ends_with_every_row_answered_and_groups_stay_together() {
    let linked: String = (0..25).map(|n| format!("g{n},pay,a,b,1.00,EUR,,true,,,,,,\n")).collect();
    let rows = format!("{}{linked}{}", pay_rows(7), pay_rows(40));
    let folder = TempDir::new().expect("a folder");
    let (fake, file) = (Shared::default(), file(folder.path(), &rows));
    let connection = fake.serve().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let progress = move |progress: Progress| keep.lock().expect("no panic").push(progress);
    let submission = Submission::new(connection, options(), progress);
    let refused = RefusedFile::beside(&file);
    submission.run(file.rows().expect("opens"), refused).await.expect("succeeds");
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.last(), Some(&Progress { sent: 72, answered: 72 }));
    assert!(seen.iter().all(|progress| progress.answered <= progress.sent));
    assert!(seen.iter().all(|progress| progress.sent - progress.answered <= 26 + 3 * 10));
    // The group and the row that closes it are one request.
    assert_eq!(fake.lock().request_lengths, [7, 26, 10, 10, 10, 9]);
}

#[tokio::test]
async fn what_waiting_can_not_help_ends_the_run_with_a_sentence() {
    let scope = [("scope".to_owned(), "pay".to_owned())];
    let details = ErrorDetails::with_error_info("SCOPE_MISSING", "millrace", scope);
    let denied = Status::with_error_details(Code::PermissionDenied, "no scope to pay", details);
    for (loss, expected) in [
        (Loss::Status(denied), "no scope to pay (reason SCOPE_MISSING); 30 rows were answered"),
        (Loss::ShortAnswer, "9 outcomes for 10 payments"),
    ] {
        let folder = TempDir::new().expect("a folder");
        let (fake, file) = (Shared::default(), file(folder.path(), &pay_rows(100)));
        fake.lock().faults = [Fault { after_answers: 3, decides_one_more: false, loss }].into();
        let error = submit(&fake.serve().await, &file, options()).await.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fake.lock().streams, 1, "no second attempt");
    }
}

#[tokio::test]
async fn patience_ends() {
    let folder = TempDir::new().expect("a folder");
    let (fake, file) = (Shared::default(), file(folder.path(), &pay_rows(100)));
    let later = Loss::Status(Status::unavailable("draining"));
    let fault = Fault { after_answers: 0, decides_one_more: false, loss: later };
    fake.lock().faults = vec![fault; 100].into();
    let hasty = SubmitOptions { give_up_after: Duration::from_secs(1), ..options() };
    let error = submit(&fake.serve().await, &file, hasty).await.expect_err("never answers");
    let sentence = error.to_string();
    assert!(sentence.starts_with("gave up after 1 s without an answer"), "{sentence}");
    assert!(sentence.contains("draining"), "{sentence}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    for (url, expected) in [
        ("http://127.0.0.1:1", "nothing listens at http://127.0.0.1:1 (connection refused): start"),
        ("not a url", "`not a url` is not the URL of a server"),
    ] {
        let sentence = Connection::open(url).await.expect_err(url).to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
}

#[tokio::test]
async fn accounts_are_opened_funded_and_restricted_once() {
    let mapping = sample_mapping();
    let file = CsvFile::open(Source::SAMPLE, &mapping).expect("is built in");
    let plan = AccountPlan::of_file(&file, &mapping).expect("a plan");
    let fake = Shared::default();
    let connection = fake.serve().await;
    let first = open_accounts(&connection, &plan, PATIENCE).await.expect("opens");
    let again = open_accounts(&connection, &plan, PATIENCE).await.expect("opens again");
    assert_eq!((first.faults, again.faults), (0, 0), "{:?}", first.first_faults);
    assert_eq!((again.created, again.unchanged), (0, first.created));
    assert_eq!((first.restricted, again.restricted), (2, 2));
    assert_eq!(first.funded, again.funded);

    let fake = fake.lock();
    let id = |text: &str, currency: &str| {
        let currency = millrace_ledger::Currency::of_code(currency).expect("in ISO 4217");
        mapping.account_id(text, currency).0
    };
    let account = |id: u128| fake.accounts.get(&id.to_be_bytes()[..]);
    assert!(account(id("typo-shop", "CZK")).is_none(), "missing accounts stay so");
    assert_eq!(account(id("emil", "CZK")).expect("is open").credit_limit_minor, 100_000);
    assert_eq!(account(id("restaurant", "EUR")).expect("is open").ledger, 978);
    assert_eq!(account(id("restaurant", "CZK")).expect("is open").ledger, 203);
    let change = |id: u128| fake.changes.get(&id.to_be_bytes()[..]);
    assert!(matches!(change(id("frank", "EUR")), Some(Change::Freeze(_))));
    assert!(matches!(change(id("old-kiosk", "EUR")), Some(Change::Close(_))));
    let funded = |text: &str, currency: &str| {
        let id = id(text, currency);
        fake.payments.values().find(|pay| pay.credit_account_id == id).and_then(|p| p.amount_minor)
    };
    assert_eq!(funded("dora", "CZK"), Some(10_000), "her own amount");
    assert_eq!(funded("chiyo", "JPY"), Some(21_200), "what the file makes her pay");
    assert_eq!(funded("emil", "CZK"), None);
    assert_eq!(funded("corner-shop", "CZK"), None);
}
