//! Exact sums of money: consumes counters of 128 bits, produces sums of 256. Guarantees that nothing
//! wraps: fewer than 2^128 numbers of 128 bits always fit.

use std::{fmt, ops::AddAssign};

use crate::{Amount, Balances};

/// A sum of amounts or counters, in minor units.
// Field order is that of comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum {
    high: u128,
    low: u128,
}

/// Ten to the power of this is the greatest such power that 64 bits hold.
const CHUNK_DIGITS: usize = 19;
const CHUNK: u128 = 10_u128.pow(CHUNK_DIGITS as u32);

impl Sum {
    /// Nothing.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// A sum from its four quarters, lowest first.
    #[must_use]
    pub fn from_quarters([q0, q1, q2, q3]: [u64; 4]) -> Self {
        let whole = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
        Self { high: whole(q2, q3), low: whole(q0, q1) }
    }

    /// The four quarters of its 256 bits, lowest first.
    #[must_use]
    pub fn quarters(self) -> [u64; 4] {
        [self.low as u64, (self.low >> 64) as u64, self.high as u64, (self.high >> 64) as u64]
    }

    /// By how much one exceeds the other.
    #[must_use]
    pub fn abs_diff(self, other: Self) -> Self {
        let (more, less) = if self < other { (other, self) } else { (self, other) };
        let (low, borrow) = more.low.overflowing_sub(less.low);
        Self { high: more.high - less.high - u128::from(borrow), low }
    }

    /// The sum as an amount, where 128 bits hold it.
    #[must_use]
    pub fn to_amount(self) -> Option<Amount> {
        (self.high == 0).then_some(Amount(self.low))
    }

    /// The sum times `factor` and `more`; `None` where 256 bits don't hold it.
    #[must_use]
    pub fn checked_mul_add(self, factor: u64, more: u64) -> Option<Self> {
        let (mut quarters, mut carry) = (self.quarters(), u128::from(more));
        for quarter in &mut quarters {
            let whole = u128::from(*quarter) * u128::from(factor) + carry;
            (*quarter, carry) = (whole as u64, whole >> 64);
        }
        (carry == 0).then(|| Self::from_quarters(quarters))
    }

    /// Divides by ten to the power of [`CHUNK_DIGITS`]; returns what is left over.
    fn take_chunk(&mut self) -> u64 {
        let mut quarters = self.quarters();
        let left = quarters.iter_mut().rev().fold(0, |left, quarter| {
            let whole = left << 64 | u128::from(*quarter);
            *quarter = (whole / CHUNK) as u64;
            whole % CHUNK
        });
        *self = Self::from_quarters(quarters);
        left as u64
    }
}

impl From<u128> for Sum {
    fn from(minor: u128) -> Self {
        Self { high: 0, low: minor }
    }
}

impl AddAssign for Sum {
    /// # Panics
    /// When 256 bits don't hold the sum, which takes more numbers than anybody has.
    fn add_assign(&mut self, more: Self) {
        let (low, carry) = self.low.overflowing_add(more.low);
        let high = self.high.checked_add(more.high);
        let high = high.and_then(|high| high.checked_add(u128::from(carry)));
        *self = Self { high: high.expect("sums of fewer than 2^128 numbers fit"), low };
    }
}

impl AddAssign<u128> for Sum {
    fn add_assign(&mut self, minor: u128) {
        *self += Self::from(minor);
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut digits) = (*self, String::new());
        while rest.high > 0 {
            let chunk = rest.take_chunk();
            digits.insert_str(0, &format!("{chunk:0CHUNK_DIGITS$}"));
        }
        // Never 0 before other digits: 2^128 is far more than a chunk.
        digits.insert_str(0, &rest.low.to_string());
        f.pad_integral(true, "", &digits)
    }
}

/// The four counters of [`Balances`], each added up over accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BalanceSums {
    /// Debits that holds reserve.
    pub debits_pending: Sum,
    /// Debits that happened.
    pub debits_posted: Sum,
    /// Credits that holds announce.
    pub credits_pending: Sum,
    /// Credits that happened.
    pub credits_posted: Sum,
}

impl BalanceSums {
    /// Whether debits equal credits, posted and pending.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let Self { debits_pending, debits_posted, credits_pending, credits_posted } = self;
        debits_posted == credits_posted && debits_pending == credits_pending
    }
}

