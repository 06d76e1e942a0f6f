//! Velocity: consumes payments that nothing but their funds can stop, holds them against limits on what
//! their payers did in the last hour, produces verdicts.

use millrace_ledger::{AccountId, Gate, GateStateError, Judged, Payment, Swept, Verdict};

use crate::{
    RiskConfig, RiskConfigError,
    last_hour::{LastHour, Window},
    limits::Limit,
};

const NS_PER_MIN: u64 = 60_000_000_000;
const MALFORMED: GateStateError = GateStateError("its profiles can't be read");

/// An analyst's limits, with the hours that they look at.
#[derive(Clone, Debug)]
pub(crate) struct Velocity {
    limits: Vec<Limit>,
    needs_window: bool,
    /// Sorted; mostly empty or very short.
    exempt_payers: Vec<AccountId>,
    /// By the payer's number. Accounts after the last payer have none yet.
    hours: Swept<LastHour>,
    /// Hours as they were before the group that is open, latest last.
    before_group: Vec<(u32, LastHour)>,
    in_group: bool,
    /// The first piece of a snapshot, which tells who is remembered, is still to be handed out.
    heading_due: bool,
    /// The first piece of a snapshot was taken over.
    heading_read: bool,
}

impl Velocity {
    /// A policy without history.
    ///
    /// # Errors
    /// When a limit makes no sense.
    pub(crate) fn new(config: &RiskConfig) -> Result<Self, RiskConfigError> {
        let limits = Limit::compile(config)?;
        let exempt = config.exempt_payers.iter().map(|id| AccountId(id.as_u128()));
        let mut exempt_payers: Vec<_> = exempt.collect();
        exempt_payers.sort_unstable();
        Ok(Self {
            exempt_payers,
            needs_window: limits.iter().any(Limit::needs_window),
            limits,
            hours: Swept::default(),
            before_group: Vec::new(),
            in_group: false,
            heading_due: false,
            heading_read: false,
        })
    }

    fn grow_to(&mut self, payer: u32) {
        while self.hours.len() <= payer as usize {
            self.hours.push(LastHour::default());
        }
    }

    /// Whose payments are remembered: a snapshot of others is of no use.
    fn put_heading(&self, piece: &mut Vec<u8>) {
        piece.push(u8::from(self.needs_window));
        for exempt in &self.exempt_payers {
            piece.extend_from_slice(&exempt.0.to_le_bytes());
        }
    }

    fn read_heading(&self, piece: &[u8]) -> Result<(), GateStateError> {
        let mut own = Vec::new();
        self.put_heading(&mut own);
        match (piece.split_first(), own.split_first()) {
            // Without windows, what was remembered does not matter.
            (_, Some((0, _))) => Ok(()),
            (Some((1, _)), _) if piece == own => Ok(()),
            (Some((0, _)), _) => {
                Err(GateStateError("it was written when no limit looked at a payer's last hour"))
            }
            (Some(_), _) => Err(GateStateError("it was written with other exempt payers")),
            (None, _) => Err(MALFORMED),
        }
    }

    pub(crate) fn is_exempt(&self, payment: &Payment) -> bool {
        self.exempt_payers.binary_search(&payment.debit).is_ok()
    }
}

impl Gate for Velocity {
    fn judge(&mut self, judged: Judged<'_>) -> Verdict {
        let payment = judged.payment;
        if self.is_exempt(payment) {
            return Verdict::APPROVE;
        }
        let has_hour = self.needs_window && (judged.payer as usize) < self.hours.len();
        let window = match has_hour {
            true => self.hours.get(judged.payer).window(minute_of(&judged)),
            false => Window::default(),
        };
        self.limits
            .iter()
            .find_map(|limit| limit.verdict(payment.ledger, judged.amount.0, window))
            .unwrap_or(Verdict::APPROVE)
    }

    fn observe(&mut self, judged: Judged<'_>) {
        if !self.needs_window || self.is_exempt(judged.payment) {
            return;
        }
        let place = judged.payer;
        self.grow_to(place);
        let hour = self.hours.get_mut(place);
        if self.in_group {
            self.before_group.push((place, hour.clone()));
        }
        hour.add(minute_of(&judged), judged.amount.0);
    }

    fn begin_group(&mut self) {
        self.in_group = true;
    }

    fn end_group(&mut self, keep: bool) {
        self.in_group = false;
        if keep {
            self.before_group.clear();
        }
        while let Some((place, before)) = self.before_group.pop() {
            *self.hours.get_mut(place) = before;
        }
    }

