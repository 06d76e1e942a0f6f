//! The crash test: the real binary is killed 20 times, at moments that chance picks while it
//! starts, while accounts are opened and while a day's orders come in; each time it starts again on
//! the same directory and the sender goes on.
//!
//! The story that it guards against: a server acknowledges a payment and then forgets it, or comes
//! back and pays it twice. Either shows: beside the sender, a witness pays one by one and keeps
//! every answer; what it and others were told is looked up after the restart, and at the end every
//! order, every balance, every audit line and every answer of the read side is compared with the
//! file.

mod support;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use millrace_client::Connection;
use millrace_protos::v1::{
    Account, CreateAccountsRequest, GetAccountsRequest, GetPaymentRequest, PaymentStatus,
    SubmitPaymentRequest,
};
use millrace_services::free_port;
use serde_json::{Value, json};
use support::{
    config::Settings,
    data_dir::{check_audit_log, verified_journal, wait_for_sinks},
    dice::Dice,
    eventually, graphql,
    orders::{self, Orders},
    payments::{account, id_bytes, pay},
    process::{Process, millrace},
    server::Server,
    text, within,
};
use tokio::runtime::Runtime;
use tonic::Code;
use uuid::Uuid;

const KILLS: usize = 20;
/// So many answers the witness has before a kill that comes while payments do.
const WITNESSED_MIN: usize = 10;

/// When the server dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before it is ready, or just then.
    StartUp,
    /// While accounts are opened and funded.
    Opening,
    /// While payments come in.
    Submission,
}

/// The order of a round's moments: accounts are opened once, so their rounds come first.
fn moment(round: usize) -> Moment {
    match round {
        0 | 4 | 8 | 12 | 16 => Moment::StartUp,
        1..=5 => Moment::Opening,
        _ => Moment::Submission,
    }
}

/// A payment that somebody was told of, and where in the journal it was: it must be there for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    payment: u128,
    status: i32,
    sequence: u64,
}

/// What the witness pays from and to. Nobody else does.
const WITNESS_ACCOUNTS: [u128; 2] = [0x717_e55, 0x717_e56];

/// What the witness was told until the server died.
struct Testimony {
    told: Vec<Seen>,
    /// Asked last, and not answered: it may have happened or not.
    unanswered: u128,
}

struct Crashes {
    dice: Dice,
    runtime: Runtime,
    config: PathBuf,
    data_dir: PathBuf,
    url: String,
    orders: Orders,
    sender: Option<Process>,
    /// Told since the last restart.
    fresh: Vec<Seen>,
    /// Told before, and found again after a restart.
    seen: Vec<Seen>,
    /// Asked, and not answered.
    unanswered: Vec<u128>,
    /// Orders up to here are settled for sure.
    settled: usize,
}

#[test]
fn twenty_kills_lose_nothing_and_pay_nothing_twice() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut dice = Dice::seeded("kill");
    let file = orders::real_or_generated_file(scratch.path(), &mut dice);
    let address = format!("127.0.0.1:{}", free_port());
    let settings = Settings::dev()
        .exempting_funding_of(&orders::mapping())
        .with("ingest.listen", address.as_str())
        .with("engine.segment_mib", 1);
    // The witness goes on while the test waits.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let mut crashes = Crashes {
        dice,
        runtime: runtime.expect("runs"),
        config: settings.write(scratch.path()),
        data_dir: scratch.path().join("data"),
        url: format!("http://{address}"),
        orders: Orders::read(&file),
        sender: None,
        fresh: Vec::new(),
        seen: Vec::new(),
        unanswered: Vec::new(),
        settled: 0,
    };
    for round in 0..KILLS {
        crashes.round(round);
    }
    crashes.finish();
}

impl Crashes {
    fn round(&mut self, round: usize) {
        let moment = moment(round);
        if matches!(moment, Moment::StartUp) {
            let starting = Server::launch(&self.config, &self.data_dir);
            thread::sleep(self.dice.duration_below(Duration::from_millis(400)));
            starting.kill();
            println!("kill {round}: during start-up");
            return;
        }
        let server = Server::start(&self.config, &self.data_dir);
        self.check_fresh(&server);
        self.send();
        let connection = self.runtime.block_on(server.connect());
        let witnessed = Arc::new(AtomicUsize::new(0));
        let witness = self.runtime.spawn(bear_witness(connection, round, Arc::clone(&witnessed)));
        match moment {
            Moment::Opening => {
                thread::sleep(self.dice.duration_below(Duration::from_millis(300)));
            }
            _ => {
                eventually("the witness sees something", || {
                    (witnessed.load(Ordering::Relaxed) >= WITNESSED_MIN).then_some(())
                });
                self.wait_for_some_orders(&server, KILLS - round);
            }
        }
        // Sometimes the sender dies as well, before the server does or after.
        let sender_dies = self.dice.below(3);
        if sender_dies == 0 {
            self.kill_sender();
            thread::sleep(self.dice.duration_below(Duration::from_millis(5)));
        }
        server.kill();
        if sender_dies == 1 {
            self.kill_sender();
        }
        let testimony = self.runtime.block_on(within("the witness", witness));
        let Testimony { told, unanswered } = testimony.expect("ends with the server");
        let count = told.len();
        self.fresh.extend(told);
        self.unanswered.push(unanswered);
        let sender = ["died before", "died after", "goes on"][sender_dies as usize];
        println!(
            "kill {round}: {moment:?}, {} orders settled, the sender {sender}, {count} witnessed",
            self.settled
        );
    }

