//! What queries see: turns views of the store into GraphQL objects. Money leaves as text, exactly.

use async_graphql::{Context, Enum, Object, SimpleObject};
use millrace_ledger::{
    AccountFlags, AccountId, Amount, Balances as LedgerBalances, Currency, EventSeq, LedgerId,
    Operation as LedgerOperation, PaymentFlags, PaymentId, RiskDecision as LedgerRiskDecision,
    Status as LedgerStatus,
};
use millrace_protos::v1;
use uuid::Uuid;

use super::{
    read::{AccountView, LedgerConservation, PaymentView},
    row::PaymentState,
    schema::{self, PaymentConnection},
};
use crate::text::rfc3339;

/// An amount of money.
#[derive(SimpleObject)]
pub(super) struct Money {
    /// Minor units (haler, cent, yen), as decimal text: it may exceed what JSON numbers hold.
    minor: String,
    /// Decimal text with all digits of the currency.
    amount: String,
    /// Three letters of ISO 4217, or the ledger's number where ISO 4217 does not know it.
    currency: String,
}

impl Money {
    fn new(ledger: LedgerId, minor: u128) -> Self {
        let currency = Currency::of_ledger(ledger);
        Self {
            minor: minor.to_string(),
            amount: currency.map_or_else(|| minor.to_string(), |known| known.format(Amount(minor))),
            currency: currency.map_or_else(|| ledger.0.to_string(), |known| known.code.to_owned()),
        }
    }
}

/// The four counters of an account. Posted counters only grow.
#[derive(SimpleObject)]
pub(super) struct Balances {
    /// Debits that holds reserve.
    debits_pending: Money,
    /// Debits that happened.
    debits_posted: Money,
    /// Credits that holds announce. They are not yet funds.
    credits_pending: Money,
    /// Credits that happened.
    credits_posted: Money,
}

impl Balances {
    fn new(ledger: LedgerId, balances: &LedgerBalances) -> Self {
        Self {
            debits_pending: Money::new(ledger, balances.debits_pending),
            debits_posted: Money::new(ledger, balances.debits_posted),
            credits_pending: Money::new(ledger, balances.credits_pending),
            credits_posted: Money::new(ledger, balances.credits_posted),
        }
    }
}

/// What a payment does.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "LedgerOperation")]
pub(super) enum Operation {
    /// One debit and one credit, at once.
    Pay,
    /// Holds the amount until it is captured, voided, or its time-out passes.
    Authorize,
    /// Posts part or all of what a hold still holds.
    Capture,
    /// Releases all that a hold still holds.
    Void,
    /// Pays back part or all of a settled payment.
    Refund,
}

/// What became of a payment.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum PaymentStatus {
    /// The money moved.
    Settled,
    /// The money is reserved, or was: holdState says what became of the hold.
    Held,
    /// This payment released a hold.
    Voided,
    /// Nothing moved; rejectReason says why.
    Rejected,
}

/// Where a hold is in its life.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum HoldState {
    /// Something is left to capture.
    Open,
    /// All of it was captured.
    Captured,
    /// What was left was released on request.
    Voided,
    /// What was left was released by its time-out.
    Expired,
}

/// How a payment behaves.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum PaymentFlag {
    /// Succeeds or fails together with the next payment.
    Linked,
    /// Moves at most what the debit account has available.
    BalancingDebit,
    /// Moves at most what the credit account may still receive.
    BalancingCredit,
}

/// What risk said of a payment.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum RiskDecision {
    /// Not asked: the payment failed earlier, or its operation is not judged.
    NotJudged,
    /// Let it through.
    Approve,
    /// Hold the money until a person has looked.
    Review,
    /// Refuse it.
    Decline,
}

/// Where an account is in its life.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "millrace_ledger::AccountState")]
pub(super) enum AccountState {
    /// Everything its flags allow.
    Open,
    /// Holds can be voided and expire, refunds may come in; nothing else moves.
    Frozen,
    /// Nothing moves.
    Closed,
}

