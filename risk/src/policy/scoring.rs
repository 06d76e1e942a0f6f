//! Scoring: consumes blocks of attempts in sequence order, produces for each what the policy in force
//! says, with its evidence.
//!
//! Features are read and counted in order: of each entity by one thread, which owns it. Rules and models
//! look at finished rows only, so rows are dealt out to as many threads as there are; one thread alone
//! takes chunk after chunk through both, while the rows are in its cache. What comes out never depends on how
//! payments were cut into blocks, or on the number of threads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_ledger::{AccountId, Block, Contexts, Payment, Timestamp, Verdict};

pub(super) use super::rows::Deciding;
use super::{
    attempt::{self, OneContext, Reader},
    rows::{CHUNK_ROWS, Rows},
    said::{Drafts, Said},
};
use crate::{
    acts::LabelAct,
    features::{Attempt, EntityKey, Label, Profiles},
};

/// Scores attempts, and remembers what it said of those of the request that is being decided.
#[derive(Clone, Debug)]
pub(super) struct Scoring {
    pub(super) profiles: Profiles,
    reader: Reader,
    threads: Option<Arc<rayon::ThreadPool>>,
    /// Those that read and count features, if that is more than one.
    shards: Option<Arc<rayon::ThreadPool>>,
    said: Said,
    pub(super) spent: Duration,
    columns: usize,
    /// Kept for their memory, which would else be given back and asked for with every request: of the
    /// attempts that were looked at last, where they are in the request, the keys of their entities,
    /// their rows, and what was made of them.
    positions: Vec<u32>,
    keys: Vec<EntityKey>,
    rows: Vec<f32>,
    drafts: Vec<Drafts>,
}

impl Scoring {
    pub(super) fn new(profiles: Profiles, threads: usize, shards: usize) -> Self {
        let pool = |threads: usize, name: &'static str| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let named = builder.thread_name(move |number| format!("{name}-{number}"));
            if threads > 1 { named.build().ok().map(Arc::new) } else { None }
        };
        Self {
            reader: Reader::new(profiles.catalogue()),
            columns: profiles.catalogue().len(),
            profiles,
            threads: pool(threads, "score"),
            shards: pool(shards, "shard"),
            said: Said::default(),
            spent: Duration::ZERO,
            positions: Vec::new(),
            keys: Vec::new(),
            rows: Vec::new(),
            drafts: Vec::new(),
        }
    }

    pub(super) fn begin_request(&mut self, payments: usize) {
        self.said.begin_request(payments);
        self.spent = Duration::ZERO;
    }

    /// The verdict on the attempt in this place of the request, unless it is approved.
    #[inline]
    pub(super) fn stopped(&self, position: u32) -> Option<Verdict> {
        self.said.stopped(position)
    }

    #[inline]
    pub(super) fn evidence(&self, position: u32) -> &[u8] {
        self.said.evidence(position)
    }

    /// The verdict on this attempt stands: if a rule made it, its reason belongs to the evidence.
    pub(super) fn verdict_stands(&mut self, position: u32) {
        self.said.verdict_stands(position);
    }

    /// Reads and counts the features of attempts: makes their rows.
    fn observe(
        &mut self,
        payments: &[Payment],
        positions: &[u32],
        contexts: &dyn Contexts,
        at: Timestamp,
    ) {
        let Self { reader, keys, rows, profiles, columns, shards, .. } = self;
        reader.keys_of(payments, positions, contexts, keys);
        let entities = reader.entities();
        let attempt = |(number, position): (usize, &u32)| {
            let payment = &payments[*position as usize];
            Attempt {
                at: attempt::time_of(payment, at),
                amount: reader.amount(payment.ledger, payment.amount),
                entities: &keys[number * entities..(number + 1) * entities],
            }
        };
        let attempts: Vec<_> = positions.iter().enumerate().map(attempt).collect();
        // What is in them does not matter: every column is written.
        rows.resize(attempts.len() * *columns, 0.0);
        match shards.as_deref() {
            Some(pool) => profiles.observe_block_on(pool, &attempts, rows),
            None => profiles.observe_block(&attempts, rows),
        }
    }

    /// Counts an attempt of an earlier life.
    pub(super) fn attempted(&mut self, payment: &Payment, context: &[u8], at: Timestamp) {
        self.observe(std::slice::from_ref(payment), &[0], &OneContext(context), at);
    }

    /// Looks at a block of attempts, and returns how many of them there was no time for.
    pub(super) fn look_ahead(
        &mut self,
        block: &Block<'_>,
        is_exempt: impl Fn(&Payment) -> bool,
        deciding: Option<Deciding<'_>>,
    ) -> u64 {
        let mut positions = std::mem::take(&mut self.positions);
        positions.clear();
        let attempts = block.positions.iter().copied();
        positions.extend(attempts.filter(|it| !is_exempt(&block.payments[*it as usize])));
        let alone = self.threads.is_none() && self.shards.is_none();
        let at_once = if alone { CHUNK_ROWS } else { positions.len().max(1) };
        let mut fell_back = 0;
        for positions in positions.chunks(at_once) {
            self.observe(block.payments, positions, block.contexts, block.at);
            if let Some(deciding) = deciding {
                fell_back += self.score(block, positions, deciding);
            }
        }
        self.positions = positions;
        fell_back
    }

    /// Scores the rows of these attempts, which are those that were observed last.
    fn score(&mut self, block: &Block<'_>, positions: &[u32], deciding: Deciding<'_>) -> u64 {
        let began = Instant::now();
        let budget = match deciding.policy.document.budget.request_ms {
            0 => None,
            ms => Some(Duration::from_millis(ms.into()).saturating_sub(self.spent)),
        };
        let chunks = positions.chunks(CHUNK_ROWS);
        self.drafts.resize_with(self.drafts.len().max(chunks.len()), Drafts::default);
        let drafts = &mut self.drafts[..chunks.len()];
        let rows = Rows { block, positions, values: &self.rows, columns: self.columns };
        rows.score(deciding, self.threads.as_deref(), drafts, &|| {
            budget.is_none_or(|budget| began.elapsed() < budget)
        });
        self.spent += began.elapsed();
        for (positions, drafts) in chunks.zip(&mut *drafts) {
            self.said.take(positions, drafts);
        }
        drafts.iter().map(|drafts| drafts.fell_back).sum()
    }

    /// Counts what became known of a payment.
    pub(super) fn label(&mut self, label: &LabelAct, at: Timestamp) {
        let context = from_hex(&label.context).unwrap_or_default();
        let (payer, payee) = (label.payer.as_u128(), label.payee.as_u128());
        let paid =
            Payment { debit: AccountId(payer), credit: AccountId(payee), ..Payment::default() };
        let mut keys = Vec::new();
        self.reader.keys_of(&[paid], &[0], &OneContext(&context), &mut keys);
        let ledger = millrace_ledger::LedgerId(label.ledger);
        let amount = millrace_ledger::Amount(label.amount_minor.into());
        let amount = self.reader.amount(ledger, amount);
        let paid_at = Timestamp(label.paid_at_ns).min(at);
        let (at, fraud, takes_back) = (label.known_at(at), label.fraud, label.takes_back);
        let entities = &keys;
        self.profiles.label(&Label { at, paid_at, amount, entities, fraud, takes_back });
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
