//! What the front door finds wrong, from the bytes that a client sends: each defect alone, in every
//! pair, and all of them together.

use prost::{Message as _, encoding};

use super::*;

/// A piece of a message. One that comes later overrides, or adds to, what the message said before.
type Piece = Vec<u8>;

fn bytes(tag: u32, value: &[u8]) -> Piece {
    let mut piece = Vec::new();
    encoding::bytes::encode(tag, &value.to_vec(), &mut piece);
    piece
}

fn number(tag: u32, value: u64) -> Piece {
    let mut piece = Vec::new();
    encoding::uint64::encode(tag, &value, &mut piece);
    piece
}

/// A capture that names everything it may.
fn good_payment() -> Piece {
    [
        bytes(1, &[1; 16]),
        bytes(2, &[2; 16]),
        bytes(3, &[3; 16]),
        number(4, 500),
        number(6, 203),
        number(7, 65_535),
        number(8, v1::Operation::Capture as u64),
        number(9, v1::PaymentFlag::Linked as u64),
        bytes(10, &[4; 16]),
        bytes(12, &[0x08, 3]),
    ]
    .concat()
}

/// In order of precedence, each in the ways that bytes can have it.
fn defects_of_payments() -> Vec<(RejectReason, Vec<Piece>)> {
    use RejectReason as R;
    let malformed_ids = |tag| [1, 15, 17, 32].map(|len| bytes(tag, &vec![7; len])).to_vec();
    vec![
        (R::OperationUnknown, vec![number(8, 6), number(8, 99), number(8, u64::MAX)]),
        (R::FlagUnknown, vec![number(9, 4), number(9, 99), number(9, u64::MAX), bytes(9, &[1, 9])]),
        (R::PaymentIdMalformed, malformed_ids(1)),
        (
            R::ContextMalformed,
            vec![
                bytes(12, &[0x08, 8]),
                bytes(12, &[0x22, 2, b'c', b'z']),
                bytes(12, &[0x32, 2, 0xff, 0xfe]),
                bytes(12, &[vec![0x32, 0x8d, 1], vec![b'x'; 141]].concat()),
            ],
        ),
        (R::DebitAccountIdMalformed, malformed_ids(2)),
        (R::CreditAccountIdMalformed, malformed_ids(3)),
        (R::OriginalMalformed, malformed_ids(10)),
        (R::CodeTooLarge, vec![number(7, 65_536), number(7, 70_000), number(7, u32::MAX.into())]),
        (R::AmountTooLarge, vec![[number(4, u64::MAX), number(5, u64::MAX)].concat()]),
    ]
}

fn read(pieces: &[&[u8]]) -> Payment {
    let message = pieces.concat();
    let wire = millrace_protos::Payment::decode(&message[..]).expect("is a message all the same");
    payment(&wire)
}

#[test]
fn a_payment_without_a_defect_has_none() {
    let good = read(&[&good_payment()]);
    assert_eq!(good.defect, None);
    let ids = [good.id.0, good.debit.0, good.credit.0, good.original.0];
    assert_eq!(ids, [1, 2, 3, 4].map(|byte| u128::from_be_bytes([byte; 16])));
    assert_eq!((good.code, good.operation), (Code(65_535), Operation::Capture));
}

#[test]
fn each_defect_of_a_payment_has_its_reason() {
    for (reason, ways) in defects_of_payments() {
        for way in ways {
            let found = read(&[&good_payment(), &way]);
            assert_eq!(found.defect, Some(reason), "{way:?}");
        }
    }
}

/// What can't be read is handed on as absent, and a code as the largest there is.
#[test]
fn what_can_not_be_read_is_not_guessed() {
    let good = good_payment();
    let read = |way: Piece| read(&[&good, &way]);
    assert_eq!(read(bytes(1, &[7; 15])).id, PaymentId::ZERO);
    assert_eq!(read(bytes(2, &[7; 15])).debit, AccountId::ZERO);
    assert_eq!(read(bytes(3, &[7; 17])).credit, AccountId::ZERO);
    assert_eq!(read(bytes(10, &[7; 17])).original, PaymentId::ZERO);
    assert_eq!(read(number(7, 70_000)).code, Code(u16::MAX));
    assert_eq!(read(bytes(12, &[0x08, 8])).event_time, None);
}

#[test]
fn of_two_defects_of_a_payment_the_first_is_told() {
    let (good, defects) = (good_payment(), defects_of_payments());
    for (at, (first, ways)) in defects.iter().enumerate() {
        for (second, others) in &defects[at + 1..] {
            for (way, other) in ways.iter().flat_map(|way| others.iter().map(move |it| (way, it))) {
                for pieces in [[&good[..], &way[..], &other[..]], [&good[..], &other[..], &way[..]]]
                {
                    assert_eq!(read(&pieces).defect, Some(*first), "and {second:?}");
                }
            }
        }
    }
    let all: Vec<_> = defects.iter().rev().map(|(_, ways)| ways[0].clone()).collect();
    assert_eq!(read(&[&good, &all.concat()]).defect, Some(RejectReason::OperationUnknown));
}

fn good_account() -> Piece {
    [bytes(1, &[1; 16]), number(2, 203), number(3, 65_535), bytes(5, &[5; 16]), number(6, 1)]
        .concat()
}

/// In order of precedence.
fn defects_of_accounts() -> Vec<(AccountRejectReason, Vec<Piece>)> {
    use AccountRejectReason as R;
    let malformed_ids = |tag| [1, 15, 17].map(|len| bytes(tag, &vec![7; len])).to_vec();
    vec![
        (R::FlagUnknown, vec![number(6, 0), number(6, 4), number(6, 99), bytes(6, &[2, 9])]),
        (R::AccountIdMalformed, malformed_ids(1)),
        (R::OwnerIdMalformed, malformed_ids(5)),
        (R::CodeTooLarge, vec![number(3, 65_536), number(3, 70_000)]),
    ]
}

fn read_account(pieces: &[&[u8]]) -> AccountSpec {
    let message = pieces.concat();
    account_spec(&v1::NewAccount::decode(&message[..]).expect("is a message all the same"))
}

#[test]
fn defects_of_accounts_have_their_reasons_and_the_first_is_told() {
    let (good, defects) = (good_account(), defects_of_accounts());
    let whole = read_account(&[&good]);
    assert_eq!((whole.defect, whole.code), (None, Code(65_535)));
    assert_eq!(whole.flags, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS);
    for (at, (first, ways)) in defects.iter().enumerate() {
        for way in ways {
            assert_eq!(read_account(&[&good, way]).defect, Some(*first), "{way:?}");
            for (second, others) in &defects[at + 1..] {
                for other in others {
                    for pieces in
                        [[&good[..], &way[..], &other[..]], [&good[..], &other[..], &way[..]]]
                    {
                        assert_eq!(read_account(&pieces).defect, Some(*first), "and {second:?}");
                    }
                }
            }
        }
    }
    assert_eq!(read_account(&[&good, &bytes(1, &[7; 15])]).id, AccountId(0));
    assert_eq!(read_account(&[&good, &bytes(5, &[7; 17])]).owner, OwnerId(0));
    assert_eq!(read_account(&[&good, &number(3, 70_000)]).code, Code(u16::MAX));
}
