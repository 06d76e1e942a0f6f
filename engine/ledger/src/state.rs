//! The ledger's state: accounts, payments, open holds, and what it answers about them.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    Account, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances, Code, EventSeq,
    HoldExpired, LedgerId, Operation, Outcome, OwnerId, Payment, PaymentFlags, PaymentId,
    RejectReason, RiskDecision, Status, Timestamp, Verdict,
    index::{IdIndex, Spread},
    store::Store,
};

/// No slot: the payment has no original.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What every payment on an account touches, together in two cache lines.
#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) id: AccountId,
    pub(crate) balances: Balances,
    pub(crate) credit_limit: u128,
    pub(crate) ledger: LedgerId,
    pub(crate) totals_slot: u32,
    pub(crate) code: Code,
    pub(crate) flags: AccountFlags,
    pub(crate) state: AccountState,
}

/// What only reads of an account touch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountOrigin {
    pub(crate) owner: OwnerId,
    pub(crate) tenant: u32,
}

/// Where a remembered payment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Posted; `left` can be refunded.
    Settled,
    /// Held; `left` can be captured.
    HoldOpen,
    HoldCaptured,
    HoldVoided,
    HoldExpired,
    /// A void: it released a hold.
    Released,
    /// Refused for a reason that burns the id.
    Refused(RejectReason),
}

/// A payment whose id is taken. There is one of these for each: 112 bytes.
#[derive(Clone, Debug)]
pub(crate) struct StoredPayment {
    pub(crate) id: PaymentId,
    /// As asked, for comparison with a reuse of the id.
    pub(crate) amount: Amount,
    /// As moved, held or released.
    pub(crate) applied: u128,
    /// Left to capture or to refund.
    pub(crate) left: u128,
    pub(crate) seq: EventSeq,
    /// Zero for never.
    pub(crate) expires_at: Timestamp,
    pub(crate) context_digest: u64,
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) original: u32,
    pub(crate) timeout_s: u32,
    pub(crate) code: Code,
    pub(crate) operation: Operation,
    pub(crate) flags: PaymentFlags,
    pub(crate) stage: Stage,
    /// Place in [`Ledger::verdicts`].
    pub(crate) verdict: u16,
}

const _: () = assert!(size_of::<StoredPayment>() == 112, "memory per remembered payment");

/// Sums over all accounts of one ledger, kept per side and compared after every batch. They wrap:
/// equality is all that is asked of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// The currency.
    pub ledger: LedgerId,
    /// Sums of the four counters.
    pub sums: Balances,
}

impl LedgerTotals {
    /// Whether debits equal credits, pending and posted.
    #[must_use]
    pub fn conserved(&self) -> bool {
        self.sums.debits_pending == self.sums.credits_pending
            && self.sums.debits_posted == self.sums.credits_posted
    }
}

/// Where a hold is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// Something is left to capture.
    Open,
    /// All of it was captured.
    Captured,
    /// What was left was released.
    Voided,
    /// What was left was released when the time-out passed.
    Expired,
}

/// A remembered payment, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentView {
    /// The payment, without its context.
    pub payment: Payment,
    /// Its first outcome.
    pub outcome: Outcome,
    /// What risk said.
    pub verdict: Verdict,
    /// Position of its event.
    pub seq: EventSeq,
    /// Where it is in its life, if it is a hold.
    pub hold: Option<HoldState>,
    /// Minor units left to capture or to refund.
    pub left: Amount,
}

/// The double-entry ledger. See the crate's documentation for what it guarantees.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) accounts: Vec<AccountRow>,
    pub(crate) origins: Vec<AccountOrigin>,
    pub(crate) account_index: IdIndex,
    pub(crate) payments: Store<StoredPayment>,
    pub(crate) payment_index: IdIndex,
    /// When to look at which hold. Entries of holds that ended otherwise stay until they are due.
    pub(crate) expiries: BinaryHeap<Reverse<(Timestamp, u32)>>,
    pub(crate) totals: Vec<LedgerTotals>,
    /// Every verdict that was given, once: not judged, approved, and then one per rule.
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) last_seq: EventSeq,
    pub(crate) time: Timestamp,
}

