//! A day's standing orders: the real file where it is, else one of the same shape, with the sums
//! that must come out of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use millrace_client::{AccountPlan, CsvFile, Mapping, Source};

use super::{dice::Dice, repository};

const HEADER: &str = "order_id,payer_account,payee_bank,payee_account,amount_czk,purpose";

/// Where the real file is, or would be.
pub(crate) fn real_file() -> Result<PathBuf, PathBuf> {
    let path = repository("../shared/data/standing-orders/orders.csv");
    if path.is_file() { Ok(path) } else { Err(path) }
}

/// The real file, or one of similar shape and size.
pub(crate) fn real_or_generated_file(directory: &Path, dice: &mut Dice) -> PathBuf {
    real_file().unwrap_or_else(|missing| {
        println!("generated orders stand in for the real ones, {}", missing.display());
        let path = directory.join("orders.csv");
        fs::write(&path, generated(6_471, dice)).expect("is written");
        path
    })
}

/// Orders as the real ones are: half as many payers as orders, payees that some of them share.
pub(crate) fn generated(count: u64, dice: &mut Dice) -> String {
    let mut text = format!("{HEADER}\n");
    for order in 0..count {
        let payer = 1 + order / 2;
        let bank = ["AB", "ST", "YZ"][dice.below(3) as usize];
        let payee = 10_000_000 + dice.below(count * 10);
        let haler = 100 + dice.below(1_400_000);
        let purpose = ["household", "loan", "insurance", "leasing", ""][dice.below(5) as usize];
        let (crowns, rest) = (haler / 100, haler % 100);
        writeln!(text, "{},{payer},{bank},{payee},{crowns}.{rest:02},{purpose}", 29_401 + order)
            .expect("text grows");
    }
    text
}

/// What a file comes to when all of it is settled.
pub(crate) struct Orders {
    pub(crate) file: PathBuf,
    /// Ids in the file's order.
    pub(crate) payments: Vec<u128>,
    pub(crate) sum_minor: u128,
    /// By account.
    pub(crate) expected: BTreeMap<u128, ExpectedAccount>,
}

/// What an account comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedAccount {
    pub(crate) debits_minor: u128,
    /// With the opening balance.
    pub(crate) credits_minor: u128,
    /// Payments of the file on either side, and the one that funds it.
    pub(crate) payments: BTreeSet<u128>,
}

pub(crate) fn mapping() -> Mapping {
    let header: Vec<&str> = HEADER.split(',').collect();
    Mapping::for_header(&header).expect("ships")
}

impl Orders {
    pub(crate) fn read(file: &Path) -> Self {
        let mapping = mapping();
        let csv = CsvFile::open(Source::Path(file.to_owned()), &mapping).expect("opens");
        let mut orders = Self {
            file: file.to_owned(),
            payments: Vec::new(),
            sum_minor: 0,
            expected: BTreeMap::new(),
        };
        for row in csv.rows().expect("opens") {
            let row = row.expect("every row is right");
            let id = row.payment.payment_id;
            orders.payments.push(id);
            orders.sum_minor += row.amount.0;
            let payer = orders.expected.entry(row.payment.debit_account_id).or_default();
            payer.debits_minor += row.amount.0;
            payer.payments.insert(id);
            let payee = orders.expected.entry(row.payment.credit_account_id).or_default();
            payee.credits_minor += row.amount.0;
            payee.payments.insert(id);
        }
        let plan = AccountPlan::of_file(&csv, &mapping).expect("a plan");
        for planned in plan.accounts.iter().filter(|planned| planned.fund.0 > 0) {
            let funding = mapping.namespace();
            let funding = funding.funding_payment(planned.id, planned.currency, planned.fund);
            let account = orders.expected.entry(planned.id.0).or_default();
            account.credits_minor += planned.fund.0;
            account.payments.insert(funding.0);
        }
        orders
    }
}
