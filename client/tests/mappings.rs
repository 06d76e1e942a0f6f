//! Mappings: what is refused and in which words, what is shipped, and the sample.

use millrace_client::{AccountPlan, CsvFile, Mapping, PlanError, Source, SpecialState, header_of};
use millrace_ledger::{Currency, RejectReason};

const MAPPING: &str = r#"
name = "test"
header = ["id", "from", "to", "amount", "ccy", "note"]
namespace = "test"

[payment]
id = "{id}"
debit = "{from}"
credit = "{to}"
amount = "{amount}"
currency = "{ccy}"
code = 1

[accounts]
payee_code = 7
"#;

fn currency(code: &str) -> Currency {
    Currency::of_code(code).expect("in ISO 4217")
}

#[test]
fn what_can_not_be_right_is_refused_with_its_key() {
    Mapping::parse("test.toml", MAPPING).expect("is right before it is changed");
    for (line, changed, expected) in [
        ("id = \"{id}\"", "ids = \"{id}\"", "did you mean `id`?"),
        ("payee_code = 7", "payee_cod = 7", "did you mean `payee_code`?"),
        ("payee_code = 7", "payer_flags = [\"no_overdraft\"]", "no_overdraft"),
        ("payee_code = 7", "payee_code = 0", "accounts.payee_code has a code of 0"),
        ("name = \"test\"", "nam = \"test\"", "did you mean `name`?"),
        ("name = \"test\"", "name = ", "test.toml is not right"),
        ("amount = \"{amount}\"", "", "missing field `amount`"),
        ("amount = \"{amount}\"", "amount = \"{amuont}\"", "which header lacks; `amount`?"),
        ("amount = \"{amount}\"", "amount = \"{amount\"", "`{` must be followed by"),
        ("id = \"{id}\"", "id = \"{from}{id}\"", "payment.id has two columns with no text between"),
        ("id = \"{id}\"", "id = \"same\"", "payment.id names no column"),
        ("id = \"{id}\"", "original = \"{note}\"", "payment.original needs payment.id"),
        ("debit = \"{from}\"", "debit = \"\"", "payment.debit is empty"),
        ("\"{ccy}\"", "\"EURO\"", "payment.currency `EURO` is not an ISO 4217"),
        ("code = 1", "code = 0", "payment.code `0` is neither"),
        ("code = 1", "code = 1\noperation = \"buy\"", "payment.operation `buy` is not"),
        ("[accounts]", "[context]\nchannel = \"post\"\n[accounts]", "context.channel `post`"),
        ("\"note\"]", "\"id\"]", "header names a column twice"),
    ] {
        let toml = MAPPING.replace(line, changed);
        let error = Mapping::parse("test.toml", &toml).expect_err(changed).to_string();
        assert!(error.contains(expected), "{changed}: {error}");
    }
}

#[test]
fn a_text_that_is_a_uuid_is_an_id_where_the_mapping_says_so() {
    let text = "018f3c1e-7a2b-7c3d-8e4f-5a6b7c8d9e0f";
    let number = 0x018f_3c1e_7a2b_7c3d_8e4f_5a6b_7c8d_9e0f;
    let derived = Mapping::parse("test.toml", MAPPING).expect("a mapping");
    let taken = MAPPING.replace("namespace", "uuid = true\nnamespace");
    let taken = Mapping::parse("test.toml", &taken).expect("a mapping");
    assert_ne!(derived.account_id(text, currency("EUR")).0, number);
    assert_eq!(taken.account_id(text, currency("EUR")).0, number);
    assert_eq!(taken.payment_id(text).0, number);
    assert_eq!(taken.payment_id("7"), derived.payment_id("7"));
}

/// A ledger account holds one currency.
#[test]
fn an_account_of_two_currencies_is_two_accounts() {
    let by_column = Mapping::parse("test.toml", MAPPING).expect("a mapping");
    let toml = MAPPING.replace("\"{ccy}\"", "\"EUR\"");
    let constant = Mapping::parse("test.toml", &toml).expect("a mapping");
    let ids = |mapping: &Mapping| ["EUR", "CZK"].map(|ccy| mapping.account_id("a", currency(ccy)));
    assert_ne!(ids(&by_column)[0], ids(&by_column)[1]);
    assert_eq!(ids(&constant)[0], ids(&constant)[1]);
}

