//! Everything that a journal can hold, brought back to each of its events, inside groups too; and what
//! was brought back is decided again without a difference.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use millrace_engine::{
    Command, Engine, archive::archive_segments, backup::Until, redecide::redecide_within,
    scan::JournalScan,
};
use millrace_ledger::{
    AccountChange, AccountId, Amount, Code, Event, EventSeq, LedgerId, Operation, Payment,
    PaymentFlags, PaymentId, RejectReason, Status,
};
use support::{
    ask,
    backups::{Replay, back_up, bring_back, start},
    open_accounts,
};
use tempfile::TempDir;

const ROUNDS: u128 = 14;

fn pay(id: u128, debit: u128, credit: u128, amount: u128) -> Payment {
    Payment {
        id: PaymentId(id),
        debit: AccountId(debit),
        credit: AccountId(credit),
        amount: Amount(amount),
        ledger: LedgerId(203),
        code: Code(1),
        ..Payment::default()
    }
}

fn hold(id: u128, amount: u128, timeout_s: u32) -> Payment {
    Payment { operation: Operation::Authorize, timeout_s, ..pay(id, 1, 2, amount) }
}

fn follow_up(operation: Operation, id: u128, original: u128, amount: Amount) -> Payment {
    let (id, original) = (PaymentId(id), PaymentId(original));
    Payment { id, original, operation, amount, ..Payment::default() }
}

fn linked(payment: Payment) -> Payment {
    Payment { flags: PaymentFlags::LINKED, ..payment }
}

/// One request, which is one frame: payments alone, a group that happens, and a group of three of which
/// the first, the second or the last fails.
fn round(round: u128) -> Vec<Payment> {
    use Operation::{Capture, Refund, Void};
    let id = |number: u128| 1_000 + 100 * round + number;
    let mut failing = [
        pay(id(21), 1, 2, 4),
        follow_up(Capture, id(22), id(2), Amount(1)),
        follow_up(Refund, id(23), id(1), Amount(1)),
    ];
    // More than there ever was.
    failing[(round % 3) as usize] = follow_up(Refund, id(24), id(1), Amount(1_000));
    let [first, second, third] = failing;
    vec![
        pay(id(1), 1, 2, 50),
        // Some expire, some are captured, some stay.
        hold(id(2), 90, u32::from(round.is_multiple_of(3))),
        hold(id(3), 60, 0),
        follow_up(Capture, id(4), id(3), Amount(20)),
        follow_up(Refund, id(5), id(1), Amount(10)),
        follow_up(Void, id(6), id(3), Amount::ALL),
        linked(pay(id(11), 1, 2, 5)),
        linked(follow_up(Refund, id(12), id(4), Amount(3))),
        pay(id(13), 2, 3, 6),
        linked(first),
        linked(second),
        third,
        // Of a hold of the round before, unless that expired.
        follow_up(Capture, id(14), id(2) - 100, Amount(30)),
        pay(id(15), 3, 1, 1),
    ]
}

fn change(engine: &Engine, change: AccountChange) {
    let id = AccountId(3);
    ask(engine, |reply| Command::UpdateAccount { id, change, act: None, reply });
}

fn journal() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path());
    open_accounts(&engine);
    for number in 0..ROUNDS {
        if number == 4 || number == 9 {
            change(&engine, AccountChange::Freeze);
        }
        let payments = round(number);
        ask(&engine, |reply| Command::Payments { payments, contexts: Vec::new(), reply });
        match number {
            5 | 10 => change(&engine, AccountChange::Reopen),
            // Holds expire before the next round.
            3 | 7 => thread::sleep(Duration::from_millis(1_100)),
            _ => {}
        }
    }
    engine.stop().expect("stops");
    directory
}

/// What the journal holds, and the events after which a group goes on.
fn contents(directory: &Path) -> (BTreeMap<String, u32>, Vec<EventSeq>) {
    let (mut kinds, mut inside) = (BTreeMap::new(), Vec::new());
    for frame in JournalScan::open(directory).expect("opens") {
        for event in frame.expect("is whole").events().expect("decodes") {
            let kind = match &event.event {
                Event::Payment(event) => {
                    if event.payment.flags.has(PaymentFlags::LINKED) {
                        inside.push(event.seq);
                    }
                    format!("{:?} {:?}", event.payment.operation, event.outcome.status)
                }
                Event::HoldExpired(_) => "expired".to_owned(),
                Event::Account(event) => format!("{:?}", event.change),
                Event::Act(_) => "act".to_owned(),
            };
            *kinds.entry(kind).or_default() += 1;
        }
    }
    (kinds, inside)
}

#[test]
fn a_mixed_journal_is_brought_back_to_each_of_its_events_and_decided_again() {
    let (journal, scratch) = (journal(), tempfile::tempdir().unwrap());
    let (kinds, inside) = contents(journal.path());
    let failed = Status::Rejected(RejectReason::GroupMemberFailed);
    for kind in [
        "Pay Settled".to_owned(),
        "Authorize Held".to_owned(),
        "Capture Settled".to_owned(),
        "Void Voided".to_owned(),
        "Refund Settled".to_owned(),
        format!("Pay {failed:?}"),
        format!("Refund {:?}", Status::Rejected(RejectReason::ExceedsOriginalAmount)),
        format!("Pay {:?}", Status::Rejected(RejectReason::CreditAccountFrozen)),
        format!("Capture {:?}", Status::Rejected(RejectReason::HoldExpired)),
        "expired".to_owned(),
        "Some(Freeze)".to_owned(),
        "Some(Reopen)".to_owned(),
    ] {
        assert!(kinds.contains_key(&kind), "{kind}: {kinds:#?}");
    }
    archive_segments(journal.path(), EventSeq(90), || false).expect("archives");
    let target = scratch.path().join("backup");
    back_up(journal.path(), &target).expect("backs up");
    let replay = Replay::of(journal.path());
    let mut cuts_inside = 0;
    for seq in (1..=replay.last().0).map(EventSeq) {
        let place = scratch.path().join(format!("until-{seq}"));
        let back = bring_back(&target, &place, Some(Until::Event(seq))).expect("restores");
        assert_eq!(back.last_seq, seq);
        assert_eq!(back.state_hash, replay.hashes[seq.0 as usize], "event {seq}");
        cuts_inside += usize::from(inside.contains(&seq));

        let runs = scratch.path().join("runs");
        fs::create_dir(&runs).unwrap();
        let again = redecide_within(&place, &runs, |_| {}).expect("is whole");
        assert_eq!(again.differences, [], "until {seq}");
        assert_eq!((again.report.last_seq, again.stopped.is_none()), (seq, true));
        assert_eq!(again.redecided + again.not_redecidable, seq.0);
        assert_eq!(again.ledger.state_hash(), back.state_hash, "until {seq}");
        fs::remove_dir_all(runs).unwrap();
        fs::remove_dir_all(place).unwrap();
    }
    assert_eq!(cuts_inside, inside.len());
    assert!(cuts_inside > 40, "{cuts_inside}");
}
