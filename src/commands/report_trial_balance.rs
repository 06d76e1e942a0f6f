//! `millrace report trial-balance`: consumes a journal, produces the sums of all accounts at a time,
//! as a table, JSON or CSV. Fails when debits do not equal credits in every ledger.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use millrace_engine::{
    scan,
    trial_balance::{self, LedgerSums, Sums, TrialBalance, TrialBalanceError},
};
use millrace_ledger::{BalanceSums, Currency, LedgerId, Sum, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    journal::segments_in, journal_export::bar, journal_row::time_text, say, times::parse_until,
};
use crate::Failure;

/// Sums of all accounts per ledger and account code, as they stood at a time
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  millrace report trial-balance --data-dir millrace-data
  millrace report trial-balance --at 2026-11-20
  millrace report trial-balance --at 2026-11-20T16:30:00+01:00 --json
  millrace report trial-balance --at 2026-11-20 --csv > trial-balance.csv

Reads the journal and its snapshots only; safe beside a running millrace. The batches count whose
time is not after TIME; of one that is yet to come, those that there are, with a note. In every ledger debits must equal credits, posted and pending: where they do
not, money was made or lost, and the exit code is 1.")]
pub(crate) struct Args {
    /// Data directory of the millrace that wrote it
    #[arg(long, value_name = "DIR", default_value = "millrace-data")]
    data_dir: PathBuf,
    /// As of this time, as in RFC 3339, or of the end of this day in UTC; without it, as of now
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    at: Option<Timestamp>,
    /// Print one JSON object instead of a table
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated lines with a header instead of a table
    #[arg(long)]
    csv: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (journal, _) = segments_in(&args.data_dir)?;
    let bar = bar(1, scan::last_seq(&journal)?.0);
    let balance = trial_balance::trial_balance(&journal, args.at, |seq| bar.set_position(seq.0));
    bar.finish_and_clear();
    let balance = balance.map_err(|error| explained(error, args.at))?;
    if let Some(at) = args.at.filter(|at| i128::from(at.0) > jiff::Timestamp::now().as_nanosecond())
    {
        eprintln!(
            "note: --at {} is yet to come: what is paid until then is not in these sums",
            time_text(at)
        );
    }
    let text = match (args.json, args.csv) {
        (true, _) => json_object(&balance, args.at).to_string(),
        (_, true) => csv_lines(&balance)?,
        (false, false) => table(&balance),
    };
    say!("{}", text.trim_end());
    check(&balance)?;
    Ok(ExitCode::SUCCESS)
}

/// Fails when a ledger's debits do not equal its credits.
fn check(balance: &TrialBalance) -> Result<(), Failure> {
    let uneven = |(ledger, sums): (&LedgerId, &LedgerSums)| {
        (!sums.total.balances.balanced()).then(|| ledger_name(*ledger))
    };
    let uneven: Vec<_> = balance.ledgers.iter().filter_map(uneven).collect();
    match uneven.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "debits do not equal credits in {}: money was made or lost. Stop payments, and run \
             `millrace journal verify --redecide`",
            uneven.join(", ")
        )
        .into()),
    }
}

fn explained(error: TrialBalanceError, at: Option<Timestamp>) -> Failure {
    match (error, at) {
        (TrialBalanceError::BeforeFirst { first }, Some(at)) => format!(
            "--at {}: nothing was recorded by then; the first event is of {}",
            time_text(at),
            time_text(first)
        )
        .into(),
        (TrialBalanceError::BeginningMissing { first, earliest: Some(earliest) }, Some(at)) => {
            format!(
                "--at {}: the journal begins with event {first}, and there is no snapshot early enough to \
                 stand in for what was before it. Ask for {} or later, or put the segments before it back",
                time_text(at),
                time_text(earliest)
            )
            .into()
        }
        (error, _) => error.into(),
    }
}

fn ledger_name(ledger: LedgerId) -> String {
    match Currency::of_ledger(ledger) {
        Some(currency) => format!("{} (ledger {})", currency.code, ledger.0),
        None => format!("ledger {}, in minor units", ledger.0),
    }
}

/// Decimal text of the ledger's currency; minor units where it has none.
fn decimal(ledger: LedgerId, minor: Sum) -> String {
    match Currency::of_ledger(ledger) {
        Some(currency) => currency.format_sum(minor),
        None => minor.to_string(),
    }
}

/// By how much one side is ahead, posted, and which.
fn net(balances: &BalanceSums) -> (Sum, &'static str) {
    let (debits, credits) = (balances.debits_posted, balances.credits_posted);
    let side = match debits.cmp(&credits) {
        std::cmp::Ordering::Greater => "DEBIT",
        std::cmp::Ordering::Less => "CREDIT",
        std::cmp::Ordering::Equal => "",
    };
    (debits.abs_diff(credits), side)
}

