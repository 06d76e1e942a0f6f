//! Runs against a model, runs that are damaged, and what runs cost.

mod as_of;
mod copy;
mod damage;
mod figures;
mod model;
mod policy;
mod spans;

use millrace_ledger::{Amount, EventSeq, PaymentId, StoredPayment};
use tempfile::TempDir;

use super::{Room, Runs, layout::Layout};

const JOURNAL: [u8; 16] = *b"journal of tests";

/// So small that a few payments make many pages, parts and classes.
const TINY: Layout = Layout { page_bytes: 256, part_rows_max: 7, small_rows: 4, class_rows: 16 };

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(directory: &TempDir, names: &[String], filter_memory_max: u64) -> Runs {
    open_in(directory, names, filter_memory_max, Room::reserving(0))
}

fn open_in(directory: &TempDir, names: &[String], filter_memory_max: u64, room: Room) -> Runs {
    let opened = Runs::open_with(directory.path(), JOURNAL, names, filter_memory_max, room, TINY);
    opened.expect("opens")
}

fn names(runs: &Runs) -> Vec<String> {
    runs.list().iter().map(|run| run.name().to_owned()).collect()
}

/// Files in the directory, in order.
fn files(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).expect("can be listed");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("text")
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// Version `version` of a payment.
fn payment(id: u128, version: u64) -> StoredPayment {
    StoredPayment {
        id: PaymentId(id),
        amount: Amount(1000),
        applied: 1000,
        left: 1000 - u128::from(version % 1000),
        seq: EventSeq(version),
        stage: millrace_ledger::Stage::Settled,
        ..StoredPayment::default()
    }
}

fn seal(runs: &Runs, number: u64, payments: &[StoredPayment]) -> std::sync::Arc<super::Run> {
    runs.seal_payments(number, payments.iter()).expect("sealed")
}

/// The same bits for the same number, with no order in them.
fn scrambled(number: u64) -> u128 {
    let half = |salt: u64| {
        let mut bits = number.wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        bits ^ (bits >> 32)
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
}
