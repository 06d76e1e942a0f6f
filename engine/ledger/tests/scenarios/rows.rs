//! Reads rows: what a table says becomes accounts and payments, names become ids.

use std::collections::BTreeMap;

use millrace_ledger::{
    AccountFlags, AccountId, AccountRejectReason, AccountSpec, Amount, Code, LedgerId, Operation,
    OwnerId, Payment, PaymentFlags, PaymentId, RejectReason,
};

/// Every reason that an account can be refused for.
pub(crate) const ACCOUNT_REASONS: [AccountRejectReason; 20] = {
    use AccountRejectReason as R;
    [
        R::FlagUnknown,
        R::AccountIdMalformed,
        R::AccountIdZero,
        R::AccountIdMax,
        R::OwnerIdMalformed,
        R::ChangeMissing,
        R::ExistsLedgerDiffers,
        R::ExistsCodeDiffers,
        R::ExistsTenantDiffers,
        R::ExistsOwnerDiffers,
        R::ExistsFlagsDiffer,
        R::FlagsExclusive,
        R::LedgerZero,
        R::LedgerUnknown,
        R::CodeZero,
        R::CodeTooLarge,
        R::CreditLimitWithoutFlag,
        R::AccountUnknown,
        R::AccountClosed,
        R::AccountNotEmpty,
    ]
};

/// Ids by name, in the order of their first use: ascending or descending.
pub(crate) struct Names {
    ids: BTreeMap<String, u128>,
    descending: bool,
}

impl Names {
    pub(crate) fn new(descending: bool) -> Self {
        Self { ids: BTreeMap::new(), descending }
    }

    /// `-` is no id, `max` is the id of all ones.
    pub(crate) fn id(&mut self, name: &str) -> u128 {
        let count = self.ids.len() as u128 + 1;
        let next = if self.descending { (1 << 96) - count } else { count };
        match name {
            "-" => 0,
            "max" => u128::MAX,
            name => *self.ids.entry(name.to_owned()).or_insert(next),
        }
    }

    pub(crate) fn name(&self, id: u128) -> &str {
        let found = self.ids.iter().find(|(_, number)| **number == id);
        found.expect("every id in a table has a name").0
    }

    pub(crate) fn number(&self, text: &str) -> Amount {
        Amount(number(text))
    }

    pub(crate) fn account(&mut self, words: &[&str]) -> AccountSpec {
        let mut spec = AccountSpec {
            id: AccountId(self.id(words[1])),
            ledger: currency(words[2]),
            code: Code(1),
            ..AccountSpec::default()
        };
        for option in &words[3..] {
            match option.split_once('=').unwrap_or((option, "")) {
                ("limit", limit) => spec.credit_limit = Amount(number(limit)),
                ("code", code) => spec.code = Code(number(code) as u16),
                ("tenant", tenant) => spec.tenant = number(tenant) as u32,
                ("owner", name) => spec.owner = OwnerId(self.id(name)),
                ("defect", reason) => spec.defect = Some(account_reason(reason)),
                (flag, _) => {
                    spec.flags = spec.flags.with(match flag {
                        "no-overdraft" => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
                        "no-surplus" => AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
                        "keeps-history" => AccountFlags::KEEPS_HISTORY,
                        other => panic!("unknown option {other}"),
                    });
                }
            }
        }
        spec
    }

    pub(crate) fn payment(&mut self, words: &[&str]) -> Payment {
        let operation = match words[0] {
            "pay" => Operation::Pay,
            "authorize" => Operation::Authorize,
            "capture" => Operation::Capture,
            "void" => Operation::Void,
            "refund" => Operation::Refund,
            other => panic!("unknown operation {other}"),
        };
        let mut payment = Payment {
            id: PaymentId(self.id(words[1])),
            operation,
            amount: Amount::ALL,
            ..Payment::default()
        };
        let options = if operation.needs_original() {
            payment.original = PaymentId(self.id(words[2]));
            &words[3..]
        } else {
            payment.debit = AccountId(self.id(words[2]));
            payment.credit = AccountId(self.id(words[3]));
            (payment.ledger, payment.code) = (currency("CZK"), Code(1));
            &words[4..]
        };
        for option in options {
            self.option(&mut payment, option);
        }
        payment
    }

    fn option(&mut self, payment: &mut Payment, option: &str) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("timeout", seconds) => payment.timeout_s = number(seconds) as u32,
            ("code", code) => payment.code = Code(number(code) as u16),
            ("ledger", name) => payment.ledger = currency(name),
            ("context", digest) => payment.context_digest = number(digest) as u64,
            ("from", name) => payment.debit = AccountId(self.id(name)),
            ("to", name) => payment.credit = AccountId(self.id(name)),
            ("original", name) => payment.original = PaymentId(self.id(name)),
            ("defect", name) => payment.defect = Some(reason(name)),
            ("resolves", _) => {
                payment.flags = payment.flags.with(PaymentFlags::RESOLVES_REVIEW);
            }
            ("linked", _) => payment.flags = payment.flags.with(PaymentFlags::LINKED),
            ("up-to-payer", _) => {
                payment.flags = payment.flags.with(PaymentFlags::BALANCING_DEBIT);
            }
            ("up-to-payee", _) => {
                payment.flags = payment.flags.with(PaymentFlags::BALANCING_CREDIT);
            }
            // Known when the row's turn has come.
            ("brim", _) => {}
            (amount, _) => payment.amount = Amount(number(amount)),
        }
    }
}

pub(crate) fn reason(name: &str) -> RejectReason {
    let found = RejectReason::ALL.iter().find(|reason| reason.upper_snake_name() == name);
    *found.unwrap_or_else(|| panic!("unknown reason {name}"))
}

fn account_reason(name: &str) -> AccountRejectReason {
    let found =
        ACCOUNT_REASONS.into_iter().find(|reason| upper_snake(&format!("{reason:?}")) == name);
    found.unwrap_or_else(|| panic!("unknown reason {name}"))
}

pub(crate) fn upper_snake(name: &str) -> String {
    let mut upper_snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !upper_snake.is_empty() {
            upper_snake.push('_');
        }
        upper_snake.push(letter.to_ascii_uppercase());
    }
    upper_snake
}

fn currency(name: &str) -> LedgerId {
    LedgerId(match name {
        "CZK" => 203,
        "EUR" => 978,
        "-" => 0,
        // A number that is no currency of ISO 4217.
        "nowhere" => 1,
        other => panic!("unknown currency {other}"),
    })
}

fn number(text: &str) -> u128 {
    match text {
        "most" => u128::MAX - 1,
        "half" => 1 << 127,
        text => text.parse().unwrap_or_else(|_| panic!("{text} is no number")),
    }
}
