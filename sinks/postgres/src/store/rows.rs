//! Rows of the database: consumes rows of `payments` and `accounts`, produces views. Guarantees
//! that a row which this program did not write is an error.

use millrace_ledger::{
    Account, AccountFlags, AccountId, AccountSpec, Amount, Balances, Code, LedgerId, Outcome,
    OwnerId, Payment, PaymentEvent, PaymentFlags, PaymentId, RuleName, Sum, Timestamp, Verdict,
};
use millrace_protos::{Trace, v1::PaymentContext};
use millrace_risk::evidence::Evidence;
use millrace_sinks::graphql::{AccountView, PaymentStateRow, PaymentView, ReadError};
use postgres_types::FromSql;
use prost::Message as _;
use tokio_postgres::Row;
use uuid::Uuid;

use super::statement::seq_of;
use crate::{
    copy::{micros, timestamp},
    names::{ACCOUNT_STATES, CHANNELS, DECISIONS, OPERATIONS, PAYMENT_STATES, status_of, value_of},
    numeric::{Minor, MinorSum},
    sql_time::SqlTime,
};

/// The columns of a payment `p` and its standing: `i` is the row of its id in `payment_ids`, joined
/// by [`STANDING`].
pub(super) const PAYMENT: &str = "p.event_seq, p.decided_at, p.decided_ns, p.ledger, \
     p.timeout_seconds, p.payment_id, p.debit_account, p.credit_account, p.original_id, p.code, \
     p.flags, p.operation, p.status, p.reject_reason, p.amount_minor, p.requested_minor, \
     p.risk_decision, p.risk_rule, p.channel, p.country_code, p.merchant_category_code, \
     p.reference, p.device_id, p.ip_address, p.event_time, p.trace_id, p.trace_span, p.trace_flags, \
     p.debit_debits_pending, p.debit_debits_posted, p.debit_credits_pending, \
     p.debit_credits_posted, \
     p.credit_debits_pending, p.credit_debits_posted, p.credit_credits_pending, \
     p.credit_credits_posted, p.evidence, p.context, \
     CASE WHEN i.event_seq = p.event_seq THEN i.state \
          WHEN i.payment_id IS NULL AND p.status = 'rejected' AND ( \
              SELECT true FROM millrace.free_refusals f \
              WHERE f.payment_id = p.payment_id AND f.event_seq = p.event_seq) \
          THEN 'refused_id_free' END, \
     i.remaining_minor, i.released_minor";
/// How many columns that are.
pub(super) const PAYMENT_COLUMNS: usize = 41;
pub(super) const STANDING: &str = "LEFT JOIN millrace.payment_ids i ON i.payment_id = p.payment_id";

pub(super) const ACCOUNT: &str = "a.account_id, a.owner_id, a.ledger, a.code, a.tenant, a.flags, \
     a.state, a.credit_limit, a.opened_seq, a.opened_at, a.opened_ns, a.balances_seq, \
     a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted";

