//! Ids: consumes a mapping's namespace and texts of a file, produces UUIDs of version 5.
//! Guarantees that the same text always gets the same id, on every machine and in every run, so
//! that sending a file again pays nothing twice.

use millrace_ledger::{AccountId, Amount, Currency, PaymentId};
use uuid::Uuid;

/// Where a mapping's ids derive from. Two namespaces never give the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace(Uuid);

impl Namespace {
    /// A UUID as it is; any other text as `UUIDv5(URL namespace, text)`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(as_uuid(text).unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes())))
    }

    /// `UUIDv5(namespace, "payment:" + reference)`.
    #[must_use]
    pub fn payment(self, reference: &str) -> PaymentId {
        PaymentId(self.derive(&format!("payment:{reference}")))
    }

    /// `UUIDv5(namespace, "account:" + text)`, with `":" + code` of the currency where the mapping
    /// reads currencies from a column: a ledger account holds one currency.
    #[must_use]
    pub fn account(self, text: &str, currency: Option<Currency>) -> AccountId {
        AccountId(match currency {
            None => self.derive(&format!("account:{text}")),
            Some(currency) => self.derive(&format!("account:{text}:{}", currency.code)),
        })
    }

    /// The account from which the demo's payers get their opening balance.
    #[must_use]
    pub fn funding_account(self, currency: Currency) -> AccountId {
        AccountId(self.derive(&format!("funding-account:{}", currency.code)))
    }

    /// The payment of an opening balance. The amount is part of it, so that a run with another
    /// amount is another payment.
    #[must_use]
    pub fn funding_payment(
        self,
        account: AccountId,
        currency: Currency,
        amount: Amount,
    ) -> PaymentId {
        let Currency { code, .. } = currency;
        PaymentId(self.derive(&format!("funding-payment:{account}:{code}:{}", amount.0)))
    }

    /// The id of the `occurrence`th row (from 1) with these cells. Each cell goes in with its
    /// length, so that no two rows read alike.
    pub(crate) fn row<'a>(
        self,
        cells: impl Iterator<Item = &'a str>,
        occurrence: u32,
    ) -> PaymentId {
        let mut name = format!("row:{occurrence}");
        for cell in cells {
            name.push_str(&format!(":{}:{cell}", cell.len()));
        }
        PaymentId(self.derive(&name))
    }

    fn derive(self, name: &str) -> u128 {
        Uuid::new_v5(&self.0, name.as_bytes()).as_u128()
    }
}

/// The UUID that a text already is, in its usual form of 36 characters.
pub(crate) fn as_uuid(text: &str) -> Option<Uuid> {
    // The shorter forms that the parser also takes are account numbers in some countries.
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing any of these pays every file in the world a second time.
    #[test]
    fn ids_stay_as_they_are() {
        let koruna = Currency::of_code("CZK").expect("in ISO 4217");
        let namespace = Namespace::new("golden");
        let account = namespace.account("alice", None);
        let funding = namespace.funding_payment(account, koruna, Amount(100));
        for (what, id, golden) in [
            ("namespace", namespace.0.as_u128(), "ee7ff048-c98e-5431-8dbd-22750bda35c7"),
            ("payment", namespace.payment("29401").0, "d2fe7076-c986-54d6-9855-0ddc24abfd67"),
            ("account", account.0, "966bd684-60c7-539a-aaf8-3f51452dabbb"),
            (
                "with currency",
                namespace.account("alice", Some(koruna)).0,
                "6a5d9831-9bd3-5b96-9ed5-e27ba4643cfc",
            ),
            (
                "funding account",
                namespace.funding_account(koruna).0,
                "bd0f8ba1-89ff-5b49-8509-9c4f296498e5",
            ),
            ("funding payment", funding.0, "a624bfd2-8ff5-5e6a-b086-67b03b7ed5f8"),
            (
                "row",
                namespace.row(["a", "b"].into_iter(), 1).0,
                "e4a7018d-6f83-5feb-8913-ea7260fa53f1",
            ),
            (
                "row again",
                namespace.row(["a", "b"].into_iter(), 2).0,
                "b8edc07c-85b0-59e2-905d-fd78a3d3d985",
            ),
        ] {
            assert_eq!(PaymentId(id).to_string(), golden, "{what}");
        }
    }

    #[test]
    fn cells_and_kinds_never_run_into_each_other() {
        let namespace = Namespace::new("golden");
        let row = |cells: &[&'static str]| namespace.row(cells.iter().copied(), 1);
        assert_ne!(row(&["1", "23"]), row(&["12", "3"]));
        assert_ne!(row(&["a:1:b"]), row(&["a", "b"]));
        assert_ne!(namespace.payment("alice").0, namespace.account("alice", None).0);
        assert_ne!(Namespace::new("other").payment("1"), namespace.payment("1"));
    }

    #[test]
    fn a_namespace_that_is_a_uuid_is_taken_as_it_is() {
        let text = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
        assert_eq!(Namespace::new(text).0, Uuid::NAMESPACE_URL);
        assert_eq!(as_uuid("12345678901234567890123456789012"), None);
    }
}
