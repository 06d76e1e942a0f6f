//! The pipeline over real components: payments through JetStream into PostgreSQL and the audit log,
//! each role in a process of its own, while publisher, consumers, NATS and PostgreSQL are killed at
//! moments that chance picks.
//!
//! The story that it guards against: an event is lost or applied twice while something that carries
//! it dies, or a payment has to wait for something that is not the ledger's. At the end every row,
//! every sum, every balance and the audit log are compared with what was submitted.

mod support;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use millrace_client::Connection;
use millrace_protos::v1::{GetAccountsRequest, PaymentStatus};
use millrace_services::{Nats, Postgres, required};
use support::{
    config::{Settings, lasting_port},
    data_dir::{audit_entries, verified_journal},
    dice::Dice,
    eventually, graphql,
    payments::{id_bytes, open, pay, submit},
    process::{Process, millrace},
    text, within,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

const KILLS: usize = 24;
const ACCOUNTS: u128 = 40;
const REQUEST_PAYMENTS: u128 = 200;

/// What dies.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Publisher,
    Projection,
    AuditLog,
    Nats,
    Postgres,
}

const VICTIMS: [Victim; 5] =
    [Victim::Publisher, Victim::Projection, Victim::AuditLog, Victim::Nats, Victim::Postgres];

/// Processes that each have some roles, and what they talk to.
struct Cluster {
    config: PathBuf,
    journal_dir: PathBuf,
    reads_dir: PathBuf,
    audit_dir: PathBuf,
    nats: Nats,
    postgres: Postgres,
    ingest: Process,
    publisher: Process,
    projection: Process,
    audit: Process,
}

impl Cluster {
    fn start(scratch: &Path, dice: &mut Dice, nats: Nats, postgres: Postgres) -> Self {
        let grpc = format!("127.0.0.1:{}", lasting_port(dice));
        let config = Settings::unlimited()
            .with("ingest.listen", grpc.as_str())
            .with("engine.segment_mib", 1)
            .with("metrics.enabled", false)
            .with("stream.url", nats.url().as_str())
            .with("stream.frame_kib", 16)
            .with("postgres.url", postgres.url().as_str())
            .write(scratch);
        let [journal_dir, reads_dir, audit_dir] =
            ["journal", "reads", "audit"].map(|name| scratch.join(name));
        let ingest = serve(&config, "ingest", &journal_dir);
        eventually("the front door is open", || is_ready(&ingest).then_some(()));
        Self {
            publisher: serve(&config, "publish", &journal_dir),
            projection: serve(&config, "graphql", &reads_dir),
            audit: serve(&config, "audit", &audit_dir),
            ingest,
            nats,
            postgres,
            config,
            journal_dir,
            reads_dir,
            audit_dir,
        }
    }

    /// Kills it and starts it again, with or without a pause between.
    fn strike(&mut self, victim: Victim, dice: &mut Dice) {
        let pause = dice.duration_below(Duration::from_millis(300));
        let (process, role, directory) = match victim {
            Victim::Publisher => (&mut self.publisher, "publish", &self.journal_dir),
            Victim::Projection => (&mut self.projection, "graphql", &self.reads_dir),
            Victim::AuditLog => (&mut self.audit, "audit", &self.audit_dir),
            Victim::Nats => {
                self.nats.kill();
                thread::sleep(pause);
                return self.nats.start_again().expect("NATS starts again");
            }
            Victim::Postgres => {
                self.postgres.kill();
                thread::sleep(pause);
                return self.postgres.start_again().expect("PostgreSQL starts again");
            }
        };
        process.kill_in_place();
        thread::sleep(pause);
        *process = serve(&self.config, role, directory);
    }

    /// Where queries are answered, once they are.
    fn graphql(&self) -> SocketAddr {
        eventually("queries are answered", || value(&self.projection.stderr(), "graphql=\"http://"))
    }
}

fn serve(config: &Path, role: &str, data_dir: &Path) -> Process {
    Process::start([
        "serve",
        "--config",
        text(config),
        "--role",
        role,
        "--data-dir",
        text(data_dir),
    ])
}

fn is_ready(process: &Process) -> bool {
    process.stderr().lines().any(|line| line.contains(" ready "))
}

fn value(log: &str, key: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(" ready "))?;
    line.split_once(key)?.1.split([' ', '"']).next()?.parse().ok()
}

