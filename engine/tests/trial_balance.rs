//! The trial balance against a plain sum over the ledger that the same events come to: at every
//! time, with snapshots and without.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use millrace_engine::{
    Command, Engine, EngineConfig,
    scan::JournalScan,
    trial_balance::{Sums, TrialBalance, TrialBalanceError, trial_balance},
};
use millrace_ledger::{
    AccountFlags, AccountId, AccountSpec, Amount, ApproveAll, Code, Event, EventSeq, Ledger,
    LedgerId, Operation, Payment, PaymentId, Sum, Timestamp,
};
use support::ask;
use tempfile::TempDir;

/// Accounts 1 to 6 are in koruna, 7 to 9 in euro; codes 1 to 3.
fn open_accounts(engine: &Engine) {
    let account = |id: u128| AccountSpec {
        id: AccountId(id),
        ledger: LedgerId(if id > 6 { 978 } else { 203 }),
        code: Code(1 + (id % 3) as u16),
        flags: match id {
            2 => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            _ => AccountFlags::NONE,
        },
        ..AccountSpec::default()
    };
    let specs = (1..=9).map(account).collect();
    ask(engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
}

/// Payments, holds, captures that name a wrong account, refunds, refusals, in both currencies.
fn payment(number: u128) -> Payment {
    let euro = number.is_multiple_of(3);
    let account = |at: u128| AccountId(if euro { 7 + at % 3 } else { 1 + at % 6 });
    let pay = Payment {
        id: PaymentId(number),
        debit: account(number),
        credit: account(number + 1),
        amount: Amount(number % 90 + 1),
        ledger: LedgerId(if euro { 978 } else { 203 }),
        code: Code(1),
        ..Payment::default()
    };
    let follow_up = |operation, wrong_debit: u128| Payment {
        id: PaymentId(number),
        original: PaymentId(number - 6),
        debit: AccountId(wrong_debit),
        amount: Amount(2),
        operation,
        ..Payment::default()
    };
    match number % 12 {
        1..=3 if number > 12 => follow_up(Operation::Refund, if number % 12 == 2 { 5 } else { 0 }),
        4 | 9 => Payment { operation: Operation::Authorize, timeout_s: 1, ..pay },
        5 => Payment { operation: Operation::Authorize, ..pay },
        11 => follow_up(Operation::Capture, 0),
        _ => pay,
    }
}

/// A journal with holds that expired and holds that are open, snapshots and several segments.
fn journal() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        segment_bytes: 16_384,
        generation_payments_max: 50,
        snapshot_bytes: 20_000,
        snapshot_interval: Duration::from_secs(3_600),
        ..EngineConfig::new(directory.path())
    };
    let (engine, _) = Engine::start(&config, &ApproveAll).expect("starts");
    open_accounts(&engine);
    let pay = |numbers: std::ops::Range<u128>| {
        let all: Vec<_> = numbers.map(payment).collect();
        for request in all.chunks(7) {
            let (payments, contexts) = (request.to_vec(), Vec::new());
            ask(&engine, |reply| Command::Payments { payments, contexts, reply });
        }
    };
    // On a busy machine, payments are sooner decided than a snapshot is written.
    let wait_for_snapshot = |number| {
        let started = Instant::now();
        while engine.stats().snapshots() < number {
            assert!(started.elapsed() < Duration::from_secs(120), "no snapshot {number}");
            thread::sleep(Duration::from_millis(2));
        }
    };
    pay(1..300);
    wait_for_snapshot(1);
    thread::sleep(Duration::from_millis(1_100));
    pay(300..600);
    wait_for_snapshot(2);
    engine.stop().expect("stops");
    assert!(snapshots(directory.path()) >= 2);
    directory
}

fn snapshots(directory: &Path) -> usize {
    fs::read_dir(directory.join("snapshots")).map_or(0, Iterator::count)
}

type Plain = BTreeMap<(LedgerId, Code), Sums>;

/// What the ledger that the events come to says, after each frame.
fn plain(directory: &Path) -> Vec<(Timestamp, EventSeq, Plain)> {
    let mut ledger = Ledger::new(3);
    let mut after = Vec::new();
    for frame in JournalScan::open(directory).unwrap() {
        let frame = frame.unwrap();
        ledger.begin_recorded_batch(frame.time);
        for event in frame.events().unwrap() {
            ledger.apply(&event.event, &mut ApproveAll).unwrap();
        }
        let mut plain = Plain::new();
        for account in ledger.accounts() {
            let sums = plain.entry((account.spec.ledger, account.spec.code)).or_default();
            sums.balances += &account.balances;
            sums.accounts += 1;
        }
        after.push((frame.time, frame.last_seq(), plain));
    }
    after
}

fn by_code(balance: &TrialBalance) -> Plain {
    let codes = |(ledger, sums): (&LedgerId, &millrace_engine::trial_balance::LedgerSums)| {
        assert!(sums.total.balances.balanced(), "{balance:?}");
        sums.codes.iter().map(|(code, sums)| ((*ledger, *code), *sums)).collect::<Vec<_>>()
    };
    balance.ledgers.iter().flat_map(codes).collect()
}

fn at(directory: &Path, time: Option<Timestamp>) -> TrialBalance {
    trial_balance(directory, time, |_| {}).expect("the journal is whole")
}

