//! Made-up payments for the demo: consumes how many, produces them as the generator made them and as
//! the wire has them, and the days on which the act turns.

use std::{collections::HashMap, fs::File, io::BufWriter};

use jiff::{ToSpan as _, tz::TimeZone};
use millrace_client::{AccountPlan, Source};
use millrace_ledger::{Amount, Timestamp};
use millrace_protos::Payment;
use millrace_risk_lab::{
    data::DaySpan,
    generate::{CsvFile, GeneratedPayment, Generator, Settings},
};

use super::super::super::send::Outgoing;
use crate::Failure;

/// Days in all. They begin where the generator's do, so that every run is the same.
const DAYS: u32 = 50;
/// Nothing is trained on the first days: nobody is known yet.
const WARM_UP_DAYS: u32 = 7;
/// The model is trained at the end of this day, while payments of the next one go on.
const HISTORY_DAYS: u32 = 36;
/// Of the last days, hardly any fraud is reported yet: trained on them, a model would take fraud for
/// rarer than it is.
const UNREPORTED_DAYS: u32 = 7;
const FRAUD_SHARE: f64 = 0.01;
const SEED: u64 = 7;

/// The payments, and when what happens.
pub(super) struct Made {
    /// Accounts with all the money that they will ever be asked for: a payment that is refused here
    /// is refused by risk.
    pub(super) plan: AccountPlan,
    /// With the truth about each.
    pub(super) truth: Vec<GeneratedPayment>,
    /// The same payments, as they are submitted.
    pub(super) payments: Vec<Payment>,
    /// What the model is trained on.
    pub(super) training: DaySpan,
    /// From here on, the model is trained.
    pub(super) trained_at: Timestamp,
    /// From here on, the policy is in force.
    pub(super) promoted_at: Timestamp,
    pub(super) days: u32,
}

impl Made {
    /// Makes so many payments.
    pub(super) fn new(payments: u64) -> Result<Self, Failure> {
        let settings = Settings {
            seed: SEED,
            payments,
            days: DAYS,
            fraud_share: FRAUD_SHARE,
            ..Settings::default()
        };
        let truth: Vec<GeneratedPayment> = Generator::new(&settings)?.collect();
        // By way of a file, so that they take the road that a bank's file takes.
        let scratch = tempfile::Builder::new().prefix("millrace-demo-").tempdir()?;
        let path = scratch.path().join("generated.csv");
        let mut file = CsvFile::new(BufWriter::new(File::create(&path)?), false);
        truth.iter().try_for_each(|payment| file.write(payment))?;
        file.finish()?;
        let outgoing = Outgoing::open(Source::Path(path), None)?;
        let rows = outgoing.file.rows()?.map(|row| Ok(row?.payment));
        let payments = rows.collect::<Result<Vec<_>, Failure>>()?;
        let plan = plan(&outgoing, &payments)?;
        let day = |number: u32| settings.from.saturating_add(i64::from(number).days());
        let training =
            format!("{}..{}", day(WARM_UP_DAYS), day(HISTORY_DAYS - UNREPORTED_DAYS - 1))
                .parse()?;
        let begin = |number: u32| -> Result<Timestamp, Failure> {
            let begin = day(number).to_zoned(TimeZone::UTC)?.timestamp();
            Ok(Timestamp(u64::try_from(begin.as_nanosecond())?))
        };
        let (trained_at, promoted_at) = (begin(HISTORY_DAYS)?, begin(HISTORY_DAYS + 1)?);
        Ok(Self { plan, truth, payments, training, trained_at, promoted_at, days: DAYS })
    }

    /// The first payment at this time or later.
    pub(super) fn first_from(&self, at: Timestamp) -> usize {
        self.truth.partition_point(|payment| payment.at < at)
    }
}

fn plan(outgoing: &Outgoing, payments: &[Payment]) -> Result<AccountPlan, Failure> {
    let mut plan = outgoing.plan()?;
    let mut asked = HashMap::<u128, u128>::new();
    for payment in payments {
        let amount = asked.entry(payment.debit_account_id).or_default();
        *amount += u128::from(payment.amount_minor.unwrap_or_default());
    }
    for account in &mut plan.accounts {
        let asked = asked.get(&account.id.0).copied().unwrap_or_default();
        account.fund = account.fund.max(Amount(asked));
    }
    Ok(plan)
}