/// The sums that are told of accounts, by name.
fn amounts(balances: &BalanceSums) -> [(&'static str, Sum); 5] {
    [
        ("debits_posted", balances.debits_posted),
        ("credits_posted", balances.credits_posted),
        ("net", net(balances).0),
        ("debits_pending", balances.debits_pending),
        ("credits_pending", balances.credits_pending),
    ]
}

/// One line per code, then one for all of them.
fn lines(sums: &LedgerSums) -> impl Iterator<Item = (String, &Sums)> {
    let codes = sums.codes.iter().map(|(code, sums)| (code.0.to_string(), sums));
    codes.chain([("TOTAL".to_owned(), &sums.total)])
}

fn table(balance: &TrialBalance) -> String {
    let (as_of, time) = (balance.as_of, time_text(balance.time));
    let mut text = format!("trial balance as of event {as_of}, {time}\n");
    for (ledger, sums) in &balance.ledgers {
        let _ = writeln!(text, "\n{}", ledger_name(*ledger));
        let _ = writeln!(
            text,
            "  {:>5} {:>9} {:>17} {:>17} {:>24} {:>17} {:>17}",
            "CODE", "ACCOUNTS", "DEBITS", "CREDITS", "NET", "PENDING DEBITS", "PENDING CREDITS"
        );
        for (code, Sums { accounts, balances }) in lines(sums) {
            let [debits, credits, ahead, pending_debits, pending_credits] =
                amounts(balances).map(|(_, minor)| decimal(*ledger, minor));
            let side = net(balances).1.to_lowercase();
            let _ = writeln!(
                text,
                "  {code:>5} {accounts:>9} {debits:>17} {credits:>17} {ahead:>17} {side:<6} \
                 {pending_debits:>17} {pending_credits:>17}"
            );
        }
    }
    text
}

fn json_object(balance: &TrialBalance, at: Option<Timestamp>) -> Value {
    let ledgers: Vec<_> = balance
        .ledgers
        .iter()
        .map(|(ledger, sums)| {
            let code = |(code, sums): (&millrace_ledger::Code, &Sums)| {
                let mut object = Map::from_iter([("code".to_owned(), json!(code.0))]);
                object.extend(json_fields(*ledger, sums));
                object
            };
            json!({
                "ledger": ledger.0,
                "currency": Currency::of_ledger(*ledger).map(|currency| currency.code),
                "codes": sums.codes.iter().map(code).collect::<Vec<_>>(),
                "total": json_fields(*ledger, &sums.total),
                "balanced": sums.total.balances.balanced(),
            })
        })
        .collect();
    json!({
        "at": at.map(time_text),
        "as_of_event": balance.as_of.0,
        "as_of_time": time_text(balance.time),
        "from_snapshot": balance.snapshot.map(|seq| seq.0),
        "ledgers": ledgers,
        "balanced": check(balance).is_ok(),
    })
}

/// Amounts are text, in decimal and in minor units: they may exceed what a JSON number holds.
fn json_fields(ledger: LedgerId, sums: &Sums) -> Map<String, Value> {
    let mut fields = Map::from_iter([("accounts".to_owned(), json!(sums.accounts))]);
    for (name, minor) in amounts(&sums.balances) {
        fields.insert(name.to_owned(), decimal(ledger, minor).into());
        fields.insert(format!("{name}_minor"), minor.to_string().into());
    }
    fields.insert("net_side".to_owned(), net(&sums.balances).1.into());
    fields
}

fn csv_lines(balance: &TrialBalance) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = amounts(&BalanceSums::default()).map(|(name, _)| name);
    let heading = ["as_of_event", "as_of_time", "ledger", "currency", "code", "accounts"];
    let minor_names = names.map(|name| format!("{name}_minor"));
    let heading = heading.into_iter().chain(names).chain(["net_side"]);
    writer.write_record(heading.chain(minor_names.iter().map(String::as_str)))?;
    for (ledger, sums) in &balance.ledgers {
        let currency = Currency::of_ledger(*ledger).map_or("", |currency| currency.code);
        for (code, Sums { accounts, balances }) in lines(sums) {
            let amounts = amounts(balances);
            let mut cells = vec![
                balance.as_of.to_string(),
                time_text(balance.time),
                ledger.0.to_string(),
                currency.to_owned(),
                code,
                accounts.to_string(),
            ];
            cells.extend(amounts.map(|(_, minor)| decimal(*ledger, minor)));
            cells.push(net(balances).1.to_owned());
            cells.extend(amounts.map(|(_, minor)| minor.to_string()));
            writer.write_record(cells)?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millrace_ledger::{Code, EventSeq};

    use super::*;

    fn balance(debits_posted: u128, credits_pending: u128) -> TrialBalance {
        let balances = BalanceSums {
            debits_posted: debits_posted.into(),
            credits_posted: 500.into(),
            debits_pending: 20.into(),
            credits_pending: credits_pending.into(),
        };
        let sums = Sums { accounts: 2, balances };
        let codes = BTreeMap::from([(Code(1), sums)]);
        TrialBalance {
            as_of: EventSeq(9),
            time: Timestamp(0),
            snapshot: None,
            ledgers: BTreeMap::from([(LedgerId(978), LedgerSums { codes, total: sums })]),
        }
    }

    #[test]
    fn made_money_is_told_loudly() {
        assert!(check(&balance(500, 20)).is_ok());
        for made in [balance(501, 20), balance(500, 19)] {
            let failure = check(&made).expect_err("is uneven").to_string();
            assert!(failure.starts_with("debits do not equal credits in EUR (ledger 978)"));
            assert_eq!(json_object(&made, None)["balanced"], false);
        }
    }

    #[test]
    fn a_time_that_is_too_early_is_told_with_the_earliest_one() {
        let at = Some(Timestamp(1_000_000_000));
        let missing =
            |earliest| TrialBalanceError::BeginningMissing { first: EventSeq(7), earliest };
        for (error, parts) in [
            (TrialBalanceError::BeforeFirst { first: Timestamp(2_000_000_000) }, ["01.0", "02.0"]),
            (missing(Some(Timestamp(9_000_000_000))), ["01.0", "Ask for 1970-01-01T00:00:09.0"]),
            (missing(None), ["begins with event 7", "Put the segments before it back"]),
        ] {
            let told = explained(error, at).to_string();
            for part in parts {
                assert!(told.contains(part), "no {part:?} in: {told}");
            }
            assert!(!told.contains("later time"), "{told}");
        }
    }
}
