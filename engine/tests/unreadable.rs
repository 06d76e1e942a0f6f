//! A damaged page of a run: a mere read of a payment in it fails alone, and payments go on; a payment
//! that can't be decided without it stops the engine, because a guess could pay twice.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use millrace_engine::{Command, Engine};
use millrace_ledger::{Operation, Payment, PaymentId, Status};
use support::{
    ask,
    backups::{context, journal, payment, start},
    files,
};
use tokio::sync::oneshot;

/// Where the first page of a run starts, behind its checksum, number, count and length.
const IN_FIRST_PAGE: u64 = 4_096 + 100;

/// Sends one payment. `None` when it is never answered.
fn pay(engine: &Engine, payment: Payment) -> Option<Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reply, answer) = oneshot::channel();
        let contexts = vec![context(1).into()];
        let command = Command::Payments { payments: vec![payment], contexts, reply };
        let room = Instant::now() + Duration::from_secs(120);
        engine.submitter().submit(command, None, room).await.ok()?;
        answer.await.ok().map(|replies| replies.expect("in time")[0].outcome.status)
    })
}

#[test]
fn a_read_that_fails_stops_nobody_else() {
    let directory = journal();
    let engine = start(directory.path());
    for run in files(&directory.path().join("runs"), ".run") {
        let file = fs::File::options().write(true).open(run).unwrap();
        file.write_all_at(&[0xff; 16], IN_FIRST_PAGE).unwrap();
    }
    // The least id is in a first page, whatever run it is in. An open hold would be in memory.
    let settled = (1..=1_000).map(payment).filter(|it| it.operation == Operation::Pay);
    let old = settled.min_by_key(|payment| payment.id).unwrap();
    let read = |id| ask(&engine, |reply| Command::GetPayment { id, reply });
    let error = read(old.id).expect_err("its page is damaged").to_string();
    assert!(error.contains(&old.id.to_string()) && error.contains(".run"), "{error}");

    // Greater than all ids, so known to be new without a look.
    let new = |number| Payment { id: PaymentId(u128::MAX / 2 + 10 + number), ..payment(1) };
    for number in 0..20 {
        assert_eq!(pay(&engine, new(number)), Some(Status::Settled));
    }
    assert!(read(new(3).id).expect("can be read").is_some());
    assert!(read(old.id).is_err(), "still");
    assert!(!engine.has_stopped());

    assert_eq!(pay(&engine, old), None, "nobody knows whether it was paid");
    let error = engine.stop().expect_err("tells why").to_string();
    assert!(error.contains(".run"), "{error}");
}