#[test]
fn it_is_the_sum_of_all_accounts_at_every_time_with_snapshots_and_without() {
    let directory = journal();
    let expected = plain(directory.path());
    let mut kinds = [0; 3];
    for frame in JournalScan::open(directory.path()).unwrap() {
        for event in frame.unwrap().events().unwrap() {
            match event.event {
                Event::HoldExpired(_) => kinds[0] += 1,
                Event::Payment(event) if event.outcome.is_accepted() => kinds[1] += 1,
                // Its balances are not those of the accounts that it names.
                Event::Payment(event) if event.payment.debit == AccountId(5) => {
                    kinds[2] += usize::from(event.balances.is_some());
                }
                _ => {}
            }
        }
    }
    assert!(kinds.iter().all(|count| *count > 5), "{kinds:?}");
    let mut from_snapshots = 0;
    for removed in [false, true] {
        if removed {
            fs::remove_dir_all(directory.path().join("snapshots")).unwrap();
        }
        for (position, (time, last, plain)) in expected.iter().enumerate() {
            // Two batches of one time count together.
            if expected.get(position + 1).is_some_and(|next| next.0 == *time) {
                continue;
            }
            let next = expected.get(position + 1).map_or(u64::MAX, |next| next.0.0);
            for time in [time.0, next - 1] {
                let balance = at(directory.path(), Some(Timestamp(time)));
                assert_eq!((balance.as_of, &by_code(&balance)), (*last, plain));
                from_snapshots += usize::from(balance.snapshot.is_some());
                assert!(!removed || balance.snapshot.is_none());
            }
        }
        let (time, last, plain) = expected.last().unwrap();
        let balance = at(directory.path(), None);
        assert_eq!((balance.time, balance.as_of, &by_code(&balance)), (*time, *last, plain));
    }
    assert!(from_snapshots > 10, "{from_snapshots}");
    let pending = &expected.last().unwrap().2;
    assert!(
        pending.values().any(|sums| sums.balances.debits_pending > Sum::ZERO),
        "holds are open"
    );
    let ledgers: std::collections::BTreeSet<_> = pending.keys().map(|(ledger, _)| ledger).collect();
    assert_eq!(ledgers.len(), 2);
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_one_of_another_history_refused() {
    let (directory, other) = (journal(), journal());
    let expected = by_code(&at(directory.path(), None));
    let newest = |directory: &Path| support::files(&directory.join("snapshots"), ".snapshot").pop();
    let file = newest(directory.path()).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let whole = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let balance = at(directory.path(), None);
    assert!(balance.snapshot.is_some(), "the one before it serves");
    assert_eq!(by_code(&balance), expected);
    // Of another journal, under the name of a later one.
    let later = directory.path().join("snapshots/00000000000000099999.snapshot");
    fs::copy(newest(other.path()).unwrap(), &later).unwrap();
    assert_eq!(by_code(&at(directory.path(), None)), expected);
    fs::remove_file(later).unwrap();
    // The journal lost its end.
    fs::write(&file, &whole).unwrap();
    let mut segments = support::segments(directory.path());
    for lost in segments.split_off(2) {
        fs::remove_file(lost).unwrap();
    }
    let error = trial_balance(directory.path(), None, |_| {}).expect_err("refused").to_string();
    assert!(error.contains("acknowledged payments are missing from the journal"), "{error}");
}

#[test]
fn without_its_beginning_it_needs_a_snapshot_that_is_early_enough() {
    let directory = journal();
    let expected = plain(directory.path());
    let oldest = support::files(&directory.path().join("snapshots"), ".snapshot").remove(0);
    let known: u64 = oldest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let segments = support::segments(directory.path());
    let needed = segments.iter().rposition(|path| support::first_seq(path).0 <= known).unwrap();
    assert!(needed > 0, "some segments are not needed");
    for path in &segments[..needed] {
        fs::remove_file(path).unwrap();
    }
    let (last_time, last, plain) = expected.last().unwrap();
    let balance = at(directory.path(), Some(*last_time));
    assert_eq!((balance.as_of, &by_code(&balance)), (*last, plain));
    let early = trial_balance(directory.path(), Some(expected[0].0), |_| {});
    let error = early.expect_err("too early");
    let TrialBalanceError::BeginningMissing { earliest: Some(earliest), .. } = error else {
        panic!("{error}");
    };
    let balance = at(directory.path(), Some(earliest));
    assert_eq!((balance.as_of.0, balance.time), (known, earliest), "that can be told");
    let before = Timestamp(earliest.0 - 1);
    trial_balance(directory.path(), Some(before), |_| {}).expect_err("and nothing before it");
    fs::remove_dir_all(directory.path().join("snapshots")).unwrap();
    let error = trial_balance(directory.path(), None, |_| {}).expect_err("nothing to begin with");
    assert!(error.to_string().contains("the journal begins with event"), "{error}");
}

#[test]
fn before_the_first_event_there_is_none() {
    let directory = journal();
    let first = plain(directory.path())[0].0;
    let error = trial_balance(directory.path(), Some(Timestamp(first.0 - 1)), |_| {});
    assert!(matches!(error, Err(TrialBalanceError::BeforeFirst { first: told }) if told == first));
    let empty = tempfile::tempdir().unwrap();
    let (engine, _) = support::start(empty.path()).expect("starts");
    engine.stop().expect("stops");
    let error = trial_balance(empty.path(), None, |_| {});
    assert!(matches!(error, Err(TrialBalanceError::NoEvent)));
}
