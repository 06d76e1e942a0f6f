//! Memory: consumes the ledger's wish for memory for open holds, produces it, ready to be used.
//!
//! The system finds a page when it is first written to. On a virtual machine, whose host has to find one
//! too, that took 4 to 27 ms for a page of 2 MiB. Guarantees that deciding waits for no page that
//! was asked for in time: they are written to on a thread of its own.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use millrace_ledger::{HoldMemory, Ledger};

use crate::{JournalError, threads};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct MemorySupply {
    /// `None` when no more is wanted.
    wishes: Option<Sender<()>>,
    ready: Receiver<HoldMemory>,
    is_wished: bool,
    thread: Option<JoinHandle<()>>,
}

impl MemorySupply {
    pub(crate) fn start() -> Result<Self, JournalError> {
        let (wishes, wished) = bounded(1);
        let (made, ready) = bounded(1);
        let supply = move || {
            for () in wished {
                if made.send(HoldMemory::touched()).is_err() {
                    return;
                }
            }
        };
        let thread = threads::spawn("memory", supply)?;
        Ok(Self { wishes: Some(wishes), ready, is_wished: false, thread: Some(thread) })
    }

    /// Gives the ledger what is ready, and has more made ready where it wants some. Waits for nothing.
    pub(crate) fn supply(&mut self, ledger: &mut Ledger) {
        if let Ok(memory) = self.ready.try_recv() {
            ledger.give_hold_memory(memory);
            self.is_wished = false;
        }
        if !self.is_wished && ledger.wants_hold_memory() {
            self.is_wished = self.wishes.as_ref().is_some_and(|wishes| wishes.try_send(()).is_ok());
        }
    }
}

impl Drop for MemorySupply {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            // It has no way to panic but by a defect, and nothing depends on it any more.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use millrace_ledger::{ApproveAll, LedgerConfig, Operation, Payment};

    use super::*;
    use crate::two_accounts::{ledger_of_two, payment};

    /// More holds are made than there is memory for, and than one gift of it is for: there will be some before they
    /// are carried, and no more is asked for while that is not used.
    #[test]
    fn a_ledger_that_wants_memory_gets_it() {
        let mut ledger = ledger_of_two(LedgerConfig::default());
        let mut supply = MemorySupply::start().expect("starts");
        supply.supply(&mut ledger);
        assert!(!supply.is_wished, "an empty ledger wants none");
        let hold = |id| Payment { operation: Operation::Authorize, ..payment(id) };
        let holds: Vec<_> = (1..80_000).map(hold).collect();
        ledger.decide(&holds, &mut ApproveAll, |_| {}).expect("there is no history");
        assert!(ledger.wants_hold_memory());
        let started = Instant::now();
        while ledger.wants_hold_memory() {
            assert!(started.elapsed() < Duration::from_secs(60), "it comes");
            supply.supply(&mut ledger);
            thread::yield_now();
        }
        assert!(!supply.is_wished);
        supply.supply(&mut ledger);
        assert!(!supply.is_wished, "it has enough");
    }
}
