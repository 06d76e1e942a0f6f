//! The analyst's bench: consumes generated payments, produces a server that took them, whose frauds
//! were reported, and the commands that an analyst gives it.

use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    eventually,
    payments_file::{PaymentsFile, cell},
    process::{Finished, millrace},
    risk::settings,
    scratch::Scratch,
    server::Server,
};

pub(crate) const TRAIN: &str = "2026-01-05..2026-01-24";

/// A server that took generated payments, and whose frauds were reported.
pub(crate) struct Bench {
    pub(crate) server: Option<Server>,
    pub(crate) scratch: Scratch,
    /// Of the frauds that were reported: payment, and whether it was paid in the days of training.
    pub(crate) reported: Vec<(Uuid, bool)>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let file = scratch.file("payments.csv");
        let generate = ["risk", "generate", "--payments", "3000", "--days", "24", "--out", &file];
        millrace(generate.into_iter().chain(["--fraud-share", "0.02", "--seed", "5"])).done();
        let config = settings().write(scratch.path());
        let server = Server::start(&config, &scratch.join("data"));
        let url = server.url();
        millrace(["submit", "--open-accounts", "--target", &url, "--file", &file]).done();
        let mut bench = Self { server: Some(server), scratch, reported: Vec::new() };
        bench.report(&PaymentsFile::read(&file));
        bench
    }

    /// Reports every fraud, when the file says that it became known.
    fn report(&mut self, file: &PaymentsFile) {
        let [time, is_fraud, known] =
            ["time", "is_fraud", "reported_at"].map(|name| file.column(name));
        for row in file.rows.iter().filter(|row| cell(row, is_fraud) != "0") {
            let payment = Uuid::from_u128(row.payment.payment_id);
            let id = payment.to_string();
            let report = ["report-fraud", &id, "--known-at", cell(row, known), "--json"];
            let told = self.signed(&report).json();
            assert_eq!(told["replayed"], Value::Bool(false), "{told}");
            let trained_on = ("2026-01-05".."2026-01-25").contains(&cell(row, time));
            self.reported.push((payment, trained_on));
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Stops the server if it runs, and starts it again on the same journal with this catalogue.
    pub(crate) fn restart_with(&mut self, catalogue: &str) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        let config = settings().with("risk.features.catalogue", catalogue);
        let config = config.write(self.scratch.path());
        self.server = Some(Server::start(&config, &self.scratch.join("data")));
        eventually("the desk has read the journal", || {
            (self.risk(&["policy", "show"]).code == Some(0)).then_some(())
        });
    }

    /// Why a payment was decided as it was, once the server has read its journal.
    pub(crate) fn decision(&self, payment: &str) -> Value {
        eventually("the decision is explained", || {
            let finished = self.risk(&["decision", payment, "--json"]);
            (finished.code == Some(0)).then(|| finished.json())
        })
    }

    pub(crate) fn data_dir(&self) -> String {
        self.scratch.file("data")
    }

    pub(crate) fn risk(&self, args: &[&str]) -> Finished {
        self.server().risk(args)
    }

    pub(crate) fn signed(&self, args: &[&str]) -> Finished {
        self.server().signed(args)
    }

    #[track_caller]
    pub(crate) fn promote(&self, args: &[&str]) -> Value {
        self.signed(&[&["promote", "--json"], args].concat()).json()
    }

    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str], said: &str) {
        let finished = self.signed(&[&["promote"], args].concat());
        assert_eq!(finished.code, Some(1), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(said), "{args:?}: no {said:?} in {}", finished.stderr);
    }

    /// The document in force.
    pub(crate) fn document(&self) -> String {
        let shown = self.risk(&["policy", "show", "--json"]).json();
        shown["document"].as_str().expect("is text").to_owned()
    }

    /// Names of the parts that a promotion changed.
    pub(crate) fn parts(promoted: &Value) -> Vec<&str> {
        let changes = promoted["changes"].as_array().expect("a list");
        changes.iter().map(|change| change["part"].as_str().expect("is text")).collect()
    }
}
