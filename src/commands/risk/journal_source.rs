//! Payments of a journal: consumes the events of a data directory, produces labelled payments as the
//! policy saw them, in the order of their times.
//!
//! Taken are payments and holds that the policy judged, whatever it said, and those that went
//! through without a policy. A label is an analyst's report; what nobody reported is taken for
//! genuine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use indicatif::ProgressBar;
use millrace_engine::{
    FeedEvent,
    scan::{self, JournalScan, Start},
    segment_summary::oldest_event,
};
use millrace_ledger::{Currency, Event, Operation, PaymentEvent, RiskDecision, Status, Timestamp};
use millrace_protos::v1::PaymentContext;
use millrace_risk::{
    acts::{Act, ActKind, LabelAct},
    evidence::Evidence,
    policy::channel_name,
};
use millrace_risk_lab::{
    data::{Payment, Payments, PaymentsBuilder, Report},
    tune::Decision,
};
use prost::Message as _;
use uuid::Uuid;

use super::{
    progress,
    source::{Decided, Source},
};
use crate::{
    Failure,
    commands::journal::{journal_of, without_segment},
};

/// Columns that a payment's context fills, as files of payments call them.
const CONTEXTS: [&str; 6] = ["device", "ip", "country", "channel", "currency", "mcc"];

/// Payments of `exempt_payers` are left out: the server neither judges nor counts them.
pub(crate) fn read(data_dir: &Path, exempt_payers: &[Uuid]) -> Result<Source, Failure> {
    let bar = progress::bar(0, "reading", "events");
    let read = read_told(data_dir, exempt_payers, &bar);
    bar.finish_and_clear();
    read
}

/// The same, without a bar.
pub(crate) fn read_quietly(data_dir: &Path) -> Result<Source, Failure> {
    read_told(data_dir, &[], &ProgressBar::hidden())
}

fn read_told(
    data_dir: &Path,
    exempt_payers: &[Uuid],
    bar: &ProgressBar,
) -> Result<Source, Failure> {
    let directory = journal_of(data_dir, "--journal")?;
    if oldest_event(&directory)?.is_none() {
        return Err(without_segment(&directory, "--journal"));
    }
    bar.set_length(scan::last_seq(&directory)?.0);
    let exempt_payers = exempt_payers.iter().map(Uuid::as_u128).collect();
    let mut reading = Reading { exempt_payers, ..Reading::default() };
    for frame in JournalScan::open_at(&directory, Start::Oldest)? {
        let frame = frame?;
        for event in frame.events()? {
            reading.take(frame.time, &event);
        }
        bar.set_position(frame.last_seq().0);
    }
    let name = directory.display().to_string();
    let (payments, decided, warnings) = reading.finish();
    if payments.is_empty() {
        return Err(format!("{name}: the journal has no payments that a policy could judge").into());
    }
    let decided = Some(decided);
    Ok(Source { payments, name, warnings, unread_leaks: Vec::new(), decided })
}

struct Reading {
    payments: PaymentsBuilder,
    ids: Vec<u128>,
    decided: Vec<Decided>,
    /// What was said of payments, in its order; rows are not known yet.
    reports: Vec<(u128, Report)>,
    acts_unreadable: u64,
    exempt_payers: BTreeSet<u128>,
    /// Whether some keys of upstreams' own had no room.
    others_left_out: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            payments: PaymentsBuilder::new(&CONTEXTS, true),
            ids: Vec::new(),
            decided: Vec::new(),
            reports: Vec::new(),
            acts_unreadable: 0,
            exempt_payers: BTreeSet::new(),
            others_left_out: false,
        }
    }
}

impl Reading {
    fn take(&mut self, time: Timestamp, event: &FeedEvent) {
        match &event.event {
            Event::Payment(it)
                if is_attempt(it) && !self.exempt_payers.contains(&it.payment.debit.0) =>
            {
                self.payment(time, it, event);
            }
            Event::Act(_) => match Act::read(&event.context) {
                Ok(Act { act: ActKind::Label(label), .. }) => {
                    let LabelAct { fraud: is_fraud, takes_back, .. } = label;
                    let report = Report { row: 0, at: label.known_at(time), is_fraud, takes_back };
                    self.reports.push((label.payment.as_u128(), report));
                }
                Ok(_) => (),
                Err(_) => self.acts_unreadable += 1,
            },
            _ => (),
        }
    }