/// Reads the columns of a row one after another.
pub(super) struct Fields<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn from(row: &'a Row, first: usize) -> Self {
        Self { row, next: first }
    }

    pub(super) fn take<T: FromSql<'a>>(&mut self) -> Result<T, ReadError> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|_| ReadError::Damaged)
    }

    /// A number that is not negative.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, ReadError> {
        T::try_from(self.take::<i64>()?).map_err(|_| ReadError::Damaged)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, ReadError> {
        let (SqlTime(micros), ns) = (self.take()?, self.take()?);
        timestamp(micros, ns).ok_or(ReadError::Damaged)
    }

    /// 0 where there is none.
    fn id(&mut self) -> Result<u128, ReadError> {
        Ok(self.take::<Option<Uuid>>()?.map_or(0, |id| id.as_u128()))
    }

    pub(super) fn minor(&mut self) -> Result<u128, ReadError> {
        Ok(self.take::<Minor>()?.0)
    }

    pub(super) fn sum(&mut self) -> Result<Sum, ReadError> {
        Ok(self.take::<MinorSum>()?.0)
    }

    pub(super) fn balances(&mut self) -> Result<Balances, ReadError> {
        Ok(Balances {
            debits_pending: self.minor()?,
            debits_posted: self.minor()?,
            credits_pending: self.minor()?,
            credits_posted: self.minor()?,
        })
    }

    fn balances_or_none(&mut self) -> Result<Option<Balances>, ReadError> {
        let first = self.next;
        if self.take::<Option<Minor>>()?.is_none() {
            self.next = first + 4;
            return Ok(None);
        }
        self.next = first;
        self.balances().map(Some)
    }

    fn word<T: Copy>(&mut self, words: &[(T, &'static str)]) -> Result<T, ReadError> {
        value_of(words, self.take()?).ok_or(ReadError::Damaged)
    }

    fn text(&mut self) -> Result<String, ReadError> {
        Ok(self.take::<Option<String>>()?.unwrap_or_default())
    }
}

/// Reads the columns [`PAYMENT`].
pub(super) fn payment(fields: &mut Fields<'_>) -> Result<PaymentView, ReadError> {
    let seq = seq_of(fields.take()?).ok_or(ReadError::Damaged)?;
    let time = fields.time()?;
    let ledger = LedgerId(fields.number()?);
    let timeout_s = fields.take::<Option<i64>>()?.unwrap_or(0);
    let payment = Payment {
        id: PaymentId(fields.id()?),
        debit: AccountId(fields.id()?),
        credit: AccountId(fields.id()?),
        original: PaymentId(fields.id()?),
        ledger,
        timeout_s: u32::try_from(timeout_s).map_err(|_| ReadError::Damaged)?,
        ..Payment::default()
    };
    let code = u16::try_from(fields.take::<i32>()?).map_err(|_| ReadError::Damaged)?;
    let flags = u8::try_from(fields.take::<i16>()?).map_err(|_| ReadError::Damaged)?;
    let operation = fields.word(&OPERATIONS)?;
    let status = status_of(fields.take()?, fields.take()?).ok_or(ReadError::Damaged)?;
    let moved = Amount(fields.minor()?);
    let requested =
        fields.take::<Option<Minor>>()?.map_or(Amount::ALL, |Minor(minor)| Amount(minor));
    let decision = fields.word(&DECISIONS)?;
    let rule = RuleName::new(fields.take::<Option<&str>>()?.unwrap_or_default());
    let context = context(fields)?;
    let both = [fields.balances_or_none()?, fields.balances_or_none()?];
    let evidence = fields.take::<Option<&[u8]>>()?.and_then(Evidence::read);
    let context = match fields.take::<Option<&[u8]>>()? {
        // The front door refuses malformed contexts; one in a refused payment shows as none.
        Some(whole) => PaymentContext::decode(whole).ok(),
        None => context,
    };
    let event = PaymentEvent {
        seq,
        payment: Payment {
            amount: requested,
            code: Code(code),
            operation,
            flags: PaymentFlags(flags),
            ..payment
        },
        outcome: Outcome { status, amount: moved },
        verdict: Verdict { decision, rule: rule.ok_or(ReadError::Damaged)?, hold_s: 0 },
        balances: match both {
            [Some(debit), Some(credit)] => Some([debit, credit]),
            _ => None,
        },
    };
    let state = standing(fields, &event)?;
    Ok(PaymentView { event, time, context, state, evidence })
}

fn standing(
    fields: &mut Fields<'_>,
    event: &PaymentEvent,
) -> Result<Option<PaymentStateRow>, ReadError> {
    let state = fields.take::<Option<&str>>()?;
    let left = fields.take::<Option<Minor>>()?.map_or(0, |Minor(minor)| minor);
    let released = fields.take::<Option<Minor>>()?.map_or(0, |Minor(minor)| minor);
    let Some(state) = state else { return Ok(None) };
    let state = value_of(&PAYMENT_STATES, state).ok_or(ReadError::Damaged)?;
    let amount = event.outcome.amount.0;
    Ok(Some(PaymentStateRow { seq: event.seq, state, amount, left, released }))
}

/// What the columns hold of a context.
fn context(fields: &mut Fields<'_>) -> Result<Option<PaymentContext>, ReadError> {
    let channel = fields.take::<Option<&str>>()?;
    let mut context = PaymentContext::default();
    if let Some(word) = channel {
        context.channel = value_of(&CHANNELS, word).ok_or(ReadError::Damaged)? as i32;
    }
    context.country_code = fields.text()?;
    context.merchant_category_code = fields.text()?;
    context.reference = fields.text()?;
    context.device_id = fields.text()?;
    context.ip_address = fields.text()?;
    if let Some(SqlTime(at)) = fields.take::<Option<SqlTime>>()? {
        let since_1970 = at - micros(Timestamp(0));
        context.event_time = Some(prost_types::Timestamp {
            seconds: since_1970.div_euclid(1_000_000),
            nanos: since_1970.rem_euclid(1_000_000) as i32 * 1_000,
        });
    }
    let trace = fields.take::<Option<Uuid>>()?;
    let span = fields.take::<Option<&[u8]>>()?.and_then(|span| span.try_into().ok());
    let flags = fields.take::<Option<i16>>()?.and_then(|flags| u8::try_from(flags).ok());
    if let (Some(trace), Some(span), Some(flags)) = (trace, span, flags) {
        let trace = Trace::new(trace.into_bytes(), span, flags);
        context.trace = trace.map(|trace| trace.to_message());
    }
    Ok(Some(context).filter(|context| *context != PaymentContext::default()))
}

/// Reads the columns [`ACCOUNT`].
pub(super) fn account(row: &Row) -> Result<AccountView, ReadError> {
    let mut fields = Fields::of(row);
    let (id, owner) = (AccountId(fields.id()?), OwnerId(fields.id()?));
    let ledger = LedgerId(fields.number()?);
    let code = u16::try_from(fields.take::<i32>()?).map_err(|_| ReadError::Damaged)?;
    let tenant = fields.number()?;
    let flags = u8::try_from(fields.take::<i16>()?).map_err(|_| ReadError::Damaged)?;
    let state = fields.word(&ACCOUNT_STATES)?;
    let spec = AccountSpec {
        id,
        ledger,
        code: Code(code),
        tenant,
        owner,
        flags: AccountFlags(flags),
        credit_limit: Amount(fields.minor()?),
        defect: None,
    };
    let opened_at = seq_of(fields.take()?).ok_or(ReadError::Damaged)?;
    let opened_time = fields.time()?;
    let balances_at = seq_of(fields.take()?).ok_or(ReadError::Damaged)?;
    let account = Account { spec, state, balances: fields.balances()? };
    Ok(AccountView { account, opened_at, opened_time, balances_at })
}
