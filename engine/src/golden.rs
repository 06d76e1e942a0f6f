//! The journal's format as a file that must never change: whoever changes the layout raises the
//! version, and keeps reading this one.

use bytes::Bytes;
use millrace_ledger::{
    Account, AccountChange, AccountEvent, AccountFlags, AccountId, AccountSpec, AccountState,
    Amount, Balances, Code, Event, EventSeq, HoldExpired, LedgerId, Operation, Outcome, OwnerId,
    Payment, PaymentEvent, PaymentFlags, PaymentId, RejectReason, RiskDecision, RuleName, Status,
    Timestamp, Verdict, context_digest,
};

use crate::{
    FeedEvent,
    frame::{FrameBuffer, FrameHash, FrameHeader, HEADER_LEN},
    record,
};

const GOLDEN: &str = include_str!("../tests/golden/frame-v1.hex");
const CONTEXT: &[u8] = &[0x32, 2, b'h', b'i'];

fn events() -> Vec<Event> {
    let balances = |first: u128| Balances {
        debits_pending: first,
        debits_posted: first + 1,
        credits_pending: first + 2,
        credits_posted: first + 3,
    };
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
    let account = Account { spec, state: AccountState::Frozen, balances: balances(1) };
    let settled = PaymentEvent {
        seq: EventSeq(2),
        payment: Payment {
            id: PaymentId(0xaa),
            debit: AccountId(0x10),
            credit: AccountId(0x11),
            original: PaymentId(0xbb),
            amount: Amount::ALL,
            ledger: LedgerId(203),
            code: Code(7),
            operation: Operation::Capture,
            flags: PaymentFlags::LINKED,
            timeout_s: 0,
            event_time: Some(Timestamp(1_522_540_831_000_000_000)),
            context_digest: context_digest(CONTEXT),
            defect: None,
        },
        outcome: Outcome { status: Status::Settled, amount: Amount(245_200) },
        verdict: Verdict {
            decision: RiskDecision::Review,
            rule: RuleName::new("large-payment").expect("short"),
            hold_s: 0,
        },
        balances: Some([balances(10), balances(u128::MAX - 3)]),
    };
    let refused = PaymentEvent {
        seq: EventSeq(3),
        payment: Payment {
            original: PaymentId::ZERO,
            amount: Amount(9),
            event_time: None,
            context_digest: 0,
            timeout_s: 60,
            defect: Some(RejectReason::CodeTooLarge),
            ..settled.payment
        },
        outcome: Outcome::rejected(RejectReason::InsufficientFunds),
        verdict: Verdict::default(),
        balances: None,
    };
    let expired = HoldExpired {
        seq: EventSeq(4),
        payment: PaymentId(0xcc),
        debit: AccountId(0x10),
        credit: AccountId(0x11),
        released: Amount(77),
        balances: [balances(1), balances(2)],
    };
    vec![
        Event::Account(AccountEvent {
            seq: EventSeq(1),
            change: Some(AccountChange::Freeze),
            account,
        }),
        Event::Payment(settled),
        Event::Payment(refused),
        Event::HoldExpired(expired),
    ]
}

fn frame() -> Vec<u8> {
    let mut buffer = FrameBuffer::default();
    buffer.clear();
    for event in events() {
        let (bytes, contexts) = buffer.begin_event();
        match &event {
            Event::Account(event) => record::encode_account(event, bytes),
            Event::HoldExpired(event) => record::encode_hold_expired(event, bytes),
            Event::Act(_) => unreachable!("none is written here"),
            Event::Payment(event) => {
                let context = if event.seq == EventSeq(2) { CONTEXT } else { &[] };
                let continues_group = event.seq == EventSeq(3);
                record::encode_payment(event, context, &[], continues_group, bytes, contexts);
            }
        }
    }
    let time = Timestamp(1_700_000_000_123_456_789);
    buffer.seal([0; 16], EventSeq(1), time, FrameHash([0x5a; 32])).0.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(32).map(|chunk| line(chunk) + "\n").collect()
}

#[test]
fn frames_are_written_as_version_1_always_was() {
    assert_eq!(hex(&frame()), GOLDEN);
}

#[test]
fn frames_of_version_1_are_read_as_they_always_were() {
    let digits: Vec<char> = GOLDEN.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| byte(pair).expect("hex")).collect();
    let header = bytes[..HEADER_LEN].try_into().expect("128 bytes");
    let header = FrameHeader::decode(header).expect("a whole header");
    let body = Bytes::copy_from_slice(&bytes[HEADER_LEN..HEADER_LEN + header.body_len()]);
    assert_eq!(*blake3::hash(&body).as_bytes(), header.body_hash);
    let events_len = header.events_len as usize;
    let read = record::decode_body(&body, events_len, header.first_seq, header.event_count);
    let context = |event: &Event| match event.seq() {
        EventSeq(2) => Bytes::from_static(CONTEXT),
        _ => Bytes::new(),
    };
    let expected = events().into_iter().map(|event| {
        let context = context(&event);
        FeedEvent { event, context, evidence: Bytes::new() }
    });
    assert_eq!(read, Ok(expected.collect()));
    let mut continues = Vec::new();
    let each = |_, continues_group| continues.push(continues_group);
    record::decode_each(&body, events_len, header.first_seq, header.event_count, each)
        .expect("was read just now");
    assert_eq!(continues, [false, false, true, false], "event 3 belongs to the group of event 2");
}