/// What an account may and may not do.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
pub(super) enum AccountFlag {
    /// Debits may not exceed credits plus the credit limit.
    DebitsMustNotExceedCredits,
    /// Credits may not exceed debits plus the credit limit.
    CreditsMustNotExceedDebits,
    /// Keeps its balance after every event.
    KeepsHistory,
}

/// How a payment was made.
#[derive(Clone, Copy, Enum, PartialEq, Eq)]
#[graphql(remote = "v1::Channel")]
pub(super) enum Channel {
    /// Not said.
    Unspecified,
    /// With a card at a terminal.
    CardPresent,
    /// With a card over the net or the phone.
    CardNotPresent,
    /// A transfer.
    Transfer,
    /// A standing order.
    StandingOrder,
    /// A direct debit.
    DirectDebit,
    /// Cash.
    Cash,
    /// Between accounts of the house.
    Internal,
}

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

/// A payment, accepted or refused, as it stands.
pub(super) struct Payment(pub(super) PaymentView);

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
        match self.0.event.outcome.status {
            LedgerStatus::Settled => PaymentStatus::Settled,
            LedgerStatus::Held => PaymentStatus::Held,
            LedgerStatus::Voided => PaymentStatus::Voided,
            LedgerStatus::Rejected(_) => PaymentStatus::Rejected,
        }
    }

    /// Why it was refused, as in millrace.v1.RejectReason without the prefix.
    async fn reject_reason(&self) -> Option<String> {
        match self.0.event.outcome.status {
            LedgerStatus::Rejected(reason) => Some(reason.upper_snake_name()),
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
    async fn debit_account(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Account>> {
        schema::account(ctx, self.0.event.payment.debit).await
    }

    /// The account that receives, as it stands now.
    #[graphql(complexity = "5 + child_complexity")]
    async fn credit_account(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Account>> {
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
    async fn original(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Payment>> {
        match self.0.event.payment.original {
            PaymentId::ZERO => Ok(None),
            original => schema::payment(ctx, original).await,
        }
    }

    /// Where its hold is; null when it is no hold.
    async fn hold_state(&self) -> Option<HoldState> {
        match self.0.state?.state {
            PaymentState::HoldOpen => Some(HoldState::Open),
            PaymentState::HoldCaptured => Some(HoldState::Captured),
            PaymentState::HoldVoided => Some(HoldState::Voided),
            PaymentState::HoldExpired => Some(HoldState::Expired),
            PaymentState::RefusedIdFree
            | PaymentState::Refused
            | PaymentState::Settled
            | PaymentState::Released => None,
        }
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
        let flags = self.0.event.payment.flags;
        [
            (PaymentFlags::LINKED, PaymentFlag::Linked),
            (PaymentFlags::BALANCING_DEBIT, PaymentFlag::BalancingDebit),
            (PaymentFlags::BALANCING_CREDIT, PaymentFlag::BalancingCredit),
        ]
        .into_iter()
        .filter_map(|(flag, name)| flags.has(flag).then_some(name))
        .collect()
    }

    /// Seconds until the hold expires; null is never.
    async fn timeout_seconds(&self) -> Option<u32> {
        Some(self.0.event.payment.timeout_s).filter(|seconds| *seconds != 0)
    }

    /// What risk said.
    async fn risk_decision(&self) -> RiskDecision {
        match self.0.event.verdict.decision {
            LedgerRiskDecision::NotJudged => RiskDecision::NotJudged,
            LedgerRiskDecision::Approve => RiskDecision::Approve,
            LedgerRiskDecision::Review => RiskDecision::Review,
            LedgerRiskDecision::Decline => RiskDecision::Decline,
        }
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

/// An account as it stands.
pub(super) struct Account(pub(super) AccountView);

#[Object]
impl Account {
    /// Its id.
    async fn id(&self) -> Uuid {
        Uuid::from_u128(self.0.account.spec.id.0)
    }

    /// The ledger: the currency's ISO 4217 number.
    async fn ledger(&self) -> u32 {
        self.0.account.spec.ledger.0
    }

    /// Three letters of ISO 4217; null where it does not know the ledger.
    async fn currency(&self) -> Option<&'static str> {
        Currency::of_ledger(self.0.account.spec.ledger).map(|currency| currency.code)
    }

    /// Place in the chart of accounts.
    async fn code(&self) -> u16 {
        self.0.account.spec.code.0
    }

    /// Whose account it is, in an installation that serves several.
    async fn tenant(&self) -> u32 {
        self.0.account.spec.tenant
    }

    /// Who owns it.
    async fn owner_id(&self) -> Option<Uuid> {
        uuid(self.0.account.spec.owner.0)
    }

    /// Where it is in its life.
    async fn state(&self) -> AccountState {
        self.0.account.state.into()
    }

    /// What it may and may not do.
    async fn flags(&self) -> Vec<AccountFlag> {
        let flags = self.0.account.spec.flags;
        [
            (AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, AccountFlag::DebitsMustNotExceedCredits),
            (AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, AccountFlag::CreditsMustNotExceedDebits),
            (AccountFlags::KEEPS_HISTORY, AccountFlag::KeepsHistory),
        ]
        .into_iter()
        .filter_map(|(flag, name)| flags.has(flag).then_some(name))
        .collect()
    }

    /// Overdraft allowed on the limited side.
    async fn credit_limit(&self) -> Money {
        Money::new(self.0.account.spec.ledger, self.0.account.spec.credit_limit.0)
    }

    /// Its four counters.
    async fn balances(&self) -> Balances {
        Balances::new(self.0.account.spec.ledger, &self.0.account.balances)
    }

    /// Position of the event after which the balances hold, as decimal text.
    async fn balances_at_seq(&self) -> String {
        self.0.balances_at.to_string()
    }

    /// Position of the event that opened it, as decimal text.
    async fn opened_at_seq(&self) -> String {
        self.0.opened_at.to_string()
    }

    /// When it was opened. RFC 3339, UTC.
    async fn opened_time(&self) -> String {
        rfc3339(self.0.opened_time)
    }

    /// Its payments, debits and credits, newest first.
    #[graphql(complexity = "schema::page_complexity(first, child_complexity)")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A cursor: only what is older.")] after: Option<String>,
        #[graphql(desc = "At most so many; 50 unless told, at most 200.")] first: Option<i32>,
    ) -> async_graphql::Result<PaymentConnection> {
        schema::payments(ctx, Some(self.0.account.spec.id), after, first).await
    }
}

/// How far the read model is.
#[derive(SimpleObject)]
pub(super) struct Status {
    /// Position of the last event that queries see, as decimal text; "0" when there is none.
    pub(super) applied_seq: String,
    /// Time of that event's batch. RFC 3339, UTC; null when there is none.
    pub(super) applied_time: Option<String>,
}

/// Sums over all accounts of a ledger.
#[derive(SimpleObject)]
pub(super) struct Conservation {
    /// The currency's ISO 4217 number.
    ledger: u32,
    /// Posted debits.
    debits_posted: Money,
    /// Posted credits.
    credits_posted: Money,
    /// Reserved debits.
    debits_pending: Money,
    /// Announced credits.
    credits_pending: Money,
    /// Whether debits equal credits, posted and pending.
    holds: bool,
}

impl From<LedgerConservation> for Conservation {
    fn from(sums: LedgerConservation) -> Self {
        Self {
            ledger: sums.ledger.0,
            debits_posted: Money::new(sums.ledger, sums.debits_posted),
            credits_posted: Money::new(sums.ledger, sums.credits_posted),
            debits_pending: Money::new(sums.ledger, sums.debits_pending),
            credits_pending: Money::new(sums.ledger, sums.credits_pending),
            holds: sums.holds(),
        }
    }
}

/// Zero is no id.
fn uuid(id: u128) -> Option<Uuid> {
    (id != 0).then(|| Uuid::from_u128(id))
}

/// The id that a query names.
pub(super) fn account_id(id: Uuid) -> AccountId {
    AccountId(id.as_u128())
}

/// The position that a payments cursor names.
pub(super) fn position(cursor: &str) -> Option<EventSeq> {
    cursor.parse().ok().map(EventSeq)
}
