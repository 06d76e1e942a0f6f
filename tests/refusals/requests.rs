//! Requests that can't be taken: consumes messages, counts, ids and deadlines that are not right,
//! produces a status with a reason for machines, and harms nobody else on the same server.

use bytes::Bytes;
use millrace_client::Connection;
use millrace_protos::v1::{
    CreateAccountsRequest, GetAccountsRequest, GetPaymentRequest, NewAccount, Payment,
    StreamPaymentsRequest, StreamPaymentsResponse, SubmitPaymentRequest, SubmitPaymentsRequest,
};
use prost::Message as _;
use tonic::{Code, Status};

use crate::support::{
    config::Settings,
    payments::{error_info, id_bytes, open, pay, submit, word},
    raw_grpc::{RawCall, RawConnection},
    scratch::Scratch,
    server::Server,
    within,
};

const PAYER: u128 = 1;
const PAYEE: u128 = 2;
const SUBMIT_PAYMENTS: &str = "/millrace.v1.PaymentService/SubmitPayments";
const STREAM_PAYMENTS: &str = "/millrace.v1.PaymentService/StreamPayments";

/// A server with two accounts and two witnesses: streams that must go on whatever others do, one
/// on the offender's own connection and one on another.
struct Door {
    server: Server,
    connection: Connection,
    offender: RawConnection,
    witnesses: [RawCall; 2],
    next_id: u128,
    _scratch: Scratch,
}

impl Door {
    async fn open() -> Self {
        let scratch = Scratch::new();
        let config = Settings::unlimited().with("ingest.message_max_mib", 1);
        let config = config.write(scratch.path());
        let server = Server::start(&config, &scratch.join("data"));
        let connection = server.connect().await;
        open(&connection, [PAYER, PAYEE]).await;
        let offender = RawConnection::open(server.grpc).await;
        let other = RawConnection::open(server.grpc).await;
        let witnesses =
            [offender.begin(STREAM_PAYMENTS, &[]).await, other.begin(STREAM_PAYMENTS, &[]).await];
        let next_id = 1_000_000;
        let mut door = Self { server, connection, offender, witnesses, next_id, _scratch: scratch };
        door.witnesses_go_on().await;
        door
    }

    /// Each witness pays once more on the stream that it has had all along.
    async fn witnesses_go_on(&mut self) {
        for witness in &mut self.witnesses {
            self.next_id += 1;
            let payments = vec![pay(self.next_id, PAYER, PAYEE, 1)];
            witness.send(&StreamPaymentsRequest { payments }.encode_to_vec(), false);
            let answer = witness.receive().await.expect("unharmed").expect("goes on");
            let answer = StreamPaymentsResponse::decode(answer).expect("an answer");
            let outcomes: Vec<String> = answer.outcomes.iter().map(word).collect();
            assert_eq!(outcomes, ["SETTLED"]);
        }
    }

    async fn offend(&self, path: &str, message: &[u8]) -> Status {
        self.offender.call(path, &[], message).await.expect_err("is refused")
    }
}

#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: &str) {
    let expected = Some(("millrace.v1".to_owned(), reason.to_owned()));
    assert_eq!((status.code(), error_info(status)), (code, expected), "{status:?}");
    assert!(!status.message().is_empty(), "people get a sentence");
}

