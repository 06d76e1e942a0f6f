//! Rows of features under a policy: consumes chunks of finished rows, produces a draft for each.
//!
//! Rows know nothing of each other, so chunks can be given to any number of threads.

use millrace_ledger::{Block, Payment, RiskDecision, Timestamp, Verdict};
use rayon::prelude::*;
use uuid::{Uuid, fmt::Hyphenated};

use super::{
    attempt::{self, Context},
    compiled::{Compiled, TEXTS},
    hits::HitCounters,
    said::Drafts,
};
use crate::{
    evidence::{EVIDENCE_LEN_MAX, Evidence, REASONS_MAX, Reason},
    features::ENTITIES_MAX,
    model::{Link, Model},
    rules::{RuleCounts, RuleInput, RuleSet},
};

/// Rows that are scored in one go, by one thread: those of the default catalogue stay in the second
/// nearest cache.
pub(super) const CHUNK_ROWS: usize = 256;

/// Texts behind [`TEXTS`]: one for each kind of entity at most.
const OWN_KEYS_MAX: usize = ENTITIES_MAX;
/// What rules that look at no text see of texts.
static NO_TEXTS: [Option<&str>; TEXTS.len() + OWN_KEYS_MAX] = [None; TEXTS.len() + OWN_KEYS_MAX];

/// What decides about a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deciding<'a> {
    pub(super) policy: &'a Compiled,
    pub(super) number: u16,
    /// Of the policy's rules.
    pub(super) hits: &'a HitCounters,
}

/// Rows, and the attempts of a block that they are of.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) block: &'a Block<'a>,
    pub(super) positions: &'a [u32],
    /// As many for each attempt as there are columns.
    pub(super) values: &'a [f32],
    pub(super) columns: usize,
}

impl Rows<'_> {
    /// What the policy says of each row, chunk by chunk. Chunks that are begun when time is up fall back.
    pub(super) fn score(
        self,
        deciding: Deciding<'_>,
        threads: Option<&rayon::ThreadPool>,
        drafts: &mut [Drafts],
        in_time: &(dyn Fn() -> bool + Sync),
    ) {
        let score = |(number, drafts): (usize, &mut Drafts)| {
            let rows = self.chunk(number);
            drafts.clear();
            match in_time() {
                true => rows.score_chunk(deciding, drafts),
                false => rows.fall_back(deciding, drafts),
            }
        };
        match threads.filter(|_| drafts.len() > 1) {
            Some(pool) => pool.install(|| drafts.par_iter_mut().enumerate().for_each(score)),
            None => drafts.iter_mut().enumerate().for_each(score),
        }
    }

    fn chunk(self, number: usize) -> Self {
        let first = number * CHUNK_ROWS;
        let end = self.positions.len().min(first + CHUNK_ROWS);
        let values = &self.values[first * self.columns..end * self.columns];
        Self { positions: &self.positions[first..end], values, ..self }
    }

    fn fall_back(self, Deciding { policy, number, .. }: Deciding<'_>, drafts: &mut Drafts) {
        let evidence = Evidence { policy: number, fell_back: true, ..Evidence::default() };
        for _ in self.positions {
            match policy.fallback.decision {
                RiskDecision::Approve => drafts.approve(&evidence),
                _ => drafts.stop(policy.fallback, &evidence, String::new()),
            }
        }
        drafts.fell_back = self.positions.len() as u64;
    }

    fn score_chunk(self, Deciding { policy, number, hits }: Deciding<'_>, drafts: &mut Drafts) {
        let (columns, len) = (self.columns, self.positions.len());
        let mut scores = [0.0; CHUNK_ROWS];
        let mut challenger_scores = [0.0; CHUNK_ROWS];
        for (model, scores) in
            [(&policy.model, &mut scores), (&policy.challenger, &mut challenger_scores)]
        {
            if let Some(model) = model {
                model.score(self.values, &mut scores[..len]);
            }
        }
        let looks_at_texts = policy.looks_at_texts();
        let mut counts = policy.rules.as_ref().map(RuleSet::counts).unwrap_or_default();
        let mut with_score = vec![0.0; columns + 1];
        let rows = self.values.chunks_exact(columns).zip(self.positions);
        for (at, (row, position)) in rows.enumerate() {
            with_score[..columns].copy_from_slice(row);
            let score = policy.model.as_ref().map(|_| scores[at]);
            with_score[columns] = score.unwrap_or(f32::NAN);
            let seen = Seen {
                policy,
                block: self.block,
                position: *position as usize,
                row: &with_score,
                looks_at_texts,
            };
            let (verdict, rule) = seen.verdict(score, &mut counts);
            let challenger = policy.challenger.as_ref().map(|_| {
                let score = challenger_scores[at];
                (score, seen.of_score(score).decision as u8)
            });
            if let Some((_, decision)) = challenger {
                hits.challenger.add(verdict.decision, decision);
            }
            let mut evidence =
                Evidence { policy: number, score, challenger, ..Evidence::default() };
            if verdict.decision == RiskDecision::Approve {
                drafts.approve(&evidence);
                continue;
            }
            if let Some(model) = &policy.model {
                evidence.reasons = top_reasons(model, row);
            }
            let rule_reason = rule.map(|rule| seen.rule_reason(rule)).unwrap_or_default();
            drafts.stop(verdict, &evidence, rule_reason);
        }
        hits.add(&counts);
    }
}

