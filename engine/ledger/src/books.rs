//! The books: all that posting changes, in one hand, so that resolving can go on beside it.

use std::collections::BTreeSet;

use crate::{
    Balances, EventSeq, PaymentId, RiskDecision, StoredPayment, Timestamp, Verdict,
    book::AccountBook, recent::Recent,
};

/// When which open hold expires, earliest first, and among equals in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expiry {
    pub(crate) at: Timestamp,
    seq: EventSeq,
    pub(crate) hold: PaymentId,
}

impl Expiry {
    /// `None` for one without a time-out.
    pub(crate) fn of(hold: &StoredPayment) -> Option<Self> {
        let (at, seq) = (hold.expires_at, hold.seq);
        (at > Timestamp(0)).then_some(Self { at, seq, hold: hold.id })
    }
}

/// Accounts, recent payments, open holds, and the sequence.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) accounts: AccountBook,
    pub(crate) recent: Recent,
    /// Of open holds only. A tree grows and shrinks without a pause.
    pub(crate) expiries: BTreeSet<Expiry>,
    /// Every verdict that was given, once: not judged, approved, and then one per rule.
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) last_seq: EventSeq,
    pub(crate) time: Timestamp,
    /// Time of the batch with the last event: batches without any are not journaled.
    pub(crate) event_time: Timestamp,
    /// Sum of the digests of payments in closed generations that the ledger has let go, less those
    /// that were brought back.
    pub(crate) past_digest: u128,
    /// Ids that were taken.
    pub(crate) payments_taken: u64,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            accounts: AccountBook::default(),
            recent: Recent::default(),
            expiries: BTreeSet::new(),
            verdicts: vec![Verdict::default(), Verdict::APPROVE],
            last_seq: EventSeq(0),
            time: Timestamp(0),
            event_time: Timestamp(0),
            past_digest: 0,
            payments_taken: 0,
        }
    }

    #[inline]
    pub(crate) fn take_seq(&mut self) -> EventSeq {
        self.last_seq = self.last_seq.next();
        self.event_time = self.time;
        self.last_seq
    }

    pub(crate) fn balances_of(&self, debit: u32, credit: u32) -> [Balances; 2] {
        [debit, credit].map(|slot| self.accounts.balances(slot))
    }

    pub(crate) fn verdict(&self, place: u16) -> Verdict {
        self.verdicts[usize::from(place)]
    }

    /// The place of a verdict. Rules are few; of more than 65,000, the last go by the name of another.
    #[inline]
    pub(crate) fn verdict_place(&mut self, verdict: Verdict) -> u16 {
        match verdict.decision {
            RiskDecision::NotJudged => return 0,
            RiskDecision::Approve => return 1,
            RiskDecision::Review | RiskDecision::Decline | RiskDecision::Challenge => {}
        }
        let verdict = Verdict { hold_s: 0, ..verdict };
        let place = |same: &dyn Fn(&Verdict) -> bool| self.verdicts.iter().position(same);
        let known = place(&|known| *known == verdict);
        let known = known.or_else(|| match self.verdicts.len() > usize::from(u16::MAX) {
            true => place(&|known| known.decision == verdict.decision),
            false => None,
        });
        let place = known.unwrap_or_else(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        u16::try_from(place).unwrap_or(0)
    }
}
