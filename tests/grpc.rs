//! The API as an upstream system meets it, on the real binary: every method of every service.

mod support;

use millrace_protos::v1::{
    AccountFlag, AccountOutcome, AccountRejectReason, AccountState, AccountStatus, Balances,
    CapturePaymentRequest, CreateAccountsRequest, GetAccountsRequest, GetPaymentRequest,
    GetPaymentResponse, HoldState, NewAccount, Operation, Payment, PaymentFlag, PaymentOutcome,
    RefundPaymentRequest, StreamPaymentsRequest, SubmitPaymentRequest, UpdateAccountRequest,
    VoidPaymentRequest,
    update_account_request::{Change, Close, Freeze, Reopen, SetCreditLimit},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ReflectMessage as _, Value, prost::Message as _,
};
use support::{
    bank::{ALICE, BOB, Bank},
    config::Settings,
    payments::{LEDGER, account, id_bytes, pay, submit, word},
    raw_grpc::RawConnection,
    within,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// A server with two accounts that no limit binds.
async fn bank() -> Bank {
    Bank::start_with(&Settings::unlimited(), [ALICE, BOB]).await
}

impl Bank {
    async fn outcome(&self, payment: Payment) -> PaymentOutcome {
        let request = SubmitPaymentRequest { payment: Some(payment) };
        let response = within("outcome", self.connection.payments().submit_payment(request)).await;
        response.expect("is taken").into_inner().outcome.expect("has an outcome")
    }

    async fn payment(&self, id: u128) -> GetPaymentResponse {
        let request = GetPaymentRequest { payment_id: id_bytes(id) };
        let response = within("payment", self.connection.payments().get_payment(request)).await;
        response.expect("is known").into_inner()
    }

    async fn create(&self, accounts: Vec<NewAccount>) -> Vec<AccountOutcome> {
        let request = CreateAccountsRequest { accounts, ..Default::default() };
        let response =
            within("accounts", self.connection.accounts().create_accounts(request)).await;
        response.expect("is taken").into_inner().outcomes
    }

    async fn change(&self, id: u128, change: Option<Change>) -> String {
        let request =
            UpdateAccountRequest { account_id: id_bytes(id), change, ..Default::default() };
        let response = within("change", self.connection.accounts().update_account(request)).await;
        account_word(&response.expect("is taken").into_inner().outcome.expect("has an outcome"))
    }
}

/// `CREATED`, or `REJECTED` with its reason.
fn account_word(outcome: &AccountOutcome) -> String {
    let status = outcome.status().as_str_name().trim_start_matches("ACCOUNT_STATUS_");
    match outcome.reject_reason() {
        AccountRejectReason::Unspecified => status.to_owned(),
        reason => {
            let reason = reason.as_str_name().trim_start_matches("ACCOUNT_REJECT_REASON_");
            format!("{status} {reason}")
        }
    }
}

/// Guards against balancers and orchestrators that take a healthy server for a dead one, or that
/// can't tell its services apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn health_is_told_for_the_server_and_for_each_service() {
    let bank = bank().await;
    let channel = Endpoint::from_shared(bank.server.url()).expect("a URL").connect_lazy();
    let mut client = HealthClient::new(channel);
    for (service, expected) in [
        ("", Ok(ServingStatus::Serving)),
        ("millrace.v1.PaymentService", Ok(ServingStatus::Serving)),
        ("millrace.v1.AccountService", Ok(ServingStatus::Serving)),
        ("millrace.v1.RiskService", Ok(ServingStatus::Serving)),
        ("millrace.v1.NoService", Err(Code::NotFound)),
    ] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = within("health", client.check(request)).await;
        let found = response.map(|response| response.into_inner().status());
        assert_eq!(found.map_err(|status| status.code()), expected, "{service:?}");
    }
}

