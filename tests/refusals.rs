//! Bad input, and what it gets: one test per line of the list, on the real binary. On the command
//! line that is one sentence that names the thing and the remedy; over gRPC it is a status with a
//! reason for machines, and no harm to anybody else.

mod support;

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use bytes::Bytes;
use millrace_client::Connection;
use millrace_protos::v1::{
    CreateAccountsRequest, GetAccountsRequest, GetPaymentRequest, NewAccount, Payment,
    StreamPaymentsRequest, StreamPaymentsResponse, SubmitPaymentRequest, SubmitPaymentsRequest,
};
use millrace_services::free_port;
use prost::Message as _;
use support::{
    config::Settings,
    orders,
    payments::{error_info, id_bytes, open, pay, submit, word},
    process::{Finished, millrace},
    raw_grpc::{RawCall, RawConnection},
    server::Server,
    text, within,
};
use tempfile::TempDir;
use tonic::{Code, Status};

/// Exit code 1, nothing printed, and a complaint that has these parts and is fit for people.
#[track_caller]
fn assert_complains(finished: &Finished, parts: &[&str]) {
    let Finished { code, stdout, stderr } = finished;
    assert_eq!((*code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    for leak in ["panicked", "backtrace", "Some(", "Err(", "Os {", "kind:", "source:"] {
        assert!(!stderr.contains(leak), "{leak:?} is for programmers: {stderr}");
    }
}

/// The same, on one line.
#[track_caller]
fn assert_one_sentence(finished: &Finished, parts: &[&str]) {
    assert_complains(finished, parts);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
}

struct Scratch {
    dir: TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("is written");
        path
    }

    fn serve(&self, settings: &Settings, data_dir: &str) -> Finished {
        let config = settings.write(self.dir.path());
        Server::launch(&config, &self.path(data_dir)).finish()
    }
}

/// Guards against an operator who starts a second server and has to guess which port is taken.
#[test]
fn a_taken_port() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("is bound").to_string();
    for (setting, what) in [("ingest.listen", "gRPC"), ("sinks.graphql.listen", "GraphQL")] {
        let finished = scratch.serve(&Settings::dev().with(setting, address.as_str()), "data");
        let remedy = format!("choose another one ({setting})");
        assert_one_sentence(&finished, &[what, &address, "Stop what uses the port", &remedy]);
        assert!(!scratch.path("data").exists(), "nothing was touched");
    }
}

/// Guards against two processes that write one journal.
#[test]
fn a_second_process_on_one_data_directory() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.dir.path());
    let first = Server::start(&config, &scratch.path("data"));
    let second = scratch.serve(&Settings::dev(), "data");
    let data_dir = scratch.path("data");
    assert_one_sentence(
        &second,
        &[text(&data_dir), "in use by another millrace process", "Stop that process", "data_dir"],
    );
    // The same configuration, so the same ports: that they are taken is not what is wrong.
    let address = first.url().replace("http://", "");
    let same_ports = Settings::dev().with("ingest.listen", address);
    assert_one_sentence(
        &scratch.serve(&same_ports, "data"),
        &[text(&data_dir), "in use by another millrace process"],
    );
    first.stop();
}

/// Guards against a new, empty ledger that is begun in a backup, or within a journal.
#[test]
fn a_backup_or_a_journal_in_the_place_of_a_data_directory() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.dir.path());
    let data_dir = scratch.path("data");
    Server::start(&config, &data_dir).stop();
    let backup = scratch.path("backup");
    let back_up = |to: &str| millrace(["backup", "--data-dir", text(&data_dir), "--to", to]);
    assert_eq!(back_up(text(&backup)).code, Some(0));
    for (name, remedy) in
        [("backup", "millrace restore --from"), ("data/journal", "Name the directory above it")]
    {
        let finished = scratch.serve(&Settings::dev(), name);
        assert_one_sentence(&finished, &[text(&scratch.path(name)), remedy]);
        assert!(!scratch.path(name).join("journal").exists(), "nothing was begun");
    }
    let within = data_dir.join("backups/first");
    assert_one_sentence(&back_up(text(&within)), &[text(&within), "name a directory elsewhere"]);
    assert!(!data_dir.join("backups").exists(), "nothing was made");
}

