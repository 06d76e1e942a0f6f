//! Columns: consumes the header of a file and the analyst's mapping, produces the place of each
//! role.

use serde::Serialize;

use super::error::DataError;

/// What a column holds. The first five must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// When the payment was made.
    Time,
    /// Who pays: a customer, a card, an account.
    Payer,
    /// Who is paid: a terminal, a merchant, an account.
    Payee,
    /// In major units, such as euros.
    Amount,
    /// Whether it was fraud.
    Label,
    /// The payment's own id.
    PaymentId,
    /// When the label became known.
    ReportedAt,
}

/// Each role, its name in a mapping, and the headers that are taken for it without a mapping.
const ROLES: [(Role, &str, &[&str]); 7] = [
    (
        Role::Time,
        "time",
        &["time", "at", "timestamp", "event_time", "tx_datetime", "datetime", "transaction_time"],
    ),
    (
        Role::Payer,
        "payer",
        &[
            "payer",
            "customer",
            "customer_id",
            "card",
            "card_id",
            "debit",
            "payer_account",
            "nameorig",
        ],
    ),
    (
        Role::Payee,
        "payee",
        &[
            "payee",
            "terminal",
            "terminal_id",
            "merchant",
            "merchant_id",
            "credit",
            "payee_account",
            "namedest",
        ],
    ),
    (Role::Amount, "amount", &["amount", "tx_amount", "amt", "transaction_amount"]),
    (Role::Label, "label", &["is_fraud", "label", "fraud", "tx_fraud", "isfraud", "class"]),
    (Role::PaymentId, "id", &["payment_id", "id", "transaction_id", "tx_id"]),
    (Role::ReportedAt, "reported_at", &["reported_at", "label_known_at", "label_time"]),
];

/// Headers that are read as context of a payment where they occur.
const CONTEXTS: [&str; 7] = ["device", "ip", "country", "channel", "currency", "ledger", "mcc"];

/// Which header stands for which role. What is not named is found by common names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    named: Vec<(Role, String)>,
    contexts: Vec<String>,
}

/// Why a mapping of columns can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// No `=`.
    #[error("\"{0}\" does not name a column; write ROLE=HEADER, such as payer=card_number")]
    Shape(String),
    /// Unknown role.
    #[error(
        "\"{role}\" is not a role of a column; roles are time, payer, payee, amount, label, id, reported_at and context{nearest}"
    )]
    Role {
        /// What was written.
        role: String,
        /// ` (did you mean "payee"?)`, or nothing.
        nearest: String,
    },
    /// The same role twice.
    #[error("the role \"{0}\" is mapped twice; map it to one column")]
    Twice(String),
}

impl Columns {
    /// Reads `payer=card_number,label=chargeback,context=device_hash`. Only `context` may occur
    /// more than once.
    ///
    /// # Errors
    /// When a part is not `ROLE=HEADER`, or its role is unknown or occurs twice.
    pub fn parse(mapping: &str) -> Result<Self, ColumnsError> {
        let mut columns = Self::default();
        for part in mapping.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (role, header) = part
                .split_once('=')
                .map(|(role, header)| (role.trim(), header.trim()))
                .filter(|(role, header)| !role.is_empty() && !header.is_empty())
                .ok_or_else(|| ColumnsError::Shape(part.to_owned()))?;
            if role == "context" {
                columns.contexts.push(header.to_owned());
                continue;
            }
            let Some((known, ..)) = ROLES.iter().find(|(_, name, _)| *name == role) else {
                let names = ROLES.iter().map(|(_, name, _)| *name);
                return Err(ColumnsError::Role {
                    role: role.to_owned(),
                    nearest: did_you_mean(role, names.chain(["context"])),
                });
            };
            if columns.named.iter().any(|(role, _)| role == known) {
                return Err(ColumnsError::Twice(role.to_owned()));
            }
            columns.named.push((*known, header.to_owned()));
        }
        Ok(columns)
    }

    /// Finds the roles in a header.
    pub(super) fn resolve(
        &self,
        file: &str,
        header: &[String],
        label_required: bool,
    ) -> Result<Places, DataError> {
        let place = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        let mut twice = header.iter().enumerate().filter(|(at, cell)| place(cell) != Some(*at));
        if let Some((_, column)) = twice.next() {
            return Err(DataError::ColumnTwice { file: file.into(), column: column.clone() });
        }
        let missing = |column: String, tried: &[&str]| DataError::ColumnMissing {
            file: file.into(),
            nearest: did_you_mean(tried[0], header.iter().map(String::as_str)),
            column,
            header: header.join(", "),
        };
        let mut places = [None; ROLES.len()];
        for (at, (role, name, aliases)) in ROLES.iter().enumerate() {
            let named = self.named.iter().find(|(named, _)| named == role);
            let is_required = at < 4 || (*role == Role::Label && label_required);
            places[at] =
                match named {
                    Some((_, own)) => {
                        let found = place(own);
                        Some(found.ok_or_else(|| {
                            missing(format!("\"{own}\" for {name}"), &[own.as_str()])
                        })?)
                    }
                    None => aliases.iter().find_map(|alias| place(alias)),
                };
            if is_required && places[at].is_none() {
                return Err(missing(format!("{name} (one of {})", aliases.join(", ")), aliases));
            }
        }
        let mut contexts = Vec::new();
        for own in &self.contexts {
            let at = place(own);
            contexts.push(
                at.ok_or_else(|| missing(format!("\"{own}\" for context"), &[own.as_str()]))?,
            );
        }
        contexts.extend(CONTEXTS.iter().filter_map(|name| place(name)));
        let mut seen = vec![false; header.len()];
        places.iter().flatten().for_each(|at| seen[*at] = true);
        contexts.retain(|at| !std::mem::replace(&mut seen[*at], true));
        let unused = (0..header.len()).filter(|at| !seen[*at]).collect();
        Ok(Places { places, contexts, unused })
    }
}

