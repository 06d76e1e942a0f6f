//! Accounts: consumes ids and pages, produces accounts as they stand, and what they add up to.

use millrace_ledger::{AccountId, BalanceSums, LedgerId};
use millrace_sinks::graphql::{
    AccountView, LedgerConservation, ReadError,
    model::{AccountPage, Slice},
};
use uuid::Uuid;

use super::{
    reads::Reads,
    rows::{ACCOUNT, Fields, account},
    statement::{ANY, ONE},
};

/// The accounts with these ids, in their order.
pub(super) async fn by_id(
    reads: &Reads,
    ids: Vec<AccountId>,
) -> Result<Vec<Option<AccountView>>, ReadError> {
    let rows = match ids.as_slice() {
        [id] => reads.prepared(&by_id_sql(ONE), &[&Uuid::from_u128(id.0)]).await?,
        ids => {
            let ids: Vec<_> = ids.iter().map(|id| Uuid::from_u128(id.0)).collect();
            reads.prepared(&by_id_sql(ANY), &[&ids]).await?
        }
    };
    let mut found = rows.iter().map(account).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by_key(|view| view.account.spec.id);
    let at = |id: &AccountId| found.binary_search_by_key(id, |view| view.account.spec.id);
    Ok(ids.iter().map(|id| at(id).ok().map(|index| found[index])).collect())
}

pub(super) fn by_id_sql(wanted: &str) -> String {
    format!("SELECT {ACCOUNT} FROM millrace.accounts a WHERE a.account_id {wanted}")
}

/// Accounts in the order of their ids.
pub(super) async fn list(
    reads: &Reads,
    page: AccountPage,
) -> Result<Slice<AccountView>, ReadError> {
    let direction = if page.from_end { "DESC" } else { "ASC" };
    // Every id is between these two, which no account has.
    let after = Uuid::from_u128(page.after.map_or(0, |id| id.0));
    let before = Uuid::from_u128(page.before.map_or(u128::MAX, |id| id.0));
    let limit = page.limit.saturating_add(1) as i64;
    let sql = format!(
        "SELECT {ACCOUNT} FROM millrace.accounts a \
         WHERE a.account_id > $1 AND a.account_id < $2 ORDER BY a.account_id {direction} LIMIT $3"
    );
    let rows = reads.prepared(&sql, &[&after, &before, &limit]).await?;
    Ok(page.slice(rows.iter().map(account).collect::<Result<_, _>>()?))
}

/// Sums over all accounts, exact: the server's `numeric` has no limit that they could reach.
pub(super) const CONSERVATION: &str = "SELECT ledger, sum(debits_pending), sum(debits_posted), \
     sum(credits_pending), sum(credits_posted) FROM millrace.accounts GROUP BY ledger ORDER BY ledger";

pub(super) async fn conservation(reads: &Reads) -> Result<Vec<LedgerConservation>, ReadError> {
    let rows = reads.prepared(CONSERVATION, &[]).await?;
    let sums = rows.iter().map(|row| {
        let mut fields = Fields::of(row);
        Ok(LedgerConservation {
            ledger: LedgerId(fields.number()?),
            sums: BalanceSums {
                debits_pending: fields.sum()?,
                debits_posted: fields.sum()?,
                credits_pending: fields.sum()?,
                credits_posted: fields.sum()?,
            },
        })
    });
    sums.collect()
}
