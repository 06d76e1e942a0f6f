//! The tables leave nothing out: every reason occurs in one.

use std::collections::BTreeSet;

use millrace_ledger::RejectReason;

use crate::{
    accounts, amounts, exchange, front_door, groups, holds, ids, money, order, refunds,
    rows::{ACCOUNT_REASONS, upper_snake},
    verdicts,
};

/// What rows of all tables come to.
fn outcomes() -> BTreeSet<&'static str> {
    let tables = [
        accounts::TABLES,
        amounts::TABLES,
        exchange::TABLES,
        front_door::TABLES,
        groups::TABLES,
        holds::TABLES,
        ids::TABLES,
        money::TABLES,
        order::TABLES,
        refunds::TABLES,
        verdicts::TABLES,
    ];
    let rows = tables.into_iter().flatten().flat_map(|table| table.lines());
    rows.filter_map(|row| Some(row.split_once("->")?.1.trim())).collect()
}

#[test]
fn every_reason_occurs_in_a_table() {
    let outcomes = outcomes();
    for reason in RejectReason::ALL {
        let name = reason.upper_snake_name();
        assert!(outcomes.contains(name.as_str()), "{name} occurs in no table");
    }
}

#[test]
fn every_account_reason_occurs_in_a_table() {
    // A change always is there by the time that the ledger sees it.
    let by_front_door = "CHANGE_MISSING";
    let outcomes = outcomes();
    for reason in ACCOUNT_REASONS {
        let name = upper_snake(&format!("{reason:?}"));
        assert!(
            name == by_front_door || outcomes.contains(name.as_str()),
            "{name} occurs in no table"
        );
    }
}
