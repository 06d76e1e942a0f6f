//! Totals that queries see: turns counts and sums of the read model into GraphQL objects.

use async_graphql::{Context, Result, SimpleObject};
use millrace_ledger::{Currency, LedgerId, Timestamp};

use super::{
    error::coded,
    model::{CountAndSum, TimeRange, Total, TotalsBy, TotalsQuery},
    money::Money,
    paging::time,
    reader::{Reader, read},
};
use crate::text::rfc3339;

const HOUR_NS: u64 = 3_600_000_000_000;
const DAY_NS: u64 = 24 * HOUR_NS;
/// Most hours, or days, of one answer.
const GROUPS_MAX: u64 = 2_000;

/// How many payments, and how much.
#[derive(SimpleObject)]
struct CountedMoney {
    /// Payments, as decimal text.
    count: String,
    /// What moved, was reserved or was released; zero of refused ones.
    amount: Money,
}

/// Payments of a ledger by what became of them.
#[derive(SimpleObject)]
pub(super) struct Totals {
    /// The ledger: the currency's ISO 4217 number.
    ledger: u32,
    /// Three letters of ISO 4217; null where it does not know the ledger.
    currency: Option<&'static str>,
    /// When the hour or the day begins. RFC 3339, UTC; null where all hours are together.
    start: Option<String>,
    /// Money moved, captures and refunds included.
    settled: CountedMoney,
    /// Money was reserved.
    held: CountedMoney,
    /// A hold was released on request.
    voided: CountedMoney,
    /// Nothing moved.
    rejected: CountedMoney,
}

impl From<Total> for Totals {
    fn from(total: Total) -> Self {
        let counted = |sum: CountAndSum| CountedMoney {
            count: sum.count.to_string(),
            amount: Money::new(total.ledger, sum.minor),
        };
        Self {
            ledger: total.ledger.0,
            currency: Currency::of_ledger(total.ledger).map(|currency| currency.code),
            start: total.start.map(rfc3339),
            settled: counted(total.settled),
            held: counted(total.held),
            voided: counted(total.voided),
            rejected: counted(total.rejected),
        }
    }
}

pub(super) async fn totals(
    ctx: &Context<'_>,
    by: TotalsBy,
    ledger: Option<u32>,
    from_time: Option<String>,
    to_time: Option<String>,
) -> Result<Vec<Totals>> {
    let newest = Reader::of(ctx)?.model.place().time;
    let range = bounded(by, TimeRange { from: time(from_time)?, to: time(to_time)? }, newest)?;
    let query = TotalsQuery { ledger: ledger.map(LedgerId), by, range };
    let found = read(ctx, |model| model.totals(query)).await?;
    Ok(found.into_iter().map(Totals::from).collect())
}

/// The range to read: as asked for if it is not too long, or the last groups where no start is
/// given.
fn bounded(by: TotalsBy, range: TimeRange, newest: Timestamp) -> Result<TimeRange> {
    let (group_ns, groups) = match by {
        TotalsBy::Hour => (HOUR_NS, 48),
        TotalsBy::Day => (DAY_NS, 366),
        TotalsBy::Ledger => return Ok(range),
    };
    let end = range.to.map_or(newest.0.saturating_add(1), |to| to.0);
    let latest = end.saturating_sub(1);
    let last_group = latest - latest % group_ns;
    let from = range.from.map_or(last_group.saturating_sub((groups - 1) * group_ns), |from| from.0);
    if end.saturating_sub(from) / group_ns > GROUPS_MAX {
        let text = format!("the range has more than {GROUPS_MAX} groups; shorten it");
        return Err(coded(text, "RANGE_TOO_LONG"));
    }
    Ok(TimeRange { from: Some(Timestamp(from)), to: range.to })
}