impl Ledger {
    /// An empty ledger. The seed decides where ids are kept in memory, and nothing else.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self {
            accounts: Vec::new(),
            origins: Vec::new(),
            account_index: IdIndex::new(hash_seed, Spread::Evenly),
            payments: Store::new(),
            payment_index: IdIndex::new(hash_seed.rotate_left(32), Spread::ByTime),
            expiries: BinaryHeap::new(),
            totals: Vec::new(),
            verdicts: vec![Verdict::default(), Verdict::APPROVE],
            last_seq: EventSeq(0),
            time: Timestamp(0),
        }
    }

    /// Position of the last event; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> EventSeq {
        self.last_seq
    }

    /// Time of the batch that was begun last.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Number of accounts.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// Number of payment ids that are taken.
    #[must_use]
    pub fn payment_count(&self) -> usize {
        self.payments.len()
    }

    /// The account as it stands.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Account> {
        self.account_slot(id).map(|slot| self.account_at(slot))
    }

    /// What is known of a payment whose id is taken.
    #[must_use]
    pub fn payment(&self, id: PaymentId) -> Option<PaymentView> {
        let stored = self.payments.get(self.payment_slot(id)?);
        let account = |slot: u32| match slot {
            NO_SLOT => (AccountId::ZERO, LedgerId(0)),
            slot => (self.accounts[slot as usize].id, self.accounts[slot as usize].ledger),
        };
        let ((debit, ledger), (credit, _)) = (account(stored.debit), account(stored.credit));
        let original = match stored.original {
            NO_SLOT => PaymentId::ZERO,
            slot => self.payments.get(slot).id,
        };
        Some(PaymentView {
            payment: Payment {
                id,
                debit,
                credit,
                original,
                amount: stored.amount,
                ledger,
                code: stored.code,
                operation: stored.operation,
                flags: stored.flags,
                timeout_s: stored.timeout_s,
                ..Payment::default()
            },
            outcome: stored.outcome(),
            verdict: self.verdict_of(stored),
            seq: stored.seq,
            hold: match stored.stage {
                Stage::HoldOpen => Some(HoldState::Open),
                Stage::HoldCaptured => Some(HoldState::Captured),
                Stage::HoldVoided => Some(HoldState::Voided),
                Stage::HoldExpired => Some(HoldState::Expired),
                Stage::Settled | Stage::Released | Stage::Refused(_) => None,
            },
            left: Amount(stored.left),
        })
    }

    /// Sums over all accounts, one entry per ledger in the order of their first account.
    #[must_use]
    pub fn totals(&self) -> &[LedgerTotals] {
        &self.totals
    }

    /// When the next hold may expire. Never later than the true moment.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.peek().map(|Reverse((at, _))| *at)
    }

    /// Begins a batch: sets its time and expires the holds that are due, in the order of their
    /// time-outs.
    ///
    /// # Panics
    /// If time goes backwards.
    pub fn begin_batch(&mut self, time: Timestamp, expired: &mut Vec<HoldExpired>) {
        self.begin_batch_within(time, usize::MAX, expired);
    }

    /// Begins a batch as [`Self::begin_batch`] does, expiring at most so many holds. While
    /// [`Self::next_expiry`] is not after the batch's time, others are due: nothing may be decided
    /// in this batch then.
    ///
    /// # Panics
    /// If time goes backwards.
    pub fn begin_batch_within(
        &mut self,
        time: Timestamp,
        holds_max: usize,
        expired: &mut Vec<HoldExpired>,
    ) {
        assert!(time >= self.time, "batch time went back from {:?} to {time:?}", self.time);
        self.time = time;
        while expired.len() < holds_max
            && let Some(&Reverse((due, slot))) = self.expiries.peek()
            && due <= time
        {
            self.expiries.pop();
            // A rolled-back group member's slot may serve another hold by now.
            let hold = self.payments.get(slot);
            if hold.stage == Stage::HoldOpen && hold.expires_at == due {
                expired.push(self.expire(slot));
            }
        }
    }

    /// Ends a batch.
    ///
    /// # Panics
    /// If money was made or lost, which no input can do.
    pub fn end_batch(&self) {
        for totals in &self.totals {
            assert!(totals.conserved(), "money is not conserved: {totals:?}");
        }
    }

    /// BLAKE3 over accounts, payments and sequence: equal for equal histories.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut put = |number: u128| {
            hasher.update(&number.to_le_bytes());
        };
        for (row, origin) in self.accounts.iter().zip(&self.origins) {
            let Balances { debits_pending, debits_posted, credits_pending, credits_posted } =
                row.balances;
            [row.id.0, debits_pending, debits_posted, credits_pending, credits_posted]
                .into_iter()
                .chain([row.credit_limit, row.ledger.0.into(), row.code.0.into()])
                .chain([row.flags.0.into(), row.state as u128])
                .chain([origin.owner.0, origin.tenant.into()])
                .for_each(&mut put);
        }
        for stored in self.payments.iter() {
            let stage = match stored.stage {
                Stage::Settled => 1,
                Stage::HoldOpen => 2,
                Stage::HoldCaptured => 3,
                Stage::HoldVoided => 4,
                Stage::HoldExpired => 5,
                Stage::Released => 6,
                Stage::Refused(reason) => 0x100 + reason as u128,
            };
            [stored.id.0, stored.amount.0, stored.applied, stored.left, stage]
                .into_iter()
                .chain([stored.seq.0.into(), stored.expires_at.0.into()])
                .chain([stored.debit, stored.credit, stored.original].map(u128::from))
                .chain([stored.timeout_s.into(), stored.code.0.into()])
                .chain([stored.operation as u128, stored.flags.0.into()])
                .for_each(&mut put);
        }
        put(self.last_seq.0.into());
        *hasher.finalize().as_bytes()
    }

    /// The verdict of a remembered payment.
    pub(crate) fn verdict_of(&self, stored: &StoredPayment) -> Verdict {
        self.verdicts[usize::from(stored.verdict)]
    }

    /// The place of a verdict. Rules are few; of more than 65,000, the last go unnamed.
    pub(crate) fn verdict_place(&mut self, verdict: Verdict) -> u16 {
        match verdict.decision {
            RiskDecision::NotJudged => return 0,
            RiskDecision::Approve => return 1,
            RiskDecision::Review | RiskDecision::Decline => {}
        }
        let known = self.verdicts.iter().position(|known| *known == verdict);
        let place = known.unwrap_or_else(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        u16::try_from(place).unwrap_or(0)
    }

    pub(crate) fn take_seq(&mut self) -> EventSeq {
        self.last_seq = self.last_seq.next();
        self.last_seq
    }

    pub(crate) fn account_slot(&self, id: AccountId) -> Option<u32> {
        self.account_index.find(id.0, |slot| self.accounts[slot as usize].id.0)
    }

    pub(crate) fn payment_slot(&self, id: PaymentId) -> Option<u32> {
        self.payment_index.find(id.0, |slot| self.payments.get(slot).id.0)
    }

    pub(crate) fn account_at(&self, slot: u32) -> Account {
        let (row, origin) = (&self.accounts[slot as usize], self.origins[slot as usize]);
        Account {
            spec: AccountSpec {
                id: row.id,
                ledger: row.ledger,
                code: row.code,
                tenant: origin.tenant,
                owner: origin.owner,
                flags: row.flags,
                credit_limit: Amount(row.credit_limit),
                defect: None,
            },
            state: row.state,
            balances: row.balances,
        }
    }

    pub(crate) fn balances_of(&self, debit: u32, credit: u32) -> [Balances; 2] {
        [debit, credit].map(|slot| self.accounts[slot as usize].balances)
    }
}

impl StoredPayment {
    /// The first outcome, again.
    pub(crate) fn outcome(&self) -> Outcome {
        let status = match self.stage {
            Stage::Settled => Status::Settled,
            Stage::HoldOpen | Stage::HoldCaptured | Stage::HoldVoided | Stage::HoldExpired => {
                Status::Held
            }
            Stage::Released => Status::Voided,
            Stage::Refused(reason) => Status::Rejected(reason),
        };
        Outcome { status, amount: Amount(self.applied) }
    }
}
