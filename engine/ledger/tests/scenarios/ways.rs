//! How to violate each rule: for every reject reason, payments that are refused for it.

use std::collections::BTreeMap;

use millrace_ledger::RejectReason;

use crate::rows::reason;

/// Columns: reason; operations; what the payment says; what the first use of its id said; the
/// world.
///
/// A payment that says `id=x` uses an id that was used before, by a payment that differs from it
/// in what the first use said and in nothing else. `new` operations are PAY and AUTHORIZE, `late`
/// ones CAPTURE, VOID and REFUND. The payment is one of 10 from `a` to `b`, of `hold`, or the
/// refund of `paid` from `b` to `a`. A way that can't be had without an earlier reason names that
/// one in brackets.
const WAYS: &str = "
    GROUP_UNCLOSED                    | all          | linked=yes              |                   | end=open
    GROUP_MEMBER_FAILED               | all          |                         |                   | mate=fails

    OPERATION_UNKNOWN                 | all          | defect=OPERATION_UNKNOWN |                   |
    FLAG_UNKNOWN                      | all          | defect=FLAG_UNKNOWN     |                   |
    PAYMENT_ID_MALFORMED              | all          | defect=PAYMENT_ID_MALFORMED id=- |                   |
    PAYMENT_ID_ZERO                   | all          | id=-                    |                   |
    PAYMENT_ID_MAX                    | all          | id=max                  |                   |
    CONTEXT_MALFORMED                 | all          | defect=CONTEXT_MALFORMED |                   |

    ID_REUSED_OPERATION_DIFFERS       | authorize    | id=x                    | op=pay            |
    ID_REUSED_OPERATION_DIFFERS       | pay          | id=x                    | op=authorize      |
    ID_REUSED_OPERATION_DIFFERS       | late         | id=x                    | op=pay from=a to=b original=- amount=10 ledger=CZK code=1 |
    ID_REUSED_FLAGS_DIFFER            | new          | id=x                    | flags=up-to-payer |
    ID_REUSED_FLAGS_DIFFER            | late         | id=x                    | linked=yes        |
    ID_REUSED_ORIGINAL_DIFFERS        | new          | id=x original=settled   |                   |
    ID_REUSED_ORIGINAL_DIFFERS        | capture void | id=x                    | original=hold2    |
    ID_REUSED_ORIGINAL_DIFFERS        | refund       | id=x                    | original=paid2    |
    ID_REUSED_DEBIT_ACCOUNT_DIFFERS   | new          | id=x                    | from=c            |
    ID_REUSED_DEBIT_ACCOUNT_DIFFERS   | late         | id=x from=c             |                   |
    ID_REUSED_CREDIT_ACCOUNT_DIFFERS  | new          | id=x                    | to=d              |
    ID_REUSED_CREDIT_ACCOUNT_DIFFERS  | late         | id=x to=d               |                   |
    ID_REUSED_AMOUNT_DIFFERS          | pay authorize capture refund | id=x                    | amount=9          |
    ID_REUSED_AMOUNT_DIFFERS          | void         | id=x amount=5           |                   |
    ID_REUSED_LEDGER_DIFFERS          | all          | id=x ledger=EUR         |                   |
    ID_REUSED_LEDGER_DIFFERS          | new          | id=x ledger=-           |                   |
    ID_REUSED_CODE_DIFFERS            | new          | id=x                    | code=2            |
    ID_REUSED_CODE_DIFFERS            | late         | id=x code=2             |                   |
    ID_REUSED_TIMEOUT_DIFFERS         | authorize    | id=x                    | timeout=9         |
    ID_REUSED_TIMEOUT_DIFFERS         | pay capture void refund | id=x timeout=9          |                   |
    ID_REUSED_CONTEXT_DIFFERS         | all          | id=x                    | context=1         |

    FLAGS_EXCLUSIVE                   | late         | flags=up-to-payer       |                   |
    DEBIT_ACCOUNT_ID_MALFORMED        | all          | from=- defect=DEBIT_ACCOUNT_ID_MALFORMED |                   |
    DEBIT_ACCOUNT_ID_ZERO             | new          | from=-                  |                   |
    DEBIT_ACCOUNT_ID_MAX              | all          | from=max                |                   |
    CREDIT_ACCOUNT_ID_MALFORMED       | all          | to=- defect=CREDIT_ACCOUNT_ID_MALFORMED |                   |
    CREDIT_ACCOUNT_ID_ZERO            | new          | to=-                    |                   |
    CREDIT_ACCOUNT_ID_MAX             | all          | to=max                  |                   |
    ACCOUNTS_EQUAL                    | all          | from=a to=a             |                   |
    ACCOUNTS_EQUAL                    | all          | from=b to=b             |                   |
    ACCOUNTS_EQUAL                    | late         | from=c to=c             |                   |
    ACCOUNTS_EQUAL                    | late         | from=d to=d             |                   |
    ACCOUNTS_EQUAL                    | new          | from=nobody to=nobody   |                   |
    ACCOUNTS_EQUAL                    | new          | from=none to=none       |                   |
    ACCOUNTS_EQUAL (DEBIT_ACCOUNT_ID_ZERO) | new          | from=- to=-             |                   |
    ACCOUNTS_EQUAL (DEBIT_ACCOUNT_ID_MAX) | all          | from=max to=max         |                   |
    ORIGINAL_MALFORMED                | all          | original=- defect=ORIGINAL_MALFORMED |                   | original=none
    ORIGINAL_MISSING                  | late         | original=-              |                   | original=none
    ORIGINAL_SUPERFLUOUS              | new          | original=settled        |                   |
    ORIGINAL_SUPERFLUOUS              | new          | original=itself         |                   |
    ORIGINAL_IS_ITSELF                | late         | original=itself         |                   | original=none
    ORIGINAL_IS_ITSELF ORIGINAL_SUPERFLUOUS | new          | original=itself         |                   |
    TIMEOUT_SUPERFLUOUS               | pay capture void refund | timeout=9               |                   |
    AMOUNT_ZERO                       | all          | amount=0                |                   |
    AMOUNT_MISSING                    | new          | amount=all              |                   |
    AMOUNT_SUPERFLUOUS                | void         | amount=5                |                   |
    AMOUNT_SUPERFLUOUS (AMOUNT_ZERO)  | void         | amount=0                |                   |
    AMOUNT_SUPERFLUOUS                | void         | amount=1000             |                   |
    AMOUNT_SUPERFLUOUS                | void         | amount=50               |                   |
    LEDGER_ZERO                       | new          | ledger=-                |                   |
    CODE_ZERO                         | new          | code=0                  |                   |
    CODE_TOO_LARGE                    | all          | code=65535 defect=CODE_TOO_LARGE |                   |
    AMOUNT_TOO_LARGE                  | all          | defect=AMOUNT_TOO_LARGE |                   |

    DEBIT_ACCOUNT_UNKNOWN             | new          | from=nobody             |                   |
    CREDIT_ACCOUNT_UNKNOWN            | new          | to=none                 |                   |
    ACCOUNTS_ON_DIFFERENT_LEDGERS     | new          | to=euro from=a          |                   |
    ACCOUNTS_ON_DIFFERENT_LEDGERS     | new          | from=euro to=b          |                   |
    LEDGER_DIFFERS                    | new          | ledger=EUR              |                   |
    LEDGER_DIFFERS (LEDGER_ZERO)      | new          | ledger=-                |                   |

    ORIGINAL_UNKNOWN                  | late         | original=nothing        |                   | original=none
    ORIGINAL_NOT_A_HOLD               | capture void | original=settled        |                   | kind=payment
    ORIGINAL_NOT_SETTLED              | refund       | original=held           |                   | kind=hold
    ORIGINAL_DEBIT_ACCOUNT_DIFFERS    | late         | from=c                  |                   | original=is
    ORIGINAL_DEBIT_ACCOUNT_DIFFERS (DEBIT_ACCOUNT_ID_MAX) | late         | from=max                |                   | original=is
    ORIGINAL_CREDIT_ACCOUNT_DIFFERS   | late         | to=d                    |                   | original=is
    ORIGINAL_CREDIT_ACCOUNT_DIFFERS (CREDIT_ACCOUNT_ID_MAX) | late         | to=max                  |                   | original=is
    ORIGINAL_LEDGER_DIFFERS           | late         | ledger=EUR              |                   | original=is
    ORIGINAL_CODE_DIFFERS             | late         | code=2                  |                   | original=is
    ORIGINAL_CODE_DIFFERS             | late         | code=65535              |                   | original=is
    EXCEEDS_ORIGINAL_AMOUNT           | capture refund | amount=1000             |                   | original=is
    HOLD_CAPTURED                     | capture void |                         |                   | kind=hold was=captured
    HOLD_CAPTURED (ORIGINAL_NOT_SETTLED) | refund       | original=held           |                   | kind=hold was=captured
    HOLD_VOIDED (ORIGINAL_NOT_SETTLED) | refund       | original=held           |                   | kind=hold was=voided
    HOLD_EXPIRED (ORIGINAL_NOT_SETTLED) | refund       | original=held           |                   | kind=hold was=expired
    HOLD_VOIDED                       | capture void |                         |                   | kind=hold was=voided
    HOLD_EXPIRED                      | capture void |                         |                   | kind=hold was=expired
    ALREADY_REFUNDED                  | refund       |                         |                   | kind=payment was=refunded
    EXCEEDS_REMAINING_AMOUNT          | capture refund | amount=50               |                   | was=taken
    EXCEEDS_REMAINING_AMOUNT          | capture refund | amount=60               | amount=60         | was=taken
    EXCEEDS_REMAINING_AMOUNT (EXCEEDS_ORIGINAL_AMOUNT) | capture refund | amount=1000             |                   | was=taken
    EXCEEDS_REMAINING_AMOUNT (HOLD_CAPTURED) | capture      | amount=50               |                   | kind=hold was=captured
    EXCEEDS_REMAINING_AMOUNT (HOLD_VOIDED) | capture      | amount=50               |                   | kind=hold was=voided
    EXCEEDS_REMAINING_AMOUNT (HOLD_EXPIRED) | capture      | amount=50               |                   | kind=hold was=expired
    EXCEEDS_REMAINING_AMOUNT (ALREADY_REFUNDED) | refund       | amount=50               |                   | kind=payment was=refunded

    DEBIT_ACCOUNT_FROZEN              | pay authorize capture refund |                         |                   | payer=frozen
    CREDIT_ACCOUNT_FROZEN             | pay authorize capture |                         |                   | payee=frozen
    DEBIT_ACCOUNT_CLOSED              | new          |                         |                   | payer=closed
    DEBIT_ACCOUNT_CLOSED              | refund       |                         |                   | payer=closed kind=payment
    DEBIT_ACCOUNT_CLOSED (ORIGINAL_NOT_A_HOLD) | capture      | original=settled        |                   | payer=closed kind=payment
    DEBIT_ACCOUNT_CLOSED (HOLD_CAPTURED) | capture      |                         |                   | payer=closed kind=hold was=captured
    DEBIT_ACCOUNT_CLOSED (HOLD_VOIDED) | capture      |                         |                   | payer=closed kind=hold was=voided
    DEBIT_ACCOUNT_CLOSED (HOLD_EXPIRED) | capture      |                         |                   | payer=closed kind=hold was=expired
    DEBIT_ACCOUNT_CLOSED (ORIGINAL_NOT_SETTLED) | refund       | original=held           |                   | payer=closed kind=hold was=voided
    CREDIT_ACCOUNT_CLOSED             | new          |                         |                   | payee=closed
    CREDIT_ACCOUNT_CLOSED             | refund       |                         |                   | payee=closed kind=payment
    CREDIT_ACCOUNT_CLOSED (ORIGINAL_NOT_A_HOLD) | capture      | original=settled        |                   | payee=closed kind=payment
    CREDIT_ACCOUNT_CLOSED (HOLD_CAPTURED) | capture      |                         |                   | payee=closed kind=hold was=captured
    CREDIT_ACCOUNT_CLOSED (HOLD_VOIDED) | capture      |                         |                   | payee=closed kind=hold was=voided
    CREDIT_ACCOUNT_CLOSED (HOLD_EXPIRED) | capture      |                         |                   | payee=closed kind=hold was=expired
    CREDIT_ACCOUNT_CLOSED (ORIGINAL_NOT_SETTLED) | refund       | original=held           |                   | payee=closed kind=hold was=voided

    OVERFLOW_DEBITS_PENDING           | authorize    |                         |                   | debits=pending
    OVERFLOW_CREDITS_PENDING          | authorize    |                         |                   | credits=pending
    OVERFLOW_DEBITS_POSTED            | pay refund   |                         |                   | debits=posted
    OVERFLOW_CREDITS_POSTED           | pay refund   |                         |                   | credits=posted
    OVERFLOW_DEBITS                   | pay authorize refund |                         |                   | debits=both
    OVERFLOW_DEBITS (OVERFLOW_DEBITS_PENDING) | authorize    |                         |                   | debits=pending
    OVERFLOW_DEBITS (OVERFLOW_DEBITS_POSTED) | pay refund   |                         |                   | debits=posted
    OVERFLOW_DEBITS                   | authorize    |                         |                   | debits=posted
    OVERFLOW_CREDITS                  | pay authorize refund |                         |                   | credits=both
    OVERFLOW_CREDITS (OVERFLOW_CREDITS_PENDING) | authorize    |                         |                   | credits=pending
    OVERFLOW_CREDITS (OVERFLOW_CREDITS_POSTED) | pay refund   |                         |                   | credits=posted
    OVERFLOW_CREDITS                  | authorize    |                         |                   | credits=posted
    OVERFLOW_TIMEOUT                  | authorize    | timeout=4294967295      | timeout=4294967295 | clock=late
    OVERFLOW_TIMEOUT                  | authorize    | timeout=4294967295      |                   | clock=late

    RISK_DECLINED                     | new          | amount=8000             |                   |
    RISK_REVIEW_OPEN                  | capture      |                         |                   | kind=hold judged=review

    INSUFFICIENT_FUNDS                | pay authorize refund |                         |                   | funds=none
    CREDITS_EXCEED_DEBITS             | pay authorize refund |                         |                   | room=none
