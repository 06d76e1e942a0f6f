//! Whom a stop waits for: consumes how a sink gets on, produces whether it may still catch up.

use millrace_ledger::EventSeq;
use millrace_sinks::{SinkState, SinkWatch};

/// Whether a stop waits for a sink: one that is behind and moves on. Once the engine has failed, one
/// that tries something again does not: a disk that is full for the engine is full for the sink, too.
pub(super) fn is_waited_for(sink: &SinkWatch, durable: EventSeq, engine_failed: bool) -> bool {
    let status = sink.status();
    let moves_on = match status.state {
        SinkState::Following => true,
        SinkState::Retrying => !engine_failed,
        SinkState::Stopped => false,
    };
    moves_on && status.applied_seq < durable.0
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use millrace_sinks::{Head, Progress};

    use super::*;

    /// After a full disk, a sink that waits for space kept the process for as long as a drain may take.
    #[test]
    fn a_stop_waits_for_sinks_that_move_on() {
        let (behind, caught_up) = (EventSeq(5), EventSeq(8));
        let following = |_: &Progress| {};
        let retrying = |progress: &Progress| {
            progress.note_failure("no space left", 1, Duration::from_secs(5));
        };
        let recovered = |progress: &Progress| {
            progress.note_failure("no space left", 1, Duration::from_secs(5));
            progress.note_recovery();
        };
        let stopped = |progress: &Progress| progress.note_end(Some("gone".to_owned()));
        type Came<'a> = (&'a str, &'a dyn Fn(&Progress));
        let cases: [(Came<'_>, EventSeq, [bool; 2]); 8] = [
            (("follows", &following), behind, [true, true]),
            (("follows", &following), caught_up, [false, false]),
            (("tries again", &retrying), behind, [true, false]),
            (("tries again", &retrying), caught_up, [false, false]),
            (("recovered", &recovered), behind, [true, true]),
            (("recovered", &recovered), caught_up, [false, false]),
            (("stopped", &stopped), behind, [false, false]),
            (("stopped", &stopped), caught_up, [false, false]),
        ];
        for ((name, came), applied, expected) in cases {
            let progress = Arc::new(Progress::new("audit", applied.next(), Head::unknown()));
            came(&progress);
            let waited = [false, true]
                .map(|engine_failed| is_waited_for(&progress.watch(), EventSeq(8), engine_failed));
            assert_eq!(waited, expected, "{name}, at {applied}; without and with a failed engine");
        }
    }
}
