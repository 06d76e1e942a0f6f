//! Usage: consumes what the system counts of this process, produces differences of it.

use std::{fs, time::Duration};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// What this process has used since it started.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// User and system time of the calling thread.
    pub cpu_of_thread: Duration,
    /// What it wrote, if the system tells.
    pub written: Option<Written>,
}

/// Bytes written, counted in two places (`/proc/self/io`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// `write_bytes`: what was sent to the storage layer, in whole pages.
    pub to_storage: u64,
    /// `wchar`: what was passed to system calls that write, whatever it was written to.
    pub to_system_calls: u64,
}

impl Usage {
    /// As of now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            cpu: duration(clock_gettime(ClockId::ProcessCPUTime)),
            cpu_of_thread: duration(clock_gettime(ClockId::ThreadCPUTime)),
            written: fs::read_to_string("/proc/self/io").ok().and_then(|text| written(&text)),
        }
    }

    /// What was used after `earlier`, of which the thread's share is right on the same thread only.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let written = |(now, then): (Written, Written)| Written {
            to_storage: now.to_storage - then.to_storage,
            to_system_calls: now.to_system_calls - then.to_system_calls,
        };
        Self {
            cpu: self.cpu - earlier.cpu,
            cpu_of_thread: self.cpu_of_thread - earlier.cpu_of_thread,
            written: self.written.zip(earlier.written).map(written),
        }
    }
}

/// Memory of this process that is resident, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    /// `VmRSS`: at this moment.
    pub now_mib: f64,
    /// `VmHWM`: the most at any moment so far.
    pub peak_mib: f64,
}

impl Resident {
    /// As of now; `None` where there is no `/proc`.
    #[must_use]
    pub fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let mib = |name| Some(field(&status, name)? as f64 / 1_024.0);
        Some(Self { now_mib: mib("VmRSS:")?, peak_mib: mib("VmHWM:")? })
    }
}

fn written(io: &str) -> Option<Written> {
    let (to_storage, to_system_calls) = (field(io, "write_bytes:")?, field(io, "wchar:")?);
    Some(Written { to_storage, to_system_calls })
}

/// The number that follows `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "rchar: 1\nwchar: 22\nread_bytes: 3\nwrite_bytes: 44\ncancelled_write_bytes: 5\n";
        let expected = Written { to_storage: 44, to_system_calls: 22 };
        assert_eq!(written(io), Some(expected));
        assert_eq!(field("VmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n", "VmRSS:"), Some(1_024));
        assert_eq!(written("wchar: 22\n"), None);
    }

    #[test]
    fn work_shows_in_the_usage() {
        let before = Usage::now();
        let mut numbers = crate::Numbers(1);
        let sum = (0..3_000_000).fold(0, |sum: u64, _| sum.wrapping_add(numbers.draw()));
        assert_ne!(sum, 0);
        let used = Usage::now().since(&before);
        assert!(used.cpu_of_thread > Duration::ZERO && used.cpu >= used.cpu_of_thread, "{used:?}");
        assert!(Resident::now().is_some_and(|it| it.now_mib > 0.1 && it.peak_mib >= it.now_mib));
    }
}
