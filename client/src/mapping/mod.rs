//! Mappings: consumes TOML that says which column is what, produces a checked [`Mapping`].
//!
//! Guarantees that a mapping which was read can fail only on a file or on a row: every template is
//! well formed, every column it names is in its own header, every constant is a valid value, and an
//! unknown key was refused with the nearest known one.

mod accounts;
mod check;
mod error;

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

pub use accounts::{AccountRules, FlagName, Funding, SpecialAccount, SpecialState};
pub use error::{MappingError, toml_complaint};

use crate::{Namespace, Template, ids::as_uuid};
use millrace_ledger::{AccountId, Currency, PaymentId};

/// The mappings that come with Millrace.
const SHIPPED: [(&str, &str); 4] = [
    ("standing-orders.toml", include_str!("../../../configs/mappings/standing-orders.toml")),
    ("card-payments.toml", include_str!("../../../configs/mappings/card-payments.toml")),
    ("generated.toml", include_str!("../../../configs/mappings/generated.toml")),
    ("sample.toml", include_str!("../../../configs/mappings/sample.toml")),
];

/// How the columns of one kind of file become payments.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What people call it.
    pub name: String,
    /// The columns by which a file of this kind is recognised.
    pub header: Vec<String>,
    /// Text or UUID from which all ids derive; see [`Namespace`].
    namespace: String,
    /// Texts of payments and accounts that already are UUIDs are ids as they are.
    #[serde(default)]
    pub(crate) uuid: bool,
    pub(crate) payment: PaymentFields,
    #[serde(default)]
    pub(crate) context: ContextFields,
    /// How `demo` opens and funds the file's accounts.
    #[serde(default)]
    pub accounts: AccountRules,
}

/// Templates of a payment's fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentFields {
    /// The payment's reference text. Left out: all columns and the occurrence of identical rows.
    pub(crate) id: Option<Template>,
    pub(crate) debit: Template,
    pub(crate) credit: Template,
    pub(crate) amount: Template,
    /// Rounds, half up, an amount with more digits than its currency has. Without it such a row is
    /// refused: a digit too many is usually a wrong column or currency.
    #[serde(default)]
    pub(crate) round_amount: bool,
    pub(crate) currency: Template,
    pub(crate) operation: Option<Template>,
    /// The reference text of the earlier row that a capture, void or refund is about.
    pub(crate) original: Option<Template>,
    pub(crate) timeout_seconds: Option<Template>,
    pub(crate) linked: Option<Template>,
    pub(crate) balancing_debit: Option<Template>,
    pub(crate) balancing_credit: Option<Template>,
    pub(crate) code: Template,
    /// Codes by text; without any, the text itself is the number.
    #[serde(default)]
    pub(crate) codes: BTreeMap<String, u16>,
    /// The code of a text that `codes` does not list.
    pub(crate) code_otherwise: Option<u16>,
}

/// Templates of what surrounds a payment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextFields {
    pub(crate) channel: Option<Template>,
    pub(crate) device_id: Option<Template>,
    pub(crate) ip_address: Option<Template>,
    pub(crate) country_code: Option<Template>,
    pub(crate) merchant_category_code: Option<Template>,
    pub(crate) reference: Option<Template>,
    pub(crate) event_time: Option<Template>,
    /// Values of the caller's own, by their keys.
    #[serde(default)]
    pub(crate) other: BTreeMap<String, Template>,
}

impl Mapping {
    /// Reads the mapping in a file.
    ///
    /// # Errors
    /// When the file can't be read, or [`Mapping::parse`] refuses it.
    pub fn open(path: &Path) -> Result<Self, MappingError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(toml) => Self::parse(&file, &toml),
            Err(source) => Err(MappingError::Unreadable { file, source }),
        }
    }

    /// Reads a mapping from TOML; `file` is the name to use in errors.
    ///
    /// # Errors
    /// When it is not TOML, has an unknown key, or has a value that can't be right.
    pub fn parse(file: &str, toml: &str) -> Result<Self, MappingError> {
        let mapping: Self =
            toml::from_str(toml).map_err(|error| MappingError::syntax(file, &error))?;
        check::check(&mapping).map_err(|(key, reason)| MappingError::Invalid {
            file: file.to_owned(),
            key,
            reason,
        })?;
        Ok(mapping)
    }

    /// The mappings that come with Millrace.
    #[must_use]
    pub fn shipped() -> Vec<Self> {
        let read = |(file, toml): (&str, &str)| match Self::parse(file, toml) {
            Ok(mapping) => mapping,
            Err(error) => panic!("a shipped mapping must be right: {error}"),
        };
        SHIPPED.map(read).into()
    }

    /// The shipped mapping whose header this is.
    ///
    /// # Errors
    /// When there is none; the error lists the headers that are known.
    pub fn for_header<S: AsRef<str>>(header: &[S]) -> Result<Self, MappingError> {
        let header: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
        let mut shipped = Self::shipped();
        match shipped.iter().position(|mapping| mapping.header == header) {
            Some(fits) => Ok(shipped.swap_remove(fits)),
            None => Err(MappingError::no_header_fits(&header, &shipped)),
        }
    }

    /// Where this mapping's ids derive from.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace::new(&self.namespace)
    }

    /// The id of the account with this text, as the file's debit or credit template would fill it
    /// in. The currency matters where [`Mapping::accounts_name_currency`].
    #[must_use]
    pub fn account_id(&self, text: &str, currency: Currency) -> AccountId {
        match as_uuid(text).filter(|_| self.uuid) {
            Some(id) => AccountId(id.as_u128()),
            None => {
                let currency = self.accounts_name_currency().then_some(currency);
                self.namespace().account(text, currency)
            }
        }
    }

    /// The id of the payment with this reference text, as the file's `id` template fills it in.
    #[must_use]
    pub fn payment_id(&self, reference: &str) -> PaymentId {
        match as_uuid(reference).filter(|_| self.uuid) {
            Some(id) => PaymentId(id.as_u128()),
            None => self.namespace().payment(reference),
        }
    }

    /// Whether one account text may occur with several currencies. A ledger account holds one, so
    /// the currency is then part of the account's id.
    #[must_use]
    pub fn accounts_name_currency(&self) -> bool {
        self.payment.currency.constant().is_none()
    }
}
