//! Reading files through mappings: every kind of row error with its line, column, value and reason;
//! refused rows that can be submitted again; the real order file.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Write as _,
    path::Path,
};

use millrace_client::{
    AccountPlan, CsvFile, FileError, Mapping, ReadError, RefusedFile, Row, RowError, RowReason,
    Source,
};
use millrace_ledger::{Amount, AmountError};
use millrace_protos::v1::{Operation, PaymentContext, PaymentFlag};
use prost::Message as _;
use tempfile::TempDir;

const MAPPING: &str = r#"
name = "test"
header = ["id", "op", "from", "to", "amount", "ccy", "orig", "linked", "why", "when", "cc"]
namespace = "test"

[payment]
id = "{id}"
operation = "{op}"
debit = "{from}"
credit = "shop {to}"
amount = "{amount}"
currency = "{ccy}"
original = "{orig}"
linked = "{linked}"
code = "{why}"

[payment.codes]
goods = 1
loan = 2

[context]
event_time = "{when}"
country_code = "{cc}"
reference = "{id} {why}"
"#;

const HEADER: &str = "id,op,from,to,amount,ccy,orig,linked,why,when,cc";

fn mapping() -> Mapping {
    Mapping::parse("test.toml", MAPPING).expect("a mapping")
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> Source {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("writes");
    Source::Path(path)
}

fn read(source: &Source, mapping: &Mapping) -> Vec<Result<Row, RowError>> {
    let file = CsvFile::open(source.clone(), mapping).expect("opens");
    let row = |row| match row {
        Ok(row) => Ok(row),
        Err(ReadError::Row(error)) => Err(error),
        Err(ReadError::File(error)) => panic!("{error}"),
    };
    file.rows().expect("opens").map(row).collect()
}

fn rows_of(text: impl AsRef<[u8]>, mapping: &Mapping) -> Vec<Result<Row, RowError>> {
    let folder = TempDir::new().expect("a folder");
    read(&write(&folder, "in.csv", text), mapping)
}

#[test]
fn a_row_becomes_a_payment() {
    let line = "a-1,authorize,alice, bob ,12.50,EUR,,true,loan,2018-04-01T00:00:31Z,CZ";
    let rows = rows_of(format!("{HEADER}\n{line}\nx,pay,a,b,1,EUR,,,goods,,"), &mapping());
    let row = rows[0].as_ref().expect("a payment");
    let (mapping, euro) = (mapping(), row.currency.expect("is there"));
    let payment = &row.payment;
    assert_eq!((row.line, row.amount, row.ledger().0), (2, Amount(1_250), 978));
    assert_eq!((row.debit.as_deref(), row.credit.as_deref()), (Some("alice"), Some("shop bob")));
    assert_eq!(payment.payment_id, mapping.payment_id("a-1").0);
    assert_eq!(payment.debit_account_id, mapping.account_id("alice", euro).0);
    assert_eq!(payment.credit_account_id, mapping.account_id("shop bob", euro).0);
    assert_eq!((payment.amount_minor, payment.ledger, payment.code), (Some(1_250), 978, 2));
    assert_eq!(payment.operation, Operation::Authorize as i32);
    assert!(payment.has_flag(PaymentFlag::Linked));
    let context = PaymentContext::decode(payment.context.clone()).expect("a context");
    assert_eq!((context.reference.as_str(), context.country_code.as_str()), ("a-1 loan", "CZ"));
    assert_eq!(context.event_time.expect("is there").seconds, 1_522_540_831);
}

#[test]
fn values_of_the_callers_own_are_sent_in_the_order_of_their_keys() {
    let toml = format!(
        "{MAPPING}\n[context.other]\nwallet = \"{{to}}-{{ccy}}\"\nbatch = \"b 7\"\nwhy = \"{{why}}\"\n"
    );
    let mapping = Mapping::parse("own.toml", &toml).expect("right");
    let long = "x".repeat(65);
    let rows = rows_of(
        format!("{HEADER}\na,pay,a,bob,1,EUR,,,goods,,\nb,pay,a,{long},1,EUR,,,goods,,\n"),
        &mapping,
    );
    let payment = &rows[0].as_ref().expect("a payment").payment;
    let context = PaymentContext::decode(payment.context.clone()).expect("a context");
    let other: Vec<_> =
        context.other.iter().map(|it| (it.key.as_str(), it.value.as_str())).collect();
    assert_eq!(other, [("batch", "b 7"), ("wallet", "bob-EUR"), ("why", "goods")]);
    let error = rows[1].as_ref().expect_err("too long");
    assert_eq!(error.reason, RowReason::TooLong { bytes_max: 64 });
    for (key, said) in [
        ("device = \"x\"", "context.other.device"),
        ("Wallet = \"x\"", "is no key of one's own"),
        ("wallet = \"{wallte}\"", "names the column `wallte`"),
        (&*format!("wallet = \"{long}\""), "is longer than 64 bytes"),
    ] {
        let toml = format!("{MAPPING}\n[context.other]\n{key}\n");
        let error = Mapping::parse("own.toml", &toml).expect_err(key).to_string();
        assert!(error.contains(said), "{error}\nwant {said}");
    }
}

#[test]
fn captures_voids_and_refunds_take_what_is_left_out_from_the_original() {
    let text = format!("{HEADER}\nc,capture,,,,,a-1,,,,\nr,refund,,,3,EUR,a-1,,,,\n");
    let rows = rows_of(text, &mapping());
    let capture = &rows[0].as_ref().expect("a payment").payment;
    assert_eq!(capture.original_payment_id, mapping().payment_id("a-1").0);
    assert_eq!((capture.debit_account_id, capture.credit_account_id), (0, 0));
    assert_eq!((capture.amount_minor, capture.ledger, capture.code), (None, 0, 0));
    let refund = &rows[1].as_ref().expect("a payment").payment;
    assert_eq!((refund.amount_minor, refund.ledger), (Some(300), 978));
}

#[test]
fn every_row_error_names_column_value_and_reason() {
    let euro = AmountError::TooPrecise { code: "EUR", exponent: 2 };
    for (row, column, value, reason) in [
        (
            "1,pay,a,b,12,50,EUR,,,goods,,",
            "",
            "",
            RowReason::ColumnCount { expected: 11, found: 12 },
        ),
        ("1,pay,a", "", "", RowReason::ColumnCount { expected: 11, found: 3 }),
        ("1,pay,a,b,x,EUR,,,goods,,", "amount", "x", AmountError::NotDecimal.into()),
        ("1,pay,a,b,1.005,EUR,,,goods,,", "amount", "1.005", euro.into()),
        ("1,pay,a,b,,EUR,,,goods,,", "amount", "", RowReason::Empty),
        ("1,pay,a,b,1,eur,,,goods,,", "ccy", "eur", RowReason::CurrencyUnknown),
        ("1,pay,a,b,1,,,,goods,,", "ccy", "", RowReason::Empty),
        ("1,capture,,,1,,o,,,,", "ccy", "", RowReason::CurrencyMissing),
        ("1,capture,a,,,,o,,,,", "ccy", "", RowReason::CurrencyMissing),
        ("1,capture,,,1,EUR,,,,,", "orig", "", RowReason::Empty),
        ("1,buy,a,b,1,EUR,,,goods,,", "op", "buy", RowReason::OperationUnknown),
        ("1,pay,,b,1,EUR,,,goods,,", "from", "", RowReason::Empty),
        ("1,pay,a, ,1,EUR,,,goods,,", "to", "", RowReason::Empty),
        (",pay,a,b,1,EUR,,,goods,,", "id", "", RowReason::Empty),
        ("1,pay,a,b,1,EUR,,,gift,,", "why", "gift", RowReason::CodeUnknown),
        ("1,pay,a,b,1,EUR,,,goods,1.4.2018,", "when", "1.4.2018", RowReason::TimeUnreadable),
        ("1,pay,a,b,1,EUR,,,goods,,cz", "cc", "cz", RowReason::NotCountryCode),
        ("1,pay,a,b,1,EUR,,maybe,goods,,", "linked", "maybe", RowReason::NotBoolean),
    ] {
        let rows = rows_of(format!("{HEADER}\n{row}\n"), &mapping());
        let error = rows[0].as_ref().expect_err(row);
        let got = (error.line, error.column.as_str(), error.value.as_str(), &error.reason);
        assert_eq!(got, (2, column, value, &reason), "{row}");
    }
}

#[test]
fn what_is_not_utf_8_is_refused_where_it_is_read() {
    let mut text = format!("{HEADER}\n1,pay,Ji").into_bytes();
    text.extend_from_slice(b"\xf8\xed,b,1,EUR,,,goods,,\n2,pay,a,b,1,EUR,,,goods,,\n");
    let rows = rows_of(text, &mapping());
    let error = rows[0].as_ref().expect_err("Latin-2");
    assert_eq!((error.column.as_str(), &error.reason), ("from", &RowReason::NotUtf8));
    assert!(rows[1].is_ok());
}

#[test]
fn an_error_reads_as_a_sentence() {
    for (row, sentence) in [
        ("1,pay,a,b,\"12,50\",EUR,,,goods,,", "in.csv line 2, column amount: `12,50` is not a dec"),
        ("1,pay,,b,1,EUR,,,goods,,", "in.csv line 2, column from is empty, and this operation"),
        ("1,pay", "in.csv line 2: the row has 2 columns, and the header has 11"),
    ] {
        let rows = rows_of(format!("{HEADER}\n{row}\n"), &mapping());
        let error = rows[0].as_ref().expect_err(row).to_string();
        assert!(error.contains(sentence), "{error}");
    }
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    let bad = "1,buy,a,b,1,EUR,,,goods,,";
    for (case, text, line) in [
        ("first", format!("{HEADER}\n{bad}\n"), 2),
        ("second, no newline at the end", format!("{HEADER}\n2,pay,a,b,1,EUR,,,goods,,\n{bad}"), 3),
        ("Windows", format!("{HEADER}\r\n2,pay,a,b,1,EUR,,,goods,,\r\n{bad}\r\n"), 3),
        ("after an empty line", format!("{HEADER}\n\n\n{bad}\n"), 4),
        ("after an empty Windows line", format!("{HEADER}\r\n\r\n{bad}\r\n"), 3),
        (
            "after a cell of two lines",
            format!("{HEADER}\n2,pay,\"a\nb\",b,1,EUR,,,goods,,\n{bad}\n"),
            4,
        ),
        ("a cell of two lines", format!("{HEADER}\n1,buy,\"a\nb\",b,1,EUR,,,goods,,\n"), 2),
        ("with a byte order mark", format!("\u{feff}{HEADER}\n{bad}\n"), 2),
    ] {
        let rows = rows_of(text, &mapping());
        let lines: Vec<u64> =
            rows.iter().filter_map(|row| row.as_ref().err()).map(|error| error.line).collect();
        assert_eq!(lines, [line], "{case}");
    }
}

#[test]
fn a_linked_group_is_read_complete_or_not_at_all() {
    let pay = |id: u32, linked: &str, amount: &str| {
        format!("{id},pay,a,b,{amount},EUR,,{linked},goods,,\n")
    };
    let text = [
        format!("{HEADER}\n"),
        pay(2, "true", "1"),
        pay(3, "true", "x"),
        pay(4, "", "1"),
        pay(5, "true", "1"),
        pay(6, "false", "1"),
        // Whether this one is linked can't be told, so the next one can't be sent.
        pay(7, "perhaps", "1"),
        pay(8, "", "1"),
        pay(9, "", "1"),
        // Nor can it be told here.
        "10,pay\n".to_owned(),
        pay(11, "", "1"),
        pay(12, "", "1"),
    ]
    .concat();
    let reasons: Vec<Option<RowReason>> = rows_of(text, &mapping())
        .into_iter()
        .map(|row| row.err().map(|error| error.reason))
        .collect();
    let with = |line| Some(RowReason::GroupMemberRefused { line });
    let not_decimal = Some(AmountError::NotDecimal.into());
    let expected = [
        // Line 2 came before the fault was known, and is held back all the same.
        with(3),
        not_decimal,
        with(3),
        None,
        None,
        Some(RowReason::NotBoolean),
        with(7),
        None,
        Some(RowReason::ColumnCount { expected: 11, found: 2 }),
        with(10),
        None,
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_group_that_no_request_could_carry_is_refused() {
    let mut text = format!("{HEADER}\n");
    for id in 0..8_193 {
        text.push_str(&format!("{id},pay,a,b,1,EUR,,true,goods,,\n"));
    }
    text.push_str("end,pay,a,b,1,EUR,,,goods,,\nnext,pay,a,b,1,EUR,,,goods,,\n");
    let rows = rows_of(text, &mapping());
    let too_long = RowReason::GroupTooLong { rows_max: 8_192 };
    let refused = rows.iter().filter(|row| row.as_ref().is_err_and(|e| e.reason == too_long));
    assert_eq!((refused.count(), rows.len()), (8_194, 8_195));
    assert!(rows[8_194].is_ok());
}

/// Without an id column a row is known by its cells and by how many like it came before.
#[test]
fn rows_without_an_id_keep_theirs_wherever_they_stand() {
    let toml = MAPPING.replace("id = \"{id}\"", "").replace("original = \"{orig}\"", "");
    let mapping = Mapping::parse("test.toml", &toml).expect("a mapping");
    let ids = |lines: &[&str]| -> Vec<u128> {
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        let rows = rows_of(text, &mapping);
        rows.iter().map(|row| row.as_ref().expect("a payment").payment.payment_id).collect()
    };
    let (a, b) = ("1,pay,a,b,1,EUR,,,goods,,", "1,pay,a,b,2,EUR,,,goods,,");
    let first = ids(&[a, b, a]);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(ids(&[b, a, a]), [first[1], first[0], first[2]]);
}

#[test]
fn refused_rows_can_be_corrected_and_submitted_again() {
    let folder = TempDir::new().expect("a folder");
    let good = "1,pay,a,b,1,EUR,,,goods,,";
    let bad = "2,pay,\"a \"\"b\"\"\",b,\"12,50\",EUR,,,goods,,";
    let source = write(&folder, "in.csv", format!("{HEADER}\n{good}\n{bad}\n3,pay,a\n"));
    let file = CsvFile::open(source, &mapping()).expect("opens");
    let mut refused = RefusedFile::beside(&file);
    for row in file.rows().expect("opens") {
        if let Err(ReadError::Row(error)) = row {
            refused.push(error).expect("writes");
        }
    }
    let path = folder.path().join("in.refused.csv");
    assert!(!path.exists(), "it appears complete or not at all");
    let refused = refused.finish().expect("writes");
    assert_eq!((refused.count, refused.file.as_deref()), (2, Some(path.as_path())));
    let written = fs::read_to_string(&path).expect("is there");
    assert_eq!(written, format!("{HEADER}\n{bad}\n3,pay,a\n"));

    fs::write(&path, written.replace("12,50", "12.50")).expect("writes");
    let rows = read(&Source::Path(path), &mapping());
    let row = rows[0].as_ref().expect("corrected");
    assert_eq!(row.debit.as_deref(), Some("a \"b\""));
    assert_eq!(row.payment.payment_id, mapping().payment_id("2").0);
    assert!(rows[1].is_err());
}

#[test]
fn without_refused_rows_there_is_no_file() {
    let folder = TempDir::new().expect("a folder");
    let source = write(&folder, "in.csv", format!("{HEADER}\n1,pay,a,b,1,EUR,,,goods,,\n"));
    let file = CsvFile::open(source, &mapping()).expect("opens");
    let refused = RefusedFile::beside(&file).finish().expect("nothing to write");
    assert_eq!((refused.count, refused.file), (0, None));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn gzip_is_read_as_it_comes_and_a_cut_off_file_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writeln!(gzip, "{HEADER}").expect("in memory");
    for id in 0..5_000 {
        writeln!(gzip, "{id},pay,a,b,{id}.01,EUR,,,goods,,").expect("in memory");
    }
    let gzip = gzip.finish().expect("in memory");
    assert_eq!(read(&write(&folder, "whole.csv.gz", &gzip), &mapping()).len(), 5_000);

    let cut = write(&folder, "cut.csv.gz", &gzip[..gzip.len() / 2]);
    let file = CsvFile::open(cut, &mapping()).expect("its header is there");
    let last = file.rows().expect("opens").last().expect("some rows");
    assert!(matches!(last, Err(ReadError::File(FileError::Broken { .. }))), "{last:?}");
}

#[test]
fn a_file_that_does_not_fit_is_refused_as_a_whole() {
    let folder = TempDir::new().expect("a folder");
    let nowhere = Source::from(Path::new("nowhere.csv"));
    let without = write(&folder, "without.csv", "id,op,from,to,amount\n");
    let twice = write(&folder, "twice.csv", format!("{HEADER},id\n"));
    let empty = write(&folder, "empty.csv", "");
    for (source, expected) in [
        (nowhere, "nowhere.csv can't be read"),
        (without, "has no column `ccy`, which the mapping test reads; it has id, op, from"),
        (twice, "has two columns `id`"),
        (empty, "is empty"),
    ] {
        let error = CsvFile::open(source, &mapping()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Columns are found by name: order does not matter, and further ones don't.
#[test]
fn columns_may_stand_in_another_order() {
    let text = "extra,cc,when,why,linked,orig,ccy,amount,to,from,op,id\n?,,,goods,,,EUR,2,b,a,,7\n";
    let rows = rows_of(text, &mapping());
    let row = rows[0].as_ref().expect("a payment");
    assert_eq!((row.payment.payment_id, row.amount), (mapping().payment_id("7").0, Amount(200)));
}

#[test]
fn the_real_order_file_reads_whole() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/standing-orders");
    let path = Path::new(folder).join("orders.csv");
    if !path.exists() {
        eprintln!("skipped: the real order file is not on this machine");
        return;
    }
    let source = Source::from(path.as_path());
    let header = millrace_client::header_of(&source).expect("opens");
    let mapping = Mapping::for_header(&header).expect("is known");
    let rows = read(&source, &mapping);
    let sum: u128 = rows.iter().map(|row| row.as_ref().expect("a payment").amount.0).sum();
    assert_eq!((rows.len(), sum), (6_471, 2_122_899_360));
    let file = CsvFile::open(source, &mapping).expect("opens");
    let plan = AccountPlan::of_file(&file, &mapping).expect("a plan");
    let payers = plan.accounts.iter().filter(|account| account.is_payer).count();
    let funded: u128 = plan.accounts.iter().map(|account| account.fund.0).sum();
    assert_eq!((payers, plan.accounts.len(), funded), (3_758, 3_758 + 6_446, 2_122_899_360));
}

#[test]
fn the_real_card_file_streams() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/card-payments");
    let path = Path::new(folder).join("payments.csv.gz");
    if !path.exists() {
        eprintln!("skipped: the real card payments are not on this machine");
        return;
    }
    let source = Source::from(path.as_path());
    let header = millrace_client::header_of(&source).expect("opens");
    let mapping = Mapping::for_header(&header).expect("is known");
    let file = CsvFile::open(source, &mapping).expect("opens");
    // Enough to meet amounts such as 85.64999999999999; all of it belongs to the demonstration.
    let rows = file.rows().expect("opens").take(20_000);
    let rows = rows.map(|row| row.expect("a payment"));
    let amounts: HashMap<u128, u128> =
        rows.map(|row| (row.payment.payment_id, row.amount.0)).collect();
    assert_eq!((amounts.len(), amounts.values().sum::<u128>()), (20_000, 106_054_144));
}
