//! Where a sink, whose calls block, waits for the database: consumes futures, produces what they
//! come to. The runtime has no thread of its own, so that all work has the priority of the thread
//! that drives the sink.

use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) struct Worker {
    /// Gone only while it is dropped.
    runtime: Option<Runtime>,
}

impl Worker {
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits until the work is done. Blocks, from within another runtime as well.
    pub(crate) fn run<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let runtime = self.runtime.as_ref().expect("is there until it is dropped");
        if Handle::try_current().is_err() {
            return runtime.block_on(work);
        }
        thread::scope(|scope| {
            let done = scope.spawn(|| runtime.block_on(work)).join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_from_within_another_runtime() {
        let outer = Builder::new_current_thread().build().expect("a runtime");
        let seen = outer.block_on(async {
            let worker = Worker::new().expect("a runtime");
            worker.run(async { 7 })
        });
        assert_eq!(seen, 7);
    }
}
