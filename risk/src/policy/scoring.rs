//! Scoring: consumes blocks of attempts in sequence order, produces for each what the policy in force
//! says, with its evidence.
//!
//! Features are read and counted in order: of each entity by one thread, which owns it. Rules and models
//! look at finished rows only, so rows are dealt out to as many threads as there are. What comes out never depends on how
//! payments were cut into blocks, or on the number of threads.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use millrace_ledger::{Block, Payment, RiskDecision, Timestamp, Verdict};
use rayon::prelude::*;
use uuid::{Uuid, fmt::Hyphenated};

use super::{
    attempt::{self, Context, Reader},
    compiled::{Compiled, TEXTS},
    hits::HitCounters,
};
use crate::{
    acts::LabelAct,
    evidence::{self, EVIDENCE_LEN_MAX, Evidence, REASONS_MAX, Reason},
    features::{Attempt, ENTITIES_MAX, EntityKey, Label, Profiles},
    model::{Link, Model},
    rules::{RuleCounts, RuleInput, RuleSet},
};

/// Texts behind [`TEXTS`]: one for each kind of entity at most.
const OWN_KEYS_MAX: usize = ENTITIES_MAX;
/// What rules that look at no text see of texts.
static NO_TEXTS: [Option<&str>; TEXTS.len() + OWN_KEYS_MAX] = [None; TEXTS.len() + OWN_KEYS_MAX];
/// Rows that are scored in one go, by one thread.
const CHUNK_ROWS: usize = 256;

/// What was said of one attempt.
#[derive(Clone, Debug, Default)]
struct Said {
    verdict: Verdict,
    evidence: Range<u32>,
    /// In `rule_reasons`, where a rule made the verdict. It becomes evidence once the verdict counts.
    rule_reason: Range<u32>,
}

/// What decides about a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deciding<'a> {
    pub(super) policy: &'a Compiled,
    pub(super) number: u16,
    /// Of the policy's rules.
    pub(super) hits: &'a HitCounters,
}

/// Scores attempts, and remembers what it said of those of the request that is being decided.
#[derive(Clone, Debug)]
pub(super) struct Scoring {
    pub(super) profiles: Profiles,
    reader: Reader,
    threads: Option<Arc<rayon::ThreadPool>>,
    /// Those that read and count features, if that is more than one.
    shards: Option<Arc<rayon::ThreadPool>>,
    /// By position in the request; 0 for none, else one more than the place in `said`.
    places: Vec<u32>,
    said: Vec<Said>,
    evidence: Vec<u8>,
    rule_reasons: String,
    pub(super) spent: Duration,
    columns: usize,
    /// Kept for their memory: of the block before, the keys of its entities, its rows, and what was
    /// made of them.
    keys: Vec<EntityKey>,
    rows: Vec<f32>,
    drafts: Vec<Draft>,
}

/// What a policy said of one row, before it has its evidence.
#[derive(Clone, Debug, Default)]
struct Draft {
    verdict: Verdict,
    evidence: Evidence,
}

