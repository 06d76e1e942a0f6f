//! Files as they come: right ones, wrong ones, and the card payments of the book.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use millrace_risk_lab::{
    data::{
        Columns, DataError, DaySpan, LabelDelay, Payments, ReadReport, ReadSettings, TestSplit,
        TimeOrder, leaks_in_payments, read, training_rows,
    },
    metrics::{Scored, evaluate},
};

const HEADER: &str = "payment_id,time,customer,terminal,amount,is_fraud";

fn read_bytes(bytes: &[u8], settings: &ReadSettings) -> Result<(Payments, ReadReport), DataError> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for a file");
    read(file.path(), settings, &mut |_, _| ())
}

/// The error's text, without the path that differs from run to run.
fn refused(text: &str, settings: &ReadSettings) -> String {
    let error = read_bytes(text.as_bytes(), settings).expect_err(text).to_string();
    error.split_once(": ").expect("a path comes first").1.to_owned()
}

#[test]
fn plain_gzipped_and_spreadsheet_files_read_the_same() {
    let rows = "1,2018-07-25T10:00:00Z,c1,t1,12.50,0\n2,2018-07-25T10:00:01Z,c2,t1,7,1\n";
    let plain = format!("{HEADER}\n{rows}");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plain.as_bytes()).expect("room in memory");
    let gzipped = gzip.finish().expect("room in memory");
    // With a byte order mark, semicolons, carriage returns, quotes, and no line feed at the end.
    let spreadsheet = format!("\u{feff}{}", plain.trim().replace(',', ";").replace('\n', "\r\n"))
        .replace("c2", "\"c2\"");
    for bytes in [plain.as_bytes(), &gzipped, spreadsheet.as_bytes()] {
        let (payments, report) = read_bytes(bytes, &ReadSettings::default()).expect("a right file");
        assert_eq!((report.rows, report.frauds, report.payers, report.payees), (2, 1, 2, 1));
        assert_eq!(payments.amount(), [12.5, 7.0]);
        assert_eq!((payments.id(1), payments.payers().name(payments.payer()[1])), ("2", "c2"));
        assert_eq!(
            report.span.map(|span| span.to_string()).as_deref(),
            Some("2018-07-25..2018-07-25")
        );
    }
    let cut = read_bytes(&gzipped[..gzipped.len() - 12], &ReadSettings::default());
    assert!(matches!(cut, Err(DataError::Gzip { .. })), "a cut file is told");
}

#[test]
fn own_headers_are_mapped_and_context_is_read() {
    let text =
        "when,pan,shop,eur,device,told\n1532512800,p,s,3.1,d1,\n1532512801,p,s,3,,1532512999\n";
    let columns = Columns::parse("time=when,payer=pan,payee=shop,amount=eur,reported_at=told")
        .expect("a right mapping");
    let settings = ReadSettings { columns, unlabelled: true, ..ReadSettings::default() };
    let (payments, report) = read_bytes(text.as_bytes(), &settings).expect("a right file");
    assert!(!payments.has_labels());
    assert_eq!((report.contexts, report.unused_columns), (vec!["device".to_owned()], vec![]));
    let device = payments.context("device").expect("there is one");
    assert_eq!(device.names.iter().collect::<Vec<_>>(), ["d1", ""]);
    assert_eq!(payments.reported_at(0), None);
    assert_eq!(payments.reported_at(1).map(|at| at.0), Some(1_532_512_999_000_000_000));
}

#[test]
fn wrong_files_get_a_sentence() {
    for (text, expected) in [
        ("", "is empty; the first line must name the columns"),
        ("\n\n", "is empty; the first line must name the columns"),
        (HEADER, "has a header but no payments; write one row per payment below it"),
        (
            "1,2018-07-25T10:00:00Z,c1,t1,12.50,0\n",
            "the first line is \"1,2018-07-25T10:00:00Z,c1,t1,12.50,0\", which looks like a payment; put a header above it",
        ),
        (
            "payment_id,time,custommer,terminal,amount,is_fraud\n",
            "no column for payer (one of payer, customer, customer_id, card, card_id, debit, payer_account, nameorig); the header is: payment_id, time, custommer",
        ),
    ] {
        let error = refused(text, &ReadSettings::default());
        assert!(error.starts_with(expected), "{error}");
    }
    let missing = read(Path::new("no/such/file.csv"), &ReadSettings::default(), &mut |_, _| ());
    let error = missing.expect_err("there is no such file").to_string();
    assert!(error.starts_with("no/such/file.csv: can't be read: "), "{error}");
}