/// Guards against an upstream system with a bug that takes the others down, or that can't tell
/// from the answer what it did wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_that_can_not_be_taken() {
    let mut door = Door::open().await;
    let garbage = b"\x0a\xff\xff\xff\xff\xff";
    let mib = vec![0x0a; (1 << 20) + 1];
    let method = |name: &str| format!("/millrace.v1.PaymentService/{name}");
    for (path, message, code, reason) in [
        (method("SubmitPayment"), &garbage[..], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (method("SubmitPayments"), &garbage[..], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (method("StreamPayments"), &garbage[..], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (method("GetPayment"), &garbage[..], Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (
            "/millrace.v1.AccountService/CreateAccounts".to_owned(),
            &garbage[..],
            Code::InvalidArgument,
            "MALFORMED_MESSAGE",
        ),
        (method("SubmitPayment"), &mib[..], Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (method("SubmitPayments"), &mib[..], Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (method("StreamPayments"), &mib[..], Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (method("SubmitPayment"), &[], Code::InvalidArgument, "PAYMENT_MISSING"),
        (method("TakeMyMoney"), &[], Code::Unimplemented, "METHOD_UNKNOWN"),
        ("/millrace.v2.PaymentService/X".to_owned(), &[], Code::Unimplemented, "METHOD_UNKNOWN"),
    ] {
        let status = door.offend(&path, message).await;
        assert_refused(&status, code, reason);
        door.witnesses_go_on().await;
    }
    door.server.stop();
}

/// Guards the bounds of a request: one item too many is refused whole, before anything happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn too_many_items() {
    let mut door = Door::open().await;
    let payments: Vec<Payment> = (1..=8_193).map(|id| pay(id, PAYER, PAYEE, 1)).collect();
    let accounts = CreateAccountsRequest {
        accounts: vec![NewAccount::default(); 8_193],
        ..CreateAccountsRequest::default()
    };
    let ids = GetAccountsRequest { account_ids: vec![id_bytes(PAYER); 8_193] };
    for (path, message) in [
        (SUBMIT_PAYMENTS, SubmitPaymentsRequest { payments: payments.clone() }.encode_to_vec()),
        (STREAM_PAYMENTS, StreamPaymentsRequest { payments: payments.clone() }.encode_to_vec()),
        ("/millrace.v1.AccountService/CreateAccounts", accounts.encode_to_vec()),
        ("/millrace.v1.AccountService/GetAccounts", ids.encode_to_vec()),
    ] {
        assert_refused(&door.offend(path, &message).await, Code::InvalidArgument, "TOO_MANY_ITEMS");
        door.witnesses_go_on().await;
    }
    let first = submit(&door.connection, payments[..8_192].to_vec()).await.expect("is taken");
    assert!(first.iter().all(|outcome| word(outcome) == "SETTLED" && !outcome.replayed));
    door.server.stop();
}

/// Guards against one bad id that costs its whole batch: it is that payment's outcome alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ids_of_the_wrong_length() {
    let door = Door::open().await;
    let right = |id| pay(id, PAYER, PAYEE, 1);
    // Fields 1, 2, 3 and 10 of a payment are ids; a field that comes again replaces the first.
    let with_field = |id, field: u8, value: &[u8]| {
        let mut encoded = right(id).encode_to_vec();
        encoded.extend([field << 3 | 2, value.len() as u8]);
        encoded.extend(value);
        encoded
    };
    let table: [(Vec<u8>, &str); 8] = [
        (right(1).encode_to_vec(), "SETTLED"),
        (with_field(2, 1, b"short"), "REJECTED PAYMENT_ID_MALFORMED"),
        (right(3).encode_to_vec(), "SETTLED"),
        (with_field(4, 2, &[7; 17]), "REJECTED DEBIT_ACCOUNT_ID_MALFORMED"),
        (with_field(5, 3, &[7; 15]), "REJECTED CREDIT_ACCOUNT_ID_MALFORMED"),
        (with_field(6, 10, &[7; 1]), "REJECTED ORIGINAL_MALFORMED"),
        (with_field(7, 3, &id_bytes(404)), "REJECTED CREDIT_ACCOUNT_UNKNOWN"),
        (right(8).encode_to_vec(), "SETTLED"),
    ];
    let mut batch = Vec::new();
    for (payment, _) in &table {
        batch.extend([1 << 3 | 2, payment.len() as u8]);
        batch.extend(payment);
    }
    let answer = door.offender.call(SUBMIT_PAYMENTS, &[], &batch).await.expect("is taken");
    let answer = StreamPaymentsResponse::decode(answer).expect("the same shape");
    let words: Vec<String> = answer.outcomes.iter().map(word).collect();
    let expected: Vec<&str> = table.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(words, expected);

    let request = GetPaymentRequest { payment_id: Bytes::from_static(b"short") };
    let status = door.connection.payments().get_payment(request).await.expect_err("is refused");
    assert_refused(&status, Code::InvalidArgument, "ID_MALFORMED");
    let request = GetPaymentRequest { payment_id: id_bytes(404) };
    let status = door.connection.payments().get_payment(request).await.expect_err("is refused");
    assert_refused(&status, Code::NotFound, "PAYMENT_UNKNOWN");
    door.server.stop();
}

/// Guards the one promise about deadlines: an expired request was dropped before it was decided,
/// or its outcome stands and a retry learns it. There is no third way in which a retry pays twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deadlines_that_pass() {
    let mut door = Door::open().await;
    let mut late = Vec::new();
    for id in 1..=200_u128 {
        // Too early for any answer, and around the time that one takes.
        let timeout = if id % 2 == 0 { "1u".to_owned() } else { format!("{}u", id * 20) };
        let request = SubmitPaymentRequest { payment: Some(pay(id, PAYER, PAYEE, 1)) };
        let headers = [("grpc-timeout", timeout.as_str())];
        let path = "/millrace.v1.PaymentService/SubmitPayment";
        let answer = door.offender.call(path, &headers, &request.encode_to_vec()).await;
        match answer {
            Ok(_) => assert_ne!(timeout, "1u", "nothing is durable within a microsecond"),
            Err(status) => {
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
                let (_, reason) = error_info(&status).unwrap_or_else(|| panic!("{status:?}"));
                let nothing_happened = match reason.as_str() {
                    "DEADLINE_PASSED_IN_QUEUE" => true,
                    "DEADLINE_PASSED" => false,
                    other => panic!("{other}"),
                };
                late.push((id, nothing_happened));
            }
        }
    }
    door.witnesses_go_on().await;
    assert!(late.len() >= 100, "deadlines passed");
    let known = get_payments(&door.connection, late.iter().map(|(id, _)| *id)).await;
    let retries = late.iter().map(|(id, _)| pay(*id, PAYER, PAYEE, 1)).collect();
    let retries = submit(&door.connection, retries).await.expect("is taken");
    for (((id, nothing_happened), first), retry) in late.iter().zip(known).zip(retries) {
        assert_eq!(word(&retry), "SETTLED", "{id}");
        assert_eq!(retry.replayed, first.is_some(), "{id}: the first outcome again");
        assert!(!(*nothing_happened && first.is_some()), "{id} was said not to have happened");
        assert!(first.is_none_or(|sequence| sequence == retry.event_sequence), "{id}");
    }
    door.server.stop();
}

/// Where in the journal each payment is, if it is.
async fn get_payments(
    connection: &Connection,
    ids: impl Iterator<Item = u128>,
) -> Vec<Option<u64>> {
    let mut sequences = Vec::new();
    for id in ids {
        let request = GetPaymentRequest { payment_id: id_bytes(id) };
        let found = within("a payment", connection.payments().get_payment(request)).await;
        sequences.push(match found {
            Ok(found) => Some(found.into_inner().outcome.expect("an outcome").event_sequence),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{status}"),
        });
    }
    sequences
}
