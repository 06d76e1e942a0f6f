//! The books: all that posting changes, in one hand, so that resolving can go on beside it.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    Balances, EventSeq, PaymentId, RiskDecision, Timestamp, Verdict, book::AccountBook,
    recent::Recent,
};

/// When to look at which hold, earliest first, and among equals in the order of their making.
/// Entries of holds that ended otherwise stay until they are due or their generation is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expiry(Reverse<(Timestamp, EventSeq, PaymentId)>);

impl Expiry {
    pub(crate) fn new(at: Timestamp, seq: EventSeq, hold: PaymentId) -> Self {
        Self(Reverse((at, seq, hold)))
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.0.0.0
    }

    pub(crate) fn hold(&self) -> PaymentId {
        self.0.0.2
    }
}

/// Accounts, recent payments, open holds, and the sequence.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) accounts: AccountBook,
    pub(crate) recent: Recent,
    pub(crate) expiries: BinaryHeap<Expiry>,
    /// Every verdict that was given, once: not judged, approved, and then one per rule.
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) last_seq: EventSeq,
    pub(crate) time: Timestamp,
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
            expiries: BinaryHeap::new(),
            verdicts: vec![Verdict::default(), Verdict::APPROVE],
            last_seq: EventSeq(0),
            time: Timestamp(0),
            past_digest: 0,
            payments_taken: 0,
        }
    }

    #[inline]
    pub(crate) fn take_seq(&mut self) -> EventSeq {
        self.last_seq = self.last_seq.next();
        self.last_seq
    }

    /// Lets go of when to look at holds that ended, once these are the most. Where a generation was just
    /// closed, all open holds are carried: whatever else there is has ended.
    pub(crate) fn forget_ended_expiries(&mut self) {
        if self.expiries.len() <= 2 * self.recent.carried_count() {
            return;
        }
        let open = self.recent.carried().filter(|hold| hold.expires_at > Timestamp(0));
        self.expiries = open.map(|hold| Expiry::new(hold.expires_at, hold.seq, hold.id)).collect();
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