/// Pays round and round until it is told to stop. Returns how many payments were settled and their
/// sum: each request must be answered, whatever is dead.
async fn pay_until(stop: Arc<AtomicBool>, connection: Connection) -> (u128, u128) {
    let (mut next, mut sum) = (1, 0);
    while !stop.load(Ordering::Relaxed) {
        let payments = (next..next + REQUEST_PAYMENTS).map(|number| {
            let (debit, credit) = (1 + number % ACCOUNTS, 1 + (number * 7 + 3) % ACCOUNTS);
            let credit = if credit == debit { 1 + credit % ACCOUNTS } else { credit };
            let minor = 1 + number as u64 % 1_000;
            sum += u128::from(minor);
            // In time, as the ids that are recommended.
            pay((number << 64) | 0x7000, debit, credit, minor)
        });
        let outcomes = submit(&connection, payments.collect()).await.expect("is answered");
        let settled = PaymentStatus::Settled as i32;
        assert!(outcomes.iter().all(|outcome| outcome.status == settled), "{outcomes:?}");
        next += REQUEST_PAYMENTS;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (next - 1, sum)
}

#[test]
fn killing_what_carries_events_loses_none_and_doubles_none() {
    let (Some(nats), Some(postgres)) = (required(Nats::start()), required(Postgres::start()))
    else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut dice = Dice::seeded("cluster");
    let mut cluster = Cluster::start(scratch.path(), &mut dice, nats, postgres);
    let runtime = Runtime::new().expect("runs");
    let grpc = value(&cluster.ingest.stderr(), " grpc=").expect("is ready");
    let connection = runtime
        .block_on(within("the connection", Connection::open(&format!("http://{grpc}"))))
        .expect("it listens");
    runtime.block_on(open(&connection, 1..=ACCOUNTS));
    let stop = Arc::new(AtomicBool::new(false));
    let paying = runtime.spawn(pay_until(Arc::clone(&stop), connection.clone()));
    let mut begins = 0;
    for kill in 0..KILLS {
        thread::sleep(dice.duration_below(Duration::from_millis(700)));
        // Each of them once in a round, at least four times in all; where a round begins is chance.
        if kill % VICTIMS.len() == 0 {
            begins = dice.below(VICTIMS.len() as u64) as usize;
        }
        let victim = VICTIMS[(begins + kill) % VICTIMS.len()];
        println!("kill {kill}: {victim:?}");
        cluster.strike(victim, &mut dice);
    }
    stop.store(true, Ordering::Relaxed);
    let (payments, sum) = runtime.block_on(paying).expect("every request was answered");

    let events = verified_journal(&cluster.journal_dir)["events"].as_u64().expect("is a number");
    assert_eq!(u128::from(events), ACCOUNTS + payments, "accounts and payments, each once");
    graphql::wait_for(cluster.graphql(), events);
    eventually("the audit log has caught up", || {
        (audit_entries(&cluster.audit_dir) >= events).then_some(())
    });
    runtime.block_on(compare_tables(&cluster.postgres, &connection, payments, sum));
    for mut process in [cluster.audit, cluster.projection, cluster.publisher, cluster.ingest] {
        process.terminate();
        let status = process.wait(support::WAIT_MAX);
        assert_eq!(status.code(), Some(0), "{}", process.stderr());
    }
    let audited = millrace(["audit", "verify", "--data-dir", text(&cluster.audit_dir)]);
    assert_eq!(audited.code, Some(0), "{audited:?}");
    let lines = audited.stdout.lines().find_map(|line| line.trim().strip_prefix("lines"));
    assert_eq!(lines.map(str::trim), Some(events.to_string().as_str()));
}

/// Every payment once, with its amount, and every account with the ledger's balances.
async fn compare_tables(postgres: &Postgres, grpc: &Connection, payments: u128, sum: u128) {
    let (client, connection) =
        tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    let row = client
        .query_one(
            "SELECT count(*), count(DISTINCT payment_id), count(DISTINCT event_seq),
                    sum(amount_minor)::text, bool_and(status = 'settled')
             FROM millrace.payments",
            &[],
        )
        .await
        .expect("the table is there");
    let number = |at: usize| row.get::<_, i64>(at) as u128;
    assert_eq!([number(0), number(1), number(2)], [payments; 3], "rows, ids, positions");
    assert_eq!(row.get::<_, String>(3), sum.to_string());
    assert!(row.get::<_, bool>(4), "all are settled");
    let account_ids = (1..=ACCOUNTS).map(id_bytes).collect();
    let request = GetAccountsRequest { account_ids };
    let answer = within("accounts", grpc.accounts().get_accounts(request)).await;
    for account in answer.expect("is answered").into_inner().accounts {
        let described = account.account.expect("is described");
        let id = described.account_id.as_ref().try_into().map(u128::from_be_bytes);
        let id = id.expect("16 bytes");
        let row = client
            .query_one(
                "SELECT debits_posted::text, credits_posted::text FROM millrace.accounts
                 WHERE account_id = $1",
                &[&Uuid::from_u128(id)],
            )
            .await
            .expect("every account has a row");
        let balances = account.balances.expect("has balances");
        let ledgers = [balances.debits_posted, balances.credits_posted];
        let tables = [0, 1].map(|at| row.get::<_, String>(at).parse::<u64>().expect("a number"));
        assert_eq!(tables, ledgers, "account {id}");
    }
}