/// Asks the reflection service, as grpcurl does.
async fn reflect(bank: &Bank, requests: Vec<MessageRequest>) -> Vec<MessageResponse> {
    let channel = Endpoint::from_shared(bank.server.url()).expect("a URL").connect_lazy();
    let requests = requests.into_iter().map(|request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    });
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let mut client = ServerReflectionClient::new(channel);
    let stream = client.server_reflection_info(ReceiverStream::new(receiver));
    let mut stream = within("reflection", stream).await.expect("is there").into_inner();
    let mut answers = Vec::new();
    for request in requests {
        sender.send(request).await.expect("the stream is open");
        let answer = within("an answer", stream.next()).await;
        let answer = answer.expect("the stream goes on").expect("no error");
        answers.push(answer.message_response.expect("has an answer"));
    }
    answers
}

/// Guards the promise that the API works bare with grpcurl: what reflection gives is enough to
/// build a request from nothing else, send it, and read the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reflection_is_enough_to_pay_without_our_code() {
    let bank = bank().await;
    let answers = reflect(&bank, vec![MessageRequest::ListServices(String::new())]).await;
    let MessageResponse::ListServicesResponse(listed) = &answers[0] else {
        panic!("a list: {answers:?}")
    };
    let mut names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "millrace.v1.AccountService",
        "millrace.v1.OperatorService",
        "millrace.v1.PaymentService",
        "millrace.v1.RiskService",
    ];
    assert_eq!(names, expected);

    let service = "millrace.v1.PaymentService".to_owned();
    let files = reflect(
        &bank,
        vec![
            MessageRequest::FileByFilename("google/protobuf/timestamp.proto".to_owned()),
            MessageRequest::FileContainingSymbol(service),
        ],
    );
    let mut pool = DescriptorPool::new();
    for answer in files.await {
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("a file: {answer:?}")
        };
        for file in files.file_descriptor_proto {
            pool.decode_file_descriptor_proto(&file[..]).expect("whole, with what it imports");
        }
    }
    let service = pool.get_service_by_name("millrace.v1.PaymentService").expect("is described");
    let method = service.methods().find(|method| method.name() == "SubmitPayment");
    let method = method.expect("is described");

    let message = pool.get_message_by_name("millrace.v1.Payment").expect("is described");
    let mut payment = DynamicMessage::new(message);
    for (field, value) in [
        ("payment_id", Value::Bytes(id_bytes(77))),
        ("debit_account_id", Value::Bytes(id_bytes(ALICE))),
        ("credit_account_id", Value::Bytes(id_bytes(BOB))),
        ("amount_minor", Value::U64(1_250)),
        ("ledger", Value::U32(LEDGER)),
        ("code", Value::U32(1)),
    ] {
        payment.set_field_by_name(field, value);
    }
    let mut request = DynamicMessage::new(method.input());
    request.set_field_by_name("payment", Value::Message(payment));
    let raw = RawConnection::open(bank.server.grpc).await;
    let path = format!("/{}/{}", service.full_name(), method.name());
    let answer = raw.call(&path, &[], &request.encode_to_vec()).await.expect("is taken");
    let answer = DynamicMessage::decode(method.output(), answer).expect("is as described");
    let outcome = answer.get_field_by_name("outcome").expect("is described");
    let outcome = outcome.as_message().expect("is a message");
    assert_eq!(outcome.unknown_fields().count(), 0);
    let status = outcome.descriptor().get_field_by_name("status").expect("is described");
    let status_kind = status.kind();
    let names = status_kind.as_enum().expect("is an enum");
    let number = outcome.get_field(&status).as_enum_number().expect("is a number");
    let name = names.get_value(number).expect("is described");
    assert_eq!(name.name(), "PAYMENT_STATUS_SETTLED");
    assert_eq!(bank.balances(BOB).await.credits_posted, 1_250);
}