/// What is scored at once.
struct Rows<'a> {
    payments: Vec<(&'a Payment, &'a [u8])>,
    values: &'a [f32],
    columns: usize,
    at: Timestamp,
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
            places: Vec::new(),
            said: Vec::new(),
            evidence: Vec::new(),
            rule_reasons: String::new(),
            spent: Duration::ZERO,
            keys: Vec::new(),
            rows: Vec::new(),
            drafts: Vec::new(),
        }
    }

    pub(super) fn begin_request(&mut self, payments: usize) {
        self.places.clear();
        self.places.resize(payments, 0);
        self.said.clear();
        self.evidence.clear();
        self.rule_reasons.clear();
        self.spent = Duration::ZERO;
    }

    /// The verdict on the attempt in this place of the request.
    pub(super) fn verdict(&self, position: u32) -> Verdict {
        self.said(position).map_or(Verdict::APPROVE, |said| said.verdict)
    }

    pub(super) fn evidence(&self, position: u32) -> &[u8] {
        self.said(position).map_or(&[], |said| &self.evidence[places(&said.evidence)])
    }

    /// The verdict on this attempt stands: if a rule made it, its reason belongs to the evidence.
    pub(super) fn verdict_stands(&mut self, position: u32) {
        let Some(place) = self.place(position) else { return };
        let Some(said) = self.said.get_mut(place).filter(|said| !said.rule_reason.is_empty())
        else {
            return;
        };
        let reason = &self.rule_reasons[places(&std::mem::take(&mut said.rule_reason))];
        let start = self.evidence.len();
        self.evidence.extend_from_within(places(&said.evidence));
        evidence::put_rule_reason(&mut self.evidence, start, reason);
        said.evidence = start as u32..self.evidence.len() as u32;
    }

    fn place(&self, position: u32) -> Option<usize> {
        (self.places.get(position as usize).copied().unwrap_or(0) as usize).checked_sub(1)
    }

    fn said(&self, position: u32) -> Option<&Said> {
        self.said.get(self.place(position)?)
    }

    /// Reads and counts the features of attempts: makes their rows.
    fn observe(&mut self, attempts: &[(&Payment, &[u8])], at: Timestamp) {
        let keys = &mut self.keys;
        keys.clear();
        let mut amounts = Vec::with_capacity(attempts.len());
        for (payment, context) in attempts {
            let context = match self.reader.needs_context() {
                true => Context::read(context),
                false => Context::default(),
            };
            self.reader.put_keys(payment.debit.0, payment.credit.0, &context, keys);
            amounts.push(self.reader.amount(payment.ledger, payment.amount));
        }
        let entities = keys.chunks_exact(self.reader.entities().max(1));
        let attempts: Vec<_> = attempts
            .iter()
            .zip(amounts)
            .zip(entities)
            .map(|(((payment, _), amount), entities)| Attempt {
                at: attempt::time_of(payment, at),
                amount,
                entities,
            })
            .collect();
        self.rows.clear();
        self.rows.resize(attempts.len() * self.columns, 0.0);
        match self.shards.as_deref() {
            Some(pool) => self.profiles.observe_block_on(pool, &attempts, &mut self.rows),
            None => self.profiles.observe_block(&attempts, &mut self.rows),
        }
    }

    /// Counts an attempt of an earlier life.
    pub(super) fn attempted(&mut self, payment: &Payment, context: &[u8], at: Timestamp) {
        self.observe(&[(payment, context)], at);
    }

    /// Looks at a block of attempts, and returns how many of them there was no time for.
    pub(super) fn look_ahead(
        &mut self,
        block: &Block<'_>,
        is_exempt: impl Fn(&Payment) -> bool,
        deciding: Option<Deciding<'_>>,
    ) -> u64 {
        let Block { payments, positions, contexts, at } = *block;
        let attempt = |position: &u32| {
            let position = *position as usize;
            let payment = &payments[position];
            (!is_exempt(payment)).then_some((position, (payment, contexts.context(position))))
        };
        let mut places = Vec::with_capacity(positions.len());
        let mut payments = Vec::with_capacity(positions.len());
        for (position, payment) in positions.iter().filter_map(attempt) {
            places.push(position);
            payments.push(payment);
        }
        self.observe(&payments, at);
        let Some(Deciding { policy, number, hits }) = deciding else { return 0 };
        let began = Instant::now();
        let budget = match policy.document.budget.request_ms {
            0 => None,
            ms => Some(Duration::from_millis(ms.into()).saturating_sub(self.spent)),
        };
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.clear();
        drafts.resize(payments.len(), Draft::default());
        let rows = Rows { payments, values: &self.rows, columns: self.columns, at };
        rows.score(policy, hits, self.threads.as_deref(), &mut drafts, &|| {
            budget.is_none_or(|budget| began.elapsed() < budget)
        });
        self.spent += began.elapsed();
        let mut fell_back = 0;
        for (position, Draft { verdict, evidence }) in places.into_iter().zip(&mut drafts) {
            evidence.policy = number;
            fell_back += u64::from(evidence.fell_back);
            if let Some((_, challenger)) = evidence.challenger {
                hits.challenger.add(verdict.decision, challenger);
            }
            let reasons_start = self.rule_reasons.len() as u32;
            self.rule_reasons.push_str(&evidence.rule_reason.take().unwrap_or_default());
            let rule_reason = reasons_start..self.rule_reasons.len() as u32;
            let start = self.evidence.len() as u32;
            evidence.put(&mut self.evidence);
            let evidence = start..self.evidence.len() as u32;
            self.said.push(Said { verdict: *verdict, evidence, rule_reason });
            self.places[position] = self.said.len() as u32;
        }
        self.drafts = drafts;
        fell_back
    }

    /// Counts what became known of a payment.
    pub(super) fn label(&mut self, label: &LabelAct, at: Timestamp) {
        let context = from_hex(&label.context).unwrap_or_default();
        let mut keys = Vec::with_capacity(self.reader.entities());
        let context = Context::read(&context);
        self.reader.put_keys(label.payer.as_u128(), label.payee.as_u128(), &context, &mut keys);
        let ledger = millrace_ledger::LedgerId(label.ledger);
        let amount = millrace_ledger::Amount(label.amount_minor.into());
        let amount = self.reader.amount(ledger, amount);
        let paid_at = Timestamp(label.paid_at_ns).min(at);
        let (at, fraud, takes_back) = (label.known_at(at), label.fraud, label.takes_back);
        let entities = &keys;
        self.profiles.label(&Label { at, paid_at, amount, entities, fraud, takes_back });
    }
}