#[test]
fn wrong_rows_are_told_by_line_and_column() {
    let mut text = format!("{HEADER}\n");
    for row in [
        "1,2018-07-25T10:00:00Z,c1,t1,12.50,0",
        "2,yesterday,c1,t1,12.50,0",
        "",
        "3,2018-07-25T10:00:00Z,,t1,12.50,0",
        "4,2018-07-25T10:00:00Z,c1,t1,\"12,50\",0",
        "5,2018-07-25T10:00:00Z,c1,t1,-3,0",
        "6,2018-07-25T10:00:00Z,c1,t1,3,maybe",
        "7,2018-07-25T10:00:00Z,c1,t1,3",
    ] {
        text.push_str(row);
        text.push('\n');
    }
    let expected = "6 rows cannot be read:
  line 3, column time: \"yesterday\" is not a time; write 2018-07-25T13:45:00Z, or Unix time in seconds or milliseconds
  line 5, column customer: \"\" is empty; fill it in, or take the row out
  line 6, column amount: \"12,50\" is not an amount; write digits and a point, such as 12.50, without a currency sign
  line 7, column amount: \"-3\" is a negative amount; write what was paid, and leave refunds out of the file
  line 8, column is_fraud: \"maybe\" is not a label; write 1 for fraud and 0 for anything else
  line 9: has 5 cells, the header has 6; quote cells that hold the delimiter";
    assert_eq!(refused(&text, &ReadSettings::default()), expected);
    let lenient = ReadSettings { bad_rows_max: 6, ..ReadSettings::default() };
    let (payments, report) = read_bytes(text.as_bytes(), &lenient).expect("six are allowed");
    assert_eq!((payments.len(), report.left_out.count), (1, 6));

    text.push_str(&"8,never,c1,t1,3,0\n".repeat(1_000));
    let error = refused(&text, &ReadSettings::default());
    assert!(error.starts_with("1006 rows") && error.ends_with("and 996 more"), "{error}");
}

#[test]
fn time_that_goes_back_is_refused_or_sorted() {
    let text =
        format!("{HEADER}\n1,2018-07-25T10:00:01Z,b,t,2,0\n2,2018-07-25T10:00:00Z,a,t,1,0\n");
    let expected = "line 3 is earlier than the line before it (2018-07-25T10:00:00Z after 2018-07-25T10:00:01Z); sort the file by time, or ask for it to be sorted while it is read";
    assert_eq!(refused(&text, &ReadSettings::default()), expected);
    let sort = ReadSettings { order: TimeOrder::Sort, ..ReadSettings::default() };
    let (payments, _) = read_bytes(text.as_bytes(), &sort).expect("sorted");
    assert_eq!(payments.amount(), [1.0, 2.0]);
}

/// Lines that end where the buffer does are the ones that a chunked reader gets wrong.
#[test]
fn a_file_of_many_buffers_reads_whole() {
    let mut text = format!("{HEADER}\n");
    for n in 0..60_000 {
        text.push_str(&format!(
            "{n},2018-07-25T10:00:00Z,customer {},t{},{n}.25,0\n",
            n % 97,
            n % 13
        ));
    }
    assert!(text.len() > 2 << 20, "more than two buffers");
    let (payments, report) = read_bytes(text.as_bytes(), &ReadSettings::default()).expect("right");
    assert_eq!((report.rows, report.payers, report.payees), (60_000, 97, 13));
    assert!(payments.amount().iter().enumerate().all(|(n, amount)| *amount == n as f64 + 0.25));
    let long = format!("{HEADER}\n{}", "x".repeat(3 << 20));
    assert!(refused(&long, &ReadSettings::default()).starts_with("line 2 is longer than 1 MiB"));
}

fn card_payments() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("../shared/data/card-payments/payments.csv.gz");
    if !path.exists() {
        println!("skipped: ../shared/data/card-payments/payments.csv.gz is absent");
        return None;
    }
    Some(path)
}

/// The four numbers by which the book's split is recognised, and what an oracle reaches on it.
#[test]
fn the_books_split_is_reproduced() {
    let Some(path) = card_payments() else { return };
    let settings = ReadSettings::default();
    let (payments, report) = read(&path, &settings, &mut |_, _| ()).expect("the book's file");
    assert_eq!((report.rows, report.frauds), (1_303_778, 10_659));
    let train: DaySpan = "2018-07-25..2018-07-31".parse().expect("a right span");
    let test: DaySpan = "2018-08-08..2018-08-14".parse().expect("a right span");
    let frauds = |rows: &mut dyn Iterator<Item = usize>| {
        rows.filter(|row| payments.is_fraud()[*row]).count()
    };
    let mut training = training_rows(&payments, &train).expect("both classes");
    assert_eq!((training.len(), frauds(&mut training)), (67_240, 598));
    let split = TestSplit::standard(test, LabelDelay::days(7));
    assert_eq!(split.known_since, train.first());
    let rows = split.rows(&payments).expect("both classes");
    assert_eq!((rows.len(), frauds(&mut rows.iter().map(|row| *row as usize))), (58_264, 385));

    let oracle = rows.iter().map(|row| f32::from(u8::from(payments.is_fraud()[*row as usize])));
    let scored = Scored::of(&payments, &rows, oracle.collect()).expect("one score per row");
    let evaluation = evaluate(&scored, None).expect("two classes");
    assert_eq!((evaluation.roc_auc, evaluation.average_precision), (1.0, 1.0));
    let published = 0.397;
    let card_precision = evaluation.card_precision_at_100;
    assert!((card_precision - published).abs() < 0.0005, "{card_precision}");
    assert_eq!(leaks_in_payments(&payments), []);
}
