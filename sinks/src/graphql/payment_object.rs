//! A payment that queries see: turns a view of the store into a GraphQL object.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject};
use millrace_ledger::{AccountId, Amount, Operation as LedgerOperation, PaymentId, Status};
use millrace_protos::{Trace, v1};
use uuid::Uuid;

use super::{
    account_object::Account,
    audit_object::{self, AuditEntry},
    connection::Connection,
    enums::{Channel, HoldState, Operation, PaymentFlag, PaymentStatus, RiskDecision},
    lists,
    money::{Balances, Money},
    notification_object::{self, Notification},
    paging::{Paging, page_complexity},
    read::PaymentView,
    reader::Reader,
    review_object::{self, Review},
    risk_object::RiskExplanation,
    row::PaymentState,
};
use crate::text::rfc3339;

/// What surrounds a payment. All of it is optional.
#[derive(SimpleObject)]
pub(super) struct PaymentContext {
    /// How it was made.
    channel: Channel,
    /// The payer's device.
    device_id: Option<String>,
    /// IPv4 or IPv6.
    ip_address: Option<String>,
    /// ISO 3166-1 alpha-2.
    country_code: Option<String>,
    /// ISO 18245.
    merchant_category_code: Option<String>,
    /// Text for people.
    reference: Option<String>,
    /// When it happened at its origin. RFC 3339, UTC.
    event_time: Option<String>,
    /// What the upstream added of its own, in the order in which it was sent.
    other: Vec<ContextValue>,
    /// The trace in which it was made, as in the header of that name; null where the upstream sent
    /// none. https://www.w3.org/TR/trace-context/
    traceparent: Option<String>,
}

/// A value of the upstream's own.
#[derive(SimpleObject)]
pub(super) struct ContextValue {
    /// What it is called.
    key: String,
    /// What it is.
    value: String,
}

impl PaymentContext {
    fn new(context: &v1::PaymentContext) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let event_time = context
            .event_time
            .as_ref()
            .and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
        Self {
            channel: context.channel().into(),
            device_id: text(&context.device_id),
            ip_address: text(&context.ip_address),
            country_code: text(&context.country_code),
            merchant_category_code: text(&context.merchant_category_code),
            reference: text(&context.reference),
            event_time: event_time.map(|time| time.to_string()),
            other: context.other.iter().map(ContextValue::new).collect(),
            traceparent: trace_of(context).map(|trace| trace.to_string()),
        }
    }
}

fn trace_of(context: &v1::PaymentContext) -> Option<Trace> {
    Trace::of_message(context.trace.as_ref()?)
}

impl ContextValue {
    fn new(other: &v1::ContextValue) -> Self {
        Self { key: other.key.clone(), value: other.value.clone() }
    }
}

pub(super) struct Payment(pub(super) Arc<PaymentView>);

/// A payment, accepted or refused, as it stands.
#[Object]
impl Payment {
    /// The id that the upstream gave it.
    async fn id(&self) -> Uuid {
        Uuid::from_u128(self.0.event.payment.id.0)
    }

    /// Position in the journal, as decimal text.
    pub(super) async fn seq(&self) -> String {
        self.0.event.seq.to_string()
    }

    /// Time of its batch. RFC 3339, UTC.
    pub(super) async fn time(&self) -> String {
        rfc3339(self.0.time)
    }

    /// What it does.
    async fn operation(&self) -> Operation {
        self.0.event.payment.operation.into()
    }

    /// What became of it.
    async fn status(&self) -> PaymentStatus {
        self.0.event.outcome.status.into()
    }

    /// Why it was refused, as in millrace.v1.RejectReason without the prefix.
    async fn reject_reason(&self) -> Option<String> {
        match self.0.event.outcome.status {
            Status::Rejected(reason) => Some(reason.upper_snake_name()),
            _ => None,
        }
    }

    /// What moved, was reserved, or was released. Zero when refused.
    async fn amount(&self) -> Money {
        self.money(self.0.event.outcome.amount.0)
    }

    /// What was asked for; null for "all that is left".
    async fn requested_amount(&self) -> Option<Money> {
        let requested = self.0.event.payment.amount;
        (requested != Amount::ALL).then(|| self.money(requested.0))
    }

    /// Id of the account that pays; null where a refused payment does not name it.
    async fn debit_account_id(&self) -> Option<Uuid> {
        uuid(self.0.event.payment.debit.0)
    }

    /// Id of the account that receives; null where a refused payment does not name it.
    async fn credit_account_id(&self) -> Option<Uuid> {
        uuid(self.0.event.payment.credit.0)
    }

