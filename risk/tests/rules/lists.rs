//! Lists: CSV in and out, expiry, bounds, digests.

use millrace_ledger::Timestamp;
use millrace_risk::rules::{List, ListEntry, ListKind, ListLimits, ListSpec};

fn spec() -> ListSpec {
    ListSpec { name: "block_list".to_owned(), kind: ListKind::Block, of: Vec::new() }
}

fn read(file: &str) -> List {
    List::from_csv(spec(), ListLimits::default(), file.as_bytes())
        .unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn complaints(file: &[u8], limits: ListLimits) -> Vec<String> {
    let errors = List::from_csv(spec(), limits, file).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

const FILE: &str = "\
value,expires_at,reason,added_by
mallory,,\"stolen card, \"\"Brno\"\"\",anna
trudy,2027-01-31,seen twice,ben
10.0.0.7,2027-01-31T12:00:00Z,seen twice,anna
";
/// 2027-01-31T00:00:00Z.
const MIDNIGHT: u64 = 1_801_353_600_000_000_000;

#[test]
fn an_entry_counts_until_it_expires() {
    let list = read(FILE);
    let noon = MIDNIGHT + 12 * 3_600 * 1_000_000_000;
    for (value, at, listed) in [
        ("mallory", 0, true),
        ("mallory", u64::MAX - 1, true),
        ("trudy", MIDNIGHT - 1, true),
        ("trudy", MIDNIGHT, false),
        ("10.0.0.7", MIDNIGHT, true),
        ("10.0.0.7", noon - 1, true),
        ("10.0.0.7", noon, false),
        ("alice", 0, false),
        ("", 0, false),
    ] {
        assert_eq!(list.contains(value, Timestamp(at)), listed, "{value} at {at}");
    }
    let entry = ListEntry {
        value: "mallory",
        expires_at: None,
        reason: "stolen card, \"Brno\"",
        added_by: "anna",
    };
    assert_eq!(list.get("mallory"), Some(entry));
}

#[test]
fn what_is_written_is_read_again() {
    let list = read(FILE);
    let mut written = Vec::new();
    list.to_csv(&mut written).expect("memory takes it");
    let again = read(std::str::from_utf8(&written).expect("UTF-8"));
    assert_eq!(again.digest(), list.digest());
    assert!(again.entries().eq(list.entries()));
}

#[test]
fn columns_stand_in_any_order_and_only_the_value_is_needed() {
    let list = read("\u{feff}reason,value\n  why , x \n");
    assert_eq!(list.get("x").map(|entry| entry.reason), Some("why"));
    assert_eq!(read("value\na\nb\n").len(), 2);
}

#[test]
fn the_digest_is_of_what_is_listed_not_of_its_order() {
    let one = read("value,reason\na,x\nb,y\n");
    assert_eq!(one.digest(), read("reason,value\ny,b\nx,a\n").digest());
    assert_ne!(one.digest(), read("value,reason\na,x\nb,z\n").digest());
    assert_ne!(one.digest(), read("value,reason,expires_at\na,x,\nb,y,2027-01-31\n").digest());
    let spec = ListSpec { kind: ListKind::Watch, ..spec() };
    let other = List::from_csv(spec, ListLimits::default(), &b"value,reason\na,x\nb,y\n"[..]);
    assert_ne!(one.digest(), other.expect("right").digest());
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let long = "x".repeat(256);
    let file = format!(
        "value,expires_at,reason,added_by\nok,,,\n,,,\nok,,,\nx,tomorrow,,\nx,1,2\n{long},,,\ny,,,\n"
    );
    assert_eq!(
        complaints(file.as_bytes(), ListLimits::default()),
        [
            "line 3, column 1 (value): value is empty; write what is to be listed",
            "line 4, column 1 (value): value \"ok\" is listed already; keep one line for each value",
            "line 5, column 2 (expires_at): expires_at \"tomorrow\" is no time; write 2027-01-31 or \
             2027-01-31T12:00:00Z",
            "line 6, column 4 (missing or surplus): this line has 3 columns where the header has 4; \
             write a comma for each column, and quotes around a text that has one",
            "line 7, column 1 (value): value is 256 bytes long; 255 bytes are the most that there is \
             room for",
        ]
    );
    for (file, complaint) in [
        (
            &b"value,expires\n"[..],
            "line 1, column 2 (expires): a list has no such column; did you mean `expires_at`?",
        ),
        (b"value,value\n", "line 1, column 2 (value): this column is there twice; leave one out"),
        (
            b"value;reason\n",
            "line 1, column 1 (value;reason): columns are separated by commas here; export the file with `,` between columns",
        ),
        (
            b"reason\n",
            "line 1: the header has no column `value`; begin the file with the line `value,expires_at,reason,added_by`",
        ),
        (
            b"",
            "line 1: the header has no column `value`; begin the file with the line `value,expires_at,reason,added_by`",
        ),
        (
            b"value\n\xff\n",
            "line 2, column 1 (value): this is not UTF-8 text; save the file as UTF-8",
        ),
    ] {
        assert_eq!(complaints(file, ListLimits::default()), [complaint]);
    }
}

#[test]
fn a_list_is_bounded_in_entries_and_bytes() {
    let limits = ListLimits { entries_max: 2, bytes_max: 100 };
    assert_eq!(
        complaints(b"value\na\nb\nc\nd\n", limits),
        [
            "line 4: the list \"block_list\" is full: 2 values are its limit; split it, or raise the \
             limit if there is memory for it"
        ]
    );
    let file = format!("value\n{}\n{}\n", "x".repeat(60), "y".repeat(60));
    assert_eq!(complaints(file.as_bytes(), limits).len(), 1);
}

#[test]
fn a_million_values_take_bounded_memory_and_are_all_found() {
    const COUNT: u64 = 1_000_000;
    let mut list = List::new(spec(), ListLimits::default()).expect("a right name");
    let value = |index: u64| format!("{index:08x}-0000-4000-8000-{:012x}", index * 7);
    for index in 0..COUNT {
        let expires_at = Some(Timestamp(index + 1));
        let (value, added_by) = (value(index), format!("analyst {}", index % 10));
        let entry = ListEntry { value: &value, expires_at, reason: "a ring", added_by: &added_by };
        list.add(&entry).expect("there is room");
    }
    for index in (0..COUNT).step_by(97) {
        assert!(list.contains(&value(index), Timestamp(index)), "{index}");
        assert!(!list.contains(&value(index), Timestamp(index + 1)), "{index}");
        assert!(!list.contains(&value(index + COUNT), Timestamp(0)), "{index}");
    }
    assert!(list.memory_bytes() < 200 << 20, "{} bytes", list.memory_bytes());
    println!("a million UUIDs take {} MB", list.memory_bytes() / 1_000_000);
}

#[test]
fn a_name_that_no_rule_could_use_is_refused() {
    for name in ["", "1st", "block-list", "a b", "\u{e9}"] {
        let spec = ListSpec { name: name.to_owned(), ..spec() };
        let error = List::new(spec, ListLimits::default()).expect_err("no name");
        assert!(error.to_string().contains("can't be a list's name"), "{error}");
    }
}

/// Reads a list of addresses.
fn addresses(of: &[&str], file: &str) -> Result<List, Vec<String>> {
    let of = of.iter().map(|text| (*text).to_owned()).collect();
    let spec = ListSpec { name: "networks".to_owned(), kind: ListKind::Block, of };
    List::from_csv(spec, ListLimits::default(), file.as_bytes())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn a_range_lists_the_addresses_in_it_until_it_expires() {
    let file = "value,expires_at\n10.0.0.0/8,\n10.1.0.0/16,2027-01-31\n192.0.2.7,\n\
                2001:db8::/32,2027-01-31\n";
    for of in [&["context.ip"][..], &[], &["context.ip", "context.device"]] {
        let list = addresses(of, file).expect("right");
        for (address, at, listed) in [
            ("10.255.0.1", MIDNIGHT, true),
            ("10.1.2.3", MIDNIGHT, true),
            ("11.0.0.1", 0, false),
            ("192.0.2.7", 0, true),
            ("192.0.2.8", 0, false),
            ("2001:db8:0:1::5", MIDNIGHT - 1, true),
            ("2001:db8:0:1::5", MIDNIGHT, false),
            ("10.0.0.0/8", 0, true),
            ("10.0.0.0/9", 0, false),
            ("phone", 0, false),
        ] {
            assert_eq!(list.contains(address, Timestamp(at)), listed, "{of:?}: {address} at {at}");
        }
    }
    // Where nothing is an address, a range is only a text.
    let devices = addresses(&["context.device"], file).expect("right");
    assert!(!devices.contains("10.255.0.1", Timestamp(0)));
    assert!(devices.contains("10.0.0.0/8", Timestamp(0)));
}

#[test]
fn what_looks_like_a_range_and_is_none_is_told() {
    let said = addresses(&["context.ip"], "value\n10.0.0.0/33\n10.0.0.5/8\n").expect_err("wrong");
    assert_eq!(
        said,
        [
            "line 2, column 1 (value): value \"10.0.0.0/33\" does not end with the number of bits that \
             are the same; write a range like 10.0.0.0/8 or 2001:db8::/32",
            "line 3, column 1 (value): value \"10.0.0.5/8\" begins within the range, not with its first \
             address; write a range like 10.0.0.0/8 or 2001:db8::/32",
        ]
    );
    assert!(addresses(&[], "value\nteam/8\n").is_ok());
}
