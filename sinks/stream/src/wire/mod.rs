//! Events as protobuf messages: consumes the feed's batches, produces `millrace.v1` messages, and the
//! other way. Guarantees that what comes back is what went in, bit for bit.

mod act;
mod context;
mod evidence;
mod read;
mod write;

pub use read::{WireError, read_event, read_frame};
pub use write::{write_batch, write_event};