    /// The account that pays, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn debit_account(&self, ctx: &Context<'_>) -> Result<Option<Account>> {
        account(ctx, self.0.event.payment.debit).await
    }

    /// The account that receives, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn credit_account(&self, ctx: &Context<'_>) -> Result<Option<Account>> {
        account(ctx, self.0.event.payment.credit).await
    }

    /// Balances of the paying account right after this payment.
    async fn debit_balances(&self) -> Option<Balances> {
        self.balances(0)
    }

    /// Balances of the receiving account right after this payment.
    async fn credit_balances(&self) -> Option<Balances> {
        self.balances(1)
    }

    /// Id of the hold or payment that it refers to.
    async fn original_id(&self) -> Option<Uuid> {
        uuid(self.0.event.payment.original.0)
    }

    /// The hold or payment that it refers to, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn original(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        payment(ctx, self.0.event.payment.original).await
    }

    /// Every payment, accepted or refused, that names this one: captures, voids and refunds, oldest
    /// first.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn follow_ups(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the oldest; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what is newer.")] after: Option<String>,
        #[graphql(desc = "At most so many from the newest, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what is older.")] before: Option<String>,
    ) -> Result<Connection<Payment>> {
        let page = Paging { first, after, last, before };
        lists::follow_ups(ctx, self.0.event.payment.id, page).await
    }

    /// Refunds of it that were accepted, oldest first; at most the first 200.
    #[graphql(complexity = "page_complexity(Some(200), None, child_complexity)")]
    async fn refunds(&self, ctx: &Context<'_>) -> Result<Vec<Payment>> {
        lists::refunds(ctx, self.0.event.payment.id).await
    }

    /// Where its hold is; null when it is no hold.
    async fn hold_state(&self) -> Option<HoldState> {
        HoldState::of(self.0.state?.state)
    }

    /// What is left to capture (a hold) or to refund (a settled payment).
    async fn remaining_amount(&self) -> Option<Money> {
        let state = self.0.state.filter(|_| self.0.event.outcome.is_accepted())?;
        Some(self.money(state.left))
    }

    /// What captures took of this hold; null when it is no hold.
    async fn captured_amount(&self) -> Option<Money> {
        let state =
            self.0.state.filter(|state| state.state as u8 >= PaymentState::HoldOpen as u8)?;
        Some(self.money(state.amount - state.left - state.released))
    }

    /// What refunds paid back of this payment; null when it can't be refunded.
    async fn refunded_amount(&self) -> Option<Money> {
        let settled = self.0.state.filter(|state| state.state == PaymentState::Settled)?;
        let refundable = self.0.event.payment.operation != LedgerOperation::Refund;
        refundable.then(|| self.money(settled.amount - settled.left))
    }

    /// The ledger: the currency's ISO 4217 number.
    async fn ledger(&self) -> u32 {
        self.0.event.payment.ledger.0
    }

    /// Why the money moves: a number of the caller's own.
    async fn code(&self) -> u16 {
        self.0.event.payment.code.0
    }

    /// How it behaves.
    async fn flags(&self) -> Vec<PaymentFlag> {
        PaymentFlag::of(self.0.event.payment.flags)
    }

    /// Seconds until the hold expires; null is never.
    async fn timeout_seconds(&self) -> Option<u32> {
        Some(self.0.event.payment.timeout_s).filter(|seconds| *seconds != 0)
    }

    /// What risk said.
    async fn risk_decision(&self) -> RiskDecision {
        self.0.event.verdict.decision.into()
    }

    /// The limit or rule that decided.
    async fn risk_rule(&self) -> Option<String> {
        let rule = self.0.event.verdict.rule;
        Some(rule.as_str().to_owned()).filter(|rule| !rule.is_empty())
    }

    /// What risk had to say, in numbers and in words; null where it said nothing.
    async fn risk_explanation(&self) -> Option<RiskExplanation> {
        let evidence = self.0.evidence.clone()?;
        Some(RiskExplanation { evidence, verdict: self.0.event.verdict })
    }

    /// Its review, open or resolved; null where risk held no money.
    #[graphql(complexity = "5 + child_complexity")]
    async fn review(&self, ctx: &Context<'_>) -> Result<Option<Review>> {
        review_object::review(ctx, self.0.event.payment.id).await
    }

    /// What owners were told of it, newest first.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it.")] before: Option<String>,
    ) -> Result<Connection<Notification>> {
        let page = Paging { first, after, last, before };
        notification_object::of_payment(ctx, self.0.event.payment.id, page).await
    }

    /// Entries of the audit log that name it, newest first.
    #[graphql(complexity = "page_complexity(first, last, child_complexity)")]
    async fn audit_entries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start; 50 unless told, at most 200.")]
        first: Option<i32>,
        #[graphql(desc = "A cursor: only what comes after it.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, at most 200.")] last: Option<i32>,
        #[graphql(desc = "A cursor: only what comes before it.")] before: Option<String>,
    ) -> Result<Connection<AuditEntry>> {
        let page = Paging { first, after, last, before };
        audit_object::of_payment(ctx, self.0.event.payment.id, page).await
    }

    /// Id of the trace in which it was made, 32 hexadecimal digits; null where the upstream sent none.
    async fn trace_id(&self) -> Option<String> {
        Some(trace_of(self.0.context.as_ref()?)?.trace_id_text())
    }

    /// What surrounds it.
    async fn context(&self) -> Option<PaymentContext> {
        self.0.context.as_ref().map(PaymentContext::new)
    }
}

impl Payment {
    fn money(&self, minor: u128) -> Money {
        Money::new(self.0.event.payment.ledger, minor)
    }

    fn balances(&self, side: usize) -> Option<Balances> {
        let balances = self.0.event.balances?;
        Some(Balances::new(self.0.event.payment.ledger, &balances[side]))
    }
}

/// The payment with this id, as it stands.
pub(super) async fn payment(ctx: &Context<'_>, id: PaymentId) -> Result<Option<Payment>> {
    Ok(Reader::of(ctx)?.payment(id).await?.map(Payment))
}

/// The account with this id, as it stands.
pub(super) async fn account(ctx: &Context<'_>, id: AccountId) -> Result<Option<Account>> {
    Ok(Reader::of(ctx)?.account(id).await?.map(Account))
}

/// Zero is no id.
pub(super) fn uuid(id: u128) -> Option<Uuid> {
    (id != 0).then(|| Uuid::from_u128(id))
}
