//! The policy: consumes payments that nothing but their funds can stop, produces verdicts.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use millrace_ledger::{AccountId, Amount, Gate, Payment, Timestamp, Verdict};

use crate::{
    RiskConfig, RiskConfigError,
    limits::Limit,
    profile::{Profile, Window},
};

const NS_PER_MIN: u64 = 60_000_000_000;

/// An analyst's limits, with the profiles that they need.
#[derive(Clone, Debug)]
pub struct Policy {
    limits: Vec<Limit>,
    needs_window: bool,
    /// Sorted; mostly empty or very short.
    exempt_payers: Vec<AccountId>,
    profiles: Vec<Profile>,
    profile_of: HashMap<AccountId, usize, FixedState>,
    /// Where the profile of the payer that was judged last stands: it is observed next.
    judged: Option<(AccountId, usize)>,
    /// Profiles as they were before the group that is open, latest last.
    before_group: Vec<(usize, Profile)>,
    in_group: bool,
}

impl Policy {
    /// A policy without history.
    ///
    /// # Errors
    /// When a limit makes no sense.
    pub fn new(config: &RiskConfig) -> Result<Self, RiskConfigError> {
        let limits = Limit::compile(config)?;
        let exempt = config.exempt_payers.iter().map(|id| AccountId(id.as_u128()));
        let mut exempt_payers: Vec<_> = exempt.collect();
        exempt_payers.sort_unstable();
        Ok(Self {
            exempt_payers,
            needs_window: limits.iter().any(Limit::needs_window),
            limits,
            profiles: Vec::new(),
            profile_of: HashMap::default(),
            judged: None,
            before_group: Vec::new(),
            in_group: false,
        })
    }

    fn is_exempt(&self, payment: &Payment) -> bool {
        self.exempt_payers.binary_search(&payment.debit).is_ok()
    }
}

impl Gate for Policy {
    fn judge(&mut self, payment: &Payment, amount: Amount, at: Timestamp) -> Verdict {
        if self.is_exempt(payment) {
            return Verdict::APPROVE;
        }
        let window = match self.needs_window {
            false => Window::default(),
            true => {
                let place = self.profile_of.get(&payment.debit).copied();
                self.judged = place.map(|place| (payment.debit, place));
                place.map_or(Window::default(), |place| {
                    self.profiles[place].window(minute_of(payment, at))
                })
            }
        };
        self.limits
            .iter()
            .find_map(|limit| limit.verdict(payment.ledger, amount.0, window))
            .unwrap_or(Verdict::APPROVE)
    }

    fn observe(&mut self, payment: &Payment, amount: Amount, at: Timestamp) {
        if !self.needs_window || self.is_exempt(payment) {
            return;
        }
        let place = match self.judged {
            Some((payer, place)) if payer == payment.debit => place,
            _ => *self.profile_of.entry(payment.debit).or_insert_with(|| {
                self.profiles.push(Profile::default());
                self.profiles.len() - 1
            }),
        };
        let profile = &mut self.profiles[place];
        if self.in_group {
            self.before_group.push((place, profile.clone()));
        }
        profile.add(minute_of(payment, at), amount.0);
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
            self.profiles[place] = before;
        }
    }
}

/// The minute that a payment counts in: that of its event time. A payment can't be ahead of its
/// batch, or one wrong clock would empty its payer's window.
fn minute_of(payment: &Payment, at: Timestamp) -> u64 {
    payment.event_time.map_or(at, |event_time| event_time.min(at)).0 / NS_PER_MIN
}

#[cfg(test)]
mod tests {
    use millrace_ledger::{LedgerId, RiskDecision};

    use super::*;

    fn policy(limits: &str) -> Result<Policy, RiskConfigError> {
        Policy::new(&toml::from_str(limits).expect("valid TOML"))
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
            let verdict = policy.judge(&payment, amount, now);
            assert_eq!((verdict.decision, verdict.rule.as_str()), expected, "row {row}");
            if verdict.decision != RiskDecision::Decline {
                policy.observe(&payment, amount, now);
            }
        }
    }

    #[test]
    fn a_group_that_is_taken_back_leaves_no_trace() {
        let mut policy = policy(LIMITS).expect("valid limits");
        let payment = |payer| Payment { debit: AccountId(payer), ..Payment::default() };
        policy.observe(&payment(1), Amount(5), Timestamp(0));
        let payers = [1, 2].map(AccountId);
        let windows = |policy: &Policy| {
            payers.map(|payer| {
                let place = policy.profile_of.get(&payer);
                place.map_or(Window::default(), |place| policy.profiles[*place].window(90))
            })
        };
        let before = policy.profiles[0].clone();
        policy.begin_group();
        for payer in [1, 2, 1] {
            policy.observe(&payment(payer), Amount(7), Timestamp(90 * NS_PER_MIN));
        }
        policy.end_group(false);
        assert_eq!(policy.profiles[0], before);
        assert_eq!(windows(&policy), [Window::default(); 2]);
        policy.begin_group();
        policy.observe(&payment(2), Amount(7), Timestamp(0));
        policy.end_group(true);
        assert_eq!(policy.profiles.len(), 2);
        assert_eq!(policy.profiles[1].window(0).count, 1);
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
        let verdict = policy.judge(&huge(7), Amount(1 << 60), Timestamp(0));
        assert_eq!(verdict, Verdict::APPROVE);
        policy.observe(&huge(7), Amount(1 << 60), Timestamp(0));
        assert!(policy.profiles.is_empty());
        let verdict = policy.judge(&huge(8), Amount(1 << 60), Timestamp(0));
        assert_eq!(verdict.decision, RiskDecision::Decline);
    }

    #[test]
    fn a_payment_from_the_future_counts_now() {
        let mut policy = policy(LIMITS).expect("valid limits");
        let ahead = Payment { event_time: Some(Timestamp(u64::MAX)), ..Payment::default() };
        policy.observe(&ahead, Amount(1), Timestamp(5 * NS_PER_MIN));
        assert_eq!(policy.profiles[0].window(5).count, 1);
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
}