    /// Starts a sender, unless one is still trying.
    fn send(&mut self) {
        if let Some(sender) = &mut self.sender {
            if !sender.has_ended() {
                return;
            }
            // It may end because it is done, or because the server was not there when it came.
            let log = sender.stderr();
            assert!(log.is_empty() || log.contains("connection"), "{log}");
        }
        let file = text(&self.orders.file);
        self.sender = Some(Process::start([
            "submit",
            "--file",
            file,
            "--open-accounts",
            "--target",
            &self.url,
            // Small, so that there are many moments between two answers.
            "--batch",
            "4",
            "--in-flight",
            "2",
        ]));
    }

    fn kill_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.kill();
        }
    }

    /// Waits until an order is settled that chance picks among the next ones, then a little.
    fn wait_for_some_orders(&mut self, server: &Server, rounds_left: usize) {
        let total = self.orders.payments.len();
        let share = 2 * (total - self.settled) / rounds_left;
        let target = self.settled + self.dice.below(share as u64 + 1) as usize;
        let target = target.min(total - 1);
        let payment = self.orders.payments[target];
        let started = Instant::now();
        let connection = self.runtime.block_on(server.connect());
        loop {
            let done = |sender: &mut Process| sender.has_ended() && sender.stderr().is_empty();
            let done = self.sender.as_mut().is_some_and(done);
            if let Some(seen) = self.runtime.block_on(look_up(&connection, payment)) {
                self.fresh.push(seen);
                self.settled = target;
                break;
            }
            assert!(!done, "the sender ended before order {target} of {total} was settled");
            // It may have found no server before this one, and end a moment later.
            self.send();
            assert!(started.elapsed() < support::WAIT_MAX, "order {target} is not settled");
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(self.dice.duration_below(Duration::from_millis(4)));
    }

    /// What was told before a crash is there after it, in its place.
    fn check_fresh(&mut self, server: &Server) {
        self.runtime.block_on(check_seen(server, &self.fresh));
        self.seen.append(&mut self.fresh);
    }

    /// Submits to completion, then compares everything with the file.
    fn finish(mut self) {
        let server = Server::start(&self.config, &self.data_dir);
        self.check_fresh(&server);
        self.kill_sender();
        let file = text(&self.orders.file);
        let args = ["submit", "--file", file, "--open-accounts", "--json", "--target", &self.url];
        let finished = millrace(args);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        let summary: Value = serde_json::from_str(&finished.stdout).expect("is JSON");
        let sum = u64::try_from(self.orders.sum_minor).expect("fits");
        for (field, expected) in [
            ("submitted", json!(self.orders.payments.len())),
            ("settled", json!(self.orders.payments.len())),
            ("rejected", json!({})),
            ("settled_minor", json!({ "CZK": sum })),
        ] {
            assert_eq!(summary[field], expected, "{field} of {summary}");
        }
        self.runtime.block_on(check_ledger(&server, &self.orders));
        self.runtime.block_on(check_seen(&server, &self.seen));
        let of_witness = self.runtime.block_on(self.payments_of_witness(&server));
        check_read_side(&server, &self.orders, &mut self.dice, &self.data_dir);
        server.stop();
        check_logs(&self.data_dir, &self.orders, of_witness);
    }

    /// Those that it was told of, and those unanswered ones that happened all the same.
    async fn payments_of_witness(&self, server: &Server) -> usize {
        let connection = server.connect().await;
        let mut happened = 0;
        for payment in &self.unanswered {
            happened += usize::from(look_up(&connection, *payment).await.is_some());
        }
        let told = self.seen.iter().filter(|seen| is_of_witness(seen.payment)).count();
        assert!(told > 100, "the witness saw something: {told}");
        told + happened
    }
}

/// The witness's ids are small numbers; those of orders are UUIDs.
fn is_of_witness(payment: u128) -> bool {
    payment >> 96 == 0
}

/// Pays one by one, as fast as answers come, and keeps them, until the server dies.
async fn bear_witness(
    connection: Connection,
    round: usize,
    witnessed: Arc<AtomicUsize>,
) -> Testimony {
    let [payer, payee] = WITNESS_ACCOUNTS;
    let mut told = Vec::new();
    let accounts = WITNESS_ACCOUNTS.map(|id| account(id, &[])).into();
    let (mut opener, mut client) = (connection.accounts(), connection.payments());
    let mut payment = (round as u128) << 64;
    let opened = opener.create_accounts(CreateAccountsRequest { accounts, ..Default::default() });
    if within("accounts", opened).await.is_err() {
        return Testimony { told, unanswered: payment };
    }
    loop {
        payment += 1;
        let request = SubmitPaymentRequest { payment: Some(pay(payment, payer, payee, 1)) };
        match within("an answer", client.submit_payment(request)).await {
            Ok(response) => {
                let outcome = response.into_inner().outcome.expect("has an outcome");
                let (status, sequence) = (outcome.status, outcome.event_sequence);
                told.push(Seen { payment, status, sequence });
                witnessed.store(told.len(), Ordering::Relaxed);
            }
            Err(_) => return Testimony { told, unanswered: payment },
        }
    }
}

