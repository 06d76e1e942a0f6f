//! A payment that queries see: turns a view of the store into a GraphQL object.

use async_graphql::{Context, Object, Result, SimpleObject};
use millrace_ledger::{Amount, Operation as LedgerOperation, PaymentId, Status};
use millrace_protos::v1;
use uuid::Uuid;

use super::{
    account_object::Account,
    enums::{Channel, HoldState, Operation, PaymentFlag, PaymentStatus, RiskDecision},
    money::{Balances, Money},
    read::PaymentView,
    row::PaymentState,
    schema,
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
        }
    }
}

pub(super) struct Payment(pub(super) PaymentView);

/// A payment, accepted or refused, as it stands.
#[Object]
impl Payment {
    /// The id that the upstream gave it.
    async fn id(&self) -> Uuid {
        Uuid::from_u128(self.0.event.payment.id.0)
    }

    /// Position in the journal, as decimal text.
    async fn seq(&self) -> String {
        self.0.event.seq.to_string()
    }

    /// Time of its batch. RFC 3339, UTC.
    async fn time(&self) -> String {
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
        schema::account(ctx, self.0.event.payment.debit).await
    }

    /// The account that receives, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn credit_account(&self, ctx: &Context<'_>) -> Result<Option<Account>> {
        schema::account(ctx, self.0.event.payment.credit).await
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
        match self.0.event.payment.original {
            PaymentId::ZERO => Ok(None),
            original => schema::payment(ctx, original).await,
        }
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

/// Zero is no id.
pub(super) fn uuid(id: u128) -> Option<Uuid> {
    (id != 0).then(|| Uuid::from_u128(id))
}