impl AddAssign<&Balances> for BalanceSums {
    fn add_assign(&mut self, balances: &Balances) {
        let Balances { debits_pending, debits_posted, credits_pending, credits_posted } = *balances;
        self.debits_pending += debits_pending;
        self.debits_posted += debits_posted;
        self.credits_pending += credits_pending;
        self.credits_posted += credits_posted;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// Decimal digits, added as on paper: lowest first.
    fn naive_sum(numbers: &[u128]) -> String {
        let mut digits: Vec<u8> = Vec::new();
        for number in numbers {
            let mut carry = 0;
            let mut more = number.to_string().into_bytes().into_iter().rev();
            for at in 0.. {
                let next = more.next();
                if next.is_none() && carry == 0 {
                    break;
                }
                if at == digits.len() {
                    digits.push(0);
                }
                let sum = digits[at] + next.map_or(0, |digit| digit - b'0') + carry;
                (digits[at], carry) = (sum % 10, sum / 10);
            }
        }
        let text: String = digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect();
        let text = text.trim_start_matches('0');
        if text.is_empty() { "0".to_owned() } else { text.to_owned() }
    }

    fn sum_of(numbers: &[u128]) -> Sum {
        numbers.iter().fold(Sum::ZERO, |mut sum, number| {
            sum += *number;
            sum
        })
    }

    fn number() -> impl Strategy<Value = u128> {
        let bounds = [0, 1, u128::from(u64::MAX), 1 << 64, 1 << 127, u128::MAX - 1, u128::MAX];
        prop_oneof![any::<u128>(), any::<u64>().prop_map(u128::from), select(bounds.to_vec())]
    }

    proptest! {
        #[test]
        fn a_sum_is_what_adding_on_paper_comes_to(
            numbers in prop::collection::vec(number(), 0..40),
            others in prop::collection::vec(number(), 0..40),
        ) {
            let (sum, other) = (sum_of(&numbers), sum_of(&others));
            let (digits, other_digits) = (naive_sum(&numbers), naive_sum(&others));
            prop_assert_eq!(sum.to_string(), digits.clone());
            let in_order = (digits.len(), &digits).cmp(&(other_digits.len(), &other_digits));
            prop_assert_eq!(sum.cmp(&other), in_order);
            prop_assert_eq!(Sum::from_quarters(sum.quarters()), sum);
            let read = digits.bytes().try_fold(Sum::ZERO, |sum, digit| {
                sum.checked_mul_add(10, u64::from(digit - b'0'))
            });
            prop_assert_eq!(read, Some(sum));
            let mut both = sum;
            both += other;
            let all = [numbers, others].concat();
            prop_assert_eq!(both.to_string(), naive_sum(&all));
            prop_assert_eq!(both.abs_diff(other), sum);
            prop_assert_eq!(other.abs_diff(both), sum);
            prop_assert_eq!(sum.to_amount(), digits.parse().ok().map(Amount));
        }
    }

    #[test]
    fn what_256_bits_do_not_hold_is_none() {
        let full = Sum::from_quarters([u64::MAX; 4]);
        assert_eq!(full.checked_mul_add(1, 0), Some(full));
        for (factor, more) in [(1, 1), (2, 0), (u64::MAX, u64::MAX)] {
            assert_eq!(full.checked_mul_add(factor, more), None, "{factor} {more}");
        }
        let text = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(full.to_string(), text);
    }

    /// Zeros between the chunks in which digits are worked out.
    #[test]
    fn every_power_of_ten_is_told_with_all_its_zeros() {
        let mut power = Sum::from(1);
        for zeros in 0..77 {
            assert_eq!(power.to_string(), format!("1{}", "0".repeat(zeros)));
            let once = power;
            if zeros < 76 {
                (0..9).for_each(|_| power += once);
            }
        }
        assert_eq!(format!("{:>5}|{:<5}|", Sum::from(12), Sum::from(12)), "   12|12   |");
    }

    #[test]
    fn sides_are_compared_beyond_128_bits() {
        let full = |debits_posted, credits_posted| Balances {
            debits_posted,
            credits_posted,
            ..Balances::default()
        };
        let mut sums = BalanceSums::default();
        sums += &full(1 << 127, 0);
        sums += &full(1 << 127, 0);
        assert!(!sums.balanced(), "two halves of 2^128 are not nothing");
        sums += &full(0, u128::MAX);
        assert!(!sums.balanced());
        sums += &full(0, 1);
        assert!(sums.balanced());
    }
}