#[test]
fn shipped_mappings_are_right_and_known_by_their_header() {
    let shipped = Mapping::shipped();
    assert_eq!(shipped.len(), 4);
    for mapping in shipped {
        let found = Mapping::for_header(&mapping.header).expect("its own header");
        assert_eq!(found.name, mapping.name);
    }
    let error = Mapping::for_header(&["iban", "sum"]).expect_err("no such file").to_string();
    for part in ["`iban,sum`", "standing-orders: order_id,payer_account,", "card-payments: "] {
        assert!(error.contains(part), "{error}");
    }
}

/// The real file's own numbers: payer 1 is not the same account as some payee 1.
#[test]
fn payers_and_payees_of_standing_orders_never_share_an_account() {
    let header =
        ["order_id", "payer_account", "payee_bank", "payee_account", "amount_czk", "purpose"];
    let mapping = Mapping::for_header(&header).expect("is shipped");
    let koruna = currency("CZK");
    let payer = mapping.account_id("payer 1", koruna);
    assert_eq!(payer.to_string(), "cd74bbe1-889e-5af6-a2c3-6e99906215c9");
    assert_eq!(mapping.payment_id("29401").to_string(), "45625e84-3859-5c16-a9f8-96ab16fe7ae7");
    assert_ne!(mapping.account_id("payee YZ-1", koruna), payer);
}

#[test]
fn the_sample_reads_without_an_error_and_expects_outcomes_that_exist() {
    let mapping = Mapping::for_header(&header_of(&Source::SAMPLE).expect("a header"));
    let mapping = mapping.expect("is shipped");
    let file = CsvFile::open(Source::SAMPLE, &mapping).expect("is built in");
    let rows: Vec<_> = file.rows().expect("is built in").map(|row| row.expect("reads")).collect();
    assert!((30..=40).contains(&rows.len()), "{} rows", rows.len());
    let reasons: Vec<String> =
        RejectReason::ALL.iter().map(|reason| reason.upper_snake_name()).collect();
    for row in &rows {
        let expected = row.record.iter().next_back().expect("has columns");
        let expected = std::str::from_utf8(expected).expect("ASCII");
        match expected.strip_prefix("REJECTED ") {
            Some(reason) => assert!(reasons.iter().any(|known| known == reason), "{expected}"),
            None => assert!(
                ["SETTLED", "SETTLED REPLAYED", "HELD", "HELD REVIEW", "VOIDED"]
                    .contains(&expected),
                "{expected}"
            ),
        }
    }
    let mut currencies: Vec<_> = rows.iter().filter_map(|row| row.currency).collect();
    currencies.sort_by_key(|currency| currency.code);
    currencies.dedup();
    let codes: Vec<_> = currencies.iter().map(|currency| currency.code).collect();
    assert_eq!(codes, ["CZK", "EUR", "JPY"]);

    let plan = AccountPlan::of_file(&file, &mapping).expect("a plan");
    for special in &mapping.accounts.special {
        let named = plan.accounts.iter().any(|account| account.text == special.account);
        assert!(named, "the sample never names {}", special.account);
    }
    let of_state = |state| plan.accounts.iter().filter(move |account| account.state == state);
    assert_eq!(of_state(SpecialState::Missing).count(), 3, "typo-shop has two currencies");
}

#[test]
fn an_opening_amount_finer_than_the_currency_is_refused() {
    let header = header_of(&Source::SAMPLE).expect("a header");
    let toml = include_str!("../../configs/mappings/sample.toml");
    let toml = toml.replace("fund = \"as-needed\"", "fund = \"1000.50\"");
    let mapping = Mapping::parse("sample.toml", &toml).expect("a mapping");
    assert_eq!(mapping.header, header);
    let file = CsvFile::open(Source::SAMPLE, &mapping).expect("is built in");
    let error = AccountPlan::of_file(&file, &mapping).expect_err("the yen has no sen");
    assert!(
        matches!(error, PlanError::Amount { ref account, .. } if account == "chiyo"),
        "{error}"
    );
}