    fn payment(&mut self, time: Timestamp, event: &PaymentEvent, whole: &FeedEvent) {
        let PaymentEvent { payment, verdict, .. } = event;
        let currency = Currency::of_ledger(payment.ledger);
        let exponent = currency.map_or(0, |currency| i32::from(currency.exponent));
        let context = PaymentContext::decode(&whole.context[..]).unwrap_or_default();
        let contexts = [
            context.device_id.as_str(),
            &context.ip_address,
            &context.country_code,
            channel_name(u64::try_from(context.channel).unwrap_or_default()),
            currency.map_or("", |currency| currency.code),
            &context.merchant_category_code,
        ];
        let id = Uuid::from_u128(payment.id.0).to_string();
        let payer = Uuid::from_u128(payment.debit.0).to_string();
        let payee = Uuid::from_u128(payment.credit.0).to_string();
        let row = Payment {
            id: &id,
            // As the policy has it: a payment can't be ahead of its batch.
            at: payment.event_time.map_or(time, |event_time| event_time.min(time)),
            payer: &payer,
            payee: &payee,
            amount: payment.amount.0 as f64 / 10_f64.powi(exponent),
            is_fraud: false,
            reported_at: None,
        };
        self.payments.push(&row, &contexts);
        for other in &context.other {
            self.others_left_out |= !self.payments.tell(&other.key, &other.value);
        }
        self.ids.push(payment.id.0);
        let evidence = Evidence::read(&whole.evidence).unwrap_or_default();
        let challenger = evidence.challenger.and_then(|(_, it)| RiskDecision::from_number(it));
        self.decided.push(Decided {
            decision: decision_of(verdict.decision),
            fell_back: evidence.fell_back,
            policy: evidence.policy,
            challenger: challenger.map(decision_of),
        });
    }

    fn finish(mut self) -> (Payments, Vec<Decided>, Vec<String>) {
        let reported: BTreeSet<u128> = self.reports.iter().map(|(id, _)| *id).collect();
        let rows = self.ids.iter().zip(0..).filter(|(id, _)| reported.contains(id));
        let rows: BTreeMap<u128, u32> = rows.map(|(id, row)| (*id, row)).collect();
        for (id, report) in &self.reports {
            if let Some(row) = rows.get(id) {
                self.payments.report(Report { row: *row, ..*report });
            }
        }
        let unknown = reported.len() - rows.len();
        let mut warnings = Vec::new();
        if unknown > 0 {
            warnings.push(format!(
                "{unknown} labels are of payments that the journal does not have, or that nobody \
                 judges; they were ignored"
            ));
        }
        if self.acts_unreadable > 0 {
            let acts = self.acts_unreadable;
            warnings
                .push(format!("{acts} acts can't be read: a later release may have written them"));
        }
        if self.others_left_out {
            warnings.push(
                "the payments' contexts have more different keys than there is room for: the first \
                 ones were read, and the others left out"
                    .to_owned(),
            );
        }
        let (payments, decided) = self.payments.finish_with(self.decided);
        (payments, decided, warnings)
    }
}

/// A decision of the policy; what nobody judged went through.
pub(crate) fn decision_of(decision: RiskDecision) -> Decision {
    match decision {
        RiskDecision::NotJudged | RiskDecision::Approve => Decision::Approve,
        RiskDecision::Review => Decision::Review,
        RiskDecision::Challenge => Decision::Challenge,
        RiskDecision::Decline => Decision::Decline,
    }
}

/// Whether a policy judges it. Captures, voids and refunds follow a payment that was judged.
fn is_attempt(event: &PaymentEvent) -> bool {
    let is_first = matches!(event.payment.operation, Operation::Pay | Operation::Authorize);
    let was_judged = event.verdict.decision != RiskDecision::NotJudged;
    is_first && (was_judged || !matches!(event.outcome.status, Status::Rejected(_)))
}