/// One attempt with its row, before a policy.
struct Seen<'a> {
    policy: &'a Compiled,
    block: &'a Block<'a>,
    position: usize,
    /// Features, and the score behind them.
    row: &'a [f32],
    looks_at_texts: bool,
}

impl Seen<'_> {
    #[inline]
    fn verdict(&self, score: Option<f32>, counts: &mut RuleCounts) -> (Verdict, Option<u16>) {
        self.with_input(self.looks_at_texts, |input| self.policy.verdict(score, input, counts))
    }

    fn of_score(&self, score: f32) -> Verdict {
        self.with_input(self.looks_at_texts, |input| self.policy.of_score(score, input))
    }

    /// Why a rule holds. Its words may name texts that no condition looks at. Of a long one, more than
    /// evidence has room for, and not all that a payment's context may hold.
    fn rule_reason(&self, rule: u16) -> String {
        let Some(rules) = self.policy.rules.as_ref() else { return String::new() };
        let reason = self.with_input(true, |input| rules.reason(rule, input));
        match reason.len() <= EVIDENCE_LEN_MAX {
            true => reason,
            false => reason[..reason.floor_char_boundary(EVIDENCE_LEN_MAX)].to_owned(),
        }
    }

    #[inline]
    fn with_input<T>(&self, with_texts: bool, look: impl FnOnce(&RuleInput<'_>) -> T) -> T {
        let payment = &self.block.payments[self.position];
        let at = attempt::time_of(payment, self.block.at);
        if !with_texts {
            let texts = &NO_TEXTS[..TEXTS.len() + self.policy.own_keys.len()];
            return look(&RuleInput { row: self.row, texts, at });
        }
        self.with_texts(payment, at, look)
    }

    fn with_texts<T>(
        &self,
        payment: &Payment,
        at: Timestamp,
        look: impl FnOnce(&RuleInput<'_>) -> T,
    ) -> T {
        let own_keys = &self.policy.own_keys;
        let mut buffers = [[0; Hyphenated::LENGTH]; 2];
        let [payer, payee] = &mut buffers;
        let text = |id: u128, buffer| &*Uuid::from_u128(id).hyphenated().encode_lower(buffer);
        let (payer, payee) = (text(payment.debit.0, payer), text(payment.credit.0, payee));
        let context = Context::read(self.block.contexts.context(self.position));
        let texts = attempt::texts(payer, payee, &context);
        if own_keys.is_empty() {
            return look(&RuleInput { row: self.row, texts: &texts, at });
        }
        let own = own_keys.iter().map(|key| Some(context.by_key(key)).filter(|it| !it.is_empty()));
        let texts: Vec<_> = texts.into_iter().chain(own).collect();
        look(&RuleInput { row: self.row, texts: &texts, at })
    }
}

/// What moved the score up most, by the numbers that the model has for its features.
fn top_reasons(model: &Model, row: &[f32]) -> Vec<Reason> {
    let mut contributions = vec![0.0; model.features().len()];
    model.contributions(row, &mut contributions);
    // Of these, the shorter path is the higher score.
    if matches!(model.link(), Link::Anomaly { .. }) {
        contributions.iter_mut().for_each(|by| *by = -*by);
    }
    let mut reasons: Vec<_> = contributions
        .iter()
        .enumerate()
        .filter(|(_, contribution)| **contribution > 0.0)
        .map(|(feature, contribution)| Reason {
            feature: feature as u16,
            value: row[model.place_of(feature)],
            contribution: *contribution,
        })
        .collect();
    reasons.sort_by(|one, other| other.contribution.total_cmp(&one.contribution));
    reasons.truncate(REASONS_MAX);
    reasons
}