/// Where in a row each role stands.
pub(super) struct Places {
    places: [Option<usize>; ROLES.len()],
    pub(super) contexts: Vec<usize>,
    /// Columns that nothing is read from.
    pub(super) unused: Vec<usize>,
}

impl Places {
    pub(super) fn of(&self, role: Role) -> Option<usize> {
        self.places[role as usize]
    }
}

/// The nearest known word as the end of a message, or nothing where none is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let word = word.to_ascii_lowercase();
    known
        .map(|known| (strsim::jaro_winkler(&word, &known.to_ascii_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, known)| format!(" (did you mean \"{known}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn roles_stand_at_their_place() {
        for (at, (role, ..)) in ROLES.iter().enumerate() {
            assert_eq!(*role as usize, at);
        }
    }

    #[test]
    fn common_names_and_mappings_are_found() {
        let common = header("payment_id,time,customer,terminal,amount,is_fraud,device,note");
        let places = Columns::default().resolve("f", &common, true).expect("a known header");
        assert_eq!(places.of(Role::Payer), Some(2));
        assert_eq!(places.of(Role::ReportedAt), None);
        assert_eq!((places.contexts, places.unused), (vec![6], vec![7]));

        let own = header("when,pan,shop,amt,chargeback,gear");
        let mapping = "time=when, payer=pan,payee=SHOP,label=chargeback,context=gear";
        let columns = Columns::parse(mapping).expect("a right mapping");
        let places = columns.resolve("f", &own, true).expect("all mapped");
        assert_eq!((places.of(Role::Payee), places.of(Role::Amount)), (Some(2), Some(3)));
        assert_eq!(places.contexts, [5]);
    }

    #[test]
    fn wrong_mappings_and_headers_are_told() {
        for (mapping, message) in [
            (
                "payer",
                "\"payer\" does not name a column; write ROLE=HEADER, such as payer=card_number",
            ),
            ("payer=a,payer=b", "the role \"payer\" is mapped twice; map it to one column"),
            (
                "payeer=a",
                "\"payeer\" is not a role of a column; roles are time, payer, payee, amount, label, id, reported_at and context (did you mean \"payee\"?)",
            ),
        ] {
            let error = Columns::parse(mapping).expect_err(mapping);
            assert!(error.to_string().starts_with(&message[..40]), "{error}");
            assert!(error.to_string().contains(message.split('(').next().unwrap_or(message)));
        }
        let resolve = |mapping: &str, text: &str, label_required| {
            let columns = Columns::parse(mapping).expect("a right mapping");
            columns
                .resolve("f.csv", &header(text), label_required)
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert_eq!(resolve("", "time,payer,payee,amount", false), Ok(()));
        for (mapping, text, message) in [
            (
                "",
                "time,payer,payee,amount",
                "f.csv: no column for label (one of is_fraud, label, fraud, tx_fraud, isfraud, class); the header is: time, payer, payee, amount; name it in the file's first line or map it as label=HEADER",
            ),
            (
                "payer=cart",
                "time,card,payee,amount,label",
                "f.csv: no column for \"cart\" for payer; the header is: time, card, payee, amount, label",
            ),
            (
                "",
                "time,payer,time,amount",
                "f.csv: two columns are called \"time\"; rename one of them",
            ),
        ] {
            let error = resolve(mapping, text, true).expect_err(text);
            assert!(error.contains(&message[..message.find(';').unwrap_or(30)]), "{error}");
        }
    }
}