";

pub(crate) const OPERATIONS: [&str; 5] = ["pay", "authorize", "capture", "void", "refund"];

/// Words of the form `key=value`.
pub(crate) type Words = BTreeMap<&'static str, &'static str>;

/// How one operation is refused for one reason.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) reason: RejectReason,
    pub(crate) operation: &'static str,
    /// What the payment says.
    pub(crate) says: Words,
    /// What the first use of its id said otherwise, if there was one.
    pub(crate) said: Words,
    pub(crate) world: Words,
    /// What it is refused for: its reason, unless it can't be had without an earlier one.
    pub(crate) told: RejectReason,
}

/// Every way, once for each operation that it is one for.
pub(crate) fn all() -> Vec<Way> {
    let rows = WAYS.lines().map(str::trim).filter(|row| !row.is_empty());
    rows.flat_map(|row| {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        let [name, operations, says, said, world] = columns[..] else { panic!("{row}") };
        let way = move |operation| Way {
            reason: reason(name.split(' ').next().expect("has a name")),
            operation,
            says: words(says),
            said: words(said),
            world: words(world),
            told: reason(name.split(' ').next_back().expect("has one").trim_matches(['(', ')'])),
        };
        operations_of(operations).into_iter().map(way).map(Way::with_what_it_takes)
    })
    .collect()
}

