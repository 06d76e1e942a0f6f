//! The ledger's state: how it begins, how batches and generations begin and end, and what it
//! answers about accounts.

use std::{collections::BTreeMap, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::{
    Account, AccountId, Amount, BalanceSums, Balances, EventSeq, Generation, History, HoldExpired,
    HoldMemory, LedgerId, NoHistory, Outcome, Payment, PaymentId, Stage, StoredPayment, Timestamp,
    Verdict,
    books::Books,
    findings::Findings,
    index::IdIndex,
    recent::{Place, Rows},
    shard::Shards,
};

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

/// How a ledger keeps what it knows. None of it has an influence on any outcome.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// Decides where ids are kept in memory.
    pub hash_seed: u64,
    /// Shards that ids are split over; at least 1.
    pub shards: usize,
    /// Bits of the hash by which accounts are found, at most 32. With fewer, ids are mistaken for
    /// each other, which must be noticed: for tests.
    pub account_hash_bits: u32,
    /// Payments after which a generation is full, 128 bytes and an index entry each. The open
    /// generation and those that were not let go yet are in memory.
    pub generation_payments_max: u32,
    /// What is known of payments that were let go.
    pub history: Arc<dyn History>,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            hash_seed: 0,
            shards: 1,
            account_hash_bits: 32,
            generation_payments_max: 1 << 19,
            history: Arc::new(NoHistory),
        }
    }
}

/// The double-entry ledger. See the crate's documentation for what it guarantees.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) shards: Shards,
    pub(crate) books: Books,
    pub(crate) findings: Findings,
    pub(crate) generation_payments_max: u32,
    pub(crate) generations_closed: u64,
    /// Memory of a generation that was let go.
    pub(crate) spare: Option<(Vec<IdIndex>, Rows)>,
    /// While recorded events are applied: ids of the linked group that is open.
    pub(crate) group_ids: HashSet<PaymentId, FixedState>,
}

impl Clone for Ledger {
    /// A copy that goes its own way. History is shared.
    fn clone(&self) -> Self {
        Self {
            shards: self.shards.clone(),
            books: self.books.clone(),
            // Scratch: it has no meaning outside of a request.
            findings: Findings::default(),
            generation_payments_max: self.generation_payments_max,
            generations_closed: self.generations_closed,
            spare: None,
            group_ids: HashSet::with_hasher(FixedState::with_seed(0)),
        }
    }
}

