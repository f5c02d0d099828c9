//! What a server holds and has done, as JavaScript has it.

#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::sync::Arc;

use gneiss_core::{AccessLog, Counter, Counters};
use napi_derive::napi;

use crate::options::number;

/// Gauges and totals of a server.
#[napi(object)]
pub struct Stats {
    /// `loop` or `thread`.
    pub mode: String,
    /// Open connections.
    pub connections: f64,
    /// Open exchanges.
    pub requests: f64,
    /// Request bodies that are not at their end.
    pub bodies: f64,
    /// Request bytes held ahead of the application: decoded and not taken, or received and not looked at.
    pub body_bytes: f64,
    /// Response bytes that wait for the peer.
    pub response_bytes: f64,
    /// Slots in use.
    pub slots: f64,
    /// Bytes lent to the other side; 0, because bytes are copied.
    pub external_bytes: f64,
    /// Tasks of the threaded driver; 0 in the loop driver.
    pub tasks: f64,
    /// Events that wait for JavaScript.
    pub queued_messages: f64,
    /// Holders of a thread-safe function; 0 in the loop driver.
    pub doorbell_refs: f64,
    /// Releases that wait for their thread.
    pub pending_releases: f64,
    /// Connections in the deadline wheel.
    pub timers: f64,
    /// Sockets, listeners included.
    pub file_descriptors: f64,
    /// Threads of the threaded driver; 0 in the loop driver.
    pub threads: f64,
    /// JavaScript objects released on a wrong thread: always 0.
    pub wrong_thread_drops: f64,
    /// Panics that were caught: always 0.
    pub panics_total: f64,
    /// Connections accepted.
    pub connections_total: f64,
    /// Requests handed over to the application.
    pub requests_total: f64,
    /// Requests that the application was called for.
    pub delivered_total: f64,
    /// Requests answered 503 because as many waited as may.
    pub shed_queue_full_total: f64,
    /// Requests answered 503 because they had waited too long, or would.
    pub shed_queue_wait_total: f64,
    /// Requests answered 503 because everybody had been waiting for a while.
    pub shed_loop_delay_total: f64,
    /// Requests refused before they reached it.
    pub refused_total: f64,
    /// Exchanges that ended without an answer of the application.
    pub aborted_total: f64,
    /// Bytes received.
    pub received_bytes_total: f64,
    /// Bytes sent.
    pub sent_bytes_total: f64,
    /// Deadlines that expired.
    pub timeouts_total: f64,
    /// Errors of accept that were survived.
    pub accept_errors_total: f64,
    /// Lines of the access log that could not be written.
    pub access_log_dropped_total: f64,
}

impl Stats {
    /// Sums the counters of a server, one set for each thread that has its connections.
    pub(crate) fn of(mode: &str, counters: &[Arc<Counters>]) -> Self {
        let count = |of: fn(&Counters) -> &Counter| {
            let values = counters.iter().map(|counters| of(counters).get());
            number(values.fold(0, u64::saturating_add))
        };
        Self {
            mode: mode.to_owned(),
            connections: count(|counters| &counters.connections),
            requests: count(|counters| &counters.requests),
            bodies: count(|counters| &counters.bodies),
            body_bytes: count(|counters| &counters.body_bytes),
            response_bytes: count(|counters| &counters.response_bytes),
            slots: count(|counters| &counters.slots),
            external_bytes: 0.0,
            tasks: count(|counters| &counters.tasks),
            queued_messages: 0.0,
            doorbell_refs: count(|counters| &counters.doorbell_refs),
            pending_releases: 0.0,
            timers: count(|counters| &counters.timers),
            file_descriptors: count(|counters| &counters.file_descriptors),
            threads: count(|counters| &counters.threads),
            wrong_thread_drops: 0.0,
            panics_total: count(|counters| &counters.panics_total),
            connections_total: count(|counters| &counters.connections_total),
            requests_total: count(|counters| &counters.requests_total),
            delivered_total: count(|counters| &counters.delivered_total),
            shed_queue_full_total: count(|counters| &counters.shed_queue_full_total),
            shed_queue_wait_total: count(|counters| &counters.shed_queue_wait_total),
            shed_loop_delay_total: count(|counters| &counters.shed_loop_delay_total),
            refused_total: count(|counters| &counters.refused_total),
            aborted_total: count(|counters| &counters.aborted_total),
            received_bytes_total: count(|counters| &counters.received_bytes_total),
            sent_bytes_total: count(|counters| &counters.sent_bytes_total),
            timeouts_total: count(|counters| &counters.timeouts_total),
            accept_errors_total: count(|counters| &counters.accept_errors_total),
            access_log_dropped_total: 0.0,
        }
    }

    /// Adds what the access log has lost.
    pub(crate) fn note_log(&mut self, log: Option<&Arc<AccessLog>>) {
        self.access_log_dropped_total = log.map_or(0.0, |log| number(log.dropped()));
    }
}
