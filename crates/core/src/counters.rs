//! Live counts and totals of one server.

use crate::refusals::Refusals;
use crate::sync::{AtomicU64, Ordering};

/// A number with one writer and any number of readers.
///
/// A plain load and store instead of a locked add: the writer is always the thread that owns the
/// connections, so nothing can come between.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning thread calls it.
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    /// Subtracts; only the owning thread calls it.
    pub fn subtract(&self, amount: u64) {
        self.0
            .store(self.get().saturating_sub(amount), Ordering::Relaxed);
    }

    /// Sets; only the owning thread calls it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes of both directions that one or more connections hold: counted by walking them when somebody asks,
/// so that no request pays for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Request bytes ahead of the application: decoded and not taken, and received and not looked at.
    pub body: usize,
    /// Response bytes that wait for the peer.
    pub response: usize,
}

impl std::iter::Sum for Held {
    fn sum<I: Iterator<Item = Self>>(held: I) -> Self {
        held.fold(Self::default(), |sum, one| Self {
            body: sum.body.saturating_add(one.body),
            response: sum.response.saturating_add(one.response),
        })
    }
}

/// Gauges return to zero when a server is idle; totals only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Open connections.
    pub connections: Counter,
    /// Open exchanges.
    pub requests: Counter,
    /// Open exchanges whose request body is not at its end.
    pub bodies: Counter,
    /// Sockets, listeners included.
    pub file_descriptors: Counter,
    /// Request bytes ahead of the application; kept by the threaded driver only, whose connections
    /// nobody else can ask.
    pub body_bytes: Counter,
    /// Response bytes that wait for the peer; kept by the threaded driver only.
    pub response_bytes: Counter,
    /// Slots in use; kept by the threaded driver only.
    pub slots: Counter,
    /// Connections in the deadline wheel; kept by the threaded driver only.
    pub timers: Counter,
    /// Tasks of the threaded driver, one a connection.
    pub tasks: Counter,
    /// Threads of the threaded driver.
    pub threads: Counter,
    /// Holders of the isolate's bell.
    pub doorbell_refs: Counter,
    /// Connections accepted.
    pub connections_total: Counter,
    /// Requests handed over to the application, those included that end while they wait for it.
    pub requests_total: Counter,
    /// Requests that the application was called for; written by the thread that calls it, and never more
    /// than `requests_total`. What lies between waits.
    pub delivered_total: Counter,
    /// Of those that lie between, the ones that are over already.
    pub unread: Counter,
    /// Requests answered 503 because as many waited as may.
    pub shed_queue_full_total: Counter,
    /// Requests answered 503 because they had waited too long, or would.
    pub shed_queue_wait_total: Counter,
    /// Requests answered 503 because everybody had been waiting for a while.
    pub shed_loop_delay_total: Counter,
    /// Requests refused before they reached the application.
    pub refused_total: Counter,
    /// Exchanges that ended without an answer of the application.
    pub aborted_total: Counter,
    /// What is said of refused requests.
    pub refusals: Refusals,
    /// Bytes received.
    pub received_bytes_total: Counter,
    /// Bytes sent.
    pub sent_bytes_total: Counter,
    /// Deadlines that expired.
    pub timeouts_total: Counter,
    /// Errors of accept that were survived.
    pub accept_errors_total: Counter,
    /// Panics that were caught. Not zero means a bug of ours.
    pub panics_total: Counter,
}