/// Guards the life of a hold and of a refund across the API: each follow-up has its own method, and
/// what it leaves is what the next one may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn holds_and_refunds_live_their_lives() {
    let bank = bank().await;
    let hold = |id, minor| Payment {
        operation: Operation::Authorize as i32,
        ..pay(id, ALICE, BOB, minor)
    };
    assert_eq!(word(&bank.outcome(hold(1, 1_000)).await), "HELD");
    assert_eq!(bank.balances(BOB).await.credits_pending, 1_000);

    let capture = |id, original, amount_minor| CapturePaymentRequest {
        payment_id: id_bytes(id),
        original_payment_id: id_bytes(original),
        amount_minor,
        context: None,
    };
    let void = |id, original| VoidPaymentRequest {
        payment_id: id_bytes(id),
        original_payment_id: id_bytes(original),
        context: None,
    };
    let refund = |id, original, amount_minor| RefundPaymentRequest {
        payment_id: id_bytes(id),
        original_payment_id: id_bytes(original),
        amount_minor,
        context: None,
    };
    let mut client = bank.connection.payments();
    macro_rules! outcome {
        ($call:expr) => {
            within("outcome", $call).await.unwrap().into_inner().outcome.unwrap()
        };
    }
    // Method and arguments, what comes of it, minor units moved or released.
    for (outcome, expected, minor) in [
        (outcome!(client.capture_payment(capture(2, 1, Some(600)))), "SETTLED", 600),
        (
            outcome!(client.capture_payment(capture(3, 1, Some(600)))),
            "REJECTED EXCEEDS_REMAINING_AMOUNT",
            0,
        ),
        (outcome!(client.void_payment(void(4, 1))), "VOIDED", 400),
        (outcome!(client.void_payment(void(5, 1))), "REJECTED HOLD_VOIDED", 0),
        (outcome!(client.capture_payment(capture(6, 99, None))), "REJECTED ORIGINAL_UNKNOWN", 0),
        (outcome!(client.refund_payment(refund(7, 2, Some(100)))), "SETTLED", 100),
        (outcome!(client.refund_payment(refund(8, 2, None))), "SETTLED", 500),
        (outcome!(client.refund_payment(refund(9, 2, None))), "REJECTED ALREADY_REFUNDED", 0),
    ] {
        assert_eq!((word(&outcome).as_str(), outcome.amount_minor), (expected, minor));
    }

    let held = bank.payment(1).await;
    assert_eq!((held.hold_state(), held.remaining_minor), (HoldState::Voided, 0));
    let captured = bank.payment(2).await;
    let payment = captured.payment.expect("as decided");
    assert_eq!(payment.operation, Operation::Capture as i32);
    assert_eq!((payment.original_payment_id, payment.debit_account_id), (1, ALICE));
    assert_eq!(captured.remaining_minor, 0, "all of it was paid back");
    let expected = Balances { debits_posted: 600, credits_posted: 600, ..Balances::default() };
    assert_eq!(bank.balances(ALICE).await, expected);
    assert_eq!(bank.balances(BOB).await, expected);
}

/// Guards the answer's shape in a batch: one outcome per payment, in order, a group that stands or
/// falls together, a retry that gets the first outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_batch_gets_one_outcome_per_payment_in_order() {
    let bank = bank().await;
    let linked = |payment: Payment| payment.with_flag(PaymentFlag::Linked);
    let table = [
        (pay(1, ALICE, BOB, 5), "SETTLED"),
        (pay(2, ALICE, 0xdead, 5), "REJECTED CREDIT_ACCOUNT_UNKNOWN"),
        (linked(pay(3, ALICE, BOB, 5)), "REJECTED GROUP_MEMBER_FAILED"),
        (pay(4, ALICE, ALICE, 5), "REJECTED ACCOUNTS_EQUAL"),
        (linked(pay(5, ALICE, BOB, 5)), "SETTLED"),
        (pay(6, ALICE, BOB, 5), "SETTLED"),
        (pay(1, ALICE, BOB, 6), "REJECTED ID_REUSED_AMOUNT_DIFFERS"),
        (linked(pay(7, ALICE, BOB, 5)), "REJECTED GROUP_UNCLOSED"),
    ];
    let payments = || table.iter().map(|(payment, _)| payment.clone()).collect();
    let expected: Vec<_> =
        table.iter().map(|(payment, word)| (payment.payment_id, *word)).collect();
    let first = submit(&bank.connection, payments()).await.expect("is taken");
    let words: Vec<_> = first.iter().map(word).collect();
    let found: Vec<_> =
        first.iter().zip(&words).map(|(outcome, word)| (outcome.payment_id, &**word)).collect();
    assert_eq!(found, expected);
    assert!(first.iter().all(|outcome| !outcome.replayed));

    let again = submit(&bank.connection, payments()).await.expect("is taken");
    for (again, first) in again.iter().zip(&first) {
        // Refusals that depend on the request alone don't take the id: they are decided anew.
        if again.replayed {
            let first = PaymentOutcome { replayed: true, ..first.clone() };
            assert_eq!(*again, first);
        }
        assert_eq!(word(again), word(first));
    }
    assert_eq!(again.iter().filter(|outcome| outcome.replayed).count(), 4);
    assert_eq!(bank.balances(BOB).await.credits_posted, 15);
}