/// Guards against a data directory that can't be one: a file stands in its place, or in the place
/// of its parent.
#[test]
fn an_unwritable_data_directory() {
    let scratch = Scratch::new();
    scratch.write("file", "not a directory");
    for data_dir in ["file", "file/data"] {
        let finished = scratch.serve(&Settings::dev(), data_dir);
        let named = scratch.path(data_dir);
        assert_one_sentence(&finished, &[text(&named), "Choose another data_dir"]);
    }
}

/// Guards a downgrade: a journal that a later version wrote is left alone, by `serve` and `verify`.
#[test]
fn a_journal_of_a_newer_version() {
    const VERSION_AT: u64 = 8;
    const CHECKSUM_AT: u64 = 72;
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.dir.path());
    let data_dir = scratch.path("data");
    Server::start(&config, &data_dir).stop();
    let segment = data_dir.join("journal/00000000000000000001.segment");
    let file = File::options().read(true).write(true).open(&segment).expect("is there");
    file.write_all_at(&9_u32.to_le_bytes(), VERSION_AT).expect("is written");
    let mut header = [0; CHECKSUM_AT as usize];
    file.read_exact_at(&mut header, 0).expect("is read");
    let checksum = crc32c::crc32c(&header).to_le_bytes();
    file.write_all_at(&checksum, CHECKSUM_AT).expect("is written");
    let before = fs::read(&segment).expect("is read");

    let remedy = "Start the millrace that wrote it, or a later one";
    for finished in [
        scratch.serve(&Settings::dev(), "data"),
        millrace(["journal", "verify", "--data-dir", text(&data_dir)]),
    ] {
        assert_one_sentence(&finished, &[text(&segment), "version 9", "up to 1", remedy]);
    }
    assert!(fs::read(&segment).expect("is read") == before, "nothing was changed");
}

/// Guards against a read side that silently goes on in the middle of another history.
#[test]
fn a_journal_that_is_behind_its_sinks() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.dir.path());
    let data_dir = scratch.path("data");
    let server = Server::start(&config, &data_dir);
    let account = ["account", "create", "--currency", "CZK", "--target", &server.url()];
    assert_eq!(millrace(account).code, Some(0));
    server.stop();
    fs::remove_dir_all(data_dir.join("journal")).expect("is removed");

    let finished = scratch.serve(&Settings::dev(), "data");
    assert_one_sentence(&finished, &["up to 1", "the journal ends with 0", "delete that sink's"]);
}

/// Guards against a misspelt setting that is silently its default.
#[test]
fn an_unknown_configuration_key() {
    let scratch = Scratch::new();
    for (key, nearest) in [
        ("ingest.listen_adress", "listen"),
        ("engine.segment_mb", "segment_mib"),
        ("sinks.graphql.cache_mb", "cache_mib"),
        ("data_directory", "data_dir"),
    ] {
        let finished = scratch.serve(&Settings::dev().with(key, "x"), "data");
        let unknown = key.rsplit('.').next().expect("a key has a part");
        let (unknown, nearest) = (format!("`{unknown}`"), format!("did you mean `{nearest}`?"));
        assert_complains(&finished, &["millrace.toml", &unknown, &nearest]);
        assert!(!scratch.path("data").exists(), "nothing was touched");
    }
}

