//! Scheduling: threads of sinks take what payments leave of the processors.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Lowest priority of the ordinary scheduler.
const NICE: i32 = 19;

/// Lets this thread, and those that it starts, run when a processor has nothing else to do
/// (`SCHED_IDLE` on Linux): one that waits for work gets the processor from it at once. Where that
/// is refused, it gets the lowest ordinary priority, and where that is refused, too, it runs all
/// the same.
pub fn run_when_idle() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let thread = thread_native_id();
    if let Err(error) = set_thread_priority_and_policy(thread, ThreadPriority::Min, idle) {
        tracing::debug!(?error, "could not make a sink run when idle");
        yield_to_payments();
    }
}

/// Gives this thread, and those that it starts, the lowest ordinary priority. Where that is
/// refused, it runs all the same. Threads that answer queries should call it when they start.
pub fn yield_to_payments() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "could not lower the priority of a sink");
    }
}