    fn begin_snapshot(&mut self) {
        self.heading_due = true;
        self.hours.begin_sweep();
    }

    fn snapshot_slice(&mut self, rows_max: usize, piece: &mut Vec<u8>) -> bool {
        if self.heading_due {
            self.heading_due = false;
            self.put_heading(piece);
            return true;
        }
        self.hours.sweep(rows_max, |payer, hour| {
            if *hour != LastHour::default() {
                piece.extend_from_slice(&payer.to_le_bytes());
                hour.put(piece);
            }
        })
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), GateStateError> {
        if !self.heading_read {
            self.heading_read = true;
            return self.read_heading(piece);
        }
        let mut rest = piece;
        while let Some((payer, after)) = rest.split_first_chunk() {
            let payer = u32::from_le_bytes(*payer);
            let (hour, after) = LastHour::read(after).ok_or(MALFORMED)?;
            self.grow_to(payer);
            *self.hours.get_mut(payer) = hour;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(MALFORMED) }
    }
}

/// The minute that a payment counts in: that of its event time. A payment can't be ahead of its
/// batch, or one wrong clock would empty its payer's window.
fn minute_of(judged: &Judged<'_>) -> u64 {
    let at = judged.at;
    judged.payment.event_time.map_or(at, |event_time| event_time.min(at)).0 / NS_PER_MIN
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{Amount, LedgerId, RiskDecision, Timestamp};

    use super::*;

    fn policy(limits: &str) -> Result<Velocity, RiskConfigError> {
        Velocity::new(&toml::from_str(limits).expect("valid TOML"))
    }

    /// A payment whose debit account has the number of its id.
    fn judged(payment: &Payment, amount: Amount, at: Timestamp) -> Judged<'_> {
        Judged { payment, amount, at, position: 0, payer: payment.debit.0 as u32 }
    }

    const LIMITS: &str = r#"
        [[limits]]
        name = "large"
        measure = "payment-amount"
        currency = "CZK"
        above = "1000.00"
        action = "review"

        [[limits]]
        name = "huge"
        measure = "payment-amount"
        currency = "CZK"
        above = "5000.00"
        action = "decline"

        [[limits]]
        name = "often"
        measure = "payer-count-per-hour"
        above = "2"
        action = "review"

        [[limits]]
        name = "much"
        measure = "payer-sum-per-hour"
        currency = "CZK"
        above = "3000.00"
        action = "decline"
    "#;

    /// One row per payment: minute, payer, koruna, and what must become of it.
    #[test]
    fn limits_decide_as_the_table_says() {
        let mut policy = policy(LIMITS).expect("valid limits");
        let approve = (RiskDecision::Approve, "");
        for (row, (minute, payer, koruna, expected)) in [
            (0, 1, 1_000, approve),
            (0, 1, 1_001, (RiskDecision::Review, "large")),
            (1, 1, 1, (RiskDecision::Review, "often")),
            (1, 1, 999, (RiskDecision::Decline, "much")),
            (1, 2, 5_001, (RiskDecision::Decline, "huge")),
            (1, 2, 999, approve),
            (59, 1, 1, (RiskDecision::Review, "often")),
            (60, 1, 1, (RiskDecision::Review, "often")),
            (121, 1, 1, approve),
        ]
        .into_iter()
        .enumerate()
        {
            let payment = Payment {
                debit: AccountId(payer),
                ledger: LedgerId(203),
                event_time: Some(Timestamp(1_000_000 * NS_PER_MIN + minute * NS_PER_MIN)),
                ..Payment::default()
            };
            let (amount, now) = (Amount(koruna * 100), Timestamp(u64::MAX));
            let verdict = policy.judge(judged(&payment, amount, now));
            assert_eq!((verdict.decision, verdict.rule.as_str()), expected, "row {row}");
            if verdict.decision != RiskDecision::Decline {
                policy.observe(judged(&payment, amount, now));
            }
        }
    }

    #[test]
    fn a_group_that_is_taken_back_leaves_no_trace() {
        let mut policy = policy(LIMITS).expect("valid limits");
        let payment = |payer| Payment { debit: AccountId(payer), ..Payment::default() };
        let late = Timestamp(90 * NS_PER_MIN);
        policy.observe(judged(&payment(1), Amount(5), Timestamp(0)));
        let before = policy.hours.clone();
        policy.begin_group();
        for payer in [1, 0, 1] {
            policy.observe(judged(&payment(payer), Amount(7), late));
        }
        policy.end_group(false);
        assert!(policy.hours.iter().eq(before.iter()));
        policy.begin_group();
        policy.observe(judged(&payment(0), Amount(7), Timestamp(0)));
        policy.end_group(true);
        assert_eq!(policy.hours.get(0).window(0).count, 1);
    }

    #[test]
    fn an_exempt_payer_is_neither_judged_nor_counted() {
        let exempt = "exempt_payers = [\"00000000-0000-0000-0000-000000000007\"]";
        let mut policy = policy(&format!("{exempt}\n{LIMITS}")).expect("valid limits");
        let huge = |payer| Payment {
            debit: AccountId(payer),
            ledger: LedgerId(203),
            ..Payment::default()
        };
        let verdict = policy.judge(judged(&huge(7), Amount(1 << 60), Timestamp(0)));
        assert_eq!(verdict, Verdict::APPROVE);
        policy.observe(judged(&huge(7), Amount(1 << 60), Timestamp(0)));
        assert!(policy.hours.is_empty());
        let verdict = policy.judge(judged(&huge(8), Amount(1 << 60), Timestamp(0)));
        assert_eq!(verdict.decision, RiskDecision::Decline);
    }

    #[test]
    fn a_payment_from_the_future_counts_now() {
        let mut policy = policy(LIMITS).expect("valid limits");
        let ahead = Payment { event_time: Some(Timestamp(u64::MAX)), ..Payment::default() };
        policy.observe(judged(&ahead, Amount(1), Timestamp(5 * NS_PER_MIN)));
        assert_eq!(policy.hours.get(0).window(5).count, 1);
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let limit = |field: &str, value: &str| {
            let mut fields = [
                ("name", "\"a\""),
                ("measure", "\"payment-amount\""),
                ("currency", "\"CZK\""),
                ("above", "\"1\""),
                ("action", "\"review\""),
            ];
            fields.iter_mut().filter(|(name, _)| *name == field).for_each(|it| it.1 = value);
            let lines: Vec<_> = fields
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            policy(&format!("[[limits]]\n{}", lines.join("\n")))
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert_eq!(limit("name", "\"a\""), Ok(()));
        for (field, value, message) in [
            (
                "currency",
                "\"XYZ\"",
                "risk limit \"a\": currency \"XYZ\" is no ISO 4217 code, such as EUR or CZK",
            ),
            (
                "currency",
                "",
                "risk limit \"a\": currency \"\" is missing: an amount or a sum needs one",
            ),
            (
                "above",
                "\"1,5\"",
                "risk limit \"a\": above \"1,5\" is not a decimal number (digits, and a point before the minor units)",
            ),
            ("name", "\"\"", "risk limit \"\": name \"\" must have 1 to 31 bytes"),
        ] {
            assert_eq!(limit(field, value), Err(message.to_owned()), "{field} = {value}");
        }
    }

    /// A snapshot that was taken in pieces while payments went on is the policy of its beginning.
    #[test]
    fn a_snapshot_is_of_one_moment() {
        let paid = |policy: &mut Velocity, payer: u128, minute: u64| {
            let payment = Payment { debit: AccountId(payer), ..Payment::default() };
            let at = Timestamp(minute * NS_PER_MIN);
            policy.observe(judged(&payment, Amount(5), at));
        };
        let mut original = policy(LIMITS).expect("right limits");
        (0..40).for_each(|n| paid(&mut original, n % 7, n as u64 * 3));
        let expected = original.hours.clone();
        original.begin_snapshot();
        let mut pieces = vec![Vec::new()];
        while original.snapshot_slice(2, pieces.last_mut().expect("there is one")) {
            pieces.push(Vec::new());
            (0..9).for_each(|n| paid(&mut original, n, 200));
        }
        let mut restored = policy(LIMITS).expect("right limits");
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            assert_eq!(restored.restore(piece), Ok(()));
        }
        assert!(restored.hours.iter().eq(expected.iter()));

        let mut other = policy("").expect("no limits");
        assert_eq!(other.restore(&pieces[0]), Ok(()), "needs no hours");
        let mut none = Vec::new();
        other.put_heading(&mut none);
        let mut windows = policy(LIMITS).expect("right limits");
        assert!(windows.restore(&none).is_err(), "nothing was remembered");
        let mut cut = policy(LIMITS).expect("right limits");
        cut.restore(&pieces[0]).expect("the heading is whole");
        assert!(cut.restore(&pieces[1][..pieces[1].len() - 1]).is_err(), "cut short");
    }
}
