//! The audit log: consumes every event, produces one entry each in a Merkle tree that the log's key
//! signs, and guarantees that no entry can be changed, dropped or moved without the check naming it,
//! and that any entry can be proved to whoever has the public key. `docs/audit.md` says what that is
//! worth against whom.
//!
//! Reading order: `line` (an event as a line), `merkle`, `nodes` and `tree` (RFC 6962), `checkpoint`
//! `key` and `chain` (signatures), `rotation` and `succession` (a new key, a log built anew), `sink` with `recover`, `signer` and `keeper` (the writer), `segment`,
//! `index`, `view`, `search` and `reader` (readers), `verify` with `evidence`, `check`,
//! `alignment` and `spine` (the check).
//!
//! # A line
//!
//! | field | in | meaning |
//! |---|---|---|
//! | `seq` | all | position in the journal, dense from 1 |
//! | `time` | all | time of the batch, RFC 3339, UTC, nanoseconds |
//! | `event` | all | `PAYMENT`, `HOLD_EXPIRED`, `ACCOUNT`, `ACT` or `QUARANTINED` |
//! | `payment`, `original` | payments, expiries | ids; `original` where the payment names one |
//! | `operation`, `status` | payments | as in `millrace.v1`, without the enum's prefix |
//! | `reason` | refused payments | reject reason, without the enum's prefix |
//! | `ledger`, `currency`, `code` | payments, accounts | `currency` where ISO 4217 has it |
//! | `requested_minor` | payments | what was asked for; left out for "all that is left" |
//! | `amount_minor` | payments, expiries | what moved, is held, or was released |
//! | `debit`, `credit` | payments, expiries | account ids, where known |
//! | `flags`, `timeout_s` | payments | where set |
//! | `risk`, `rule` | judged payments | decision; the rule that made it, where one did |
//! | `debit_balances`, `credit_balances` | payments, expiries | counters after it, where known |
//! | `change`, `account`, `owner`, `tenant`, `state` | accounts | the account after the event |
//! | `credit_limit_minor`, `balances` | accounts | its limit and counters after the event |
//! | `act` | acts | who did what, and why |
//! | `why` | quarantined events | why it could not be processed |
//! | `prev`, `hash` | all | the chain |
//!
//! Money is a count of minor units as a decimal **string**, always: counters have 128 bits, JSON
//! numbers are exact to 53. Personal context (reference, device, address) is not in the log.
//!
//! # The chain
//!
//! `hash` is SHA-256 over the 32 bytes of `prev` and then the bytes of the line before `,"prev":`.
//! The first line's `prev` is 32 zero bytes; every other line's is the `hash` of the line before.
//! So an auditor needs no program of ours:
//!
//! ```python
//! import hashlib, sys
//! prev = bytes(32)
//! for number, line in enumerate(open(sys.argv[1], "rb"), 1):
//!     content, _, chain = line.rstrip(b"\n").rpartition(b',"prev":')
//!     hash = hashlib.sha256(prev + content).digest()
//!     if chain != b'"%s","hash":"%s"}' % (prev.hex().encode(), hash.hex().encode()):
//!         sys.exit(f"line {number} was changed, or lines before it are missing")
//!     prev = hash
//! print("intact; head", prev.hex())
//! ```
//!
//! Cutting whole lines off the end leaves a valid, shorter chain, and whoever writes a line anew can
//! write all that follow it anew: against that there are the tree and its signed checkpoints.

mod alignment;
mod chain;
mod check;
mod checkpoint;
mod config;
mod entry;
mod error;
mod evidence;
mod faults;
mod index;
mod journal;
mod keeper;
mod key;
mod layout;
mod line;
mod merkle;
mod nodes;
mod parts;
mod proof;
mod proof_file;
mod reader;
mod recover;
mod report;
mod rotation;
mod search;
mod segment;
mod signer;
mod sink;
mod spine;
mod succession;
mod tree;
mod verify;
mod view;

pub use checkpoint::Checkpoint;
pub use config::AuditConfig;
pub use entry::{AuditEntry, AuditKind, AuditQuery};
pub use error::AuditError;
pub use faults::{Fault, Faults};
pub use key::{KeyError, PublicKey};
pub use merkle::{Hash, leaf_hash, node_hash};
pub use proof::{ConsistencyProof, Proof};
pub use proof_file::{ProofFile, Proven, hex};
pub use reader::AuditReader;
pub use report::AuditReport;
pub use rotation::KeyRotation;
pub use search::Order;
pub use sink::AuditSink;
pub use succession::{Compared, check_key, check_succession};
pub use verify::{VerifyOptions, verify};

/// Name of the open segment within the log's directory: its newest entries.
pub const FILE_NAME: &str = "audit.jsonl";
