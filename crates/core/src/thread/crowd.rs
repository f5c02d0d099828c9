//! How the I/O threads of one server share its connections.

use std::sync::Arc;

use crate::gate::{Gate, Seat};
use crate::sync::{AtomicUsize, Ordering};

/// Open connections by thread, and how many there may be of all together.
///
/// Accepting freely from one shared socket leaves some threads idle, so a thread accepts only while it
/// has at most one connection more than the one with the fewest.
#[derive(Debug)]
pub(super) struct Crowd {
    open: Box<[AtomicUsize]>,
    total: AtomicUsize,
    most: usize,
    /// What other workers that share the listeners have to say.
    gate: Option<Arc<dyn Gate>>,
}

/// Whether a thread may accept now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Another thread or worker has fewer connections: ask again soon.
    Crowded,
    /// The server has as many as it may have: ask again when one has gone.
    Full,
    /// Yes, and a place is taken: `leave` gives it back.
    Taken,
}

impl Crowd {
    /// Nobody is there yet.
    pub(super) fn new(threads: usize, most: usize, gate: Option<Arc<dyn Gate>>) -> Self {
        Self {
            open: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            total: AtomicUsize::new(0),
            most,
            gate,
        }
    }

    /// What a connection holds for the other workers while it is open.
    pub(super) fn seat(&self) -> Option<Seat> {
        self.gate.as_ref().map(Seat::take)
    }

    /// Tells other workers whether this one accepts.
    pub(super) fn set_accepting(&self, is_accepting: bool) {
        if let Some(gate) = &self.gate {
            gate.set_accepting(is_accepting);
        }
    }

    /// Accepts no more. Whether no other worker takes what waits in the queue.
    pub(super) fn retire(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.retire())
    }

    /// Takes a place for a connection that must not be left in the queue, whatever there is.
    pub(super) fn enter_anyway(&self, thread: usize) {
        if let Some(own) = self.open.get(thread) {
            own.fetch_add(1, Ordering::Relaxed);
            self.total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a place for one more connection of `thread`, if there is one.
    pub(super) fn enter(&self, thread: usize) -> Entry {
        let Some(own) = self.open.get(thread) else {
            return Entry::Full;
        };
        let counts = self.open.iter().map(|count| count.load(Ordering::Relaxed));
        let least = counts.min().unwrap_or(0);
        if own.load(Ordering::Relaxed) > least.saturating_add(1) {
            return Entry::Crowded;
        }
        if self.total.load(Ordering::Relaxed) >= self.most {
            return Entry::Full;
        }
        if self.gate.as_ref().is_some_and(|gate| !gate.admits()) {
            return Entry::Crowded;
        }
        // One atomic step, so that threads that ask at the same moment cannot exceed the cap together.
        let more = |total: usize| (total < self.most).then(|| total.saturating_add(1));
        let taken = self
            .total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if taken.is_err() {
            return Entry::Full;
        }
        own.fetch_add(1, Ordering::Relaxed);
        Entry::Taken
    }

    /// Gives a place back.
    pub(super) fn leave(&self, thread: usize) {
        if let Some(own) = self.open.get(thread) {
            own.fetch_sub(1, Ordering::Relaxed);
            self.total.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_at_most_two_ahead_of_an_empty_one() {
        let crowd = Crowd::new(2, 100, None);
        assert_eq!(crowd.enter(0), Entry::Taken);
        assert_eq!(crowd.enter(0), Entry::Taken);
        assert_eq!(crowd.enter(0), Entry::Crowded);
        assert_eq!(crowd.enter(1), Entry::Taken);
        assert_eq!(crowd.enter(0), Entry::Taken);
    }

    #[test]
    fn the_cap_is_that_of_all_threads_together() {
        let crowd = Crowd::new(2, 3, None);
        for thread in [0, 1, 0] {
            assert_eq!(crowd.enter(thread), Entry::Taken);
        }
        assert_eq!((crowd.enter(0), crowd.enter(1)), (Entry::Full, Entry::Full));
        crowd.leave(0);
        assert_eq!(crowd.enter(1), Entry::Taken);
    }
}
