//! Takes a line apart: consumes its bytes, produces chain, sequence and fields. Nothing is believed
//! here; whoever asks compares hashes.

use millrace_ledger::{AccountId, EventSeq, PaymentId, Timestamp};
use uuid::Uuid;

use super::{
    entry::{AuditEntry, AuditKind},
    line::Hash,
};
use crate::text::parse_hash;

/// A line, taken apart but not yet believed.
pub(super) struct LineParts<'a> {
    pub(super) seq: EventSeq,
    /// What the hash covers, besides `prev`.
    pub(super) content: &'a [u8],
    pub(super) prev: Hash,
    pub(super) hash: Hash,
}

const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b"\",\"hash\":\"";
const END: &[u8] = b"\"}";
pub(super) const HASH_TEXT_BYTES: usize = 64;

/// Takes apart a line, given without its line feed.
pub(super) fn parse_line(line: &[u8]) -> Option<LineParts<'_>> {
    let rest = line.strip_suffix(END)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HASH_TEXT_BYTES)?)?;
    let rest = rest.strip_suffix(HASH)?;
    let (rest, prev) = rest.split_at_checked(rest.len().checked_sub(HASH_TEXT_BYTES)?)?;
    let content = rest.strip_suffix(PREV)?;
    Some(LineParts {
        seq: seq_of(line)?,
        content,
        prev: parse_hash(prev)?,
        hash: parse_hash(hash)?,
    })
}

/// The sequence at the start of a line.
fn seq_of(line: &[u8]) -> Option<EventSeq> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let digits = &digits[..digits.iter().position(|&byte| byte == b',')?];
    str::from_utf8(digits).ok()?.parse().ok().map(EventSeq)
}

/// The members of a line's object, in order: names without quotes, values as they stand.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        Self { rest: line.strip_prefix(b"{").unwrap_or_default() }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.strip_prefix(b",").unwrap_or(self.rest).strip_prefix(b"\"")?;
        let name_end = rest.iter().position(|&byte| byte == b'"')?;
        let value = rest.get(name_end + 1..)?.strip_prefix(b":")?;
        let value_end = end_of_value(value)?;
        self.rest = &value[value_end..];
        Some((&rest[..name_end], &value[..value_end]))
    }
}