impl Way {
    /// What the state of an account or an original is worth depends on the payment's naming it.
    fn with_what_it_takes(mut self) -> Self {
        let late = is_late(self.operation);
        let has = |world: &Words, keys: &[&str]| keys.iter().any(|key| world.contains_key(key));
        let of_payer = has(&self.world, &["payer", "debits", "funds"]);
        let of_payee = has(&self.world, &["payee", "credits", "room"]);
        if late && (of_payer || of_payee || has(&self.world, &["kind", "was"])) {
            self.world.insert("original", "is");
        }
        if !late && of_payer {
            self.says.insert("from", "a");
        }
        if !late && of_payee {
            self.says.insert("to", "b");
        }
        self
    }
}

pub(crate) fn is_late(operation: &str) -> bool {
    !matches!(operation, "pay" | "authorize")
}

fn operations_of(column: &'static str) -> Vec<&'static str> {
    match column {
        "all" => OPERATIONS.to_vec(),
        "new" => OPERATIONS[..2].to_vec(),
        "late" => OPERATIONS[2..].to_vec(),
        named => named.split_whitespace().collect(),
    }
}

fn words(column: &'static str) -> Words {
    let word = |word: &'static str| word.split_once('=').expect("of the form key=value");
    column.split_whitespace().map(word).collect()
}

/// Both, unless they say different things of the same.
pub(crate) fn union(one: &Words, other: &Words) -> Option<Words> {
    let mut both = one.clone();
    for (key, value) in other {
        if *both.entry(key).or_insert(value) != *value {
            return None;
        }
    }
    Some(both)
}
