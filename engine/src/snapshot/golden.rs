//! The layout of a snapshot, which must never change. The bytes were made by hand from the tables in the
//! documentation, not by this code; only the hash at the end is computed.

use millrace_ledger::{
    Account, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances, Code, EventSeq,
    LedgerId, OwnerId, RiskDecision, RuleName, SnapshotHead, Timestamp, Verdict,
};

use super::{read_accounts, read_head, read_names, write::SnapshotWriter};
use crate::{
    frame::FrameHash,
    pace::{Hurry, Pace},
};

const HEADER: &str = "
    4d4c52534e41500a0100000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
    2b0000000000000015cd853dfe9c971728000000000000000200000000000000
    010000000000000007000000000000000000000000000000b3e7b58b00000000
";

/// Kind, length, content: a verdict of a rule; two runs; an account; the end, without its hash.
const SECTIONS: &str = "
    01000000 07000000 02 05 6c61726765
    02000000 03000000 610a62
    03000000 56000000
    0000000000000000000000000000001000000000000000000000000000000020
    cb00000001000000070001020000f40100000000000001000000000000000200
    00000000000003000000000000000400000000000000
    06000000 48000000
    5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
    0000000000000000
";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("hex")).collect()
}

fn golden() -> Vec<u8> {
    let mut golden = [bytes_of(HEADER), bytes_of(SECTIONS)].concat();
    let hash = blake3::hash(&golden);
    golden.extend_from_slice(hash.as_bytes());
    golden
}

fn account() -> Account {
    let spec = AccountSpec {
        id: AccountId(0x10),
        ledger: LedgerId(203),
        code: Code(7),
        tenant: 1,
        owner: OwnerId(0x20),
        flags: AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
        credit_limit: Amount(500),
        defect: None,
    };
    let balances =
        Balances { debits_pending: 1, debits_posted: 2, credits_pending: 3, credits_posted: 4 };
    Account { spec, state: AccountState::Frozen, balances }
}

#[test]
fn snapshots_are_written_as_version_1_always_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let rule = RuleName::new("large").expect("short");
    let head = SnapshotHead {
        last_seq: EventSeq(43),
        time: Timestamp(1_700_000_000_123_456_789),
        payments_taken: 40,
        past_digest: 7,
        generations_closed: 2,
        accounts: 1,
        holds: 0,
        verdicts: vec![Verdict { decision: RiskDecision::Review, rule, hold_s: 0 }],
    };
    let journal = std::array::from_fn(|at| 0xa0 + at as u8);
    let pace = Pace::new(0, Hurry::default());
    let mut writer =
        SnapshotWriter::create(directory.path(), journal, &head, pace).expect("creates");
    writer.runs(["a", "b"].into_iter()).expect("writes");
    writer.accounts(&[account()]).expect("writes");
    let path = writer.finish(FrameHash([0x5a; 32])).expect("finishes");
    assert!(path.ends_with("00000000000000000043.snapshot"), "{}", path.display());
    assert_eq!(std::fs::read(path).expect("reads"), golden());
}

#[test]
fn snapshots_of_version_1_are_read_as_they_always_were() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("golden.snapshot");
    std::fs::write(&path, golden()).expect("writes");
    let head = read_head(&path).expect("is whole");
    assert_eq!((head.last_seq, head.time.0), (EventSeq(43), 1_700_000_000_123_456_789));
    assert_eq!(read_names(&path).expect("is whole").1, ["a", "b"]);
    let mut accounts = Vec::new();
    let head = read_accounts(&path, |account| accounts.push(account)).expect("is whole");
    assert_eq!((head, accounts), (FrameHash([0x5a; 32]), vec![account()]));
}