/// Where a value ends that starts here.
fn end_of_value(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'"' => {
                at = end_of_string(text, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The place behind the string that starts at `start`.
fn end_of_string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What a line says of itself: time, kind, and whom and what it names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary<'a> {
    pub(super) time: Timestamp,
    pub(super) kind: Option<AuditKind>,
    pub(super) payment: Option<PaymentId>,
    pub(super) original: Option<PaymentId>,
    /// Debit and credit, or the account that changed.
    pub(super) accounts: [Option<AccountId>; 2],
    /// As they stand: the values of the fields of these names; empty where there is none.
    pub(super) act: &'a [u8],
    pub(super) why: &'a [u8],
    pub(super) status: &'a [u8],
    pub(super) reason: &'a [u8],
}

impl<'a> Summary<'a> {
    /// `None` when the line is not one that the log writes.
    pub(super) fn of(line: &'a [u8]) -> Option<Self> {
        let mut summary = Self::default();
        let mut timed = false;
        for (name, value) in Fields::of(line) {
            match name {
                b"time" => {
                    summary.time = parse_time(unquoted(value)?)?;
                    timed = true;
                }
                b"event" => summary.kind = AuditKind::of_name(unquoted(value)?),
                b"payment" => summary.payment = Some(PaymentId(parse_uuid(unquoted(value)?)?)),
                b"original" => summary.original = Some(PaymentId(parse_uuid(unquoted(value)?)?)),
                b"debit" | b"account" => {
                    summary.accounts[0] = Some(AccountId(parse_uuid(unquoted(value)?)?));
                }
                b"credit" => summary.accounts[1] = Some(AccountId(parse_uuid(unquoted(value)?)?)),
                b"act" => summary.act = value,
                b"why" => summary.why = value,
                b"status" => summary.status = unquoted(value)?,
                b"reason" => summary.reason = unquoted(value)?,
                // Nothing behind it is looked for.
                b"debit_balances" | b"balances" | b"prev" => break,
                _ => {}
            }
        }
        (timed && summary.kind.is_some()).then_some(summary)
    }

    /// The act, for those that are one.
    pub(super) fn act(&self) -> Option<ActSummary> {
        let act: serde_json::Value = serde_json::from_slice(self.act).ok()?;
        let text = |name: &str| act.get(name)?.as_str().map(str::to_owned);
        let mut summary =
            ActSummary { actor: text("actor"), why: text("why"), ..ActSummary::default() };
        // {"act": {"label": {"payment": …, "payer": …}}}, whatever the act is called.
        let kinds = act.get("act").and_then(serde_json::Value::as_object);
        for fields in kinds.into_iter().flat_map(serde_json::Map::values) {
            let id = |name: &str| parse_uuid(fields.get(name)?.as_str()?.as_bytes());
            summary.payment = summary.payment.or(id("payment").map(PaymentId));
            let accounts = ["payer", "payee", "account"].into_iter().filter_map(id);
            summary.accounts.extend(accounts.map(AccountId));
            // {"open_accounts": {"accounts": […]}}.
            let several = fields.get("accounts").and_then(serde_json::Value::as_array);
            let several = several.into_iter().flatten().filter_map(serde_json::Value::as_str);
            let several = several.filter_map(|id| parse_uuid(id.as_bytes()));
            summary.accounts.extend(several.map(AccountId));
        }
        Some(summary)
    }
}

/// What an act says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ActSummary {
    pub(super) actor: Option<String>,
    pub(super) why: Option<String>,
    pub(super) payment: Option<PaymentId>,
    pub(super) accounts: Vec<AccountId>,
}

impl AuditEntry {
    /// Reads the entry with this index from its line, given without its line feed.
    pub(super) fn parse(index: u64, line: &[u8]) -> Option<Self> {
        let summary = Summary::of(line)?;
        let act = summary.act();
        let mut accounts: Vec<_> = summary.accounts.into_iter().flatten().collect();
        let (mut actor, mut why, mut payment) = (None, None, summary.payment);
        if let Some(act) = act {
            (actor, why, payment) = (act.actor, act.why, payment.or(act.payment));
            accounts.extend(act.accounts);
        }
        let mut seen = Vec::new();
        accounts.retain(|account| {
            !seen.contains(account) && {
                seen.push(*account);
                true
            }
        });
        why = why.or_else(|| serde_json::from_slice(summary.why).ok());
        Some(Self {
            index,
            seq: seq_of(line)?,
            time: summary.time,
            kind: summary.kind?,
            actor,
            why,
            payment,
            accounts,
            line: str::from_utf8(line).ok()?.to_owned(),
        })
    }
}

/// The text of a string that has no escapes.
pub(super) fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Reads a time as the log writes it, `2026-11-20T08:30:00.000000001Z`, many times faster than a parser
/// that takes every form.
fn parse_time(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; 30] = text.try_into().ok()?;
    for (at, mark) in
        [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')]
    {
        if text[at] != mark {
            return None;
        }
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0_u64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 0000-03-01, with the leap day at the end of its year; 719,468 of them before 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(number(20..29)?).map(Timestamp)
}

fn parse_uuid(text: &[u8]) -> Option<u128> {
    Uuid::try_parse_ascii(text).ok().map(|id| id.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_their_values_hold() {
        let line =
            br#"{"seq":7,"rule":"a \"b\", {c}\\","list":["x","]"],"act":{"d":{"e":"}"}},"n":1}"#;
        let fields: Vec<_> = Fields::of(line)
            .map(|(name, value)| {
                (str::from_utf8(name).unwrap_or(""), str::from_utf8(value).unwrap_or(""))
            })
            .collect();
        assert_eq!(
            fields,
            [
                ("seq", "7"),
                ("rule", r#""a \"b\", {c}\\""#),
                ("list", r#"["x","]"]"#),
                ("act", r#"{"d":{"e":"}"}}"#),
                ("n", "1"),
            ]
        );
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        let mut ns = 0_u64;
        for round in 0..40_000_u64 {
            let text = crate::text::rfc3339(Timestamp(ns));
            assert_eq!(parse_time(text.as_bytes()), Some(Timestamp(ns)), "{text}");
            // About half a day and something: every day of 55 years, and every leap day.
            ns += 43_200_000_000_000 + round * 7_919;
        }
        let last = crate::text::rfc3339(Timestamp(u64::MAX));
        assert_eq!(parse_time(last.as_bytes()), Some(Timestamp(u64::MAX)));
        for text in [
            "2026-11-20T08:30:00Z",
            "2026-11-20T08:30:00.000000000z",
            "2026-13-20T08:30:00.000000000Z",
            "2026-11-20T24:30:00.000000000Z",
            "2026-11-20T08:30:0a.000000000Z",
            "1969-11-20T08:30:00.000000000Z",
            "9999-11-20T08:30:00.000000000Z",
        ] {
            assert_eq!(parse_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_act_names_every_account_that_it_is_about() {
        let line = br#"{"seq":7,"time":"2026-11-20T08:30:00.000000000Z","event":"ACT","act":{"actor":"ann","why":"new","act":{"open_accounts":{"accounts":["01920000-0000-7000-8000-000000000001","01920000-0000-7000-8000-000000000002"]}}},"prev":"","hash":""}"#;
        let entry = AuditEntry::parse(6, line).expect("an entry");
        let first = 0x0192_0000_0000_7000_8000_0000_0000_0001;
        assert_eq!(entry.accounts, [AccountId(first), AccountId(first + 1)]);
    }

    /// Whatever is torn off or changed, nothing panics and no field is made up.
    #[test]
    fn a_line_that_is_cut_anywhere_is_no_line() {
        let line = br#"{"seq":7,"time":"2026-11-20T08:30:00.000000000Z","event":"ACT","act":{"actor":"ann","why":"it \"is\"","act":{"label":{"payment":"01930000-0000-7000-8000-000000000001","payer":"01920000-0000-7000-8000-000000000001"}}},"prev":"","hash":""}"#;
        let entry = AuditEntry::parse(6, line).expect("an entry");
        assert_eq!(
            (entry.actor.as_deref(), entry.why.as_deref()),
            (Some("ann"), Some("it \"is\""))
        );
        assert_eq!(entry.payment, Some(PaymentId(0x0193_0000_0000_7000_8000_0000_0000_0001)));
        assert_eq!(entry.accounts.len(), 1);
        for end in 0..line.len() {
            assert!(parse_line(&line[..end]).is_none(), "cut at {end}");
            let _ = AuditEntry::parse(6, &line[..end]);
        }
    }
}
