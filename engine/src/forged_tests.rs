//! The row of the recovery table about events that do not follow from each other: every byte is as it
//! was hashed, so only applying the events tells.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use millrace_ledger::{
    AccountChange, AccountId, AccountSpec, Amount, ApproveAll, Code, Event, Ledger, LedgerId,
    Operation, Payment, PaymentEvent, PaymentId,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    Command, Engine, EngineConfig, JournalError, forge::forged, recover, segment, submission::Reply,
};

fn ask<T>(engine: &Engine, command: impl FnOnce(Reply<T>) -> Command) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (reply, answer) = oneshot::channel();
        let room = Instant::now() + Duration::from_secs(120);
        engine.submitter().submit(command(reply), None, room).await.expect("there is room");
        answer.await.expect("answered").expect("in time")
    })
}

/// Events 1 and 2 open accounts; 3 is settled; 4 is a hold; 5 captures half of it; 6 freezes.
fn journal() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (engine, _) =
        Engine::start(&EngineConfig::new(directory.path()), &ApproveAll).expect("starts");
    let (ledger, code) = (LedgerId(203), Code(1));
    let account = |id| AccountSpec { id: AccountId(id), ledger, code, ..AccountSpec::default() };
    let specs = vec![account(1), account(2)];
    ask(&engine, |reply| Command::CreateAccounts { specs, acts: Vec::new(), reply });
    let (debit, credit, amount) = (AccountId(1), AccountId(2), Amount(10));
    let pay = Payment { debit, credit, amount, ledger, code, ..Payment::default() };
    let payments = vec![
        Payment { id: PaymentId(3), ..pay },
        Payment { id: PaymentId(4), operation: Operation::Authorize, ..pay },
        Payment {
            id: PaymentId(5),
            operation: Operation::Capture,
            original: PaymentId(4),
            amount: Amount(5),
            ..Payment::default()
        },
    ];
    ask(&engine, |reply| Command::Payments { payments, contexts: Vec::new(), reply });
    let (id, change) = (AccountId(2), AccountChange::Freeze);
    ask(&engine, |reply| Command::UpdateAccount { id, change, act: None, reply });
    engine.stop().expect("stops");
    directory
}

fn of_payment(seq: u64, change: impl Fn(&mut PaymentEvent)) -> impl Fn(&mut Event) {
    move |event| match event {
        Event::Payment(event) if event.seq.0 == seq => change(event),
        _ => {}
    }
}

type Forge = Box<dyn Fn(&mut Event)>;

/// A change, the event at which the journal and the ledger part, and what is told of it.
fn forgeries() -> Vec<(Forge, u64, &'static str)> {
    let counter = |event: &mut PaymentEvent| {
        event.balances.as_mut().expect("has some")[1].credits_posted += 1;
    };
    vec![
        (Box::new(of_payment(3, counter)), 3, "its balances are not those"),
        (
            Box::new(of_payment(3, |event| event.outcome.amount.0 += 1)),
            3,
            "its balances are not those",
        ),
        (
            Box::new(of_payment(3, |event| event.payment.debit = AccountId(9))),
            3,
            "its debit account is unknown",
        ),
        (
            Box::new(of_payment(3, |event| event.payment.credit = AccountId(9))),
            3,
            "its credit account is unknown",
        ),
        (Box::new(of_payment(4, |event| event.payment.id = PaymentId(3))), 4, "its id is taken"),
        (
            Box::new(of_payment(5, |event| event.payment.original = PaymentId(9))),
            5,
            "its original is unknown",
        ),
        (
            Box::new(of_payment(5, |event| event.outcome.amount = Amount(11))),
            5,
            "it takes more than its original has left",
        ),
        (
            Box::new(|event| match event {
                Event::Account(event) if event.seq.0 == 2 => {
                    event.account.spec.id = AccountId(1);
                }
                _ => {}
            }),
            2,
            "its account was opened before",
        ),
        (
            Box::new(|event| match event {
                Event::Account(event) if event.seq.0 == 6 => {
                    event.account.balances.credits_posted += 1;
                }
                _ => {}
            }),
            6,
            "its account is not what the ledger comes to",
        ),
    ]
}

fn contents(directory: &Path) -> Vec<Vec<u8>> {
    let segments = segment::list(directory).expect("lists");
    segments.iter().map(|(_, path)| std::fs::read(path).expect("reads")).collect()
}

#[test]
fn events_that_do_not_follow_are_refused_at_a_start() {
    let directory = journal();
    let untouched = forged(directory.path(), |_| {});
    let config = EngineConfig::new(untouched.path());
    Engine::start(&config, &ApproveAll).expect("a forgery of nothing").0.stop().expect("stops");
    for (forge, seq, what) in forgeries() {
        let forged = forged(directory.path(), forge);
        let before = contents(forged.path());
        let refused = Engine::start(&EngineConfig::new(forged.path()), &ApproveAll).map(|_| ());
        let error = refused.expect_err(what);
        let text = error.to_string();
        let JournalError::Diverged { divergence, path } = error else { panic!("{text}") };
        assert_eq!(divergence.seq.0, seq, "{text}");
        assert!(divergence.what.contains(what), "{text}");
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert_eq!(contents(forged.path()), before, "nothing was changed");
        let verified = recover::verify(forged.path(), &mut Ledger::new(0), &mut ApproveAll);
        assert_eq!(verified.expect_err("is refused").to_string(), text, "verify says the same");
    }
}
