//! Rows of a snapshot as bytes, and back.

use millrace_ledger::{
    Account, AccountFlags, AccountId, AccountSpec, AccountState, Amount, Balances, Code, LedgerId,
    OwnerId, RiskDecision, RuleName, StoredPayment, Verdict,
};

use crate::past::row;

/// Appends an account: 86 bytes, or 126 when one of its numbers needs more than 64 bits.
pub(super) fn put_account(account: &Account, bytes: &mut Vec<u8>) {
    let Account { spec, state, balances } = account;
    let numbers = [
        spec.credit_limit.0,
        balances.debits_pending,
        balances.debits_posted,
        balances.credits_pending,
        balances.credits_posted,
    ];
    let wide = numbers.iter().any(|number| *number > u64::MAX.into());
    bytes.extend_from_slice(&spec.id.0.to_be_bytes());
    bytes.extend_from_slice(&spec.owner.0.to_be_bytes());
    bytes.extend_from_slice(&spec.ledger.0.to_le_bytes());
    bytes.extend_from_slice(&spec.tenant.to_le_bytes());
    bytes.extend_from_slice(&spec.code.0.to_le_bytes());
    bytes.extend_from_slice(&[spec.flags.0, *state as u8, u8::from(wide), 0]);
    for number in numbers {
        match wide {
            true => bytes.extend_from_slice(&number.to_le_bytes()),
            false => bytes.extend_from_slice(&(number as u64).to_le_bytes()),
        }
    }
}

/// Takes an account off the front. `None` when the bytes are none.
pub(super) fn take_account(rest: &mut &[u8]) -> Option<Account> {
    let id = u128::from_be_bytes(array(rest)?);
    let owner = u128::from_be_bytes(array(rest)?);
    let ledger = LedgerId(u32::from_le_bytes(array(rest)?));
    let tenant = u32::from_le_bytes(array(rest)?);
    let code = Code(u16::from_le_bytes(array(rest)?));
    let [flags, state, wide, _] = array(rest)?;
    let state = match state {
        1 => AccountState::Open,
        2 => AccountState::Frozen,
        3 => AccountState::Closed,
        _ => return None,
    };
    let mut number = || match wide {
        0 => Some(u128::from(u64::from_le_bytes(array(rest)?))),
        _ => Some(u128::from_le_bytes(array(rest)?)),
    };
    let credit_limit = Amount(number()?);
    let balances = Balances {
        debits_pending: number()?,
        debits_posted: number()?,
        credits_pending: number()?,
        credits_posted: number()?,
    };
    let (id, owner, flags) = (AccountId(id), OwnerId(owner), AccountFlags(flags));
    let spec = AccountSpec { id, ledger, code, tenant, owner, flags, credit_limit, defect: None };
    Some(Account { spec, state, balances })
}

/// Appends an open hold, as in a run, behind its length.
pub(super) fn put_hold(hold: &StoredPayment, bytes: &mut Vec<u8>) {
    let at = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    row::encode(hold, bytes);
    let len = (bytes.len() - at - 2) as u16;
    bytes[at..at + 2].copy_from_slice(&len.to_le_bytes());
}

pub(super) fn take_hold(rest: &mut &[u8]) -> Option<StoredPayment> {
    let len = u16::from_le_bytes(array(rest)?);
    let (row, after) = rest.split_at_checked(usize::from(len))?;
    *rest = after;
    row::decode(row).ok()
}

pub(super) fn put_verdict(verdict: &Verdict, bytes: &mut Vec<u8>) {
    let rule = verdict.rule.as_str();
    bytes.extend_from_slice(&[verdict.decision as u8, rule.len() as u8]);
    bytes.extend_from_slice(rule.as_bytes());
}

pub(super) fn take_verdict(rest: &mut &[u8]) -> Option<Verdict> {
    let [decision, len] = array(rest)?;
    let decision = RiskDecision::from_number(decision)?;
    let (name, after) = rest.split_at_checked(usize::from(len))?;
    *rest = after;
    let rule = RuleName::new(std::str::from_utf8(name).ok()?)?;
    Some(Verdict { decision, rule, hold_s: 0 })
}

/// Takes an array off the front.
pub(super) fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn accounts_read_back(
            ids in any::<[u128; 2]>(),
            numbers in any::<[u128; 5]>(),
            narrow in any::<bool>(),
            rest in any::<(u32, u32, u16, u8)>(),
            state in 1_u8..4,
        ) {
            let [limit, debits_pending, debits_posted, credits_pending, credits_posted] =
                numbers.map(|number| if narrow { number >> 64 } else { number });
            let account = Account {
                spec: AccountSpec {
                    id: AccountId(ids[0]),
                    ledger: LedgerId(rest.0),
                    code: Code(rest.2),
                    tenant: rest.1,
                    owner: OwnerId(ids[1]),
                    flags: AccountFlags(rest.3),
                    credit_limit: Amount(limit),
                    defect: None,
                },
                state: match state {
                    1 => AccountState::Open,
                    2 => AccountState::Frozen,
                    _ => AccountState::Closed,
                },
                balances: Balances { debits_pending, debits_posted, credits_pending, credits_posted },
            };
            let mut bytes = Vec::new();
            put_account(&account, &mut bytes);
            prop_assert!(!narrow || bytes.len() == 86);
            prop_assert_eq!(take_account(&mut &bytes[..bytes.len() - 1]), None);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_account(&mut rest), Some(account));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn verdicts_read_back() {
        let rule = RuleName::new("large-at-night").expect("short");
        for decision in (0..5).filter_map(RiskDecision::from_number) {
            let verdict = Verdict { decision, rule, hold_s: 0 };
            let mut bytes = Vec::new();
            put_verdict(&verdict, &mut bytes);
            assert_eq!(take_verdict(&mut &bytes[..]), Some(verdict));
            assert_eq!(take_verdict(&mut &bytes[..5]), None);
        }
    }
}
