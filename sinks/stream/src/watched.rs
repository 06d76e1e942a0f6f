//! The figures that operators watch.

use metrics::{Counter, Gauge, counter, gauge};

/// Figures of one publisher or consumer, labelled `sink`.
pub(crate) struct Watched {
    events: Counter,
    bytes: Counter,
    restarts: Counter,
    in_flight: Gauge,
}

/// What a consumer has yet to receive.
pub(crate) fn consumer_lag(sink: &str) -> Gauge {
    gauge!("millrace_stream_consumer_lag_messages", "sink" => sink.to_owned())
}

impl Watched {
    /// Of the publisher of a stream.
    pub(crate) fn publisher(sink: &str) -> Self {
        let sink = || sink.to_owned();
        Self {
            events: counter!("millrace_stream_published_events_total", "sink" => sink()),
            bytes: counter!("millrace_stream_published_bytes_total", "sink" => sink()),
            restarts: counter!("millrace_stream_publisher_restarts_total", "sink" => sink()),
            in_flight: gauge!("millrace_stream_in_flight_bytes", "sink" => sink()),
        }
    }

    /// Of a consumer.
    pub(crate) fn consumer(sink: &str) -> Self {
        let sink = || sink.to_owned();
        Self {
            events: counter!("millrace_stream_consumed_events_total", "sink" => sink()),
            bytes: counter!("millrace_stream_consumed_bytes_total", "sink" => sink()),
            restarts: counter!("millrace_stream_consumer_restarts_total", "sink" => sink()),
            in_flight: gauge!("millrace_stream_unacknowledged_messages", "sink" => sink()),
        }
    }

    /// So many more events, in a message of so many bytes.
    pub(crate) fn note_published(&self, events: u64, bytes: usize) {
        self.events.increment(events);
        self.bytes.increment(bytes as u64);
    }

    /// Sent or received, and not acknowledged.
    pub(crate) fn note_in_flight(&self, amount: usize) {
        self.in_flight.set(amount as f64);
    }

    /// It had to connect and look for its place again.
    pub(crate) fn note_restart(&self) {
        self.restarts.increment(1);
    }
}
