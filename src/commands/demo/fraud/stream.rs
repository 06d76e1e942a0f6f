//! The stream of made-up payments: consumes them in order of time, submits them over gRPC, and
//! reports frauds when they become known. Produces an outcome for each payment.
//!
//! One request after the other, so that every run journals the same in the same order.

use std::collections::VecDeque;

use indicatif::ProgressBar;
use millrace_client::Connection;
use millrace_ledger::Timestamp;
use millrace_protos::v1::{PaymentOutcome, ReportFraudRequest, SubmitPaymentsRequest};

use super::{super::super::risk::server::to_wire, made::Made};
use crate::Failure;

/// Frauds that became known are reported every so often, in the payments' time, and a request holds
/// the payments in between. So what is known when depends on no request's size.
const SLICE_NS: u64 = 6 * 3_600 * 1_000_000_000;
const REQUEST_PAYMENTS_MAX: usize = 4_096;

pub(super) struct Stream<'a> {
    made: &'a Made,
    connection: Connection,
    /// When which payment is reported, in order of time.
    reports: VecDeque<(Timestamp, usize)>,
    pub(super) reported: u64,
    /// Of the payments that were submitted.
    pub(super) outcomes: Vec<PaymentOutcome>,
    bar: ProgressBar,
}

impl<'a> Stream<'a> {
    pub(super) fn new(made: &'a Made, connection: Connection, bar: ProgressBar) -> Self {
        let known =
            made.truth.iter().zip(0..).filter_map(|(it, at)| Some((it.label_known_at?, at)));
        let mut reports: Vec<_> = known.collect();
        reports.sort_unstable();
        let outcomes = Vec::with_capacity(made.payments.len());
        Self { made, connection, reports: reports.into(), reported: 0, outcomes, bar }
    }

    /// Submits what was paid before `end`.
    pub(super) async fn up_to(&mut self, end: Timestamp) -> Result<(), Failure> {
        while let Some(next) = self.next_time().filter(|next| *next < end) {
            let slice_end = Timestamp(begin_of_slice(next) + SLICE_NS).min(end);
            let upto = self.made.first_from(slice_end);
            self.slice(upto).await?;
        }
        Ok(())
    }

    /// When the next payment is paid.
    fn next_time(&self) -> Option<Timestamp> {
        self.made.truth.get(self.outcomes.len()).map(|payment| payment.at)
    }

    /// Reports what is known by now, and submits payments up to this one, or as many as a request
    /// may have.
    pub(super) async fn slice(&mut self, upto: usize) -> Result<(), Failure> {
        let from = self.outcomes.len();
        let upto = upto.min(from + REQUEST_PAYMENTS_MAX);
        if let Some(now) = self.next_time() {
            self.report(Timestamp(begin_of_slice(now))).await?;
        }
        let payments = self.made.payments[from..upto].to_vec();
        let request = SubmitPaymentsRequest { payments };
        let response = self.connection.payments().submit_payments(request).await;
        let response = response.map_err(|status| self.connection.explain(&status))?;
        let outcomes = response.into_inner().outcomes;
        if outcomes.len() != upto - from {
            let (got, asked) = (outcomes.len(), upto - from);
            return Err(format!("the server gave {got} outcomes for {asked} payments").into());
        }
        self.outcomes.extend(outcomes);
        self.bar.set_position(self.outcomes.len() as u64);
        Ok(())
    }

    /// Reports every fraud that has become known by now.
    async fn report(&mut self, now: Timestamp) -> Result<(), Failure> {
        while let Some((known_at, index)) = self.reports.front().copied() {
            // One of the same second as its payment has to wait for it.
            if known_at > now || index >= self.outcomes.len() {
                return Ok(());
            }
            let request = ReportFraudRequest {
                payment_id: self.made.payments[index].payment_id.to_be_bytes().to_vec().into(),
                fraud: true,
                actor: "demo".to_owned(),
                why: "the account's owner reported it".to_owned(),
                known_at: Some(to_wire(known_at)),
            };
            let response = self.connection.risk().report_fraud(request).await;
            response.map_err(|status| self.connection.explain(&status))?;
            self.reports.pop_front();
            self.reported += 1;
        }
        Ok(())
    }
}

fn begin_of_slice(at: Timestamp) -> u64 {
    at.0 - at.0 % SLICE_NS
}