async fn check_seen(server: &Server, seen: &[Seen]) {
    let connection = server.connect().await;
    for seen in seen {
        assert_eq!(look_up(&connection, seen.payment).await, Some(*seen), "was told of it");
    }
}

async fn look_up(connection: &Connection, payment: u128) -> Option<Seen> {
    let request = GetPaymentRequest { payment_id: id_bytes(payment) };
    match within("a payment", connection.payments().get_payment(request)).await {
        Ok(found) => {
            let outcome = found.into_inner().outcome.expect("has an outcome");
            let (status, sequence) = (outcome.status, outcome.event_sequence);
            Some(Seen { payment, status, sequence })
        }
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{status}"),
    }
}

/// Every order is settled, at a place of its own, and every balance is the sum of the file's.
async fn check_ledger(server: &Server, orders: &Orders) {
    let connection = server.connect().await;
    let mut sequences = Vec::new();
    for payment in &orders.payments {
        let seen = look_up(&connection, *payment).await.expect("every order is known");
        assert_eq!(seen.status, PaymentStatus::Settled as i32);
        sequences.push(seen.sequence);
    }
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), orders.payments.len(), "each order once");

    let expected: Vec<_> = orders.expected.iter().collect();
    for some in expected.chunks(8_192) {
        let account_ids = some.iter().map(|(id, _)| id_bytes(**id)).collect();
        let request = GetAccountsRequest { account_ids };
        let response = within("accounts", connection.accounts().get_accounts(request)).await;
        let response = response.expect("is taken").into_inner();
        assert_eq!(response.unknown_account_ids, Vec::<bytes::Bytes>::new());
        for ((id, expected), account) in some.iter().zip(&response.accounts) {
            let minor = (expected.debits_minor, 0, expected.credits_minor, 0);
            assert_eq!(balances(account), minor, "{id:x}");
        }
    }
}

/// Debits posted and pending, credits posted and pending.
fn balances(account: &Account) -> (u128, u128, u128, u128) {
    let balances = account.balances.expect("has balances");
    let joined = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
    (
        joined(balances.debits_posted, balances.debits_posted_high),
        joined(balances.debits_pending, balances.debits_pending_high),
        joined(balances.credits_posted, balances.credits_posted_high),
        joined(balances.credits_pending, balances.credits_pending_high),
    )
}

/// Queries tell the same payments as the ledger: for the busiest account and for some others.
fn check_read_side(server: &Server, orders: &Orders, dice: &mut Dice, data_dir: &Path) {
    wait_for_sinks(server, data_dir);
    let mut accounts: Vec<_> = orders.expected.iter().collect();
    accounts.sort_by_key(|(_, expected)| std::cmp::Reverse(expected.payments.len()));
    let some = (0..20).map(|_| dice.below(accounts.len() as u64) as usize);
    for index in std::iter::once(0).chain(some) {
        let (id, expected) = accounts[index];
        let found = graphql::payments_of(server.graphql, Uuid::from_u128(*id));
        assert!(found.iter().all(|payment| payment["status"] == "SETTLED"));
        let mut found: Vec<u128> = found
            .iter()
            .map(|payment| {
                let id = payment["id"].as_str().expect("is text");
                Uuid::parse_str(id).expect("is a UUID").as_u128()
            })
            .collect();
        found.sort_unstable();
        assert!(found.iter().eq(&expected.payments), "the payments of account {id:x}");
    }
    let sums = graphql::ask(server.graphql, "{ conservation { holds debitsPosted { minor } } }");
    assert_eq!(sums["conservation"][0]["holds"], json!(true), "{sums}");
}

/// The journal holds what the file says, what the witness paid, and nothing else, and the audit log has one line for each
/// of its events.
fn check_logs(data_dir: &Path, orders: &Orders, of_witness: usize) {
    let journal = verified_journal(data_dir);
    assert!(
        journal["segments"].as_u64() > Some(1),
        "crashes met the change of segments: {journal}"
    );
    // The payers' opening balances are payments as well, and come from one account more.
    let funded = orders.expected.values().filter(|account| account.debits_minor > 0).count();
    let payments = orders.payments.len() + funded + of_witness;
    let accounts = orders.expected.len() + 1 + WITNESS_ACCOUNTS.len();
    assert_eq!(journal["payments"], json!(payments));
    assert_eq!(journal["accounts"], json!(accounts));
    assert_eq!(check_audit_log(data_dir), (payments + accounts) as u64);
}