impl Rows<'_> {
    /// What the policy says of each row. Rows that are begun when time is up fall back.
    fn score(
        &self,
        policy: &Compiled,
        hits: &HitCounters,
        threads: Option<&rayon::ThreadPool>,
        drafts: &mut [Draft],
        in_time: &(dyn Fn() -> bool + Sync),
    ) {
        let score = |(number, drafts): (usize, &mut [Draft])| match in_time() {
            true => self.score_chunk(policy, hits, number * CHUNK_ROWS, drafts),
            false => drafts.iter_mut().for_each(|draft| {
                draft.verdict = policy.fallback;
                draft.evidence.fell_back = true;
            }),
        };
        match threads.filter(|_| drafts.len() > CHUNK_ROWS) {
            Some(pool) => pool.install(|| {
                drafts.par_chunks_mut(CHUNK_ROWS).enumerate().for_each(score);
            }),
            None => drafts.chunks_mut(CHUNK_ROWS).enumerate().for_each(score),
        }
    }

    fn score_chunk(
        &self,
        policy: &Compiled,
        hits: &HitCounters,
        first: usize,
        drafts: &mut [Draft],
    ) {
        let columns = self.columns;
        let values = &self.values[first * columns..(first + drafts.len()) * columns];
        let mut scores = [0.0; CHUNK_ROWS];
        let mut challenger_scores = [0.0; CHUNK_ROWS];
        for (model, scores) in
            [(&policy.model, &mut scores), (&policy.challenger, &mut challenger_scores)]
        {
            if let Some(model) = model {
                model.score(values, &mut scores[..drafts.len()]);
            }
        }
        let looks_at_texts = policy.looks_at_texts();
        let of_model = policy.model.as_ref().map_or(0, |model| model.features().len());
        let mut contributions = vec![0.0; of_model];
        let mut counts = policy.rules.as_ref().map(RuleSet::counts).unwrap_or_default();
        let mut with_score = vec![0.0; columns + 1];
        for (at, draft) in drafts.iter_mut().enumerate() {
            let row = &values[at * columns..(at + 1) * columns];
            with_score[..columns].copy_from_slice(row);
            let score = policy.model.as_ref().map(|_| scores[at]);
            with_score[columns] = score.unwrap_or(f32::NAN);
            let (payment, context) = self.payments[first + at];
            let row_and_score = &with_score[..];
            let said =
                Seen { policy, payment, context, row: row_and_score, at: self.at, looks_at_texts };
            let evidence = &mut draft.evidence;
            let rule;
            (draft.verdict, rule) = said.verdict(score, &mut counts);
            evidence.score = score;
            evidence.rule_reason = rule.map(|rule| said.rule_reason(rule));
            evidence.challenger = policy.challenger.as_ref().map(|_| {
                let score = challenger_scores[at];
                (score, said.of_score(score).decision as u8)
            });
            if draft.verdict.decision != RiskDecision::Approve
                && let Some(model) = &policy.model
            {
                model.contributions(row, &mut contributions);
                // Of these, the shorter path is the higher score.
                if matches!(model.link(), Link::Anomaly { .. }) {
                    contributions.iter_mut().for_each(|by| *by = -*by);
                }
                evidence.reasons = top_reasons(model, row, &contributions);
            }
        }
        hits.add(&counts);
    }
}

/// One payment with its row, before a policy.
struct Seen<'a> {
    policy: &'a Compiled,
    payment: &'a Payment,
    context: &'a [u8],
    /// Features, and the score behind them.
    row: &'a [f32],
    at: Timestamp,
    looks_at_texts: bool,
}

impl Seen<'_> {
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

    fn with_input<T>(&self, with_texts: bool, look: impl FnOnce(&RuleInput<'_>) -> T) -> T {
        let at = attempt::time_of(self.payment, self.at);
        let own_keys = &self.policy.own_keys;
        if !with_texts {
            let texts = &NO_TEXTS[..TEXTS.len() + own_keys.len()];
            return look(&RuleInput { row: self.row, texts, at });
        }
        let mut buffers = [[0; Hyphenated::LENGTH]; 2];
        let [payer, payee] = &mut buffers;
        let text = |id: u128, buffer| &*Uuid::from_u128(id).hyphenated().encode_lower(buffer);
        let (payer, payee) =
            (text(self.payment.debit.0, payer), text(self.payment.credit.0, payee));
        let context = Context::read(self.context);
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
fn top_reasons(model: &Model, row: &[f32], contributions: &[f32]) -> Vec<Reason> {
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

fn places(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