/// Guards against limits that contradict each other and a configuration that is not there.
#[test]
fn a_configuration_that_can_not_work() {
    let scratch = Scratch::new();
    let both = Settings::dev()
        .with("ingest.listen", "127.0.0.1:7999")
        .with("sinks.graphql.listen", "127.0.0.1:7999");
    let small = Settings::dev().with("engine.queue_weight_max", 100);
    for (settings, parts) in [
        (both, ["ingest.listen and sinks.graphql.listen are both", "another port"]),
        (small, ["engine.queue_weight_max is 100", "must be 8192"]),
    ] {
        assert_one_sentence(&scratch.serve(&settings, "data"), &parts);
    }
    let missing = scratch.path("missing.toml");
    let finished = millrace(["serve", "--config", text(&missing)]);
    let parts =
        ["can't be read", "No such file", "check the path", "configs/dev.toml has every key"];
    assert_one_sentence(&finished, &[&[text(&missing)], &parts[..]].concat());
    let folder = scratch.path("settings.d");
    fs::create_dir(&folder).expect("is made");
    let finished = millrace(["serve", "--config", text(&folder)]);
    assert_one_sentence(&finished, &[text(&folder), "can't be read", "name a file that is in it"]);
}

/// Guards whoever sends a file of an own kind: what is missing is named, and so is what fits.
#[test]
fn a_file_without_a_mapping() {
    let scratch = Scratch::new();
    let file = scratch.write("own.csv", "ref,from,to,amount\n1,a,b,2.00\n");
    let (file, mapping) = (text(&file), scratch.path("own.toml"));
    // The known headers are listed, one a line.
    let finished = millrace(["submit", "--file", file]);
    let parts =
        ["ref,from,to,amount", "write a mapping for this file", "standing-orders: order_id"];
    assert_complains(&finished, &parts);
    let finished = millrace(["submit", "--file", file, "--mapping", text(&mapping)]);
    assert_one_sentence(
        &finished,
        &[text(&mapping), "can't be read", "No such file", "check the path"],
    );
    let shipped = support::repository("configs/mappings/standing-orders.toml");
    let finished = millrace(["submit", "--file", file, "--mapping", text(&shipped)]);
    let parts = [file, "has no column `order_id`", "standing-orders", "ref, from, to, amount"];
    assert_one_sentence(&finished, &parts);
    let folder = scratch.path("folder.csv");
    fs::create_dir(&folder).expect("is made");
    let finished = millrace(["submit", "--file", text(&folder)]);
    assert_one_sentence(&finished, &[text(&folder), "can't be read", "name a file that is in it"]);
    let finished = millrace(["demo", "--once", "--file", "missing.csv"]);
    assert_one_sentence(&finished, &["missing.csv", "can't be read", "check the path"]);
    let finished = millrace(["submit", "--file", "missing.csv"]);
    assert_one_sentence(
        &finished,
        &["missing.csv", "can't be read", "No such file", "check the path"],
    );
}

/// Guards whoever names a stream where no server is: told at once, with what to do.
#[test]
fn a_stream_that_is_not_there() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let finished = millrace(["demo", "--once", "--nats", &url]);
    let remedy =
        ["Connection refused", "Start a NATS server", "nats-server -js", "--nats of the demo"];
    assert_one_sentence(&finished, &[&["can't be used"], &remedy[..]].concat());
}

/// Guards whoever sends to a server that is down: told at once, with the place.
#[test]
fn a_server_that_is_down() {
    let scratch = Scratch::new();
    let mut dice = support::dice::Dice::seeded("orders");
    let file = scratch.write("orders.csv", &orders::generated(3, &mut dice));
    // Nothing listens there, nor will.
    let url = format!("http://127.0.0.1:{}", free_port());
    let id = "0190b5a4-6a00-7c3e-8f00-000000000001";
    for args in [
        vec!["submit", "--file", text(&file)],
        vec!["submit", "--open-accounts", "--file", text(&file)],
        vec!["account", "get", id],
        vec!["payment", "get", id],
    ] {
        let finished = millrace(args.iter().copied().chain(["--target", url.as_str()]));
        assert_one_sentence(&finished, &[&url, "nothing listens", "start Millrace there"]);
    }
    let finished = millrace(["payment", "get", id, "--target", "not a url"]);
    assert_one_sentence(&finished, &["`not a url`", "is not the URL of a server"]);
}

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
        let config = config.write(scratch.dir.path());
        let server = Server::start(&config, &scratch.path("data"));
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
