//! Reports of fraud on the real binary, of payments that happened long before they were submitted:
//! what was held and what was declined counts as much as what went through, from the next payment on.

mod support;

use bytes::Bytes;
use millrace_protos::v1::{Payment, PaymentContext};
use prost::Message as _;
use serde_json::Value;
use support::{
    bank::{ALICE, BOB, Bank, uuid},
    metrics::{scrape, status},
    payments::pay,
    process::millrace,
    risk::settings,
};

const FUNDING: u128 = 0xf00d;
const DAVE: u128 = 0xda7e;
/// 2026-03-21, 12:00.
const FIRST_AT_S: i64 = 1_774_094_400;
const HOUR_S: i64 = 3_600;
/// Above what is held for review.
const LARGE: u64 = 95_000;
const SMALL: u64 = 500;

const RULES: &str = r#"
[[rule]]
name = "look-twice"
when = "amount > 900"
action = "review"
reason = "{amount}"

[[rule]]
name = "bad-payee"
when = "payee.fraud_share_30d > 0"
action = "block"
reason = "{payee.fraud_share_30d}"
"#;

async fn bank() -> Bank {
    let settings = settings().with("risk.exempt_payers", vec![uuid(FUNDING)]);
    let bank = Bank::start_with(&settings, [ALICE, BOB, FUNDING, DAVE]).await;
    bank.server.promote_rules(&bank.scratch, RULES);
    bank
}

impl Bank {
    /// A payment of this hour: its outcome, and the sentence of the rule that decided.
    async fn paid(&self, id: u128, hour: i64, minor: u64) -> (String, String) {
        self.paid_by(ALICE, BOB, id, hour, minor).await
    }

    async fn paid_by(
        &self,
        payer: u128,
        payee: u128,
        id: u128,
        hour: i64,
        minor: u64,
    ) -> (String, String) {
        let seconds = FIRST_AT_S + hour * HOUR_S;
        let event_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let context = PaymentContext { event_time, ..PaymentContext::default() };
        let context = Bytes::from(context.encode_to_vec());
        let payment = Payment { context, ..pay(id, payer, payee, minor) };
        let outcome = self.submit_one(payment).await;
        let decision = self.server.risk(&["decision", &uuid(id), "--json"]).json();
        let reason = decision["rule_reason"].as_str().unwrap_or_default().to_owned();
        (outcome, reason)
    }

    #[track_caller]
    fn signed(&self, args: &[&str]) -> String {
        self.server.signed(args).done()
    }

    /// Labels that came, and those that changed nothing.
    fn labels(&self) -> (f64, f64) {
        let address = self.server.metrics.expect("metrics are on");
        let samples = scrape(address);
        let sample = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("no {name}"));
        let counted =
            (sample("millrace_risk_labels_total"), sample("millrace_risk_labels_unknown_total"));
        let risk = &status(address)["risk"];
        let shown = (risk["labels"].as_f64(), risk["labels_unknown"].as_f64());
        assert_eq!(shown, (Some(counted.0), Some(counted.1)));
        counted
    }
}

fn said(outcome: &str, reason: &str) -> (String, String) {
    (outcome.to_owned(), reason.to_owned())
}

/// Guards against labels of exactly those payments that risk had stopped being lost: they once were
/// journaled as if paid when they were submitted, which is after all that profiles had seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reports_of_held_and_declined_payments_count() {
    let bank = bank().await;
    assert_eq!(bank.paid(1, 0, LARGE).await, said("HELD", "950.00"));
    assert_eq!(bank.paid(2, 1, SMALL).await, said("SETTLED", ""));
    bank.signed(&["report-fraud", &uuid(1)]);
    assert_eq!(bank.labels(), (1.0, 0.0));
    assert_eq!(bank.paid(3, 2, SMALL).await, said("REJECTED RISK_DECLINED", "33.3 %"));
    bank.signed(&["report-fraud", &uuid(3)]);
    assert_eq!(bank.labels(), (2.0, 0.0));
    assert_eq!(bank.paid(4, 3, SMALL).await, said("REJECTED RISK_DECLINED", "50.0 %"));

    // Nobody knew before the payment, and nobody knows the future.
    for (known_at, said) in [
        ("2026-03-21T14:59:59Z", "known_at is before the payment was made"),
        ("2400-01-01T00:00:00Z", "is in the future"),
    ] {
        let report = ["report-fraud", &uuid(4), "--known-at", known_at];
        let finished = bank.server.signed(&report);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(said), "no {said:?} in {}", finished.stderr);
    }

    // Of a payee of whom nothing is counted.
    let funded = bank.paid_by(FUNDING, DAVE, 5, 4, SMALL).await;
    assert_eq!(funded, said("SETTLED", ""));
    bank.signed(&["report-fraud", &uuid(5)]);
    assert_eq!(bank.labels(), (3.0, 1.0));

    // The journal has when they were paid.
    let data_dir = bank.scratch.file("data");
    bank.server.stop();
    let exported = millrace(["journal", "export", "--data-dir", &data_dir]).done();
    let rows = exported.lines().map(|row| -> Value { serde_json::from_str(row).expect("JSON") });
    let labels = rows.filter(|row| row["act_kind"] == "LABEL");
    let paid_at: Vec<_> = labels.map(|row| row["act_details"]["paid_at_ns"].as_i64()).collect();
    let expected = [0, 2, 4].map(|hour| Some((FIRST_AT_S + hour * HOUR_S) * 1_000_000_000));
    assert_eq!(paid_at, expected);
}

/// Guards what "the last report counts" says: a report that is taken back is out of the share at once,
/// made again it counts once, and a journal that is replayed says the same as the server did.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_report_that_is_taken_back_counts_no_more() {
    let bank = bank().await;
    let one = uuid(1);
    let known_at = |half_hours: i64| {
        let at = jiff::Timestamp::from_second(FIRST_AT_S + half_hours * HOUR_S / 2);
        at.expect("a time").to_string()
    };
    for (id, share) in [(1, ""), (2, ""), (3, "33.3 %"), (4, ""), (5, "20.0 %"), (6, "")] {
        let hour = id as i64 - 1;
        let known = known_at(2 * hour - 1);
        let report = ["report-fraud", &one, "--known-at", &known];
        match id {
            // The second of them changes nothing.
            3 | 5 => {
                assert!(bank.signed(&report).contains("reported as fraud, event "));
                assert!(bank.signed(&report).contains("reported as fraud, as before"));
            }
            4 | 6 => {
                let back = [&report[..], &["--genuine"]].concat();
                assert!(bank.signed(&back).contains("reported as genuine, event "));
            }
            _ => {}
        }
        let outcome = if share.is_empty() { "SETTLED" } else { "REJECTED RISK_DECLINED" };
        assert_eq!(bank.paid(id, hour, SMALL).await, said(outcome, share), "payment {id}");
    }
    assert_eq!(bank.labels(), (4.0, 0.0));

    let [rules, data_dir] = ["rules.toml", "data"].map(|name| bank.scratch.file(name));
    bank.server.stop();
    let check = ["risk", "rules", "check", &rules, "--journal", &data_dir, "--json"];
    let checked = millrace(check).json();
    let rules = checked["dry_run"]["rules"].as_array().expect("a list");
    let rule = rules.iter().find(|rule| rule["name"] == "bad-payee").expect("is there");
    assert_eq!(rule["hits"], 2, "{rule}");
}