/// Guards the order of a stream when many requests are under way: answers come in the order of the
/// requests, whatever the batches were.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_keeps_order_with_many_requests_under_way() {
    const REQUESTS: u128 = 500;
    let bank = bank().await;
    // Room for all of them: nothing waits for an answer before it is sent.
    let (sender, receiver) = tokio::sync::mpsc::channel(REQUESTS as usize);
    for n in 0..REQUESTS {
        let payments = (0..n % 3 + 1).map(|k| pay(1 + n * 3 + k, ALICE, BOB, 1)).collect();
        sender.try_send(StreamPaymentsRequest { payments }).expect("there is room");
    }
    drop(sender);
    let mut client = bank.connection.payments();
    let stream = client.stream_payments(ReceiverStream::new(receiver));
    let mut stream = within("the stream", stream).await.expect("opens").into_inner();
    let mut last_sequence = 0;
    for n in 0..REQUESTS {
        let response = within("an answer", stream.message()).await.expect("no error");
        let outcomes = response.expect("one answer per request").outcomes;
        let ids: Vec<u128> = outcomes.iter().map(|outcome| outcome.payment_id).collect();
        let expected: Vec<u128> = (0..n % 3 + 1).map(|k| 1 + n * 3 + k).collect();
        assert_eq!(ids, expected, "answer {n}");
        for outcome in outcomes {
            assert_eq!(word(&outcome), "SETTLED");
            assert!(outcome.event_sequence > last_sequence, "decided in order");
            last_sequence = outcome.event_sequence;
        }
    }
    assert_eq!(within("the end", stream.message()).await.expect("no error"), None);
}

/// Guards account opening against retries and mix-ups: the same again changes nothing, another
/// content under a known id is refused by the field that differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn accounts_open_once_and_differences_are_refused() {
    let bank = bank().await;
    let carol = account(0xca201, &[AccountFlag::DebitsMustNotExceedCredits]);
    let other = |change: fn(&mut NewAccount)| {
        let mut account = carol.clone();
        change(&mut account);
        account
    };
    let table = [
        (carol.clone(), "CREATED"),
        (carol.clone(), "UNCHANGED"),
        (other(|account| account.ledger = 978), "REJECTED EXISTS_LEDGER_DIFFERS"),
        (other(|account| account.code = 2), "REJECTED EXISTS_CODE_DIFFERS"),
        (other(|account| account.tenant = 2), "REJECTED EXISTS_TENANT_DIFFERS"),
        (other(|account| account.owner_id = id_bytes(1)), "REJECTED EXISTS_OWNER_DIFFERS"),
        (other(|account| account.flags.clear()), "REJECTED EXISTS_FLAGS_DIFFER"),
        (account(0, &[]), "REJECTED ACCOUNT_ID_ZERO"),
        (account(u128::MAX, &[]), "REJECTED ACCOUNT_ID_MAX"),
        (
            NewAccount { account_id: b"short".to_vec().into(), ..carol.clone() },
            "REJECTED ACCOUNT_ID_MALFORMED",
        ),
        (NewAccount { ledger: 0, ..account(5, &[]) }, "REJECTED LEDGER_ZERO"),
        (NewAccount { code: 70_000, ..account(5, &[]) }, "REJECTED CODE_TOO_LARGE"),
        (account(0xda5e, &[]), "CREATED"),
    ];
    let outcomes = bank.create(table.iter().map(|(account, _)| account.clone()).collect()).await;
    let words: Vec<String> = outcomes.iter().map(account_word).collect();
    let expected: Vec<&str> = table.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(words, expected);

    let account_ids = vec![id_bytes(0xda5e), id_bytes(404), id_bytes(0xca201)];
    let request = GetAccountsRequest { account_ids };
    let response = within("accounts", bank.connection.accounts().get_accounts(request)).await;
    let response = response.expect("is taken").into_inner();
    let found: Vec<_> = response.accounts.iter().map(|found| found.account.clone()).collect();
    assert_eq!(found, [Some(account(0xda5e, &[])), Some(carol)]);
    assert_eq!(response.unknown_account_ids, [id_bytes(404)]);
}