impl Ledger {
    /// An empty ledger with one shard. The seed decides where ids are kept in memory, and nothing
    /// else.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self::with_config(LedgerConfig { hash_seed, ..LedgerConfig::default() })
    }

    /// An empty ledger.
    #[must_use]
    pub fn with_config(config: LedgerConfig) -> Self {
        Self {
            shards: Shards::new(
                config.shards,
                config.hash_seed,
                config.account_hash_bits,
                config.history,
            ),
            books: Books::new(),
            findings: Findings::default(),
            generation_payments_max: config.generation_payments_max.max(1),
            generations_closed: 0,
            spare: None,
            group_ids: HashSet::with_hasher(FixedState::with_seed(0)),
        }
    }

    /// Position of the last event; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> EventSeq {
        self.books.last_seq
    }

    /// Time of the batch that was begun last.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.books.time
    }

    /// Number of accounts.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.books.accounts.len()
    }

    /// Number of payment ids that are taken.
    #[must_use]
    pub fn payment_count(&self) -> u64 {
        self.books.payments_taken
    }

    /// The account as it stands.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Account> {
        self.account_slot(id).map(|slot| self.books.accounts.account(slot))
    }

    /// The number of the account.
    pub(crate) fn account_slot(&self, id: AccountId) -> Option<u32> {
        self.books.accounts.confirmed(self.shards.account_candidate(id)?, id)
    }

    /// All accounts, in the order of their opening.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        (0..self.account_count() as u32).map(|slot| self.books.accounts.account(slot))
    }

    /// Sums over all accounts, by ledger, exact. Walks every account: for reports, not for payments.
    #[must_use]
    pub fn sums(&self) -> BTreeMap<LedgerId, BalanceSums> {
        self.books.accounts.sums()
    }

    /// Every verdict that a remembered payment may have, by its number.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.books.verdicts
    }

    /// When the next hold expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.books.expiries.first().map(|expiry| expiry.at)
    }

    /// Begins a batch: sets its time and expires the holds that are due, in the order of their
    /// time-outs.
    ///
    /// # Panics
    /// If time goes backwards.
    pub fn begin_batch(&mut self, time: Timestamp, expired: &mut Vec<HoldExpired>) {
        self.begin_batch_within(time, usize::MAX, expired);
    }

    /// The time for a batch that begins now: where more than `holds_max` holds are due, the last moment up
    /// to which no more are, so that a batch of this time can go on to decide payments. Where the first
    /// of them are more by themselves, their moment.
    #[must_use]
    pub fn batch_time(&self, now: Timestamp, holds_max: usize) -> Timestamp {
        let due = || self.books.expiries.iter().map(|expiry| expiry.at).take_while(|at| *at <= now);
        let Some(late) = due().nth(holds_max) else { return now };
        let before = due().take(holds_max).filter(|at| *at < late).last();
        before.unwrap_or(late).max(self.books.time)
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
        let books = &mut self.books;
        assert!(time >= books.time, "batch time went back from {:?} to {time:?}", books.time);
        books.time = time;
        while expired.len() < holds_max
            && let Some(expiry) = books.expiries.first()
            && expiry.at <= time
        {
            let id = expiry.hold;
            let place = match self.shards.row(id) {
                Some(first) => books.recent.generation.taker(first).map(Place::Row),
                None => books.recent.find_held(id),
            };
            expired.push(books.expire(place.expect("what has a time-out is a hold that is open")));
        }
    }

    /// Ends a batch: asserts that in every ledger, debits equal credits modulo 2^128.
    ///
    /// # Panics
    /// If money was made or lost, which no input can do.
    pub fn end_batch(&self) {
        for totals in self.books.accounts.totals() {
            assert!(totals.conserved(), "money is not conserved: {totals:?}");
        }
    }

    /// Whether the open generation has as many payments as it is meant to have.
    #[must_use]
    pub fn generation_is_full(&self) -> bool {
        self.books.recent.fill() >= self.generation_payments_max
    }

    /// Closes the open generation and begins the next one. Only between batches. `None` when it is
    /// empty.
    ///
    /// The closed one stays known until [`Self::let_go`] is told that history has it.
    pub fn close_generation(&mut self) -> Option<Arc<Generation>> {
        if self.books.recent.is_empty() {
            return None;
        }
        self.generations_closed += 1;
        let (ids, rows) = self.spare.take().unzip();
        let ids = self.shards.take_payments(ids);
        let (rows, holds_made) = self.books.recent.close(rows.unwrap_or_default());
        let number = self.generations_closed;
        let generation = Arc::new(Generation::new(number, self.shards.shard_of(), ids, rows));
        self.books.recent.carry_from(generation.clone(), holds_made);
        self.shards.past_mut().closed.push(generation.clone());
        Some(generation)
    }

    /// Carries on open holds of the generation that was closed last, where some are left: such a share of
    /// them as `payments` are of a generation, so that all is done when the next one is full. `false`
    /// when none is left. Only between batches; to be called after each with at least as many as it had.
    /// What is left when another generation is closed, or when that one is let go, is done at once.
    pub fn carry_on(&mut self, payments: usize) -> bool {
        self.books.recent.carry_share(payments, self.generation_payments_max)
    }

    /// Whether more open holds may be carried on than there is memory for.
    #[must_use]
    pub fn wants_hold_memory(&self) -> bool {
        self.books.recent.wants_hold_memory()
    }

    /// Gives memory for them. Without, the ledger takes some when it needs it.
    pub fn give_hold_memory(&mut self, memory: HoldMemory) {
        self.books.recent.give_hold_memory(memory);
    }

    /// Closed generations that were not let go, oldest first.
    #[must_use]
    pub fn closed_generations(&self) -> &[Arc<Generation>] {
        &self.shards.past().closed
    }

    /// Lets the oldest closed generation go: history has it now. `digest` is its
    /// [`Generation::digest`]. Its memory is used again, unless somebody else holds it still.
    pub fn let_go(&mut self, digest: u128) {
        let closed = &mut self.shards.past_mut().closed;
        if closed.len() == 1 {
            self.books.recent.carry_on(usize::MAX);
        }
        if !closed.is_empty() {
            self.books.past_digest = self.books.past_digest.wrapping_add(digest);
            self.spare = Arc::into_inner(closed.remove(0)).map(Generation::into_memory);
        }
    }

    /// BLAKE3 over accounts, payments and sequence: equal for equal histories, however they were
    /// split into batches, shards and generations.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        let recent = &self.books.recent;
        let in_closed = self.closed_generations().iter().map(|closed| closed.digest());
        let taken = recent.generation.rows.iter().filter(|it| it.stage != Stage::Vacant);
        let in_memory = taken.chain(recent.generation.newer.iter()).chain(recent.open_holds());
        let payments = in_closed
            .chain(in_memory.map(StoredPayment::digest))
            .fold(self.books.past_digest, u128::wrapping_add);
        state_hash(self.accounts(), payments, self.last_seq())
    }
}

/// The hash of a state: see [`Ledger::state_hash`]. `payments` is the sum of the digests of all
/// remembered payments.
pub(crate) fn state_hash(
    accounts: impl Iterator<Item = Account>,
    payments: u128,
    last_seq: EventSeq,
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut put = |number: u128| {
        hasher.update(&number.to_le_bytes());
    };
    for Account { spec, state, balances } in accounts {
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } = balances;
        [spec.id.0, debits_pending, debits_posted, credits_pending, credits_posted]
            .into_iter()
            .chain([spec.credit_limit.0, spec.ledger.0.into(), spec.code.0.into()])
            .chain([spec.flags.0.into(), state as u128])
            .chain([spec.owner.0, spec.tenant.into()])
            .for_each(&mut put);
    }
    put(payments);
    put(last_seq.0.into());
    *hasher.finalize().as_bytes()
}
