//! Runs a sequence of commands through a ledger, cut into requests and batches in one of many ways.

use millrace_ledger::{
    AccountEvent, AccountOutcome, AccountSpec, Decision, Event, Gate, HoldExpired, Payment,
    Timestamp,
};

use super::{dice::Dice, mix::Step, split::Split};

/// What the ledger answered, in order. It may not depend on how the input was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly all are decisions
pub(crate) enum Answer {
    Decided(Decision),
    Expired(HoldExpired),
    Changed(AccountOutcome, Option<AccountEvent>),
    /// Time has passed: what follows is of this moment.
    Time(Timestamp),
}

/// When every sequence begins.
pub(crate) const START: Timestamp = Timestamp(1_000_000_000_000);

/// Where requests and batches end: requests of up to so many payments, or longer by one group, in
/// batches of up to so many requests.
pub(crate) struct Cut {
    pub(crate) request_payments_max: usize,
    pub(crate) batch_requests_max: usize,
    pub(crate) dice: Dice,
}

/// A sequence on its way through a ledger.
struct Run<'a, G> {
    split: &'a mut Split,
    gate: &'a mut G,
    cut: &'a mut Cut,
    now: Timestamp,
    request: Vec<Payment>,
    request_end: usize,
    requests_left: usize,
    answers: Vec<Answer>,
    request_len_max: usize,
}

/// Returns the answers, and how many payments the longest request had.
pub(crate) fn run(
    specs: &[AccountSpec],
    steps: &[Step],
    split: &mut Split,
    gate: &mut impl Gate,
    cut: &mut Cut,
) -> (Vec<Answer>, usize) {
    let mut run = Run {
        split,
        gate,
        cut,
        now: START,
        request: Vec::new(),
        request_end: 1,
        requests_left: 1,
        answers: Vec::new(),
        request_len_max: 0,
    };
    run.begin_batch();
    for spec in specs {
        let (outcome, event) = run.split.ledger.create_account(spec);
        run.answers.push(Answer::Changed(outcome, event));
    }
    for step in steps {
        run.step(step);
    }
    run.send();
    run.split.end_batch();
    (run.answers, run.request_len_max)
}

impl<G: Gate> Run<'_, G> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => {
                self.send();
                self.now = self.now.checked_add_s(*seconds).expect("fits");
                self.answers.push(Answer::Time(self.now));
                self.begin_batch();
            }
            Step::Change(id, change) => {
                self.send();
                let (outcome, event) = self.split.ledger.update_account(*id, *change);
                self.answers.push(Answer::Changed(outcome, event));
            }
            Step::Group(members) => {
                self.request.extend(members);
                if self.request.len() >= self.request_end {
                    self.send();
                }
            }
            Step::Unclosed(members) => {
                self.request.extend(members);
                self.send();
            }
        }
    }

    fn send(&mut self) {
        if self.request.is_empty() {
            return;
        }
        self.request_len_max = self.request_len_max.max(self.request.len());
        let decisions = self.split.decide(&self.request, self.gate);
        assert_eq!(decisions.len(), self.request.len(), "one decision per payment");
        self.answers.extend(decisions.into_iter().map(Answer::Decided));
        self.request.clear();
        self.request_end = 1 + self.cut.dice.below(self.cut.request_payments_max);
        self.requests_left -= 1;
        if self.requests_left == 0 {
            self.begin_batch();
        }
    }

    /// Ends the batch before it, too. Releases a few holds at a time, as the engine may.
    fn begin_batch(&mut self) {
        self.split.end_batch();
        self.requests_left = 1 + self.cut.dice.below(self.cut.batch_requests_max);
        let holds_max = 1 + self.cut.dice.below(9);
        loop {
            let mut expired = Vec::new();
            self.split.ledger.begin_batch_within(self.now, holds_max, &mut expired);
            let over = expired.is_empty();
            self.answers.extend(expired.into_iter().map(Answer::Expired));
            if over {
                return;
            }
            if self.cut.dice.percent(50) {
                self.split.end_batch();
            }
        }
    }
}

/// Replays the events among the answers into another ledger.
pub(crate) fn replay(steps: &[Step], answers: &[Answer], split: &mut Split, gate: &mut impl Gate) {
    let mut groups = steps.iter().flat_map(|step| {
        let members = match step {
            Step::Group(members) | Step::Unclosed(members) => members.len(),
            Step::Wait(_) | Step::Change(..) => 0,
        };
        (1..=members).map(move |member| member < members)
    });
    split.ledger.begin_recorded_batch(START);
    let mut group_has_event = false;
    for answer in answers {
        let continues_group = group_has_event;
        if let Answer::Decided(decision) = answer {
            let is_event = matches!(decision, Decision::New(_));
            let group_goes_on = groups.next().expect("one per decision");
            group_has_event = group_goes_on && (group_has_event || is_event);
        }
        let event = match answer {
            Answer::Time(now) => {
                split.end_batch();
                split.ledger.begin_recorded_batch(*now);
                continue;
            }
            Answer::Decided(Decision::New(event)) => Event::Payment(*event),
            Answer::Expired(event) => Event::HoldExpired(*event),
            Answer::Changed(_, Some(event)) => Event::Account(*event),
            Answer::Decided(Decision::Replay { .. }) | Answer::Changed(_, None) => continue,
        };
        let applied = split.ledger.apply_recorded(&event, &[], continues_group, gate);
        assert_eq!(applied, Ok(()));
        if split.ledger.generation_is_full() {
            split.end_batch();
        }
    }
}