/// Guards an account's life: what a freeze, a close and a limit stop, and what they don't.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn accounts_freeze_close_and_open_again() {
    let bank = bank().await;
    let limited = account(1, &[AccountFlag::DebitsMustNotExceedCredits]);
    assert_eq!(bank.create(vec![limited]).await[0].status(), AccountStatus::Created);
    let set_limit = |credit_limit_minor| {
        Change::SetCreditLimit(SetCreditLimit { credit_limit_minor, credit_limit_minor_high: 0 })
    };
    enum Step {
        Change(u128, Option<Change>),
        Pay(u128, u128, u64),
    }
    use Step::{Change as To, Pay};
    for (n, (step, expected)) in [
        (To(BOB, Some(Change::Freeze(Freeze {}))), "UPDATED"),
        (To(BOB, Some(Change::Freeze(Freeze {}))), "UNCHANGED"),
        (Pay(ALICE, BOB, 5), "REJECTED CREDIT_ACCOUNT_FROZEN"),
        (To(BOB, Some(Change::Reopen(Reopen {}))), "UPDATED"),
        (Pay(ALICE, BOB, 5), "SETTLED"),
        (To(BOB, Some(Change::Close(Close {}))), "REJECTED ACCOUNT_NOT_EMPTY"),
        (Pay(BOB, ALICE, 5), "SETTLED"),
        (To(404, Some(Change::Close(Close {}))), "REJECTED ACCOUNT_UNKNOWN"),
        (To(BOB, None), "REJECTED CHANGE_MISSING"),
        (Pay(1, ALICE, 5), "REJECTED INSUFFICIENT_FUNDS"),
        (To(1, Some(set_limit(5))), "UPDATED"),
        (Pay(1, ALICE, 5), "SETTLED"),
        (Pay(1, ALICE, 1), "REJECTED INSUFFICIENT_FUNDS"),
        (To(ALICE, Some(set_limit(5))), "REJECTED CREDIT_LIMIT_WITHOUT_FLAG"),
        (To(BOB, Some(Change::Close(Close {}))), "UPDATED"),
        (Pay(ALICE, BOB, 5), "REJECTED CREDIT_ACCOUNT_CLOSED"),
        (To(BOB, Some(Change::Freeze(Freeze {}))), "REJECTED ACCOUNT_CLOSED"),
        (To(BOB, Some(Change::Reopen(Reopen {}))), "UPDATED"),
        (Pay(ALICE, BOB, 5), "SETTLED"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = match step {
            To(id, change) => bank.change(id, change).await,
            Pay(debit, credit, minor) => {
                word(&bank.outcome(pay(1_000 + n as u128, debit, credit, minor)).await)
            }
        };
        assert_eq!(found, expected, "step {n}");
    }
    let request = GetAccountsRequest { account_ids: vec![id_bytes(BOB)] };
    let response = within("account", bank.connection.accounts().get_accounts(request)).await;
    let state = response.expect("is taken").into_inner().accounts[0].state();
    assert_eq!(state, AccountState::Open);
}
